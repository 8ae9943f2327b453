"""Holding a claim against the record: its facts from rows, the checks over them, and the findings kept."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Permission
from tcma.accounts import queries as accounts_queries
from tcma.campaigns.models import CampaignVersion, Launch
from tcma.db import elevated
from tcma.mdf import ledger
from tcma.mdf import queries as mdf_queries
from tcma.mdf import queries_claims as queries
from tcma.mdf.balances import AccountKey
from tcma.mdf.checks import (
    Cap,
    ClaimFacts,
    Finding,
    InvoiceFacts,
    KnownInvoice,
    LineFacts,
    Party,
    Payable,
    payable_amount,
    run_checks,
)
from tcma.mdf.models import Activity, Claim, FindingRow, Fund, Programme, Proof
from tcma.mdf.states import AccountKind, ClaimStatus, ProofKind
from tcma.money import EXPONENTS, Money

# Amounts in these states count against a cap; a draft counts for nothing yet.
_COUNTS = (ClaimStatus.SUBMITTED, ClaimStatus.APPROVED, ClaimStatus.PAYMENT_DUE, ClaimStatus.PAID)


def check_claim(session: Session, actor: Actor, claim: Claim) -> tuple[list[Finding], Payable]:
    """Every check over the claim as it is now, and what the money rules allow to pay. Keeps nothing."""
    facts = facts_of(session, actor, claim)
    return run_checks(facts), payable_amount(facts)


def run_claim_checks(session: Session, actor: Actor, claim: Claim) -> tuple[list[Finding], Payable]:
    """The same, kept as the claim's next run of findings."""
    actor.require(Permission.CLAIM_READ)
    findings, payable = check_claim(session, actor, claim)
    last = session.scalar(select(func.max(FindingRow.run)).where(FindingRow.claim_id == claim.id)) or 0
    for one in findings:
        session.add(
            FindingRow(
                vendor_id=claim.vendor_id, partner_id=claim.partner_id, claim_id=claim.id, run=last + 1,
                code=str(one.code), verdict=str(one.verdict), expected=one.expected, actual=one.actual,
                tolerance=one.tolerance, why=one.why, mend=one.mend, rule_version=one.rule_version,
            )
        )  # fmt: skip
        session.flush()  # one by one: their ids keep the order of the checks
    return findings, payable


def facts_of(session: Session, actor: Actor, claim: Claim) -> ClaimFacts:
    """All that the checks look at, from the rows as they are now."""
    activity, request = claim.activity, claim.activity.request
    programme, zone = request.programme, request.programme.zone
    proofs = queries.proofs_of(session, activity.id)
    statement = queries.statement_of_activity(session, activity.id)
    figures = statement.figures if statement else {}
    partner = accounts_queries.get_organization(session, claim.partner_id)
    payee = queries.find_payee(session, claim.partner_id)
    kinds = frozenset(str(one.kind) for one in proofs)
    required = frozenset(activity.activity_type.required_evidence)
    return ClaimFacts(
        claimed=claim.claimed,
        share_rate=programme.share_percent / Decimal(100),
        window_from=programme.begins_on,
        window_to=programme.ends_on,
        submitted_on=_day(claim.submitted_at or clock.now(), zone),
        committed=committed_left(session, claim),
        approved_on=_day(request.decided_at, zone) if request.decided_at else None,
        activity_from=activity.starts_on,
        activity_to=activity.ends_on,
        filing_deadline=request.claim_until,
        approved_version=activity.approved_sha256,
        executed_version=_executed(session, activity),
        claimed_reach=claim.claimed_reach,
        delivered=figures["deliveries"]["sent"] if figures else None,
        human_clicks=figures["people"] if figures else None,
        lines=tuple(
            LineFacts(one.description, Money(one.net_minor, one.currency), Money(one.tax_minor, one.currency))
            for one in claim.lines
        ),
        invoices=tuple(_invoice(one) for one in proofs if one.kind is ProofKind.INVOICE),
        known_invoices=_known(session, claim),
        activity_type=activity.activity_type.code,
        eligible_types=frozenset(one.code for one in programme.activity_types),
        caps=_caps(session, actor, claim, programme),
        partner=Party(partner.legal_name or partner.name),
        payee_name=payee.holder if payee else "",
        proof_of_payment_required=str(ProofKind.PAYMENT_RECEIPT) in required,
        has_proof_of_payment=str(ProofKind.PAYMENT_RECEIPT) in kinds,
        required_evidence=required,
        attached_evidence=kinds,
    )


def committed_left(session: Session, claim: Claim) -> Money:
    """What is committed to the activity and may be claimed: what this claim has taken of it already counts in."""
    fund = session.get_one(Fund, claim.fund_id)
    free = ledger.account_balance(session, fund, AccountKey(AccountKind.COMMITTED, claim.partner_id, claim.activity_id))
    taken = ledger.account_balance(session, fund, AccountKey(AccountKind.CLAIMED, claim.partner_id, claim.id))
    return free + taken


def _day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def _executed(session: Session, activity: Activity) -> str | None:
    if activity.launch_id is None:
        return None
    launch = session.get_one(Launch, activity.launch_id)
    return session.get_one(CampaignVersion, launch.campaign_version_id).content_sha256


def _money(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else Money(minor, currency)


def _invoice(proof: Proof) -> InvoiceFacts:
    lines = []
    if proof.currency is not None and proof.currency in EXPONENTS:
        for one in proof.read.get("lines", []):
            lines.append(LineFacts(one["description"], Money.of(Decimal(one["net"]), proof.currency)))
    return InvoiceFacts(
        label=proof.filename, number=proof.invoice_number, date=proof.invoice_date, supplier=proof.supplier,
        supplier_tax_id=proof.supplier_tax_id, buyer=proof.buyer, net=_money(proof.net_minor, proof.currency),
        tax=_money(proof.tax_minor, proof.currency), gross=_money(proof.gross_minor, proof.currency),
        lines=tuple(lines), sha256=proof.sha256, text_hash=proof.text_sha256 or "",
        is_credit_note=bool(proof.read.get("is_credit_note")),
    )  # fmt: skip


def _known(session: Session, claim: Claim) -> tuple[KnownInvoice, ...]:
    """Invoices of other activities filed with this vendor by any partner; only the partner's own carry a number."""
    with elevated(session, "duplicate search"):
        rows = session.execute(
            select(Proof, Claim.number)
            .join(Claim, Claim.activity_id == Proof.activity_id)
            .where(
                Proof.vendor_id == claim.vendor_id, Proof.kind == ProofKind.INVOICE, Proof.removed_at.is_(None),
                Proof.activity_id != claim.activity_id, Claim.status.in_(queries.FILED),
            )
            .order_by(Proof.id.desc())
            .limit(5000)
        ).all()  # fmt: skip
    known = []
    for proof, number in rows:
        own = proof.partner_id == claim.partner_id
        known.append(
            KnownInvoice(
                claim=number if own else "", own_partner=own, number=proof.invoice_number, date=proof.invoice_date,
                supplier_tax_id=proof.supplier_tax_id, gross=_money(proof.gross_minor, proof.currency),
                sha256=proof.sha256, text_hash=proof.text_sha256 or "",
            )
        )  # fmt: skip
    return tuple(known)


def _caps(session: Session, actor: Actor, claim: Claim, programme: Programme) -> tuple[Cap, ...]:
    """The programme's cap for one partner, and the cap of the kind of work for one activity."""
    funds = mdf_queries.list_funds(session, actor, programme_id=programme.id)
    held = ledger.balances_by_fund(session, funds, partner_id=claim.partner_id)
    counted = [
        balance[kind]
        for balance in held.values()
        for kind in (AccountKind.CLAIMED, AccountKind.PAYABLE, AccountKind.CASH)
    ]
    fund = session.get_one(Fund, claim.fund_id)
    own = ledger.account_balance(session, fund, AccountKey(AccountKind.CLAIMED, claim.partner_id, claim.id))
    used = Money.total(counted, claim.currency) - own
    caps = [Cap(f"Cap of “{programme.name}” for one partner", Money(programme.cap_minor, claim.currency), used)]
    kind = claim.activity.activity_type
    if kind.cap_minor is not None:
        minor = session.scalar(
            select(func.coalesce(func.sum(func.coalesce(Claim.approved_minor, Claim.claimed_minor)), 0)).where(
                Claim.activity_id == claim.activity_id, Claim.id != claim.id, Claim.status.in_(_COUNTS)
            )
        )
        taken = Money(int(minor or 0), claim.currency)
        caps.append(Cap(f"Cap of “{kind.name}” for one activity", Money(kind.cap_minor, claim.currency), taken))
    return tuple(caps)
