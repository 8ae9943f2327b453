"""One lane with several connections: all busy, none in the way of another, and each row handed over once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import select

from tcma.campaigns.models import Launch
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, queries
from tcma.delivery.composing import Composer
from tcma.delivery.lane import SPREAD
from tcma.delivery.message import CrlfBytes
from tcma.delivery.models import Delivery
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tcma.errors import Invalid
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_started, system_of, use_sink
from tests.sinks import Manners, SmtpSink, issued_certificate

CONNECTIONS = 4


@contextmanager
def sending_to(app: Flask, manners: Manners | None = None, *, options: str = "") -> Iterator[SmtpSink]:
    """A sink that the service sends to over several connections."""
    with SmtpSink(manners) as sink:
        before = use_sink(sink.url + options)
        use_settings(settings().model_copy(update={"delivery_connections": CONNECTIONS}))
        try:
            with app.app_context():
                yield sink
        finally:
            use_settings(before)


def totals_of(launch: Launch) -> Totals:
    with unit_of_work(system_of(launch)) as session:
        return queries.totals(session, launch.id)


def addresses_of(launch: Launch) -> list[str]:
    with unit_of_work(system_of(launch)) as session:
        return list(
            session.scalars(select(Delivery.address).where(Delivery.launch_id == launch.id).order_by(Delivery.id))
        )


def taken_once(sink: SmtpSink, launch: Launch) -> bool:
    return Counter(one.recipient for one in sink.accepted) == Counter(addresses_of(launch))


def test_a_few_mails_need_one_connection(app: Flask, cast: Cast) -> None:
    with sending_to(app) as sink:
        launch = make_started(cast, contacts=SPREAD // 2)
        assert engine.run_lane(launch.partner_id, launch.id).sent == SPREAD // 2
        assert sink.connections == 1


def test_many_mails_use_all_connections_and_nobody_gets_two(app: Flask, cast: Cast) -> None:
    with sending_to(app, Manners(delay=0.003)) as sink:
        launch = make_started(cast, contacts=400)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 400
        assert sink.most_at_once == CONNECTIONS
        assert taken_once(sink, launch)
        assert totals_of(launch) == Totals(planned=400, sent=400)


def test_several_connections_speak_tls(app: Flask, cast: Cast, tmp_path_factory: pytest.TempPathFactory) -> None:
    authority, certificate = issued_certificate(tmp_path_factory.mktemp("tls"))
    manners = Manners(delay=0.003, starttls=True, certificate=certificate)
    with sending_to(app, manners, options=f"?starttls=require&ca_file={authority}") as sink:
        launch = make_started(cast, contacts=250)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 250
        assert sink.most_at_once > 1
        assert taken_once(sink, launch)


def test_a_server_that_takes_fewer_connections_is_not_in_trouble(app: Flask, cast: Cast) -> None:
    with sending_to(app, Manners(delay=0.003, most_connections=2)) as sink:
        launch = make_started(cast, contacts=300)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 300
        assert taken_once(sink, launch)


def test_connections_that_end_now_and_then_are_opened_again(app: Flask, cast: Cast) -> None:
    with sending_to(app, Manners(goodbye_after=20)) as sink:
        launch = make_started(cast, contacts=300)
        engine.run_lane(launch.partner_id, launch.id)
        for minutes in (2, 4, 6):
            # The mail that met the goodbye is tried again without having lost a try.
            with later(minutes):
                engine.run_lane(launch.partner_id, launch.id)
        assert sink.connections >= 300 // 20
        assert taken_once(sink, launch)
        assert totals_of(launch) == Totals(planned=300, sent=300)


def test_a_server_without_pipelining_is_served_over_all_connections(app: Flask, cast: Cast) -> None:
    with sending_to(app, Manners(pipelining=False, delay=0.001)) as sink:
        launch = make_started(cast, contacts=200)
        assert engine.run_lane(launch.partner_id, launch.id).sent == 200
        assert sink.most_at_once > 1
        assert taken_once(sink, launch)


def test_an_answer_that_is_late_keeps_no_other_connection_waiting(app: Flask, cast: Cast) -> None:
    manners = Manners(delay=0.001)
    with sending_to(app, manners) as sink:
        launch = make_started(cast, contacts=300)
        manners.silent_after_dot.add(addresses_of(launch)[5])
        lane = threading.Thread(target=_run_in_a_context_of_its_own, args=(app, launch))
        lane.start()
        try:
            deadline = threading.Event()
            for _ in range(1000):
                # All but the silent one, and the one that was announced behind it.
                if len(sink.accepted) >= 299:
                    break
                deadline.wait(0.01)
            assert len(sink.accepted) >= 299
        finally:
            sink.speak.set()
            lane.join(timeout=30)
        assert taken_once(sink, launch)
        assert totals_of(launch) == Totals(planned=300, sent=300)


def _run_in_a_context_of_its_own(app: Flask, launch: Launch) -> None:
    with app.app_context():
        engine.run_lane(launch.partner_id, launch.id)


def test_a_mail_that_cannot_be_made_fails_alone(app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    with sending_to(app) as sink:
        launch = make_started(cast, contacts=200)
        bad = set(addresses_of(launch)[10:13])
        made = Composer.message

        def message(self: Composer, delivery_id: int, address: str, contact: dict[str, object]) -> CrlfBytes:
            if address in bad:
                raise Invalid({"subject": "This holds a line break."})
            return made(self, delivery_id, address, contact)

        monkeypatch.setattr(Composer, "message", message)
        report = engine.run_lane(launch.partner_id, launch.id)
        assert (report.sent, report.failed) == (197, 3)
        assert {one.recipient for one in sink.accepted} == set(addresses_of(launch)) - bad
        assert totals_of(launch) == Totals(planned=200, sent=197, failed=3)


def test_a_lane_that_is_stopped_leaves_nothing_unknown_and_the_rest_pending(app: Flask, cast: Cast) -> None:
    with sending_to(app, Manners(delay=0.002)) as sink:
        launch = make_started(cast, contacts=300)
        engine.run_lane(launch.partner_id, launch.id, stop=lambda: len(sink.accepted) >= 50)
        counted = totals_of(launch)
        assert 50 <= counted.sent < 100
        assert counted == Totals(planned=300, sent=counted.sent, pending=300 - counted.sent)
        assert len(sink.accepted) == counted.sent
        assert engine.run_lane(launch.partner_id, launch.id).sent == 300 - counted.sent
        assert taken_once(sink, launch)


def test_a_server_that_hangs_up_on_all_leaves_at_most_one_unknown_a_connection(app: Flask, cast: Cast) -> None:
    with sending_to(app, Manners(delay=0.002)) as sink:
        launch = make_started(cast, contacts=300)
        hung_up = threading.Event()

        def look() -> bool:
            if len(sink.accepted) >= 100 and not hung_up.is_set():
                hung_up.set()
                sink.hang_up_on_all()
            return False

        engine.run_lane(launch.partner_id, launch.id, stop=look)
        for minutes in (2, 4):
            with later(minutes):
                engine.run_lane(launch.partner_id, launch.id)
        counted = totals_of(launch)
        assert hung_up.is_set()
        assert counted.unknown <= CONNECTIONS
        assert counted == Totals(planned=300, sent=counted.sent, unknown=counted.unknown)
        with unit_of_work(system_of(launch)) as session:
            sent = set(
                session.scalars(
                    select(Delivery.address).where(
                        Delivery.launch_id == launch.id, Delivery.status == DeliveryStatus.SENT
                    )
                )
            )
        arrived = Counter(one.recipient for one in sink.accepted)
        assert max(arrived.values()) == 1
        assert sent <= set(arrived)
