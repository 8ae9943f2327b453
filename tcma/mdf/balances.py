"""Balances: sums of ledger entries, by account, by fund and by partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session

from tcma.errors import NotFound
from tcma.mdf.ledger_models import LedgerAccount, LedgerEntry
from tcma.mdf.models import Fund
from tcma.mdf.states import AccountKind, Side
from tcma.money import Money


@dataclass(frozen=True)
class AccountKey:
    """An account of a fund: its kind, whose it is, and the activity or claim that it is about."""

    kind: AccountKind
    partner_id: UUID | None = None
    ref_id: UUID | None = None


_SIGNED = case((LedgerEntry.side == Side.DEBIT, LedgerEntry.amount_minor), else_=-LedgerEntry.amount_minor)
SUM: ColumnElement[Any] = func.coalesce(func.sum(_SIGNED), 0)
"""Debits less credits of the entries that a query selects; join LedgerAccount to choose them."""


def balance_of_account(session: Session, account_id: UUID) -> int:
    """Minor units that one account's row holds."""
    return int(session.scalar(select(SUM).where(LedgerEntry.account_id == account_id)) or 0)


def account_balance(session: Session, fund: Fund, key: AccountKey) -> Money:
    """What one account holds, as far as the session's tenant sees its entries."""
    minor = session.scalar(
        select(SUM)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(
            LedgerAccount.fund_id == fund.id,
            LedgerAccount.kind == key.kind,
            LedgerAccount.partner_id.is_not_distinct_from(key.partner_id),
            LedgerAccount.ref_id.is_not_distinct_from(key.ref_id),
        )
    )
    return Money(int(minor or 0), fund.currency)


def balances(session: Session, fund_id: UUID, partner_id: UUID | None = None) -> dict[AccountKind, Money]:
    """Every kind of account with its balance, of a whole fund or of one partner in it; zero where none is.

    Control is negative: minus the budget ever given. A partner's session sees its own legs only. Raises
    NotFound.
    """
    fund = session.get(Fund, fund_id)
    if fund is None:
        raise NotFound()
    condition = [] if partner_id is None else [LedgerEntry.partner_id == partner_id]
    return _by(session, LedgerAccount.fund_id, [fund], *condition).get(fund.id) or _nothing(fund.currency)


def balances_by_fund(
    session: Session, funds: Sequence[Fund], *, partner_id: UUID | None = None
) -> dict[UUID, dict[AccountKind, Money]]:
    """The same of several funds in one query, by fund."""
    condition = [] if partner_id is None else [LedgerEntry.partner_id == partner_id]
    found = _by(session, LedgerAccount.fund_id, funds, *condition)
    return {fund.id: found.get(fund.id) or _nothing(fund.currency) for fund in funds}


def balances_by_partner(
    session: Session, fund: Fund, partner_ids: Sequence[UUID] | None = None
) -> dict[UUID, dict[AccountKind, Money]]:
    """The balances of each partner in one fund, or of those named, by partner."""
    if partner_ids is None:
        return _by(session, LedgerEntry.partner_id, [fund], LedgerEntry.partner_id.is_not(None))
    return _by(session, LedgerEntry.partner_id, [fund], LedgerEntry.partner_id.in_(partner_ids))


def _by(
    session: Session, column: Any, funds: Sequence[Fund], *conditions: ColumnElement[bool]
) -> dict[UUID, dict[AccountKind, Money]]:
    statement: Select[Any] = (
        select(column, LedgerAccount.kind, LedgerEntry.currency, SUM)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerAccount.fund_id.in_([fund.id for fund in funds]), *conditions)
        .group_by(column, LedgerAccount.kind, LedgerEntry.currency)
    )
    found: dict[UUID, dict[AccountKind, Money]] = {}
    rows: Any = session.execute(statement)
    for key, kind, currency, minor in rows:
        found.setdefault(key, _nothing(currency))[kind] = Money(int(minor), currency)
    return found


def _nothing(currency: str) -> dict[AccountKind, Money]:
    return {kind: Money.zero(currency) for kind in AccountKind}
