"""The clerk of a lane: talks to the database while the lane talks to the mail server.

It claims the next rows before the last are gone and records verdicts each second, in a thread of its own. So neither
the wire waits for the database nor the database for the wire.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TypeVar

from tcma.db import Contexts
from tcma.delivery.claiming import CHUNK, FIRST_CHUNK, Claimed, Desk
from tcma.delivery.journal import Journal
from tcma.delivery.reply import Reply

Result = TypeVar("Result")

TURN = 0.0002
"""Seconds that one thread computes before another that waits has its turn."""


class Clerk:
    """Claims ahead and records behind a lane, one thing at a time, in a thread with application contexts of its own."""

    going_on = True
    """False once a recording found the launch paused, cancelled or finished."""

    def __init__(self, contexts: Contexts, desk: Desk, journal: Journal) -> None:
        self._contexts = contexts
        self._desk = desk
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, "clerk")
        self._claiming: Future[tuple[list[Claimed], int]] | None = None
        self._recording: Future[None] | None = None
        self._most = FIRST_CHUNK
        self.suppressed = 0

    def __enter__(self) -> Clerk:
        # Python's usual 5 ms would keep the lane waiting for the clerk after each word with the mail server.
        sys.setswitchinterval(TURN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)

    def send_for_more(self) -> None:
        """Begin to claim, unless that is under way."""
        if self._claiming is None:
            self._claiming = self._submit(partial(self._desk.claim, most=self._most))
            self._most = CHUNK

    def rows(self, *, wait: bool) -> list[Claimed] | None:
        """The rows that were sent for; None while they are not there yet, or nobody was sent."""
        if self._claiming is None or not (wait or self._claiming.done()):
            return None
        found, suppressed = self._claiming.result()
        self._claiming = None
        self.suppressed += suppressed
        return found

    def record(self, results: list[tuple[Claimed, Reply]]) -> bool:
        """Begin to record `results`; False, with nothing done, while the last recording is under way."""
        if self._recording is not None:
            if not self._recording.done():
                return False
            self._recording.result()
        self._recording = self._submit(lambda: self._record(results))
        return True

    def others_at_work(self) -> bool:
        """Whether other lanes hold deliveries now; waits for the database."""
        return self._submit(self._desk.others_at_work).result()

    def note_health(self) -> None:
        """Tell all lanes that the provider answers."""
        self._submit(self._desk.health)

    def finish(self, results: list[tuple[Claimed, Reply]], release: Iterable[Claimed], *, trouble: str | None) -> None:
        """Record all that is left, put `release` and what was claimed ahead back, and wait for it.

        With `trouble`, what the provider is said to have, all lanes rest and what is put back waits as long.
        """
        back = list(release)
        if self._claiming is not None:
            back += self.rows(wait=True) or []
        due_at = self._submit(lambda: self._desk.trouble(trouble)).result() if trouble else None
        if self._recording is not None:
            self._recording.result()
        self._submit(lambda: self._record(results, release=back, due_at=due_at)).result()

    def _record(
        self, results: list[tuple[Claimed, Reply]], *, release: Iterable[Claimed] = (), due_at: datetime | None = None
    ) -> None:
        self.going_on = self._desk.record(results, release=release, due_at=due_at)
        self._journal.checkpoint(row.id for row, _ in results)

    def _submit(self, work: Callable[[], Result]) -> Future[Result]:
        # The clock and the words of the log go along.
        return self._thread.submit(copy_context().run, self._in_context, work)

    def _in_context(self, work: Callable[[], Result]) -> Result:
        with self._contexts():
            return work()
