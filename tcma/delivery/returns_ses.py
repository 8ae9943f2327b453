"""What Amazon SES tells through SNS, as reports on deliveries.

Both forms are read: event publishing (`eventType`) and identity notifications (`notificationType`). A Delivery and a
Bounce of one mail may both come, in any order. A delivery is named by the tag TAG that the mail was sent with, or by
the headers of the mail itself, which hold tokens of ours. A tag alone is no proof, for others may use the same account:
it is believed only for the delivery's own recipient.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tcma.delivery.bounces import Report, ReportKind, judge

TAG = "delivery"
_LISTED = ("OnAccountSuppressionList", "Suppressed")

DeliveryOf = Callable[[str], int | None]
"""The delivery that a header of ours names, or None if it is not ours."""


class NotSes(ValueError):
    """The message is no notification of SES."""


def read_notification(message: str, *, delivery_of: DeliveryOf) -> list[Report]:
    """The reports in one notification; none for a kind that says nothing to us. Raises NotSes."""
    try:
        given: Any = json.loads(message)
    except (ValueError, RecursionError):
        raise NotSes("The message is not JSON.") from None
    if not isinstance(given, dict):
        raise NotSes("The message is no object.")
    kind = given.get("eventType") or given.get("notificationType")
    mail = given.get("mail")
    if not isinstance(kind, str) or not isinstance(mail, dict):
        raise NotSes("The message is no notification of SES.")
    delivery_id, proven = _named(mail, delivery_of)
    reports = _READERS.get(kind.lower(), _nothing)(given)
    return [
        Report(
            one.kind, delivery_id=delivery_id, recipient=one.recipient or _destination(mail), status=one.status,
            text=one.text, proven=proven, listed=one.listed,
        )
        for one in reports
    ]  # fmt: skip


def _named(mail: dict[str, Any], delivery_of: DeliveryOf) -> tuple[int | None, bool]:
    """(delivery id, proven by a token of ours)."""
    found = delivery_of(str(mail.get("source", "")))
    if found is not None:
        return found, True
    headers = mail.get("headers")
    for one in headers if isinstance(headers, list) else []:
        if isinstance(one, dict) and str(one.get("name", "")).lower() == "list-unsubscribe":
            found = delivery_of(str(one.get("value", "")))
            if found is not None:
                return found, True
    tags = mail.get("tags")
    values = tags.get(TAG) if isinstance(tags, dict) else None
    first = values[0] if isinstance(values, list) and values else values
    if isinstance(first, str) and re.fullmatch(r"[1-9][0-9]{0,17}", first, re.ASCII):
        return int(first), False
    return None, False


def _destination(mail: dict[str, Any]) -> str:
    given = mail.get("destination")
    return str(given[0]) if isinstance(given, list) and len(given) == 1 else ""


def _recipients(part: Any, name: str) -> Iterator[dict[str, Any]]:
    given = part.get(name) if isinstance(part, dict) else None
    return (one for one in (given if isinstance(given, list) else []) if isinstance(one, dict))


def _bounce(given: dict[str, Any]) -> Iterator[Report]:
    part = given.get("bounce")
    if not isinstance(part, dict):
        raise NotSes("The notification of a bounce holds none.")
    kind, detail = str(part.get("bounceType", "")), str(part.get("bounceSubType", ""))
    for one in _recipients(part, "bouncedRecipients"):
        status, text = str(one.get("status", "")), str(one.get("diagnosticCode", ""))[:300]
        yield Report(
            _kind_of(kind, detail, status, text), recipient=str(one.get("emailAddress", "")), status=status[:20],
            text=text or f"{kind}, {detail}", listed=detail in _LISTED,
        )  # fmt: skip


def _kind_of(kind: str, detail: str, status: str, text: str) -> ReportKind:
    if detail in _LISTED:
        return ReportKind.HARD
    told = judge(status, text) if status or text else None
    if kind == "Permanent":
        return told if told in (ReportKind.ABOUT_US, ReportKind.SOFT) and status[:3] != "5.0" else ReportKind.HARD
    if kind == "Transient" and detail == "General" and not status.startswith("5"):
        # Out-of-office answers come as this.
        return ReportKind.DELAYED
    return ReportKind.ABOUT_US if told is ReportKind.ABOUT_US else ReportKind.SOFT


def _complaint(given: dict[str, Any]) -> Iterator[Report]:
    part = given.get("complaint")
    if not isinstance(part, dict):
        raise NotSes("The notification of a complaint holds none.")
    detail = str(part.get("complaintSubType") or "")
    feedback = str(part.get("complaintFeedbackType") or "abuse")
    for one in _recipients(part, "complainedRecipients"):
        recipient = str(one.get("emailAddress", ""))
        if detail in _LISTED:
            # SES took the mail and did not send it, for this person complained about some mail before.
            text = "The provider does not write to this address after an earlier complaint."
            yield Report(ReportKind.HARD, recipient=recipient, text=text, listed=True)
        elif feedback != "not-spam":
            yield Report(ReportKind.COMPLAINT, recipient=recipient, text=f"{feedback}, by the provider")


def _delivery(given: dict[str, Any]) -> Iterator[Report]:
    part = given.get("delivery")
    answer = str(part.get("smtpResponse", "")) if isinstance(part, dict) else ""
    yield Report(ReportKind.DELIVERED, text=answer[:300] or "SES delivered it.")


def _send(given: dict[str, Any]) -> Iterator[Report]:
    yield Report(ReportKind.DELIVERED, text="SES took it.")


def _reject(given: dict[str, Any]) -> Iterator[Report]:
    """SES took the mail and refused it for its content: that is about us, whoever it was for."""
    part = given.get("reject")
    yield Report(ReportKind.ABOUT_US, text=str(part.get("reason", "") if isinstance(part, dict) else "")[:300])


def _nothing(given: dict[str, Any]) -> Iterator[Report]:
    yield Report(ReportKind.NOTHING, text=str(given.get("eventType") or given.get("notificationType"))[:60])


_READERS: dict[str, Callable[[dict[str, Any]], Iterator[Report]]] = {
    "bounce": _bounce, "complaint": _complaint, "delivery": _delivery, "send": _send, "reject": _reject,
}  # fmt: skip
