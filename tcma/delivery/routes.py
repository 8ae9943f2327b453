"""Pages of delivery: launches, their deliveries, senders, the mailbox of the demo, and the tracking origin."""

from __future__ import annotations

from tcma.delivery import (
    deliverability_pages,
    metrics,
    returns_hooks,
    returns_metrics,
    returns_pages,
    routes_deliveries,
    routes_launch,
    routes_launches,
    routes_live,
    routes_mailbox,
    routes_public,
    senders_pages,
)
from tcma.delivery.blueprint import bp

blueprints = [bp]
MODULES = (
    deliverability_pages, metrics, returns_hooks, returns_metrics, returns_pages, routes_deliveries, routes_launch, routes_launches,
    routes_live, routes_mailbox, routes_public, senders_pages,
)  # fmt: skip
