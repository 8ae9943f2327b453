"""How the demo plays a quarter: an agenda of moments in the past, worked off in their order under a moved clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random

from sqlalchemy import update
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.db import elevated, unit_of_work
from tcma.records import OutboxMail

DAYS = 90
"""How long ago the demo's story begins."""


@contextmanager
def past(actor: Actor | None) -> Iterator[Session]:
    """A unit of work at the clock's moment that asks for no background work and sends no notifications.

    What happened weeks ago was told to people weeks ago, and the running service must not pick it up half-made.
    """
    with unit_of_work(actor) as session:
        yield session
        with elevated(session, "the demo's notifications of the past count as sent"):
            session.execute(
                update(OutboxMail)
                .where(OutboxMail.created_at == clock.now(), OutboxMail.sent_at.is_(None))
                .values(sent_at=clock.now()),
                execution_options={"synchronize_session": False},
            )
        session.info["tcma_after"] = []


def chance(name: str) -> Random:
    """Random numbers of one part of the demo: the same each time, whatever the other parts draw."""
    return Random(f"7 {name}")  # noqa: S311 - a story, not a secret


@dataclass
class Agenda:
    """Calls at moments before `now`; a call may put further ones on it. Later ones are left out."""

    now: datetime
    _due: list[tuple[datetime, int, Callable[[], object]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def at(self, moment: datetime, call: Callable[[], object]) -> None:
        """Do `call` at `moment`, if that is in the past."""
        if moment < self.now:
            heapq.heappush(self._due, (moment, next(self._order), call))

    def ago(self, days: float, call: Callable[[], object], *, hour: float = 10.0) -> None:
        """Do `call` so many days ago at that hour (UTC) of a working day."""
        self.at(self.moment(days, hour=hour), call)

    def moment(self, days: float, *, hour: float = 10.0) -> datetime:
        """So many days ago at `hour`; a weekend gives the Friday before."""
        day = (self.now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        day -= timedelta(days=max(0, day.weekday() - 4))
        return min(day + timedelta(hours=hour), self.now - timedelta(minutes=1))

    def run(self, tick: Callable[[datetime], object] = lambda moment: None) -> int:
        """Work off everything in the order of its moments; how many calls."""
        done = 0
        while self._due:
            moment, _, call = heapq.heappop(self._due)
            tick(moment)
            with clock.at(moment):
                call()
            done += 1
        return done
