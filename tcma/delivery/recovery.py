"""What dead workers left: settled from their journals, never guessed.

A delivery that a dead lane held is settled from the lane's journal: a verdict is recorded, a dot without a verdict is
`unknown`, and what the journal does not name was never attempted and is pending again. Without a readable journal the
whole lease is `unknown` (DESIGN section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import elevated, unit_of_work
from tcma.delivery import settling
from tcma.delivery.journal import Entry, JournalUnreadable, abandoned_journals
from tcma.delivery.models import Delivery
from tcma.delivery.places import host_name, journal_folder
from tcma.delivery.states import DeliveryStatus

log = structlog.get_logger(__name__)

FOREIGN_PATIENCE = timedelta(minutes=30)
"""How long after its lease another machine's delivery waits for that machine to come back and settle it."""


def recover() -> int:
    """Settle every journal of this machine that no live worker holds, then leases without one; how many rows.

    Several may run at once: each journal is held while it is settled. Opens units of work of its own.
    """
    done = 0
    for journal in abandoned_journals(journal_folder()):
        try:
            entries: Mapping[int, Entry] | None = journal.entries()
        except JournalUnreadable as error:
            log.warning("journal_unreadable", journal=journal.path.name, error=str(error))
            entries = None
        for partner_id, launch_id in _held_by(journal.worker_id):
            done += settle_lane(partner_id, launch_id, journal.worker_id, entries)
        journal.discard()
    return done + _settle_orphans()


def settle_lane(partner_id: UUID, launch_id: UUID, worker: str, entries: Mapping[int, Entry] | None) -> int:
    """Settle all that `worker` still holds of one launch; `entries` None means that its journal cannot be trusted."""
    with unit_of_work(Actor.system(partner_id, Kind.PARTNER)) as session:
        return settling.settle_held(session, launch_id, worker, entries)


def _held_by(worker: str) -> list[tuple[UUID, UUID]]:
    """(partner, launch) of the deliveries that `worker` holds."""
    statement = (
        select(Delivery.partner_id, Delivery.launch_id)
        .where(Delivery.status == DeliveryStatus.SENDING, Delivery.worker == worker)
        .distinct()
    )
    return _see_all(statement)


def _settle_orphans() -> int:
    """Expired leases whose journal is not here: gone on this machine, or on one that does not come back."""
    now = clock.now()
    statement = (
        select(Delivery.partner_id, Delivery.launch_id, Delivery.worker, Delivery.lease_until)
        .where(Delivery.status == DeliveryStatus.SENDING, Delivery.lease_until < now)
        .limit(10_000)
    )
    with unit_of_work(None) as session, elevated(session, "a sweep finds expired leases of every tenant"):
        rows = session.execute(statement).all()
    here = f"{host_name()}."
    lanes = {
        (partner_id, launch_id, worker)
        for partner_id, launch_id, worker, lease_until in rows
        if worker is not None
        and lease_until is not None
        and (
            (worker.startswith(here) and not (journal_folder() / f"{worker}.journal").exists())
            or lease_until < now - FOREIGN_PATIENCE
        )
    }
    return sum(
        settle_lane(partner_id, launch_id, worker, None) for partner_id, launch_id, worker in sorted(lanes, key=str)
    )


def due_work(session: Session) -> dict[str, list[tuple[UUID, UUID]]]:
    """What sweeps must start, over all tenants, as (partner, launch): `start`, `plan`, `send`, `finish`."""
    now = clock.now()
    with elevated(session, "a sweep finds the launches that are due"):
        scheduled = session.execute(
            select(Launch.partner_id, Launch.id).where(
                Launch.status == LaunchStatus.SCHEDULED, Launch.scheduled_at <= now
            )
        ).all()
        planning = session.execute(
            select(Launch.partner_id, Launch.id).where(Launch.status == LaunchStatus.PLANNING)
        ).all()
        sending = session.execute(
            select(Launch.partner_id, Launch.id).where(Launch.status == LaunchStatus.SENDING)
        ).all()
        waiting = {
            launch_id
            for _, launch_id in sending
            if session.scalar(
                select(Delivery.id)
                .where(
                    Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.PENDING, Delivery.due_at <= now
                )
                .limit(1)
            )
        }
    return {
        "start": [(one[0], one[1]) for one in scheduled],
        "plan": [(one[0], one[1]) for one in planning],
        "send": [(one[0], one[1]) for one in sending if one[1] in waiting],
        "finish": [(one[0], one[1]) for one in sending if one[1] not in waiting],
    }


def _see_all(statement: object) -> list[tuple[UUID, UUID]]:
    with unit_of_work(None) as session, elevated(session, "a dead worker's journal does not name its tenants"):
        return [(row[0], row[1]) for row in session.execute(statement)]  # type: ignore[call-overload]
