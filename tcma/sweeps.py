"""Periodic jobs. A sweep finds rows that are due and asks for their work; a lost message only delays it.

A room names its sweeps in `tasks.py`: `SWEEPS = (Sweep("tcma.delivery.due", every_seconds=5),)`. The
scheduler only sends their messages. Any number of schedulers may run: each tick is a compare-and-set on
`next_run_at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

_REGISTER = text(
    "INSERT INTO sweeps (name, every_seconds, next_run_at) VALUES (:name, :every, :now)"
    " ON CONFLICT (name) DO UPDATE SET every_seconds = excluded.every_seconds"
    " WHERE sweeps.every_seconds <> excluded.every_seconds"
)
# A row that another scheduler is taking is skipped: it will not be due when that one is done.
_TAKE = text(
    "UPDATE sweeps SET last_run_at = :now, next_run_at = :now + every_seconds * interval '1 second'"
    " WHERE name IN (SELECT name FROM sweeps WHERE next_run_at <= :now AND name IN :names"
    " FOR UPDATE SKIP LOCKED) AND next_run_at <= :now RETURNING name"
).bindparams(bindparam("names", expanding=True))
_PUT_BACK = text("UPDATE sweeps SET next_run_at = :at WHERE name = :name AND next_run_at > :at")


class Sweep(NamedTuple):
    """The Celery task `task` without arguments, each `every_seconds`, on `queue`."""

    task: str
    every_seconds: int
    queue: str = "default"


def register(connection: Connection, sweeps: Iterable[Sweep], *, now: datetime) -> None:
    """Make a row for each new sweep, due at once, and take over a changed interval."""
    rows = [{"name": sweep.task, "every": sweep.every_seconds, "now": now} for sweep in sweeps]
    if rows:
        connection.execute(_REGISTER, rows)


def take_due(connection: Connection, sweeps: Sequence[Sweep], *, now: datetime) -> list[Sweep]:
    """The sweeps that are due at `now`, each of them given to one caller only; commit before sending."""
    if not sweeps:
        return []
    taken = set(connection.scalars(_TAKE, {"now": now, "names": [sweep.task for sweep in sweeps]}))
    return [sweep for sweep in sweeps if sweep.task in taken]


def put_back(connection: Connection, sweep: Sweep, *, now: datetime, after_seconds: int = 5) -> None:
    """Make a sweep due again soon whose message could not be sent."""
    connection.execute(_PUT_BACK, {"name": sweep.task, "at": now + timedelta(seconds=after_seconds)})
