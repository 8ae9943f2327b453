from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from tcma.delivery.message import MessageShape, system_message
from tcma.delivery.reply import Envelope, Outgoing, ReplyKind
from tcma.delivery.smtp import SmtpConnection, SmtpTarget
from tcma.errors import NotFound
from tcma.mailbox import open_mail, read_mailbox

_RUN = """
import sys
from pathlib import Path
from tcma.mailbox import run_mailbox
run_mailbox(Path(sys.argv[1]), 0, keep=int(sys.argv[2]), on_ready=lambda port: print(port, flush=True))
print("ended", flush=True)
"""


@contextmanager
def running(maildir: Path, *, keep: int = 20_000) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [sys.executable, "-W", "error", "-c", _RUN, str(maildir), str(keep)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.terminate()


@contextmanager
def connected(port: int) -> Iterator[SmtpConnection]:
    connection = SmtpConnection(SmtpTarget("127.0.0.1", port, timeout=10))
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def send(connection: SmtpConnection, recipient: str, data: bytes, *, upcoming: Envelope | None = None) -> ReplyKind:
    return connection.send(Outgoing(Envelope("back@x.example", recipient), data, lambda: None, upcoming)).kind


def mail(subject: str = "Grüße", *, to: str = "anna@example.com", text: str = "Hallo\n") -> bytes:
    return system_message(
        from_name="Müller GmbH",
        from_address="m@x.example",
        to_address=to,
        subject=subject,
        text=text,
        html="<p>Hallo <b>Zoë</b></p>\n",
        message_id="m1",
        message_id_domain="x.example",
    )


def test_a_mail_sent_to_the_mailbox_can_be_listed_and_opened(tmp_path: Path) -> None:
    with running(tmp_path) as (port, _), connected(port) as connection:
        assert send(connection, "anna@example.com", mail(text=".one dot\nHällo\n")) is ReplyKind.SENT
    (summary,) = read_mailbox(tmp_path)
    assert (summary.sender, summary.to, summary.subject) == (
        "Müller GmbH <m@x.example>",
        ("anna@example.com",),
        "Grüße",
    )
    opened = open_mail(tmp_path, summary.key)
    assert opened.summary == summary
    assert (opened.text or "").replace("\r\n", "\n").strip() == ".one dot\nHällo"
    assert "<b>Zoë</b>" in (opened.html or "")
    assert dict(opened.headers)["Return-Path"] == "<back@x.example>"
    assert opened.attachments == ()
    assert len(opened.raw) == summary.size


def test_newest_come_first_and_search_recipient_and_pages_narrow(tmp_path: Path) -> None:
    with running(tmp_path) as (port, _), connected(port) as connection:
        for number in range(6):
            who = f"{'anna' if number % 2 else 'bert'}{number}@example.com"
            assert send(connection, who, mail(f"Frühling {number}", to=who)) is ReplyKind.SENT
    assert [each.subject[-1] for each in read_mailbox(tmp_path)] == list("543210")
    assert [each.subject[-1] for each in read_mailbox(tmp_path, limit=2)] == list("54")
    older = read_mailbox(tmp_path, before=read_mailbox(tmp_path, limit=2)[-1].key)
    assert [each.subject[-1] for each in older] == list("3210")
    assert [each.subject[-1] for each in read_mailbox(tmp_path, to="ANNA")] == list("531")
    assert [each.subject[-1] for each in read_mailbox(tmp_path, search="frühling 4")] == ["4"]
    assert [each.subject[-1] for each in read_mailbox(tmp_path, search="bert2@")] == ["2"]
    assert len(read_mailbox(tmp_path, search="müller")) == 6


def test_announced_messages_are_taken_in_one_round_trip_each(tmp_path: Path) -> None:
    people = [f"r{number}@example.com" for number in range(30)]
    with running(tmp_path) as (port, _), connected(port) as connection:
        for person, after in zip(people, [*people[1:], None], strict=True):
            upcoming = Envelope("back@x.example", after) if after else None
            assert send(connection, person, mail(to=person), upcoming=upcoming) is ReplyKind.SENT
    assert [each.to[0] for each in reversed(read_mailbox(tmp_path))] == people


def test_only_the_newest_are_kept_also_after_a_restart(tmp_path: Path) -> None:
    for first in (0, 10):
        with running(tmp_path, keep=12) as (port, _), connected(port) as connection:
            for number in range(first, first + 10):
                send(connection, "anna@example.com", mail(str(number)))
    assert [each.subject for each in read_mailbox(tmp_path)] == [str(number) for number in range(19, 7, -1)]


def test_a_hundred_mails_a_second_are_taken_even_on_a_busy_machine(tmp_path: Path) -> None:
    shape = MessageShape(
        from_name="M",
        from_address="m@x.example",
        list_id="l.x.example",
        feedback_id="a:b:c:d",
        message_id_domain="x.example",
    )
    html = "<p>Hello</p>\n" * 1500
    with running(tmp_path) as (port, _), connected(port) as connection:
        started = time.perf_counter()
        for number in range(600):
            data = shape.fill(
                to_address="anna@example.com",
                subject="S",
                html=html,
                text="t",
                message_id=f"m{number}",
                unsubscribe_url="https://t.example/u/x",
            )
            assert send(connection, "anna@example.com", data) is ReplyKind.SENT
        rate = 600 / (time.perf_counter() - started)
    assert len(read_mailbox(tmp_path, limit=1000)) == 600
    assert rate > 100


def test_sigterm_ends_it_cleanly_while_a_client_is_connected(tmp_path: Path) -> None:
    with running(tmp_path) as (port, process), connected(port) as connection:
        send(connection, "anna@example.com", mail())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = (
            "import sys; from pathlib import Path; from tcma.mailbox import run_mailbox;"
            f"run_mailbox(Path(sys.argv[1]), {taken.getsockname()[1]})"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be used for the mailbox" in done.stderr


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "..", "x", "1" * 19 + "./../x", "1" * 19 + ".gone"])
def test_a_key_that_is_no_mail_is_not_found(tmp_path: Path, key: str) -> None:
    with pytest.raises(NotFound):
        open_mail(tmp_path, key)


def test_no_folder_is_an_empty_mailbox(tmp_path: Path) -> None:
    assert read_mailbox(tmp_path / "none") == []


def _put(maildir: Path, raw: bytes, *, number: int = 0) -> str:
    key = f"1700000000000000000.{number:09d}_1.host"
    (maildir / "new").mkdir(parents=True, exist_ok=True)
    (maildir / "new" / key).write_bytes(b"Delivered-To: a@x.example\r\nReturn-Path: <>\r\n" + raw)
    return key


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no headers at all",
        b"Subject: =?utf-99?b?////?=\r\n\r\nx",
        b"Subject: =?utf-8?b?!?=\r\nFrom: \xff\xfe\r\n\r\n\xff",
        b'Content-Type: text/plain; charset="klingon"\r\n\r\nx\xff',
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\nnothing',
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
    ],
)
def test_a_malformed_mail_is_shown_as_far_as_it_can_be(tmp_path: Path, raw: bytes) -> None:
    key = _put(tmp_path, raw)
    opened = open_mail(tmp_path, key)
    assert opened.summary.to == ("a@x.example",)
    assert [each.key for each in read_mailbox(tmp_path)] == [key]


def test_recipients_are_the_envelopes_whatever_the_mail_claims(tmp_path: Path) -> None:
    key = _put(tmp_path, b"Delivered-To: forged@x.example\r\nSubject: x\r\n\r\n")
    assert open_mail(tmp_path, key).summary.to == ("a@x.example",)


def test_attachments_are_listed_apart_from_text_and_html(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("text")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Übersicht.pdf")
    opened = open_mail(tmp_path, _put(tmp_path, message.as_bytes()))
    assert ((opened.text or "").strip(), (opened.html or "").strip()) == ("text", "<p>html</p>")
    assert [(each.name, each.content_type, each.size) for each in opened.attachments] == [
        ("Übersicht.pdf", "application/pdf", 4)
    ]


@pytest.mark.parametrize("body", [b"", b".", b"..\r\n.\r\na\r\n", b"x" * 300_000, b".\r\n" * 50_000])
def test_any_content_is_kept_byte_for_byte(tmp_path: Path, body: bytes) -> None:
    data = b"Subject: x\r\n\r\n" + body + b"\r\n"
    with running(tmp_path) as (port, _), connected(port) as connection:
        assert send(connection, "anna@example.com", data) is ReplyKind.SENT
        assert send(connection, "anna@example.com", mail("after")) is ReplyKind.SENT
    after, first = read_mailbox(tmp_path)
    assert after.subject == "after"
    assert open_mail(tmp_path, first.key).raw.endswith(b"Return-Path: <back@x.example>\r\n" + data)


def test_a_mail_beyond_the_limit_is_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        file = client.makefile("rb")

        def say(line: bytes, *, answers: int = 1) -> bytes:
            client.sendall(line)
            return [file.readline() for _ in range(answers)][-1]

        file.readline()
        say(b"HELO me\r\n")
        say(b"MAIL FROM:<>\r\n")
        say(b"RCPT TO:<a@x.example>\r\n")
        assert say(b"DATA\r\n").startswith(b"354")
        for _ in range(33):
            client.sendall((b"x" * 98 + b"\r\n") * 10_486)
        assert say(b".\r\nNOOP\r\n").startswith(b"552")
        assert file.readline().startswith(b"250")
        assert say(b"DATA\r\n").startswith(b"503")
        file.close()
    assert read_mailbox(tmp_path) == []


def test_a_client_that_hangs_up_inside_a_mail_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path) as (port, process):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"HELO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\nDATA\r\nSubject: half")
            received = b""
            while b"354" not in received:
                received += client.recv(1000)
        with connected(port) as connection:
            assert send(connection, "anna@example.com", mail("whole")) is ReplyKind.SENT
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10) == ("ended\n", "")
    assert [each.subject for each in read_mailbox(tmp_path)] == ["whole"]
