"""SMTP servers for tests: real sockets, a log written before the answer, and bad manners on request."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>\r\n]*)>", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(rb"<([^>]*)>")


@dataclass
class Manners:
    """How a sink treats its clients; recipients are compared as they come over the wire.

    `rcpt`, `data` and `dot` map a recipient to the answer it gets at that step instead of a yes; `mail` maps
    a return path. `refuse_times` limits how often each such answer is given (None: always), so that a retry
    gets through. `cut_in_message` hangs up as soon as bytes of the message have come, `cut_after_dot` after
    the message is taken and logged, `cut_unlogged` after the dot without taking it. `always_354` answers 354
    to any DATA. `delay` is seconds before each batch of answers, as a long way would make. `goodbye_after`
    answers 421 to the next MAIL after so many messages of a connection. `reset` hangs up with RST instead of
    FIN. `most_connections` answers 421 to any further one at once. `silent_after_dot` lets these recipients' mail wait
    for its answer until `SmtpSink.speak` is set.
    """

    mail: dict[str, str] = field(default_factory=dict)
    rcpt: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    dot: dict[str, str] = field(default_factory=dict)
    refuse_times: int | None = None
    cut_in_message: set[str] = field(default_factory=set)
    cut_after_dot: set[str] = field(default_factory=set)
    cut_unlogged: set[str] = field(default_factory=set)
    always_354: bool = False
    delay: float = 0.0
    goodbye_after: int | None = None
    most_connections: int | None = None
    silent_after_dot: set[str] = field(default_factory=set)
    reset: bool = False
    pipelining: bool = True
    eight_bit: bool = True
    utf8: bool = False
    size: int | None = None
    starttls: bool = False
    implicit_tls: bool = False
    certificate: tuple[Path, Path] | None = None
    credentials: tuple[str, str] | None = None
    banner: str = "220 sink.example ESMTP"


@dataclass(frozen=True)
class Accepted:
    """One message that the sink answered 250, or cut off after taking it."""

    sender: str
    recipient: str
    message_id: str
    data: bytes
    options: str


def self_made_certificate(folder: Path, *, names: Iterable[str] = ("127.0.0.1", "localhost")) -> tuple[Path, Path]:
    """(certificate, key) files; the certificate signs itself, so it is its own CA file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sink")])
    alternatives: list[x509.GeneralName] = []
    for each in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(each)))
        except ValueError:
            alternatives.append(x509.DNSName(each))
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate_file, key_file = folder / "sink.crt", folder / "sink.key"
    certificate_file.write_bytes(certificate.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file


def issued_certificate(folder: Path, *, days: int = 30, name: str = "127.0.0.1") -> tuple[Path, tuple[Path, Path]]:
    """(CA file, (certificate chain, key)): a throw-away authority and a server that it vouches for, for `days`."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "throw-away authority")])
    start = datetime.now(UTC) - timedelta(days=10)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        )

    authority = (
        builder(issuer, authority_key.public_key(), start + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail server")])
    server = (
        builder(subject, key.public_key(), datetime.now(UTC) + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    authority_file, chain_file, key_file = folder / "authority.crt", folder / "server.crt", folder / "server.key"
    authority_file.write_bytes(authority.public_bytes(pem))
    chain_file.write_bytes(server.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return authority_file, (chain_file, key_file)


class SmtpSink:
    """A server on 127.0.0.1 in threads of this process; a context manager.

    With `log`, each message taken appends `recipient TAB message id TAB bytes` there before it is answered;
    `sync` waits for the disk as well. `accepted` holds the same in memory, `commands` every command line.
    """

    def __init__(
        self, manners: Manners | None = None, *, log: Path | None = None, sync: bool = False, port: int = 0
    ) -> None:
        self.manners = manners or Manners()
        self.accepted: list[Accepted] = []
        self.commands: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self.cut = threading.Event()
        self.speak = threading.Event()
        self._refused: dict[tuple[str, str], int] = {}
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
        self._sync = sync
        self._tls: ssl.SSLContext | None = None
        if self.manners.certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*self.manners.certificate)
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> SmtpSink:
        self._spawn(self._serve)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        # One more client wakes the thread that accepts, which then sees that it is to stop.
        socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
        self._threads[0].join(timeout=10)
        self._listener.close()
        self.hang_up_on_all()
        for thread in self._threads:
            thread.join(timeout=10)
        if self._log is not None:
            os.close(self._log)

    def hang_up_on_all(self) -> None:
        """End every open connection, as a restarting server would; `cut` tells when one is closed."""
        how = socket.SHUT_RD if self.manners.reset else socket.SHUT_RDWR
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(how)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping:
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._spawn(self._talk, connection)

    def _talk(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
            at_once = len(self._open)
            self.most_at_once = max(self.most_at_once, at_once)
        session = _Session(self, connection, is_welcome=at_once <= (self.manners.most_connections or at_once))
        try:
            with contextlib.suppress(_Cut, OSError):
                session.run()
        finally:
            with self._lock:
                self._open.discard(session.connection)
            session.close()
            self.cut.set()

    def refusal(self, step: str, key: str, answers: dict[str, str]) -> str | None:
        """The answer that this step owes instead of a yes, counted against `refuse_times`."""
        answer = answers.get(key)
        if answer is None:
            return None
        with self._lock:
            given = self._refused.get((step, key), 0)
            self._refused[step, key] = given + 1
        return answer if self.manners.refuse_times is None or given < self.manners.refuse_times else None

    def take(self, message: Accepted) -> None:
        if self._log is not None:
            os.write(self._log, f"{message.recipient}\t{message.message_id}\t{len(message.data)}\n".encode())
            if self._sync:
                os.fdatasync(self._log)
        self.accepted.append(message)


class _Cut(Exception):
    """This session ends without another word."""


class _Session:
    """One client: reads commands, answers in batches once nothing more is waiting (RFC 2920)."""

    def __init__(self, sink: SmtpSink, connection: socket.socket, *, is_welcome: bool = True) -> None:
        self.sink = sink
        self.is_welcome = is_welcome
        self.manners = sink.manners
        self.connection = connection
        self.buffer = b""
        self.answers: list[str] = []
        self.sender: str | None = None
        self.options = ""
        self.recipient: str | None = None
        self.taken = 0
        self.signed_in = False

    def run(self) -> None:
        if self.manners.implicit_tls:
            self._wrap()
        if not self.is_welcome:
            self._answer("421 4.7.0 too many connections from you")
        self._say(self.manners.banner)
        while True:
            line = self._line()
            self.sink.commands.append(line.decode("utf-8", "replace"))
            verb, _, argument = line.partition(b" ")
            handler = getattr(self, "_" + verb.decode("ascii", "replace").lower(), None)
            if handler is None:
                self._say("500 5.5.2 what?")
            else:
                handler(argument)

    def close(self) -> None:
        if self.manners.reset:
            with contextlib.suppress(OSError):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _wrap(self) -> None:
        assert self.sink._tls is not None
        with self.sink._lock:
            self.sink._open.discard(self.connection)
        self.connection = self.sink._tls.wrap_socket(self.connection, server_side=True)
        self.buffer = b""
        with self.sink._lock:
            self.sink._open.add(self.connection)

    def _say(self, answer: str) -> None:
        self.answers.append(answer)

    def _flush(self) -> None:
        if self.answers:
            if self.manners.delay:
                time.sleep(self.manners.delay)
            self.connection.sendall("".join(f"{answer}\r\n" for answer in self.answers).encode())
            self.answers.clear()

    def _receive(self) -> None:
        self._flush()
        received = self.connection.recv(262_144)
        if not received:
            raise _Cut
        self.buffer += received

    def _line(self) -> bytes:
        while b"\n" not in self.buffer:
            self._receive()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def _ehlo(self, argument: bytes) -> None:
        features = ["sink.example"]
        if self.manners.pipelining:
            features.append("PIPELINING")
        if self.manners.eight_bit:
            features.append("8BITMIME")
        if self.manners.utf8:
            features.append("SMTPUTF8")
        if self.manners.size is not None:
            features.append(f"SIZE {self.manners.size}")
        if self.manners.starttls and not isinstance(self.connection, ssl.SSLSocket):
            features.append("STARTTLS")
        if self.manners.credentials:
            features.append("AUTH PLAIN")
        for feature in features[:-1]:
            self._say(f"250-{feature}")
        self._say(f"250 {features[-1]}")

    def _helo(self, argument: bytes) -> None:
        self._say("250 sink.example")

    def _starttls(self, argument: bytes) -> None:
        self._say("220 2.0.0 go ahead")
        self._flush()
        self._wrap()

    def _auth(self, argument: bytes) -> None:
        _, user, password = base64.b64decode(argument.partition(b" ")[2]).decode().split("\0")
        self.signed_in = (user, password) == self.manners.credentials
        self._say("235 2.7.0 welcome" if self.signed_in else "535 5.7.8 wrong user or password")

    def _mail(self, argument: bytes) -> None:
        found = _ADDRESS.search(argument)
        assert found is not None
        sender = found[1].decode()
        if self.manners.goodbye_after is not None and self.taken >= self.manners.goodbye_after:
            self._say("421 4.3.2 enough for one connection")
            self._flush()
            raise _Cut
        if self.manners.credentials and not self.signed_in:
            self._say("530 5.7.0 sign in first")
            return
        if self.sender is not None:
            self._say("503 5.5.1 there is a transaction already")
            return
        refusal = self.sink.refusal("mail", sender, self.manners.mail)
        if refusal is None:
            self.sender, self.options = sender, argument[found.end() :].decode().strip()
        self._answer(refusal or "250 2.1.0 ok")

    def _rcpt(self, argument: bytes) -> None:
        if self.sender is None:
            self._say("503 5.5.1 MAIL first")
            return
        found = _ADDRESS.search(argument)
        assert found is not None
        recipient = found[1].decode()
        refusal = self.sink.refusal("rcpt", recipient, self.manners.rcpt)
        if refusal is None:
            self.recipient = recipient
        self._answer(refusal or "250 2.1.5 ok")

    def _answer(self, answer: str) -> None:
        self._say(answer)
        if answer.startswith("421"):
            self._flush()
            raise _Cut

    def _data(self, argument: bytes) -> None:
        refusal = self.sink.refusal("data", self.recipient or "", self.manners.data)
        if refusal is not None:
            self._answer(refusal)
            return
        if self.recipient is None and not self.manners.always_354:
            self._say("503 5.5.1 RCPT first")
            return
        self._say("354 go ahead")
        body = self._message()
        sender, recipient = self.sender, self.recipient
        self.sender = self.recipient = None
        if recipient is None:
            self._say("554 5.5.1 no valid recipients")
            return
        if recipient in self.manners.cut_unlogged:
            raise _Cut
        refusal = self.sink.refusal("dot", recipient, self.manners.dot)
        if refusal is not None:
            self._answer(refusal)
            return
        found = _MESSAGE_ID.search(body)
        message_id = found[1].decode() if found else ""
        self.sink.take(Accepted(sender or "", recipient, message_id, body, self.options))
        self.taken += 1
        if recipient in self.manners.cut_after_dot:
            raise _Cut
        if recipient in self.manners.silent_after_dot:
            self.sink.speak.wait(20)
        self._say(f"250 2.0.0 queued as {len(self.sink.accepted)}")

    def _message(self) -> bytes:
        """The message without its dot and with the stuffing taken out."""
        if self.buffer.startswith(b".\r\n"):
            self.buffer = self.buffer[3:]
            return b""
        searched = 0
        while (end := self.buffer.find(b"\r\n.\r\n", searched)) < 0:
            if self.buffer and self.recipient in self.manners.cut_in_message:
                raise _Cut
            searched = max(0, len(self.buffer) - 4)
            self._receive()
            if self.buffer.startswith(b".\r\n"):
                self.buffer = self.buffer[3:]
                return b""
        body, self.buffer = self.buffer[: end + 2], self.buffer[end + 5 :]
        body = body.replace(b"\r\n.", b"\r\n")
        return body[1:] if body.startswith(b".") else body

    def _rset(self, argument: bytes) -> None:
        self.sender = self.recipient = None
        self._say("250 2.0.0 forgotten")

    def _noop(self, argument: bytes) -> None:
        self._say("250 2.0.0 ok")

    def _quit(self, argument: bytes) -> None:
        self._say("221 2.0.0 bye")
        self._flush()
        raise _Cut
