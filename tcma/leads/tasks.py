"""Background work of leads: those that nobody answered in time."""

from __future__ import annotations

from celery import shared_task

from tcma.access import Actor, Kind
from tcma.db import unit_of_work
from tcma.leads import services
from tcma.sweeps import Sweep

SWEEPS = (Sweep("tcma.leads.sweep_overdue", every_seconds=300),)


@shared_task(name="tcma.leads.sweep_overdue")  # type: ignore[untyped-decorator]
def sweep_overdue() -> None:
    """Remind partners of leads past their time, and count them for both sides."""
    with unit_of_work(None) as session:
        due = services.overdue_launches(session)
    for partner_id, launch_id in due:
        actor = Actor.system(partner_id, Kind.PARTNER)
        with unit_of_work(actor) as session:
            services.remind_overdue(session, actor, launch_id)
