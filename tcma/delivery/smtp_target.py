"""Which SMTP server, and a signed-in connection to it: `smtplib` does this part."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tcma.errors import Invalid

_OPTIONS = frozenset({"starttls", "timeout", "answer_timeout", "helo", "ca_file"})


class Tls(StrEnum):
    """How the connection is protected: from the first byte, by STARTTLS (always or if offered), or never."""

    IMPLICIT = "implicit"
    REQUIRE = "require"
    AUTO = "auto"
    OFF = "off"


class SmtpError(Exception):
    """No usable connection, no message begun. `message` is for people, `code` the server's if it gave one."""

    retryable: bool

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class SmtpUnavailable(SmtpError):
    """The server cannot be reached or asks to come back later: waiting may mend it."""

    retryable = True


class SmtpRefused(SmtpError):
    """Sign-in, certificate or settings are refused: a person has to mend it first."""

    retryable = False


@dataclass(frozen=True, slots=True)
class SmtpTarget:
    """Where mail goes. Times are seconds.

    `timeout` limits connecting, the commands of a transaction, and writing a message; `answer_timeout` the
    wait for the answer to the final dot. RFC 5321 §4.5.3.2.6 asks for ten minutes there; we wait two, for an
    answer that came too late makes the delivery unknown and never a second mail, and a lease must outlast
    the wait.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = Tls.AUTO
    timeout: float = 30.0
    answer_timeout: float = 120.0
    helo: str | None = None
    ca_file: str | None = None

    @property
    def longest_transaction(self) -> float:
        """Seconds in which a begun message is settled, whatever the server does; a lease outlasts it."""
        return 2 * self.timeout + self.answer_timeout

    @classmethod
    def parse(cls, url: str) -> SmtpTarget:
        """Read `smtp[s]://user:pass@host:port?starttls=require|auto|off&timeout=30&answer_timeout=120`.

        Further options are `helo`, our name, and `ca_file`, certificate authorities to trust alone.
        Ports default to 465 for smtps, 587 with a user, else 25. Raises Invalid, which never repeats the
        password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _bad_url("The port is a number from 1 to 65535.") from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/"):
            raise _bad_url("Write smtp://user:password@host:port, or smtps:// for TLS from the start.")
        if (parts.username is None) != (parts.password is None):
            raise _bad_url("Give both user and password, or neither.")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise _bad_url(f"There is no option {unknown[0]}, only {', '.join(sorted(_OPTIONS))}.")
        tls = _tls(parts, options)
        return cls(
            host=parts.hostname,
            port=port or (465 if tls is Tls.IMPLICIT else 587 if parts.username else 25),
            user=unquote(parts.username) if parts.username is not None else None,
            password=unquote(parts.password) if parts.password is not None else None,
            tls=tls,
            timeout=_seconds(options, "timeout", 30.0),
            answer_timeout=_seconds(options, "answer_timeout", 120.0),
            helo=options.get("helo") or None,
            ca_file=options.get("ca_file") or None,
        )


def open_client(target: SmtpTarget) -> smtplib.SMTP:
    """A connected, protected and signed-in client. Raises SmtpUnavailable or SmtpRefused."""
    try:
        return _open(target)
    except smtplib.SMTPServerDisconnected:
        raise SmtpUnavailable(f"The mail server {target.host} closed the connection.") from None
    except smtplib.SMTPResponseException as error:
        raise _from_answer(error) from None
    except ssl.SSLCertVerificationError as error:
        raise SmtpRefused(
            f"The certificate of {target.host} is not trusted: {error.verify_message}. "
            "Mend it, or name its CA with ca_file in the mail server's address."
        ) from None
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            raise SmtpRefused(
                f"Port {target.port} of {target.host} does not speak TLS. Use smtp:// or another port."
            ) from None
        raise SmtpUnavailable(f"TLS with {target.host} failed: {error.reason}.") from None
    except smtplib.SMTPException as error:
        raise SmtpRefused(f"Sign-in at the mail server does not work: {error}") from None
    except UnicodeError:
        raise SmtpRefused("User, password or host of the mail server cannot be sent as written.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise SmtpUnavailable(f"No connection to {target.host}:{target.port}: {reason}.") from None


def _open(target: SmtpTarget) -> smtplib.SMTP:
    client: smtplib.SMTP
    # A name for EHLO is always given: without one smtplib asks DNS for its own, which may take long.
    name = target.helo or _own_name()
    if target.tls is Tls.IMPLICIT:
        context = _trust(target.ca_file)
        client = smtplib.SMTP_SSL(target.host, target.port, name, timeout=target.timeout, context=context)
    else:
        client = smtplib.SMTP(target.host, target.port, name, timeout=target.timeout)
    try:
        assert client.sock is not None
        if not target.helo and "." not in name:
            client.local_hostname = _address_literal(client.sock)
        client.ehlo_or_helo_if_needed()
        if target.tls in (Tls.REQUIRE, Tls.AUTO) and client.has_extn("starttls"):
            client.starttls(context=_trust(target.ca_file))
            client.ehlo_or_helo_if_needed()
        elif target.tls is Tls.REQUIRE:
            raise SmtpRefused(f"{target.host} offers no STARTTLS, which the mail server's address requires.")
        if target.user is not None and target.password is not None:
            in_clear = target.tls is Tls.AUTO and not isinstance(client.sock, ssl.SSLSocket)
            if in_clear and not _is_loopback(client.sock):
                raise SmtpRefused(
                    f"{target.host} offers no STARTTLS, so the password would travel in clear. "
                    "Use smtps://, or starttls=off if the network is trusted."
                )
            client.login(target.user, target.password)
    except BaseException:
        client.close()
        raise
    return client


def _from_answer(error: smtplib.SMTPResponseException) -> SmtpError:
    words = error.smtp_error
    text = (words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)).replace("\n", " ")
    said = f"The mail server answered {error.smtp_code} {text}"
    if 500 <= error.smtp_code < 600:
        if isinstance(error, smtplib.SMTPAuthenticationError):
            said = f"The mail server refuses user or password: {error.smtp_code} {text}"
        return SmtpRefused(said, code=error.smtp_code)
    return SmtpUnavailable(said, code=error.smtp_code)


@lru_cache(maxsize=8)
def _trust(ca_file: str | None) -> ssl.SSLContext:
    """The system's certificate authorities, or those of `ca_file` alone; loading them takes milliseconds."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = error.strerror or "it holds no certificate"
        raise SmtpRefused(f"The CA file {ca_file} cannot be used: {reason}.") from None


def _own_name() -> str:
    return socket.gethostname()


def _address_literal(sock: socket.socket) -> str:
    """RFC 5321 §4.1.4: who has no full name says its address."""
    address = ip_address(sock.getsockname()[0].partition("%")[0])
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


def _is_loopback(sock: socket.socket) -> bool:
    return ip_address(sock.getpeername()[0].partition("%")[0]).is_loopback


def _tls(parts: SplitResult, options: dict[str, str]) -> Tls:
    if parts.scheme == "smtps":
        if "starttls" in options:
            raise _bad_url("smtps:// has TLS from the start. Leave starttls out.")
        return Tls.IMPLICIT
    wanted = options.get("starttls", "auto")
    if wanted not in (Tls.REQUIRE, Tls.AUTO, Tls.OFF):
        raise _bad_url("starttls is one of require, auto and off.")
    return Tls(wanted)


def _seconds(options: dict[str, str], name: str, default: float) -> float:
    try:
        value = float(options.get(name, default))
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise _bad_url(f"{name} is a number of seconds from 0.1 to 3600.")
    return value


def _bad_url(message: str) -> Invalid:
    return Invalid({"TCMA_SMTP_URL": f"The mail server's address cannot be used. {message}"})
