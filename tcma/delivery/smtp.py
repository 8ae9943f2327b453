"""Handing messages to an SMTP server over one connection that stays open.

A transaction is one write for MAIL, RCPT and DATA (RFC 2920), one for the message and one for the final dot;
when the next recipient is known, its MAIL, RCPT and DATA ride behind the dot, so that a message costs one
round trip.

What usually happens (the announced message is wanted, fits into the socket at once and is taken in one line) has a
way of its own: regular expressions know its answers, and no step has a generator to itself. That is a third of the
time. Whatever they do not know is read reply by reply.
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Generator

from tcma.delivery.message import CrlfBytes, WireBytes, wire_address
from tcma.delivery.reply import Envelope, Outgoing, Reply, ReplyKind, Stage, Waiting
from tcma.delivery.smtp_target import SmtpTarget, open_client
from tcma.delivery.smtp_wire import Gone, SmtpWire
from tcma.errors import Invalid

Transaction = Generator[int, None, Reply]
"""Yields the event that must come to pass before it goes on; returns the verdict."""

__all__ = ["SmtpConnection", "SmtpTarget", "wire_bytes"]

# A regular expression finds it three times as fast as `in` does.
_LEADING_DOT = re.compile(rb"\n\.")
_BARE = re.compile(rb"\r\n|\r|\n")
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: +|$)")
# MAIL, RCPT and DATA are accepted, in one line each.
_GO_AHEAD = re.compile(rb"(?:2\d\d(?: [^\n]*|\r*)\n){2}354(?: [^\n]*|\r*)\n")
# The message is taken, in one line of printable ASCII.
_TAKEN = re.compile(rb"250 (?:([245]\.\d{1,3}\.\d{1,3})(?: |(?=\r?\n)))?([ -~]*)\r?\n")
# The same ASCII addresses as `wire_address` leaves untouched, both at once.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
_PLAIN = rf"(?=[^@>]{{1,64}}@)(?=[^>]{{1,254}}>){_ATEXT}(?:\.{_ATEXT})*@{_LABEL}(?:\.{_LABEL})*"
_PLAIN_COMMANDS = re.compile(rf"MAIL FROM:<{_PLAIN}>\r\nRCPT TO:<{_PLAIN}>\r\nDATA\r\n")
_STAGES = {b"RSET": Stage.CONNECT, b"MAIL": Stage.MAIL, b"RCPT": Stage.RCPT, b"DATA": Stage.DATA}


def wire_bytes(data: bytes) -> bytes:
    """`data` as it follows DATA, without the final dot: CRLF alone, leading dots doubled (RFC 5321 §4.5.2).

    Bare CR and LF become CRLF, so that no server takes one for the end of the message.
    """
    if type(data) is WireBytes:
        return data
    if type(data) is not CrlfBytes:
        ends = data.count(b"\r\n")
        if ends != data.count(b"\n") or ends != data.count(b"\r"):
            data = _BARE.sub(b"\r\n", data)
        if not data.endswith(b"\r\n"):
            data += b"\r\n"
    if _LEADING_DOT.search(data):
        data = data.replace(b"\r\n.", b"\r\n..")
    return b"." + data if data.startswith(b".") else data


class SmtpConnection:
    """One connection to one server, for one thread at a time; it stays open over many messages.

    `send` waits for the verdict. Who has several connections says `begin` instead and then `advance` whenever
    `waits_for` has come to pass, so that one thread keeps all of them busy.
    """

    def __init__(self, target: SmtpTarget) -> None:
        self.target = target
        self._wire: SmtpWire | None = None
        self._pipelining = self._eight_bit = self._utf8 = False
        self._size_limit = 0
        self._announced: Envelope | None = None
        self._announced_commands = b""
        self._reset_first = False
        self._transaction: Transaction | None = None
        self._event = select.POLLIN

    @property
    def is_open(self) -> bool:
        """False before `connect` and after anything that ended the connection; `connect` opens it anew."""
        return self._wire is not None

    @property
    def announces(self) -> bool:
        """Whether the server pipelines, so that the next message's commands can go ahead of it."""
        return self._pipelining

    @property
    def waits_for(self) -> Waiting:
        """What `advance` needs before it can go on."""
        assert self._wire is not None
        return self._wire.descriptor, self._event, self._wire.deadline

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
        self._reset_first = False
        assert client.sock is not None
        self._wire, client.sock = SmtpWire(client.sock), None
        client.close()

    def close(self) -> None:
        """Say goodbye if the server waits for a command, then close. Never raises."""
        if self._wire is not None and self._announced is None and self._transaction is None:
            self._wire.say_goodbye()
        self._drop()

    def send(self, mail: Outgoing) -> Reply:
        """Hand over one message and return the server's verdict; see `Reply`.

        `before_dot` is called once all of the message is written and before the final dot is, and not at all
        where the message is refused earlier. If it raises, the dot is never written, the connection is
        dropped and the error passes on. So a message is unknown only between `before_dot` and the verdict:
        one a connection.

        `upcoming` announces the next message, a 7-bit one: its commands go out behind the dot where the
        server pipelines. The next call must then be `send` with the same envelope, or `close` and `connect`;
        anything else is deferred and drops the connection, which is the only way back out of DATA that sends
        nothing to anyone.
        """
        reply = self.begin(mail)
        while reply is None:
            descriptor, event, deadline = self.waits_for
            poll = select.poll()
            poll.register(descriptor, event)
            poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1)
            reply = self.advance()
        return reply

    def begin(self, mail: Outgoing) -> Reply | None:
        """What `send` does as far as it can be done without waiting; None where `advance` must go on with it."""
        if self._transaction is not None:
            raise RuntimeError("This connection has not settled the message before.")
        announced, self._announced = self._announced, None
        wire = self._wire
        if wire is None:
            return _lost(Stage.CONNECT, "There is no connection to the mail server.")
        if announced is not None and announced != mail.envelope:
            self._drop()
            return _lost(Stage.CONNECT, "The connection was set up for another recipient.")
        body = wire_bytes(mail.data)
        is_seven_bit = body.isascii()
        if announced is not None and is_seven_bit and not 0 < self._size_limit < len(body):
            commands: bytes | Reply = self._announced_commands
        else:
            commands = self._commands(mail.envelope, size=len(body), is_seven_bit=is_seven_bit)
        if isinstance(commands, Reply):
            if announced is not None:
                self._drop()
            return commands
        if announced is not None and not is_seven_bit:
            # Its MAIL is out without BODY=8BITMIME (RFC 6152). Messages of `MessageShape` never come here.
            self._drop()
            return _lost(Stage.DATA, "The message was announced as 7-bit and has other characters.")
        self._transaction = self._hand_over(wire, mail, commands, body, written=announced is not None)
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

    def _hand_over(self, wire: SmtpWire, mail: Outgoing, commands: bytes, body: bytes, *, written: bool) -> Transaction:
        """One message from its first command to its verdict; yields where the server must be waited for."""
        stage = Stage.CONNECT
        try:
            wire.allow(self.target.timeout)
            if not written or wire.take(_GO_AHEAD) is None:
                verdict = yield from self._say(wire, commands, written=written)
                if verdict is not None:
                    return verdict
                wire.allow(self.target.timeout)
            stage = Stage.DATA
            taken = wire.send(body, more=True)
            if taken < len(body):
                yield from wire.write(body, start=taken, more=True)
            # Looking before the dot is written keeps such a message deferred that would be unknown a moment later.
            if wire.has_words() and wire.listen():
                code, lines = yield from wire.reply()
                verdict = _verdict(code, lines, Stage.DATA)
                self._drop()
                return verdict
        except (Gone, OSError) as error:
            self._drop()
            return _incomplete(stage, error)
        announcement = b"" if mail.upcoming is None else self._announcement(mail.upcoming)
        try:
            mail.before_dot()
        except BaseException:
            self._drop()
            raise
        tail = b".\r\n" + announcement
        wire.allow(self.target.answer_timeout)
        try:
            while not (taken := wire.send(tail)):
                yield from wire.wait(select.POLLOUT)
        except (Gone, OSError) as error:
            self._drop()
            if wire.is_plain:
                # send() fails only where the kernel took not one byte: the dot is still here.
                return _incomplete(stage, error)
            return _unknown(error)
        try:
            if taken < len(tail):
                yield from wire.write(tail, start=taken)
            if not wire.has_read_ahead():
                yield select.POLLIN
            wire.listen()
            verdict = _taken(wire)
            if verdict is None:
                code, lines = yield from wire.reply()
                verdict = _verdict(code, lines, Stage.DOT, good=ReplyKind.SENT)
        except (Gone, OSError) as error:
            self._drop()
            return _unknown(error)
        if verdict.code == 421:
            self._drop()
        elif announcement:
            self._announced, self._announced_commands = mail.upcoming, announcement
        return verdict

    def _commands(self, envelope: Envelope, *, size: int, is_seven_bit: bool) -> bytes | Reply:
        """The commands of a transaction, one a line, or why this server cannot take it. `size` is in octets."""
        try:
            mail = wire_address(envelope.sender, field="return path") if envelope.sender else ""
        except Invalid as error:
            text = f"The return path cannot be used. {error}"
            return Reply(ReplyKind.FAILED, None, "5.1.7", text, Stage.MAIL)
        try:
            rcpt = wire_address(envelope.recipient)
        except Invalid as error:
            return Reply(ReplyKind.FAILED, None, "5.1.3", str(error), Stage.RCPT)
        options = ""
        if not is_seven_bit:
            if not self._eight_bit:
                text = "The mail server takes 7-bit messages only, and this one has other characters."
                return Reply(ReplyKind.FAILED, None, "5.6.3", text, Stage.MAIL)
            options = " BODY=8BITMIME"
        if not (mail.isascii() and rcpt.isascii()):
            if not self._utf8:
                text = "The mail server takes ASCII addresses only, and this address has other characters."
                return Reply(ReplyKind.FAILED, None, "5.6.7", text, Stage.RCPT)
            options += " SMTPUTF8"
        if 0 < self._size_limit < size:
            text = f"The message has {size} bytes and the mail server takes {self._size_limit}."
            return Reply(ReplyKind.FAILED, None, "5.3.4", text, Stage.MAIL)
        commands = f"MAIL FROM:<{mail}>{options}\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n".encode()
        return b"RSET\r\n" + commands if self._reset_first else commands

    def _say(self, wire: SmtpWire, commands: bytes, *, written: bool) -> Generator[int, None, Reply | None]:
        """Say `commands`, unless they are written, and hear the answers.

        None once the server waits for the message; else the verdict, the session fit for the next.
        """
        at_once = self._pipelining
        if at_once and not written:
            yield from wire.write(commands)
        verdict: Reply | None = None
        has_recipient = False
        self._reset_first = False
        for command in commands.splitlines(keepends=True):
            stage = _STAGES[command[:4]]
            if not at_once:
                yield from wire.write(command)
            code, lines = yield from wire.reply()
            if code == 421:
                self._drop()
                return verdict or _verdict(code, lines, stage)
            if stage is Stage.CONNECT and not 200 <= code < 300:
                # RSET is about the mail before: this one was not judged, and has a better chance elsewhere.
                self._drop()
                return _verdict(code, lines, stage)._replace(kind=ReplyKind.DEFERRED)
            if stage is Stage.DATA and code == 354:
                if verdict is None:
                    return None
                if has_recipient:
                    # It refused an earlier command, and would deliver an empty mail.
                    self._drop()
                    return verdict
                # Refused, and DATA taken all the same: end it with nothing in it (RFC 2920 §3.1).
                yield from wire.write(b".\r\n")
                yield from wire.reply()
            elif stage is Stage.DATA or not 200 <= code < 300:
                verdict = verdict or _verdict(code, lines, stage)
                if not at_once:
                    break
            elif stage is Stage.RCPT:
                has_recipient = True
        self._reset_first = True
        return verdict

    def _announcement(self, upcoming: Envelope) -> bytes:
        """The commands of `upcoming`, or nothing where they cannot go ahead of its message."""
        if not self._pipelining:
            return b""
        sender, recipient = upcoming
        usual = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
        if _PLAIN_COMMANDS.fullmatch(usual) is not None:
            return usual.encode()
        commands = self._commands(upcoming, size=0, is_seven_bit=True)
        return b"" if isinstance(commands, Reply) or not (sender + recipient).isascii() else commands

    def _drop(self) -> None:
        """Close without a word. Inside DATA, this makes the server forget the message (RFC 5321 §3.8)."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        self._announced = None
        self._transaction = None


def _verdict(code: int, lines: list[bytes], stage: Stage, *, good: ReplyKind | None = None) -> Reply:
    """What a reply means: 4xx deferred, 5xx failed, 2xx `good` if given; raises Gone for others."""
    if 200 <= code < 300 and good is not None:
        kind = good
    elif 400 <= code < 500:
        kind = ReplyKind.DEFERRED
    elif 500 <= code < 600:
        kind = ReplyKind.FAILED
    else:
        raise Gone(f"the mail server answered {code}, which makes no sense here")
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


def _taken(wire: SmtpWire) -> Reply | None:
    """The verdict where the message is taken in the usual words and they are here in full; None leaves them there."""
    found = wire.take(_TAKEN)
    return None if found is None else _sent(found)


def _sent(found: re.Match[bytes]) -> Reply:
    """What `_TAKEN` found, as `_verdict` says it."""
    enhanced, text = found.groups()
    if enhanced is None:
        return Reply(ReplyKind.SENT, 250, None, text.decode())
    return Reply(ReplyKind.SENT, 250, enhanced.decode(), text.lstrip(b" ").decode())


def _incomplete(stage: Stage, error: Exception) -> Reply:
    return _lost(stage, f"The connection was lost before the message was complete: {error}.")


def _lost(stage: Stage, text: str) -> Reply:
    return Reply(ReplyKind.DEFERRED, None, None, text, stage)


def _unknown(error: Exception) -> Reply:
    text = f"The message was handed over whole, and the connection was lost before the answer: {error}."
    return Reply(ReplyKind.UNKNOWN, None, None, text, Stage.DOT)
