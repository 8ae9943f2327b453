"""The mailbox part: an SMTP server that keeps every mail in a Maildir, instead of a mail provider.

The demo sends through the same code as production, and people read what arrived at /mailbox.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import click
from aiosmtpd.smtp import SMTP, Envelope, Session

from tcma.config import Settings, settings
from tcma.parts import log_to_stderr, say_ready

LARGEST_MAIL = 32 * 1024 * 1024


def folder(conf: Settings) -> Path:
    """The Maildir of the mailbox part."""
    return conf.data_dir / "mailbox"


class MaildirHandler:
    """Writes each mail to `new/` of a Maildir, with its envelope in front (Return-Path, Delivered-To).

    A mail is complete once it is there, for it is renamed into place; it is not flushed to disk one by one,
    for what the mailbox holds is for looking at.
    """

    def __init__(self, maildir: Path) -> None:
        self.maildir = maildir
        self._number = itertools.count()
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        recipients = "".join(f"Delivered-To: {address}\r\n" for address in envelope.rcpt_tos)
        head = f"Return-Path: <{envelope.mail_from or ''}>\r\n{recipients}".encode()
        content = envelope.content or b""
        body = content if isinstance(content, bytes) else content.encode()
        name = f"{time.time_ns()}.{os.getpid()}_{next(self._number)}.{socket.gethostname()}"
        fresh = self.maildir / "tmp" / name
        try:
            fresh.write_bytes(head + body)
            fresh.rename(self.maildir / "new" / name)
        except OSError as error:
            return f"452 4.3.1 The mail could not be kept: {error.strerror}"
        return "250 2.0.0 Kept"


def run() -> None:
    """Receive mail on 127.0.0.1 until SIGTERM or Ctrl-C."""
    log_to_stderr()
    asyncio.run(_serve(settings()))


async def _serve(conf: Settings) -> None:
    loop = asyncio.get_running_loop()
    handler = MaildirHandler(folder(conf))
    port = conf.mailbox_smtp_port

    def protocol() -> Any:
        return SMTP(handler, data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True, ident="tcma", loop=loop)

    try:
        server = await loop.create_server(protocol, "127.0.0.1", port)
    except OSError as error:
        raise click.ClickException(
            f"Port {port} cannot be used for the mailbox: {error.strerror}. Set another TCMA_MAILBOX_PORT."
        ) from error
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with server:
        say_ready()
        await ended.wait()
