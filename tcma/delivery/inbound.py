"""The listener for mail that comes back: bounces, complaints and unsubscribing by mail.

It takes mail for two kinds of recipients only, `b-TOKEN@` and `u-TOKEN@` at TCMA_RETURN_DOMAIN, the first also at
partners' own return domains (`bounce.…`), and only where the token is ours: everything else is refused at RCPT, so nothing
is relayed, and a forged address changes nothing. A mail is stored before it is answered, and read later
(`tcma.delivery.returns`). STARTTLS is offered where a certificate is set and never required: bounces come from anywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import threading
from collections.abc import Callable
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import click
import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from tcma.config import settings
from tcma.db import unit_of_work
from tcma.delivery import returns, tokens
from tcma.delivery.domain_check import RETURN_LABEL
from tcma.delivery.inbound_tls import TlsFault, TlsFiles, TlsKeeper
from tcma.delivery.tokens import Purpose
from tcma.mailbox import MaildirHandler

log = structlog.get_logger(__name__)

LARGEST_MAIL = 10 * 1024 * 1024
KEPT = 256 * 1024
"""Bytes of a mail that are stored: a report comes first, and the mail that it is about behind it."""

MOST_RECIPIENTS = 20
MOST_CONNECTIONS = 200
PATIENCE_SECONDS = 60
_PURPOSES = {"b-": Purpose.BOUNCE, "u-": Purpose.UNSUBSCRIBE_MAIL}


def named_by(address: str) -> tuple[Purpose, int] | None:
    """(purpose, delivery id) of an address of ours, None for any other and for a forged or truncated one."""
    local, at, domain = address.rpartition("@")
    purpose = _PURPOSES.get(local[:2].lower())
    if not at or purpose is None or not _is_ours(domain.lower().rstrip("."), purpose):
        return None
    data = tokens.read_address(local, purpose=purpose, keys=settings().derived_keys("tracking"))
    return (purpose, data.delivery_id) if data is not None else None


def _is_ours(domain: str, purpose: Purpose) -> bool:
    """Whether mails may have named `domain` for this purpose; that one did, only the token proves.

    Partners' domains are not looked up: bounces still come when their record is gone, or the database does not answer.
    """
    own = purpose is Purpose.BOUNCE and domain.startswith(f"{RETURN_LABEL}.")
    return own or domain == settings().returns_at


def key_of_mail(recipient: str, content: bytes) -> str:
    """The same for the same mail that is sent again after a lost answer: by its Message-ID, or by all of it."""
    head = BytesHeaderParser().parsebytes(content[: 64 * 1024])
    message_id = str(head.get("Message-ID", "")).strip()
    told = message_id.encode("utf-8", "replace") if message_id else re.sub(rb"(?m)^Received:.*\n(?:[ \t].*\n)*", b"", content)
    return hashlib.sha256(recipient.lower().encode("utf-8", "replace") + b"\0" + told).hexdigest()


class ReturnsHandler:
    """Hooks of aiosmtpd: checks recipients and stores mails, in a thread, through the database of an application.

    `make_app` is called with the first mail, so that a mailbox to which nothing comes back needs none.
    """

    def __init__(self, make_app: Callable[[], Flask]) -> None:
        self._make_app = make_app
        self._app: Flask | None = None
        self._lock = threading.Lock()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if named_by(address) is None:
            return "550 5.1.1 There is no such mailbox here"
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        body = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        try:
            await asyncio.to_thread(self.store, list(envelope.rcpt_tos), body)
        except SQLAlchemyError as error:
            log.warning("return_not_stored", error=type(error).__name__)
            return "451 4.3.0 The mail could not be stored, try again later"
        return "250 2.0.0 Stored"

    def store(self, recipients: list[str], body: bytes) -> None:
        """Store the mail once for each recipient of ours, committed when this returns."""
        with self._lock:
            app = self._app = self._app or self._make_app()
        with app.app_context(), unit_of_work(None) as session:
            for address in recipients:
                named = named_by(address)
                if named is not None:
                    envelope = {"purpose": str(named[0]), "delivery": named[1]}
                    returns.keep(
                        session, source=returns.MAIL, key=key_of_mail(address, body), body=body[:KEPT], envelope=envelope
                    )


class DemoHandler(MaildirHandler):
    """The mailbox of the demo, which takes what comes back on the same port."""

    def __init__(self, make_app: Callable[[], Flask], maildir: Path) -> None:
        super().__init__(maildir)
        self._returns = ReturnsHandler(make_app)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.lower().endswith(f"@{settings().returns_at}"):
            return await self._returns.handle_RCPT(server, session, envelope, address, options)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if any(named_by(address) for address in envelope.rcpt_tos):
            answer = await self._returns.handle_DATA(server, session, envelope)
            if not answer.startswith("250"):
                return answer
        return await super().handle_DATA(server, session, envelope)


class Listener:
    """Accepts connections for `handler` on one port, at most MOST_CONNECTIONS at a time."""

    def __init__(self, handler: ReturnsHandler, *, host: str, port: int, tls: TlsKeeper | None = None) -> None:
        self._handler = handler
        self._host, self._port = host, port
        self._tls = tls
        self._open = 0

    def _protocol(self) -> Any:
        listener = self

        class Counted(SMTP):
            def connection_made(self, transport: Any) -> None:
                if self.transport is not None:
                    # The same connection again, now inside TLS.
                    super().connection_made(transport)
                    return
                if listener._open >= MOST_CONNECTIONS:
                    transport.write(b"421 4.3.2 Too many connections, try again later\r\n")
                    transport.close()
                    return
                super().connection_made(transport)
                listener._open += 1
                # Not in connection_lost, which a handshake that fails calls twice, or never.
                conversation = self._handler_coroutine
                assert conversation is not None
                conversation.add_done_callback(listener._closed)

            def connection_lost(self, error: Exception | None) -> None:
                if self.transport is not None:
                    super().connection_lost(error)

            async def handle_exception(self, error: Exception) -> str:
                if not isinstance(error, TLSSetupException):
                    # A mail that is refused for good is lost: the sender of a bounce has nobody to tell.
                    log.error("return_not_taken", exc_info=error)
                    return "451 4.3.0 There is a fault here, try again later"
                # Port scanners do it all day; it is no fault of ours, and the connection ends.
                log.info("handshake_failed", error=str(error.__cause__))
                return "421 4.7.0 The handshake failed"

            def eof_received(self) -> bool | None:
                return super().eof_received() if self.transport is not None else None

        return Counted(
            self._handler, data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=False, ident="tcma", timeout=PATIENCE_SECONDS,
            hostname=settings().returns_at, loop=asyncio.get_running_loop(),
            tls_context=self._tls.context() if self._tls else None,
        )  # fmt: skip

    def _closed(self, _: asyncio.Task[None]) -> None:
        self._open -= 1

    async def serve(self, ended: asyncio.Event, on_ready: Callable[[int], None]) -> None:
        """Listen until `ended`; `on_ready` gets the port. Raises click.ClickException where it cannot be used."""
        try:
            server = await asyncio.get_running_loop().create_server(self._protocol, self._host, self._port, backlog=512)
        except OSError as error:
            raise click.ClickException(
                f"Port {self._port} on {self._host} cannot be used for mail that comes back: {error.strerror}. "
                "Choose another one with --port or TCMA_INBOUND_PORT."
            ) from error
        async with server:
            on_ready(server.sockets[0].getsockname()[1])
            await ended.wait()


def feedback_address() -> str:
    """The address to give to feedback loops (ARF): it names no delivery; the mails that they quote do."""
    return tokens.return_path(0, key=settings().derived_keys("tracking")[0], domain=settings().returns_at)


def run_inbound(
    make_app: Callable[[], Flask], *, host: str, port: int, on_ready: Callable[[int], None] = lambda _: None
) -> None:
    """Take what comes back until SIGTERM or Ctrl-C; port 0 takes any free one. Raises click.ClickException."""
    if not settings().returns_at:
        raise click.ClickException(
            "Set TCMA_RETURN_DOMAIN to the domain whose mail comes here, such as returns.example.com."
        )

    try:
        files = TlsFiles.of(settings().inbound_tls_cert, settings().inbound_tls_key)
        tls = TlsKeeper(files) if files else None
    except TlsFault as fault:
        raise click.ClickException(str(fault)) from fault

    async def serve() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await Listener(ReturnsHandler(make_app), host=host, port=port, tls=tls).serve(ended, on_ready)

    asyncio.run(serve())
