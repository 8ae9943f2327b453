"""What the parameters of our addresses may stand for, so that tests walk every route with ids that exist.

A room's factories (tests/factories/<room>.py) may hold `OBJECTS`: the name of a URL parameter → a function of the
cast that makes such an object (it runs in an application context) and says who may see it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import tests.factories
from tests.factories.cast import Cast


@dataclass(frozen=True)
class Known:
    """An object: the value of its parameter, the organizations that may see it, words that only it holds."""

    value: object
    parties: set[UUID] = field(default_factory=set)
    marks: tuple[str, ...] = ()


Maker = Callable[[Cast], Known]


def makers() -> dict[str, Maker]:
    """The makers of all rooms; raises ValueError where two rooms claim one parameter."""
    found: dict[str, Maker] = {}
    for module in pkgutil.iter_modules(tests.factories.__path__):
        own = getattr(importlib.import_module(f"tests.factories.{module.name}"), "OBJECTS", {})
        if twice := found.keys() & own.keys():
            raise ValueError(f"two factories make {', '.join(sorted(twice))}")
        found |= own
    return found


def make_all(cast: Cast) -> dict[str, Known]:
    """One object for each parameter that a room knows."""
    return {name: make(cast) for name, make in makers().items()}
