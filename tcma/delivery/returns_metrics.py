"""/metrics: what came back, by source and outcome, and how much waits. Read from the database, so that every process of
the service shows the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask import has_app_context
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from tcma.db import db, elevated
from tcma.delivery.models_returns import Return, ReturnCount


class ReturnsCollector(Collector):
    """The figures as they are when asked for; none outside an application."""

    def describe(self) -> Iterable[Metric]:
        return [_counts(), _waiting()]

    def collect(self) -> Iterator[Metric]:
        if not has_app_context():
            return
        counts, waiting = _counts(), _waiting()
        session = db.session
        for row in session.scalars(select(ReturnCount)):
            counts.add_metric([row.source, row.outcome], row.count)
        with elevated(session, "how many returns wait is nobody's secret"):
            number = session.scalar(select(func.count()).select_from(Return).where(Return.processed_at.is_(None)))
        waiting.add_metric([], number or 0)
        yield counts
        yield waiting


def _counts() -> CounterMetricFamily:
    words = "Reports that came back and were processed, by source (ses, webhook, mail) and outcome."
    return CounterMetricFamily("tcma_returns", words, labels=["source", "outcome"])


def _waiting() -> GaugeMetricFamily:
    return GaugeMetricFamily("tcma_returns_waiting", "Webhooks and inbound mails that are stored and not yet processed.", labels=[])


REGISTRY.register(ReturnsCollector())
