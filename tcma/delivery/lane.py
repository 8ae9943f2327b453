"""One lane: one connection with one journal, fed and relieved by a clerk that talks to the database meanwhile.

The lane composes and hands over; its clerk, a thread of its own, claims the next rows before the last are gone and
records verdicts each second. So neither the wire waits for the database nor the database for the wire.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TypeVar

import structlog

from tcma import clock
from tcma.db import Contexts
from tcma.delivery.claiming import Claimed, Desk
from tcma.delivery.composing import Composer
from tcma.delivery.journal import Journal
from tcma.delivery.reply import Reply, ReplyKind
from tcma.delivery.smtp import Envelope
from tcma.delivery.smtp_target import SmtpError
from tcma.delivery.transport import Transport
from tcma.errors import Invalid

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

RECORD_EVERY = 1.0
TURN = 0.0002
"""Seconds that one thread computes before another that waits has its turn."""
CLAIM_AHEAD = 60
"""Rows left when the clerk is sent for more: enough to hide a claim, few enough to leave work to other lanes."""
REFUSALS_IN_A_ROW = 5
"""Answers in a row that judge no message (a 421, a refused sender) after which the provider is in trouble."""


@dataclass
class LaneReport:
    """What one run of a lane did."""

    sent: int = 0
    failed: int = 0
    deferred: int = 0
    unknown: int = 0
    suppressed: int = 0
    more: bool = False


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
            self._claiming = self._submit(self._desk.claim)

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


class Lane:
    """Hands over what the clerk brings, until nothing is due, `over` says so or the provider is in trouble."""

    def __init__(
        self,
        clerk: Clerk,
        composer: Composer,
        journal: Journal,
        connection: Transport,
        *,
        seconds: float,
        stop: Callable[[], bool],
    ) -> None:
        self.report = LaneReport()
        self._clerk = clerk
        self._composer = composer
        self._journal = journal
        self._connection = connection
        self._until = time.monotonic() + seconds
        self._stop = stop
        self._queue: deque[Claimed] = deque()
        self._dry = False
        self._results: list[tuple[Claimed, Reply]] = []
        self._refusals = 0
        self._refused_again = ""
        self._recorded_at = time.monotonic()

    def run(self) -> None:
        """Work until the end; what was not handed over is pending again afterwards."""
        held: list[Claimed] = []
        trouble: str | None = None
        self._clerk.send_for_more()
        try:
            held, trouble = self._hand_over_all()
        finally:
            # After an error nothing more is recorded here: the journal knows what became of each row.
            self._connection.close()
        self._clerk.finish(self._results, [*held, *self._queue], trouble=trouble)
        self.report.suppressed = self._clerk.suppressed

    def _hand_over_all(self) -> tuple[list[Claimed], str | None]:
        """(rows that must go back, the provider's trouble if it has any); each message is composed before the one ahead of it leaves,
        so that its commands can ride behind that one's dot."""
        row = self._next()
        if row is None:
            return [], None
        trouble = self._connect()
        if trouble:
            return [row], trouble
        self._clerk.note_health()
        message = self._composed(row)
        while True:
            if (row.lease_until - clock.now()).total_seconds() <= self._connection.target.longest_transaction:
                self.report.more = True
                return [row], None
            following = None if self._is_over() else self._next()
            prepared = self._composed(following) if following else None
            announced = self._envelope(following) if following and isinstance(prepared, bytes) else None
            self._note(row, self._send(row, message, announced))
            if following is None or prepared is None:
                return [], None
            trouble = self._refused_again or ("" if self._connection.is_open else self._connect())
            if trouble:
                return [following], trouble
            row, message = following, prepared

    def _is_over(self) -> bool:
        if self._stop() or not self._clerk.going_on:
            return True
        self.report.more = time.monotonic() >= self._until
        return self.report.more

    def _next(self) -> Claimed | None:
        """The next row; waits for the clerk only when there is nothing else to do."""
        if not self._dry and len(self._queue) <= CLAIM_AHEAD:
            self._clerk.send_for_more()
            found = self._clerk.rows(wait=not self._queue)
            if found is not None:
                self._queue.extend(found)
                self._dry = not found
        return self._queue.popleft() if self._queue else None

    def _connect(self) -> str:
        """What keeps the provider from taking mail; nothing if it is ready."""
        try:
            self._connection.connect()
        except SmtpError as error:
            log.warning("provider_trouble", error=str(error))
            return str(error) or "The mail server does not answer."
        return ""

    def _envelope(self, row: Claimed) -> Envelope:
        return Envelope(self._composer.return_path(row.id), row.address)

    def _composed(self, row: Claimed) -> bytes | Reply:
        """The message of a delivery, or why there is none."""
        if row.contact is None:
            return Reply(ReplyKind.FAILED, text="The contact was erased before the mail left.")
        try:
            return self._composer.message(row.id, row.address, row.contact)
        except Invalid as error:
            return Reply(ReplyKind.FAILED, text=error.message)

    def _send(self, row: Claimed, message: bytes | Reply, upcoming: Envelope | None) -> Reply:
        """One message: journalled just before its final dot, and again with the verdict."""
        if isinstance(message, Reply):
            return message
        envelope = self._envelope(row)
        reply = self._connection.send(
            envelope.sender,
            envelope.recipient,
            message,
            before_dot=lambda: self._journal.dot(row.id),
            upcoming=upcoming,
        )
        self._journal.outcome(row.id, reply)
        return reply

    def _note(self, row: Claimed, reply: Reply) -> None:
        """Keep a verdict, and have the clerk record what came together each second."""
        setattr(self.report, str(reply.kind), getattr(self.report, str(reply.kind)) + 1)
        self._results.append((row, reply))
        self._refusals = 0 if reply.spends_attempt else self._refusals + 1
        if self._refusals >= REFUSALS_IN_A_ROW:
            log.warning("provider_trouble", error=reply.text, code=reply.code)
            self._refused_again = reply.text or f"The mail server answers {reply.code} again and again."
        if time.monotonic() - self._recorded_at >= RECORD_EVERY and self._clerk.record(self._results):
            self._results, self._recorded_at = [], time.monotonic()
