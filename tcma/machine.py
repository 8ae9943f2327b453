"""State machines: one transition table each; only verb methods move a row, and each move leaves an audit row."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy.orm import object_session

from tcma import audit
from tcma.access import Actor
from tcma.errors import IllegalTransition

Moves = Mapping[Any, frozenset[Any]]


class Machine:
    """Mixin of a mapped class with a `status` and its table of moves."""

    moves: ClassVar[Moves]
    noun: ClassVar[str]
    status: Any

    def move(
        self, verb: str, to: StrEnum, *, by: Actor, reason: str | None = None, also: Mapping[str, Any] | None = None
    ) -> None:
        """Go to the state `to`, or raise IllegalTransition and change nothing.

        Verb methods call this; nothing else assigns a status.
        """
        before = self.status
        if to not in self.moves.get(before, frozenset()):
            raise self.refusal(verb)
        session = object_session(self)
        if session is None:
            raise RuntimeError(f"A {self.noun} moves only inside a session.")
        self.status = to
        audit.record(
            session, by, f"{self.noun}.{verb}", self,
            before={"status": before}, after={"status": to, **(also or {})}, reason=reason,
        )  # fmt: skip

    def require_status(self, verb: str, *allowed: StrEnum) -> None:
        """Raise IllegalTransition unless the row is in one of `allowed`: for verbs narrower than the table."""
        if self.status not in allowed:
            raise self.refusal(verb)

    def refusal(self, verb: str) -> IllegalTransition:
        return IllegalTransition(
            f"“{words(verb).capitalize()}” is not possible: this {self.noun} is {words(self.status)}. "
            "Reload the page to see what you can do with it now."
        )


def words(name: str) -> str:
    """`in_review` as people read it."""
    return str(name).replace("_", " ")
