"""Domain errors. Services raise these; `tcma.web` turns each into one answer (page, htmx fragment or problem+json)."""

from __future__ import annotations

from collections.abc import Mapping


class DomainError(Exception):
    """Base of all errors that a person may cause and can mend; `message` says what to do next."""

    status = 400
    title = "That did not work"
    default = "Please check what you entered and try again."

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.default
        super().__init__(self.message)


class NotFound(DomainError):
    """No such object for this actor; another tenant's object is the same answer."""

    status = 404
    title = "Not found"
    default = "There is nothing here, or it belongs to someone else. Check the address or go back."


class Forbidden(DomainError):
    """The object is visible but the act is not this actor's."""

    status = 403
    title = "Not allowed"
    default = "Your role does not include this. Ask an administrator of your organization."


class IllegalTransition(DomainError):
    """A state machine refused a move; nothing changed."""

    status = 409
    title = "Not possible now"


class Stale(DomainError):
    """Someone else changed the object since it was read; nothing changed."""

    status = 409
    title = "Changed meanwhile"
    default = "Someone changed this while you were looking at it. Reload to see the present state, then decide again."


class Invalid(DomainError):
    """Input that cannot be accepted. `fields` maps a field name (or "" for the whole) to what to mend."""

    status = 422
    title = "Please mend what is marked"

    def __init__(self, fields: Mapping[str, str] | str) -> None:
        self.fields: dict[str, str] = {"": fields} if isinstance(fields, str) else dict(fields)
        super().__init__(" ".join(self.fields.values()))


class RateLimited(DomainError):
    """Too many tries; `retry_after` is in seconds."""

    status = 429
    title = "Too many tries"

    def __init__(self, message: str | None = None, *, retry_after: int = 60) -> None:
        self.retry_after = retry_after
        super().__init__(message or f"Too many tries. Please wait {retry_after} seconds and try again.")
