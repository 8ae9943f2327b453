"""Pages of delivery: launches, their deliveries, senders, the mailbox of the demo, and the tracking origin."""

from __future__ import annotations

from tcma.delivery import (
    routes_deliveries,
    routes_launch,
    routes_launches,
    routes_mailbox,
    routes_public,
    senders_pages,
)
from tcma.delivery.blueprint import bp

blueprints = [bp]
MODULES = (routes_deliveries, routes_launch, routes_launches, routes_mailbox, routes_public, senders_pages)
