"""Housekeeping of the service itself: rows that nobody needs any more, and the seals of the audit trail."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tcma import audit, clock
from tcma.access import Actor, Kind
from tcma.db import db, elevated, unit_of_work
from tcma.sweeps import Sweep

SWEEPS = (
    Sweep("tcma.service.seal_audit", every_seconds=600),
    Sweep("tcma.service.tidy", every_seconds=300),
)

# kombu marks the messages that a worker took, and leaves them for ever.
_TAKEN = text("DELETE FROM broker.kombu_message WHERE NOT visible")
_SILENT = text("DELETE FROM heartbeats WHERE beat_at < :before")


@shared_task(name="tcma.service.tidy")  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Purge messages that were taken, and heartbeats of parts that have been silent for a day."""
    with db.session.begin():
        db.session.execute(_TAKEN)
        db.session.execute(_SILENT, {"before": clock.now() - timedelta(days=1)})


@shared_task(name="tcma.service.seal_audit")  # type: ignore[untyped-decorator]
def seal_audit() -> None:
    """Seal each organization's settled audit rows into its hash chain."""
    with unit_of_work(None) as session, elevated(session, "a sweep finds unsealed audit rows of every tenant"):
        waiting = audit.unsealed_organizations(session)
    for organization_id in waiting:
        try:
            with unit_of_work(Actor.system(organization_id, Kind.VENDOR)) as session:
                audit.seal(session, organization_id)
        except IntegrityError:
            # Another sweep sealed the same rows a moment ago.
            continue
