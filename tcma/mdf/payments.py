"""Paying approved claims: payees, batches with a maker and a checker, one immutable file, and what was paid."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Integer, cast, func, select, text
from sqlalchemy.orm import Session

from tcma import audit, clock, ids
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts.services import tell
from tcma.config import settings
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tcma.mdf import ledger, payment_files
from tcma.mdf import queries as mdf_queries
from tcma.mdf import queries_claims as queries
from tcma.mdf.models import Claim, Fund, Payee, Payment, PaymentBatch
from tcma.mdf.states import BatchStatus, ClaimStatus
from tcma.money import Money
from tcma.storage import storage

COOLING_OFF = timedelta(days=3)  # after a change of the account: time for the partner to notice a fraud
MOST_PAYMENTS = 500


def set_payee(
    session: Session, actor: Actor, *, holder: str, iban: str, bic: str = "", country: str = "", town: str = ""
) -> Payee:
    """Where the actor's organization is paid. The account is kept encrypted; only its last four are shown.

    Another account than before is paid only after a cooling-off time. Raises Forbidden, Invalid.
    """
    actor.require(Permission.PAYEE_MANAGE)
    actor.require_kind(Kind.PARTNER)
    account, country = payment_files.check_iban(iban), country.strip().upper() or iban.strip()[:2].upper()
    wrong: dict[str, str] = {}
    if not holder.strip() or len(holder) > 140:
        wrong["holder"] = "Enter the account holder's name, at most 140 characters."
    if len(country) != 2 or not country.isalpha():
        wrong["country"] = "Give the country as two letters such as DE."
    bic = bic.replace(" ", "").upper()
    if bic and not (len(bic) in (8, 11) and bic.isascii() and bic.isalnum()):
        wrong["bic"] = "A BIC has 8 or 11 letters and digits. Leave it empty if you do not know it."
    if wrong:
        raise Invalid(wrong)
    payee = session.get(Payee, actor.organization_id, with_for_update=True, populate_existing=True)
    if payee is None:
        payee = Payee(partner_id=actor.organization_id, changed_at=clock.now())
        session.add(payee)
    elif account_of(payee) != account:
        payee.changed_by, payee.changed_at = actor.user_id, clock.now()
    payee.holder, payee.bic, payee.country, payee.town = holder.strip(), bic, country, town.strip()[:70]
    payee.account_sealed, payee.account_last4 = _keys().encrypt(account.encode()), account[-4:]
    session.flush()
    audit.record(session, actor, "payee.set", payee, after={"last4": payee.account_last4})
    return payee


def account_of(payee: Payee) -> str:
    """The account number in the clear: for the payment file only."""
    return _keys().decrypt(payee.account_sealed).decode()


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in settings().derived_keys("payee")])


def make_batch(session: Session, actor: Actor, *, claim_ids: Sequence[UUID]) -> PaymentBatch:
    """Put approved claims of one currency into a batch. Raises NotFound, Forbidden, IllegalTransition, Invalid."""
    actor.require(Permission.PAYMENT_MAKE)
    actor.require_kind(Kind.VENDOR)
    if not claim_ids:
        raise Invalid({"claim_ids": "Choose at least one approved claim."})
    if len(set(claim_ids)) > MOST_PAYMENTS:
        raise Invalid({"claim_ids": f"At most {MOST_PAYMENTS} payments go into one batch. Make two."})
    # In one order, so that two who choose the same claims wait instead of blocking each other.
    claims = [queries.get_claim(session, actor, one, lock=True) for one in sorted(set(claim_ids))]
    for claim in claims:
        claim.require_status("put into a batch", ClaimStatus.APPROVED)
        if claim.decided_by is not None and claim.decided_by == actor.user_id:
            raise Forbidden(f"You approved {claim.number}, so someone else must pay it. Ask a colleague in finance.")
    currencies = {one.currency for one in claims}
    if len(currencies) > 1:
        raise Invalid(
            {"claim_ids": f"A batch has one currency, not {', '.join(sorted(currencies))}. Make one for each."}
        )
    _check_payees(session, claims)
    batch = PaymentBatch(
        vendor_id=actor.organization_id, number=_next_number(session, actor.organization_id),
        currency=claims[0].currency, total_minor=sum(one.approved_minor or 0 for one in claims), made_by=actor.user_id,
    )  # fmt: skip
    session.add(batch)
    session.flush()
    for claim in claims:
        payment_id = ids.new_id()
        session.add(
            Payment(
                id=payment_id, vendor_id=claim.vendor_id, partner_id=claim.partner_id, claim_id=claim.id,
                batch_id=batch.id, end_to_end_id=payment_files.end_to_end_id(batch.id, payment_id),
                amount_minor=claim.approved_minor, currency=claim.currency,
            )
        )  # fmt: skip
        claim.batch(by=actor)
    session.flush()
    audit.record(session, actor, "payment batch.make", batch, after={"total": batch.total_minor, "claims": len(claims)})
    return queries.get_batch(session, actor, batch.id)


def _check_payees(session: Session, claims: Sequence[Claim]) -> None:
    wrong: list[str] = []
    for claim in claims:
        payee = queries.find_payee(session, claim.partner_id)
        if payee is None:
            wrong.append(f"{claim.number}: the partner has given no bank details yet. Ask its administrator for them.")
        elif payee.changed_by is not None and payee.changed_at + COOLING_OFF > clock.now():
            until = payee.changed_at + COOLING_OFF
            wrong.append(
                f"{claim.number}: the bank account was changed on {payee.changed_at:%Y-%m-%d}. To guard against fraud "
                f"it is paid from {until:%Y-%m-%d} on; ask the partner by phone whether the change is its own."
            )
    if wrong:
        raise Invalid({"claim_ids": " ".join(wrong)})


def _next_number(session: Session, vendor_id: UUID) -> str:
    start = f"P-{clock.today().year}-"
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"batches:{vendor_id}"})
    last = session.scalar(
        select(func.max(cast(func.split_part(PaymentBatch.number, "-", 3), Integer))).where(
            PaymentBatch.vendor_id == vendor_id, PaymentBatch.number.startswith(start)
        )
    )
    return f"{start}{(last or 0) + 1:04d}"


def check_batch(session: Session, actor: Actor, batch_id: UUID) -> PaymentBatch:
    """Another person than the maker checks the batch: its file is written now and never changes.

    Raises NotFound, Forbidden, IllegalTransition, and Invalid for payments that no bank would take.
    """
    actor.require(Permission.PAYMENT_CHECK)
    batch = queries.get_batch(session, actor, batch_id, lock=True)
    batch.require_status("check", BatchStatus.DRAFT)
    if batch.made_by is not None and batch.made_by == actor.user_id:
        raise Forbidden("You made this batch, so someone else must decide. Ask a colleague in finance.")
    _check_payees(session, [one.claim for one in batch.payments])
    content = payment_files.payment_csv(
        payment_files.PaymentBatch(
            id=batch.id, number=batch.number, payer=actor.organization_name, currency=batch.currency,
            made_at=batch.created_at, payments=tuple(_as_paid(session, one) for one in batch.payments),
        )
    )  # fmt: skip
    digest = payment_files.content_hash(content)
    key = f"payments/{batch.vendor_id}/{batch.id}-{digest[:16]}.csv"
    storage().put(key, content, content_type="text/csv")
    batch.check(by=actor, file_key=key, file_sha256=digest, at=clock.now())
    session.flush()
    return batch


def _as_paid(session: Session, payment: Payment) -> payment_files.Payment:
    payee = queries.find_payee(session, payment.partner_id)
    if payee is None:
        raise NotFound()
    return payment_files.Payment(
        id=payment.id, payee=payee.holder, account=account_of(payee),
        amount=Money(payment.amount_minor, payment.currency), reference=payment.claim.number, bic=payee.bic,
        country=payee.country, town=payee.town,
    )  # fmt: skip


def batch_file(session: Session, actor: Actor, batch_id: UUID) -> tuple[PaymentBatch, bytes]:
    """The payment file as it was checked. Raises NotFound, Forbidden, IllegalTransition before the check."""
    actor.require(Permission.PAYMENT_MAKE)
    batch = queries.get_batch(session, actor, batch_id)
    if batch.file_key is None or batch.status is BatchStatus.CANCELLED:
        raise IllegalTransition("The file is written when another person has checked the batch. Ask a colleague.")
    content = storage().read(batch.file_key)
    if payment_files.content_hash(content) != batch.file_sha256:
        raise IllegalTransition("The stored file is not the one that was checked. Do not pay it; tell the operator.")
    return batch, content


def mark_paid(session: Session, actor: Actor, batch_id: UUID) -> PaymentBatch:
    """The bank has paid the batch: its claims are paid, and the ledger says so.

    Raises NotFound, Forbidden, IllegalTransition.
    """
    actor.require(Permission.PAYMENT_MAKE)
    batch = queries.get_batch(session, actor, batch_id, lock=True)
    batch.require_status("pay", BatchStatus.CHECKED)
    now = clock.now()
    batch.pay(by=actor, at=now)
    for payment in batch.payments:
        claim = queries.get_claim(session, actor, payment.claim_id, lock=True)
        claim.pay(by=actor, at=now)
        amount = Money(payment.amount_minor, payment.currency)
        fund = session.get_one(Fund, claim.fund_id)
        ledger.paid(session, actor, fund, claim, payment_id=payment.id, amount=amount)
        tell(
            session, claim.partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "claim_paid",
            data={
                "url": f"{settings().public_origin}/claims/{claim.id}", "number": claim.number,
                "title": claim.activity.title, "amount": amount.format(), "paid_on": f"{now:%Y-%m-%d}",
                "reference": payment.end_to_end_id, "by": actor.organization_name,
            },
            once_key=f"claim_paid:{payment.id}",
        )  # fmt: skip
    session.flush()
    return batch


def cancel_batch(session: Session, actor: Actor, batch_id: UUID, *, reason: str) -> PaymentBatch:
    """Pay nothing of it; its claims are approved again. Raises NotFound, Forbidden, IllegalTransition, Invalid."""
    actor.require(Permission.PAYMENT_MAKE)
    if not reason.strip():
        raise Invalid({"reason": "Say why the batch is cancelled."})
    batch = queries.get_batch(session, actor, batch_id, lock=True)
    batch.cancel(by=actor, reason=reason.strip())
    for payment in batch.payments:
        payment.cancelled_at = clock.now()
        queries.get_claim(session, actor, payment.claim_id, lock=True).unbatch(by=actor)
    session.flush()
    return batch


def names(session: Session, batches: Sequence[PaymentBatch]) -> dict[UUID, str]:
    """Names of the partners paid and of makers and checkers, by id."""
    partners = mdf_queries.names_of(session, [one.partner_id for batch in batches for one in batch.payments])
    people = mdf_queries.people(session, [one for batch in batches for one in (batch.made_by, batch.checked_by)])
    return partners | people
