"""Whatever people do in whatever order: the ledger agrees with a plain model of it, and with the rows."""

from __future__ import annotations

from collections import Counter

from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.db import unit_of_work
from tcma.errors import Invalid
from tcma.mdf import ledger, programmes, queries, requests
from tcma.mdf.ledger_check import check_ledger
from tcma.mdf.ledger_models import LedgerEntry, LedgerTransaction
from tcma.mdf.models import Claim, Fund, Request
from tcma.mdf.states import AccountKind, ClaimStatus, RequestStatus, Side
from tcma.money import Money
from tests.factories.cast import Cast
from tests.factories.mdf import eur, make_money, make_request

AMOUNTS = st.integers(min_value=1, max_value=3_000)


def ledger_machine(cast: Cast) -> type[RuleBasedStateMachine]:
    """A machine class whose every instance works on a programme of its own."""

    class LedgerMachine(RuleBasedStateMachine):
        approved = Bundle("approved")
        submitted = Bundle("submitted")
        payable = Bundle("payable")

        def __init__(self) -> None:
            super().__init__()
            self.money = make_money(cast, budget=6_000, allocated=2_000, cap=eur(100_000))
            self.held = Counter(control=-6_000, budget=4_000, allocated=2_000)
            self.left: dict[object, int] = {}
            self.number = 0

        def move(self, source: str, target: str, amount: int) -> None:
            self.held[source] -= amount
            self.held[target] += amount

        @rule(amount=AMOUNTS)
        def allocate(self, amount: int) -> None:
            fits = amount <= self.held["budget"]
            try:
                with unit_of_work(cast.finance) as session:
                    programmes.allocate(
                        session, cast.finance, fund_id=self.money.fund.id, partner_id=cast.partner_id,
                        amount=eur(amount), expires_on=self.money.expires_on,
                    )  # fmt: skip
                assert fits
                self.move("budget", "allocated", amount)
            except Invalid:
                assert not fits

        @rule(target=approved, amount=AMOUNTS)
        def approve_request(self, amount: int) -> object:
            if amount > self.held["allocated"]:
                amount = max(1, self.held["allocated"] // 2)
            try:
                request = make_request(cast, self.money, state="approved", requested=amount)
            except Invalid:
                assert amount > self.held["allocated"]
                return None
            assert amount <= self.held["allocated"]
            self.move("allocated", "committed", amount)
            self.left[request.id] = amount
            return request.id

        @rule(request_id=approved)
        def withdraw(self, request_id: object) -> None:
            if request_id is None:
                return
            with unit_of_work(cast.partner_marketer) as session:
                request = queries.get_request(session, cast.partner_marketer, request_id)  # type: ignore[arg-type]
                if request.status is not RequestStatus.APPROVED or requests._claims(session, request):
                    return
                requests.withdraw_request(session, cast.partner_marketer, request.id)
            self.move("committed", "allocated", self.left.pop(request_id))

        @rule(target=submitted, request_id=approved, amount=AMOUNTS)
        def claim(self, request_id: object, amount: int) -> object:
            if request_id not in self.left:
                return None
            self.number += 1
            try:
                with unit_of_work(cast.partner_marketer) as session:
                    claim_id = self.submit_claim(session, request_id, amount)
            except Invalid:
                assert amount > self.left[request_id]
                return None
            assert amount <= self.left[request_id]
            self.left[request_id] -= amount
            self.move("committed", "claimed", amount)
            return claim_id, request_id, amount

        def submit_claim(self, session: Session, request_id: object, amount: int) -> object:
            request, now = session.get_one(Request, request_id), clock.now()
            claim = Claim(
                vendor_id=request.vendor_id, partner_id=request.partner_id, fund_id=request.fund_id, currency="EUR",
                activity_id=request.activities[0].id, number=f"{request.number}-{self.number}",
            )  # fmt: skip
            session.add(claim)
            session.flush()
            claim.submit(by=cast.partner_marketer, amount=eur(amount), at=now, due_at=now)
            for _ in range(2):  # pressed twice is once
                ledger.claim_submitted(session, cast.partner_marketer, session.get_one(Fund, claim.fund_id), claim)
            return claim.id

        @rule(target=payable, claim=submitted, part=st.integers(min_value=0, max_value=100))
        def decide(self, claim: tuple[object, object, int] | None, part: int) -> object:
            """Approve a part, or deny where the part is nothing."""
            if claim is None:
                return None
            claim_id, request_id, amount = claim
            approved = amount * part // 100
            with unit_of_work(cast.finance) as session:
                row, now = session.get_one(Claim, claim_id), clock.now()
                if row.status is not ClaimStatus.SUBMITTED:
                    return None
                fund = session.get_one(Fund, row.fund_id)
                if approved:
                    row.approve(
                        by=cast.finance, amount=eur(approved), at=now, rule_version=1, code="other", reason="Part of it"
                    )
                    ledger.claim_approved(session, cast.finance, fund, row, amount=eur(approved))
                else:
                    row.deny(by=cast.finance, code="other", reason="Nothing fits", at=now)
                    ledger.claim_released(session, cast.finance, fund, row)
                    ledger.claim_released(session, cast.finance, fund, row)
            self.move("claimed", "payable", approved)
            self.move("claimed", "committed", amount - approved)
            self.left[request_id] += amount - approved
            return (claim_id, approved) if approved else None

        @rule(claim=payable)
        def pay(self, claim: tuple[object, int] | None) -> None:
            if claim is None:
                return
            with unit_of_work(cast.payer) as session:
                row = session.get_one(Claim, claim[0])
                if row.status is not ClaimStatus.APPROVED:
                    return
                row.batch(by=cast.payer)
                row.pay(by=cast.payer, at=clock.now())
                fund = session.get_one(Fund, row.fund_id)
                ledger.paid(session, cast.payer, fund, row, payment_id=row.id, amount=eur(claim[1]))
            self.move("payable", "cash", claim[1])

        @invariant()
        def the_ledger_says_what_the_model_says(self) -> None:
            with unit_of_work(cast.finance) as session:
                found = ledger.balances(session, self.money.fund.id)
                assert {k: v for k, v in found.items() if v} == {
                    AccountKind(name): eur(amount) for name, amount in self.held.items() if amount
                }
                assert all(amount.minor >= 0 for kind, amount in found.items() if kind is not AccountKind.CONTROL)
                assert Money.total(found.values(), "EUR") == eur(0)
                assert check_ledger(session, self.money.fund.id) == []

        def teardown(self) -> None:
            with unit_of_work(cast.finance) as session:
                both = [
                    session.scalar(
                        select(func.sum(LedgerEntry.amount_minor))
                        .join(LedgerTransaction)
                        .where(LedgerTransaction.fund_id == self.money.fund.id, LedgerEntry.side == side)
                    )
                    for side in Side
                ]
            assert both[0] == both[1]

    return LedgerMachine


def test_the_ledger_is_never_overdrawn_and_sums_to_zero_whatever_happens(app: Flask, cast: Cast) -> None:
    with app.app_context():
        run_state_machine_as_test(
            ledger_machine(cast),
            settings=settings(
                max_examples=15, stateful_step_count=15, deadline=None, database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
