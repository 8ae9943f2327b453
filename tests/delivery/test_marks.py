"""What starts is what was seen: between a look and the press of Send somebody else may change the launch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.states import LaunchStatus
from tcma.config import use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, marks, services
from tcma.errors import Stale
from tests.factories.cast import Cast
from tests.factories.delivery import make_contacts, make_draft, make_started, use_sink
from tests.sinks import SmtpSink

APP = "http://localhost:8000"


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


@dataclass(frozen=True)
class Person:
    """Somebody at an own computer: each request stands in a context of its own, as on the server."""

    app: Flask
    browser: FlaskClient

    def get(self, path: str) -> TestResponse:
        with self.app.app_context():
            return self.browser.get(path, base_url=APP)

    def post(self, path: str, data: dict[str, Any], **headers: str) -> TestResponse:
        with self.app.app_context():
            return self.browser.post(path, base_url=APP, data=data, headers=headers)


def two_people(cast: Cast) -> tuple[Person, Person]:
    """Two members of one partner."""
    one, other = (Person(cast.app, cast.client(actor)) for actor in (cast.partner_marketer, cast.partner_admin))
    return one, other


def marks_in(page: str) -> set[str]:
    return set(re.findall(r'name="mark" value="([^"]+)"', page))


def mark_in(page: str) -> str:
    (mark,) = marks_in(page)
    return mark


def status_of(cast: Cast, launch_id: Any) -> LaunchStatus:
    with unit_of_work(cast.partner_marketer) as session:
        found = campaign_queries.get_launch(session, cast.partner_marketer, launch_id)
        session.refresh(found, ["status"])
        return found.status


def test_of_two_people_the_one_who_saw_an_older_audience_is_asked_to_look_again(cast: Cast, sink: SmtpSink) -> None:
    launch_id = make_draft(cast, contacts=2).id
    more = make_contacts(cast.partner_marketer, 5, name="More").id
    first, second = two_people(cast)
    root = f"/launches/{launch_id}"
    seen = mark_in(first.get(root).text)
    assert second.post(f"{root}/audience", data={"lists": [str(more)]}).status_code == 303
    answer = first.post(f"{root}/start", data={"mark": seen})
    assert answer.status_code == 409
    assert "The audience changed since you looked: 2 → 5. Look again and press Send." in answer.text
    assert "Send to 5 contacts" in answer.text
    assert status_of(cast, launch_id) is LaunchStatus.DRAFT
    again = first.post(f"{root}/start", data={"mark": mark_in(answer.text)})
    assert again.status_code == 303
    assert status_of(cast, launch_id) is LaunchStatus.PLANNING


def test_a_time_is_chosen_for_what_was_seen_too(cast: Cast, sink: SmtpSink) -> None:
    launch = make_draft(cast, contacts=1)
    root, slot = f"/launches/{launch.id}", next(iter(launch.slots))
    browser, other = two_people(cast)
    seen = mark_in(browser.get(root).text)
    assert other.post(f"{root}/texts", data={f"slot_{slot}": "Other words"}).status_code == 303
    when = {"when": "later", "at": "2027-06-01T10:00"}
    answer = browser.post(f"{root}/schedule", data={**when, "mark": seen})
    assert answer.status_code == 409
    assert "The texts changed since you looked. Look again and save the time." in answer.text
    saved = browser.post(f"{root}/schedule", data={**when, "mark": mark_in(answer.text)})
    assert saved.status_code == 303


def test_texts_that_were_saved_while_typing_are_seen_and_nothing_else_is(cast: Cast, sink: SmtpSink) -> None:
    launch = make_draft(cast, contacts=1)
    root, slot = f"/launches/{launch.id}", next(iter(launch.slots))
    more = make_contacts(cast.partner_marketer, 3, name="More").id
    browser, other = two_people(cast)
    seen = mark_in(browser.get(root).text)
    typed = {f"slot_{slot}": "Our own words", "mark": seen}
    fragment = browser.post(f"{root}/texts", data=typed, **{"HX-Request": "true"}).text
    assert 'hx-swap-oob="outerHTML:input[name=mark]"' in fragment
    typed = {f"slot_{slot}": "Better words", "mark": mark_in(fragment)}
    other.post(f"{root}/audience", data={"lists": [str(more)]})
    fragment = browser.post(f"{root}/texts", data=typed, **{"HX-Request": "true"}).text
    refused = browser.post(f"{root}/start", data={"mark": mark_in(fragment)})
    assert refused.status_code == 409
    assert "1 → 3" in refused.text
    assert "The texts" not in refused.text


def test_over_the_api_a_mark_is_asked_for_only_where_one_is_given(
    cast: Cast, client: FlaskClient, sink: SmtpSink
) -> None:
    launch = make_draft(cast, contacts=2)
    headers, root = cast.key(cast.partner_marketer), f"/api/v1/launches/{launch.id}"
    found = client.get(f"{root}/preflight", headers=headers, base_url=APP).json
    assert found["sendable"] == 2
    lists = [make_contacts(cast.partner_marketer, 1, name="One").id]
    with unit_of_work(cast.partner_marketer) as session:
        launches.save_audience(session, cast.partner_marketer, launch.id, lists=lists, exclude_lists=[])
    stale = client.post(f"{root}/start", json={"mark": found["mark"]}, headers=headers, base_url=APP)
    assert (stale.status_code, "2 → 1" in stale.json["detail"]) == (409, True)
    assert client.post(f"{root}/start", json={"mark": "x"}, headers=headers, base_url=APP).status_code == 409
    mark = client.get(f"{root}/preflight", headers=headers, base_url=APP).json["mark"]
    assert client.post(f"{root}/start", json={"mark": mark}, headers=headers, base_url=APP).status_code == 202


def test_a_mark_of_nothing_we_know_starts_nothing(cast: Cast, sink: SmtpSink) -> None:
    launch = make_draft(cast, contacts=1)
    assert marks.with_texts_of("forged", "1-a") == "forged"
    with pytest.raises(Stale, match="cannot be told"), unit_of_work(cast.partner_marketer) as session:
        services.start_launch(session, cast.partner_marketer, launch.id, mark="")


def test_a_vendor_is_told_that_it_may_not_whatever_it_sends(cast: Cast, client: FlaskClient, sink: SmtpSink) -> None:
    launch_id = make_draft(cast, contacts=1).id
    browser, headers = cast.client(cast.vendor_marketer), cast.key(cast.vendor_marketer)
    for verb in ("schedule", "test", "pace"):
        for form in ({}, {"when": "now"}, {"when": "later"}, {"address": "me@acme.example"}):
            assert browser.post(f"/launches/{launch_id}/{verb}", base_url=APP, data=form).status_code == 403, (verb, form)
    for verb in ("start", "schedule", "test", "cancel"):
        answer = client.post(f"/api/v1/launches/{launch_id}/{verb}", json={}, headers=headers, base_url=APP)
        assert answer.status_code == 403, (verb, answer.text)


def test_a_test_mail_without_an_address_is_refused_at_its_field(
    cast: Cast, client: FlaskClient, sink: SmtpSink
) -> None:
    headers = cast.key(cast.partner_marketer)
    browser = cast.client(cast.partner_marketer)
    for launch_id in (make_draft(cast, contacts=1).id, make_started(cast, contacts=1).id):
        answer = browser.post(f"/launches/{launch_id}/test", base_url=APP, data={})
        assert answer.status_code == 422
        assert "Type an address." in answer.text
        missing = client.post(f"/api/v1/launches/{launch_id}/test", json={}, headers=headers, base_url=APP)
        assert missing.status_code == 422
        assert "address" in missing.text


def test_a_launch_that_is_over_sends_no_test_mail(cast: Cast, client: FlaskClient, sink: SmtpSink) -> None:
    launch = make_started(cast, contacts=1)
    launch_id = launch.id
    engine.run_lane(launch.partner_id, launch_id)
    headers = cast.key(cast.partner_marketer)
    browser = cast.client(cast.partner_marketer)
    given = {"address": "me@acme.example"}
    page = browser.post(f"/launches/{launch_id}/test", base_url=APP, data=given)
    assert (page.status_code, "This launch is finished" in page.text) == (409, True)
    refused = client.post(f"/api/v1/launches/{launch_id}/test", json=given, headers=headers, base_url=APP)
    assert refused.status_code == 409
    assert "Send a test" not in browser.get(f"/launches/{launch_id}", base_url=APP).text
    assert len(sink.accepted) == 1
