"""Programmes, funds and allocations: who may make them, what is refused, what expires."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from tcma import clock
from tcma.accounts import queries as accounts_queries
from tcma.db import unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tcma.mdf import expiry, ledger, programmes, queries, tasks
from tcma.mdf.activity_kinds import KINDS
from tcma.mdf.ledger_check import check_ledger
from tcma.mdf.states import AccountKind, ProgrammeStatus, RequestStatus
from tcma.money import Money
from tests.factories.cast import Cast
from tests.factories.mdf import eur, make_money, make_programme, make_request


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"share_percent": Decimal("0")}, "share_percent"),
        ({"share_percent": Decimal("100.01")}, "share_percent"),
        ({"share_percent": Decimal("33.333")}, "share_percent"),
        ({"cap": Money.zero("EUR")}, "cap"),
        ({"cap": Money(500, "USD")}, "cap"),
        ({"begins_on": date(2026, 5, 2), "ends_on": date(2026, 5, 1)}, "ends_on"),
        ({"zone": "Mars/Base"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"claim_days": -1}, "claim_days"),
        ({"currency": "XXX"}, "currency"),
    ],
)
def test_rules_that_make_no_sense_are_refused_at_their_field(
    app: Flask, cast: Cast, fields: dict[str, Any], at: str
) -> None:
    with app.app_context(), pytest.raises(Invalid) as refused:
        make_programme(cast.vendor_admin, **fields)
    assert at in refused.value.fields


def test_an_open_programme_keeps_count_of_its_rules(app: Flask, cast: Cast) -> None:
    with app.app_context():
        programme = make_programme(cast.finance)
        for days, version in ((12, 2), (12, 2), (13, 3)):
            with unit_of_work(cast.finance) as session:
                saved = programmes.save_programme(session, cast.finance, programme.id, lead_days=days)
                assert saved.rule_version == version
        with unit_of_work(cast.finance) as session:
            programmes.close_programme(session, cast.finance, programme.id)
        with pytest.raises(IllegalTransition), unit_of_work(cast.finance) as session:
            programmes.save_programme(session, cast.finance, programme.id, lead_days=1)
        with unit_of_work(cast.finance) as session:
            assert programmes.open_programme(session, cast.finance, programme.id).status is ProgrammeStatus.ACTIVE


def test_opening_wants_something_to_pay_for_and_an_end_to_come(app: Flask, cast: Cast) -> None:
    with app.app_context():
        empty = make_programme(cast.finance, types=(), opened=False)
        with pytest.raises(Invalid, match="add at least one activity type"), unit_of_work(cast.finance) as session:
            programmes.open_programme(session, cast.finance, empty.id)
        with pytest.raises(Invalid, match="It ended on"):
            make_programme(cast.finance, begins_on=date(2020, 1, 1), ends_on=date(2020, 2, 1))


def test_partners_see_a_programme_once_it_is_open(app: Flask, cast: Cast) -> None:
    with app.app_context():
        hidden = make_programme(cast.finance, opened=False)
        shown = make_programme(cast.finance, name="Open one")
        with unit_of_work(cast.rival) as session:
            assert [one.id for one in queries.list_programmes(session, cast.rival)] == [shown.id]
            with pytest.raises(NotFound):
                queries.get_programme(session, cast.rival, hidden.id)
        with unit_of_work(cast.other_vendor_admin) as session, pytest.raises(NotFound):
            queries.get_programme(session, cast.other_vendor_admin, shown.id)


def test_a_kind_of_activity_brings_the_proof_that_the_trade_asks(app: Flask, cast: Cast) -> None:
    with app.app_context():
        programme = make_programme(cast.finance, types=tuple(KINDS))
        assert [one.code for one in programme.activity_types] == list(KINDS)
        assert programme.activity_types[0].required_evidence == ["statement", "invoice"]
        with pytest.raises(Invalid, match="already pays"), unit_of_work(cast.finance) as session:
            programmes.add_activity_type(session, cast.finance, programme.id, code="email")
        with pytest.raises(Invalid, match="no kind of evidence"), unit_of_work(cast.finance) as session:
            programmes.add_activity_type(
                session, cast.finance, programme.id, code="own", name="Own", required_evidence=["selfie"]
            )


@pytest.mark.parametrize("who", ["vendor_marketer", "channel_manager", "partner_admin", "rival", "other_vendor_admin"])
def test_only_the_vendors_finance_and_admin_give_money(app: Flask, cast: Cast, who: str) -> None:
    actor = cast.people[who]
    with app.app_context():
        money = make_money(cast)
        fund_id = money.fund.id
        refused = NotFound if who == "other_vendor_admin" else Forbidden
        with pytest.raises(refused), unit_of_work(actor) as session:
            programmes.allocate(
                session, actor, fund_id=fund_id, partner_id=cast.partner_id, amount=eur(1),
                expires_on=money.expires_on,
            )  # fmt: skip
        with pytest.raises(refused), unit_of_work(actor) as session:
            programmes.add_budget(session, actor, fund_id, amount=eur(1))


def test_money_goes_to_active_partners_and_until_a_day_of_the_fund(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with unit_of_work(cast.vendor_admin) as session:
            link = accounts_queries.get_partnership(session, cast.vendor_admin, cast.rival_id)
            link.suspend(by=cast.vendor_admin, reason="A test")
        with pytest.raises(Invalid) as refused, unit_of_work(cast.finance) as session:
            programmes.allocate(
                session, cast.finance, fund_id=money.fund.id, partner_id=cast.rival_id, amount=Money(5, "USD"),
                expires_on=money.fund.ends_on + timedelta(days=1),
            )  # fmt: skip
        assert set(refused.value.fields) == {"partner_id", "expires_on", "amount"}
        assert str(money.fund.ends_on) in refused.value.fields["expires_on"]


def test_what_is_left_of_an_allocation_expires_after_its_last_day_and_only_once(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, allocated=5_000)
        make_request(cast, money, state="approved", requested=1_000)
        with unit_of_work(cast.finance) as session:
            allocation = queries.list_allocations(session, cast.finance, fund_id=money.fund.id)[0]
            assert not expiry.expire_allocation(session, cast.finance, allocation.id)
        with clock.at(clock.now() + timedelta(days=95)):
            with unit_of_work(None) as session:
                assert expiry.sweep_expiry(session) >= 1
            for _ in range(2):
                tasks.expire_allocation(str(cast.vendor_id), str(allocation.id))
        with unit_of_work(cast.finance) as session:
            held = ledger.balances(session, money.fund.id)
            assert (held[AccountKind.ALLOCATED], held[AccountKind.EXPIRED]) == (eur(0), eur(4_000))
            assert held[AccountKind.COMMITTED] == eur(1_000)
            assert check_ledger(session, money.fund.id) == []


def test_what_is_committed_expires_when_the_time_to_claim_is_over(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        request = make_request(cast, money, state="approved", requested=1_000)
        with unit_of_work(cast.finance) as session:
            until = queries.get_request(session, cast.finance, request.id).claim_until
        assert until is not None
        noon = clock.now().replace(hour=12)
        grace = noon + (until + timedelta(days=expiry.GRACE_DAYS) - noon.date())
        for moment, status in ((grace, RequestStatus.APPROVED), (grace + timedelta(days=1), RequestStatus.EXPIRED)):
            with clock.at(moment):
                tasks.expire_request(str(cast.vendor_id), str(request.id))
            with unit_of_work(cast.finance) as session:
                session.expire_all()  # a task has a session of its own
                assert queries.get_request(session, cast.finance, request.id).status is status
        with unit_of_work(cast.finance) as session:
            held = ledger.balances(session, money.fund.id)
            assert (held[AccountKind.COMMITTED], held[AccountKind.EXPIRED]) == (eur(0), eur(1_000))
            assert check_ledger(session, money.fund.id) == []
