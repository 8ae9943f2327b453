"""The pages of launches, as people of each kind see them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tcma.config import settings, use_settings
from tcma.delivery import engine
from tests.factories.cast import Cast
from tests.factories.delivery import make_contacts, make_draft, make_started, plan, use_sink
from tests.sinks import SmtpSink

APP = "http://localhost:8000"


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def test_a_partner_makes_aims_checks_and_starts_a_launch(app: Flask, cast: Cast, sink: SmtpSink) -> None:
    launch = make_draft(cast, contacts=4)
    people = make_contacts(cast.partner_marketer, 2, name="Friends")
    launch_id, list_id = launch.id, people.id
    browser = cast.client(cast.partner_marketer)
    root = f"/launches/{launch_id}"
    page = browser.get(root, base_url=APP)
    assert page.status_code == 200
    assert "Send to 4 contacts" in page.text
    slot = next(iter(launch.slots))
    fragment = browser.post(
        f"{root}/texts", base_url=APP, data={f"slot_{slot}": "Our own words"}, headers={"HX-Request": "true"}
    )
    assert fragment.status_code == 200
    assert "preview-frame" in fragment.text
    frame = browser.get(f"{root}/preview", base_url=APP)
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert "script-src" not in frame.headers["Content-Security-Policy"]
    assert browser.get(f"{root}/preview.txt", base_url=APP).mimetype == "text/plain"
    saved = browser.post(f"{root}/audience", base_url=APP, data={"lists": [str(list_id)]})
    assert saved.status_code == 303
    assert "Send to 2 contacts" in browser.get(root, base_url=APP).text
    tested = browser.post(f"{root}/test", base_url=APP, data={"address": "me@acme.example"})
    assert tested.status_code == 303
    assert browser.post(f"{root}/start", base_url=APP).status_code == 303
    plan(launch)
    live = browser.get(root, base_url=APP)
    assert "Sending to your contacts" in live.text
    assert "hx-get" in browser.get(f"{root}/progress", base_url=APP).text
    engine.run_lane(launch.partner_id, launch_id)
    assert browser.get(f"{root}/progress", base_url=APP).headers["HX-Refresh"] == "true"
    done = browser.get(root, base_url=APP)
    assert "Finished" in done.text
    assert len(sink.accepted) == 3


def test_too_long_a_text_is_refused_at_its_field(cast: Cast, sink: SmtpSink) -> None:
    launch = make_draft(cast)
    root = f"/launches/{launch.id}"
    slot = next(iter(launch.slots))
    browser = cast.client(cast.partner_marketer)
    answer = browser.post(f"{root}/texts", base_url=APP, data={f"slot_{slot}": "x" * 9000})
    assert answer.status_code == 422
    assert "has-error" in answer.text


def test_a_time_in_the_past_and_a_missing_time_are_refused_with_words(cast: Cast, sink: SmtpSink) -> None:
    root = f"/launches/{make_draft(cast).id}"
    browser = cast.client(cast.partner_marketer)
    for at, words in (("", "Choose a day and a time."), ("2020-01-01T10:00", "Choose a time from now on")):
        answer = browser.post(f"{root}/schedule", base_url=APP, data={"when": "later", "at": at})
        assert answer.status_code == 422
        assert words in answer.text
    assert (
        browser.post(f"{root}/schedule", base_url=APP, data={"when": "later", "at": "2027-06-01T10:00"}).status_code
        == 303
    )
    assert "It starts by itself" in browser.get(root, base_url=APP).text


def test_deliveries_are_listed_searched_exported_and_opened(cast: Cast, sink: SmtpSink) -> None:
    launch = make_started(cast, contacts=3)
    root = f"/launches/{launch.id}"
    engine.run_lane(launch.partner_id, launch.id)
    browser = cast.client(cast.partner_marketer)
    listed = browser.get(f"{root}/deliveries?status=sent", base_url=APP)
    assert listed.text.count("data-row-link") == 3
    assert browser.get(f"{root}/deliveries?q=p1@", base_url=APP).text.count("data-row-link") == 1
    csv = browser.get(f"{root}/deliveries?format=csv", base_url=APP)
    assert csv.mimetype == "text/csv"
    assert len(csv.text.splitlines()) == 4
    start = listed.text.index(f"{root}/deliveries/") + len(f"{root}/deliveries/")
    number = listed.text[start:].split('"')[0]
    one = browser.get(f"{root}/deliveries/{number}", base_url=APP)
    assert "List-Unsubscribe" in one.text
    assert "handed it over" in one.text
    assert "sandbox" in browser.get(f"{root}/deliveries/{number}/mail", base_url=APP).headers["Content-Security-Policy"]


def test_the_vendor_sees_header_and_totals_and_no_address(cast: Cast, sink: SmtpSink) -> None:
    launch = make_started(cast, contacts=3)
    launch_id = launch.id
    engine.run_lane(launch.partner_id, launch_id)
    address = sink.accepted[0].recipient
    browser = cast.client(cast.vendor_marketer)
    page = browser.get(f"/launches/{launch_id}", base_url=APP)
    assert page.status_code == 200
    assert address not in page.text
    assert "/deliveries" not in page.text
    assert browser.get(f"/launches/{launch_id}/deliveries", base_url=APP).status_code == 404
    assert browser.get(f"/launches/{launch_id}/deliveries?format=csv", base_url=APP).status_code == 404
    assert browser.get("/launches", base_url=APP).status_code == 200


def test_a_rival_partner_gets_404_on_every_page(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch_id = make_started(cast, contacts=1).id
    browser = cast.client(cast.rival)
    for path in ("", "/deliveries", "/deliveries/1", "/deliveries/1/mail", "/preview", "/preview.txt", "/progress"):
        assert browser.get(f"/launches/{launch_id}{path}", base_url=APP).status_code == 404, path
    for verb in ("start", "pause", "resume", "cancel", "texts", "audience", "schedule", "newer"):
        answer = browser.post(
            f"/launches/{launch_id}/{verb}", base_url=APP, data={"when": "later", "at": "2027-06-01T10:00"}
        )
        assert answer.status_code == 404, verb


def test_the_list_filters_searches_and_exports(cast: Cast, sink: SmtpSink) -> None:
    make_draft(cast, name="Autumn one")
    make_draft(cast, name="Winter two")
    browser = cast.client(cast.partner_marketer)
    assert browser.get("/launches", base_url=APP).text.count("data-row-link") == 2
    assert browser.get("/launches?q=winter", base_url=APP).text.count("data-row-link") == 1
    assert browser.get("/launches?state=sending", base_url=APP).text.count("data-row-link") == 0
    assert len(browser.get("/launches?format=csv", base_url=APP).text.splitlines()) == 3


def test_the_mailbox_is_there_in_the_demo_only(cast: Cast, sink: SmtpSink) -> None:
    browser = cast.client(cast.partner_marketer)
    assert browser.get("/mailbox", base_url=APP).status_code == 404
    before = settings()
    folder = before.data_dir / "mailbox" / "new"
    folder.mkdir(parents=True, exist_ok=True)
    name = "1763800000000000000.000000001_1.host"
    (folder / name).write_bytes(
        b"Delivered-To: a@b.example\r\nReturn-Path: <x@y.example>\r\nSubject: Hello you\r\nFrom: x@y.example\r\n"
        b"Content-Type: text/html\r\n\r\n<p>Hi</p><script>1</script>\r\n"
    )
    use_settings(before.model_copy(update={"demo": True}))
    try:
        assert "Hello you" in browser.get("/mailbox", base_url=APP).text
        assert browser.get("/mailbox?q=nothing-like-it", base_url=APP).text.count("data-row-link") == 0
        opened = browser.get(f"/mailbox/{name}", base_url=APP)
        assert opened.status_code == 200
        assert "<script>1" not in opened.text
        assert "sandbox" in browser.get(f"/mailbox/{name}/content", base_url=APP).headers["Content-Security-Policy"]
        assert browser.get("/mailbox/1763800000000000000.000000009_1.host", base_url=APP).status_code == 404
    finally:
        use_settings(before)
