"""Requests: who may do what in which state, the rules with both values, launches linked by content."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.campaigns.models import Campaign, CampaignGrant, CampaignVersion, Launch
from tcma.campaigns.states import CampaignStatus
from tcma.db import elevated, unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound, Stale
from tcma.mdf import expiry, ledger, programmes, queries, requests
from tcma.mdf.ledger_check import check_ledger
from tcma.mdf.models import Request
from tcma.mdf.states import AccountKind, RequestStatus
from tcma.records import OutboxMail
from tests.factories.cast import Cast
from tests.factories.mdf import FundedProgramme, an_activity, eur, make_money, make_programme, make_request

PLAN: dict[str, Any] = {"title": "Changed", "purpose": "", "activities": ()}
VERBS: dict[str, Callable[[Session, Actor, Any], Any]] = {
    "edit": lambda session, actor, id_: requests.save_request(session, actor, id_, **PLAN),
    "submit": requests.submit_request,
    "approve": requests.approve_request,
    "return": lambda session, actor, id_: requests.return_request(session, actor, id_, reason="Say more"),
    "reject": lambda session, actor, id_: requests.reject_request(session, actor, id_, reason="No"),
    "withdraw": requests.withdraw_request,
}
PARTNER_VERBS = {"edit", "submit", "withdraw"}
ALLOWED = {
    "draft": {"edit": "draft", "submit": "submitted", "withdraw": "withdrawn"},
    "submitted": {"approve": "approved", "return": "returned", "reject": "rejected", "withdraw": "withdrawn"},
    "returned": {"edit": "returned", "submit": "submitted", "withdraw": "withdrawn"},
    "approved": {"withdraw": "withdrawn"},
    "rejected": {},
    "withdrawn": {},
    "expired": {},
}  # fmt: skip
MAY = {
    "partner_admin": PARTNER_VERBS, "partner_marketer": PARTNER_VERBS,
    "channel_manager": VERBS.keys() - PARTNER_VERBS, "finance": VERBS.keys() - PARTNER_VERBS,
    "payer": VERBS.keys() - PARTNER_VERBS, "vendor_admin": set(), "vendor_marketer": set(),
    "rival": set(), "other_vendor_admin": set(), "operator": set(),
}  # fmt: skip


def in_state(cast: Cast, money: FundedProgramme, state: str) -> Request:
    if state != "expired":
        return make_request(cast, money, state=state)
    request = make_request(cast, money, state="approved")
    with clock.at(clock.now() + timedelta(days=400)), unit_of_work(cast.finance) as session:
        assert expiry.expire_request(session, cast.finance, request.id)
    return request


def status_of(cast: Cast, request: Request) -> RequestStatus:
    with unit_of_work(cast.partner_admin) as session:
        session.expire_all()
        return queries.get_request(session, cast.partner_admin, request.id).status


@pytest.mark.parametrize("state", sorted(ALLOWED))
def test_each_state_takes_its_verbs_from_whom_they_belong_to_and_no_other(app: Flask, cast: Cast, state: str) -> None:
    with app.app_context():
        money = make_money(cast, allocated=20_000, cap=eur(1_000_000))
        request = in_state(cast, money, state)
        for name, actor in cast.people.items():
            for verb, do in VERBS.items():
                if verb in MAY[name] and verb in ALLOWED[state]:
                    with unit_of_work(actor) as session:
                        do(session, actor, request.id)
                    assert status_of(cast, request) == ALLOWED[state][verb], (name, verb)
                    if ALLOWED[state][verb] in ("draft", "submitted", "returned", "approved"):
                        with unit_of_work(cast.partner_admin) as session:  # leave the money to the next
                            requests.withdraw_request(session, cast.partner_admin, request.id)
                    request = in_state(cast, money, state)
                    continue
                hidden = state == "draft" and actor.is_vendor
                lacks = verb not in MAY[name]
                refused = (Forbidden, NotFound) if lacks else (NotFound,) if hidden else (IllegalTransition,)
                request_id = request.id
                with pytest.raises(refused), unit_of_work(actor) as session:
                    do(session, actor, request_id)
                assert status_of(cast, request) == state, (name, verb)
        with unit_of_work(cast.finance) as session:
            assert check_ledger(session, money.fund.id) == []
            held = ledger.balances(session, money.fund.id)
            assert held[AccountKind.COMMITTED] == eur(1_000 if state == "approved" else 0)


def refusal(cast: Cast, money: FundedProgramme, **fields: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        make_request(cast, money, activities=[an_activity(money, **fields)])
    return refused.value.fields


def test_the_share_is_kept(app: Flask, cast: Cast) -> None:
    with app.app_context():
        words = refusal(cast, make_money(cast), requested=501, cost=eur(1_000))["requested"]
        assert "at most 50 %" in words
        assert "€500.00" in words
        assert "€501.00" in words


def test_the_window_is_kept(app: Flask, cast: Cast) -> None:
    with app.app_context():
        late = date(clock.today().year + 2, 1, 1)
        words = refusal(cast, make_money(cast), ends_on=late)["starts_on"]
        assert str(late) in words
        assert f"{clock.today().year + 1}-12-31" in words


def test_the_lead_time_is_kept(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, lead_days=30)
        words = refusal(cast, money)["starts_on"]
        assert "30 days before the work begins" in words
        assert "14 days before" in words
        assert str(clock.today() + timedelta(days=30)) in words


def test_more_than_is_available_is_refused_counting_what_others_wait_for(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, allocated=1_500)
        make_request(cast, money, requested=1_000)
        words = refusal(cast, money, requested=501)["requested"]
        assert "€500.00 available" in words
        assert "€501.00 asked" in words


def test_a_plan_cut_in_parts_meets_the_same_cap(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, cap=eur(1_500))
        make_request(cast, money, state="approved", requested=1_000)
        make_request(cast, money, state="submitted", requested=300)
        words = refusal(cast, money, requested=201)["requested"]
        assert "€1,500.00 in all" in words
        assert "€1,300.00 so far" in words
        assert "Ask for €200.00 or less" in words


def test_the_cap_of_an_activity_type_is_kept(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with unit_of_work(cast.finance) as session:
            kind = programmes.add_activity_type(session, cast.finance, money.programme.id, code="print", cap=eur(200))
        money.types["print"] = kind.id
        assert "€200.00" in refusal(cast, money, code="print", requested=201)["requested"]


def test_without_an_allocation_the_words_say_whom_to_ask(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with pytest.raises(Invalid, match="No money of this programme is allocated to you"):
            make_request(cast, money, by=cast.rival)


def test_approval_after_the_work_began_is_refused(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        request = make_request(cast, money)
        later = clock.now() + timedelta(days=15)
        with clock.at(later), pytest.raises(Invalid) as refused, unit_of_work(cast.finance) as session:
            requests.approve_request(session, cast.finance, request.id)
        assert "It is approved before the work begins" in refused.value.fields["starts_on"]
        assert status_of(cast, request) is RequestStatus.SUBMITTED


def test_approval_reserves_keeps_the_rules_and_sets_the_last_day_to_claim(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with unit_of_work(cast.finance) as session:
            programmes.save_programme(session, cast.finance, money.programme.id, claim_days=10)
        request = make_request(cast, money, state="approved")
        with unit_of_work(cast.partner_admin) as session:
            found = queries.get_request(session, cast.partner_admin, request.id)
            assert found.rule_version == 2
            assert found.claim_until == found.activities[0].ends_on + timedelta(days=10)
            assert [one.committed_minor for one in found.activities] == [100_000]
            assert found.decided_by == cast.channel_manager.user_id


def test_a_decision_on_an_older_state_is_stale(app: Flask, cast: Cast) -> None:
    with app.app_context():
        request = make_request(cast, make_money(cast))
        with pytest.raises(Stale), unit_of_work(cast.finance) as session:
            requests.approve_request(session, cast.finance, request.id, expected_version=1)


def test_both_sides_are_told_by_mail(app: Flask, cast: Cast) -> None:
    with app.app_context():
        make_request(cast, make_money(cast), state="returned")
        with unit_of_work(cast.finance) as session:
            asked = session.scalars(select(OutboxMail).where(OutboxMail.template == "request_submitted")).all()
            assert {one.to_address for one in asked} == {
                cast.channel_manager.email, cast.finance.email, cast.payer.email
            }  # fmt: skip
            assert asked[0].data["amount"] == "€1,000.00"
            assert asked[0].data["url"].startswith("http://localhost:8000/requests/")
        with unit_of_work(cast.partner_admin) as session:
            told = session.scalars(select(OutboxMail).where(OutboxMail.template == "request_decided")).all()
            assert {one.to_address for one in told} == {cast.partner_admin.email, cast.partner_marketer.email}
            assert told[0].data["reason"] == "Please say how many people it reaches."


def test_a_late_decision_is_asked_for_once_a_day(app: Flask, cast: Cast) -> None:
    with app.app_context():
        request = make_request(cast, make_money(cast))
        with unit_of_work(cast.finance) as session:
            assert requests.remind_overdue(session, cast.finance, request.id) == 0
        with clock.at(clock.now() + timedelta(days=6)):
            for _ in range(2):
                with unit_of_work(cast.finance) as session:
                    assert requests.remind_overdue(session, cast.finance, request.id) == 3
            with unit_of_work(cast.finance) as session:
                sent = session.scalars(select(OutboxMail).where(OutboxMail.template == "request_overdue")).all()
                assert len(sent) == 3
            with unit_of_work(None) as session:
                assert expiry.sweep_overdue(session) >= 1


def a_version(cast: Cast, name: str, sha: str) -> CampaignVersion:
    """A published campaign's version of the cast's vendor, granted to its partner."""
    with unit_of_work(cast.vendor_admin) as session:
        campaign = Campaign(vendor_id=cast.vendor_id, name=name, status=CampaignStatus.PUBLISHED, slots=[], landing={})
        session.add(campaign)
        session.flush()
        version = CampaignVersion(
            vendor_id=cast.vendor_id, campaign_id=campaign.id, number=1, name=name, goal="", summary="", slots=[],
            landing={}, content_sha256=sha * 64,
        )  # fmt: skip
        grant = CampaignGrant(campaign_id=campaign.id, partner_id=cast.partner_id, vendor_id=cast.vendor_id)
        session.add_all([version, grant])
        session.flush()
        campaign.current_version_id = version.id
    return version


def a_launch(cast: Cast, version: CampaignVersion) -> Launch:
    with unit_of_work(cast.partner_marketer) as session:
        launch = Launch(
            vendor_id=cast.vendor_id, partner_id=cast.partner_id, campaign_id=version.campaign_id, name=version.name,
            campaign_version_id=version.id, slots={}, audience={}, landing_key=secrets.token_hex(10),
        )  # fmt: skip
        session.add(launch)
    return launch


def test_only_a_launch_of_the_approved_content_is_linked_and_to_one_activity(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        approved, changed = a_version(cast, "Backup", "a"), a_version(cast, "Firewall", "b")
        plan = an_activity(money, campaign_version_id=approved.id)
        request = make_request(cast, money, state="approved", activities=[plan])
        other = make_request(cast, money, state="approved", requested=500)
        right, wrong = a_launch(cast, approved), a_launch(cast, changed)
        with unit_of_work(cast.partner_marketer) as session:
            activity = queries.get_request(session, cast.partner_marketer, request.id).activities[0]
            assert activity.approved_sha256 == "a" * 64
            first, second = activity.id, queries.get_request(session, cast.partner_marketer, other.id).activities[0].id
        right_id, wrong_id = right.id, wrong.id
        with pytest.raises(Invalid, match="“Backup” version 1, and this launch sends “Firewall” version 1"):
            link(cast.partner_marketer, first, wrong_id)
        link(cast.partner_marketer, first, right_id)
        link(cast.partner_marketer, first, right_id)
        with pytest.raises(Invalid, match="proves “Autumn mailing” already"):
            link(cast.partner_marketer, second, right_id)
        for stranger, error in ((cast.rival, NotFound), (cast.finance, Forbidden)):
            with pytest.raises(error):
                link(stranger, first, right_id)


def link(actor: Actor, activity_id: Any, launch_id: Any) -> None:
    with unit_of_work(actor) as session:
        requests.link_launch(session, actor, activity_id, launch_id)


def test_a_campaign_of_another_vendor_cannot_be_planned(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with unit_of_work(cast.vendor_admin) as session, elevated(session, "a test looks for no campaign"):
            assert session.scalars(select(Campaign.id).where(Campaign.vendor_id == cast.vendor_id)).all() == []
        words = refusal(cast, money, campaign_version_id=money.programme.id)
        assert "is not offered to you" in words["activities-0-campaign_version_id"]


def test_the_fund_that_expires_first_and_holds_enough_pays(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, allocated=300)
        with unit_of_work(cast.finance) as session:
            second = programmes.create_fund(
                session, cast.finance, programme_id=money.programme.id, name="Second", budget=eur(9_000),
                begins_on=clock.today(), ends_on=clock.today() + timedelta(days=300),
            )  # fmt: skip
            programmes.allocate(
                session, cast.finance, fund_id=second.id, partner_id=cast.partner_id, amount=eur(4_000),
                expires_on=clock.today() + timedelta(days=200),
            )  # fmt: skip
        assert make_request(cast, money, requested=250).fund_id == money.fund.id
        assert make_request(cast, money, requested=400).fund_id == second.id


def test_a_closed_programme_takes_no_requests(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        draft = make_request(cast, money, state="draft")
        with unit_of_work(cast.finance) as session:
            programmes.close_programme(session, cast.finance, money.programme.id)
        with pytest.raises(Invalid, match="closed"):
            make_request(cast, money)
        with pytest.raises(Invalid, match="takes requests"), unit_of_work(cast.partner_admin) as session:
            requests.submit_request(session, cast.partner_admin, draft.id)
        assert make_programme(cast.vendor_admin, opened=False).status == "draft"
