"""Housekeeping of the service itself: rows that nobody needs any more."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from sqlalchemy import text

from tcma import clock
from tcma.db import db
from tcma.sweeps import Sweep

SWEEPS = (Sweep("tcma.service.tidy", every_seconds=300),)

# kombu marks the messages that a worker took, and leaves them for ever.
_TAKEN = text("DELETE FROM broker.kombu_message WHERE NOT visible")
_SILENT = text("DELETE FROM heartbeats WHERE beat_at < :before")


@shared_task(name="tcma.service.tidy")  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Purge messages that were taken, and heartbeats of parts that have been silent for a day."""
    with db.session.begin():
        db.session.execute(_TAKEN)
        db.session.execute(_SILENT, {"before": clock.now() - timedelta(days=1)})
