"""Use cases of claims: a partner claims an approved activity with proof; finance approves, returns or denies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, cast, func, select, text
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts.services import tell
from tcma.config import settings
from tcma.db import elevated
from tcma.errors import IllegalTransition, Invalid, Stale
from tcma.mdf import evidence, ledger, reconcile, statement
from tcma.mdf import queries as mdf_queries
from tcma.mdf import queries_claims as queries
from tcma.mdf.checks import Finding, Payable, Verdict
from tcma.mdf.models import Claim, ClaimLine, Fund
from tcma.mdf.states import ClaimStatus, ProofKind, RequestStatus, ReturnReason
from tcma.money import Money

DECISION = timedelta(days=7)  # five working days
MOST_LINES = 100
_EVIDENCE_WORDS = {
    ProofKind.INVOICE: "the invoice",
    ProofKind.PAYMENT_RECEIPT: "proof of payment",
    ProofKind.PHOTO: "a photo or screenshot",
    ProofKind.STATEMENT: "the launch's statement (link the launch to the activity, and it comes by itself)",
    ProofKind.OTHER: "the other documents that the programme asks for",
}


def create_claim(session: Session, actor: Actor, activity_id: UUID) -> Claim:
    """A draft claim for an approved activity, with the statement of its launch attached and the reach filled in.

    A draft or returned claim of the activity is given instead of a second one. Raises NotFound, Forbidden,
    IllegalTransition where the request is not approved or nothing is left to claim.
    """
    actor.require(Permission.CLAIM_RAISE)
    actor.require_kind(Kind.PARTNER)
    activity = mdf_queries.get_activity(session, actor, activity_id)
    # Locked, so that nobody withdraws the request meanwhile, and two who begin at once share one claim.
    request = mdf_queries.get_request(session, actor, activity.request_id, lock=True)
    open_one = queries.find_open_claim(session, activity.id)
    if open_one is not None:
        claim = queries.get_claim(session, actor, open_one.id)
        refresh_statement(session, actor, claim)
        return claim
    request.require_status("claim", RequestStatus.APPROVED)
    made = Claim(
        vendor_id=activity.vendor_id, partner_id=activity.partner_id, fund_id=request.fund_id, activity_id=activity.id,
        number=_next_number(session, activity.vendor_id), currency=activity.currency, raised_by=actor.user_id,
    )  # fmt: skip
    if not reconcile.committed_left(session, made):
        raise IllegalTransition("Nothing is left to claim for this activity. What was approved for it is claimed.")
    session.add(made)
    session.flush()
    claim = queries.get_claim(session, actor, made.id)
    refresh_statement(session, actor, claim)
    audit.record(session, actor, "claim.create", claim, after={"activity_id": activity.id})
    return claim


def refresh_statement(session: Session, actor: Actor, claim: Claim) -> None:
    """Attach the statement of the activity's launch as of now, once it has sent; the measured reach is claimed."""
    launch_id = claim.activity.launch_id
    if launch_id is None:
        return
    try:
        sealed = statement.seal_statement(session, actor, launch_id)
    except IllegalTransition:
        return  # not sent yet: submitting says what is missing
    before = queries.statement_of_activity(session, claim.activity_id)
    evidence.attach_statement(session, actor, claim, sealed)
    # What the partner typed stays, and is held against the record; what we filled in follows the record.
    if claim.claimed_reach is None or (before and claim.claimed_reach == before.figures["deliveries"]["sent"]):
        claim.claimed_reach = sealed.figures["deliveries"]["sent"]
    session.flush()


def _next_number(session: Session, vendor_id: UUID) -> str:
    """C-2026-0001 and so on, without gaps from two at once: one counter for each vendor and year."""
    start = f"C-{clock.today().year}-"
    with elevated(session, "claims of a vendor are numbered over all its partners"):
        session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"claims:{vendor_id}"}
        )
        last = session.scalar(
            select(func.max(cast(func.split_part(Claim.number, "-", 3), Integer))).where(
                Claim.vendor_id == vendor_id, Claim.number.startswith(start)
            )
        )
    return f"{start}{(last or 0) + 1:04d}"


def save_lines(
    session: Session,
    actor: Actor,
    claim_id: UUID,
    *,
    lines: Sequence[Mapping[str, Any]],
    amount: Money | None = None,
    claimed_reach: int | None = None,
    expected_version: int | None = None,
) -> Claim:
    """Replace the claim's lines, each {description, net: Money, tax: Money or None}, and set what is claimed.

    Without an amount the claim is for what the money rules allow. Raises NotFound, Forbidden, Stale,
    IllegalTransition, Invalid with fields such as "lines-0-net".
    """
    actor.require(Permission.CLAIM_RAISE)
    claim = _load(session, actor, claim_id, expected_version)
    claim.require_status("edit", *queries.OPEN)
    if wrong := _line_faults(claim, lines, amount, claimed_reach):
        raise Invalid(wrong)
    for old in list(claim.lines):
        session.delete(old)
    session.flush()
    session.expire(claim, ["lines"])
    for place, one in enumerate(lines):
        net, tax = one["net"], one.get("tax") or Money.zero(claim.currency)
        session.add(
            ClaimLine(
                vendor_id=claim.vendor_id, partner_id=claim.partner_id, claim_id=claim.id, position=place,
                description=str(one["description"]).strip(), net_minor=net.minor, tax_minor=tax.minor,
                currency=claim.currency,
            )
        )  # fmt: skip
    if claimed_reach is not None:
        claim.claimed_reach = claimed_reach
    session.flush()
    session.refresh(claim, ["lines"])
    claim.claimed_minor = amount.minor if amount is not None else _proposal(session, claim).minor
    session.flush()
    audit.record(session, actor, "claim.edit", claim, after={"amount": claim.claimed_minor, "lines": len(lines)})
    return claim


def _line_faults(
    claim: Claim, lines: Sequence[Mapping[str, Any]], amount: Money | None, reach: int | None
) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if not lines:
        wrong["lines"] = "Enter at least one line: what the money was spent on."
    if len(lines) > MOST_LINES:
        wrong["lines"] = f"At most {MOST_LINES} lines. Put small costs together."
    for place, one in enumerate(lines):
        net, tax = one.get("net"), one.get("tax")
        if not str(one.get("description") or "").strip():
            wrong[f"lines-{place}-description"] = "Say what this line paid for."
        if net is None or net.minor <= 0:
            wrong[f"lines-{place}-net"] = "Enter an amount above zero."
        elif net.currency != claim.currency or (tax and tax.currency != claim.currency):
            wrong[f"lines-{place}-net"] = f"This claim is in {claim.currency}. Enter the amount in {claim.currency}."
        if tax is not None and tax.minor < 0:
            wrong[f"lines-{place}-tax"] = "Tax is zero or more."
    if amount is not None and (amount.currency != claim.currency or amount.minor <= 0):
        wrong["amount"] = f"Claim an amount above zero in {claim.currency}."
    if reach is not None and reach < 0:
        wrong["claimed_reach"] = "Enter how many people were reached, zero or more."
    return wrong


def _proposal(session: Session, claim: Claim) -> Money:
    """Lines × share, no more than what is committed."""
    cost = Money.total([Money(one.net_minor, one.currency) for one in claim.lines], claim.currency)
    share = cost.share(claim.activity.request.programme.share_percent / Decimal(100))
    return min(share, reconcile.committed_left(session, claim))


def submit_claim(
    session: Session, actor: Actor, claim_id: UUID, *, expected_version: int | None = None
) -> tuple[Claim, list[Finding], Payable]:
    """File the claim: evidence complete, money moved to claimed, every check run and kept.

    Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid with what is missing.
    """
    actor.require(Permission.CLAIM_RAISE)
    claim = _load(session, actor, claim_id, expected_version)
    claim.require_status("submit", *queries.OPEN)
    request = mdf_queries.get_request(session, actor, claim.activity.request_id, lock=True)
    request.require_status("claim", RequestStatus.APPROVED)
    refresh_statement(session, actor, claim)
    if wrong := submit_faults(session, claim):
        raise Invalid(wrong)
    now = clock.now()
    claim.submit(by=actor, amount=claim.claimed, at=now, due_at=now + DECISION)
    ledger.claim_submitted(session, actor, _fund(session, claim), claim)
    session.flush()
    findings, payable = reconcile.run_claim_checks(session, actor, claim)
    tell(
        session, claim.vendor_id, (Role.FINANCE,), "claim_submitted",
        data=_told(claim, actor), once_key=f"claim_submitted:{claim.id}:{claim.row_version}",
    )  # fmt: skip
    return claim, findings, payable


def submit_faults(session: Session, claim: Claim) -> dict[str, str]:
    """What is still missing before the claim can be filed, by field; empty when nothing is."""
    proofs = queries.proofs_of(session, claim.activity_id)
    wrong: dict[str, str] = {}
    attached = {one.kind for one in proofs}
    missing = [ProofKind(one) for one in claim.activity.activity_type.required_evidence if one not in attached]
    if missing:
        wrong["proofs"] = f"Attach {', '.join(_EVIDENCE_WORDS[one] for one in missing)}."
    unread = [one.filename for one in proofs if one.kind is ProofKind.INVOICE and not evidence.is_confirmed(one)]
    if unread:
        wrong["confirm"] = f"Compare what was read of “{unread[0]}” with the document, and confirm it."
    if not claim.lines:
        wrong["lines"] = "Enter at least one line: what the money was spent on."
    elif claim.claimed_minor <= 0:
        wrong["amount"] = "Enter what you claim."
    return wrong


def approve_claim(
    session: Session,
    actor: Actor,
    claim_id: UUID,
    *,
    amount: Money,
    expected_version: int | None = None,
    code: str = "",
    reason: str = "",
) -> Claim:
    """Approve all or part of what was claimed; the rest is committed again.

    Paying less than claimed needs a code and a reason; so does paying although a hard check failed, or more than
    the money rules allow. Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid.
    """
    actor.require(Permission.CLAIM_APPROVE)
    actor.require_kind(Kind.VENDOR)
    claim = _load(session, actor, claim_id, expected_version)
    claim.require_status("approve", ClaimStatus.SUBMITTED)
    reason = reason.strip()
    _code(code, wanted=False)
    findings, payable = reconcile.run_claim_checks(session, actor, claim)
    if not reason:
        _refuse_exception(findings, payable, amount)
    claim.approve(
        by=actor, amount=amount, at=clock.now(), rule_version=claim.activity.request.programme.rule_version,
        code=code, reason=reason,
    )  # fmt: skip
    ledger.claim_approved(session, actor, _fund(session, claim), claim, amount=amount)
    session.flush()
    _tell_partner(session, actor, claim, amount=amount.format())
    return claim


def _refuse_exception(findings: Sequence[Finding], payable: Payable, amount: Money) -> None:
    """Money beyond the rules leaves only with words on the record (facts/money, Controls)."""
    if amount.currency == payable.amount.currency and amount > payable.amount:
        why = payable.reductions[0].why if payable.reductions else ""
        raise Invalid({"reason": f"The rules allow {payable.amount.format()}. {why} Approve that, or say why more."})
    failed = [one for one in findings if one.verdict is Verdict.FAIL]
    by_money = {one.code for one in payable.reductions}
    hard = [one for one in failed if one.code not in by_money]
    if hard:
        raise Invalid({"reason": f"“{hard[0].code.label}” failed: {hard[0].why} To pay anyway, say why."})


def return_claim(
    session: Session, actor: Actor, claim_id: UUID, *, code: str, reason: str, expected_version: int | None = None
) -> Claim:
    """Give it back to be mended and filed again. Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid."""
    actor.require(Permission.CLAIM_APPROVE)
    claim = _load(session, actor, claim_id, expected_version)
    claim.require_status("return", ClaimStatus.SUBMITTED)
    claim.give_back(by=actor, code=_code(code, wanted=True), reason=_reason(reason), at=clock.now())
    return _released(session, actor, claim)


def deny_claim(
    session: Session, actor: Actor, claim_id: UUID, *, code: str, reason: str, expected_version: int | None = None
) -> Claim:
    """Say no for good. Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid."""
    actor.require(Permission.CLAIM_APPROVE)
    claim = _load(session, actor, claim_id, expected_version)
    claim.require_status("deny", ClaimStatus.SUBMITTED)
    claim.deny(by=actor, code=_code(code, wanted=True), reason=_reason(reason), at=clock.now())
    return _released(session, actor, claim)


def withdraw_claim(session: Session, actor: Actor, claim_id: UUID, *, expected_version: int | None = None) -> Claim:
    """The partner takes it back; its money is committed again. Raises NotFound, Forbidden, Stale, IllegalTransition."""
    actor.require(Permission.CLAIM_RAISE)
    claim = _load(session, actor, claim_id, expected_version)
    claim.withdraw(by=actor, at=clock.now())
    ledger.claim_released(session, actor, _fund(session, claim), claim)
    session.flush()
    return claim


def _released(session: Session, actor: Actor, claim: Claim) -> Claim:
    ledger.claim_released(session, actor, _fund(session, claim), claim)
    session.flush()
    _tell_partner(session, actor, claim, amount=claim.claimed.format())
    return claim


def _load(session: Session, actor: Actor, claim_id: UUID, expected_version: int | None) -> Claim:
    claim = queries.get_claim(session, actor, claim_id, lock=True)
    if expected_version is not None and claim.row_version != expected_version:
        raise Stale()
    return claim


def _fund(session: Session, claim: Claim) -> Fund:
    return session.get_one(Fund, claim.fund_id)


def _code(code: str, *, wanted: bool) -> str:
    if (wanted or code) and code not in set(ReturnReason):
        raise Invalid({"code": f"Choose one of: {', '.join(ReturnReason)}."})
    return code


def _reason(reason: str) -> str:
    if not reason.strip():
        raise Invalid({"reason": "Say why, so that the partner knows what to do next."})
    return reason.strip()


def _tell_partner(session: Session, actor: Actor, claim: Claim, *, amount: str) -> None:
    tell(
        session, claim.partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "claim_decided",
        data={**_told(claim, actor), "amount": amount}, once_key=f"claim_decided:{claim.id}:{claim.row_version}",
    )  # fmt: skip


def _told(claim: Claim, actor: Actor) -> dict[str, object]:
    """Plain values for the notification mails."""
    return {
        "url": f"{settings().public_origin}/claims/{claim.id}", "number": claim.number,
        "title": claim.activity.title, "status": str(claim.status), "amount": claim.claimed.format(),
        "reason": claim.decision_reason, "by": actor.organization_name,
        "due_at": f"{claim.due_at:%Y-%m-%d}" if claim.due_at else "",
    }  # fmt: skip
