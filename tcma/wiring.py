"""Which service of a later room answers which event of an earlier one; see `tcma.events`."""

from __future__ import annotations


def wire() -> None:
    """Subscribe every handler. Calling it twice is once."""
