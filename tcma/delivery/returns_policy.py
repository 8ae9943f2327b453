"""What follows from one report on one delivery: the event, the verdict on an unknown one, and who is left alone.

A hard bounce suppresses at the partner. So does the third soft one within 30 days, for 30 days. A complaint suppresses
at the partner and at the vendor, for good. What is about us suppresses nobody (`returns_health` pauses the launch).
Each act can be repeated: an event is unique by delivery, kind and the moment at which the mail left.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind
from tcma.audience import queries as audience_queries
from tcma.audience import services as audience_services
from tcma.audience.states import SuppressionReason, SuppressionScope
from tcma.campaigns.models import Launch
from tcma.db import bind, elevated
from tcma.delivery import queries, tracking
from tcma.delivery.bounces import BOUNCES, Report, ReportKind, plain
from tcma.delivery.models import Delivery, Event
from tcma.delivery.returns_unknown import settle_unknown, touch
from tcma.delivery.states import DeliveryStatus, EventKind
from tcma.delivery.tracking import Visit
from tcma.errors import Invalid

SOFT_LIMIT = 3
SOFT_WINDOW = timedelta(days=30)
SOFT_PAUSE = timedelta(days=30)

UNMATCHED, TEST = "unmatched", "test"


class NotYet(Exception):
    """The delivery is being handed over right now: the report is true, and read again once that is recorded."""


def apply(session: Session, report: Report, *, source: str) -> str:
    """Act on one report, in the present transaction; what came of it, in one word. A repeat changes nothing.

    Raises NotYet for a delivery without a verdict of its own, for a report of its arrival may have to settle it.
    """
    if report.kind in (ReportKind.NOTHING, ReportKind.DELAYED):
        return str(report.kind)
    if report.delivery_id == 0:
        return TEST
    found = _find(session, report)
    if found is None:
        return UNMATCHED
    delivery, launch = found
    if report.kind is ReportKind.DELIVERED and delivery.status is DeliveryStatus.SENDING:
        raise NotYet(f"Delivery {delivery.id} is being handed over.")
    actor = Actor.system(launch.partner_id, Kind.PARTNER)
    bind(session, actor)
    settle_unknown(session, [delivery.id], *_proof(report), answer=plain(report.text) or f"Known by: {report.kind}.")
    if report.kind in BOUNCES:
        _bounced(session, actor, delivery, launch, report, source=source)
    elif report.kind is ReportKind.COMPLAINT:
        _complained(session, actor, delivery, launch, report, source=source)
    elif report.kind is ReportKind.UNSUBSCRIBE:
        tracking.unsubscribe_delivery(session, delivery, launch, Visit("", plain(report.text), source.upper()), source=f"by {source}")
    touch(session, launch)
    session.flush()
    bind(session, None)
    return str(report.kind)


def _proof(report: Report) -> tuple[DeliveryStatus, str | None]:
    """What a report proves of a delivery of which nothing was known: (status, reason)."""
    if report.kind in BOUNCES:
        return DeliveryStatus.FAILED, plain(report.status, limit=20) or "bounced"
    return DeliveryStatus.SENT, None


def _find(session: Session, report: Report) -> tuple[Delivery, Launch] | None:
    """The delivery, locked, and its launch; None where there is none or the report is not believed."""
    if report.delivery_id is None:
        return None
    with elevated(session, "a bounce names its delivery"):
        delivery = queries.find_delivery(session, report.delivery_id)
        launch = session.get(Launch, delivery.launch_id) if delivery else None
    if delivery is None or launch is None:
        return None
    if not report.proven:
        try:
            named = audience_services.key_of(report.recipient)
        except Invalid:
            return None
        if named != delivery.email_key:
            return None
    return delivery, launch


def _record(session: Session, delivery: Delivery, kind: EventKind, report: Report, *, source: str) -> bool:
    """Store the event of a report; False where it is stored already.

    A delivery that was sent again may bounce again, so the moment at which it left belongs to the key.
    """
    left: datetime = delivery.settled_at or delivery.planned_at
    detail: dict[str, Any] = {"kind": str(report.kind), "text": plain(report.text), "by": source}
    detail["status"] = plain(report.status, limit=20)
    return tracking.record(
        session, delivery, kind, Visit("", "", ""), source="return", detail=detail,
        source_key=f"{delivery.id}:{kind}:{report.kind}:{left.timestamp():.0f}",
    )  # fmt: skip


def _bounced(
    session: Session, actor: Actor, delivery: Delivery, launch: Launch, report: Report, *, source: str
) -> None:
    if not _record(session, delivery, EventKind.BOUNCE, report, source=source):
        return
    why = f"{report.kind} bounce {plain(report.status, limit=20)}".strip() + f", delivery {delivery.id}, by {source}"
    if report.kind is ReportKind.HARD:
        reason = SuppressionReason.COMPLAINED if report.listed else SuppressionReason.BOUNCED
        audience_services.suppress(
            session, actor, partner_id=launch.partner_id, email_key=delivery.email_key, reason=reason, source=why
        )
    elif report.kind is ReportKind.SOFT and soft_bounces(session, delivery) >= SOFT_LIMIT:
        until = clock.now() + SOFT_PAUSE
        held = audience_queries.suppression_of(session, launch.partner_id, delivery.email_key)
        if held is None or (held.until is not None and held.until < until):
            audience_services.suppress(
                session, actor, partner_id=launch.partner_id, email_key=delivery.email_key,
                reason=SuppressionReason.BOUNCED, source=f"{SOFT_LIMIT} in 30 days: {why}", until=until,
            )  # fmt: skip


def soft_bounces(session: Session, delivery: Delivery) -> int:
    """How many of the partner's mails to this address came back softly within SOFT_WINDOW."""
    statement = (
        select(func.count(Event.delivery_id.distinct()))
        .join(Delivery, (Delivery.id == Event.delivery_id) & (Delivery.partner_id == Event.partner_id))
        .where(
            Delivery.partner_id == delivery.partner_id, Delivery.email_key == delivery.email_key,
            Event.kind == EventKind.BOUNCE, Event.at > clock.now() - SOFT_WINDOW,
            Event.detail["kind"].astext == str(ReportKind.SOFT),
        )
    )  # fmt: skip
    return session.scalar(statement) or 0


def _complained(
    session: Session, actor: Actor, delivery: Delivery, launch: Launch, report: Report, *, source: str
) -> None:
    if not _record(session, delivery, EventKind.COMPLAINT, report, source=source):
        return
    why = f"complaint, delivery {delivery.id}, by {source}"
    audience_services.suppress(
        session, actor, partner_id=launch.partner_id, email_key=delivery.email_key,
        reason=SuppressionReason.COMPLAINED, source=why,
    )  # fmt: skip
    vendor = Actor.system(launch.vendor_id, Kind.VENDOR)
    bind(session, vendor)
    audience_services.suppress(
        session, vendor, partner_id=None, vendor_id=launch.vendor_id, scope=SuppressionScope.VENDOR,
        email_key=delivery.email_key, reason=SuppressionReason.COMPLAINED, source="complaint about a partner's mail",
    )  # fmt: skip
    session.flush()
    bind(session, actor)
