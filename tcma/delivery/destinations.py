"""Where tracked links lead, remembered by this process for a minute, so that a busy link asks no database.

Which touch a delivery is of never changes, and a touch's links are frozen at planning. Ids of one launch follow each
other, so the deliveries around the one that was asked for are remembered with it, as runs of ids.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

BLOCK = 1024
"""Ids that are looked up together."""

KEPT_SECONDS = 60.0
"""After so long a block is asked for anew: what is deleted leads nowhere soon after."""

MOST_BLOCKS = 2048
"""Kept at a time: two million deliveries, some tens of megabytes where every run is short."""


@dataclass(frozen=True, slots=True)
class Links:
    """The links of one touch of one launch. `own` is the launch's landing page, which is told who came; `homes` are the
    numbers of the links that lead there, whatever they ask of it."""

    urls: dict[int, str]
    own: str
    homes: frozenset[int]

    @classmethod
    def of(cls, urls: dict[int, str], own: str) -> Links:
        """The links of a touch, by number."""
        homes = frozenset(number for number, url in urls.items() if url.split("?", 1)[0].split("#", 1)[0] == own)
        return cls(urls, own, homes)


@dataclass(frozen=True, slots=True)
class _Block:
    """Runs of ids that are there, without gaps: an id that is not yet there must not be taken for a neighbour's."""

    starts: list[int]
    ends: list[int]
    links: list[Links]
    until: float


class Destinations:
    """Links by delivery id; safe for threads."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._lock = threading.Lock()

    def find(self, delivery_id: int) -> Links | None:
        """The links of a delivery, or None where they are not remembered."""
        block = self._blocks.get(delivery_id // BLOCK)
        if block is None or block.until < time.monotonic():
            return None
        place = bisect_right(block.starts, delivery_id) - 1
        return block.links[place] if place >= 0 and delivery_id <= block.ends[place] else None

    def remember(self, number: int, rows: Sequence[tuple[int, UUID]], links: dict[UUID, Links]) -> None:
        """Keep the block `number`: all its deliveries as (id, touch) in the order of ids, and each touch's links."""
        starts: list[int] = []
        ends: list[int] = []
        found: list[Links] = []
        for delivery_id, touch_id in rows:
            if ends and ends[-1] == delivery_id - 1 and found[-1] is links[touch_id]:
                ends[-1] = delivery_id
            else:
                starts.append(delivery_id)
                ends.append(delivery_id)
                found.append(links[touch_id])
        with self._lock:
            if len(self._blocks) >= MOST_BLOCKS:
                self._blocks.clear()
            self._blocks[number] = _Block(starts, ends, found, time.monotonic() + KEPT_SECONDS)

    def forget(self) -> None:
        """As in a process that has just begun."""
        with self._lock:
            self._blocks.clear()
