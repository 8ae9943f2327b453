"""Servers that keep to no rule: each answers by a script, word for word and when it likes."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tcma.delivery.reply import Envelope, Outgoing, ReplyKind, Stage
from tcma.delivery.smtp import SmtpConnection, SmtpTarget

MAIL = b"Message-ID: <one@test>\r\nSubject: hi\r\n\r\nhello\r\n"


class Rude:
    """Greets one client after the other, then answers each command, and the end of each message, as `answer` says."""

    def __init__(self, answer: Callable[[bytes], str], *, features: str = "PIPELINING") -> None:
        self.heard: list[bytes] = []
        self._answer = answer
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
            client.sendall(f"{answer}\r\n".encode())
            if answer.startswith("354"):
                while (line := lines.readline()) and line != b".\r\n":
                    self.heard.append(line.rstrip())
                if not line:
                    return
                self.heard.append(b".")
                client.sendall(f"{self._answer(b'.')}\r\n".encode())


def outgoing(recipient: str, *, before_dot: Callable[[], None] = lambda: None) -> Outgoing:
    return Outgoing(Envelope("b@t.example", recipient), MAIL, before_dot)


@contextmanager
def rude(
    answer: Callable[[bytes], str], *, features: str = "PIPELINING", timeout: float = 5, answer_timeout: float = 5
) -> Iterator[tuple[Rude, SmtpConnection]]:
    server = Rude(answer, features=features)
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
