"""/metrics: deliveries by state, lanes at work, what is overdue, breakers and journals. Read from the database, so that
every process of the service shows the same; only the journals are this machine's. No tenant is named."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import has_app_context
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import db, elevated
from tcma.delivery import pacing
from tcma.delivery.journal import SUFFIX
from tcma.delivery.models import Delivery, LaunchTotals
from tcma.delivery.places import journal_folder
from tcma.delivery.states import DeliveryStatus

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

QUIET_SECONDS = 60
"""A lane writes its journal all the time: one that nothing was written to for so long waits to be settled."""


class DeliveryCollector(Collector):
    """The figures as they are when asked for; none outside an application."""

    def describe(self) -> Iterable[Metric]:
        return _families().values()

    def collect(self) -> Iterator[Metric]:
        if not has_app_context():
            return
        found = _families()
        session = db.session
        with elevated(session, "how much mail waits and was sent is counted over all tenants"):
            for status, number in _by_status(session).items():
                found["deliveries"].add_metric([status], number)
            found["lanes"].add_metric([], _lanes(session))
            found["overdue"].add_metric([], _overdue_seconds(session))
        now = clock.now()
        breakers = {one.provider: one.open_until > now for one in pacing.breakers(session)}
        for provider, is_open in sorted({pacing.provider_name(): False, **breakers}.items()):
            found["breakers"].add_metric([provider], float(is_open))
        found["journals"].add_metric([], quiet_journals())
        yield from found.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "deliveries": GaugeMetricFamily(
            "tcma_deliveries", "Deliveries by state, from the launches' totals: up to a minute old.", labels=["status"]
        ),
        "lanes": GaugeMetricFamily("tcma_delivery_lanes", "Lanes that hold deliveries now.", labels=[]),
        "overdue": GaugeMetricFamily(
            "tcma_delivery_overdue_seconds", "For how long the oldest due delivery of a sending launch waits.", labels=[]
        ),
        "breakers": GaugeMetricFamily(
            "tcma_provider_breaker_open", "1 while nothing is tried with a provider that is in trouble.", labels=["provider"]
        ),
        "journals": GaugeMetricFamily(
            "tcma_delivery_journals_waiting", "Journals of dead lanes on this machine that are not settled yet.", labels=[]
        ),
    }  # fmt: skip


def _by_status(session: Session) -> dict[str, int]:
    sums = [func.coalesce(func.sum(getattr(LaunchTotals, status)), 0).label(str(status)) for status in DeliveryStatus]
    return {name: int(number) for name, number in session.execute(select(*sums)).mappings().one().items()}


def _lanes(session: Session) -> int:
    statement = select(func.count(Delivery.worker.distinct())).where(Delivery.status == DeliveryStatus.SENDING)
    return session.scalar(statement) or 0


def _overdue_seconds(session: Session) -> float:
    """Asked launch by launch: the first row of an index each."""
    sending = session.scalars(select(Launch.id).where(Launch.status == LaunchStatus.SENDING)).all()
    now, oldest = clock.now(), clock.now()
    for launch_id in sending:
        due = session.scalar(
            select(Delivery.due_at)
            .where(Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.PENDING)
            .order_by(Delivery.due_at)
            .limit(1)
        )
        oldest = min(oldest, due or oldest)
    return max(0.0, (now - oldest).total_seconds())


def quiet_journals() -> int:
    """Journals in this machine's folder that no lane writes to any more."""
    before, found = time.time() - QUIET_SECONDS, 0
    for path in journal_folder().glob(f"*{SUFFIX}"):
        try:
            found += path.stat().st_mtime < before
        except FileNotFoundError:
            continue  # settled and removed a moment ago
    return found


REGISTRY.register(DeliveryCollector())
