"""TLS of the listener for what comes back: a real handshake, certificates that change, and files that cannot be used."""

from __future__ import annotations

import os
import smtplib
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from flask import Flask

from tcma import clock, doctor
from tcma.config import Settings, settings, use_settings
from tcma.delivery import inbound, returns
from tcma.delivery.inbound_tls import TlsFault, TlsFiles, TlsKeeper
from tcma.delivery.states import EventKind
from tcma.doctor import Row, State
from tests.delivery.test_inbound import command, events_of, listening, sent_launch
from tests.factories.cast import Cast
from tests.factories.certificates import HOST, issue, put
from tests.factories.delivery import use_sink
from tests.factories.returns import RETURNS, bounce_mail, deliveries_of, return_path
from tests.sinks import SmtpSink


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(*issue(tmp_path))


@pytest.fixture
def port(app: Flask, files: TlsFiles) -> Iterator[int]:
    """The listener with a certificate, and a sink for what goes out before."""
    with SmtpSink() as sink:
        before = use_sink(sink.url)
        use_settings(settings().model_copy(update={"return_domain": RETURNS}))
        handler = inbound.ReturnsHandler(lambda: app)
        with app.app_context(), listening(handler, tls=TlsKeeper(files)) as number:
            yield number
        use_settings(before)


def client_of(cert: Path, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    """A careful client: it believes this certificate only, and looks at the name."""
    context = ssl.create_default_context(cafile=str(cert))
    for name, value in versions.items():
        setattr(context, name, value)
    return context


def greet(port: int) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", port, timeout=20)
    # The name that is looked for in the certificate.
    client._host = HOST  # type: ignore[attr-defined]
    client.ehlo()
    return client


def shown(port: int) -> int:
    """The serial number of the certificate that the listener shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with greet(port) as client:
        client.starttls(context=context)
        assert isinstance(client.sock, ssl.SSLSocket)
        found = client.sock.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


# -- the handshake ------------------------------------------------------------------------------------


def test_a_bounce_comes_in_over_tls(port: int, files: TlsFiles, cast: Cast) -> None:
    launch = sent_launch(cast, contacts=1)
    path = return_path(deliveries_of(launch)[0])
    with greet(port) as client:
        assert client.has_extn("starttls")
        client.starttls(context=client_of(files.cert))
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() in ("TLSv1.2", "TLSv1.3")
        client.sendmail("", path, bounce_mail(path))
    returns.process_due()
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]


def test_tls_is_offered_and_not_required(port: int, cast: Cast) -> None:
    launch = sent_launch(cast, contacts=1)
    path = return_path(deliveries_of(launch)[0])
    with greet(port) as client:
        client.sendmail("", path, bounce_mail(path))
    returns.process_due()
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]


def test_what_is_refused_in_clear_is_refused_over_tls(port: int, files: TlsFiles) -> None:
    with greet(port) as client:
        client.starttls(context=client_of(files.cert))
        client.ehlo()
        client.mail("")
        assert client.rcpt(f"anna@{RETURNS}")[0] == 550


def test_without_a_certificate_tls_is_not_offered(app: Flask) -> None:
    with listening(inbound.ReturnsHandler(lambda: app)) as number, greet(number) as client:
        assert not client.has_extn("starttls")


@pytest.mark.parametrize(("version", "works"), [("TLSv1_2", True), ("TLSv1_3", True), ("TLSv1_1", False)])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_is_1_2_or_newer(port: int, files: TlsFiles, version: str, works: bool) -> None:
    wanted = ssl.TLSVersion[version]
    context = client_of(files.cert, minimum_version=wanted, maximum_version=wanted)
    if not works:
        # Else the client's own library would refuse, before anything is asked of the listener.
        context.set_ciphers("ALL:@SECLEVEL=0")
    client = greet(port)
    if works:
        client.starttls(context=context)
        assert client.noop()[0] == 250
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.starttls(context=context)
    client.close()


def test_handshakes_that_fail_use_up_no_connections_and_leave_no_traceback(
    port: int, files: TlsFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbound, "MOST_CONNECTIONS", 3)
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as rude:
            told = rude.makefile("rb")
            assert told.readline().startswith(b"220 ")
            rude.sendall(b"EHLO a.example\r\nSTARTTLS\r\n")
            while not told.readline().startswith(b"220 Ready"):
                pass
            rude.sendall(b"this is no handshake\r\n" * 10)
            # The listener hangs up, with or without an alert before.
            while rude.recv(1024):
                pass
            told.close()
    with greet(port) as first, greet(port) as second:
        for client in (first, second):
            client.starttls(context=client_of(files.cert))
            assert client.noop()[0] == 250
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


def test_a_handshake_that_never_ends_is_given_up(
    app: Flask, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "PATIENCE_SECONDS", 0.5)
    handler = inbound.ReturnsHandler(lambda: app)
    with listening(handler, tls=TlsKeeper(files)) as number, socket.create_connection(("127.0.0.1", number), 20) as mute:
        mute.sendall(b"EHLO a.example\r\nSTARTTLS\r\n")
        # Ends only once the listener hangs up.
        while mute.recv(1024):
            pass


def test_connections_over_tls_count_once(port: int, files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "MOST_CONNECTIONS", 2)
    for _ in range(5):
        with greet(port) as client:
            client.starttls(context=client_of(files.cert))
            # One more has room beside it, a third has none.
            with greet(port), pytest.raises(smtplib.SMTPConnectError) as told:
                smtplib.SMTP("127.0.0.1", port, timeout=20)
            assert told.value.smtp_code == 421


def test_commands_slipped_in_before_the_handshake_are_thrown_away(port: int, files: TlsFiles) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        told = raw.makefile("rb")
        told.readline()
        raw.sendall(b"EHLO a.example\r\n")
        while not told.readline().startswith(b"250 "):
            pass
        raw.sendall(b"STARTTLS\r\nMAIL FROM:<evil@a.example>\r\n")
        assert told.readline().startswith(b"220 ")
        told.close()
        with client_of(files.cert).wrap_socket(raw, server_hostname=HOST) as inside:
            inside.sendall(b"NOOP\r\n")
            assert inside.recv(1024).startswith(b"250 OK")


# -- renewal ------------------------------------------------------------------------------------------


def test_a_renewed_certificate_is_shown_without_a_restart(port: int, files: TlsFiles) -> None:
    before = shown(port)
    issue(files.cert.parent)
    after = shown(port)
    assert after == files.certificate().serial_number
    assert before != after


def test_a_renewal_behind_a_link_is_seen(app: Flask, tmp_path: Path) -> None:
    """As certbot keeps them: the same links lead to other files."""
    links = tmp_path / "cert.pem", tmp_path / "key.pem"
    for name in ("one", "two"):
        for link, target in zip(links, issue(tmp_path, name=name), strict=True):
            if name == "one":
                link.symlink_to(target)
    kept = TlsKeeper(TlsFiles(*links))
    with listening(inbound.ReturnsHandler(lambda: app), tls=kept) as number:
        before = shown(number)
        for link, name in zip(links, ("two.pem", "two-key.pem"), strict=True):
            link.unlink()
            link.symlink_to(tmp_path / name)
        assert shown(number) != before


def test_while_a_renewal_is_half_done_the_former_certificate_stays(port: int, files: TlsFiles, tmp_path: Path) -> None:
    before = shown(port)
    other = tmp_path / "other"
    other.mkdir()
    cert, key = issue(other)
    put(files.cert, cert.read_bytes())
    assert shown(port) == before
    files.cert.unlink()
    assert shown(port) == before
    put(files.cert, cert.read_bytes())
    put(files.key, key.read_bytes())
    assert shown(port) == files.certificate().serial_number != before


def test_files_that_did_not_change_are_not_read_again(files: TlsFiles) -> None:
    kept = TlsKeeper(files)
    first = kept.context()
    assert kept.context() is first
    issue(files.cert.parent)
    assert kept.context() is not first


def test_files_that_go_away_while_they_are_read_leave_the_context_before(
    files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = TlsKeeper(files)
    first = kept.context()
    issue(files.cert.parent)
    read = Path.read_bytes

    def last_look(path: Path) -> bytes:
        found = read(path)
        if path == files.key:
            files.cert.unlink()
        return found

    with monkeypatch.context() as renewal:
        renewal.setattr(Path, "read_bytes", last_look)
        assert kept.context() is first
    issue(files.cert.parent)
    assert kept.context() is not first


# -- files that cannot be used ------------------------------------------------------------------------


def wrong_files(folder: Path, change: str) -> tuple[Path | None, Path | None]:
    cert, key = issue(folder)
    if change == "missing":
        cert.unlink()
    elif change == "folder":
        key = folder
    elif change == "other key":
        key = issue(folder, name="other")[1]
    elif change == "swapped":
        cert, key = key, cert
    elif change == "empty":
        cert.write_bytes(b"")
    elif change == "password":
        cert, key = issue(folder, password="secret")
    elif change == "no key":
        return cert, None
    elif change == "no certificate":
        return None, key
    return cert, key


def use(cert: Path | None, key: Path | None) -> None:
    found = TlsFiles.of(cert, key)
    assert found is not None
    TlsKeeper(found)


FAULTS = {
    "missing": "which cannot be read: No such file", "folder": "which cannot be read: Is a directory",
    "other key": "does not belong to the certificate", "swapped": "cannot be used", "empty": "cannot be used",
    "password": "without a password", "no key": "TCMA_INBOUND_TLS_KEY is not set",
    "no certificate": "TCMA_INBOUND_TLS_CERT is not set",
}  # fmt: skip


@pytest.mark.parametrize("change", FAULTS)
def test_files_that_cannot_be_used_are_named_with_what_to_do(tmp_path: Path, change: str) -> None:
    cert, key = wrong_files(tmp_path, change)
    with pytest.raises(TlsFault) as told:
        use(cert, key)
    assert FAULTS[change] in str(told.value)
    assert told.value.mend
    row = examined(Settings(_env_file=None, inbound_tls_cert=cert, inbound_tls_key=key))
    assert (row.state, row.found, row.mend) == (State.FAIL, told.value.found, told.value.mend)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_the_service_may_not_read_is_named(files: TlsFiles) -> None:
    files.key.chmod(0)
    with pytest.raises(TlsFault, match="Permission denied"):
        files.load()


def test_the_command_does_not_start_with_files_that_cannot_be_used(tmp_path: Path) -> None:
    cert, key = wrong_files(tmp_path, "other key")
    process = command(
        tmp_path, TCMA_RETURN_DOMAIN=RETURNS, TCMA_INBOUND_TLS_CERT=str(cert), TCMA_INBOUND_TLS_KEY=str(key)
    )
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "does not belong to the certificate" in told
    assert "Traceback" not in told


def test_the_command_offers_tls(tmp_path: Path) -> None:
    cert, key = issue(tmp_path)
    process = command(
        tmp_path, TCMA_RETURN_DOMAIN=RETURNS, TCMA_INBOUND_TLS_CERT=str(cert), TCMA_INBOUND_TLS_KEY=str(key)
    )
    assert process.stdout is not None
    with process.stdout as output:
        number = int(output.readline().rpartition(":")[2].strip(" .\n"))
        with greet(number) as client:
            client.starttls(context=client_of(cert))
            assert client.noop()[0] == 250
        process.terminate()
        assert process.wait(20) == 0


# -- doctor -------------------------------------------------------------------------------------------


def examined(conf: Settings) -> Row:
    (row,) = doctor.check_inbound_tls(conf)
    return row


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [(90, State.OK, "days left: 89"), (13, State.WARN, "days left: 12"), (-1, State.FAIL, "expired on")],
)
def test_doctor_says_for_how_long_the_certificate_is_valid(tmp_path: Path, days: int, state: State, words: str) -> None:
    cert, key = issue(tmp_path, days=days)
    row = examined(Settings(_env_file=None, inbound_tls_cert=cert, inbound_tls_key=key))
    assert (row.state, words in row.found, bool(row.mend)) == (state, True, state is not State.OK), row


def test_doctor_says_that_a_certificate_is_not_valid_yet(tmp_path: Path) -> None:
    cert, key = issue(tmp_path, begins=clock.now() + timedelta(days=2))
    row = examined(Settings(_env_file=None, inbound_tls_cert=cert, inbound_tls_key=key))
    assert (row.state, "valid only from" in row.found) == (State.FAIL, True)


def test_doctor_says_nothing_of_tls_where_none_is_set(test_settings: Settings) -> None:
    assert list(doctor.check_inbound_tls(Settings(_env_file=None, inbound_tls_cert="", inbound_tls_key=""))) == []
    assert "inbound TLS" not in [row.part for row in doctor.examine(test_settings)]
