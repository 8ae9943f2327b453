"""What a partner decides about unknown and failed deliveries, from the page of the launch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from tcma.access import Actor
from tcma.audience import services as audience_services
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import use_settings
from tcma.db import db, unit_of_work
from tcma.delivery import engine, queries, returns_decisions, services, tracking
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tcma.errors import Forbidden, IllegalTransition, NotFound, Stale
from tests.factories.cast import Cast
from tests.factories.delivery import make_started, system_of, use_sink
from tests.factories.returns import deliveries_of
from tests.sinks import SmtpSink


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def totals_of(launch: Launch) -> Totals:
    with unit_of_work(system_of(launch)) as session:
        found = queries.totals(session, launch.id)
        assert found.holds
        return found


def status_of(launch: Launch) -> LaunchStatus:
    with unit_of_work(system_of(launch)) as session:
        return session.scalars(select(Launch.status).where(Launch.id == launch.id)).one()


def with_unknown(cast: Cast, sink: SmtpSink, *, contacts: int = 3, unknown: int = 1) -> Launch:
    """A finished launch some of whose mails were taken without an answer."""
    launch = make_started(cast, contacts=contacts)
    for row in deliveries_of(launch)[:unknown]:
        sink.manners.cut_after_dot.add(row.address)
    engine.run_lane(launch.partner_id, launch.id)
    sink.manners.cut_after_dot.clear()
    assert totals_of(launch) == Totals(planned=contacts, sent=contacts - unknown, unknown=unknown)
    assert status_of(launch) is LaunchStatus.FINISHED
    return launch


def post(cast: Cast, actor: Actor | None, path: str, **data: str) -> int:
    with cast.app.app_context():
        code = cast.client(actor).post(path, data=data).status_code
    db.session.expunge_all()
    return code


def page_of(cast: Cast, actor: Actor, path: str) -> str:
    with cast.app.app_context():
        return cast.client(actor).get(path).get_data(as_text=True)


def test_unknown_deliveries_may_be_treated_as_sent(sink: SmtpSink, cast: Cast) -> None:
    launch = with_unknown(cast, sink)
    page = page_of(cast, cast.partner_marketer, f"/launches/{launch.id}")
    assert "Nobody knows whether 1 mail arrived" in page
    assert "Treat as sent" in page
    assert "This person may get the mail twice" in page
    assert post(cast, cast.partner_marketer, f"/launches/{launch.id}/unknown/sent") == 303
    assert totals_of(launch) == Totals(planned=3, sent=3)
    assert len(sink.accepted) == 3
    assert "counted unknown mails as sent" in page_of(cast, cast.partner_marketer, f"/launches/{launch.id}")


def test_unknown_deliveries_may_be_sent_again_by_an_explicit_decision_only(sink: SmtpSink, cast: Cast) -> None:
    launch = with_unknown(cast, sink, unknown=2)
    before = {(one.recipient, one.message_id) for one in sink.accepted}
    assert post(cast, cast.partner_marketer, f"/launches/{launch.id}/unknown/again", expected="2") == 303
    assert status_of(launch) is LaunchStatus.SENDING
    engine.run_lane(launch.partner_id, launch.id)
    assert totals_of(launch) == Totals(planned=3, sent=3)
    assert status_of(launch) is LaunchStatus.FINISHED
    assert len(sink.accepted) == 5
    assert {(one.recipient, one.message_id) for one in sink.accepted} == before, "the same mail, by its Message-ID"


def test_who_agreed_to_fewer_is_asked_again(sink: SmtpSink, cast: Cast) -> None:
    launch = with_unknown(cast, sink, unknown=2)
    db.session.expunge_all()
    with pytest.raises(Stale), unit_of_work(cast.partner_marketer) as session:
        returns_decisions.send_again(session, cast.partner_marketer, launch.id, expected=1)
    assert post(cast, cast.partner_marketer, f"/launches/{launch.id}/unknown/again", expected="all") == 422
    assert totals_of(launch).unknown == 2


def test_a_suppressed_person_is_left_out_of_a_second_try(sink: SmtpSink, cast: Cast) -> None:
    launch = with_unknown(cast, sink)
    row = deliveries_of(launch)[0]
    with unit_of_work(cast.partner_marketer) as session:
        audience_services.suppress_contact(session, cast.partner_marketer, row.contact_id)
        returns_decisions.send_again(session, cast.partner_marketer, launch.id, expected=1)
    engine.run_lane(launch.partner_id, launch.id)
    assert totals_of(launch) == Totals(planned=3, sent=2, suppressed=1)


def test_only_what_may_have_passed_is_tried_again_unless_asked_for_all(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=4)
    rows = deliveries_of(launch)
    sink.manners.rcpt[rows[0].address] = "550 5.1.1 no such user"
    sink.manners.rcpt[rows[1].address] = "552 5.2.2 mailbox full"
    engine.run_lane(launch.partner_id, launch.id)
    assert totals_of(launch) == Totals(planned=4, sent=2, failed=2)
    sink.manners.rcpt.clear()
    assert "Retry what failed" in page_of(cast, cast.partner_marketer, f"/launches/{launch.id}")
    assert post(cast, cast.partner_marketer, f"/launches/{launch.id}/failed/again") == 303
    engine.run_lane(launch.partner_id, launch.id)
    assert totals_of(launch) == Totals(planned=4, sent=3, failed=1)
    assert "Try all of them again" in page_of(cast, cast.partner_marketer, f"/launches/{launch.id}")
    assert post(cast, cast.partner_marketer, f"/launches/{launch.id}/failed/again", all="1") == 303
    engine.run_lane(launch.partner_id, launch.id)
    assert totals_of(launch) == Totals(planned=4, sent=4)
    assert len(sink.accepted) == 4


def test_a_paused_launch_stays_paused_and_a_cancelled_one_sends_nothing_again(sink: SmtpSink, cast: Cast) -> None:
    actor = cast.partner_marketer
    launch = make_started(cast, contacts=2)
    with unit_of_work(actor) as session:
        queries.list_deliveries(session, actor, launch.id)[0].status = DeliveryStatus.UNKNOWN
        services.pause_launch(session, actor, launch.id)
    with unit_of_work(actor) as session:
        assert returns_decisions.send_again(session, actor, launch.id, expected=1) == 1
    assert status_of(launch) is LaunchStatus.PAUSED
    db.session.expunge_all()
    with unit_of_work(actor) as session:
        queries.list_deliveries(session, actor, launch.id)[0].status = DeliveryStatus.UNKNOWN
        services.cancel_launch(session, actor, launch.id)
    db.session.expunge_all()
    with pytest.raises(IllegalTransition, match="cancelled"), unit_of_work(actor) as session:
        returns_decisions.send_again(session, actor, launch.id, expected=1)
    with unit_of_work(actor) as session:
        assert returns_decisions.treat_as_sent(session, actor, launch.id) == 1
    assert totals_of(launch) == Totals(planned=2, sent=1, skipped=1)


def test_only_the_partner_decides(sink: SmtpSink, cast: Cast) -> None:
    launch = with_unknown(cast, sink)
    db.session.expunge_all()
    for actor, error in ((cast.vendor_admin, Forbidden), (cast.rival, NotFound)):
        with pytest.raises(error), unit_of_work(actor) as session:
            returns_decisions.treat_as_sent(session, actor, launch.id)
    assert totals_of(launch).unknown == 1
    assert "Treat as sent" not in page_of(cast, cast.channel_manager, f"/launches/{launch.id}")


def test_the_api_decides_by_the_same_services(sink: SmtpSink, cast: Cast) -> None:
    launch = with_unknown(cast, sink, unknown=2)
    place = f"/api/v1/launches/{launch.id}"
    with cast.app.app_context():
        browser, key = cast.app.test_client(), cast.key(cast.partner_marketer)
        assert browser.post(f"{place}/unknown", json={"decision": "again"}, headers=key).status_code == 422
        assert browser.post(f"{place}/unknown", json={"decision": "again", "expected": 1}, headers=key).status_code == 409
        once = {**key, "Idempotency-Key": "a-key-of-ours"}
        asked = {"decision": "again", "expected": 2}
        answers = [browser.post(f"{place}/unknown", json=asked, headers=once).json for _ in range(2)]
        assert answers == [{"deliveries": 2}, {"deliveries": 2}]
        assert browser.post(f"{place}/retry", json={}, headers=key).json == {"deliveries": 0}
        assert browser.post(f"{place}/unknown", json={"decision": "sent"}, headers=cast.key(cast.rival)).status_code == 404
        found = browser.get("/api/v1/deliverability?days=7", headers=key).json
        assert (len(found["days"]), found["whole"]["came_back"]) == (7, 0)
    db.session.expunge_all()
    engine.run_lane(launch.partner_id, launch.id)
    assert totals_of(launch) == Totals(planned=3, sent=3)


@pytest.mark.parametrize("kind", ["open", "click", "unsubscribe"])
def test_what_a_reader_does_settles_an_unknown_delivery(sink: SmtpSink, cast: Cast, app: Flask, kind: str) -> None:
    from tcma.delivery import mails

    launch = with_unknown(cast, sink)
    row = deliveries_of(launch)[0]
    with unit_of_work(system_of(launch)) as session:
        mail = mails.mail_as_sent(session, system_of(launch), launch.id, row.id)
    place = "http://127.0.0.1:8000"
    with app.app_context():
        browser = app.test_client()
        if kind == "unsubscribe":
            browser.post(mail.unsubscribe_url.removeprefix(place), base_url=place, data={"List-Unsubscribe": "One-Click"})
        elif kind == "click":
            browser.get(mail.links[0].url.removeprefix(place), base_url=place)
        else:
            browser.get(mail.html.partition('/o/')[2].partition('"')[0].join(("/o/", "")), base_url=place)
    tracking.load_hits()
    assert totals_of(launch) == Totals(planned=3, sent=3)
    assert deliveries_of(launch)[0].response is not None
