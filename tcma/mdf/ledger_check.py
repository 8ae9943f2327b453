"""Does the ledger still say what requests and claims say? Run nightly, and by whoever sees a whole fund."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session

from tcma.errors import NotFound
from tcma.mdf.ledger import SOURCES
from tcma.mdf.ledger_models import LedgerAccount, LedgerEntry, LedgerTransaction
from tcma.mdf.models import Activity, Claim, Fund, Request
from tcma.mdf.states import AccountKind, ClaimStatus, RequestStatus, Side
from tcma.money import Money

_OWED = (ClaimStatus.APPROVED, ClaimStatus.PAYMENT_DUE)


@dataclass(frozen=True)
class Difference:
    """Two figures that should agree and do not. `subject` is a transaction, an activity or a claim."""

    what: str
    subject: UUID
    expected: Money
    found: Money


def rederive(session: Session, fund_id: UUID) -> dict[tuple[AccountKind, UUID | None, UUID | None], Money]:
    """What each account of the fund holds, summed entry by entry: (kind, partner, ref) → money.

    It shares no code with `ledger.balances`, so that each proves the other.
    """
    currency = _fund(session, fund_id).currency
    totals: dict[tuple[AccountKind, UUID | None, UUID | None], int] = {}
    statement = (
        select(
            LedgerAccount.kind,
            LedgerAccount.partner_id,
            LedgerAccount.ref_id,
            LedgerEntry.side,
            LedgerEntry.amount_minor,
        )
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerAccount.fund_id == fund_id)
        .order_by(LedgerEntry.id)
        .execution_options(yield_per=5000)
    )
    rows: Any = session.execute(statement)
    for kind, partner_id, ref_id, side, minor in rows:
        key = (kind, partner_id, ref_id)
        totals[key] = totals.get(key, 0) + (minor if side is Side.DEBIT else -minor)
    return {key: Money(minor, currency) for key, minor in totals.items()}


def check_ledger(session: Session, fund_id: UUID) -> list[Difference]:
    """Every disagreement in one fund; empty where all is well. The session must see all of the fund's rows.

    Checks that each transaction sums to zero, that no account is overdrawn, and that what is committed,
    claimed, payable and paid agrees with the requests and claims. Raises NotFound.
    """
    fund = _fund(session, fund_id)
    held = rederive(session, fund_id)
    zero = Money.zero(fund.currency)
    found = list(_off_balance(session, fund))
    found += [
        Difference(f"{kind} is overdrawn", ref_id or partner_id or fund.id, zero, amount)
        for (kind, partner_id, ref_id), amount in held.items()
        if kind not in SOURCES and amount < zero
    ]
    by_ref = {(kind, ref_id): amount for (kind, _, ref_id), amount in held.items() if ref_id}
    expected = {**_expected_commitments(session, fund), **_expected_claims(session, fund)}
    for (kind, subject), amount in expected.items():
        have = by_ref.get((kind, subject), zero)
        if have != amount:
            found.append(Difference(str(kind), subject, amount, have))
    return found


def _fund(session: Session, fund_id: UUID) -> Fund:
    fund = session.get(Fund, fund_id)
    if fund is None:
        raise NotFound()
    return fund


def _off_balance(session: Session, fund: Fund) -> Iterable[Difference]:
    total: ColumnElement[Any] = func.sum(
        case((LedgerEntry.side == Side.DEBIT, LedgerEntry.amount_minor), else_=-LedgerEntry.amount_minor)
    )
    statement: Select[Any] = (
        select(LedgerEntry.transaction_id, total)
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .where(LedgerTransaction.fund_id == fund.id)
        .group_by(LedgerEntry.transaction_id)
        .having(total != 0)
    )
    rows: Any = session.execute(statement)
    for transaction_id, minor in rows:
        yield Difference(
            "sum of a transaction",
            transaction_id,
            Money.zero(fund.currency),
            Money(int(minor), fund.currency),
        )


def _expected_commitments(session: Session, fund: Fund) -> dict[tuple[AccountKind, UUID], Money]:
    """By activity: what was committed less what its claims took. Sweeps empty expired requests, later."""
    taken = (
        select(func.coalesce(func.sum(_taken_by_claim()), 0)).where(Claim.activity_id == Activity.id).scalar_subquery()
    )
    statement: Select[Any] = (
        select(Activity.id, Request.status, Activity.committed_minor, taken)
        .join(Request, Request.id == Activity.request_id)
        .where(Request.fund_id == fund.id, Request.status != RequestStatus.EXPIRED)
    )
    expected = {}
    rows: Any = session.execute(statement)
    for activity_id, status, committed, minor in rows:
        left = (committed or 0) - int(minor) if status is RequestStatus.APPROVED else 0
        expected[AccountKind.COMMITTED, activity_id] = Money(left, fund.currency)
    return expected


def _taken_by_claim() -> ColumnElement[Any]:
    return case(
        (Claim.status == ClaimStatus.SUBMITTED, Claim.claimed_minor),
        (Claim.status.in_([*_OWED, ClaimStatus.PAID]), func.coalesce(Claim.approved_minor, 0)),
        else_=0,
    )


def _expected_claims(session: Session, fund: Fund) -> dict[tuple[AccountKind, UUID], Money]:
    """By claim: claimed while submitted, payable once approved, cash once paid."""
    expected: dict[tuple[AccountKind, UUID], Money] = {}
    statement = select(Claim.id, Claim.status, Claim.claimed_minor, Claim.approved_minor).where(
        Claim.fund_id == fund.id
    )
    rows: Any = session.execute(statement)
    for claim_id, status, claimed, approved in rows:
        held = {
            AccountKind.CLAIMED: claimed if status is ClaimStatus.SUBMITTED else 0,
            AccountKind.PAYABLE: (approved or 0) if status in _OWED else 0,
            AccountKind.CASH: (approved or 0) if status is ClaimStatus.PAID else 0,
        }
        expected.update({(kind, claim_id): Money(minor, fund.currency) for kind, minor in held.items()})
    return expected
