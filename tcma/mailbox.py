"""The mailbox part: an SMTP server that keeps every mail in a Maildir instead of passing it on, and its reader.

The demo sends through the same code as production, and people read what arrived at /mailbox.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import itertools
import os
import re
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from tcma import clock
from tcma.config import Settings, settings
from tcma.errors import NotFound
from tcma.parts import log_to_stderr, say_ready

LARGEST_MAIL = 32 * 1024 * 1024
KEEP = 20_000
"""Mails kept; beyond that the oldest go."""

_HEAD_LIMIT = 64 * 1024
_KEY = re.compile(r"[0-9]{19}\.[A-Za-z0-9._-]{1,200}")


def folder(conf: Settings) -> Path:
    """The Maildir of the mailbox part."""
    return conf.data_dir / "mailbox"


class MaildirHandler:
    """Writes each mail to `new/` of a Maildir, with its envelope in front (Delivered-To, Return-Path).

    A mail is complete once it is there, for it is renamed into place; it is not flushed to disk one by one,
    for what the mailbox holds is for looking at. Of more than `keep` mails the oldest go.
    """

    def __init__(self, maildir: Path, *, keep: int = KEEP) -> None:
        self.maildir = maildir
        self._keep = keep
        self._number = itertools.count()
        self._host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60]
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True, exist_ok=True)
        self._kept = deque(sorted(os.listdir(maildir / "new")))

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Say that commands may come in one piece: the server reads line by line, so they may (RFC 2920 §3.2)."""
        session.host_name = hostname
        return [*responses[:1], "250-PIPELINING", *responses[1:]]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        recipients = "".join(f"Delivered-To: {address}\r\n" for address in envelope.rcpt_tos)
        # Return-Path comes last: where it stands the envelope ends, whatever the mail's own headers claim.
        head = f"{recipients}Return-Path: <{envelope.mail_from or ''}>\r\n"
        content = envelope.content or b""
        body = content if isinstance(content, bytes) else content.encode()
        # The first 19 digits are nanoseconds: names sort by arrival.
        moment = round(clock.now().timestamp() * 1_000_000) * 1000
        name = f"{moment:019d}.{next(self._number):09d}_{os.getpid()}.{self._host}"
        fresh = self.maildir / "tmp" / name
        try:
            fresh.write_bytes(head.encode("utf-8", "surrogateescape") + body)
            fresh.rename(self.maildir / "new" / name)
            self._kept.append(name)
            while len(self._kept) > self._keep:
                (self.maildir / "new" / self._kept.popleft()).unlink(missing_ok=True)
        except OSError as error:
            return f"452 4.3.1 The mail could not be kept: {error.strerror}"
        return "250 2.0.0 Kept"


class _Receiver(SMTP):
    """aiosmtpd with a DATA of its own: theirs takes a message line by line, 20 times slower for a campaign mail."""

    # The limit of its stream as well, at twice of which the connection is stopped and started again.
    line_length_limit = 1 << 20

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 Syntax: DATA" if arg else "503 Error: need RCPT command")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._message()
        if content is None:
            status = "552 5.3.4 The mail is too large"
        else:
            self.envelope.content = content
            status = await self.event_handler.handle_DATA(self, self.session, self.envelope)
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        await self.push(status)

    async def _message(self) -> bytes | None:
        """The message up to its final dot, without dot-stuffing; None for one beyond LARGEST_MAIL."""
        received = bytearray(b"\r\n")
        too_large = False
        searched = 0
        while (end := received.find(b"\r\n.\r\n", searched)) < 0:
            if len(received) > LARGEST_MAIL:
                too_large = True
                del received[:-4]
            searched = max(0, len(received) - 4)
            chunk = await self._reader.read(LARGEST_MAIL)
            if not chunk:
                raise ConnectionResetError
            received += chunk
        # What was read beyond the dot are the next commands: the reader is empty now and gets them back.
        self._reader.feed_data(bytes(received[end + 5 :]))
        return None if too_large else bytes(received[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]


def run(handler: MaildirHandler | None = None) -> None:
    """The part `tcma mailbox`: receive mail by the settings until SIGTERM or Ctrl-C."""
    log_to_stderr()
    conf = settings()
    run_mailbox(folder(conf), conf.mailbox_smtp_port, on_ready=lambda _: say_ready(), handler=handler)


def run_mailbox(
    maildir: Path, port: int, *, keep: int = KEEP, on_ready: Callable[[int], None] = lambda _: None,
    handler: MaildirHandler | None = None,
) -> None:  # fmt: skip
    """Receive mail on 127.0.0.1 into `maildir` until SIGTERM or Ctrl-C; 0 takes any free port.

    `on_ready` gets the port once it is open; `handler` may do more than keep mails. Raises click.ClickException
    where the port cannot be used.
    """
    asyncio.run(_serve(handler or MaildirHandler(maildir, keep=keep), port, on_ready))


async def _serve(handler: MaildirHandler, port: int, on_ready: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()

    def protocol() -> Any:
        return _Receiver(handler, data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True, ident="tcma", loop=loop)

    try:
        server = await loop.create_server(protocol, "127.0.0.1", port, backlog=512)
    except OSError as error:
        raise click.ClickException(
            f"Port {port} cannot be used for the mailbox: {error.strerror}. Set another TCMA_MAILBOX_PORT."
        ) from error
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with server:
        on_ready(server.sockets[0].getsockname()[1])
        await ended.wait()


@dataclass(frozen=True, slots=True)
class MailSummary:
    """A line of the list. `to` are the envelope's recipients, `size` is in bytes; `key` opens the mail."""

    key: str
    received_at: datetime
    sender: str
    to: tuple[str, ...]
    subject: str
    size: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text nor the HTML of the mail."""

    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail in parts. `html` is as a stranger sent it: show it in a sandboxed frame only."""

    summary: MailSummary
    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    raw: bytes


def read_mailbox(
    maildir: Path, *, limit: int = 50, search: str = "", to: str = "", before: str | None = None
) -> list[MailSummary]:
    """The newest mails first, at most `limit`, older than the mail with the key `before` if given.

    `search` is looked for in sender, recipients and subject, `to` in the recipients alone, both in any case.
    A folder that is not there is an empty mailbox.
    """
    wanted, recipient = search.strip().lower(), to.strip().lower()
    found: list[MailSummary] = []
    for path in _newest_first(maildir):
        if len(found) >= limit:
            break
        if before is not None and path.name >= before:
            continue
        try:
            mail = _summary(path)
        except FileNotFoundError:
            continue  # dropped as one too many since the folder was listed
        if recipient and not any(recipient in address.lower() for address in mail.to):
            continue
        if wanted and wanted not in " ".join((mail.sender, mail.subject, *mail.to)).lower():
            continue
        found.append(mail)
    return found


def open_mail(maildir: Path, key: str) -> Mail:
    """The whole mail of a summary's `key`. Raises NotFound for one that is gone or never was."""
    if not _KEY.fullmatch(key):
        raise NotFound
    try:
        path = maildir / "new" / key
        summary, raw = _summary(path), path.read_bytes()
    except FileNotFoundError:
        raise NotFound("This mail is gone: the mailbox keeps the newest mails only.") from None
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    text = html = None
    attachments: list[Attachment] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        content = _bytes(part)
        kind, name = part.get_content_type(), part.get_filename()
        if kind == "text/plain" and text is None and name is None:
            text = _decoded(part, content)
        elif kind == "text/html" and html is None and name is None:
            html = _decoded(part, content)
        else:
            attachments.append(Attachment(_shown(name or "unnamed"), kind, len(content)))
    headers = tuple((name, _shown(value)) for name, value in message.items())
    return Mail(summary, headers, text, html, tuple(attachments), raw)


def _newest_first(maildir: Path) -> Iterator[Path]:
    new = maildir / "new"
    if new.is_dir():
        yield from (new / name for name in sorted(os.listdir(new), reverse=True) if _KEY.fullmatch(name))


# A mail never changes, so what was read of it once stays true.
@lru_cache(maxsize=KEEP)
def _summary(path: Path) -> MailSummary:
    with path.open("rb") as file:
        head = file.read(_HEAD_LIMIT)
        size = os.fstat(file.fileno()).st_size
    lines = itertools.takewhile(lambda line: line.startswith(b"Delivered-To: "), head.split(b"\r\n"))
    recipients = tuple(line.removeprefix(b"Delivered-To: ").decode("utf-8", "replace") for line in lines)
    headers = BytesHeaderParser().parsebytes(head)
    return MailSummary(
        key=path.name,
        received_at=datetime.fromtimestamp(int(path.name[:19]) / 1e9, UTC),
        sender=_shown(headers.get("From", "")),
        to=recipients,
        subject=_shown(headers.get("Subject", "")),
        size=size,
    )


def _shown(value: Any) -> str:
    """A header's value as its sender meant it, or as it was written where that cannot be told."""
    written = str(value).replace("\r", "").replace("\n", "")
    try:
        return str(make_header(decode_header(written)))
    except (HeaderParseError, LookupError, ValueError):
        return written


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _decoded(part: Message, content: bytes) -> str:
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return content.decode("utf-8", "replace")
