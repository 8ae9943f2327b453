"""Homes, the funnel, reminders and search: as each of the cast sees them."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select

from tcma.db import bind, db
from tcma.insights import funnel
from tcma.insights.models import Nudge
from tcma.records import OutboxMail
from tests.factories.cast import Cast
from tests.factories.claims import make_claim

BASE = "http://localhost:8000"


@pytest.mark.parametrize(
    "who",
    ["vendor_admin", "vendor_marketer", "channel_manager", "finance", "partner_admin", "partner_marketer", "rival"],
)
def test_everyone_has_a_home(cast: Cast, who: str) -> None:
    page = cast.client(cast.people[who]).get("/", base_url=BASE)
    assert page.status_code == 200
    assert 'id="needs-me"' in page.text


def test_the_operator_sees_the_service(cast: Cast) -> None:
    page = cast.client(cast.operator).get("/", base_url=BASE, follow_redirects=True)
    assert page.status_code == 200
    assert "Messages waiting" in page.text


def test_a_member_of_a_tenant_does_not_see_the_service(cast: Cast) -> None:
    assert cast.client(cast.vendor_admin).get("/service", base_url=BASE).status_code == 403


def test_finance_is_told_of_a_claim_that_waits(cast: Cast, app: Flask) -> None:
    with app.app_context():
        number = make_claim(cast, state="submitted").number
    assert number in cast.client(cast.finance).get("/", base_url=BASE).text


def test_the_funnel_is_the_vendors_and_counts_its_partners(cast: Cast, app: Flask) -> None:
    page = cast.client(cast.channel_manager).get("/funnel", base_url=BASE)
    assert page.status_code == 200
    with app.app_context():
        bind(db.session, cast.channel_manager)
        rows = funnel.partner_rows(db.session, cast.channel_manager)
    assert {row.partner_id for row in rows} == {cast.partner_id, cast.rival_id}
    assert cast.client(cast.partner_admin).get("/funnel", base_url=BASE).status_code == 403
    assert "Rival Systems" in cast.client(cast.channel_manager).get("/funnel.csv", base_url=BASE).text


def test_the_funnel_pages_searches_and_filters(cast: Cast, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(funnel, "PAGE", 1)
    browser = cast.client(cast.channel_manager)
    with app.app_context():
        bind(db.session, cast.channel_manager)
        first, second = (row.partnership.partner.name for row in funnel.partner_rows(db.session, cast.channel_manager))
    page = browser.get("/funnel", base_url=BASE).text
    assert first in page
    assert second not in page
    older = re.search(r'href="(/funnel\?after=[^"]+)"', page)
    assert older is not None
    page = browser.get(older[1], base_url=BASE).text
    assert second in page
    assert first not in page
    assert second in browser.get("/funnel", query_string={"q": second.upper()}, base_url=BASE).text
    assert first not in browser.get("/funnel?step=claim", base_url=BASE).text


def test_how_far_a_partner_came_is_its_furthest_step(cast: Cast, app: Flask) -> None:
    with app.app_context():
        make_claim(cast, state="submitted")
        bind(db.session, cast.channel_manager)
        reached = {row.partner_id: row.step for row in funnel.partner_rows(db.session, cast.channel_manager)}
        counts = funnel.counts_by_step(db.session, cast.channel_manager)
    assert reached == {cast.partner_id: "claim", cast.rival_id: "invited"}
    assert counts == {"invited": 1, "signed_in": 0, "launched": 0, "leads": 0, "claim": 1}
    assert dict(funnel.steps_of(counts)) == {"invited": 2, "signed_in": 1, "launched": 1, "leads": 1, "claim": 1}


def test_a_reminder_goes_out_by_mail_once_a_week(cast: Cast, app: Flask) -> None:
    manager = cast.client(cast.channel_manager)
    for _ in range(2):
        answer = manager.post(f"/partners/{cast.rival_id}/nudge", data={"step": "signed_in"}, base_url=BASE)
        assert answer.status_code == 303
    with app.app_context():
        bind(db.session, cast.channel_manager)
        assert len(list(db.session.scalars(select(Nudge).where(Nudge.partner_id == cast.rival_id)))) == 1
        bind(db.session, cast.rival)
        mails = list(db.session.scalars(select(OutboxMail).where(OutboxMail.template == "nudge")))
    assert [mail.to_address for mail in mails] == [cast.rival.email]


def test_another_vendors_partner_cannot_be_reminded(cast: Cast) -> None:
    answer = cast.client(cast.other_vendor_admin).post(
        f"/partners/{cast.rival_id}/nudge", data={"step": "signed_in"}, base_url=BASE
    )
    assert answer.status_code == 404


def test_search_finds_ones_own_and_nobody_elses(cast: Cast) -> None:
    mine = cast.client(cast.vendor_admin).get("/search?q=Rival", base_url=BASE)
    other = cast.client(cast.other_vendor_admin).get("/search?q=Rival", base_url=BASE)
    assert f"/partners/{cast.rival_id}" in mine.text
    assert f"/partners/{cast.rival_id}" not in other.text
    assert cast.client(cast.partner_admin).get("/search?q=%27%25_", base_url=BASE).status_code == 200


def test_the_bell_counts_the_same_on_every_page(cast: Cast) -> None:
    client = cast.client(cast.partner_admin)
    said = []
    for path in ("/", "/catalogue", "/leads", "/contacts"):
        said += re.findall(r'aria-label="(\d+) things? needs? you"', client.get(path, base_url=BASE).text)
    assert len(said) == 4
    assert len(set(said)) == 1
