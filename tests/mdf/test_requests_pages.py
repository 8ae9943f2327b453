"""Pages of requests and funds, through a browser without JavaScript."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tcma import clock
from tcma.db import unit_of_work
from tcma.mdf import queries
from tcma.mdf.states import RequestStatus
from tests.factories.cast import Cast
from tests.factories.mdf import FundedProgramme, eur, make_money, make_request

BASE = "http://localhost:8000"


@pytest.fixture
def money(app: Flask, cast: Cast) -> FundedProgramme:
    with app.app_context():
        return make_money(cast)


def typed_plan(money: FundedProgramme, **changes: str) -> dict[str, str]:
    begins = clock.today() + timedelta(days=20)
    return {
        "title": "Autumn webinar", "purpose": "Meet manufacturers", "do": "submit",
        "activities-0-activity_type_id": str(money.types["seminar"]), "activities-0-title": "Webinar",
        "activities-0-starts_on": str(begins), "activities-0-ends_on": str(begins),
        "activities-0-cost": "2,500.00", "activities-0-requested": "1,250", "activities-0-expected_reach": "80",
        "activities-0-campaign_version_id": "", **changes,
    }  # fmt: skip


def test_a_partner_asks_and_the_channel_manager_approves(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    partner, manager = cast.client(cast.partner_marketer), cast.client(cast.channel_manager)
    assert "€5,000.00" in partner.get("/funds", base_url=BASE).text
    form = partner.get(f"/requests/new?programme={money.programme.id}", base_url=BASE)
    assert form.status_code == 200
    assert "Activity 1" in form.text
    answer = partner.post(f"/requests/new?programme={money.programme.id}", data=typed_plan(money), base_url=BASE)
    assert answer.status_code == 303, answer.text
    page = answer.headers["Location"]
    seen = manager.get(page, base_url=BASE)
    assert "The programme&#39;s share is kept" in seen.text
    assert "Approve €1,250.00" in seen.text
    assert "Autumn webinar" in manager.get("/requests?state=submitted", base_url=BASE).text
    approved = manager.post(f"{page}/approve", data={"version": "2"}, base_url=BASE)
    assert approved.status_code == 303, approved.text
    assert "Approved" in partner.get(page, base_url=BASE).text
    entries = partner.get(f"/ledger?fund={money.fund.id}&kind=committed", base_url=BASE).text
    assert "€1,250.00" in entries


def test_a_draft_is_kept_changed_and_sent(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    partner = cast.client(cast.partner_marketer)
    new = f"/requests/new?programme={money.programme.id}"
    page = partner.post(new, data=typed_plan(money, do="draft"), base_url=BASE).headers["Location"]
    edit = partner.get(f"{page}/edit", base_url=BASE)
    assert 'value="1250.00"' in edit.text
    changed = typed_plan(money, do="draft", title="Winter webinar", version="1")
    assert partner.post(f"{page}/edit", data=changed, base_url=BASE).status_code == 303
    assert "Winter webinar" in partner.get(page, base_url=BASE).text
    assert partner.post(f"{page}/submit", base_url=BASE).status_code == 303
    assert cast.client(cast.finance).get(page, base_url=BASE).status_code == 200


def test_one_more_activity_and_one_fewer_keep_what_was_typed(cast: Cast, money: FundedProgramme) -> None:
    partner, new = cast.client(cast.partner_marketer), f"/requests/new?programme={money.programme.id}"
    more = partner.post(new, data=typed_plan(money, do="add"), base_url=BASE)
    assert more.status_code == 200
    assert "Activity 2" in more.text
    assert 'value="2,500.00"' in more.text
    second = {key.replace("-0-", "-1-"): value for key, value in typed_plan(money).items() if "-0-" in key}
    second["activities-1-title"] = "Second webinar"
    fewer = partner.post(new, data={**typed_plan(money), **second, "do": "remove-0"}, base_url=BASE)
    assert "Activity 2" not in fewer.text
    assert "Second webinar" in fewer.text


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("activities-0-cost", "1.234.5", "is not an amount we can read"),
        ("activities-0-requested", "", "Enter what you ask for"),
        ("activities-0-requested", "9,000", "more than the cost"),
        ("activities-0-requested", "2,000", "Ask for €1,250.00 or less"),
        ("activities-0-ends_on", "2020-01-01", "is before the beginning"),
        ("title", " ", "Give the request a title"),
    ],
)
def test_what_was_typed_wrong_is_said_in_words_and_nothing_is_kept(
    app: Flask, cast: Cast, money: FundedProgramme, field: str, typed: str, words: str
) -> None:
    partner, new = cast.client(cast.partner_marketer), f"/requests/new?programme={money.programme.id}"
    answer = partner.post(new, data=typed_plan(money, **{field: typed}), base_url=BASE)
    assert answer.status_code == 422
    assert words in answer.text
    with app.app_context(), unit_of_work(cast.partner_marketer) as session:
        assert queries.count_requests(session, cast.partner_marketer) == {}


def test_returning_needs_words_that_the_partner_then_reads(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    with app.app_context():
        request = make_request(cast, money)
    page, manager = f"/requests/{request.id}", cast.client(cast.channel_manager)
    silent = manager.post(f"{page}/return", data={"reason": ""}, base_url=BASE)
    assert silent.status_code == 422
    assert "Say why" in silent.text
    assert manager.post(f"{page}/return", data={"reason": "How many come?"}, base_url=BASE).status_code == 303
    assert "How many come?" in cast.client(cast.partner_marketer).get(page, base_url=BASE).text


def test_a_decision_on_an_old_page_is_stale(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    with app.app_context():
        request = make_request(cast, money)
    answer = cast.client(cast.finance).post(f"/requests/{request.id}/approve", data={"version": "1"}, base_url=BASE)
    assert answer.status_code == 409
    assert "Someone changed this" in answer.text


def pages(money: FundedProgramme, request_id: object) -> dict[str, str]:
    return {
        "funds": "/funds", "fund": f"/funds/{money.fund.id}", "fund_new": "/funds/new", "ledger": "/ledger",
        "programmes": "/programmes", "programme": f"/programmes/{money.programme.id}",
        "programme_new": "/programmes/new", "programme_edit": f"/programmes/{money.programme.id}/edit",
        "requests": "/requests", "request": f"/requests/{request_id}", "request_new": "/requests/new",
    }  # fmt: skip


VENDOR_READS = {"funds", "fund", "ledger", "programmes", "programme", "requests", "request"}
ALLOWED = {
    "vendor_admin": VENDOR_READS | {"fund_new", "programme_new", "programme_edit"},
    "vendor_marketer": VENDOR_READS,
    "channel_manager": VENDOR_READS | {"programme_new", "programme_edit"},
    "finance": VENDOR_READS | {"fund_new", "programme_new", "programme_edit"},
    "partner_admin": (VENDOR_READS | {"request_new"}),
    "partner_marketer": (VENDOR_READS | {"request_new"}),
}
EMPTY_FOR_OTHERS = {"funds", "ledger", "programmes", "requests"}


def test_every_page_opens_for_who_may_and_for_nobody_else(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    with app.app_context():
        request = make_request(cast, money)
    for name, actor in cast.people.items():
        browser = cast.client(actor)
        for page, address in pages(money, request.id).items():
            status = browser.get(address, base_url=BASE).status_code
            if name in ALLOWED:
                assert (status in (200, 302)) is (page in ALLOWED[name]), (name, page, status)
                assert status in (200, 302, 403), (name, page, status)
            elif page in EMPTY_FOR_OTHERS:
                assert status == (403 if name == "operator" else 200), (name, page, status)


def test_a_rival_and_another_vendor_get_404(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    with app.app_context():
        request = make_request(cast, money)
    for actor in (cast.rival, cast.other_vendor_admin):
        browser = cast.client(actor)
        assert browser.get(f"/requests/{request.id}", base_url=BASE).status_code == 404
        assert "Autumn push" not in browser.get("/requests", base_url=BASE).text
        assert "Autumn push" not in browser.get("/requests?format=csv", base_url=BASE).text
        assert browser.get(f"/ledger?fund={money.fund.id}", base_url=BASE).status_code == 404
        assert "€" not in browser.get("/ledger", base_url=BASE).text
    assert cast.client(cast.other_vendor_admin).get(f"/funds/{money.fund.id}", base_url=BASE).status_code == 404
    assert cast.client(cast.rival).post(f"/requests/{request.id}/withdraw", base_url=BASE).status_code == 404


def test_the_list_searches_filters_pages_and_exports(
    app: Flask, cast: Cast, money: FundedProgramme, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        for number in range(4):
            make_request(cast, money, state="draft", requested=100 + number, title=f"Plan {number}")
        make_request(cast, money, requested=10, title="=cmd|' /C calc'!A0")
    browser: FlaskClient = cast.client(cast.partner_marketer)
    assert "Plan 3" in browser.get("/requests?q=plan+3", base_url=BASE).text
    assert "Plan 2" not in browser.get("/requests?q=plan+3", base_url=BASE).text
    assert "Plan 3" not in browser.get(f"/requests?state={RequestStatus.SUBMITTED}", base_url=BASE).text
    exported = browser.get("/requests?format=csv", base_url=BASE)
    assert exported.mimetype == "text/csv"
    assert "'=cmd" in exported.text
    assert exported.text.count("\r\n") == 6
    with app.app_context(), unit_of_work(cast.partner_marketer) as session:
        first, more = queries.list_requests(session, cast.partner_marketer, limit=2)
        assert more
        second, _ = queries.list_requests(session, cast.partner_marketer, after=first[-1].id, limit=2)
        back, _ = queries.list_requests(session, cast.partner_marketer, before=second[0].id, limit=2)
        assert [one.id for one in back] == [one.id for one in first]
        assert not {one.id for one in first} & {one.id for one in second}


def test_finance_makes_a_fund_and_gives_a_partner_its_part_once(app: Flask, cast: Cast, money: FundedProgramme) -> None:
    browser = cast.client(cast.finance)
    today = clock.today()
    answer = browser.post(
        "/funds/new", base_url=BASE,
        data={
            "name": "Winter", "programme_id": str(money.programme.id), "budget": "3,000", "begins_on": str(today),
            "ends_on": str(today + timedelta(days=60)),
        },
    )  # fmt: skip
    assert answer.status_code == 303, answer.text
    page = answer.headers["Location"]
    data = {
        "once": "0198a1b2-0000-7000-8000-000000000001", "partner_id": str(cast.rival_id), "amount": "500.50",
        "expires_on": str(today + timedelta(days=30)),
    }  # fmt: skip
    for _ in range(2):
        assert browser.post(f"{page}/allocations", data=data, base_url=BASE).status_code == 303
    text = browser.get(page, base_url=BASE).text
    assert "€500.50" in text
    assert "€2,499.50" in text
    too_much = {**data, "once": "", "amount": "2,500"}
    refused = browser.post(f"{page}/allocations", data=too_much, base_url=BASE)
    assert refused.status_code == 422
    assert "€2,499.50, and this needs €2,500.00" in refused.text
    assert browser.post(f"{page}/budget", data={"amount": "1"}, base_url=BASE).status_code == 303
    assert (
        cast.client(cast.vendor_marketer).post(f"{page}/budget", data={"amount": "1"}, base_url=BASE).status_code == 403
    )
    assert "Winter" in browser.get("/funds?format=csv", base_url=BASE).text
    assert "500.50" in browser.get("/ledger?format=csv&kind=allocated", base_url=BASE).text


def test_amounts_are_typed_in_major_units_of_the_currency(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
    partner = cast.client(cast.partner_marketer)
    page = partner.post(
        f"/requests/new?programme={money.programme.id}", data=typed_plan(money, do="draft"), base_url=BASE
    ).headers["Location"]
    with app.app_context(), unit_of_work(cast.partner_marketer) as session:
        found = next(iter(queries.list_requests(session, cast.partner_marketer)[0]))
        assert found.budget == eur(1_250)
        assert page.endswith(str(found.id))
