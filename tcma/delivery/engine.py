"""The sending machine: one run of a lane, from claim to record, and what it leaves settled.

One lane is a few connections with one journal of its own. A row claimed by a lane names it in `worker`; only who
holds the lane's journal may put its rows back, so no delivery is ever handed over twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from tcma import clock, events, ids
from tcma.access import Actor, Kind
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.db import contexts_of_this_application, unit_of_work
from tcma.delivery import composing, planning, queries, settling
from tcma.delivery.claiming import LEASE, Desk, lanes_at_work
from tcma.delivery.clerk import Clerk
from tcma.delivery.journal import Journal, read_journal
from tcma.delivery.lane import Lane, LaneReport
from tcma.delivery.places import host_name, journal_folder
from tcma.delivery.transport import transport_for

log = structlog.get_logger(__name__)


def run_lane(
    partner_id: UUID, launch_id: UUID, *, seconds: float = 60, stop: Callable[[], bool] = lambda: False
) -> LaneReport:
    """Send what is due of one launch over a few connections until nothing is, `seconds` are over or `stop()` says so.

    Opens units of work of its own, for what is handed over must be committed around each chunk. `more` in the report
    says that pending deliveries are left. Call it inside an application context.
    """
    actor = Actor.system(partner_id, Kind.PARTNER)
    with unit_of_work(actor) as session:
        launch = campaign_queries.get_launch(session, actor, launch_id)
        if launch.status is not LaunchStatus.SENDING or lanes_at_work(session, launch_id) >= settings().delivery_lanes:
            return LaneReport()
        composer = composing.Composer.of_launch(session, launch)
    tags = {"launch": str(launch_id), "partner": str(partner_id)}
    connections = [transport_for(settings(), tags=tags) for _ in range(settings().delivery_connections)]
    name = f"{host_name()}.{ids.new_id().hex[12:]}"
    # However long a message may take by the settings, time for others is left.
    lease = LEASE + timedelta(seconds=connections[0].target.longest_transaction)
    desk = Desk(actor, launch_id, name, lease)
    journal = Journal.open(journal_folder(), name)
    try:
        with Clerk(contexts_of_this_application(), desk, journal) as clerk:
            lane = Lane(clerk, composer, journal, connections, seconds=seconds, stop=stop)
            lane.run()
    finally:
        _let_go(desk, journal)
    finish_if_done(actor, launch_id)
    return lane.report


def _let_go(desk: Desk, journal: Journal) -> None:
    """Settle what this lane still holds from its own journal: nothing at an orderly end, all of it after an error.

    Where the database cannot be asked, the journal stays, held by nobody, and recovery settles it.
    """
    settled = False
    try:
        held = read_journal(journal.path)
        with unit_of_work(desk.actor) as session:
            left = settling.settle_held(session, desk.launch_id, desk.worker, held)
        settled = True
    finally:
        journal.close(keep=not settled)
    if left:
        log.warning("lane_cut_short", launch=str(desk.launch_id), worker=desk.worker, rows=left)
    # A dot without a verdict is recorded as unknown by now, so the file has nothing more to say.
    journal.path.unlink(missing_ok=True)


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
