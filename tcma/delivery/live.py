"""How a launch goes at this moment: what is done, how fast, what waits and until when, and why not all got it.

The live page asks every two seconds, and a launch may have a million rows. So a process counts a launch at most every
few seconds, and more rarely the longer a count takes; between counts everybody sees the last one.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.delivery import pacing, queries
from tcma.delivery.lately import lately
from tcma.delivery.models import Delivery, LaunchTotals
from tcma.delivery.models_pacing import ProviderBreaker
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tcma.delivery.windows import Window

FRESH = timedelta(seconds=3)
COST_SHARE = 20
"""A count that takes a second is repeated after that many seconds."""
RATE_OVER = timedelta(seconds=20)
OLDEST_START = timedelta(minutes=2)
MAX_WAITS = 1000
_REMEMBERED = 500
_TOLD = (DeliveryStatus.FAILED, DeliveryStatus.SUPPRESSED, DeliveryStatus.SKIPPED, DeliveryStatus.UNKNOWN)


class Why(StrEnum):
    """What a pending delivery waits for."""

    HOURS = "hours"
    DOMAIN = "domain"
    SENDER = "sender"
    AGAIN = "again"
    PROVIDER = "provider"
    TURN = "turn"


@dataclass(frozen=True, slots=True)
class Wait:
    """`count` deliveries wait; the first is due at `since`, the last at `until`. `subject`: the domain, if one limits."""

    why: Why
    count: int
    since: datetime
    until: datetime
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One count of a launch. `rate` is deliveries settled a second, None where nothing tells it yet."""

    at: datetime
    totals: Totals
    rate: float | None = None
    reasons: list[tuple[DeliveryStatus, str, int]] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        return self.totals.pending + self.totals.sending

    @property
    def left(self) -> timedelta | None:
        """Until all has left: what is due at this rate, and what waits once its time has come. None: nobody knows."""
        due = self.remaining - sum(one.count for one in self.waits)
        if (due > 0 and not self.rate) or any(one.why is Why.PROVIDER for one in self.waits):
            return None
        ends = [one.until - self.at for one in self.waits]
        if due > 0 and self.rate:
            ends.append(timedelta(seconds=due / self.rate))
        return max(ends, default=None)


@dataclass(slots=True)
class _Kept:
    """The last look at one launch, until when it counts as fresh, and (when, settled) of looks before it."""

    look: Look
    status: LaunchStatus
    until: datetime
    before: deque[tuple[datetime, int]]


_kept: OrderedDict[UUID, _Kept] = OrderedDict()
_lock = threading.Lock()


def look(session: Session, launch: Launch) -> Look:
    """How the partner's own launch goes. While it moves, the answer may be a few seconds old."""
    now = clock.now()
    if launch.status is not LaunchStatus.SENDING:
        return Look(now, queries.own_totals(session, launch), reasons=_reasons_at_rest(session, launch),
                    waits=waits(session, launch, now=now) if launch.status is LaunchStatus.PAUSED else [])  # fmt: skip
    with _lock:
        kept = _kept.get(launch.id)
        if kept is not None and kept.status is launch.status and kept.look.at <= now < kept.until:
            return kept.look
    began = time.monotonic()
    counted = queries.totals(session, launch.id)
    before = kept.before if kept is not None else deque([_start(session, launch.id)], maxlen=12)
    seen = Look(now, counted, _rate(before, now, counted.settled), _reasons(session, launch), waits(session, launch, now=now))
    until = now + max(FRESH, COST_SHARE * timedelta(seconds=time.monotonic() - began))
    with _lock:
        _kept[launch.id] = _Kept(seen, launch.status, until, deque([*before, (now, counted.settled)], maxlen=12))
        _kept.move_to_end(launch.id)
        while len(_kept) > _REMEMBERED:
            _kept.popitem(last=False)
    return seen


def _start(session: Session, launch_id: UUID) -> tuple[datetime, int]:
    """What the shared totals said last, for a first look to compare with."""
    row = session.execute(
        select(
            func.max(LaunchTotals.counted_at),
            func.sum(LaunchTotals.planned - LaunchTotals.pending - LaunchTotals.sending),
        ).where(LaunchTotals.launch_id == launch_id)
    ).one()
    return row[0] or clock.now(), int(row[1] or 0)


def _rate(before: deque[tuple[datetime, int]], now: datetime, settled: int) -> float | None:
    """Settled a second since the earliest look of the last seconds; a first look may go back further."""
    recent = [one for one in before if now - one[0] <= RATE_OVER] or list(before)[-1:]
    if not recent:
        return None
    at, was = recent[0]
    seconds = (now - at).total_seconds()
    if seconds < 1 or now - at > OLDEST_START or settled < was:
        return None
    return (settled - was) / seconds


def _reasons(session: Session, launch: Launch) -> list[tuple[DeliveryStatus, str, int]]:
    """(status, reason, how many) of what did not get mail, most first; pending and sent rows are not touched."""
    statement = (
        select(Delivery.status, func.coalesce(Delivery.reason, ""), func.count())
        .where(
            Delivery.launch_id == launch.id, Delivery.partner_id == launch.partner_id, Delivery.status.in_(_TOLD)
        )
        .group_by(Delivery.status, Delivery.reason)
        .order_by(func.count().desc(), Delivery.reason)
    )
    return [(row[0], row[1], row[2]) for row in session.execute(statement)]


def _reasons_at_rest(session: Session, launch: Launch) -> list[tuple[DeliveryStatus, str, int]]:
    """The reasons of a launch that does not move: the same until its totals are counted anew."""
    key = ("reasons", session.info.get("tcma_org"), launch.id, launch.status, queries.counted_at(session, launch.id))
    return lately(key, lambda: _reasons(session, launch))


# -- what waits ----------------------------------------------------------------------------------------


def waits(session: Session, launch: Launch, *, now: datetime) -> list[Wait]:
    """Pending deliveries that are not due yet, by why, as far as their rows tell; the largest groups first.

    What waits for a window is due on the stroke of a minute, at which it opens; what a resting provider gave back is
    due when the rest ends; what was refused for now has a reason; of the rest the domain tells whether a limit holds it.
    """
    conf, breaker = settings(), resting(session)
    later = and_(Delivery.launch_id == launch.id, Delivery.status == DeliveryStatus.PENDING, Delivery.due_at > now)
    on_the_minute = and_(Delivery.due_at == func.date_trunc("minute", Delivery.due_at), Delivery.attempts == 0)
    kinds: list[tuple[ColumnElement[bool], str]] = [(Delivery.reason.is_not(None), str(Why.AGAIN))]
    if Window.from_json(launch.pace) is not None:
        kinds.insert(0, (on_the_minute, str(Why.HOURS)))
    if breaker is not None:
        kinds.insert(0, (Delivery.due_at == breaker.open_until, str(Why.PROVIDER)))
    domain = func.lower(func.split_part(Delivery.address, "@", 2))
    if conf.domain_limits.get("*"):
        kinds.append((domain.not_in([one for one, limit in conf.domain_limits.items() if not limit]), str(Why.DOMAIN)))
    elif conf.domain_limits:
        kinds.append((domain.in_([one for one, limit in conf.domain_limits.items() if limit]), str(Why.DOMAIN)))
    kind = case(*kinds, else_=str(Why.SENDER if conf.sender_limit else Why.TURN))
    rows = (
        select(kind.label("kind"), case((kind == str(Why.DOMAIN), domain), else_="").label("subject"), Delivery.due_at)
        .where(later)
        .subquery()
    )  # fmt: skip
    statement = (
        select(rows.c.kind, rows.c.subject, func.count(), func.min(rows.c.due_at), func.max(rows.c.due_at))
        .group_by(rows.c.kind, rows.c.subject)
        .order_by(func.count().desc(), rows.c.subject)
        .limit(MAX_WAITS)
    )
    return [
        Wait(Why(row[0]), row[2], row[3], row[4], row[1])
        for row in session.execute(statement)
    ]


def resting(session: Session) -> ProviderBreaker | None:
    """The provider's breaker while it is open: until when nothing is tried, and what the provider said."""
    name = pacing.provider_name()
    if pacing.shut_until(session, name) is None:
        return None
    return session.get(ProviderBreaker, name)
