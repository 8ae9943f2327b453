"""The ledger's arithmetic: posted once, never overdrawn, summing to zero, each party seeing its own legs."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tcma.db import unit_of_work
from tcma.errors import Invalid, NotFound
from tcma.mdf import ledger, programmes, requests
from tcma.mdf.balances import AccountKey
from tcma.mdf.ledger_check import check_ledger, rederive
from tcma.mdf.ledger_models import LedgerAccount, LedgerEntry, LedgerTransaction
from tcma.mdf.models import Fund
from tcma.mdf.states import AccountKind, RequestStatus, Side
from tests.factories.cast import Cast
from tests.factories.mdf import eur, make_money, make_request


def held(cast: Cast, fund: Fund, *, partner: bool = False) -> dict[AccountKind, int]:
    """Whole euros by kind of account, those that are not zero."""
    with unit_of_work(cast.partner_admin if partner else cast.finance) as session:
        found = ledger.balances(session, fund.id, cast.partner_id if partner else None)
    return {kind: amount.minor // 100 for kind, amount in found.items() if amount}


def test_money_moves_along_the_chain_of_accounts(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, budget=20_000, allocated=5_000)
        assert held(cast, money.fund) == {"control": -20_000, "budget": 15_000, "allocated": 5_000}
        make_request(cast, money, state="approved", requested=1_200)
        expected = {"control": -20_000, "budget": 15_000, "allocated": 3_800, "committed": 1_200}
        assert held(cast, money.fund) == expected


def test_a_partner_sees_its_own_legs_only(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, partners=(cast.partner_id, cast.rival_id), allocated=3_000)
        assert held(cast, money.fund, partner=True) == {"allocated": 3_000}
        with unit_of_work(cast.rival) as session:
            owners = set(session.scalars(select(LedgerEntry.partner_id)))
            assert owners == {cast.rival_id}
            assert set(session.scalars(select(LedgerAccount.partner_id))) == {cast.rival_id}


def test_a_repeat_posts_once(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money, once = make_money(cast), uuid4()
        for _ in range(3):
            with unit_of_work(cast.finance) as session:
                programmes.allocate(
                    session, cast.finance, fund_id=money.fund.id, partner_id=cast.partner_id, amount=eur(100),
                    expires_on=money.expires_on, once=once,
                )  # fmt: skip
        assert held(cast, money.fund)["allocated"] == 5_100


def test_the_same_event_returns_the_first_transaction(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money, source = make_money(cast), uuid4()
        legs = ledger.transfer(ledger.BUDGET, AccountKey(AccountKind.ALLOCATED, cast.partner_id), eur(5))
        with unit_of_work(cast.finance) as session:
            posted = [
                ledger.post(
                    session, cast.finance, fund=money.fund, event="test", source_type="test", source_id=source,
                    partner_id=cast.partner_id, legs=legs,
                )
                for _ in range(2)
            ]  # fmt: skip
            assert posted[0].id == posted[1].id
            rows = session.scalars(select(LedgerTransaction).where(LedgerTransaction.source_id == source)).all()
            assert len(rows) == 1


def test_an_account_is_never_overdrawn_and_the_refusal_names_both_values(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, budget=6_000, allocated=5_000)
        with pytest.raises(Invalid) as refused, unit_of_work(cast.finance) as session:
            programmes.allocate(
                session, cast.finance, fund_id=money.fund.id, partner_id=cast.rival_id, amount=eur(1_001),
                expires_on=money.expires_on,
            )  # fmt: skip
        assert "€1,000.00" in refused.value.fields["amount"]
        assert "€1,001.00" in refused.value.fields["amount"]
        assert held(cast, money.fund)["budget"] == 1_000


@pytest.mark.parametrize(
    "legs",
    [
        [(ledger.BUDGET, Side.CREDIT, eur(5))],
        [(ledger.BUDGET, Side.CREDIT, eur(5)), (ledger.CONTROL, Side.DEBIT, eur(6))],
        [(ledger.BUDGET, Side.CREDIT, eur(0)), (ledger.CONTROL, Side.DEBIT, eur(0))],
    ],
)
def test_legs_that_are_no_transaction_are_refused(app: Flask, cast: Cast, legs: list[ledger.Leg]) -> None:
    with app.app_context():
        money = make_money(cast)
        with pytest.raises(ValueError, match="transaction"), unit_of_work(cast.finance) as session:
            ledger.post(
                session, cast.finance, fund=money.fund, event="x", source_type="x", source_id=uuid4(),
                partner_id=None, legs=legs,
            )  # fmt: skip


def test_the_database_itself_refuses_a_transaction_that_is_off(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with unit_of_work(cast.finance) as session:
            account = session.scalars(select(LedgerAccount.id).where(LedgerAccount.fund_id == money.fund.id)).first()
        row = LedgerTransaction(
            vendor_id=cast.vendor_id, partner_id=None, fund_id=money.fund.id, event="off", source_type="x",
            source_id=uuid4(), memo="", reverses_id=None, posted_by=None,
        )  # fmt: skip
        row.entries = [
            LedgerEntry(
                vendor_id=cast.vendor_id, partner_id=None, account_id=account, side=Side.DEBIT, amount_minor=5,
                currency="EUR",
            )
        ]  # fmt: skip
        with pytest.raises(DBAPIError, match="off by 5"), unit_of_work(cast.finance) as session:
            session.add(row)


def test_a_stranger_to_the_fund_cannot_post(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        with pytest.raises(NotFound), unit_of_work(cast.rival) as session:
            ledger.post(
                session, cast.rival, fund=money.fund, event="x", source_type="x", source_id=uuid4(),
                partner_id=cast.partner_id,
                legs=ledger.transfer(ledger.BUDGET, AccountKey(AccountKind.ALLOCATED, cast.partner_id), eur(1)),
            )  # fmt: skip


def test_two_approvals_at_once_on_one_fund_spend_the_money_once(app: Flask, cast: Cast) -> None:
    """Two connections approve two requests that the allocation can pay only one of."""
    with app.app_context():
        money = make_money(cast, allocated=1_000)
        first = make_request(cast, money, state="draft", requested=900, title="First")
        second = make_request(cast, money, state="draft", requested=900, title="Second")
        for one in (first, second):
            # Submitted one after the other's decision would be refused, so the plan rule is met one by one.
            with unit_of_work(cast.partner_marketer) as session:
                found = session.get(type(one), one.id)
                assert found is not None
                found.submit(by=cast.partner_marketer, at=found.created_at, due_at=found.created_at)
    ready, outcomes = threading.Barrier(2), {}

    def approve(request_id: object) -> None:
        with app.app_context():
            try:
                with unit_of_work(cast.channel_manager) as session:
                    request = requests.queries.get_request(session, cast.channel_manager, request_id, lock=True)  # type: ignore[arg-type]
                    fund = session.get(Fund, request.fund_id)
                    assert fund is not None
                    ready.wait(timeout=20)
                    request.approve(
                        by=cast.channel_manager, at=request.created_at, rule_version=1, claim_until=money.expires_on
                    )
                    for activity in request.activities:
                        activity.committed_minor = activity.requested_minor
                    ledger.commit_request(session, cast.channel_manager, fund, request)
                outcomes[request_id] = "approved"
            except Invalid as refused:
                outcomes[request_id] = refused.fields["amount"]

    threads = [threading.Thread(target=approve, args=(one.id,)) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcome == "approved" for outcome in outcomes.values()) == [False, True]
    assert "€100.00" in next(words for words in outcomes.values() if words != "approved")
    with app.app_context():
        assert held(cast, money.fund) == {"control": -20_000, "budget": 19_000, "allocated": 100, "committed": 900}
        with unit_of_work(cast.finance) as session:
            assert check_ledger(session, money.fund.id) == []
            states = {requests.queries.get_request(session, cast.finance, one.id).status for one in (first, second)}
        assert states == {RequestStatus.APPROVED, RequestStatus.SUBMITTED}


def test_the_check_finds_a_commitment_that_rows_do_not_know(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast)
        request = make_request(cast, money, state="submitted")
        with unit_of_work(cast.finance) as session:
            found = requests.queries.get_request(session, cast.finance, request.id)
            ledger.commit_request(session, cast.finance, money.fund, found)
            differences = check_ledger(session, money.fund.id)
            assert [(one.what, one.expected, one.found) for one in differences] == [("committed", eur(0), eur(1_000))]
            assert rederive(session, money.fund.id)[AccountKind.BUDGET, None, None] == eur(15_000)
