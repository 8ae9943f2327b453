"""Bounces from any other relay: one small JSON form, signed as Standard Webhooks say.

A post holds one event or a list of them under `events`. An event is `type` (bounce, complaint, delivered, unsubscribe),
`return_path` (the envelope sender that the mail had: it names the delivery and proves it), and where known `recipient`,
`status` (enhanced, such as 5.1.1), `code` (such as 550) and `text` (the server's words).

Headers: `webhook-id`, `webhook-timestamp` (seconds), `webhook-signature` (`v1,` and base64 of HMAC-SHA256 over
`id.timestamp.body`, several parted by spaces). A secret is base64 behind `whsec_`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tcma import clock
from tcma.delivery.bounces import Report, ReportKind, judge
from tcma.delivery.sns import Refused

LARGEST_POST = 256 * 1024
MOST_EVENTS = 500
TOLERANCE_SECONDS = 5 * 60

_KINDS = {"complaint": ReportKind.COMPLAINT, "delivered": ReportKind.DELIVERED, "unsubscribe": ReportKind.UNSUBSCRIBE}


def secrets_of(setting: str) -> list[bytes]:
    """The secrets in the setting TCMA_BOUNCE_WEBHOOK_SECRET, which was checked when it was read."""
    parts = (part.strip() for part in setting.split(","))
    return [base64.b64decode(one.removeprefix("whsec_"), validate=True) for one in parts if one]


def verify(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[bytes]) -> str:
    """The id of a post that one of `secrets` signed within the last five minutes. Raises Refused."""
    if len(body) > LARGEST_POST:
        raise Refused("the post is too large", code=413)
    given, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(given) <= 100 or not given.isascii() or not (moment.isascii() and moment.isdecimal()):
        raise Refused("webhook-id or webhook-timestamp is missing", code=400)
    # Compared before anything is parsed; every secret and signature, so that time tells nothing.
    signed = f"{given}.{moment}.".encode() + body
    wanted = [b"v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")) for secret in secrets]
    offered = headers.get("webhook-signature", "").encode("utf-8", "replace").split()[:10]
    matches = [hmac.compare_digest(one, other) for one in wanted for other in offered]
    if not any(matches):
        raise Refused("the signature is wrong")
    if len(moment) > 12 or abs(clock.now().timestamp() - int(moment)) > TOLERANCE_SECONDS:
        raise Refused("the post is too old")
    return given


def read_events(body: bytes, *, delivery_of: Callable[[str], int | None]) -> list[Report]:
    """The reports in a post. Raises ValueError, saying which event is wrong and why."""
    try:
        given: Any = json.loads(body)
    except RecursionError:
        raise ValueError("The post is nested too deeply.") from None
    listed = given.get("events", [given]) if isinstance(given, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_EVENTS:
        raise ValueError(f"The post must be an event, or hold 1 to {MOST_EVENTS} of them under “events”.")
    return [_event(one, number, delivery_of) for number, one in enumerate(listed, 1)]


def _event(given: Any, number: int, delivery_of: Callable[[str], int | None]) -> Report:
    if not isinstance(given, dict):
        raise ValueError(f"Event {number} is no object.")
    kind, path = given.get("type"), given.get("return_path")
    status, text, code = str(given.get("status") or ""), str(given.get("text") or "")[:300], given.get("code")
    if kind == "bounce":
        found = judge(status, text, code=code if isinstance(code, int) else None)
    elif isinstance(kind, str) and kind in _KINDS:
        found = _KINDS[kind]
    else:
        raise ValueError(f"Event {number} has no known type: bounce, complaint, delivered or unsubscribe.")
    named = delivery_of(path) if isinstance(path, str) else None
    return Report(found, delivery_id=named, recipient=str(given.get("recipient") or ""), status=status[:20], text=text)
