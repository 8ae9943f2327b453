from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from tcma.delivery.reply import Envelope, Outgoing, ReplyKind
from tcma.delivery.smtp import SmtpConnection
from tcma.delivery.smtp_target import SmtpRefused, SmtpTarget, SmtpUnavailable, Tls
from tcma.errors import Invalid
from tests.sinks import Manners, SmtpSink, issued_certificate, self_made_certificate

MAIL = b"Message-ID: <one@test>\r\nSubject: hi\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_made_certificate(tmp_path_factory.mktemp("tls"))


def outgoing(recipient: str = "anna@example.com", data: bytes = MAIL) -> Outgoing:
    return Outgoing(Envelope("b@t.example", recipient), data, before_dot=lambda: None)


def deliver(url: str) -> ReplyKind:
    connection = SmtpConnection(SmtpTarget.parse(url))
    connection.connect()
    try:
        return connection.send(outgoing()).kind
    finally:
        connection.close()


def test_an_address_with_everything_is_read_whole() -> None:
    target = SmtpTarget.parse(
        "smtp://us%40er:p%2Fw%3A@mx.example:2525?starttls=require&timeout=10&answer_timeout=60&helo=me.example&ca_file=/ca.pem"
    )
    assert target == SmtpTarget(
        host="mx.example",
        port=2525,
        user="us@er",
        password="p/w:",
        tls=Tls.REQUIRE,
        timeout=10.0,
        answer_timeout=60.0,
        helo="me.example",
        ca_file="/ca.pem",
    )
    assert target.longest_transaction == 80.0


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://mx.example", 25, Tls.AUTO),
        ("smtp://u:p@mx.example", 587, Tls.AUTO),
        ("smtps://mx.example", 465, Tls.IMPLICIT),
        ("smtp://[::1]:2500?starttls=off", 2500, Tls.OFF),
    ],
)
def test_what_an_address_leaves_out_has_a_sensible_default(url: str, port: int, tls: Tls) -> None:
    target = SmtpTarget.parse(url)
    assert (target.port, target.tls) == (port, tls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://mx.example",
        "smtp://",
        "smtp://mx.example:99999",
        "smtp://mx.example/path",
        "smtp://onlyuser-geheim@mx.example",
        "smtp://u:geheim@mx.example?tls=yes",
        "smtp://u:geheim@mx.example?starttls=maybe",
        "smtps://u:geheim@mx.example?starttls=off",
        "smtp://u:geheim@mx.example?starttls=implicit",
        "smtp://u:geheim@mx.example?timeout=soon",
        "smtp://u:geheim@mx.example?timeout=0",
    ],
)
def test_an_address_that_cannot_work_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        SmtpTarget.parse(url)
    assert list(caught.value.fields) == ["TCMA_SMTP_URL"]
    assert "geheim" not in str(caught.value)


def test_the_password_is_not_in_the_printed_form() -> None:
    assert "geheim" not in repr(SmtpTarget.parse("smtp://u:geheim@mx.example"))


@pytest.mark.parametrize("mode", ["require", "auto"])
def test_starttls_is_used_where_offered_and_the_certificate_is_checked(
    certificate: tuple[Path, Path], mode: str
) -> None:
    with SmtpSink(Manners(starttls=True, certificate=certificate)) as sink:
        assert deliver(f"{sink.url}?starttls={mode}&ca_file={certificate[0]}") is ReplyKind.SENT
        assert "STARTTLS" in sink.commands
        with pytest.raises(SmtpRefused, match="not trusted"):
            deliver(f"{sink.url}?starttls={mode}")
        assert len(sink.accepted) == 1


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = self_made_certificate(tmp_path, names=["elsewhere.example"])
    with (
        SmtpSink(Manners(implicit_tls=True, certificate=other)) as sink,
        pytest.raises(SmtpRefused, match="not trusted"),
    ):
        deliver(f"smtps://127.0.0.1:{sink.port}?ca_file={other[0]}")


def test_tls_from_the_start_carries_mail_and_announcements(certificate: tuple[Path, Path]) -> None:
    with SmtpSink(Manners(implicit_tls=True, certificate=certificate)) as sink:
        connection = SmtpConnection(
            SmtpTarget.parse(f"smtps://127.0.0.1:{sink.port}?ca_file={certificate[0]}&timeout=5")
        )
        connection.connect()
        kinds = [
            connection.send(outgoing(f"r{number}@example.com", MAIL * 500)).kind
            for number in range(20)
        ]
        connection.close()
    assert kinds == [ReplyKind.SENT] * 20
    assert {len(message.data) for message in sink.accepted} == {len(MAIL) * 500}


def test_required_starttls_that_is_not_offered_is_refused_before_any_mail() -> None:
    with SmtpSink() as sink, pytest.raises(SmtpRefused, match="offers no STARTTLS"):
        deliver(f"{sink.url}?starttls=require")
    assert not [command for command in sink.commands if command.startswith("MAIL")]


def test_a_port_that_speaks_no_tls_is_told_as_such(certificate: tuple[Path, Path]) -> None:
    with SmtpSink() as sink, pytest.raises(SmtpRefused, match="does not speak TLS"):
        deliver(f"smtps://127.0.0.1:{sink.port}")


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with SmtpSink(Manners(starttls=True)) as sink, pytest.raises(SmtpRefused, match=r"missing\.pem"):
        deliver(f"{sink.url}?ca_file={tmp_path / 'missing.pem'}")


def test_signing_in_works_and_wrong_passwords_are_told_without_retry(certificate: tuple[Path, Path]) -> None:
    manners = Manners(starttls=True, certificate=certificate, credentials=("us@er", "p/w"))
    with SmtpSink(manners) as sink:
        where = f"127.0.0.1:{sink.port}?ca_file={certificate[0]}"
        assert deliver(f"smtp://us%40er:p%2Fw@{where}") is ReplyKind.SENT
        with pytest.raises(SmtpRefused, match="refuses user or password") as caught:
            deliver(f"smtp://us%40er:wrong@{where}")
    assert (caught.value.code, caught.value.retryable) == (535, False)


def test_signing_in_where_none_is_offered_is_refused() -> None:
    with SmtpSink() as sink, pytest.raises(SmtpRefused, match="Sign-in"):
        deliver(f"smtp://u:p@127.0.0.1:{sink.port}")


@pytest.mark.parametrize(
    ("banner", "error"),
    [("421 4.3.2 too busy", SmtpUnavailable), ("554 5.7.1 go away", SmtpRefused)],
)
def test_a_server_that_turns_us_away_at_the_door_is_told_by_class(
    banner: str, error: type[SmtpUnavailable | SmtpRefused]
) -> None:
    with SmtpSink(Manners(banner=banner)) as sink, pytest.raises(error) as caught:
        deliver(sink.url)
    assert caught.value.code == int(banner[:3])


def test_a_server_that_is_not_there_may_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SmtpUnavailable, match="No connection") as caught:
        deliver(f"smtp://127.0.0.1:{port}")
    assert caught.value.retryable


def test_a_server_that_hangs_up_at_once_may_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with pytest.raises(SmtpUnavailable):
            deliver(f"smtp://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_server_that_drips_its_answer_cannot_hold_a_message_past_the_limit() -> None:
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(b"220 slow\r\n")
            client.recv(1000)
            client.sendall(b"250-slow\r\n250 PIPELINING\r\n")
            client.recv(1000)
            client.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
            client.recv(1000)
            while not done.wait(0.05):
                client.sendall(b"250-still thinking\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        target = SmtpTarget("127.0.0.1", listener.getsockname()[1], timeout=0.5, answer_timeout=0.5)
        connection = SmtpConnection(target)
        connection.connect()
        started = time.monotonic()
        reply = connection.send(outgoing())
        took = time.monotonic() - started
        done.set()
        thread.join()
        connection.close()
    assert reply.kind is ReplyKind.UNKNOWN
    assert took < target.longest_transaction


@pytest.mark.parametrize("answer", [b"hello there\r\n", b"250 ok\r\n250 ok\r\n250 ok\r\n", b"9" * 100_000, b"\r\n"])
def test_a_server_that_speaks_no_smtp_before_the_message_only_defers(answer: bytes) -> None:
    def babble(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(b"220 odd\r\n")
            client.recv(1000)
            client.sendall(b"250-odd\r\n250 PIPELINING\r\n")
            client.recv(1000)
            client.settimeout(5)
            # The other side may hang up in the middle of this, which is what it is asked to do.
            with contextlib.suppress(ConnectionError):
                client.sendall(answer)
                while client.recv(1000):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=babble, args=(listener,))
        thread.start()
        connection = SmtpConnection(SmtpTarget("127.0.0.1", listener.getsockname()[1], timeout=2))
        connection.connect()
        reply = connection.send(outgoing())
        thread.join()
    assert (reply.kind, connection.is_open) == (ReplyKind.DEFERRED, False)


# -- a certificate authority of its own, as a company has ---------------------------------------------


def test_a_certificate_of_a_named_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    authority, certificate = issued_certificate(tmp_path)
    with SmtpSink(Manners(implicit_tls=True, certificate=certificate)) as sink:
        url = f"smtps://127.0.0.1:{sink.port}"
        assert deliver(f"{url}?ca_file={authority}") is ReplyKind.SENT
        with pytest.raises(SmtpRefused, match="not trusted"):
            deliver(url)
    assert len(sink.accepted) == 1


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    authority, certificate = issued_certificate(tmp_path, days=-1)
    with (
        SmtpSink(Manners(starttls=True, certificate=certificate)) as sink,
        pytest.raises(SmtpRefused, match="expired"),
    ):
        deliver(f"{sink.url}?ca_file={authority}")
    assert not [command for command in sink.commands if command.startswith("MAIL")]


def test_no_old_tls_is_spoken(tmp_path: Path) -> None:
    authority, certificate = issued_certificate(tmp_path)
    with SmtpSink(Manners(implicit_tls=True, certificate=certificate)) as sink:
        assert sink._tls is not None
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            sink._tls.maximum_version = ssl.TLSVersion.TLSv1_1
        sink._tls.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((SmtpRefused, SmtpUnavailable), match="TLS"):
            deliver(f"smtps://127.0.0.1:{sink.port}?ca_file={authority}")
    assert sink.accepted == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_signing_in_happens_inside_tls_only(tmp_path: Path, scheme: str) -> None:
    authority, certificate = issued_certificate(tmp_path)
    manners = Manners(
        starttls=scheme == "smtp", implicit_tls=scheme == "smtps", certificate=certificate, credentials=("u", "p")
    )
    with SmtpSink(manners) as sink:
        assert deliver(f"{scheme}://u:p@127.0.0.1:{sink.port}?ca_file={authority}") is ReplyKind.SENT
    order = [command.split(" ")[0].upper() for command in sink.commands]
    assert "AUTH" in order
    if scheme == "smtp":
        assert order.index("STARTTLS") < order.index("AUTH")
        assert order[order.index("STARTTLS") + 1] == "EHLO"


def test_a_password_is_not_given_where_required_tls_is_missing() -> None:
    with SmtpSink(Manners(credentials=("u", "p"))) as sink, pytest.raises(SmtpRefused, match="offers no STARTTLS"):
        deliver(f"smtp://u:p@127.0.0.1:{sink.port}?starttls=require")
    assert not [command for command in sink.commands if command.upper().startswith("AUTH")]


@pytest.mark.parametrize("pipelining", [True, False])
def test_what_the_server_offers_after_tls_is_honoured(tmp_path: Path, pipelining: bool) -> None:
    authority, certificate = issued_certificate(tmp_path)
    manners = Manners(starttls=True, certificate=certificate, utf8=True, eight_bit=True, pipelining=pipelining)
    eight_bit = MAIL.replace(b"hello", "Grüße".encode())
    with SmtpSink(manners) as sink:
        connection = SmtpConnection(SmtpTarget.parse(f"{sink.url}?ca_file={authority}"))
        connection.connect()
        for recipient, data in (("a@example.com", eight_bit), ("jösé@example.com", MAIL), ("jösé@müller.example", eight_bit)):
            assert connection.send(outgoing(recipient, data)).kind is ReplyKind.SENT
        connection.close()
    assert [(one.recipient, one.options) for one in sink.accepted] == [
        ("a@example.com", "BODY=8BITMIME"), ("jösé@example.com", "SMTPUTF8"),
        ("jösé@xn--mller-kva.example", "BODY=8BITMIME SMTPUTF8"),
    ]  # fmt: skip
