"""The live page: how fast, how many are left, why not all got it, what waits and until when, and a provider that rests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select, text, update
from sqlalchemy.engine import Engine

from tcma import clock
from tcma.audience.models import Contact
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, live, pacing, reasons, services
from tcma.delivery.live import Look, Why
from tcma.delivery.models import Delivery
from tcma.delivery.states import DeliveryStatus
from tcma.delivery.windows import Window
from tests.factories.cast import Cast
from tests.factories.delivery import make_draft, make_started, plan, system_of, use_sink
from tests.sinks import SmtpSink

APP = "http://localhost:8000"
MONDAY = datetime(2026, 11, 23, 20, tzinfo=UTC)


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def look(launch: Launch) -> Look:
    actor = system_of(launch)
    with unit_of_work(actor) as session:
        found = campaign_queries.get_launch(session, actor, launch.id)
        session.refresh(found, ["status"])
        return live.look(session, found)


def settle(launch: Launch, count: int, *, status: DeliveryStatus, reason: str | None = None) -> None:
    with unit_of_work(system_of(launch)) as session:
        chosen = session.scalars(
            select(Delivery.id)
            .where(Delivery.launch_id == launch.id, Delivery.status == DeliveryStatus.PENDING)
            .order_by(Delivery.id).limit(count)
        ).all()  # fmt: skip
        session.execute(
            update(Delivery).where(Delivery.launch_id == launch.id, Delivery.id.in_(chosen))
            .values(status=status, reason=reason, settled_at=clock.now()),
            execution_options={"synchronize_session": False},
        )  # fmt: skip


def test_the_rate_and_the_time_left_come_from_what_was_settled_lately(sink: SmtpSink, cast: Cast) -> None:
    with clock.at(MONDAY):
        launch = make_started(cast, contacts=60)
        assert look(launch).rate is None
    settle(launch, 20, status=DeliveryStatus.SENT)
    with clock.at(MONDAY + timedelta(seconds=10)):
        seen = look(launch)
    assert (seen.rate, seen.remaining, seen.left) == (2.0, 40, timedelta(seconds=20))
    with clock.at(MONDAY + timedelta(seconds=60)):
        assert look(launch).rate == 0
    settle(launch, 10, status=DeliveryStatus.FAILED, reason="5.1.1")
    with clock.at(MONDAY + timedelta(seconds=65)):
        seen = look(launch)
    assert (seen.rate, seen.totals.holds) == (2.0, True)


def test_polling_counts_a_launch_once_in_some_seconds_and_never_reads_all_its_rows(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=5)
    counts: list[str] = []

    def seen(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "count(" in statement and "FROM deliveries" in statement:
            counts.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        with clock.at(MONDAY):
            for _ in range(5):
                look(launch)
        first = len(counts)
        with clock.at(MONDAY + timedelta(seconds=30)):
            look(launch)
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
    assert len(counts) == 2 * first
    with unit_of_work(system_of(launch)) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        for statement in ("SELECT status, count(*) FROM deliveries WHERE launch_id = :id GROUP BY status",
                          "SELECT count(*), min(due_at) FROM deliveries WHERE launch_id = :id AND status = 'pending'"
                          " AND due_at > now()"):  # fmt: skip
            found = "\n".join(session.scalars(text(f"EXPLAIN {statement}"), {"id": launch.id}))
            assert "Index" in found, found
            assert found.count("Scan") <= 2, found


def test_what_waits_for_the_hours_says_until_when(sink: SmtpSink, cast: Cast) -> None:
    launch, actor = make_draft(cast, contacts=3), cast.partner_marketer
    with unit_of_work(actor) as session:
        session.execute(update(Contact).where(Contact.partner_id == actor.organization_id).values(country="DE"))
        office = Window(time(8), time(18), frozenset({1, 2, 3, 4, 5}))
        pacing.save_pace(session, actor, launch.id, window=office, late_hours=None)
    with clock.at(MONDAY):
        with unit_of_work(actor) as session:
            services.start_launch(session, actor, launch.id)
        plan(launch)
        (wait,) = look(launch).waits
        assert (wait.why, wait.count, wait.until) == (Why.HOURS, 3, datetime(2026, 11, 24, 7, tzinfo=UTC))
        page = cast.client(actor).get(f"/launches/{launch.id}", base_url=APP).text
        assert "3 wait for the hours of the day until Tue 7:00" in page
        assert look(launch).left == timedelta(hours=11)


def test_what_waits_for_a_limit_names_the_domain_and_what_was_refused_for_now_its_next_try(
    sink: SmtpSink, cast: Cast, client: FlaskClient
) -> None:
    with clock.at(MONDAY):
        launch = make_started(cast, contacts=12)
        with unit_of_work(system_of(launch)) as session:
            place = session.scalar(select(Delivery.address).where(Delivery.launch_id == launch.id).limit(1))
        domain = (place or "").partition("@")[2]
        use_settings(settings().model_copy(update={"domain_limits": {domain: 60}}))
        engine.run_lane(launch.partner_id, launch.id, seconds=30)
        (wait,) = look(launch).waits
        assert (wait.why, wait.count, wait.subject) == (Why.DOMAIN, 2, domain)
        assert wait.since > MONDAY
    with unit_of_work(system_of(launch)) as session:
        session.execute(
            update(Delivery).where(Delivery.launch_id == launch.id, Delivery.status == DeliveryStatus.PENDING)
            .values(reason="4.2.2", attempts=1),
            execution_options={"synchronize_session": False},
        )  # fmt: skip
    with clock.at(MONDAY + timedelta(seconds=0.5)):
        root = f"/api/v1/launches/{launch.id}/totals"
        with unit_of_work(system_of(launch)) as session:
            live._kept.clear()
        found = client.get(root, headers=cast.key(cast.partner_marketer), base_url=APP).json
        assert [(one["why"], one["count"]) for one in found["waiting"]] == [("again", 2)]
        assert found["remaining"] == 2
        vendors = client.get(root, headers=cast.key(cast.vendor_marketer), base_url=APP).json
        assert (vendors["waiting"], vendors["reasons"]) == ([], [])


def test_a_provider_that_rests_is_said_with_its_words_and_the_next_try(
    app: Flask, sink: SmtpSink, cast: Cast
) -> None:
    with clock.at(MONDAY):
        launch = make_started(cast, contacts=2)
        with unit_of_work(system_of(launch)) as session:
            pacing.note_trouble(session, pacing.provider_name(), "421 4.3.2 closed for now")
        partner = cast.client(cast.partner_marketer)
        for path in ("", "/progress"):
            page = partner.get(f"/launches/{launch.id}{path}", base_url=APP).text
            assert "The mail server takes no mail now" in page
            assert "421 4.3.2 closed for now" in page
            assert re.search(r"Next try at (20:00|8:00)", page)
        launch_id = launch.id
        with app.app_context():
            page = cast.client(cast.vendor_marketer).get(f"/launches/{launch_id}", base_url=APP).text
            assert "Sending" in page
            assert "421 4.3.2" not in page
    with clock.at(MONDAY + timedelta(minutes=1)):
        assert "takes no mail now" not in partner.get(f"/launches/{launch.id}/progress", base_url=APP).text
        with unit_of_work(system_of(launch)) as session:
            pacing.note_health(session, pacing.provider_name())


def test_the_page_is_loaded_anew_once_the_state_differs(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=1)
    browser, path = cast.client(cast.partner_marketer), f"/launches/{launch.id}/progress"
    with unit_of_work(cast.partner_marketer) as session:
        services.start_launch(session, cast.partner_marketer, launch.id)
    assert "was=planning" in browser.get(f"{path}?was=planning", base_url=APP).text
    plan(launch)
    assert browser.get(f"{path}?was=planning", base_url=APP).headers["HX-Refresh"] == "true"
    assert "was=sending" in browser.get(f"{path}?was=sending", base_url=APP).text


def test_reasons_are_in_words_with_their_code(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    settle(launch, 2, status=DeliveryStatus.FAILED, reason="5.1.1")
    settle(launch, 1, status=DeliveryStatus.SKIPPED, reason="late")
    page = cast.client(cast.partner_marketer).get(f"/launches/{launch.id}", base_url=APP).text
    assert "No such mailbox (5.1.1)" in page
    assert "Too late by your own rule" in page
    assert reasons.words("550") == "Refused for good (550)"
    assert reasons.words("5.7.999") == "Refused by their rules (5.7.999)"
    assert reasons.words(None) == ""
