"""The tracking origin: links, pixels, unsubscribing, and the loading of what was spooled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tcma import clock, events
from tcma.audience import queries as audience_queries
from tcma.campaigns.models import Launch
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, mails, queries, tracking
from tcma.delivery.models import Classification, Delivery, Event, LaunchTotals
from tcma.delivery.places import spool_folder
from tcma.delivery.spool import segments
from tcma.delivery.states import EventKind
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_started, system_of, use_sink
from tests.sinks import SmtpSink

HERE = "http://127.0.0.1:8000"
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
}


@dataclass
class Sent:
    """A launch to three people that went out."""

    launch: Launch
    rows: list[Delivery]
    browser: FlaskClient

    def mail(self, number: int = 0) -> mails.MailAsSent:
        with unit_of_work(system_of(self.launch)) as session:
            return mails.mail_as_sent(session, system_of(self.launch), self.launch.id, self.rows[number].id)

    def get(self, url: str, **options: Any) -> TestResponse:
        return self.browser.get(url.removeprefix(HERE), base_url=HERE, **options)


@pytest.fixture
def sent(app: Flask, cast: Cast) -> Iterator[Sent]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            launch = make_started(cast, contacts=3)
            engine.run_lane(launch.partner_id, launch.id)
            with unit_of_work(system_of(launch)) as session:
                rows = list(
                    session.scalars(select(Delivery).where(Delivery.launch_id == launch.id).order_by(Delivery.id))
                )
            tracking.load_hits()
            yield Sent(launch, rows, app.test_client())
        use_settings(before)


def events_of(launch: Launch) -> list[Event]:
    with unit_of_work(system_of(launch)) as session:
        return list(session.scalars(select(Event).where(Event.launch_id == launch.id).order_by(Event.id)))


def verdicts_of(launch: Launch) -> list[str]:
    with unit_of_work(system_of(launch)) as session:
        return list(session.scalars(select(Classification.verdict).where(Classification.launch_id == launch.id)))


def totals_of(launch: Launch) -> LaunchTotals:
    with unit_of_work(system_of(launch)) as session:
        found = session.scalars(select(LaunchTotals).where(LaunchTotals.launch_id == launch.id)).one()
        session.refresh(found)
        return found


def test_a_link_leads_to_its_stored_destination_and_the_hit_is_loaded_once(sent: Sent) -> None:
    link = next(one for one in sent.mail().links if "/p/" not in one.destination)
    with later(5):
        answer = sent.get(link.url, headers=BROWSER)
    assert answer.status_code == 302
    assert answer.headers["Location"] == link.destination
    assert "Set-Cookie" not in answer.headers
    assert events_of(sent.launch) == [], "nothing but the spool before it is loaded"
    assert tracking.load_hits() == 1
    assert tracking.load_hits() == 0
    found = events_of(sent.launch)
    assert [(one.kind, one.delivery_id, one.link_number) for one in found] == [
        (EventKind.CLICK, sent.rows[0].id, link.number)
    ]
    counted = totals_of(sent.launch)
    assert (counted.clicks, counted.clickers, counted.machine_clicks) == (1, 1, 0)


def test_a_hit_is_stored_as_its_request_says_it_by_either_way(sent: Sent) -> None:
    """The first hit goes through the application, the second in front of it; nothing that is asked breaks a line."""
    link = sent.mail().links[0]
    agent = 'M"\\u0000 {}\x07é\x85' + "x" * 400
    moment = datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    with clock.at(moment):
        answers = [
            sent.get(link.url, headers={"User-Agent": agent}, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"})
            for number in (1, 2)
        ]
    assert [one.status_code for one in answers] == [302, 302]
    assert tracking.load_hits() == 2
    found = events_of(sent.launch)
    assert [(one.at, one.agent, one.method, one.address) for one in found] == [
        (moment, agent[:300], "GET", f"192.0.2.{number}") for number in (1, 2)
    ]
    assert found[1].source_key == answers[1].headers["X-Request-ID"]


def test_a_forged_link_leaves_nothing_in_the_spool(sent: Sent) -> None:
    url = sent.mail().links[0].url
    sent.get(url)
    before = [one.path.read_bytes() for one in segments(spool_folder())]
    for forged in (url[:-1], url[:-1] + ("A" if url[-1] != "A" else "B"), url + "=", url.replace("/r/", "/r/A")):
        assert sent.get(forged).status_code == 404
    assert [one.path.read_bytes() for one in segments(spool_folder())] == before


def test_lines_that_say_the_time_in_iso_8601_are_loaded(sent: Sent) -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    line = {"k": "c", "d": sent.rows[0].id, "l": 1, "t": moment.isoformat(), "a": "", "u": "", "m": "GET"}
    tracking.spool().append({**line, "i": uuid4().hex})
    assert tracking.load_hits() == 1
    assert [one.at for one in events_of(sent.launch)] == [moment]


def test_what_postgresql_would_refuse_keeps_no_other_hit_from_being_loaded(sent: Sent) -> None:
    line = {"k": "c", "d": sent.rows[0].id, "l": 1, "t": "2031-02-03T04:05:06+00:00", "a": "", "m": "GET"}
    for agent in ("good", "a\0b", "half \ud800", "tab\t"):
        tracking.spool().append({**line, "u": agent, "i": uuid4().hex})
    assert tracking.load_hits() == 4
    assert {one.agent for one in events_of(sent.launch)} == {"good", "ab", "half ?", "tab\t"}


def test_a_link_to_the_landing_page_says_who_comes(sent: Sent) -> None:
    link = next(one for one in sent.mail().links if "/p/" in one.destination)
    answer = sent.get(link.url, headers=BROWSER)
    assert answer.headers["Location"] == sent.mail().landing_url
    assert "?t=" in answer.headers["Location"]


def test_links_stay_short_and_hold_no_address(sent: Sent) -> None:
    for link in sent.mail().links:
        assert len(link.url.removeprefix(HERE)) <= 40
        assert "http" not in link.url.removeprefix("http://")


@pytest.mark.parametrize("kind", ["r", "o", "u", "privacy"])
@pytest.mark.parametrize("token", ["x", "AAAAAAAAAAAAAAAAAAAA", "../../etc", "%00", "q" * 300])
def test_forged_tokens_are_not_found_and_leave_nothing(sent: Sent, kind: str, token: str) -> None:
    answer = sent.get(f"/{kind}/{token}" + (".gif" if kind == "o" else ""))
    assert answer.status_code == 404
    assert tracking.load_hits() == 0


def test_a_cut_or_changed_token_is_not_found(sent: Sent) -> None:
    url = sent.mail().links[0].url
    assert sent.get(url[:-1]).status_code == 404
    assert sent.get(url[:-1] + ("A" if url[-1] != "A" else "B")).status_code == 404
    assert sent.get(url.replace("/r/", "/u/")).status_code == 404, "a token of one purpose is none of another"


def test_the_pixel_counts_an_opening(sent: Sent) -> None:
    html = sent.mail().html
    start = html.index(f"{HERE}/o/")
    url = html[start : html.index(".gif", start) + 4]
    with later(5):
        answer = sent.get(url, headers=BROWSER)
    assert answer.mimetype == "image/gif"
    assert answer.headers["Cache-Control"].startswith("no-store")
    tracking.load_hits()
    assert totals_of(sent.launch).opened == 1


def test_head_requests_and_scanners_are_machines(sent: Sent) -> None:
    link = sent.mail().links[0]
    sent.browser.head(link.url.removeprefix(HERE), base_url=HERE, headers=BROWSER)
    sent.get(link.url, headers={"User-Agent": "Barracuda Sentinel (EE)"})
    tracking.load_hits()
    assert verdicts_of(sent.launch) == ["machine", "machine"]
    assert totals_of(sent.launch).clicks == 0
    assert totals_of(sent.launch).machine_clicks == 2


def test_a_persons_click_is_told_to_later_rooms_and_a_machines_is_not(sent: Sent) -> None:
    heard: list[events.ContactClicked] = []
    events.subscribe(events.ContactClicked, lambda session, actor, happened: heard.append(happened))
    link = sent.mail().links[0]
    with later(5):
        sent.get(link.url, headers={"User-Agent": "curl/8.0"})
        sent.get(link.url, headers=BROWSER)
    tracking.load_hits()
    assert [(one.delivery_id, one.contact_id) for one in heard] == [(sent.rows[0].id, sent.rows[0].contact_id)]


def test_judging_again_changes_nothing_but_what_the_rules_say(sent: Sent) -> None:
    with later(5):
        sent.get(sent.mail().links[0].url, headers=BROWSER)
    tracking.load_hits()
    before = verdicts_of(sent.launch)
    actor = system_of(sent.launch)
    with unit_of_work(actor) as session:
        launch = session.get(Launch, sent.launch.id)
        assert launch is not None
        tracking.reclassify(session, actor, launch)
    assert verdicts_of(sent.launch) == before == ["human"]


def test_looking_at_the_unsubscribe_page_unsubscribes_nobody(sent: Sent) -> None:
    answer = sent.get(sent.mail().unsubscribe_url)
    assert answer.status_code == 200
    assert "Acme IT GmbH" in answer.text
    assert '<form method="post"' in answer.text
    assert "Set-Cookie" not in answer.headers
    with unit_of_work(system_of(sent.launch)) as session:
        assert audience_queries.suppression_of(session, sent.launch.partner_id, sent.rows[0].email_key) is None


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_suppresses_at_once_without_redirect_and_twice_is_once(sent: Sent, content_type: str) -> None:
    path = sent.mail().unsubscribe_url.removeprefix(HERE)
    for _ in range(2):
        answer = sent.browser.post(
            path, base_url=HERE, data={"List-Unsubscribe": "One-Click"}, content_type=content_type
        )
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
    with unit_of_work(system_of(sent.launch)) as session:
        assert audience_queries.suppression_of(session, sent.launch.partner_id, sent.rows[0].email_key) is not None
        assert audience_queries.still_refused(
            session, sent.launch.partner_id, sent.launch.vendor_id, [sent.rows[0].contact_id]
        ) == {sent.rows[0].contact_id: "suppressed_partner"}
    assert [one.kind for one in events_of(sent.launch)] == [EventKind.UNSUBSCRIBE]
    assert totals_of(sent.launch).unsubscribed == 1


def test_the_button_of_the_page_unsubscribes_and_says_so(sent: Sent) -> None:
    answer = sent.browser.post(sent.mail(1).unsubscribe_url.removeprefix(HERE), base_url=HERE)
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text


def test_the_privacy_page_says_what_is_held(sent: Sent) -> None:
    answer = sent.get(sent.mail().unsubscribe_url.replace("/u/", "/privacy/"))
    assert answer.status_code == 200
    assert "Acme IT GmbH" in answer.text
    assert sent.rows[0].address not in answer.text


def test_the_app_origin_does_not_serve_tracking(sent: Sent) -> None:
    path = sent.mail().links[0].url.removeprefix(HERE)
    assert sent.browser.get(path, base_url="http://localhost:8000").status_code == 404


def test_the_links_of_a_test_mail_unsubscribe_nobody(sent: Sent) -> None:
    from tcma.delivery import tokens

    token = tokens.unsubscribe_token(0, key=settings().derived_keys("tracking")[0])
    answer = sent.get(f"/u/{token}")
    assert "test mail" in answer.text
    assert sent.browser.post(f"/u/{token}", base_url=HERE).status_code == 200


def test_finished_segments_are_removed_once_loaded(sent: Sent) -> None:
    sent.get(sent.mail().links[0].url, headers=BROWSER)
    tracking.spool().close()
    tracking.load_hits()
    assert segments(spool_folder()) == []
    assert queries.CLASSIFICATION_VERSION == 1
