"""The one source of time. Tests and the demo move it; nothing else reads the system's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

_fixed: ContextVar[datetime | None] = ContextVar("tcma_clock", default=None)


def now() -> datetime:
    """The present moment as an aware UTC datetime, or the moment set by `at`."""
    return _fixed.get() or datetime.now(UTC)


def today(zone: str = "UTC") -> date:
    """The present calendar date in an IANA `zone`; programme dates are dates in the programme's zone."""
    return now().astimezone(ZoneInfo(zone)).date()


@contextmanager
def at(moment: datetime) -> Iterator[datetime]:
    """Hold the clock at `moment` (aware) for this context; raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("The clock takes aware datetimes only.")
    token = _fixed.set(moment.astimezone(UTC))
    try:
        yield moment
    finally:
        _fixed.reset(token)


def fixed() -> datetime | None:
    """The moment that `at` holds, or None while the clock runs."""
    return _fixed.get()
