"""The public landing page and the inbox, as a visitor, a partner and others see them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

from tcma import clock
from tests.factories.cast import Cast
from tests.factories.delivery import make_draft, make_started

APP = "http://localhost:8000"
TRACK = "http://127.0.0.1:8000"


def hidden(page: str) -> dict[str, str]:
    """The form's hidden values, as a browser sends them."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def visit(app: Flask, key: str, **changes: str) -> tuple[int, str]:
    """Open the page, wait ten seconds on our clock, send the form."""
    browser = app.test_client()
    opened = browser.get(f"/p/{key}", base_url=TRACK)
    form = {"name": "Ida <b>Ibsen</b>", "email": "ida@visitor.example", **hidden(opened.text), **changes}
    with clock.at(clock.now() + timedelta(seconds=10)):
        sent = browser.post(f"/p/{key}", data=form, base_url=TRACK)
    return sent.status_code, sent.headers.get("Location", "") or sent.text


def test_a_visitor_answers_and_the_partner_works_the_lead(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast)
        key = launch.landing_key
    status, where = visit(app, key)
    assert status == 303
    assert app.test_client().get(where, base_url=TRACK).status_code == 200
    browser = cast.client(cast.partner_marketer)
    inbox = browser.get("/leads", base_url=APP).text
    assert "Ida &lt;b&gt;Ibsen" in inbox
    assert "<b>Ibsen" not in inbox
    path = re.search(r"/leads/[0-9a-f-]{36}", inbox)
    assert path is not None
    page = path.group()
    assert browser.get(page, base_url=APP).status_code == 200
    assert browser.post(f"{page}/reject", data={}, base_url=APP).status_code == 422
    assert browser.post(f"{page}/accept", base_url=APP).status_code == 303
    assert browser.post(f"{page}/accept", base_url=APP).status_code == 409
    assert browser.post(f"{page}/win", data={"amount": "lots"}, base_url=APP).status_code == 422
    assert browser.post(f"{page}/win", data={"amount": "1250.00"}, base_url=APP).status_code == 303
    assert "ida@visitor.example" in browser.get("/leads.csv", base_url=APP).text
    for other in (cast.rival, cast.other_vendor_admin, cast.vendor_marketer):
        theirs = cast.client(other)
        assert theirs.get(page, base_url=APP).status_code == 404
        assert theirs.post(f"{page}/share", base_url=APP).status_code in (403, 404)
        assert "ida@visitor" not in theirs.get("/leads", base_url=APP).text
        assert "ida@visitor" not in theirs.get("/leads.csv", base_url=APP).text


def test_what_was_typed_comes_back_with_what_to_mend(app: Flask, cast: Cast) -> None:
    with app.app_context():
        key = make_started(cast).landing_key
    status, page = visit(app, key, email="nobody", name="Ida")
    assert status == 422
    assert 'aria-invalid="true"' in page
    assert 'value="Ida"' in page


def test_a_robot_is_thanked_and_makes_no_lead(app: Flask, cast: Cast) -> None:
    with app.app_context():
        key = make_started(cast).landing_key
    assert visit(app, key, website="http://spam.example")[0] == 303
    assert visit(app, key, o="1.forged", email="two@visitor.example")[0] == 303
    inbox = cast.client(cast.partner_marketer).get("/leads", base_url=APP).text
    assert "visitor.example" not in inbox
    assert "Ibsen" not in inbox


@pytest.mark.parametrize("key", ["nothing", "x" * 300, "%00", "..%2f"])
def test_an_unknown_page_is_not_there(app: Flask, cast: Cast, key: str) -> None:
    assert app.test_client().get(f"/p/{key}", base_url=TRACK).status_code == 404


def test_a_draft_has_no_page_yet(app: Flask, cast: Cast) -> None:
    with app.app_context():
        key = make_draft(cast).landing_key
    assert app.test_client().get(f"/p/{key}", base_url=TRACK).status_code == 404
