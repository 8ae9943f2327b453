"""The listener for what comes back, over real SMTP: whom it takes mail for, what it stores, and what follows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP
from flask import Flask
from sqlalchemy import func, select

from tcma import clock
from tcma.audience import queries as audience_queries
from tcma.campaigns.models import Launch
from tcma.config import Settings, settings, use_settings
from tcma.db import db, elevated, unit_of_work
from tcma.delivery import engine, inbound, queries, returns, tokens
from tcma.delivery.inbound_tls import TlsKeeper
from tcma.delivery.models import Event
from tcma.delivery.models_returns import Return
from tcma.delivery.states import EventKind
from tcma.delivery.tokens import Purpose
from tcma.mailbox import read_mailbox
from tests.factories.cast import Cast
from tests.factories.delivery import make_started, system_of, use_sink
from tests.factories.returns import RETURNS, answer_mail, bounce_mail, complaint_mail, deliveries_of, return_path
from tests.sinks import SmtpSink


@pytest.fixture
def back(app: Flask) -> Iterator[tuple[SmtpSink, int]]:
    """A sink for what goes out, and the port of the listener for what comes back."""
    with SmtpSink() as server:
        before = use_sink(server.url)
        use_settings(settings().model_copy(update={"return_domain": RETURNS}))
        with app.app_context(), listening(inbound.ReturnsHandler(lambda: app)) as port:
            yield server, port
        use_settings(before)


class listening:
    """The listener in a thread, on a port of its own, as `tcma inbound` runs it."""

    def __init__(self, handler: inbound.ReturnsHandler, *, tls: TlsKeeper | None = None) -> None:
        self._listener = inbound.Listener(handler, host="127.0.0.1", port=0, tls=tls)
        self._ready = threading.Event()
        self._port = 0

    def __enter__(self) -> int:
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)
        return self._port

    def _run(self) -> None:
        async def serve() -> None:
            await self._listener.serve(self._ended, self._opened)
            others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            for one in others:
                one.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._loop.run_until_complete(serve())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _opened(self, port: int) -> None:
        self._port = port
        self._ready.set()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


def send(port: int, recipients: str | list[str], content: bytes) -> dict[str, tuple[int, bytes]]:
    """Hand a mail over as a mail server does that returns one: with an empty sender."""
    db.session.expunge_all()
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        refused = client.sendmail("", recipients, content)
    returns.process_due()
    return refused


def refused(port: int, recipient: str) -> int:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        client.mail("")
        return client.rcpt(recipient)[0]


def sent_launch(cast: Cast, *, contacts: int = 3) -> Launch:
    launch = make_started(cast, contacts=contacts)
    engine.run_lane(launch.partner_id, launch.id)
    return launch


def events_of(launch: Launch) -> list[tuple[EventKind, str]]:
    with unit_of_work(system_of(launch)) as session:
        found = session.scalars(select(Event).where(Event.launch_id == launch.id).order_by(Event.id))
        return [(EventKind(one.kind), one.detail.get("kind", "")) for one in found]


def stored() -> int:
    with unit_of_work(None) as session, elevated(session, "a test counts"):
        return session.scalar(select(func.count()).select_from(Return)) or 0


def suppressed(launch: Launch, key: bytes) -> str | None:
    with unit_of_work(system_of(launch)) as session:
        held = audience_queries.suppression_of(session, launch.partner_id, key)
        return str(held.reason) if held else None


def test_the_return_path_of_each_mail_takes_its_bounce(back: tuple[SmtpSink, int], cast: Cast) -> None:
    sink, port = back
    launch = sent_launch(cast)
    senders = {one.sender for one in sink.accepted}
    rows = deliveries_of(launch)
    assert senders == {return_path(one) for one in rows}
    send(port, return_path(rows[1]), bounce_mail(return_path(rows[1])))
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]
    assert [suppressed(launch, one.email_key) for one in rows] == [None, "bounced", None]


def test_list_unsubscribe_names_an_address_that_works(back: tuple[SmtpSink, int], cast: Cast) -> None:
    sink, port = back
    launch = sent_launch(cast, contacts=1)
    web, mailto = re.findall("<([^>]+)>", message_from_bytes(sink.accepted[0].data)["List-Unsubscribe"])
    assert web.startswith("http")
    address = mailto.removeprefix("mailto:")
    send(port, address, b"Subject: unsubscribe\r\n\r\n")
    row = deliveries_of(launch)[0]
    assert suppressed(launch, row.email_key) == "unsubscribed"
    assert events_of(launch) == [(EventKind.UNSUBSCRIBE, "")]


def test_the_same_bounce_twice_is_stored_and_counted_once(back: tuple[SmtpSink, int], cast: Cast) -> None:
    port = back[1]
    launch = sent_launch(cast)
    path = return_path(deliveries_of(launch)[0])
    before = stored()
    mail = bounce_mail(path)
    for received in (b"", b"Received: from a.example\r\n\tby b.example\r\n", b"Received: from c.example\r\n"):
        send(port, path, received + mail)
    assert (stored(), len(events_of(launch))) == (before + 1, 1)


@pytest.mark.parametrize("change", ["forged", "truncated", "longer", "other purpose", "other domain", "no token", "plain"])
def test_an_address_that_is_not_ours_is_refused(back: tuple[SmtpSink, int], cast: Cast, change: str) -> None:
    port = back[1]
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    path = return_path(row)
    local = path.partition("@")[0]
    wrong = {
        "forged": tokens.return_path(row.id, key=b"not our key", domain=RETURNS), "truncated": f"{local[:-1]}@{RETURNS}",
        "longer": f"{local}a@{RETURNS}", "other purpose": "u" + path[1:], "other domain": f"{local}@elsewhere.example",
        "no token": f"b-@{RETURNS}", "plain": f"postmaster@{RETURNS}",
    }[change]  # fmt: skip
    before = stored()
    assert refused(port, wrong) == 550
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(port, wrong, bounce_mail(path))
    assert (stored(), events_of(launch)) == (before, [])


def test_a_bounce_to_a_partners_own_return_path_is_counted(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast, contacts=1)
    path = return_path(deliveries_of(launch)[0], domain="bounce.acme.example")
    send(back[1], path, bounce_mail(path))
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]


@pytest.mark.parametrize("change", ["forged", "plain", "truncated", "unsubscribe", "no label", "label alone"])
def test_nothing_but_a_token_of_ours_opens_a_partners_return_path(
    back: tuple[SmtpSink, int], cast: Cast, change: str
) -> None:
    row = deliveries_of(sent_launch(cast, contacts=1))[0]
    path, key = return_path(row, domain="bounce.acme.example"), settings().derived_keys("tracking")[0]
    wrong = {
        "forged": tokens.return_path(row.id, key=b"not our key", domain="bounce.acme.example"),
        "plain": "anna@bounce.acme.example", "truncated": path[:4] + path[5:],
        "unsubscribe": tokens.unsubscribe_address(row.id, key=key, domain="bounce.acme.example"),
        "no label": return_path(row, domain="acme.example"), "label alone": return_path(row, domain="bounce"),
    }[change]  # fmt: skip
    before = stored()
    assert refused(back[1], wrong) == 550
    assert stored() == before


def test_mail_servers_may_change_the_case_of_an_address(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast, contacts=1)
    path = return_path(deliveries_of(launch)[0]).upper()
    send(back[1], path, bounce_mail(path))
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]


def test_a_complaint_and_an_answer_are_told_apart(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast)
    rows = deliveries_of(launch)
    send(back[1], return_path(rows[0]), answer_mail(return_path(rows[0])))
    send(back[1], return_path(rows[1]), complaint_mail(return_path(rows[1]), original=return_path(rows[1])))
    assert events_of(launch) == [(EventKind.COMPLAINT, "complaint")]
    assert [suppressed(launch, one.email_key) for one in rows] == [None, "complained", None]


def test_a_feedback_loop_names_the_delivery_in_the_mail_that_it_quotes(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast)
    rows = deliveries_of(launch)
    address = inbound.feedback_address()
    send(back[1], address, complaint_mail(address, original=return_path(rows[2])))
    forged = tokens.return_path(rows[0].id, key=b"not our key", domain=RETURNS)
    send(back[1], address, complaint_mail(address, original=forged))
    assert [suppressed(launch, one.email_key) for one in rows] == [None, None, "complained"]


def test_a_mail_for_two_recipients_is_stored_for_each(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast)
    paths = [return_path(one) for one in deliveries_of(launch)[:2]]
    send(back[1], paths, bounce_mail(paths[0]))
    assert len(events_of(launch)) == 2


def test_a_mail_is_stored_before_it_is_answered(back: tuple[SmtpSink, int], cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database does not take it, the mail server is told to come again."""
    from sqlalchemy.exc import OperationalError

    launch = sent_launch(cast)
    path = return_path(deliveries_of(launch)[0])

    def broken(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, Exception("gone"))

    with monkeypatch.context() as down:
        down.setattr(returns, "keep", broken)
        with pytest.raises(smtplib.SMTPDataError) as told:
            send(back[1], path, bounce_mail(path))
    assert told.value.smtp_code == 451
    send(back[1], path, bounce_mail(path))
    assert len(events_of(launch)) == 1


def test_a_fault_of_ours_is_no_refusal_for_good_and_tells_no_stranger_its_words(
    back: tuple[SmtpSink, int], cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = sent_launch(cast)
    path = return_path(deliveries_of(launch)[0])

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/srv/secret.key")

    with monkeypatch.context() as down:
        down.setattr(returns, "keep", broken)
        with pytest.raises(smtplib.SMTPDataError) as told:
            send(back[1], path, bounce_mail(path))
    assert told.value.smtp_code == 451
    assert b"secret" not in bytes(told.value.smtp_error)
    send(back[1], path, bounce_mail(path))
    assert len(events_of(launch)) == 1


def test_too_large_a_mail_is_refused_and_of_a_long_one_the_report_is_kept(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast)
    path = return_path(deliveries_of(launch)[0])
    with pytest.raises(smtplib.SMTPResponseException):
        send(back[1], path, b"Subject: x\r\n\r\n" + b"x" * 70 + (b"\r\n" + b"x" * 70) * (inbound.LARGEST_MAIL // 72))
    long = bounce_mail(path).replace(b"Subject: Hello\r\n\r\nHello", b"Subject: Hello\r\n\r\n" + b"Hello\r\n" * 60_000)
    send(back[1], path, long)
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]


def test_an_old_address_still_works_after_the_key_was_changed(back: tuple[SmtpSink, int], cast: Cast) -> None:
    launch = sent_launch(cast, contacts=1)
    path = return_path(deliveries_of(launch)[0])
    before = settings()
    changed = Settings(_env_file=None, **{**before.model_dump(), "secret_key": f"a-newer-one,{before.secret_key}"})
    use_settings(changed)
    try:
        assert inbound.named_by(path) == (Purpose.BOUNCE, deliveries_of(launch)[0].id)
    finally:
        use_settings(before)


def test_an_unknown_delivery_is_settled_by_its_bounce(back: tuple[SmtpSink, int], cast: Cast) -> None:
    sink, port = back
    launch = make_started(cast, contacts=2)
    rows = deliveries_of(launch)
    sink.manners.cut_after_dot.add(rows[0].address)
    engine.run_lane(launch.partner_id, launch.id)
    with unit_of_work(system_of(launch)) as session:
        assert queries.totals(session, launch.id).unknown == 1
    send(port, return_path(rows[0]), bounce_mail(return_path(rows[0])))
    with unit_of_work(system_of(launch)) as session:
        counts = queries.totals(session, launch.id)
    assert (counts.unknown, counts.failed, counts.sent, counts.holds) == (0, 1, 1, True)
    assert clock.now() - (deliveries_of(launch)[0].settled_at or clock.now()) < timedelta(minutes=5)


def test_the_mailbox_of_the_demo_takes_bounces_on_the_same_port(back: tuple[SmtpSink, int], cast: Cast, app: Flask, tmp_path: Path) -> None:
    launch = sent_launch(cast)
    path = return_path(deliveries_of(launch)[0])
    handler = inbound.DemoHandler(lambda: app, tmp_path)

    async def play() -> list[int]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        def talk() -> list[int]:
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail("", path, bounce_mail(path))
                client.sendmail("a@b.example", "anna@customer.example", b"Subject: Hello\r\n\r\nHello\r\n")
                client.mail("")
                return [client.rcpt(f"b-aaaaaaaaaaaaaaaaaaaa@{RETURNS}")[0]]

        codes = await asyncio.to_thread(talk)
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)
        return codes

    assert asyncio.run(play()) == [550]
    returns.process_due()
    assert events_of(launch) == [(EventKind.BOUNCE, "hard")]
    assert [one.to for one in read_mailbox(tmp_path)] == [("anna@customer.example",), (path,)]


def command(tmp_path: Path, **settings_given: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TCMA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "tcma.cli", "inbound", "--port", "0"], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**kept, "TCMA_DATA_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1", **settings_given},
    )  # fmt: skip


def test_the_command_listens_until_it_is_asked_to_end(tmp_path: Path) -> None:
    process = command(tmp_path, TCMA_RETURN_DOMAIN=RETURNS)
    assert process.stdout is not None
    with process.stdout as output:
        line = output.readline()
        assert line.startswith(f"Taking mail for {RETURNS} on 127.0.0.1:")
        assert refused(int(line.rpartition(":")[2].strip(" .\n")), f"anna@{RETURNS}") == 550
        process.send_signal(signal.SIGTERM)
        assert (process.wait(20), output.read()) == (0, "")


def test_without_a_return_domain_the_command_says_what_to_set(tmp_path: Path) -> None:
    told, _ = command(tmp_path).communicate(timeout=60)
    assert "Set TCMA_RETURN_DOMAIN to the domain whose mail comes here" in told
