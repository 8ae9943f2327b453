"""Background work of delivery: planning, sending lanes, recovery. Each is a row first; sweeps find what is due."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from tcma import jobs
from tcma.access import Actor, Kind
from tcma.db import unit_of_work
from tcma.delivery import (
    deliverability,
    engine,
    planning,
    recovery,
    returns,
    returns_health,
    senders_checking,
    services,
    tracking,
)
from tcma.sweeps import Sweep

SWEEPS = (
    Sweep("tcma.delivery.sweep_due", every_seconds=5),
    Sweep("tcma.delivery.recover", every_seconds=10, queue="delivery"),
    Sweep("tcma.delivery.load_hits", every_seconds=2, queue="tracking"),
    Sweep("tcma.delivery.process_returns", every_seconds=5),
    Sweep("tcma.delivery.note_refusals", every_seconds=15),
    Sweep("tcma.delivery.roll_up_domains", every_seconds=60),
    Sweep("tcma.delivery.forget_bodies", every_seconds=3600),
    Sweep("tcma.delivery.check_domains", every_seconds=300),
)


@shared_task(name="tcma.delivery.plan")  # type: ignore[untyped-decorator]
def plan(organization_id: str, launch_id: str) -> None:
    actor = Actor.system(UUID(organization_id), Kind.PARTNER)
    with unit_of_work(actor) as session:
        planning.plan_launch(session, actor, UUID(launch_id))


@shared_task(name="tcma.delivery.send")  # type: ignore[untyped-decorator]
def send(organization_id: str, launch_id: str) -> None:
    """One lane; as long as rows are left it asks for the next run of itself."""
    report = engine.run_lane(UUID(organization_id), UUID(launch_id))
    if report.more:
        jobs.send("tcma.delivery.send", [organization_id, launch_id], queue="delivery")


@shared_task(name="tcma.delivery.recover")  # type: ignore[untyped-decorator]
def recover() -> None:
    recovery.recover()


@shared_task(name="tcma.delivery.load_hits")  # type: ignore[untyped-decorator]
def load_hits() -> None:
    tracking.load_hits()


@shared_task(name="tcma.delivery.check_domains")  # type: ignore[untyped-decorator]
def check_domains() -> None:
    senders_checking.check_due()


@shared_task(name="tcma.delivery.finish")  # type: ignore[untyped-decorator]
def finish(organization_id: str, launch_id: str) -> None:
    engine.finish_if_done(Actor.system(UUID(organization_id), Kind.PARTNER), UUID(launch_id))


@shared_task(name="tcma.delivery.sweep_due")  # type: ignore[untyped-decorator]
def sweep_due() -> None:
    """Start what was scheduled, plan and send what a lost message left, finish what is done."""
    with unit_of_work(None) as session:
        due = recovery.due_work(session)
    for partner_id, launch_id in due["start"]:
        actor = Actor.system(partner_id, Kind.PARTNER)
        with unit_of_work(actor) as session:
            services.start_scheduled(session, actor, launch_id)
    for kind in ("plan", "send", "finish"):
        for partner_id, launch_id in due[kind]:
            jobs.send(f"tcma.delivery.{kind}", [str(partner_id), str(launch_id)], queue="delivery")


@shared_task(name="tcma.delivery.process_returns")  # type: ignore[untyped-decorator]
def process_returns(organization_id: str | None = None, object_id: str | None = None) -> None:
    """Process whatever came back and is due; whose message woke us does not matter."""
    while returns.process_due(limit=200) == 200:
        pass


@shared_task(name="tcma.delivery.note_refusals")  # type: ignore[untyped-decorator]
def note_refusals() -> None:
    returns_health.note_refusals()


@shared_task(name="tcma.delivery.roll_up_domains")  # type: ignore[untyped-decorator]
def roll_up_domains() -> None:
    deliverability.roll_up()


@shared_task(name="tcma.delivery.forget_bodies")  # type: ignore[untyped-decorator]
def forget_bodies() -> None:
    returns.forget_bodies()
