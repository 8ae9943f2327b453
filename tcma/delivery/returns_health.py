"""Launches that do harm are paused by the service itself, and the people concerned are told what to do.

Paused is a sending launch when one of these holds for what came of it since the last pause of the same kind:
- more than 5 % of the people tried bounced (hard or soft), with at least 20 tried and 3 bounced: below that a single
  wrong address would stop a small launch;
- more than 0.1 % complained, with at least 20 tried and 2 complaints: one person's slip is no verdict;
- a receiver refused the mail because of us (5.7.x): the first time at once, for all that follows would be refused too;
  after somebody resumed, as for bounces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tcma import clock, mail
from tcma.access import Actor, Kind, Role
from tcma.accounts import queries as account_queries
from tcma.accounts.models import Organization
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.db import bind, elevated, unit_of_work
from tcma.delivery import bounces, planning, returns_policy
from tcma.delivery.bounces import Report, ReportKind
from tcma.delivery.models import Delivery, Event, LaunchTotals
from tcma.delivery.models_returns import LaunchAlarm, TouchedLaunch
from tcma.delivery.returns_unknown import settle_by_events, touch
from tcma.delivery.states import AlarmKind, DeliveryStatus, EventKind

log = structlog.get_logger(__name__)

LEAST_TRIED = 20
LEAST = {AlarmKind.BOUNCES: 3, AlarmKind.COMPLAINTS: 2, AlarmKind.ABOUT_US: 3}
SHARE = {AlarmKind.BOUNCES: 0.05, AlarmKind.COMPLAINTS: 0.001, AlarmKind.ABOUT_US: 0.05}
LARGE = 50_000
RECOUNT_LARGE_EVERY = timedelta(seconds=30)
LOOK_BACK = timedelta(hours=1)
REFUSALS_AT_A_TIME = 500

WORDS = {
    AlarmKind.BOUNCES: (
        "Many mails came back: {percent} of those tried, and the limit is 5 %.",
        "Look at who bounced, and ask where the list comes from. Take old addresses out, then resume. "
        "Addresses that do not exist are left out by themselves from now on.",
    ),
    AlarmKind.COMPLAINTS: (
        "People reported the mail as spam: {percent} of those tried, and the limit is 0.1 %.",
        "Ask whether these people agreed to hear from you. Send only to those who did, then resume. "
        "Whoever complained gets no mail any more.",
    ),
    AlarmKind.ABOUT_US: (
        "Mail servers refuse the mail because of its sender, not because of the people: {detail}",
        "Check the domain of the sender (SPF, DKIM, DMARC) and what the answer says, then resume. "
        "If the sender is the platform's, tell its operator. Nobody was suppressed for this.",
    ),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why a launch must stop: `counted` of `tried`."""

    kind: AlarmKind
    counted: int
    tried: int
    detail: str = ""

    @property
    def words(self) -> tuple[str, str]:
        """(what happened, how to mend it)"""
        what, mend = WORDS[self.kind]
        return what.format(percent=self.percent, detail=self.detail or "no reason given"), mend

    @property
    def percent(self) -> str:
        return f"{100 * self.counted / max(1, self.tried):.1f} %"


def alarm_words(row: LaunchAlarm) -> tuple[str, str]:
    """What a stored alarm says, and how to mend it."""
    return Alarm(row.kind, row.counted, row.attempted, row.detail).words


def recount() -> int:
    """Count anew and check each launch to which something came back; how many. Opens units of work of its own."""
    with unit_of_work(None) as session, elevated(session, "a sweep finds launches to which something came back"):
        touched = session.execute(select(TouchedLaunch.partner_id, TouchedLaunch.launch_id).limit(1000)).all()
    return sum(_recount_or_say(partner_id, launch_id) for partner_id, launch_id in touched)


def _recount_or_say(partner_id: UUID, launch_id: UUID) -> bool:
    try:
        return _recount(partner_id, launch_id)
    except SQLAlchemyError:
        # It stays touched and comes again; the other launches must not wait for it.
        log.exception("launch_not_recounted", launch=str(launch_id))
        return False


def _recount(partner_id: UUID, launch_id: UUID) -> bool:
    actor = Actor.system(partner_id, Kind.PARTNER)
    with unit_of_work(actor) as session:
        if _counted_just_now(session, launch_id):
            return False
        launch = session.scalar(
            select(Launch)
            .where(Launch.id == launch_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        gone = session.scalar(
            delete(TouchedLaunch).where(TouchedLaunch.launch_id == launch_id).returning(TouchedLaunch.launch_id)
        )
        if launch is None or gone is None:
            return False
        planning.count_totals(session, launch)
        if launch.status is LaunchStatus.SENDING:
            alarm = find_alarm(session, launch)
            if alarm is not None:
                pause(session, actor, launch, alarm)
    return True


def _counted_just_now(session: Session, launch_id: UUID) -> bool:
    """A large launch is not counted with each return, for that reads all its rows; it stays touched."""
    row = session.execute(
        select(func.sum(LaunchTotals.planned), func.max(LaunchTotals.counted_at)).where(
            LaunchTotals.launch_id == launch_id
        )
    ).one()
    return bool(row[0] and row[0] > LARGE and row[1] > clock.now() - RECOUNT_LARGE_EVERY)


def find_alarm(session: Session, launch: Launch) -> Alarm | None:
    """Why this launch must stop now, or None."""
    tried = _tried(session, launch.id)
    counted = _counted(session, launch.id)
    before = {row.kind: row for row in session.scalars(_alarms(launch.id))}
    for kind in (AlarmKind.ABOUT_US, AlarmKind.COMPLAINTS, AlarmKind.BOUNCES):
        known = before.get(kind)
        fresh = counted[kind] - (known.counted if known else 0)
        since = tried - (known.attempted if known else 0)
        at_once = kind is AlarmKind.ABOUT_US and known is None and fresh > 0
        if at_once or (since >= LEAST_TRIED and fresh >= LEAST[kind] and fresh > SHARE[kind] * since):
            return Alarm(kind, counted[kind], tried, _detail(session, launch.id) if kind is AlarmKind.ABOUT_US else "")
    return None


def _alarms(launch_id: UUID) -> Any:
    return select(LaunchAlarm).where(LaunchAlarm.launch_id == launch_id).order_by(LaunchAlarm.id)


def last_alarm(session: Session, launch_id: UUID) -> LaunchAlarm | None:
    """The newest alarm of a launch, for either party."""
    return session.scalar(
        select(LaunchAlarm).where(LaunchAlarm.launch_id == launch_id).order_by(LaunchAlarm.id.desc()).limit(1)
    )


def _tried(session: Session, launch_id: UUID) -> int:
    """Deliveries that were handed over or refused, from the totals that were just counted."""
    columns = (LaunchTotals.sent, LaunchTotals.failed, LaunchTotals.unknown)
    row = session.execute(select(*(func.sum(one) for one in columns)).where(LaunchTotals.launch_id == launch_id)).one()
    return sum(int(one or 0) for one in row)


def _counted(session: Session, launch_id: UUID) -> Mapping[AlarmKind, int]:
    """Deliveries with a bounce, a complaint, a refusal because of us."""
    about_us = Event.detail["kind"].astext == str(ReportKind.ABOUT_US)
    bounced = Event.kind == EventKind.BOUNCE
    number = func.count(Event.delivery_id.distinct())
    row = session.execute(
        select(
            number.filter(bounced, ~about_us), number.filter(Event.kind == EventKind.COMPLAINT),
            number.filter(bounced, about_us),
        ).where(Event.launch_id == launch_id, Event.kind.in_([EventKind.BOUNCE, EventKind.COMPLAINT]))
    ).one()  # fmt: skip
    return {AlarmKind.BOUNCES: row[0], AlarmKind.COMPLAINTS: row[1], AlarmKind.ABOUT_US: row[2]}


def _detail(session: Session, launch_id: UUID) -> str:
    """The newest answer of a server that refuses us. Server's words only; addresses in them are taken out."""
    said = session.scalar(
        select(Event.detail)
        .where(
            Event.launch_id == launch_id, Event.kind == EventKind.BOUNCE,
            Event.detail["kind"].astext == str(ReportKind.ABOUT_US),
        )
        .order_by(Event.id.desc())
        .limit(1)
    )  # fmt: skip
    words = f"{(said or {}).get('status', '')} {(said or {}).get('text', '')}".strip()
    return " ".join("…" if "@" in word else word for word in words.split())[:200]


def pause(session: Session, actor: Actor, launch: Launch, alarm: Alarm) -> None:
    """Stop the launch and tell the partner's people and the vendor's channel managers why and how to mend it."""
    what, mend = alarm.words
    launch.pause(by=actor, at=clock.now(), reason=what)
    row = LaunchAlarm(
        vendor_id=launch.vendor_id, partner_id=launch.partner_id, launch_id=launch.id, kind=alarm.kind, at=clock.now(),
        counted=alarm.counted, attempted=alarm.tried, detail=alarm.detail,
    )  # fmt: skip
    session.add(row)
    session.flush()
    values = {"launch": launch.name, "reason": what, "mend": mend, "url": f"{settings().public_origin}/launches/{launch.id}"}
    values["partner"] = _name(session, launch.partner_id)
    _tell(session, launch.partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), values, row)
    bind(session, Actor.system(launch.vendor_id, Kind.VENDOR))
    _tell(session, launch.vendor_id, (Role.CHANNEL_MANAGER,), values, row)
    session.flush()
    bind(session, actor)


def _name(session: Session, organization_id: UUID) -> str:
    found = session.get(Organization, organization_id)
    return found.name if found else ""


def _tell(
    session: Session, organization_id: UUID, roles: tuple[Role, ...], values: dict[str, Any], row: LaunchAlarm
) -> None:
    for member in account_queries.members_with_role(session, organization_id, *roles):
        mail.post(
            session, "launch_paused", organization_id=organization_id, to_address=member.user.email,
            to_name=member.user.name, data={**values, "name": member.user.name},
            once_key=f"launch-alarm:{row.id}:{member.user_id}",
        )  # fmt: skip


# -- refusals while sending ---------------------------------------------------------------------------------


def note_refusals() -> int:
    """Treat what servers refused while we were sending like what came back later; how many. For a sweep.

    A refusal at once and a bounce an hour later say the same about an address and about us. What came back before its
    delivery was known to be unknown settles it here too.
    """
    since = clock.now() - LOOK_BACK
    with unit_of_work(None) as session, elevated(session, "a sweep looks for refusals of running launches"):
        launches = session.execute(
            select(Launch.partner_id, Launch.id).where(
                or_(
                    Launch.status == LaunchStatus.SENDING,
                    (Launch.status == LaunchStatus.PAUSED) & (Launch.paused_at > since),
                    Launch.status.in_([LaunchStatus.FINISHED, LaunchStatus.CANCELLED]) & (Launch.finished_at > since),
                )
            )
        ).all()
    return sum(_note_refusals(partner_id, launch_id, since) for partner_id, launch_id in launches)


def _note_refusals(partner_id: UUID, launch_id: UUID, since: datetime) -> int:
    noted = (
        select(Event.id)
        .where(
            Event.partner_id == partner_id, Event.delivery_id == Delivery.id, Event.kind == EventKind.BOUNCE,
            Event.at >= Delivery.settled_at,
        )
        .exists()
    )  # fmt: skip
    with unit_of_work(Actor.system(partner_id, Kind.PARTNER)) as session:
        rows = session.execute(
            select(Delivery.id, Delivery.code, Delivery.reason, Delivery.response)
            .where(
                Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.FAILED, Delivery.code >= 400,
                Delivery.settled_at > since - LOOK_BACK, ~noted,
            )
            .order_by(Delivery.id)
            .limit(REFUSALS_AT_A_TIME)
        ).all()  # fmt: skip
        for delivery_id, code, reason, answer in rows:
            kind = bounces.judge(reason or "", answer or "", code=code)
            report = Report(kind, delivery_id=delivery_id, status=reason or "", text=f"{code} {answer or ''}".strip())
            returns_policy.apply(session, report, source="smtp")
    with unit_of_work(Actor.system(partner_id, Kind.PARTNER)) as session:
        launch = session.get(Launch, launch_id)
        if launch is not None and settle_by_events(session, launch_id):
            touch(session, launch)
    return len(rows)
