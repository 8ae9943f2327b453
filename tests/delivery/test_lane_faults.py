"""What a lane with several connections does when something beside the mail server goes wrong."""

from __future__ import annotations

import os
import threading

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from tcma.campaigns.models import Launch
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, pacing
from tcma.delivery.claiming import Claimed, Desk
from tcma.delivery.composing import Composer
from tcma.delivery.journal import Journal
from tcma.delivery.message import CrlfBytes
from tcma.delivery.models import Delivery
from tcma.delivery.places import journal_folder
from tcma.delivery.queries import Totals
from tcma.delivery.reply import Reply
from tcma.delivery.smtp import SmtpConnection
from tcma.delivery.smtp_target import SmtpUnavailable
from tcma.errors import Invalid
from tests.delivery.test_lanes import addresses_of, sending_to, taken_once, totals_of
from tests.factories.cast import Cast
from tests.factories.delivery import make_started, system_of, use_sink
from tests.sinks import Manners


def deliveries_of(launch: Launch) -> dict[str, Delivery]:
    with unit_of_work(system_of(launch)) as session:
        found = session.scalars(select(Delivery).where(Delivery.launch_id == launch.id))
        return {one.address: one for one in found.unique()}


def test_a_fault_in_the_making_of_one_mail_keeps_no_other_waiting(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app, Manners(delay=0.002)) as sink:
        launch = make_started(cast, contacts=100)
        bad = addresses_of(launch)[50]
        made = Composer.message

        def message(self: Composer, delivery_id: int, address: str, contact: dict[str, object]) -> CrlfBytes:
            if address == bad:
                raise ValueError("Link 1 needs a web address.")
            return made(self, delivery_id, address, contact)

        monkeypatch.setattr(Composer, "message", message)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 99
        assert {one.recipient for one in sink.accepted} == set(addresses_of(launch)) - {bad}
        assert totals_of(launch) == Totals(planned=100, sent=99, pending=1)
        assert deliveries_of(launch)[bad].attempts == 1


def test_a_database_that_is_gone_makes_no_mail_unknown(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app, Manners(delay=0.02)) as sink:
        launch = make_started(cast, contacts=300)

        def record(*_: object, **__: object) -> bool:
            raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))

        with monkeypatch.context() as gone:
            gone.setattr(Desk, "record", record)
            gone.setattr("tcma.delivery.lane.RECORD_EVERY", 0.2)
            with pytest.raises(OperationalError):
                engine.run_lane(launch.partner_id, launch.id)
        counted = totals_of(launch)
        assert 0 < counted.sent < 300
        assert counted == Totals(planned=300, sent=counted.sent, pending=300 - counted.sent)
        assert counted.sent == len(sink.accepted)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 300 - counted.sent
        assert taken_once(sink, launch)


def test_a_full_disk_makes_no_mail_unknown_whose_dot_was_written_down(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app, Manners(delay=0.02)) as sink:
        launch = make_started(cast, contacts=200)
        dot = Journal.dot

        def full(self: Journal, delivery_id: int) -> None:
            if len(sink.accepted) >= 60:
                raise OSError("The disk took only a part of a journal record. Free some space.")
            dot(self, delivery_id)

        with monkeypatch.context() as disk:
            disk.setattr(Journal, "dot", full)
            with pytest.raises(OSError, match="Free some space"):
                engine.run_lane(launch.partner_id, launch.id)
        counted = totals_of(launch)
        assert counted == Totals(planned=200, sent=counted.sent, pending=200 - counted.sent)
        assert counted.sent == len(sink.accepted)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 200 - counted.sent
        assert taken_once(sink, launch)


def test_verdicts_that_cannot_be_written_down_are_unknown_one_a_connection(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app, Manners(delay=0.02)) as sink:
        launch = make_started(cast, contacts=200)
        outcome = Journal.outcome

        def full(self: Journal, delivery_id: int, reply: Reply) -> None:
            if len(sink.accepted) >= 60:
                raise OSError("The disk took only a part of a journal record. Free some space.")
            outcome(self, delivery_id, reply)

        with monkeypatch.context() as disk:
            disk.setattr(Journal, "outcome", full)
            with pytest.raises(OSError, match="Free some space"):
                engine.run_lane(launch.partner_id, launch.id)
        counted = totals_of(launch)
        assert 0 < counted.unknown <= settings().delivery_connections
        assert counted.sent + counted.unknown == len(sink.accepted)
        engine.run_lane(launch.partner_id, launch.id)
        assert taken_once(sink, launch)


def test_a_further_connection_refused_just_after_the_last_one_ended_is_no_trouble_of_the_providers(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app, Manners(goodbye_after=30)):
        use_settings(settings().model_copy(update={"delivery_connections": 2}))
        launch = make_started(cast, contacts=59)
        connect, tries = SmtpConnection.connect, list[SmtpConnection]()

        def second_is_refused(self: SmtpConnection) -> None:
            tries.append(self)
            if len(tries) == 2:
                for _ in range(500):
                    if not tries[0].is_open:
                        break
                    threading.Event().wait(0.01)
                raise SmtpUnavailable("The mail server answered 421 too many connections from you", code=421)
            connect(self)

        monkeypatch.setattr(SmtpConnection, "connect", second_is_refused)
        # The mail that met the goodbye is tried again later.
        assert engine.run_lane(launch.partner_id, launch.id).sent == 58
        with unit_of_work(system_of(launch)) as session:
            assert pacing.shut_until(session, pacing.provider_name()) is None
        assert totals_of(launch) == Totals(planned=59, sent=58, pending=1)


def test_a_server_that_takes_no_connection_is_asked_once(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app, Manners(banner="421 4.3.2 not now")) as sink:
        launch = make_started(cast, contacts=100)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 0
        assert sink.connections == 1
        assert totals_of(launch) == Totals(planned=100, pending=100)
        with unit_of_work(system_of(launch)) as session:
            assert pacing.shut_until(session, pacing.provider_name()) is not None


def test_a_connection_that_is_long_in_opening_keeps_no_other_waiting(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sending_to(app) as sink:
        launch = make_started(cast, contacts=90)
        claim, connect = Desk.claim, SmtpConnection.connect
        all_sent, first = threading.Event(), threading.Lock()

        def by_and_by(self: Desk, *, most: int) -> tuple[list[Claimed], int]:
            # Nothing is left to do when the next rows come.
            for _ in range(500):
                if len(sink.accepted) == claimed[0]:
                    break
                threading.Event().wait(0.01)
            found, suppressed = claim(self, most=most)
            claimed[0] += len(found)
            if len(sink.accepted) == 90:
                all_sent.set()
            return found, suppressed

        def one_at_once(self: SmtpConnection) -> None:
            if first.acquire(blocking=False):
                connect(self)
                return
            gave_up.append(not all_sent.wait(10))
            raise SmtpUnavailable("No connection: timed out.")

        claimed, gave_up = [0], list[bool]()
        monkeypatch.setattr("tcma.delivery.clerk.FIRST_CHUNK", 30)
        monkeypatch.setattr("tcma.delivery.clerk.CHUNK", 30)
        monkeypatch.setattr(Desk, "claim", by_and_by)
        monkeypatch.setattr(SmtpConnection, "connect", one_at_once)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 90
        assert gave_up
        assert not any(gave_up)
        assert taken_once(sink, launch)


def test_a_server_that_may_take_its_time_is_sent_to_all_the_same(app: Flask, cast: Cast) -> None:
    with sending_to(app, options="?timeout=60&answer_timeout=900") as sink:
        launch = make_started(cast, contacts=3)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 3
        assert taken_once(sink, launch)


def test_an_address_of_the_mail_server_that_cannot_be_used_leaves_no_journal(app: Flask, cast: Cast) -> None:
    with sending_to(app):
        launch = make_started(cast, contacts=1)
        before = use_sink("ftp://mx.example")
        held = set(os.listdir("/proc/self/fd"))
        with pytest.raises(Invalid):
            engine.run_lane(launch.partner_id, launch.id)
        use_settings(before)
        assert not list(journal_folder().glob("*.journal"))
        assert set(os.listdir("/proc/self/fd")) <= held
