"""Handing messages to an SMTP server over one connection that stays open.

A transaction is one write for MAIL, RCPT and DATA (RFC 2920), one for the message and one for the final dot;
when the next recipient is known, its MAIL, RCPT and DATA ride behind the dot, so that a message costs one
round trip.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from tcma.delivery.message import CrlfBytes, wire_address
from tcma.delivery.reply import Reply, ReplyKind, Stage
from tcma.delivery.smtp_target import SmtpError, SmtpRefused, SmtpTarget, SmtpUnavailable, Tls, open_client
from tcma.errors import Invalid

Waiting = tuple[int, int, float]
"""(file descriptor, event of `select.poll`, latest time by `time.monotonic`)."""
Steps = list[tuple[Stage, bytes]]
Transaction = Generator[int, None, Reply]
"""Yields the event that must come to pass before it goes on; returns the verdict."""

__all__ = [
    "Envelope", "Reply", "ReplyKind", "SmtpConnection", "SmtpError", "SmtpRefused", "SmtpTarget",
    "SmtpUnavailable", "Stage", "Tls", "Waiting", "wire_bytes",
]  # fmt: skip

# A regular expression finds it three times as fast as `in` does.
_LEADING_DOT = re.compile(rb"\n\.")
_BARE = re.compile(rb"\r\n|\r|\n")
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: +|$)")
_LONGEST_REPLY = 16_384
_MOST_LINES = 500
# Linux: hold the message back until the dot follows, so that the server wakes once for both.
_MORE = getattr(socket, "MSG_MORE", 0)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Return path ("" for none) and recipient of a message to come."""

    sender: str
    recipient: str


def wire_bytes(data: bytes) -> bytes:
    """`data` as it follows DATA, without the final dot: CRLF alone, leading dots doubled (RFC 5321 §4.5.2).

    Bare CR and LF become CRLF, so that no server takes one for the end of the message.
    """
    if type(data) is not CrlfBytes:
        ends = data.count(b"\r\n")
        if ends != data.count(b"\n") or ends != data.count(b"\r"):
            data = _BARE.sub(b"\r\n", data)
        if not data.endswith(b"\r\n"):
            data += b"\r\n"
    if _LEADING_DOT.search(data):
        data = data.replace(b"\r\n.", b"\r\n..")
    return b"." + data if data.startswith(b".") else data


class _Gone(Exception):
    """The connection ended, took too long, or spoke no SMTP."""


class SmtpConnection:
    """One connection to one server, for one thread at a time; it stays open over many messages.

    `send` waits for the verdict. Who has several connections says `begin` instead and then `advance` whenever
    `waits_for` has come to pass, so that one thread keeps all of them busy.
    """

    def __init__(self, target: SmtpTarget) -> None:
        self.target = target
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._pipelining = self._eight_bit = self._utf8 = False
        self._size_limit = 0
        self._more = 0
        self._announced: Envelope | None = None
        self._announced_steps: Steps = []
        self._reset_first = False
        self._transaction: Transaction | None = None
        self._poll = select.poll()
        self._event = select.POLLIN
        self._deadline = 0.0

    @property
    def is_open(self) -> bool:
        """False before `connect` and after anything that ended the connection; `connect` opens it anew."""
        return self._socket is not None

    @property
    def announces(self) -> bool:
        """Whether the server pipelines, so that the next message's commands can go ahead of it."""
        return self._pipelining

    @property
    def waits_for(self) -> Waiting:
        """What `advance` needs before it can go on: (file descriptor, event of `select.poll`, latest time)."""
        assert self._socket is not None
        return self._socket.fileno(), self._event, self._deadline

    def connect(self) -> None:
        """Open, protect and sign in, after closing what was open. Raises SmtpUnavailable or SmtpRefused."""
        self.close()
        client = open_client(self.target)
        features = client.esmtp_features
        self._pipelining = "pipelining" in features
        self._eight_bit = "8bitmime" in features
        self._utf8 = "smtputf8" in features
        size = features.get("size", "")
        self._size_limit = int(size) if size.isdigit() else 0
        self._buffer = b""
        self._reset_first = False
        assert client.sock is not None
        # Without this the short writes of a transaction would wait for the other side's delayed ACK.
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._more = 0 if isinstance(client.sock, ssl.SSLSocket) else _MORE
        self._socket, client.sock = client.sock, None
        client.close()
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Say goodbye if the server waits for a command, then close. Never raises."""
        if self._socket is not None and self._announced is None and self._transaction is None:
            # The goodbye is a courtesy: a server that is gone does not miss it.
            with contextlib.suppress(OSError):
                self._socket.settimeout(1.0)
                self._socket.sendall(b"QUIT\r\n")
                self._socket.recv(512)
        self._drop()

    def send(
        self,
        sender: str,
        recipient: str,
        data: bytes,
        *,
        before_dot: Callable[[], None],
        upcoming: Envelope | None = None,
    ) -> Reply:
        """Hand over one message and return the server's verdict; see `Reply`.

        `before_dot` is called once all of the message is written and before the final dot is, and not at all
        where the message is refused earlier. If it raises, the dot is never written, the connection is
        dropped and the error passes on. So a message is unknown only between `before_dot` and the verdict:
        one a connection.

        `upcoming` announces the next message, a 7-bit one: its commands go out behind the dot where the
        server pipelines. The next call must then be `send` with the same addresses, or `close` and `connect`;
        anything else is deferred and drops the connection, which is the only way back out of DATA that sends
        nothing to anyone.
        """
        reply = self.begin(sender, recipient, data, before_dot=before_dot, upcoming=upcoming)
        while reply is None:
            descriptor, event, deadline = self.waits_for
            poll = select.poll()
            poll.register(descriptor, event)
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1)
            reply = self.advance()
        return reply

    def begin(
        self,
        sender: str,
        recipient: str,
        data: bytes,
        *,
        before_dot: Callable[[], None],
        upcoming: Envelope | None = None,
    ) -> Reply | None:
        """What `send` does as far as it can be done without waiting; None where `advance` must go on with it."""
        if self._transaction is not None:
            raise RuntimeError("This connection has not settled the message before.")
        announced, self._announced = self._announced, None
        if self._socket is None:
            return _lost(Stage.CONNECT, "There is no connection to the mail server.")
        if announced is not None and announced != Envelope(sender, recipient):
            self._drop()
            return _lost(Stage.CONNECT, "The connection was set up for another recipient.")
        body = wire_bytes(data)
        if announced is not None and body.isascii() and not self._is_too_large(body):
            steps: Steps | Reply = self._announced_steps
        else:
            steps = self._steps(sender, recipient, body)
        if isinstance(steps, Reply):
            if announced is not None:
                self._drop()
            return steps
        if announced is not None and not body.isascii():
            # Its MAIL is out without BODY=8BITMIME (RFC 6152). Messages of `MessageShape` never come here.
            self._drop()
            return _lost(Stage.DATA, "The message was announced as 7-bit and has other characters.")
        self._transaction = self._hand_over(
            steps, body, written=announced is not None, before_dot=before_dot, upcoming=upcoming
        )
        return self.advance()

    def advance(self) -> Reply | None:
        """Go on with the message begun until the server must be waited for, or give its verdict.

        Past the latest time of `waits_for` it gives up and says what that makes of the message.
        """
        assert self._transaction is not None
        try:
            self._event = next(self._transaction)
        except StopIteration as end:
            self._transaction = None
            reply: Reply = end.value
            return reply
        except BaseException:
            self._transaction = None
            raise
        return None

    def _hand_over(
        self,
        steps: Steps,
        body: bytes,
        *,
        written: bool,
        before_dot: Callable[[], None],
        upcoming: Envelope | None,
    ) -> Transaction:
        """One message from its first command to its verdict; yields where the server must be waited for."""
        stage = Stage.CONNECT
        try:
            verdict = yield from self._begin(steps, written=written)
            if verdict is not None:
                return verdict
            stage = Stage.DATA
            self._allow(self.target.timeout)
            yield from self._write(body, flags=self._more)
            early = yield from self._early_verdict()
            if early is not None:
                return early
        except (_Gone, OSError) as error:
            self._drop()
            return _lost(stage, f"The connection was lost before the message was complete: {error}.")
        try:
            before_dot()
        except BaseException:
            self._drop()
            raise
        return (yield from self._finish(upcoming))

    def _steps(self, sender: str, recipient: str, body: bytes) -> Steps | Reply:
        """The commands of this transaction, or why this server cannot take it."""
        try:
            mail = wire_address(sender, field="return path") if sender else ""
        except Invalid as error:
            text = f"The return path cannot be used. {error}"
            return Reply(ReplyKind.FAILED, None, "5.1.7", text, Stage.MAIL)
        try:
            rcpt = wire_address(recipient)
        except Invalid as error:
            return Reply(ReplyKind.FAILED, None, "5.1.3", str(error), Stage.RCPT)
        options = ""
        if not body.isascii():
            if not self._eight_bit:
                text = "The mail server takes 7-bit messages only, and this one has other characters."
                return Reply(ReplyKind.FAILED, None, "5.6.3", text, Stage.MAIL)
            options = " BODY=8BITMIME"
        if not (mail.isascii() and rcpt.isascii()):
            if not self._utf8:
                text = "The mail server takes ASCII addresses only, and this address has other characters."
                return Reply(ReplyKind.FAILED, None, "5.6.7", text, Stage.RCPT)
            options += " SMTPUTF8"
        if self._is_too_large(body):
            text = f"The message has {len(body)} bytes and the mail server takes {self._size_limit}."
            return Reply(ReplyKind.FAILED, None, "5.3.4", text, Stage.MAIL)
        steps = [
            (Stage.MAIL, f"MAIL FROM:<{mail}>{options}\r\n".encode()),
            (Stage.RCPT, f"RCPT TO:<{rcpt}>\r\n".encode()),
            (Stage.DATA, b"DATA\r\n"),
        ]
        return [(Stage.CONNECT, b"RSET\r\n"), *steps] if self._reset_first else steps

    def _is_too_large(self, body: bytes) -> bool:
        return 0 < self._size_limit < len(body)

    def _begin(self, steps: Steps, *, written: bool) -> Generator[int, None, Reply | None]:
        """None once the server waits for the message; else the verdict, the session fit for the next."""
        at_once = self._pipelining
        self._allow(self.target.timeout)
        if at_once and not written:
            yield from self._write(b"".join([command for _, command in steps]))
        verdict: Reply | None = None
        has_recipient = False
        self._reset_first = False
        for stage, command in steps:
            if not at_once:
                yield from self._write(command)
            code, lines = yield from self._read()
            if code == 421:
                self._drop()
                return verdict or _verdict(code, lines, stage)
            if stage is Stage.CONNECT and not 200 <= code < 300:
                # RSET is about the mail before: this one was not judged, and has a better chance elsewhere.
                self._drop()
                return replace(_verdict(code, lines, stage), kind=ReplyKind.DEFERRED)
            if stage is Stage.DATA and code == 354:
                if verdict is None:
                    return None
                if has_recipient:
                    # It refused an earlier command, and would deliver an empty mail.
                    self._drop()
                    return verdict
                # Refused, and DATA taken all the same: end it with nothing in it (RFC 2920 §3.1).
                yield from self._write(b".\r\n")
                yield from self._read()
            elif stage is Stage.DATA or not 200 <= code < 300:
                verdict = verdict or _verdict(code, lines, stage)
                if not at_once:
                    break
            elif stage is Stage.RCPT:
                has_recipient = True
        self._reset_first = True
        return verdict

    def _early_verdict(self) -> Generator[int, None, Reply | None]:
        """The server's refusal while we were still writing, if it gave one; raises _Gone if it has hung up.

        Looking before the dot is written keeps such a message deferred that would be unknown a moment later.
        """
        if not self._has_words() or not (self._buffer or self._receive()):
            return None
        code, lines = yield from self._read()
        verdict = _verdict(code, lines, Stage.DATA)
        self._drop()
        return verdict

    def _finish(self, upcoming: Envelope | None) -> Transaction:
        """Write the final dot, and behind it the commands of the next message; read the verdict."""
        assert self._socket is not None
        commands = self._announcement(upcoming) if upcoming is not None else b""
        tail = b".\r\n" + commands
        is_plain = not isinstance(self._socket, ssl.SSLSocket)
        self._allow(self.target.answer_timeout)
        written = 0
        try:
            while not written:
                written = self._take(tail)
                if not written:
                    yield from self._wait(select.POLLOUT)
        except (_Gone, OSError) as error:
            self._drop()
            if is_plain:
                # send() fails only where the kernel took not one byte: the dot is still here.
                return _lost(Stage.DATA, f"The connection was lost before the message was complete: {error}.")
            return _unknown(error)
        try:
            if written < len(tail):
                yield from self._write(tail[written:])
            if not self._has_words():
                yield from self._wait(select.POLLIN)
            code, lines = yield from self._read()
            verdict = _verdict(code, lines, Stage.DOT, good=ReplyKind.SENT)
        except (_Gone, OSError) as error:
            self._drop()
            return _unknown(error)
        if code == 421:
            self._drop()
        elif commands:
            self._announced = upcoming
        return verdict

    def _announcement(self, upcoming: Envelope) -> bytes:
        """The commands of `upcoming` in one piece, or nothing where they cannot go ahead of its message."""
        if not self._pipelining:
            return b""
        steps = self._steps(upcoming.sender, upcoming.recipient, b"")
        if isinstance(steps, Reply) or not (upcoming.sender + upcoming.recipient).isascii():
            return b""
        self._announced_steps = steps
        return b"".join([command for _, command in steps])

    def _allow(self, seconds: float) -> None:
        """What comes next has so long, all of it together; `SmtpTarget.longest_transaction` counts on that."""
        self._deadline = time.monotonic() + seconds

    def _write(self, data: bytes, *, flags: int = 0) -> Generator[int, None, None]:
        """All of `data`."""
        left = memoryview(data)
        while left:
            taken = self._take(left, flags)
            left = left[taken:]
            if left and not taken:
                yield from self._wait(select.POLLOUT)

    def _take(self, data: bytes | memoryview, flags: int = 0) -> int:
        """How many octets went out without waiting."""
        if self._socket is None:
            raise _Gone("it is closed")
        try:
            return self._socket.send(data, flags) if flags else self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def _wait(self, event: int) -> Generator[int, None, None]:
        """Wait once for `event`. Raises _Gone where it is too late, which only who has just looked in vain may ask."""
        if time.monotonic() >= self._deadline:
            raise _Gone("the mail server took too long")
        yield event

    def _read(self) -> Generator[int, None, tuple[int, list[bytes]]]:
        """One reply: its code and its lines without code. Raises _Gone for an end or a delay."""
        lines: list[bytes] = []
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > _LONGEST_REPLY:
                    raise _Gone("the mail server's answer does not end")
                if not self._receive():
                    yield from self._wait(select.POLLIN)
                continue
            line, self._buffer = self._buffer[:end].rstrip(b"\r"), self._buffer[end + 1 :]
            if not line[:3].isdigit() or len(line) < 3 or line[3:4] not in (b" ", b"-", b""):
                raise _Gone("the mail server's answer is not SMTP")
            lines.append(line[4:])
            if line[3:4] != b"-":
                return int(line[:3]), lines
            if len(lines) > _MOST_LINES:
                raise _Gone("the mail server's answer does not end")

    def _has_words(self) -> bool:
        """Whether the server may have said something: asking costs less than the error of a read in vain."""
        if self._buffer or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return True
        return bool(self._poll.poll(0))

    def _receive(self) -> bool:
        """Whether the server had said something; raises _Gone if it has hung up."""
        if self._socket is None:
            raise _Gone("it is closed")
        try:
            received = self._socket.recv(_LONGEST_REPLY)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        if not received:
            raise _Gone("the mail server hung up")
        self._buffer += received
        return True

    def _drop(self) -> None:
        """Close without a word. Inside DATA, this makes the server forget the message (RFC 5321 §3.8)."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._announced = None
        self._transaction = None
        self._buffer = b""


def _verdict(code: int, lines: list[bytes], stage: Stage, *, good: ReplyKind | None = None) -> Reply:
    """What a reply means: 4xx deferred, 5xx failed, 2xx `good` if given; raises _Gone for others."""
    if 200 <= code < 300 and good is not None:
        kind = good
    elif 400 <= code < 500:
        kind = ReplyKind.DEFERRED
    elif 500 <= code < 600:
        kind = ReplyKind.FAILED
    else:
        raise _Gone(f"the mail server answered {code}, which makes no sense here")
    enhanced: str | None = None
    words: list[str] = []
    for line in lines:
        text = line.decode("utf-8", "replace")
        match = _ENHANCED.match(text)
        if match:
            enhanced = enhanced or match[1]
            text = text[match.end() :]
        words.append(text)
    shown = " ".join(words)
    if not shown.isprintable():
        shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
    return Reply(kind, code, enhanced, shown, stage)


def _lost(stage: Stage, text: str) -> Reply:
    return Reply(ReplyKind.DEFERRED, None, None, text, stage)


def _unknown(error: Exception) -> Reply:
    text = f"The message was handed over whole, and the connection was lost before the answer: {error}."
    return Reply(ReplyKind.UNKNOWN, None, None, text, Stage.DOT)
