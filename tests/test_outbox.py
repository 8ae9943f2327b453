"""The outbox: every notification goes out, once where it can, and trouble is waited out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from tcma import clock, mail, outbox
from tcma.config import settings
from tcma.db import elevated, unit_of_work
from tcma.records import OutboxMail
from tests.factories.cast import Cast
from tests.sinks import Manners, SmtpSink

SendTo = Callable[[SmtpSink], None]


@pytest.fixture
def empty_outbox(app: Flask) -> None:
    """Mails of other tests would be sent here as well."""
    with app.app_context(), unit_of_work(None) as session, elevated(session, "a test begins with an empty outbox"):
        session.execute(delete(OutboxMail))


@pytest.fixture
def send_to(app: Flask, monkeypatch: pytest.MonkeyPatch) -> SendTo:
    return lambda sink: monkeypatch.setattr(settings(), "smtp_url", sink.url + "?timeout=5")


def post(cast: Cast, address: str = "new@example.com", **data: str) -> UUID:
    with unit_of_work(cast.vendor_admin) as session:
        given = {"url": "https://app.example/join/secret", "name": "Nora", "vendor": "Northwind", **data}
        mail.post(
            session, "partner_invitation", organization_id=cast.vendor_id, to_address=address, to_name="Nora Neu",
            data=given,
        )  # fmt: skip
    return read(cast, address).id


def read(cast: Cast, address: str = "new@example.com") -> OutboxMail:
    with unit_of_work(cast.vendor_admin) as session:
        found = session.scalar(select(OutboxMail).where(OutboxMail.to_address == address))
        assert found is not None
        return found


def test_a_posted_mail_is_sent_once_and_its_secret_forgotten(
    app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo
) -> None:
    with app.app_context(), SmtpSink() as sink:
        send_to(sink)
        post(cast)
        assert outbox.send_due() == 1
        assert outbox.send_due() == 0
        assert [one.recipient for one in sink.accepted] == ["new@example.com"]
        message = message_from_bytes(sink.accepted[0].data)
        html = message.get_payload()[1].get_payload(decode=True).decode()
        assert message["Auto-Submitted"] == "auto-generated"
        assert "https://app.example/join/secret" in html
        sent = read(cast)
        assert sent.sent_at is not None
        assert sent.data == {}
        assert message["Message-ID"].startswith(f"<{sent.id.hex}@")


def test_a_server_that_says_later_gets_it_again_after_a_growing_wait(
    app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo
) -> None:
    manners = Manners(rcpt={"new@example.com": "451 4.3.0 later"}, refuse_times=2)
    with app.app_context(), SmtpSink(manners) as sink:
        send_to(sink)
        post(cast)
        start = clock.now()
        waits = []
        for _ in range(2):
            with clock.at(max(start, read(cast).due_at)):
                assert outbox.send_due() == 1
                waits.append(read(cast).due_at - clock.now())
        assert waits == [timedelta(minutes=1), timedelta(minutes=2)]
        assert "451" in (read(cast).last_error or "")
        with clock.at(read(cast).due_at):
            outbox.send_due()
        assert read(cast).sent_at is not None
        assert len(sink.accepted) == 1


def test_a_refused_recipient_is_given_up_at_once(app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo) -> None:
    manners = Manners(rcpt={"new@example.com": "550 5.1.1 nobody here"})
    with app.app_context(), SmtpSink(manners) as sink:
        send_to(sink)
        post(cast)
        post(cast, "other@example.com")
        outbox.send_due()
        assert read(cast).failed_at is not None
        assert read(cast, "other@example.com").sent_at is not None


def test_the_tenth_failure_is_the_last(app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo) -> None:
    manners = Manners(rcpt={"new@example.com": "450 4.2.1 busy"})
    with app.app_context(), SmtpSink(manners) as sink:
        send_to(sink)
        post(cast)
        for _ in range(outbox.ATTEMPTS):
            with clock.at(max(clock.now(), read(cast).due_at)):
                outbox.send_due()
        failed = read(cast)
        assert (failed.attempts, failed.sent_at) == (outbox.ATTEMPTS, None)
        assert failed.failed_at is not None
        with clock.at(failed.due_at + timedelta(days=9)):
            assert outbox.send_due() == 0


def test_a_dead_server_costs_no_attempt_and_waits_for_all(
    app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo
) -> None:
    with SmtpSink() as sink:
        send_to(sink)
    with app.app_context():
        post(cast)
        post(cast, "other@example.com")
        outbox.send_due()
        for address in ("new@example.com", "other@example.com"):
            waiting = read(cast, address)
            assert (waiting.attempts, waiting.lease_until, waiting.sent_at) == (0, None, None)
            assert waiting.due_at > clock.now() + timedelta(seconds=30)


def test_a_mail_that_cannot_be_made_does_not_stop_the_others(
    app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo
) -> None:
    with app.app_context(), SmtpSink() as sink:
        send_to(sink)
        broken = post(cast)
        with unit_of_work(cast.vendor_admin) as session:
            session.execute(update(OutboxMail).where(OutboxMail.id == broken).values(template="no_such_mail"))
        post(cast, "other@example.com")
        outbox.send_due()
        assert [one.recipient for one in sink.accepted] == ["other@example.com"]
        assert read(cast).attempts == 1


def test_two_senders_at_once_send_each_mail_once(app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo) -> None:
    with SmtpSink() as sink:
        send_to(sink)
        with app.app_context():
            for number in range(20):
                post(cast, f"p{number}@example.com")

        def work() -> None:
            with app.app_context():
                while outbox.send_due(limit=4):
                    pass

        threads = [threading.Thread(target=work) for _ in range(3)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(timeout=60)
        assert sorted(one.recipient for one in sink.accepted) == sorted(f"p{n}@example.com" for n in range(20))


def test_a_lease_that_ran_out_is_taken_over(app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo) -> None:
    with app.app_context(), SmtpSink() as sink:
        send_to(sink)
        mail_id = post(cast)
        lease(mail_id, minutes=5)
        assert outbox.send_due() == 0
        with clock.at(clock.now() + timedelta(minutes=6)):
            assert outbox.send_due() == 1
        assert len(sink.accepted) == 1


def lease(mail_id: UUID, *, minutes: int) -> None:
    with unit_of_work(None) as unit, elevated(unit, "a test leases a mail as a sender that dies would"):
        until = clock.now() + timedelta(minutes=minutes)
        unit.execute(update(OutboxMail).where(OutboxMail.id == mail_id).values(lease_until=until))


def test_a_line_break_in_a_name_does_not_keep_the_mail_back(
    app: Flask, cast: Cast, empty_outbox: None, send_to: SendTo
) -> None:
    with app.app_context(), SmtpSink() as sink:
        send_to(sink)
        with unit_of_work(cast.vendor_admin) as session:
            mail.post(
                session, "partner_invitation", organization_id=cast.vendor_id, to_address="broken@example.com",
                to_name="Nora\r\nBcc: spy@example.com", data={
                    "url": "https://app.example/join/x", "name": "Nora", "vendor": "North\r\nBcc: spy@example.com",
                },
            )  # fmt: skip
        assert outbox.send_due() == 1
        (message,) = [message_from_bytes(one.data) for one in sink.accepted]
        assert message["Bcc"] is None
        assert "North Bcc: spy@example.com" in str(make_header(decode_header(message["Subject"])))
