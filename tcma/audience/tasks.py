"""Background work of the audience: imports, and files that were left over. The row says what is due; a lost message only delays it."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from tcma import jobs
from tcma.access import Actor, Kind
from tcma.audience import counts, imports, leftovers
from tcma.db import unit_of_work
from tcma.sweeps import Sweep

SWEEPS = (
    Sweep("tcma.audience.sweep_imports", every_seconds=15),
    Sweep("tcma.audience.sweep_leftovers", every_seconds=3600),
    Sweep("tcma.audience.add_up_counts", every_seconds=60),
)


@shared_task(name="tcma.audience.run_import")  # type: ignore[untyped-decorator]
def run_import(organization_id: str, import_id: str) -> None:
    imports.run_import(Actor.system(UUID(organization_id), Kind.PARTNER), UUID(import_id))


@shared_task(name="tcma.audience.sweep_imports")  # type: ignore[untyped-decorator]
def sweep_imports() -> None:
    with unit_of_work(None) as session:
        due = imports.sweep_due(session)
    for partner_id, import_id in due:
        jobs.send("tcma.audience.run_import", [str(partner_id), str(import_id)])


@shared_task(name="tcma.audience.sweep_leftovers")  # type: ignore[untyped-decorator]
def sweep_leftovers() -> None:
    """Files of contacts that nobody needs any more."""
    leftovers.remove_temporary()
    leftovers.cancel_forgotten()
    leftovers.remove_unreferenced()


@shared_task(name="tcma.audience.add_up_counts")  # type: ignore[untyped-decorator]
def add_up_counts() -> None:
    counts.add_up()
