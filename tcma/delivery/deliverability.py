"""How well a partner's mail arrives, by sender, receiving domain and day: rolled up by a sweep, read by one page.

The roll-up of a launch is made anew from its rows whenever its totals were counted since; of each launch only the
largest domains stand by name, so that the page reads a bounded number of rows however many were mailed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Date, String, case, cast, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind, Permission
from tcma.campaigns.models import Launch
from tcma.config import settings
from tcma.db import elevated, unit_of_work
from tcma.delivery.models import Delivery, Event, LaunchTotals
from tcma.delivery.models_returns import DomainCount, DomainDay
from tcma.delivery.states import DeliveryStatus, EventKind

NAMED_DOMAINS = 50
LARGE = 50_000
LARGE_EVERY = timedelta(minutes=5)
LAUNCHES_AT_A_TIME = 50
_TRIED = (DeliveryStatus.SENT, DeliveryStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Figures:
    """`sent` were taken by the mail server, of which `bounced` came back later; `failed` were refused at once."""

    name: str
    sent: int
    failed: int
    bounced: int
    complained: int

    @property
    def tried(self) -> int:
        return self.sent + self.failed

    @property
    def delivered(self) -> int:
        return self.sent - self.bounced

    @property
    def came_back(self) -> int:
        return self.failed + self.bounced


@dataclass(frozen=True, slots=True)
class Deliverability:
    """Figures of one sender (or all) over some days: the whole, by day without gaps, by domain, largest first."""

    whole: Figures
    days: list[Figures]
    domains: list[Figures]
    senders: list[str]


def roll_up() -> int:
    """Make anew what has changed; how many launches. Opens units of work of its own."""
    with unit_of_work(None) as session, elevated(session, "a sweep rolls up launches of every tenant"):
        due: list[tuple[UUID, UUID]] = [(row[0], row[1]) for row in session.execute(_due())]
    for partner_id, launch_id in due:
        with unit_of_work(Actor.system(partner_id, Kind.PARTNER)) as session:
            launch = session.get(Launch, launch_id)
            if launch is not None:
                count_launch(session, launch)
    return len(due)


def _due() -> Any:
    """Launches counted since they were rolled up; large ones not more often than LARGE_EVERY."""
    totals = (
        select(
            LaunchTotals.partner_id, LaunchTotals.launch_id, func.max(LaunchTotals.counted_at).label("counted_at"),
            func.sum(LaunchTotals.planned).label("planned"),
        )
        .group_by(LaunchTotals.partner_id, LaunchTotals.launch_id)
        .subquery()
    )  # fmt: skip
    return (
        select(totals.c.partner_id, totals.c.launch_id)
        .outerjoin(DomainCount, DomainCount.launch_id == totals.c.launch_id)
        .where(
            or_(
                DomainCount.counted_at.is_(None),
                (DomainCount.counted_at != totals.c.counted_at)
                & ((totals.c.planned <= LARGE) | (DomainCount.counted_at < clock.now() - LARGE_EVERY)),
            )
        )
        .order_by(DomainCount.counted_at.nulls_first())
        .limit(LAUNCHES_AT_A_TIME)
    )


def count_launch(session: Session, launch: Launch) -> None:
    """Roll up one launch anew, in the present transaction."""
    # Read before the rows, and compared for being another: whatever is counted from here on has it made again.
    counted_at = session.scalar(
        select(func.max(LaunchTotals.counted_at)).where(LaunchTotals.launch_id == launch.id)
    ) or clock.now()
    domain = func.lower(func.split_part(Delivery.address, "@", 2))
    mine = (Delivery.launch_id == launch.id, Delivery.status.in_(_TRIED), Delivery.settled_at.is_not(None))
    largest: Sequence[str] = session.scalars(
        select(domain).where(*mine, domain != "").group_by(domain).order_by(func.count().desc(), domain).limit(NAMED_DOMAINS)
    ).all()
    shown = case((domain.in_(largest), domain), else_=literal("", String())) if largest else literal("", String())
    day = cast(func.timezone("UTC", Delivery.settled_at), Date)
    bounced, complained = (_with_event(launch.id, kind) for kind in (EventKind.BOUNCE, EventKind.COMPLAINT))
    sent = Delivery.status == DeliveryStatus.SENT
    rows = session.execute(
        select(
            day.label("day"), shown.label("domain"), func.count().filter(sent).label("sent"),
            func.count().filter(~sent).label("failed"),
            func.count().filter(sent, bounced.c.delivery_id.is_not(None)).label("bounced"),
            func.count().filter(complained.c.delivery_id.is_not(None)).label("complained"),
        )
        .select_from(Delivery)
        .outerjoin(bounced, bounced.c.delivery_id == Delivery.id)
        .outerjoin(complained, complained.c.delivery_id == Delivery.id)
        .where(*mine)
        .group_by("day", "domain")
    ).mappings()  # fmt: skip
    keys = {"launch_id": launch.id, "partner_id": launch.partner_id, "sender": sender_of(launch)}
    found = [{**row, **keys} for row in rows]
    session.execute(delete(DomainDay).where(DomainDay.launch_id == launch.id))
    if found:
        session.execute(insert(DomainDay), found)
    statement = insert(DomainCount).values(launch_id=launch.id, partner_id=launch.partner_id, counted_at=counted_at)
    session.execute(
        statement.on_conflict_do_update(index_elements=["launch_id"], set_={"counted_at": statement.excluded.counted_at})
    )


def _with_event(launch_id: UUID, kind: EventKind) -> Any:
    return (
        select(Event.delivery_id)
        .where(Event.launch_id == launch_id, Event.kind == kind, Event.delivery_id.is_not(None))
        .distinct()
        .subquery()
    )


def sender_of(launch: Launch) -> str:
    """The address that a launch's mails are from."""
    return str((launch.sender or {}).get("from_address") or settings().platform_sender)


def read(session: Session, actor: Actor, *, sender: str = "", days: int = 30, limit: int = 100) -> Deliverability:
    """The partner's figures of the last `days`, of one sender or of all."""
    actor.require(Permission.LAUNCH_READ)
    actor.require_kind(Kind.PARTNER)
    today = clock.today()
    since = today - timedelta(days=days - 1)
    mine = [DomainDay.partner_id == actor.organization_id, DomainDay.day >= since]
    senders = list(session.scalars(select(DomainDay.sender).where(*mine).distinct().order_by(DomainDay.sender)))
    if sender:
        mine.append(DomainDay.sender == sender)
    sums = [func.sum(getattr(DomainDay, name)) for name in ("sent", "failed", "bounced", "complained")]
    by_day = {row[0]: row[1:] for row in session.execute(select(DomainDay.day, *sums).where(*mine).group_by(DomainDay.day))}
    by_domain = session.execute(
        select(DomainDay.domain, *sums)
        .where(*mine)
        .group_by(DomainDay.domain)
        .order_by((DomainDay.domain == "").asc(), (sums[0] + sums[1]).desc(), DomainDay.domain)
        .limit(limit)
    ).all()
    every_day = [_figures(_iso(since, n), by_day.get(since + timedelta(days=n), ())) for n in range(days)]
    whole = _figures("", [sum(row[place] for row in by_day.values()) for place in range(4)])
    return Deliverability(whole, every_day, [_figures(row[0], row[1:]) for row in by_domain], senders)


def _iso(since: date, number: int) -> str:
    return (since + timedelta(days=number)).isoformat()


def _figures(name: str, row: Sequence[Any]) -> Figures:
    sent, failed, bounced, complained = (int(one or 0) for one in row) if row else (0, 0, 0, 0)
    return Figures(name, sent, failed, bounced, complained)
