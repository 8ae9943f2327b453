"""The sending machine: claim a chunk, hand it over, record what came of it, settle what a dead worker left.

One lane is one SMTP connection with one journal of its own. A row claimed by a lane names it in `worker`; only who
holds the lane's journal may put its rows back to pending, so no delivery is ever handed over twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tcma import clock, events, ids
from tcma.access import Actor, Kind
from tcma.audience import queries as audience_queries
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.db import among, unit_of_work
from tcma.delivery import composing, planning, queries, settling
from tcma.delivery.journal import Journal, read_journal
from tcma.delivery.models import Delivery
from tcma.delivery.places import host_name, journal_folder
from tcma.delivery.reply import Reply, ReplyKind
from tcma.delivery.smtp import Envelope, SmtpConnection
from tcma.delivery.smtp_target import SmtpError, SmtpTarget
from tcma.delivery.states import DeliveryStatus
from tcma.errors import Invalid

log = structlog.get_logger(__name__)

CHUNK = 200
LEASE = timedelta(minutes=10)
RECORD_EVERY = 1.0
PROVIDER_PAUSE = timedelta(seconds=30)
_NOTHING = Reply(ReplyKind.FAILED)


@dataclass(frozen=True, slots=True)
class Claimed:
    """One delivery that this lane may hand over until `lease_until`."""

    id: int
    contact_id: int
    address: str
    attempts: int


@dataclass
class LaneReport:
    """What one run of a lane did."""

    sent: int = 0
    failed: int = 0
    deferred: int = 0
    unknown: int = 0
    suppressed: int = 0
    more: bool = False


@dataclass
class _Lane:
    """The state of one run: who works for whom, over which connection, with which journal."""

    actor: Actor
    launch_id: UUID
    name: str
    journal: Journal
    connection: SmtpConnection
    composer: composing.Composer
    report: LaneReport = field(default_factory=LaneReport)

    def envelope(self, row: Claimed) -> Envelope:
        return Envelope(self.composer.return_path(row.id), row.address)


def run_lane(
    partner_id: UUID, launch_id: UUID, *, seconds: float = 60, stop: Callable[[], bool] = lambda: False
) -> LaneReport:
    """Send chunks of one launch over one connection until none is left, `seconds` are over or `stop()` says so.

    Opens units of work of its own, for what is handed over must be committed around each chunk. `more` in the report
    says that pending deliveries are left. Call it inside an application context.
    """
    actor = Actor.system(partner_id, Kind.PARTNER)
    with unit_of_work(actor) as session:
        launch = campaign_queries.get_launch(session, actor, launch_id)
        if launch.status is not LaunchStatus.SENDING or lanes_at_work(session, launch_id) >= settings().delivery_lanes:
            return LaneReport()
        composer = composing.Composer.of_launch(session, launch)
    name = f"{host_name()}.{ids.new_id().hex[12:]}"
    journal = Journal.open(journal_folder(), name)
    lane = _Lane(actor, launch_id, name, journal, SmtpConnection(SmtpTarget.parse(settings().mail_url)), composer)
    until = time.monotonic() + seconds
    try:
        while not stop() and _run_chunk(lane, stop):
            if time.monotonic() >= until:
                lane.report.more = True
                break
    finally:
        lane.connection.close()
        _let_go(lane)
    finish_if_done(actor, launch_id)
    return lane.report


def lanes_at_work(session: Session, launch_id: UUID) -> int:
    """How many lanes hold deliveries of a launch right now."""
    statement = select(func.count(Delivery.worker.distinct())).where(
        Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENDING
    )
    return session.scalar(statement) or 0


def _run_chunk(lane: _Lane, stop: Callable[[], bool]) -> bool:
    """Claim, send and record one chunk; False when there is nothing (more) to do now."""
    with unit_of_work(lane.actor) as session:
        claimed, lease_until = _claim(session, lane)
        contacts = audience_queries.contact_values(
            session, lane.actor.organization_id, [one.contact_id for one in claimed]
        )
    if not claimed:
        return False
    try:
        if not lane.connection.is_open:
            lane.connection.connect()
    except SmtpError as error:
        log.warning("provider_trouble", error=str(error))
        _record(lane, [], release=[one.id for one in claimed], due_at=clock.now() + PROVIDER_PAUSE)
        return False
    return _hand_over(lane, claimed, contacts, lease_until, stop)


def _claim(session: Session, lane: _Lane) -> tuple[list[Claimed], datetime]:
    """Take up to CHUNK due deliveries for this lane, but those whose contact was suppressed since planning."""
    now = clock.now()
    lease_until = now + LEASE
    launch = campaign_queries.get_launch(session, lane.actor, lane.launch_id)
    session.refresh(launch, ["status"])
    if launch.status is not LaunchStatus.SENDING:
        return [], lease_until
    # Two statements, so that neither plan depends on how many rows the planner believes there are.
    rows = session.execute(
        select(Delivery.id, Delivery.contact_id, Delivery.address, Delivery.attempts)
        .where(Delivery.launch_id == lane.launch_id, Delivery.status == DeliveryStatus.PENDING, Delivery.due_at <= now)
        .order_by(Delivery.due_at, Delivery.id)
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
    ).all()
    claimed = [Claimed(*row) for row in rows]
    if not claimed:
        return [], lease_until
    session.execute(
        update(Delivery)
        .where(
            Delivery.launch_id == lane.launch_id, among(Delivery.id, [one.id for one in claimed]),
            Delivery.status == DeliveryStatus.PENDING,
        )
        .values(status=DeliveryStatus.SENDING, worker=lane.name, lease_until=lease_until),
        execution_options={"synchronize_session": False},
    )  # fmt: skip
    refused = audience_queries.still_refused(
        session, lane.actor.organization_id, launch.vendor_id, [one.contact_id for one in claimed]
    )
    if refused:
        _suppress(session, lane, [one for one in claimed if one.contact_id in refused], refused, now)
        claimed = [one for one in claimed if one.contact_id not in refused]
    return claimed, lease_until


def _suppress(session: Session, lane: _Lane, rows: list[Claimed], refused: dict[int, str], now: datetime) -> None:
    by_reason: dict[str, list[int]] = {}
    for row in rows:
        by_reason.setdefault(refused[row.contact_id], []).append(row.id)
    for reason, delivery_ids in by_reason.items():
        session.execute(
            update(Delivery)
            .where(
                Delivery.launch_id == lane.launch_id, among(Delivery.id, delivery_ids),
                Delivery.status == DeliveryStatus.SENDING,
            )
            .values(status=DeliveryStatus.SUPPRESSED, reason=reason, worker=None, lease_until=None, settled_at=now),
            execution_options={"synchronize_session": False},
        )  # fmt: skip
    lane.report.suppressed += len(rows)


def _hand_over(
    lane: _Lane,
    claimed: list[Claimed],
    contacts: dict[int, dict[str, Any]],
    lease_until: datetime,
    stop: Callable[[], bool],
) -> bool:
    """Send one message after the other; record each second; give back what is left when paused or cut off.

    A message is composed before the one ahead of it leaves, so that its commands can ride behind that one's dot.
    """
    results: list[tuple[Claimed, Reply]] = []
    recorded_at = time.monotonic()
    following = _composed(lane, claimed[0], contacts)
    for place, row in enumerate(claimed):
        message = following
        rest = claimed[place + 1 :]
        if (lease_until - clock.now()).total_seconds() <= lane.connection.target.longest_transaction:
            return _give_back(lane, results, claimed[place:], again=True)
        following = _composed(lane, rest[0], contacts) if rest else _NOTHING
        announced = lane.envelope(rest[0]) if rest and isinstance(following, bytes) else None
        results.append((row, _send_one(lane, row, message, announced)))
        if not lane.connection.is_open and not _reopen(lane):
            _record(lane, results, release=[one.id for one in rest], due_at=clock.now() + PROVIDER_PAUSE)
            return False
        if time.monotonic() - recorded_at >= RECORD_EVERY:
            going_on = _record(lane, results)
            results, recorded_at = [], time.monotonic()
            if stop() or not going_on:
                return _give_back(lane, results, rest, again=False)
    return _record(lane, results)


def _give_back(lane: _Lane, results: list[tuple[Claimed, Reply]], rest: list[Claimed], *, again: bool) -> bool:
    # The next recipient may be announced already; only hanging up takes that back.
    lane.connection.close()
    _record(lane, results, release=[one.id for one in rest])
    return again


def _reopen(lane: _Lane) -> bool:
    try:
        lane.connection.connect()
    except SmtpError as error:
        log.warning("provider_trouble", error=str(error))
        return False
    return True


def _composed(lane: _Lane, row: Claimed, contacts: dict[int, dict[str, Any]]) -> bytes | Reply:
    """The message of a delivery, or why there is none."""
    contact = contacts.get(row.contact_id)
    if contact is None:
        return Reply(ReplyKind.FAILED, text="The contact was erased before the mail left.")
    try:
        return lane.composer.message(row.id, row.address, contact)
    except Invalid as error:
        return Reply(ReplyKind.FAILED, text=error.message)


def _send_one(lane: _Lane, row: Claimed, message: bytes | Reply, upcoming: Envelope | None) -> Reply:
    """One message: journalled just before its final dot, and again with the verdict."""
    if isinstance(message, Reply):
        return message
    envelope = lane.envelope(row)
    reply = lane.connection.send(
        envelope.sender, envelope.recipient, message, before_dot=lambda: lane.journal.dot(row.id), upcoming=upcoming
    )
    lane.journal.outcome(row.id, reply)
    return reply


def _record(
    lane: _Lane, results: list[tuple[Claimed, Reply]], *, release: Iterable[int] = (), due_at: datetime | None = None
) -> bool:
    """Write verdicts in bulk, put `release` back to pending, then forget them in the journal.

    True while the launch is still sending.
    """
    release = list(release)
    with unit_of_work(lane.actor) as session:
        settling.settle(session, lane.launch_id, lane.name, [(row.id, row.attempts, reply) for row, reply in results])
        if release:
            settling.put_back(session, lane.launch_id, lane.name, release, due_at=due_at)
        status = session.scalar(select(Launch.status).where(Launch.id == lane.launch_id))
    lane.journal.checkpoint(row.id for row, _ in results)
    for _, reply in results:
        setattr(lane.report, str(reply.kind), getattr(lane.report, str(reply.kind)) + 1)
    return status is LaunchStatus.SENDING


def _let_go(lane: _Lane) -> None:
    """Settle what this lane still holds from its own journal: nothing at an orderly end, all of it after an error.

    Where the database cannot be asked, the journal stays, held by nobody, and recovery settles it.
    """
    settled = False
    try:
        held = read_journal(lane.journal.path)
        with unit_of_work(lane.actor) as session:
            left = settling.settle_held(session, lane.launch_id, lane.name, held)
        settled = True
    finally:
        lane.journal.close(keep=not settled)
    if left:
        log.warning("lane_cut_short", launch=str(lane.launch_id), worker=lane.name, rows=left)
    # A dot without a verdict is recorded as unknown by now, so the file has nothing more to say.
    lane.journal.path.unlink(missing_ok=True)


def finish_if_done(actor: Actor, launch_id: UUID) -> bool:
    """Finish a launch in which nothing is pending or sending; totals are counted anew either way."""
    with unit_of_work(actor) as session:
        launch = campaign_queries.get_launch(session, actor, launch_id, lock=True)
        planning.count_totals(session, launch)
        counts = queries.totals(session, launch_id)
        if launch.status is not LaunchStatus.SENDING or counts.pending or counts.sending:
            return False
        launch.finish(by=actor, at=clock.now())
        session.flush()
        events.publish(session, actor, events.LaunchFinished(launch.vendor_id, launch.partner_id, launch.id))
    return True
