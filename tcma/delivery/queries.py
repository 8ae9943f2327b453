"""Reads of deliveries and their totals, scoped to the session's tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tcma.access import Actor
from tcma.audience import queries as audience_queries
from tcma.audience.models import Contact
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.delivery.models import Classification, Delivery, Event, LaunchTotals, LaunchTouch, TestMail
from tcma.delivery.states import DeliveryStatus, EventClass, EventKind
from tcma.errors import NotFound

CLASSIFICATION_VERSION = 1
COUNTED_AT_ONCE = 5000
"""Launches of more deliveries are not counted on pages and with each return: their totals are, every minute or so."""
OVER = (LaunchStatus.FINISHED, LaunchStatus.CANCELLED)


@dataclass(frozen=True)
class Totals:
    """The accounting of a launch: `planned` is always the sum of the seven states."""

    planned: int = 0
    pending: int = 0
    sending: int = 0
    sent: int = 0
    failed: int = 0
    suppressed: int = 0
    skipped: int = 0
    unknown: int = 0

    @property
    def settled(self) -> int:
        return self.planned - self.pending - self.sending

    @property
    def holds(self) -> bool:
        """The accounting identity of DESIGN section 6."""
        states = (
            self.pending,
            self.sending,
            self.sent,
            self.failed,
            self.suppressed,
            self.skipped,
            self.unknown,
        )
        return self.planned == sum(states)

    def as_dict(self) -> dict[str, int]:
        return {"planned": self.planned, **{str(status): getattr(self, status) for status in DeliveryStatus}}


def totals(session: Session, launch_id: UUID) -> Totals:
    """Counted from the partner's own delivery rows."""
    statement = select(Delivery.status, func.count()).where(Delivery.launch_id == launch_id).group_by(Delivery.status)
    counts = {row[0]: row[1] for row in session.execute(statement)}
    return Totals(planned=sum(counts.values()), **{str(status): counts.get(status, 0) for status in DeliveryStatus})


def shown_totals(session: Session, actor: Actor, launch: Launch) -> Totals:
    """Totals as the actor may see them: a partner's from the rows, a vendor's from the shared counts."""
    return own_totals(session, launch) if actor.organization_id == launch.partner_id else kept_totals(session, launch)


def own_totals(session: Session, launch: Launch) -> Totals:
    """A partner's totals from the rows; of a large launch that is over from the shared counts, which then stay true."""
    if launch.status in OVER:
        kept = kept_totals(session, launch)
        if kept.planned > COUNTED_AT_ONCE:
            return kept
    return totals(session, launch.id)


def kept_totals(session: Session, launch: Launch) -> Totals:
    """The shared counts: whoever changes deliveries has them counted anew, at once or by a sweep."""
    rows = session.scalars(select(LaunchTotals).where(LaunchTotals.launch_id == launch.id))
    summed = dict.fromkeys(("planned", *map(str, DeliveryStatus)), 0)
    for row in rows:
        for name in summed:
            summed[name] += getattr(row, name)
    return Totals(**summed)


def counted_at(session: Session, launch_id: UUID) -> datetime | None:
    """When the shared counts of a launch were made."""
    return session.scalar(select(func.max(LaunchTotals.counted_at)).where(LaunchTotals.launch_id == launch_id))


def results(session: Session, launch_ids: list[UUID]) -> dict[UUID, dict[str, int]]:
    """What came back, by launch, from the shared counts: opened, clicks, clickers, machine_clicks, unsubscribed…"""
    names = (
        "planned",
        "sent",
        "opened",
        "clicks",
        "clickers",
        "machine_clicks",
        "unsubscribed",
        "bounced",
        "complained",
    )
    statement = (
        select(LaunchTotals.launch_id, *(func.sum(getattr(LaunchTotals, name)) for name in names))
        .where(LaunchTotals.launch_id.in_(launch_ids))
        .group_by(LaunchTotals.launch_id)
    )
    return {
        row[0]: {name: int(value or 0) for name, value in zip(names, row[1:], strict=True)}
        for row in session.execute(statement)
    }


def launch_counts(session: Session, actor: Actor) -> dict[LaunchStatus, int]:
    """How many launches of the actor's organization are in each state."""
    mine = Launch.partner_id if actor.is_partner else Launch.vendor_id
    statement = select(Launch.status, func.count()).where(mine == actor.organization_id).group_by(Launch.status)
    return {row[0]: row[1] for row in session.execute(statement)}


def list_deliveries(
    session: Session, actor: Actor, launch_id: UUID, *, status: DeliveryStatus | None = None, search: str = "",
    after: int = 0, limit: int = 50,
) -> list[Delivery]:  # fmt: skip
    """The launch's deliveries by id; the partner's eyes only."""
    launch = campaign_queries.get_launch(session, actor, launch_id)
    if launch.partner_id != actor.organization_id:
        raise NotFound()
    # The partner is named though the policies ask for it: of a value the database knows how many rows have it.
    statement = select(Delivery).where(
        Delivery.launch_id == launch_id, Delivery.partner_id == launch.partner_id, Delivery.id > after
    )
    if status is not None:
        statement = statement.where(Delivery.status == status)
    wanted = search.replace("\0", "").strip().lower()
    if wanted:
        # Addresses are searched among contacts, who have an index for it; an erased one is found in neither.
        people = select(Contact.id).where(
            Contact.partner_id == launch.partner_id, audience_queries.prefix(Contact.lower_email, wanted)
        )
        statement = statement.where(Delivery.contact_id.in_(people))
    return list(session.scalars(statement.order_by(Delivery.id).limit(limit)))


def get_delivery(session: Session, actor: Actor, launch_id: UUID, delivery_id: int) -> Delivery:
    found = session.scalar(
        select(Delivery).where(
            Delivery.launch_id == launch_id,
            Delivery.id == delivery_id,
            Delivery.partner_id == actor.organization_id,
        )
    )
    if found is None:
        raise NotFound()
    return found


def find_delivery(session: Session, delivery_id: int) -> Delivery | None:
    """By id alone, for a public token: call it elevated."""
    return session.scalar(select(Delivery).where(Delivery.id == delivery_id))


def events_of(session: Session, delivery_id: int) -> list[tuple[Event, EventClass]]:
    """What came back on one delivery, oldest first, each with its present class."""
    statement = (
        select(Event, func.coalesce(Classification.verdict, EventClass.UNKNOWN))
        .outerjoin(
            Classification,
            (Classification.event_id == Event.id) & (Classification.version == CLASSIFICATION_VERSION),
        )
        .where(Event.delivery_id == delivery_id)
        .order_by(Event.at, Event.id)
    )
    return [(row[0], EventClass(row[1])) for row in session.execute(statement)]


def launch_touches(session: Session, launch_id: UUID) -> list[LaunchTouch]:
    return list(
        session.scalars(select(LaunchTouch).where(LaunchTouch.launch_id == launch_id).order_by(LaunchTouch.position))
    )


def test_mails(session: Session, actor: Actor, launch_id: UUID) -> list[TestMail]:
    statement = (
        select(TestMail)
        .where(TestMail.launch_id == launch_id, TestMail.partner_id == actor.organization_id)
        .order_by(TestMail.id.desc())
        .limit(10)
    )
    return list(session.scalars(statement))


def delivery_figures(session: Session, launch_id: UUID, *, cut: int | None = None) -> dict[str, Any]:
    """What a statement seals: counts of deliveries, and of people's clicks up to the loader batch `cut`.

    Human unique clicks are contacts with at least one click that the present rules call human. Opens never count.
    """
    counts = totals(session, launch_id)
    events = select(Event).where(Event.launch_id == launch_id)
    if cut is not None:
        events = events.where(Event.batch_id <= cut)
    rows = events.subquery()
    verdicts = (
        select(rows.c.kind, Classification.verdict, func.count(), func.count(rows.c.contact_id.distinct()))
        .join(
            Classification,
            (Classification.event_id == rows.c.id) & (Classification.version == CLASSIFICATION_VERSION),
            isouter=True,
        )
        .group_by(rows.c.kind, Classification.verdict)
    )
    figures: dict[str, Any] = {"deliveries": counts.as_dict(), "clicks": {}, "people": 0, "events": {}}
    for kind, verdict, number, people in session.execute(verdicts):
        key = str(verdict or EventClass.UNKNOWN)
        if EventKind(str(kind)) is EventKind.CLICK:
            figures["clicks"][key] = figures["clicks"].get(key, 0) + number
            if key == EventClass.HUMAN:
                figures["people"] = people
        else:
            figures["events"][str(kind)] = figures["events"].get(str(kind), 0) + number
    span = session.execute(
        select(func.min(Delivery.settled_at), func.max(Delivery.settled_at)).where(
            Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENT
        )
    ).one()
    figures["first_sent_at"], figures["last_sent_at"] = (one.isoformat() if one else None for one in span)
    return figures
