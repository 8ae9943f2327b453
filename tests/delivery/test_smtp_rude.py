"""Servers that keep to no rule: each answers by a script, word for word and when it likes."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tcma.delivery.reply import Envelope, Outgoing, Reply, ReplyKind, Stage
from tcma.delivery.smtp import SmtpConnection, SmtpTarget

MAIL = b"Message-ID: <one@test>\r\nSubject: hi\r\n\r\nhello\r\n"


class Rude:
    """Greets one client after the other, then answers each command, and the end of each message, as `answer` says."""

    def __init__(
        self, answer: Callable[[bytes], str], *, features: str = "PIPELINING", drop_by_drop: bool = False
    ) -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._drop_by_drop = drop_by_drop
        self._features = features
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                try:
                    self._talk(client)
                except OSError:
                    continue

    def _talk(self, client: socket.socket) -> None:
        client.sendall(b"220 rude\r\n")
        client.recv(1000)
        client.sendall(f"250-rude\r\n250 {self._features}\r\n".encode())
        lines = client.makefile("rb")
        while line := lines.readline():
            self.heard.append(line.rstrip())
            answer = self._answer(line.rstrip())
            self._say(client, answer)
            if answer.startswith("354"):
                while (line := lines.readline()) and line != b".\r\n":
                    self.heard.append(line.rstrip())
                if not line:
                    return
                self.heard.append(b".")
                self._say(client, self._answer(b"."))

    def _say(self, client: socket.socket, answer: str) -> None:
        words = f"{answer}\r\n".encode()
        size = 1 if self._drop_by_drop else len(words)
        for start in range(0, len(words), size):
            client.sendall(words[start : start + size])
            if self._drop_by_drop:
                time.sleep(0.0002)


def outgoing(recipient: str, *, before_dot: Callable[[], None] = lambda: None, upcoming: str = "") -> Outgoing:
    following = Envelope("b@t.example", upcoming) if upcoming else None
    return Outgoing(Envelope("b@t.example", recipient), MAIL, before_dot, following)


@contextmanager
def rude(
    answer: Callable[[bytes], str],
    *,
    features: str = "PIPELINING",
    timeout: float = 5,
    answer_timeout: float = 5,
    drop_by_drop: bool = False,
) -> Iterator[tuple[Rude, SmtpConnection]]:
    server = Rude(answer, features=features, drop_by_drop=drop_by_drop)
    connection = SmtpConnection(SmtpTarget("127.0.0.1", server.port, timeout=timeout, answer_timeout=answer_timeout))
    connection.connect()
    try:
        yield server, connection
    finally:
        connection.close()
        server.close()


def polite(line: bytes) -> str:
    return "354 go ahead" if line == b"DATA" else "250 ok"


def test_a_server_that_refuses_to_forget_judges_no_mail_and_delivers_no_empty_one() -> None:
    def answer(line: bytes) -> str:
        if line == b"RCPT TO:<bad@example.com>":
            return "550 5.1.1 unknown"
        if line == b"DATA" and b"RCPT TO:<good@example.com>" not in server.heard:
            return "503 5.5.1 RCPT first"
        return "502 5.5.1 what is that?" if line == b"RSET" else polite(line)

    with rude(answer) as (server, connection):
        bad = connection.send(outgoing("bad@example.com"))
        good = connection.send(outgoing("good@example.com"))
        assert (bad.kind, bad.stage) == (ReplyKind.FAILED, Stage.RCPT)
        # Its recipient was taken by now: a dot would be the end of a mail with nothing in it.
        assert (good.kind, good.spends_attempt) == (ReplyKind.DEFERRED, False)
        assert not connection.is_open
        connection.connect()
        assert connection.send(outgoing("good@example.com")).kind is ReplyKind.SENT
    assert server.heard.count(b".") == 1


def test_a_recipient_taken_after_a_refused_sender_gets_no_empty_mail() -> None:
    with rude(lambda line: "451 4.3.0 later" if line.startswith(b"MAIL") else polite(line)) as (server, connection):
        reply = connection.send(outgoing("a@example.com"))
        assert (reply.kind, reply.stage, connection.is_open) == (ReplyKind.DEFERRED, Stage.MAIL, False)
    assert b"." not in server.heard


def test_commands_without_pipelining_take_no_longer_than_a_lease_allows_for() -> None:
    def answer(line: bytes) -> str:
        time.sleep(0.45)
        return polite(line)

    with rude(answer, features="8BITMIME", timeout=0.5, answer_timeout=0.5) as (_, connection):
        started = time.monotonic()
        reply = connection.send(outgoing("a@example.com"))
        took = time.monotonic() - started
    assert reply.kind is ReplyKind.DEFERRED
    assert not reply.spends_attempt
    assert took < connection.target.timeout * 1.5


def test_an_answer_that_came_in_time_counts_though_nobody_looked() -> None:
    at_the_dot, goes_on = threading.Event(), threading.Event()

    def answer(line: bytes) -> str:
        if line == b".":
            assert goes_on.wait(10)
        return polite(line)

    with rude(answer, answer_timeout=0.3) as (_, connection):
        reply = connection.begin(outgoing("a@example.com", before_dot=at_the_dot.set))
        while not at_the_dot.is_set():
            _wait(connection)
            reply = connection.advance()
        assert reply is None
        goes_on.set()
        _wait(connection)
        # Now this process stands still until it is too late, as in a machine that was put to sleep.
        while time.monotonic() <= connection.waits_for[2]:
            time.sleep(0.01)
        reply = connection.advance()
        assert reply is not None
        assert reply.kind is ReplyKind.SENT


def _wait(connection: SmtpConnection) -> None:
    descriptor, event, _ = connection.waits_for
    poll = select.poll()
    poll.register(descriptor, event)
    assert poll.poll(5000)


@pytest.mark.parametrize("features", ["PIPELINING", "8BITMIME"])
def test_replies_that_come_drop_by_drop_are_read_whole(features: str) -> None:
    people = [f"r{number}@example.com" for number in range(5)]

    def answer(line: bytes) -> str:
        return "250-2.0.0 taken\r\n250 2.0.0 as five" if line == b"." else polite(line)

    with rude(answer, features=features, drop_by_drop=True) as (server, connection):
        for person, after in zip(people, [*people[1:], ""], strict=True):
            reply = connection.send(outgoing(person, upcoming=after))
            assert reply == Reply(ReplyKind.SENT, 250, "2.0.0", "taken as five", Stage.DOT)
    assert server.heard.count(b".") == 5


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("250", Reply(ReplyKind.SENT, 250, None, "")),
        ("250 2.0.0", Reply(ReplyKind.SENT, 250, "2.0.0", "")),
        ("250 2.0.0   queued as 7 ", Reply(ReplyKind.SENT, 250, "2.0.0", "queued as 7 ")),
        ("250 2.0.0queued", Reply(ReplyKind.SENT, 250, None, "2.0.0queued")),
        ("251 2.1.5 forwarded", Reply(ReplyKind.SENT, 251, "2.1.5", "forwarded")),
        ("250 2.0.0 schön", Reply(ReplyKind.SENT, 250, "2.0.0", "schön")),
        ("250 2.0.0 a\tb", Reply(ReplyKind.SENT, 250, "2.0.0", "a\N{REPLACEMENT CHARACTER}b")),
        ("250-2.0.0 one\r\n250 2.0.0 two", Reply(ReplyKind.SENT, 250, "2.0.0", "one two")),
        ("450 4.2.0 later", Reply(ReplyKind.DEFERRED, 450, "4.2.0", "later")),
    ],
)
def test_an_answer_to_the_dot_is_understood_in_any_form(words: str, reply: Reply) -> None:
    with rude(lambda line: words if line == b"." else polite(line)) as (_, connection):
        assert connection.send(outgoing("a@example.com")) == reply


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_goodbye_right_behind_the_go_ahead_defers_before_the_dot(is_announced: bool) -> None:
    dots: list[str] = []

    def answer(line: bytes) -> str:
        if line == b"DATA" and b"RCPT TO:<b@example.com>" in server.heard:
            return "354 go ahead\r\n421 4.3.2 going down"
        return polite(line)

    with rude(answer) as (server, connection):
        connection.send(outgoing("a@example.com", upcoming="b@example.com" if is_announced else ""))
        reply = connection.send(outgoing("b@example.com", before_dot=lambda: dots.append("b")))
        assert (reply.kind, reply.code, reply.stage, connection.is_open) == (
            ReplyKind.DEFERRED, 421, Stage.DATA, False,
        )  # fmt: skip
    assert dots == []


def test_an_announced_sender_may_be_refused_in_several_lines() -> None:
    def answer(line: bytes) -> str:
        if line == b"MAIL FROM:<b@t.example>" and server.heard.count(line) == 2:
            return "451-4.7.1 too fast\r\n451 4.7.1 wait"
        return polite(line) if b"RCPT TO:<b@example.com>" not in server.heard else "503 5.5.1 MAIL first"

    with rude(answer) as (server, connection):
        connection.send(outgoing("a@example.com", upcoming="b@example.com"))
        reply = connection.send(outgoing("b@example.com"))
        assert reply == Reply(ReplyKind.DEFERRED, 451, "4.7.1", "too fast wait", Stage.MAIL)
        assert connection.is_open
    assert server.heard.count(b".") == 1
