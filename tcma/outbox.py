"""Sending the outbox: notification mails that rooms posted with `tcma.mail.post`.

A mail is claimed by lease, sent, and marked, each in its own short transaction. A process that dies after the
server took the mail and before the mark was written sends it again: with the same Message-ID, so that mail
programs show it once. To people who wait for an invitation a second copy is better than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from celery import shared_task
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tcma import clock, idempotency, mail
from tcma.campaigns import starter
from tcma.config import settings
from tcma.db import elevated, unit_of_work
from tcma.delivery import signing
from tcma.delivery.message import system_message
from tcma.delivery.reply import Envelope, Outgoing, ReplyKind
from tcma.delivery.senders_keys import KeyUnreadable
from tcma.delivery.smtp_target import SmtpError
from tcma.delivery.transport import Transport, transport_for
from tcma.errors import DomainError
from tcma.records import OutboxMail
from tcma.sweeps import Sweep

log = structlog.get_logger(__name__)

ATTEMPTS = 10
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=4)
SWEEPS = (Sweep("tcma.outbox", every_seconds=30), Sweep("tcma.service.forget_answers", every_seconds=3600))


@shared_task(name="tcma.outbox")  # type: ignore[untyped-decorator]
def send_outbox(organization_id: str | None = None, object_id: str | None = None) -> None:
    """Send whatever is due; whose message woke us does not matter."""
    while send_due(limit=50) == 50:
        pass


@shared_task(name="tcma.service.forget_answers")  # type: ignore[untyped-decorator]
def forget_answers() -> None:
    with unit_of_work(None) as session:
        idempotency.forget_old(session)


def send_due(limit: int = 50) -> int:
    """Send at most `limit` mails that are due, over one connection; how many were tried.

    A mail that fails for now comes again after 1, 2, 4 … minutes (at most 4 hours), and is given up after
    10 tries or when the server refuses its recipient for good. Trouble with the server itself puts the rest
    back for one minute without counting a try.
    """
    connection = transport_for(settings(), tags={"stream": "notifications"})
    with unit_of_work(None) as session:
        mails = _claim(session, limit, lease=timedelta(seconds=limit * connection.target.longest_transaction))
        signer = _signer(session) if mails else None
    if not mails:
        return 0
    try:
        for place, one in enumerate(mails):
            trouble = _send(connection, one, signer)
            if trouble is not None:
                _put_back(mails[place:], trouble)
                break
    finally:
        connection.close()
    return len(mails)


def _claim(session: Session, limit: int, *, lease: timedelta) -> list[OutboxMail]:
    now = clock.now()
    with elevated(session, "the outbox of all tenants is sent by one sweep"):
        due = list(
            session.scalars(
                select(OutboxMail)
                .where(
                    OutboxMail.sent_at.is_(None),
                    OutboxMail.failed_at.is_(None),
                    OutboxMail.due_at <= now,
                    OutboxMail.lease_until.is_(None) | (OutboxMail.lease_until <= now),
                )
                .order_by(OutboxMail.due_at)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
        )
        for one in due:
            one.lease_until = now + lease
        session.flush()
        session.expunge_all()
    return due


def _signer(session: Session) -> signing.Signer | None:
    """Who signs for the platform. A key that cannot be read stops no mail: unsigned is better than none here."""
    try:
        return signing.platform_signer(session)
    except KeyUnreadable as error:
        log.warning("notifications_not_signed", error=error.message)
        return None


def _send(connection: Transport, one: OutboxMail, signer: signing.Signer | None) -> str | None:
    """Send one mail and mark it; words where the server itself cannot be used now."""
    try:
        data = _message(one)
        data = signer.sign(data) if signer else data
    except DomainError as error:
        _failed(one, f"The mail could not be made: {error.message}")
        return None
    try:
        if not connection.is_open:
            connection.connect()
    except SmtpError as error:
        return error.message
    reply = connection.send(
        Outgoing(Envelope(settings().platform_sender, one.to_address), data, before_dot=lambda: None)
    )
    words = f"{reply.code or ''} {reply.text}".strip()
    match reply.kind:
        case ReplyKind.SENT:
            # What the mail said may hold a link that opens something: it is not kept.
            _mark(one.id, sent_at=clock.now(), lease_until=None, last_error=None, attempts=one.attempts + 1, data={})
        case ReplyKind.FAILED:
            _failed(one, words, for_good=True)
        case _ if not reply.spends_attempt:
            return words
        case _:
            _failed(one, words)
    return None


def _message(one: OutboxMail) -> bytes:
    conf = settings()
    made = starter.notification(
        one.template, data=one.data, platform={"name": conf.platform_name, "url": conf.public_origin}
    )
    return system_message(
        from_name=conf.platform_name, from_address=conf.platform_sender, to_address=one.to_address,
        to_name=one.to_name, subject=mail.one_line(made.subject), text=made.text, html=made.html, message_id=one.id.hex,
        message_id_domain=conf.platform_sender.rpartition("@")[2],
    )  # fmt: skip


def _failed(one: OutboxMail, words: str, *, for_good: bool = False) -> None:
    attempts = one.attempts + 1
    now = clock.now()
    given_up = for_good or attempts >= ATTEMPTS
    wait = min(FIRST_WAIT * 2 ** (attempts - 1), LONGEST_WAIT)
    log.warning("notification_not_sent", mail=str(one.id), template=one.template, attempts=attempts, given_up=given_up)
    _mark(
        one.id, attempts=attempts, last_error=words[:500], due_at=now + wait, lease_until=None,
        failed_at=now if given_up else None,
    )  # fmt: skip


def _put_back(mails: Sequence[OutboxMail], words: str) -> None:
    log.warning("mail_server_unusable", waiting=len(mails))
    with unit_of_work(None) as session, elevated(session, "the outbox of all tenants waits for the mail server"):
        session.execute(
            update(OutboxMail)
            .where(OutboxMail.id.in_([one.id for one in mails]))
            .values(due_at=clock.now() + FIRST_WAIT, lease_until=None, last_error=words[:500])
        )


def _mark(mail_id: UUID, **values: object) -> None:
    with unit_of_work(None) as session, elevated(session, "one mail of the outbox was tried"):
        session.execute(update(OutboxMail).where(OutboxMail.id == mail_id).values(**values))
