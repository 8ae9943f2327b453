"""Celery tasks of mdf: each opens one unit of work for a row's owner and calls one service."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from tcma.access import Actor, Kind
from tcma.db import unit_of_work
from tcma.mdf import expiry, requests
from tcma.sweeps import Sweep

SWEEPS = (
    Sweep("tcma.mdf.sweep_expiry", every_seconds=3600),
    Sweep("tcma.mdf.sweep_overdue", every_seconds=3600),
)


@shared_task(name="tcma.mdf.sweep_expiry")  # type: ignore[untyped-decorator]
def sweep_expiry() -> None:
    with unit_of_work(None) as session:
        expiry.sweep_expiry(session)


@shared_task(name="tcma.mdf.sweep_overdue")  # type: ignore[untyped-decorator]
def sweep_overdue() -> None:
    with unit_of_work(None) as session:
        expiry.sweep_overdue(session)


@shared_task(name="tcma.mdf.expire_allocation")  # type: ignore[untyped-decorator]
def expire_allocation(vendor_id: str, allocation_id: str) -> None:
    actor = Actor.system(UUID(vendor_id), Kind.VENDOR)
    with unit_of_work(actor) as session:
        expiry.expire_allocation(session, actor, UUID(allocation_id))


@shared_task(name="tcma.mdf.expire_request")  # type: ignore[untyped-decorator]
def expire_request(vendor_id: str, request_id: str) -> None:
    actor = Actor.system(UUID(vendor_id), Kind.VENDOR)
    with unit_of_work(actor) as session:
        expiry.expire_request(session, actor, UUID(request_id))


@shared_task(name="tcma.mdf.remind_overdue")  # type: ignore[untyped-decorator]
def remind_overdue(vendor_id: str, request_id: str) -> None:
    actor = Actor.system(UUID(vendor_id), Kind.VENDOR)
    with unit_of_work(actor) as session:
        requests.remind_overdue(session, actor, UUID(request_id))
