"""The double-entry ledger: every balance of a fund is a sum of its entries, and only this file writes them.

A transaction takes from one account (credit) and gives to another (debit), so a balance is debits less
credits. Money goes budget → allocated → committed → claimed → payable → paid, or expires, or is released.
What is committed to a request is kept by activity (`ref_id` of the account), so that no activity can be paid
from another's part; the request's is their sum.

Each posting locks the fund's row first: on one fund money moves one posting at a time, so it is never
overdrawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import ids
from tcma.access import Actor
from tcma.db import elevated
from tcma.errors import Invalid, NotFound
from tcma.mdf.balances import (
    AccountKey,
    account_balance,
    balance_of_account,
    balances,
    balances_by_fund,
    balances_by_partner,
)
from tcma.mdf.ledger_models import LedgerAccount, LedgerEntry, LedgerTransaction
from tcma.mdf.models import Activity, Allocation, Claim, Fund, Request
from tcma.mdf.states import AccountKind, Side
from tcma.money import Money

__all__ = ["AccountKey", "account_balance", "balances", "balances_by_fund", "balances_by_partner"]

# Money enters at control and, clawed back, at receivable; no other account goes below zero.
SOURCES = frozenset({AccountKind.CONTROL, AccountKind.RECEIVABLE})

HOLDS = {
    AccountKind.BUDGET: "The fund's budget still holds",
    AccountKind.ALLOCATED: "The partner's allocation still holds",
    AccountKind.COMMITTED: "What is committed to this activity is",
    AccountKind.CLAIMED: "What is claimed is",
    AccountKind.PAYABLE: "What is approved for payment is",
    AccountKind.CASH: "What was paid is",
    AccountKind.EXPIRED: "What expired is",
}


Leg = tuple[AccountKey, Side, Money]

CONTROL = AccountKey(AccountKind.CONTROL)
BUDGET = AccountKey(AccountKind.BUDGET)


def transfer(source: AccountKey, target: AccountKey, amount: Money) -> list[Leg]:
    """The two legs that take `amount` from one account and give it to another."""
    return [(source, Side.CREDIT, amount), (target, Side.DEBIT, amount)]


def post(
    session: Session,
    actor: Actor,
    *,
    fund: Fund,
    event: str,
    source_type: str,
    source_id: UUID,
    partner_id: UUID | None,
    legs: Sequence[Leg],
    memo: str = "",
    reverses_id: UUID | None = None,
) -> LedgerTransaction:
    """Post one event of money, once: a repeat of (source type, source id, event) returns the first posting.

    Raises NotFound for an actor who is no party to it, ValueError for legs that are no transaction (two or
    more, positive, in the fund's currency, summing to zero), Invalid where an account would be overdrawn.
    The services ask for permission; this keeps the arithmetic.
    """
    if actor.organization_id not in (fund.vendor_id, partner_id):
        raise NotFound()
    _check_legs(legs, fund.currency)
    with elevated(session, "posting to the ledger"):
        lock_fund(session, fund)
        posted = find_posted(session, fund, source_type=source_type, source_id=source_id, event=event)
        if posted is not None:
            return posted
        accounts = {key: _account(session, fund, key) for key in dict.fromkeys(key for key, _, _ in legs)}
        _refuse_overdraft(session, accounts, legs, locale=actor.locale)
        transaction = LedgerTransaction(
            id=ids.new_id(),
            vendor_id=fund.vendor_id,
            partner_id=partner_id,
            fund_id=fund.id,
            event=event,
            memo=memo,
            source_type=source_type,
            source_id=source_id,
            reverses_id=reverses_id,
            posted_by=actor.user_id,
        )
        session.add(transaction)
        session.flush()
        session.add_all(
            LedgerEntry(
                vendor_id=fund.vendor_id,
                partner_id=key.partner_id,
                transaction_id=transaction.id,
                account_id=accounts[key],
                side=side,
                amount_minor=amount.minor,
                currency=amount.currency,
            )
            for key, side, amount in legs
        )
    return transaction


def lock_fund(session: Session, fund: Fund) -> None:
    """Hold the fund's row until the transaction ends. Needs an elevated session: a partner may not lock it."""
    if session.scalar(select(Fund.id).where(Fund.id == fund.id).with_for_update()) is None:
        raise NotFound()


def find_posted(
    session: Session, fund: Fund, *, source_type: str, source_id: UUID, event: str
) -> LedgerTransaction | None:
    """The transaction of one event, if it has been posted."""
    return session.scalar(
        select(LedgerTransaction).where(
            LedgerTransaction.vendor_id == fund.vendor_id,
            LedgerTransaction.source_type == source_type,
            LedgerTransaction.source_id == source_id,
            LedgerTransaction.event == event,
        )
    )


def _check_legs(legs: Sequence[Leg], currency: str) -> None:
    if len(legs) < 2 or any(amount.minor <= 0 or amount.currency != currency for _, _, amount in legs):
        raise ValueError(f"A transaction has two or more legs of a positive amount in {currency}.")
    if sum(amount.minor if side is Side.DEBIT else -amount.minor for _, side, amount in legs) != 0:
        raise ValueError("The legs of a transaction sum to zero.")


def _account(session: Session, fund: Fund, key: AccountKey) -> UUID:
    """The account's row, made on demand; two makers at once end with one row."""
    find = select(LedgerAccount.id).where(
        LedgerAccount.vendor_id == fund.vendor_id,
        LedgerAccount.fund_id == fund.id,
        LedgerAccount.kind == key.kind,
        LedgerAccount.partner_id.is_not_distinct_from(key.partner_id),
        LedgerAccount.ref_id.is_not_distinct_from(key.ref_id),
        LedgerAccount.currency == fund.currency,
    )
    found = session.scalar(find)
    if found is not None:
        return found
    session.execute(
        insert(LedgerAccount)
        .values(
            id=ids.new_id(),
            vendor_id=fund.vendor_id,
            fund_id=fund.id,
            kind=key.kind,
            partner_id=key.partner_id,
            ref_id=key.ref_id,
            currency=fund.currency,
        )
        .on_conflict_do_nothing()
    )
    return session.scalars(find).one()


def _refuse_overdraft(session: Session, accounts: dict[AccountKey, UUID], legs: Sequence[Leg], *, locale: str) -> None:
    taken: dict[AccountKey, int] = defaultdict(int)
    for key, side, amount in legs:
        taken[key] += amount.minor if side is Side.CREDIT else -amount.minor
    currency = legs[0][2].currency
    for key, minor in taken.items():
        if minor <= 0 or key.kind in SOURCES:
            continue
        held = balance_of_account(session, accounts[key])
        if held < minor:
            has, needs = Money(held, currency).format(locale), Money(minor, currency).format(locale)
            raise Invalid({"amount": f"{HOLDS[key.kind]} {has}, and this needs {needs}. Choose {has} or less."})


# The events of money, one function each.


def fund_budget(
    session: Session, actor: Actor, fund: Fund, *, amount: Money, once: UUID | None = None
) -> LedgerTransaction:
    """control → budget. `once` names this gift of money: it posts once; without it each call is another."""
    return post(
        session,
        actor,
        fund=fund,
        event=f"budget:{once or ids.new_id()}",
        source_type="fund",
        source_id=fund.id,
        partner_id=None,
        legs=transfer(CONTROL, BUDGET, amount),
        memo="Budget",
    )


def allocate(
    session: Session,
    actor: Actor,
    fund: Fund,
    allocation: Allocation,
    *,
    amount: Money,
    once: UUID | None = None,
) -> LedgerTransaction:
    """budget → allocated(partner). `once` as in `fund_budget`."""
    return post(
        session,
        actor,
        fund=fund,
        event=f"allocated:{once or ids.new_id()}",
        source_type="allocation",
        source_id=allocation.id,
        partner_id=allocation.partner_id,
        memo="Allocation",
        legs=transfer(BUDGET, AccountKey(AccountKind.ALLOCATED, allocation.partner_id), amount),
    )


def commit_request(session: Session, actor: Actor, fund: Fund, request: Request) -> LedgerTransaction:
    """Request approved: allocated → committed, a leg for each activity. Posts once."""
    total = request.budget
    legs: list[Leg] = [(AccountKey(AccountKind.ALLOCATED, request.partner_id), Side.CREDIT, total)]
    for activity in request.activities:
        legs.append((_committed(activity), Side.DEBIT, Money(activity.requested_minor, request.currency)))
    return post(
        session,
        actor,
        fund=fund,
        event="committed",
        source_type="request",
        source_id=request.id,
        partner_id=request.partner_id,
        legs=legs,
        memo=f"{request.number} approved",
    )


def release_request(session: Session, actor: Actor, fund: Fund, request: Request) -> LedgerTransaction | None:
    """Released: whatever is still committed → allocated; None where nothing is left."""
    target = AccountKey(AccountKind.ALLOCATED, request.partner_id)
    return _empty_request(session, actor, fund, request, target=target, event="released")


def expire_request(session: Session, actor: Actor, fund: Fund, request: Request) -> LedgerTransaction | None:
    """Expired: whatever is still committed → expired; None where nothing is left."""
    target = AccountKey(AccountKind.EXPIRED, request.partner_id)
    return _empty_request(session, actor, fund, request, target=target, event="expired")


def expire_allocation(session: Session, actor: Actor, fund: Fund, allocation: Allocation) -> LedgerTransaction | None:
    """Expired: whatever is still allocated → expired; None where nothing is left.

    What a claim gives back later expires at the next turn, so the event carries its number.
    """
    source = AccountKey(AccountKind.ALLOCATED, allocation.partner_id)
    with elevated(session, "posting to the ledger"):
        lock_fund(session, fund)
        left = account_balance(session, fund, source)
        number = _count(session, fund, "allocation", allocation.id, "expired") + 1
    if not left:
        return None
    return post(
        session,
        actor,
        fund=fund,
        event=f"expired:{number}",
        source_type="allocation",
        source_id=allocation.id,
        partner_id=allocation.partner_id,
        memo="Allocation expired",
        legs=transfer(source, AccountKey(AccountKind.EXPIRED, allocation.partner_id), left),
    )


def _empty_request(
    session: Session, actor: Actor, fund: Fund, request: Request, *, target: AccountKey, event: str
) -> LedgerTransaction | None:
    with elevated(session, "posting to the ledger"):
        lock_fund(session, fund)
        left = {activity.id: account_balance(session, fund, _committed(activity)) for activity in request.activities}
        number = _count(session, fund, "request", request.id, event) + 1
    legs: list[Leg] = [
        (_committed(activity), Side.CREDIT, left[activity.id]) for activity in request.activities if left[activity.id]
    ]
    if not legs:
        return None
    legs.append((target, Side.DEBIT, Money.total(left.values(), fund.currency)))
    return post(
        session,
        actor,
        fund=fund,
        event=f"{event}:{number}",
        source_type="request",
        source_id=request.id,
        partner_id=request.partner_id,
        legs=legs,
        memo=f"{request.number} {event}",
    )


def _committed(activity: Activity) -> AccountKey:
    return AccountKey(AccountKind.COMMITTED, activity.partner_id, activity.id)


def _count(session: Session, fund: Fund, source_type: str, source_id: UUID, event: str) -> int:
    """How often an event that may come again has been posted; read it under the fund's lock."""
    statement = select(func.count()).where(
        LedgerTransaction.vendor_id == fund.vendor_id,
        LedgerTransaction.source_type == source_type,
        LedgerTransaction.source_id == source_id,
        LedgerTransaction.event.startswith(f"{event}:"),
    )
    return int(session.scalar(statement) or 0)


def claim_submitted(session: Session, actor: Actor, fund: Fund, claim: Claim) -> LedgerTransaction:
    """committed(activity) → claimed(claim), of `claim.claimed`. After a release it may be submitted anew."""
    number = _round(session, fund, claim)
    source = AccountKey(AccountKind.COMMITTED, claim.partner_id, claim.activity_id)
    return _post_claim(
        session,
        actor,
        fund,
        claim,
        f"submitted:{number}",
        transfer(source, _of(claim, AccountKind.CLAIMED), claim.claimed),
    )


def claim_released(session: Session, actor: Actor, fund: Fund, claim: Claim) -> LedgerTransaction | None:
    """Returned, withdrawn or denied: all that is claimed → committed; None where nothing is any more."""
    number = _round(session, fund, claim)
    with elevated(session, "posting to the ledger"):
        left = account_balance(session, fund, _of(claim, AccountKind.CLAIMED))
    if not left:
        return None
    target = AccountKey(AccountKind.COMMITTED, claim.partner_id, claim.activity_id)
    return _post_claim(
        session,
        actor,
        fund,
        claim,
        f"released:{number}",
        transfer(_of(claim, AccountKind.CLAIMED), target, left),
    )


def claim_approved(session: Session, actor: Actor, fund: Fund, claim: Claim, *, amount: Money) -> LedgerTransaction:
    """claimed → payable, of `amount`; what was claimed beyond it goes back to committed. Posts once."""
    _round(session, fund, claim)
    with elevated(session, "posting to the ledger"):
        left = account_balance(session, fund, _of(claim, AccountKind.CLAIMED))
    legs = transfer(_of(claim, AccountKind.CLAIMED), _of(claim, AccountKind.PAYABLE), amount)
    if left > amount:
        target = AccountKey(AccountKind.COMMITTED, claim.partner_id, claim.activity_id)
        legs += transfer(_of(claim, AccountKind.CLAIMED), target, left - amount)
    return _post_claim(session, actor, fund, claim, "approved", legs)


def paid(
    session: Session, actor: Actor, fund: Fund, claim: Claim, *, payment_id: UUID, amount: Money
) -> LedgerTransaction:
    """payable → cash, by one payment; that payment posts once."""
    legs = transfer(_of(claim, AccountKind.PAYABLE), _of(claim, AccountKind.CASH), amount)
    return _post_payment(session, actor, fund, claim, payment_id, "paid", legs)


def payment_returned(
    session: Session, actor: Actor, fund: Fund, claim: Claim, *, payment_id: UUID, amount: Money
) -> LedgerTransaction:
    """cash → payable: the bank sent one payment back."""
    legs = transfer(_of(claim, AccountKind.CASH), _of(claim, AccountKind.PAYABLE), amount)
    return _post_payment(session, actor, fund, claim, payment_id, "returned", legs)


def clawed_back(
    session: Session, actor: Actor, fund: Fund, claim: Claim, *, amount: Money, once: UUID
) -> LedgerTransaction:
    """receivable → allocated: the partner owes what it was paid wrongly, and may plan with it anew."""
    legs = transfer(_of(claim, AccountKind.RECEIVABLE), AccountKey(AccountKind.ALLOCATED, claim.partner_id), amount)
    return _post_claim(session, actor, fund, claim, f"clawed_back:{once}", legs)


def _of(claim: Claim, kind: AccountKind) -> AccountKey:
    return AccountKey(kind, claim.partner_id, claim.id)


def _round(session: Session, fund: Fund, claim: Claim) -> int:
    """Which submission of the claim this is, counted under the fund's lock: one more than its releases."""
    with elevated(session, "posting to the ledger"):
        lock_fund(session, fund)
        return _count(session, fund, "claim", claim.id, "released") + 1


def _post_claim(
    session: Session, actor: Actor, fund: Fund, claim: Claim, event: str, legs: Sequence[Leg]
) -> LedgerTransaction:
    return post(
        session,
        actor,
        fund=fund,
        event=event,
        source_type="claim",
        source_id=claim.id,
        partner_id=claim.partner_id,
        legs=legs,
        memo=f"{claim.number} {event.partition(':')[0].replace('_', ' ')}",
    )


def _post_payment(
    session: Session,
    actor: Actor,
    fund: Fund,
    claim: Claim,
    payment_id: UUID,
    event: str,
    legs: Sequence[Leg],
) -> LedgerTransaction:
    return post(
        session,
        actor,
        fund=fund,
        event=event,
        source_type="payment",
        source_id=payment_id,
        partner_id=claim.partner_id,
        legs=legs,
        memo=f"{claim.number} {event}",
    )
