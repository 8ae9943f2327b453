"""States of deliveries, kinds of events and classes of events.

Deliveries move in bulk, each move with `WHERE status = …`; see DESIGN section 3, States.
"""

from __future__ import annotations

from enum import StrEnum


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


DELIVERY_MOVES = {
    DeliveryStatus.PENDING: frozenset({DeliveryStatus.SENDING, DeliveryStatus.SUPPRESSED, DeliveryStatus.SKIPPED}),
    DeliveryStatus.SENDING: frozenset(
        {
            DeliveryStatus.SENT,
            DeliveryStatus.FAILED,
            DeliveryStatus.UNKNOWN,
            DeliveryStatus.PENDING,
            DeliveryStatus.SUPPRESSED,
        }
    ),
    DeliveryStatus.UNKNOWN: frozenset({DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.PENDING}),
    DeliveryStatus.FAILED: frozenset({DeliveryStatus.PENDING}),
    DeliveryStatus.SENT: frozenset(),
    DeliveryStatus.SUPPRESSED: frozenset(),
    DeliveryStatus.SKIPPED: frozenset(),
}


class EventKind(StrEnum):
    OPEN = "open"
    CLICK = "click"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    LANDING_VIEW = "landing_view"
    FORM_ANSWER = "form_answer"


class EventClass(StrEnum):
    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


class AlarmKind(StrEnum):
    """Why the service pauses a launch by itself."""

    BOUNCES = "bounces"
    COMPLAINTS = "complaints"
    ABOUT_US = "about_us"
