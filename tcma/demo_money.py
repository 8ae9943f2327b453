"""The demo's money."""

from __future__ import annotations

from tcma.demo_cast import World


def plan_money(world: World) -> None:
    """Programmes."""
