"""A deed that cannot be undone is asked about, also where the page's scripts have not come."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

from flask import Flask
from flask.testing import FlaskClient

from tcma.audience import queries
from tcma.db import unit_of_work
from tests.factories.audience import make_contact
from tests.factories.cast import Cast

BASE = "http://localhost:8000"


class Forms(HTMLParser):
    """Each POST form of a page: where it goes, and what pressing its first button sends."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str]]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method") == "post":
            self.found.append((given.get("action", ""), []))
        elif tag in ("input", "button") and given.get("name") and self.found:
            self.found[-1][1].append((given["name"], given.get("value", "")))


def form_of(page: str, action: str) -> list[tuple[str, str]]:
    return next(pairs for found, pairs in Forms(page).found if found == action)


def post(browser: FlaskClient, path: str, pairs: list[tuple[str, str]]) -> tuple[int, str]:
    data: dict[str, list[str]] = {}
    for name, value in pairs:
        data.setdefault(name, []).append(value)
    answer = browser.post(path, data=data, base_url=BASE)
    return answer.status_code, answer.text


def test_a_deed_pressed_before_the_scripts_came_is_asked_about_and_then_done(app: Flask, cast: Cast) -> None:
    actor = cast.partner_marketer
    with app.app_context():
        contact_id = make_contact(actor, email="gone@customer.example").id
    browser = cast.client(actor)
    page = browser.get(f"/contacts/{contact_id}", base_url=BASE).text
    path = f"/contacts/{contact_id}/erase"
    status, asked = post(browser, path, form_of(page, path))
    assert status == 200
    assert "Please confirm" in asked
    with app.app_context(), unit_of_work(actor) as session:
        assert queries.get_contact(session, actor, contact_id).email == "gone@customer.example"
    status, _ = post(browser, path, form_of(asked, path))
    assert status in (302, 303)
    assert browser.get(f"/contacts/{contact_id}", base_url=BASE).status_code == 404


def test_the_question_keeps_what_was_typed_and_the_buttons_own_value(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_marketer)
    typed = [("ids", "1"), ("ids", "2"), ("note", 'two\r\n"lines" & <b>'), ("_ask:do=a=b", "All of it?")]
    status, asked = post(browser, "/contacts/bulk?list=7", typed)
    assert status == 200
    kept = [pair for pair in form_of(asked, "/contacts/bulk?list=7") if pair[0] != "csrf_token"]
    assert kept == [("ids", "1"), ("ids", "2"), ("note", 'two\r\n"lines" & <b>'), ("do", "a=b")]
    assert "All of it?" in asked


def test_the_question_never_leads_away_from_this_site(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_marketer)
    for referrer, back in (
        ("https://evil.example/x", "/"), (f"{BASE}//evil.example", "/evil.example"), (f"{BASE}/contacts?q=1", "/contacts?q=1"),
    ):  # fmt: skip
        answer = browser.post("/contacts/bulk", data={"_ask": "?"}, headers={"Referer": referrer}, base_url=BASE)
        assert re.search(r'href="([^"]*)"[^>]*><span>Go back', answer.text.replace("\n", ""))[1] == back  # type: ignore[index]


def test_a_file_is_not_lost_over_the_question(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_marketer)
    data = {"_ask": "?", "file": (io.BytesIO(b"x"), "x.csv")}
    answer = browser.post("/contacts/bulk", data=data, base_url=BASE)
    assert answer.status_code == 422
    assert "press again" in answer.text
