"""One lane: a few connections to the mail server and one journal, fed and relieved by a clerk.

One thread keeps all connections busy: whichever has its answer gets its next message, and the one after that is
composed while the server is at work. A connection has one message under way at the most, so a killed process leaves
at most one unknown delivery a connection.
"""

from __future__ import annotations

import math
import select
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from tcma import clock
from tcma.delivery.claiming import Claimed
from tcma.delivery.clerk import Clerk
from tcma.delivery.composing import Composer
from tcma.delivery.journal import Journal
from tcma.delivery.reply import Envelope, Outgoing, Reply, ReplyKind, Stage
from tcma.delivery.smtp_target import SmtpError
from tcma.delivery.transport import Transport
from tcma.errors import Invalid

log = structlog.get_logger(__name__)

RECORD_EVERY = 1.0
CLAIM_AHEAD = 200
"""Rows left when the clerk is sent for more: enough to hide a claim, few enough to leave work to other lanes."""
SPREAD = 20
"""Rows waiting for each open connection before one more is opened: a few mails need no second."""
REFUSALS_IN_A_ROW = 5
"""Answers in a row that judge no message (a 421, a refused sender) after which the provider is in trouble."""
LOOK_UP = 0.05
"""Seconds after which a lane that waits for an answer looks whether the clerk or a new connection is ready."""


@dataclass
class LaneReport:
    """What one run of a lane did."""

    sent: int = 0
    failed: int = 0
    deferred: int = 0
    unknown: int = 0
    suppressed: int = 0
    more: bool = False

    def count(self, kind: ReplyKind) -> None:
        """One more verdict of this kind."""
        match kind:
            case ReplyKind.SENT:
                self.sent += 1
            case ReplyKind.FAILED:
                self.failed += 1
            case ReplyKind.DEFERRED:
                self.deferred += 1
            case ReplyKind.UNKNOWN:
                self.unknown += 1


@dataclass(slots=True, eq=False)
class Wire:
    """One connection: the row whose answer it waits for, and the row that comes next on it."""

    transport: Transport
    row: Claimed | None = None
    following: Claimed | None = None
    announced: Envelope | None = None
    """What the server has been told of `following`: then it is sent, or the connection dropped."""
    message: bytes | Reply | None = None
    """The composed mail of `following`, or why there is none."""
    opening: Future[str] | None = None
    is_further: bool = False
    """Opened beside an open one: a refusal says how many connections the server takes, not that it is in trouble."""


class Lane:
    """Hands over what the clerk brings, until nothing is due, `over` says so or the provider is in trouble."""

    def __init__(
        self,
        clerk: Clerk,
        composer: Composer,
        journal: Journal,
        connections: list[Transport],
        *,
        seconds: float,
        stop: Callable[[], bool],
    ) -> None:
        self.report = LaneReport()
        self._clerk = clerk
        self._composer = composer
        self._journal = journal
        self._wires = [Wire(one) for one in connections]
        self._spare = deque(self._wires)
        self._openers = ThreadPoolExecutor(len(connections), "opener")
        self._longest = timedelta(seconds=max(one.target.longest_transaction for one in connections))
        self._poll = select.poll()
        self._watched: dict[int, Wire] = {}
        self._until = time.monotonic() + seconds
        self._stop = stop
        self._queue: deque[Claimed] = deque()
        self._dry = False
        self._results: list[tuple[Claimed, Reply]] = []
        self._refusals = 0
        self._trouble = ""
        self._is_over = False
        self._recorded_at = self._look_for_late_at = time.monotonic()

    def run(self) -> None:
        """Work until the end; what was not handed over is pending again afterwards."""
        self._clerk.send_for_more()
        try:
            self._hand_over_all()
        except Exception:
            self._hear_out()
            raise
        finally:
            # After an error nothing more is recorded here: the journal knows what became of each row.
            self._openers.shutdown(wait=True)
            for wire in self._wires:
                wire.transport.close()
        held = [wire.following for wire in self._wires if wire.following is not None]
        self._clerk.finish(self._results, [*held, *self._queue], trouble=self._trouble or None)
        self.report.suppressed = self._clerk.suppressed

    def _hand_over_all(self) -> None:
        while True:
            self._look_at_the_time()
            self._open_more()
            for wire in self._wires:
                # A transport that is being opened belongs to the thread that opens it.
                while wire.row is None and wire.opening is None and wire.transport.is_open and self._begin_next(wire):
                    pass
            if self._watched or any(wire.opening is not None for wire in self._wires):
                self._wait()
            elif self._trouble or self._is_over or not self._fetch(wait=True):
                return

    def _hear_out(self) -> None:
        """After an error: what is under way gets its answer, into the journal alone, so that it is not unknown."""
        self._recorded_at = math.inf
        while self._watched:
            try:
                self._wait()
            except Exception as error:
                log.warning("answer_not_kept", error=str(error))

    def _look_at_the_time(self) -> None:
        if self._is_over or self._trouble:
            return
        if self._stop() or not self._clerk.going_on:
            self._is_over = True
        elif time.monotonic() >= self._until:
            self._is_over = self.report.more = True

    # -- rows -----------------------------------------------------------------------------------------

    def _fetch(self, *, wait: bool) -> bool:
        """Keep rows at hand; whether there are any."""
        if not self._dry and len(self._queue) <= CLAIM_AHEAD:
            self._clerk.send_for_more()
            found = self._clerk.rows(wait=wait and not self._queue)
            if found is not None:
                self._queue.extend(found)
                self._dry = not found
        return bool(self._queue)

    def _next(self) -> Claimed | None:
        """The next row, unless this lane is at its end or the clerk is still on the way."""
        if self._is_over or self._trouble or not self._fetch(wait=False):
            return None
        return self._queue.popleft()

    def _taken_over(self) -> Claimed | None:
        """The last rows must not wait behind an answer that is long in coming: one that its connection has not announced."""
        if self._is_over or self._trouble or not self._dry:
            return None
        for wire in self._wires:
            if wire.row is not None and wire.following is not None and wire.announced is None:
                row, wire.following, wire.message = wire.following, None, None
                return row
        return None

    def _give_back(self, wire: Wire) -> None:
        """The row that was to come next on this wire goes to any other."""
        if wire.following is not None:
            self._queue.appendleft(wire.following)
        wire.following, wire.message, wire.announced = None, None, None

    # -- connections ----------------------------------------------------------------------------------

    def _open_more(self) -> None:
        """Open a connection where there is work for it, without keeping the others waiting."""
        for wire in self._wires:
            if wire.opening is not None and wire.opening.done():
                self._opened(wire)
        if self._is_over or self._trouble or not self._spare or not self._fetch(wait=False):
            return
        # Without any there is no sending; a further one must be worth it, and never be the first to ask.
        in_use = len(self._wires) - len(self._spare)
        is_further = any(one.transport.is_open for one in self._wires)
        if in_use == 0 or (is_further and len(self._queue) >= min(SPREAD * in_use, CLAIM_AHEAD)):
            wire = self._spare.popleft()
            wire.is_further = is_further
            wire.opening = self._openers.submit(_connect, wire.transport)

    def _opened(self, wire: Wire) -> None:
        assert wire.opening is not None
        refusal, wire.opening = wire.opening.result(), None
        others = [one for one in self._wires if one is not wire]
        if not refusal:
            if not any(one.transport.is_open for one in others):
                self._clerk.note_health()
        elif wire.is_further:
            # Those that there are, or were until a moment ago, are good enough.
            log.info("fewer_connections", error=refusal)
            self._wires = others
            wire.transport.close()
        elif self._clerk.others_at_work():
            # One lane more than the server takes is no trouble either. If it is more than that, the last lane says so.
            log.info("fewer_lanes", error=refusal)
            self._is_over = True
        else:
            log.warning("provider_trouble", error=refusal)
            self._trouble = refusal

    # -- messages -------------------------------------------------------------------------------------

    def _begin_next(self, wire: Wire) -> bool:
        """Begin the next message on a free wire; False where there is none, or its answer must be waited for."""
        if wire.following is None:
            wire.following = self._next() or self._taken_over()
            if wire.following is None:
                return False
        elif self._trouble or (self._is_over and wire.announced is None):
            return False
        row = wire.following
        if row.lease_until - clock.now() <= self._longest:
            self._is_over = self.report.more = True
            return False
        message = self._composed(row) if wire.message is None else wire.message
        envelope = wire.announced
        following = self._next()
        wire.row, wire.following, wire.message, wire.announced = row, following, None, None
        if isinstance(message, Reply):
            if envelope is not None:
                # The server waits for a message that does not exist.
                wire.transport.close()
            self._settled(wire, message)
            return wire.transport.is_open
        upcoming = None
        if following is not None and following.contact is not None and wire.transport.announces:
            upcoming = self._envelope(following)
        envelope = envelope or self._envelope(row)
        reply = wire.transport.begin(Outgoing(envelope, message, partial(self._journal.dot, row.id), upcoming))
        wire.announced = upcoming
        if reply is not None:
            self._settled(wire, reply)
            return wire.transport.is_open
        self._watch(wire)
        if following is not None:
            # While the server is at work.
            wire.message = self._composed(following)
        return False

    def _wait(self) -> None:
        """Until an answer is there, or it is time to look around."""
        if not self._watched:
            openings = [wire.opening for wire in self._wires if wire.opening is not None]
            wait(openings, timeout=LOOK_UP, return_when=FIRST_COMPLETED)
            return
        for descriptor, _ in self._poll.poll(LOOK_UP * 1000):
            self._advance(descriptor, self._watched[descriptor])
        now = time.monotonic()
        if now >= self._look_for_late_at:
            self._look_for_late_at = now + LOOK_UP
            for descriptor, wire in list(self._watched.items()):
                if wire.transport.waits_for[2] <= now:
                    self._advance(descriptor, wire)

    def _advance(self, descriptor: int, wire: Wire) -> None:
        try:
            reply = wire.transport.advance()
        except BaseException:
            self._look_away(descriptor)
            raise
        if reply is None:
            self._watch(wire)
            return
        self._look_away(descriptor)
        self._settled(wire, reply)

    def _watch(self, wire: Wire) -> None:
        descriptor, event, _ = wire.transport.waits_for
        self._poll.register(descriptor, event)
        self._watched[descriptor] = wire

    def _look_away(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._watched[descriptor]

    def _settled(self, wire: Wire, reply: Reply) -> None:
        """Keep the verdict on a wire's row in the journal and for the clerk, and see what it says of the provider."""
        row, wire.row = wire.row, None
        assert row is not None
        self._journal.outcome(row.id, reply)
        self.report.count(reply.kind)
        self._results.append((row, reply))
        self._refusals = 0 if reply.spends_attempt else self._refusals + 1
        if self._refusals >= REFUSALS_IN_A_ROW and not self._trouble:
            log.warning("provider_trouble", error=reply.text, code=reply.code)
            self._trouble = reply.text or f"The mail server answers {reply.code} again and again."
        if not wire.transport.is_open:
            self._give_back(wire)
            self._spare.appendleft(wire)
        if time.monotonic() - self._recorded_at >= RECORD_EVERY and self._clerk.record(self._results):
            self._results, self._recorded_at = [], time.monotonic()

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
        except Exception:
            # A fault of ours that may be mended, and must not keep the others waiting: tried again, not for ever.
            log.exception("mail_not_made", delivery=row.id)
            return Reply(ReplyKind.DEFERRED, None, "4.3.5", "The mail could not be made.", Stage.DATA)


def _connect(transport: Transport) -> str:
    """What keeps the provider from taking mail; nothing if it is ready."""
    try:
        transport.connect()
    except SmtpError as error:
        return str(error) or "The mail server does not answer."
    return ""
