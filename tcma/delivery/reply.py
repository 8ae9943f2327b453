"""One try to hand over one message: what every transport is given, and the four answers that it has."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

Waiting = tuple[int, int, float]
"""What a transport waits for: (file descriptor, event of `select.poll`, latest time by `time.monotonic`)."""


# These are tuples, for some are made for each mail: a frozen dataclass takes two to three times as long.
class Envelope(NamedTuple):
    """Return path ("" for none) and recipient of a message."""

    sender: str
    recipient: str


class Outgoing(NamedTuple):
    """One message to hand over.

    `data` is the whole of it (RFC 5322). `before_dot` is called once nothing but its end is left to write, and
    not at all where it is refused earlier; if it raises, the message does not leave. `upcoming` is whose message
    comes next on this connection.
    """

    envelope: Envelope
    data: bytes
    before_dot: Callable[[], None]
    upcoming: Envelope | None = None


class ReplyKind(StrEnum):
    """The verdict. `unknown` means that the last byte left and no answer came: never send again by itself."""

    SENT = "sent"
    FAILED = "failed"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


class Stage(StrEnum):
    """Which step the verdict answers: the connection, MAIL, RCPT, DATA with the message, the final dot."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class Reply(NamedTuple):
    """One verdict. `code` is the server's three digits, or None where no server said it (a lost connection).

    `enhanced` is the RFC 3463 status ("5.1.1") and `text` the server's words without code and status.
    """

    kind: ReplyKind
    code: int | None = None
    enhanced: str | None = None
    text: str = ""
    stage: Stage = Stage.DOT

    @property
    def spends_attempt(self) -> bool:
        """False where nobody judged this message: trouble with the connection, the provider or the sender.

        Such a delivery goes back to pending as it was; the breaker counts the trouble instead. A connection
        lost under the message itself does spend an attempt, so that a message that breaks servers is not
        tried for ever.
        """
        if self.kind is not ReplyKind.DEFERRED:
            return True
        return self.stage not in (Stage.CONNECT, Stage.MAIL) and not (self.code == 421 and self.stage is Stage.RCPT)
