"""The demo: made once, by the services that people use, and its figures agree with each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tcma import clock, demo, demo_cast
from tcma.access import Actor, Kind
from tcma.accounts import queries as account_queries
from tcma.accounts.models import Organization, User
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings, use_settings
from tcma.db import db, elevated, unit_of_work
from tcma.delivery import queries as delivery_queries
from tcma.delivery.models import Delivery, Event, LaunchTotals
from tcma.leads.models import Lead, LeadTotals
from tcma.mdf.ledger_check import check_ledger
from tcma.mdf.models import Claim, Fund, Request
from tcma.navigation import entries_for
from tcma.records import OutboxMail
from tests.factories.delivery import use_sink
from tests.sinks import SmtpSink

AT = "http://localhost:8000"


class StoppedHalfWay(Exception):
    """What ends the first try."""


@dataclass
class Seeded:
    """What the two tries said, and how many mails left."""

    app: Flask
    said: list[str]
    mails: int
    folder: Path


@pytest.fixture(scope="module")
def seeded(app: Flask) -> Seeded:
    """A small demo, whose first try was stopped half-way."""

    def stop(words: str) -> None:
        if "companies" in words:
            raise StoppedHalfWay

    said: list[str] = []
    with SmtpSink() as sink, app.app_context():
        before = use_sink(sink.url)
        try:
            with pytest.raises(StoppedHalfWay):
                demo.seed(scale=0.06, say=stop)
            assert not (settings().data_dir / demo.SIGN_INS).exists()
            demo.seed(scale=0.06, say=said.append)
        finally:
            use_settings(before)
        mails = len(sink.accepted)
    # Outside the application's context, for a browser's requests would share it.
    return Seeded(app, said, mails, settings().data_dir)


@pytest.fixture
def inside(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def everyones(*entities: type) -> list[list]:  # type: ignore[type-arg]
    """All rows of these tables that belong to the demo's organizations."""
    with unit_of_work(None) as session, elevated(session, "a test looks at the whole demo"):
        mine = set(
            session.scalars(
                select(Organization.id).where(
                    Organization.name.in_([one.name for one in demo_cast.COMPANIES]), Organization.purged_at.is_(None),
                    ~Organization.scratch,
                )
            )
        )  # fmt: skip
        return [
            [row for row in session.scalars(select(one)) if {row.vendor_id, getattr(row, "partner_id", None)} & mine]
            for one in entities
        ]


def actor_of(email: str) -> Actor:
    with unit_of_work(None) as session, elevated(session, "a test acts as somebody of the demo"):
        user = session.scalars(select(User).where(User.email == email)).one()
        member = next(one for one in account_queries.memberships(session, user.id))
        return account_queries.actor_of(member, user)


def browser_of(app: Flask, email: str) -> FlaskClient:
    with app.app_context(), unit_of_work(None) as session:
        uniquifier = session.scalars(select(User).where(User.email == email)).one().fs_uniquifier
    browser = app.test_client()
    with browser.session_transaction() as state:
        state["_user_id"], state["_fresh"] = uniquifier, True
    return browser


@pytest.mark.usefixtures("inside")
def test_what_was_stopped_half_way_is_closed_and_made_anew_and_then_it_stays(seeded: Seeded) -> None:
    assert any("stopped half-way" in words for words in seeded.said)
    with unit_of_work(None) as session, elevated(session, "a test counts"):
        names = [one.name for one in demo_cast.COMPANIES]
        open_ones = session.scalar(
            select(func.count()).select_from(Organization).join(User, User.email == demo_cast.address_of("vera")).where(
                Organization.name.in_(names), Organization.purged_at.is_(None), ~Organization.scratch
            )
        )  # fmt: skip
        assert open_ones == len(names)
    assert demo.seed(scale=0.06, say=seeded.said.append) is False
    assert seeded.said[-1] == "Demo: it is there already."


def test_everybody_on_the_sign_in_page_can_sign_in(seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    path = seeded.folder / demo.SIGN_INS
    people = json.loads(path.read_text())
    assert path.stat().st_mode & 0o077 == 0
    assert {tuple(sorted(one)) for one in people} == {("email", "name", "organization", "password", "role")}
    monkeypatch.setattr(settings(), "demo", True)
    for place in (0, len(people) - 1):
        browser = seeded.app.test_client()
        assert browser.post("/sign-in", data={"demo": str(place)}, base_url=AT).status_code == 302
        page = browser.get("/me", base_url=AT)
        assert page.status_code == 200
        assert people[place]["name"] in page.get_data(as_text=True)


def test_no_entry_of_anybodys_side_bar_fails(seeded: Seeded) -> None:
    for one in json.loads((seeded.folder / demo.SIGN_INS).read_text()):
        browser = browser_of(seeded.app, one["email"])
        with seeded.app.test_request_context("/", base_url=AT):
            actor = actor_of(one["email"])
            hrefs = [
                seeded.app.url_map.bind("localhost").build(entry.endpoint)
                for entry in entries_for(actor)
                if entry.endpoint in seeded.app.view_functions
            ]
        for href in hrefs:
            answer = browser.get(href, base_url=AT)
            assert answer.status_code in (200, 302, 303), (one["email"], href, answer.status_code)


@pytest.mark.usefixtures("inside")
def test_the_totals_of_every_launch_hold(seeded: Seeded) -> None:
    launches, totals, leads, lead_totals = everyones(Launch, LaunchTotals, Lead, LeadTotals)
    assert {one.status for one in launches} >= {LaunchStatus.FINISHED, LaunchStatus.SCHEDULED, LaunchStatus.DRAFT}
    assert sum(one.sent for one in totals) == seeded.mails > 50
    with unit_of_work(None) as session, elevated(session, "a test counts deliveries"):
        for one in totals:
            counted = delivery_queries.totals(session, one.launch_id)
            assert counted.holds
            rows = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.launch_id == one.launch_id))
            assert (one.planned, one.sent) == (rows, counted.sent)
        assert session.scalar(select(func.count()).select_from(Event)) or 0 > 20
    assert sum(one.clicks for one in totals) > 0
    for one in lead_totals:
        assert one.leads == len([lead for lead in leads if lead.launch_id == one.launch_id])


@pytest.mark.usefixtures("inside")
def test_the_books_balance_and_hold_money_in_several_states(seeded: Seeded) -> None:
    funds, requests, claims = everyones(Fund, Request, Claim)
    assert {str(one.status) for one in requests} == {"draft", "submitted", "approved", "returned", "rejected"}
    assert {str(one.status) for one in claims} == {"draft", "submitted", "approved", "returned", "paid"}
    assert any(one.approved_minor and one.approved_minor < one.claimed_minor for one in claims)
    assert len(funds) == 2
    for fund in funds:
        with unit_of_work(Actor.system(fund.vendor_id, Kind.VENDOR)) as session:
            assert check_ledger(session, fund.id) == []


@pytest.mark.usefixtures("inside")
def test_nothing_of_the_past_is_sent_today_and_nothing_lies_in_the_future(seeded: Seeded) -> None:
    with unit_of_work(None) as session, elevated(session, "a test looks into the outbox"):
        addresses = [demo_cast.address_of(one.key) for one in demo_cast.PEOPLE]
        unsent = select(func.count()).select_from(OutboxMail).where(
            OutboxMail.to_address.in_(addresses), OutboxMail.sent_at.is_(None)
        )  # fmt: skip
        assert session.scalar(unsent) == 0
    (launches,) = everyones(Launch)
    assert all(one.created_at < clock.now() for one in launches)
    people = [*demo_cast.PEOPLE, demo_cast.OPERATOR]
    assert db.session.scalar(select(func.count()).select_from(User).where(User.email.endswith(demo_cast.DOMAIN))) == len(
        people
    )


def test_mail_never_goes_beyond_this_machine(app: Flask, tmp_path: Path) -> None:
    before = settings()
    away = {"smtp_url": "smtp://mail.example.com:25", "data_dir": tmp_path}
    with app.app_context():
        use_settings(before.model_copy(update=away))
        try:
            with pytest.raises(demo.DemoRefused, match=r"mail\.example\.com"):
                demo._check_mail()
        finally:
            use_settings(before)
