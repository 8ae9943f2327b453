"""The wire to an SMTP server: octets out, replies in, and how long that may take.

Nothing here waits. What cannot go on yet is a generator that yields the event of `select.poll` it needs.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import time
from collections.abc import Generator

_LONGEST_REPLY = 16_384
_MOST_LINES = 500
_TRY_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# Linux: hold the message back until the dot follows, so that the server wakes once for both.
_MORE = getattr(socket, "MSG_MORE", 0)


class Gone(Exception):
    """The connection ended, took too long, or spoke no SMTP."""


class SmtpWire:
    """A signed-in connection. Whatever reads or writes may also raise OSError, which means the same as Gone."""

    def __init__(self, connected: socket.socket) -> None:
        # Without this the short writes of a transaction would wait for the other side's delayed ACK.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        self._socket = connected
        self._tls = connected if isinstance(connected, ssl.SSLSocket) else None
        self._more = 0 if self._tls else _MORE
        self._buffer = b""
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self.descriptor = connected.fileno()
        self.deadline = 0.0
        """Latest time by `time.monotonic` for what is under way."""

    @property
    def is_plain(self) -> bool:
        """Whether what `send` did not take is still here. TLS may have written a part of it."""
        return self._tls is None

    def allow(self, seconds: float) -> None:
        """What comes next has so long, all of it together; `SmtpTarget.longest_transaction` counts on that."""
        self.deadline = time.monotonic() + seconds

    def wait(self, event: int) -> Generator[int, None, None]:
        """Wait once for `event`. Raises Gone where it is too late, which only who has just looked in vain may ask."""
        if time.monotonic() >= self.deadline:
            raise Gone("the mail server took too long")
        yield event

    def send(self, data: bytes | memoryview, *, more: bool = False) -> int:
        """How many octets of `data` went out without waiting; with `more`, they may be held back for what follows."""
        try:
            return self._socket.send(data, self._more if more else 0)
        except _TRY_AGAIN:
            return 0

    def write(self, data: bytes, *, start: int = 0, more: bool = False) -> Generator[int, None, None]:
        """All of `data` from `start` on."""
        left = memoryview(data)[start:]
        while left:
            taken = self.send(left, more=more)
            left = left[taken:]
            if not taken:
                yield from self.wait(select.POLLOUT)

    def has_read_ahead(self) -> bool:
        """Whether words of the server are on this side already, of which `select.poll` knows nothing."""
        return bool(self._buffer or (self._tls is not None and self._tls.pending()))

    def has_words(self) -> bool:
        """Whether the server may have said something: asking costs less than the error of a read in vain."""
        return self.has_read_ahead() or bool(self._poll.poll(0))

    def listen(self) -> bool:
        """Whether there are words of the server, read now if need be. Raises Gone if it has hung up."""
        return bool(self._buffer) or self._receive()

    def take(self, words: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What was read, as far as it reads like `words`; the rest is left for later. Reads nothing itself."""
        found = words.match(self._buffer)
        if found is not None:
            self._buffer = self._buffer[found.end() :]
        return found

    def reply(self) -> Generator[int, None, tuple[int, list[bytes]]]:
        """One reply: its code and its lines without code. Raises Gone for an end or a delay."""
        lines: list[bytes] = []
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > _LONGEST_REPLY:
                    raise Gone("the mail server's answer does not end")
                if not self._receive():
                    yield from self.wait(select.POLLIN)
                continue
            line, self._buffer = self._buffer[:end].rstrip(b"\r"), self._buffer[end + 1 :]
            if not line[:3].isdigit() or len(line) < 3 or line[3:4] not in (b" ", b"-", b""):
                raise Gone("the mail server's answer is not SMTP")
            lines.append(line[4:])
            if line[3:4] != b"-":
                return int(line[:3]), lines
            if len(lines) > _MOST_LINES:
                raise Gone("the mail server's answer does not end")

    def say_goodbye(self) -> None:
        """A courtesy, for a second at the most: a server that is gone does not miss it."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(1.0)
            self._socket.sendall(b"QUIT\r\n")
            self._socket.recv(512)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bool:
        """Whether the server had said something; raises Gone if it has hung up."""
        try:
            received = self._socket.recv(_LONGEST_REPLY)
        except _TRY_AGAIN:
            return False
        if not received:
            raise Gone("the mail server hung up")
        self._buffer += received
        return True
