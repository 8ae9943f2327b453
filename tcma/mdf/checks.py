"""Reconciling a claim: every check of the trade's table, each with both values, its tolerance and the way to mend.

Pure: facts in, findings out. The same facts give the same findings, so a run can be repeated and explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal

from tcma.mdf import amount_checks, name_checks
from tcma.mdf.claim_facts import Cap, ClaimFacts, InvoiceFacts, KnownInvoice, LineFacts, Party, each_invoice
from tcma.mdf.duplicates import check_duplicates, normal_number, normal_tax_id
from tcma.mdf.findings import RULE_VERSION, Basis, Check, CheckCode, CheckRules, Finding, Verdict, needs_person
from tcma.mdf.payable import Payable, Reduction, payable_amount

__all__ = [
    "RULE_VERSION",
    "Basis",
    "Cap",
    "CheckCode",
    "CheckRules",
    "ClaimFacts",
    "Finding",
    "InvoiceFacts",
    "KnownInvoice",
    "LineFacts",
    "Party",
    "Payable",
    "Reduction",
    "Verdict",
    "needs_person",
    "normal_number",
    "normal_tax_id",
    "payable_amount",
    "run_checks",
]


def run_checks(facts: ClaimFacts) -> list[Finding]:
    """One finding for each `CheckCode`, in its order; what cannot be said of this claim is not applicable."""
    findings = [
        _plan_approved_first(facts),
        _activity_in_window(facts),
        _invoice_in_window(facts),
        _filed_in_time(facts),
        _campaign_version(facts),
        _reach(facts),
        _clicks(facts),
        amount_checks.invoice_kind(facts),
        amount_checks.invoice_adds_up(facts),
        amount_checks.lines_match_invoice(facts),
        amount_checks.currency(facts),
        amount_checks.within_share(facts),
        amount_checks.within_commitment(facts),
        _type_eligible(facts),
        amount_checks.caps(facts),
        amount_checks.excluded_costs(facts),
        name_checks.payee_name(facts),
        name_checks.supplier_name(facts),
        name_checks.buyer_name(facts),
        name_checks.supplier_affiliate(facts),
        *check_duplicates(facts),
        _proof_of_payment(facts),
        _evidence(facts),
    ]
    return sorted(findings, key=lambda finding: list(CheckCode).index(finding.code))


def _grace(facts: ClaimFacts) -> str:
    return f"{facts.rules.grace_days} days"


def _plan_approved_first(facts: ClaimFacts) -> Finding:
    expected = f"by {facts.activity_from}" if facts.activity_from else "before the work"
    check = Check(facts.rules, CheckCode.PLAN_APPROVED_FIRST, Basis.RECORDED, expected=expected, tolerance="none")
    if facts.approved_on is None:
        return check.failed("not approved", "This work was never approved.", "Deny the claim, or link its request.")
    if facts.activity_from is None:
        return check.failed("no date", "The work has no first day.", "Ask the partner for the dates of the work.")
    actual = str(facts.approved_on)
    if facts.approved_on > facts.activity_from:
        why = f"The work began on {facts.activity_from}, the approval came on {facts.approved_on}."
        return check.failed(actual, why, "Deny the claim, or have an exception approved and recorded.")
    return check.passed(actual, "The plan was approved before the work began.")


def _in_window(check: Check, facts: ClaimFacts, first: date, last: date, noun: str) -> Finding:
    """Within the programme's dates; a few days outside are grace, and shown."""
    days = f"{first} to {last}" if first != last else str(first)
    grace = timedelta(days=facts.rules.grace_days)
    if facts.window_from <= first and last <= facts.window_to:
        return check.passed(days, f"{noun} lies within the programme's dates.")
    mend = "Check the date against the document. If it is right, deny or return the claim."
    if facts.window_from - grace <= first and last <= facts.window_to + grace:
        return check.warned(days, f"{noun} lies outside the programme's dates, but within the days of grace.", mend)
    return check.failed(days, f"{noun} lies outside the programme's dates.", mend)


def _activity_in_window(facts: ClaimFacts) -> Finding:
    window = f"{facts.window_from} to {facts.window_to}"
    check = Check(facts.rules, CheckCode.ACTIVITY_IN_WINDOW, Basis.RECORDED, expected=window, tolerance=_grace(facts))
    if facts.activity_from is None or facts.activity_to is None:
        return check.failed("no dates", "The work has no dates.", "Ask the partner for the dates of the work.")
    if facts.activity_to < facts.activity_from:
        actual = f"{facts.activity_from} to {facts.activity_to}"
        return check.failed(actual, "The work ends before it begins.", "Correct the dates of the work.")
    return _in_window(check, facts, facts.activity_from, facts.activity_to, "The work")


def _invoice_in_window(facts: ClaimFacts) -> Finding:
    window = f"{facts.window_from} to {facts.window_to}"
    check = Check(facts.rules, CheckCode.INVOICE_IN_WINDOW, Basis.UPLOADED, expected=window, tolerance=_grace(facts))

    def judge(invoice: InvoiceFacts) -> Finding:
        if invoice.date is None:
            return check.failed("no date", f"No date is known of {invoice.label}.", "Enter the date of the invoice.")
        return _in_window(check, facts, invoice.date, invoice.date, f"The date of {invoice.label}")

    return each_invoice(facts, check, judge)


def _filed_in_time(facts: ClaimFacts) -> Finding:
    deadline = facts.filing_deadline
    expected = f"by {deadline}" if deadline else "no deadline"
    check = Check(facts.rules, CheckCode.FILED_IN_TIME, Basis.RECORDED, expected=expected, tolerance=_grace(facts))
    actual = str(facts.submitted_on)
    if deadline is None:
        return check.skipped("The programme sets no deadline for claims.")
    if facts.submitted_on <= deadline:
        return check.passed(actual, "The claim was filed in time.")
    days = (facts.submitted_on - deadline).days
    why = f"The claim was filed {days} {'day' if days == 1 else 'days'} late."
    if days <= facts.rules.grace_days:
        return check.warned(actual, f"{why} That is within the days of grace.", "Accept it, or ask why it is late.")
    return check.failed(actual, why, "Deny the claim, or have an exception approved and recorded.")


def _campaign_version(facts: ClaimFacts) -> Finding:
    expected = _short(facts.approved_version)
    check = Check(facts.rules, CheckCode.CAMPAIGN_VERSION, Basis.RECORDED, expected=expected, tolerance="none")
    if facts.approved_version is None:
        return check.skipped("This work is not a campaign that the service sends.")
    actual = _short(facts.executed_version)
    if facts.executed_version is None:
        return check.failed("nothing sent", "No launch was sent for this work.", "Link the launch, or deny the claim.")
    if facts.executed_version != facts.approved_version:
        why = "What was sent is another version than the one approved."
        return check.failed(actual, why, "Compare both versions. Pay only if the difference was agreed.")
    return check.passed(actual, "What was sent is exactly what was approved.")


def _short(version: str | None) -> str:
    return "none" if version is None else version[:16]


def _reach(facts: ClaimFacts) -> Finding:
    return _counts(
        facts, CheckCode.REACH, facts.claimed_reach, facts.delivered, facts.rules.reach_tolerance,
        noun="deliveries", over=Check.failed,
    )  # fmt: skip


def _clicks(facts: ClaimFacts) -> Finding:
    return _counts(
        facts, CheckCode.CLICKS, facts.reported_clicks, facts.human_clicks, facts.rules.click_tolerance,
        noun="clicks by people", over=Check.warned,
    )  # fmt: skip


def _counts(
    facts: ClaimFacts,
    code: CheckCode,
    told: int | None,
    measured: int | None,
    tolerance: Decimal,
    *,
    noun: str,
    over: Callable[[Check, str, str, str], Finding],
) -> Finding:
    """What was told against what the service measured: too much is `over`, too little of deliveries warns."""
    expected = "" if measured is None else f"{measured:,} {noun}"
    check = Check(
        facts.rules, code, Basis.RECORDED, expected=expected, tolerance=f"{(tolerance * 100).normalize():f} %"
    )
    if measured is None:
        return check.skipped("The service did not send this, so it measured nothing.")
    if told is None:
        return check.passed("not told", f"The service measured {measured:,} {noun}; the claim names no figure.")
    actual = f"{told:,} {noun}"
    if abs(told - measured) <= tolerance * measured:
        return check.passed(actual, f"The claim's figure agrees with {measured:,} {noun} measured.")
    why = f"The claim says {told:,} {noun}; the service measured {measured:,}."
    mend = "The service's figure counts. Correct the claim, or ask where the other figure comes from."
    if told > measured:
        return over(check, actual, why, mend)
    if code is CheckCode.CLICKS:
        return check.passed(actual, why)
    return check.warned(actual, why, mend)


def _type_eligible(facts: ClaimFacts) -> Finding:
    expected = ", ".join(sorted(facts.eligible_types)) or "any"
    check = Check(facts.rules, CheckCode.TYPE_ELIGIBLE, Basis.RECORDED, expected=expected, tolerance="none")
    if not facts.eligible_types:
        return check.skipped("The programme names no kinds of work.")
    if facts.activity_type in facts.eligible_types:
        return check.passed(facts.activity_type, "The programme pays for this kind of work.")
    why = f"The programme does not pay for “{facts.activity_type}”."
    return check.failed(facts.activity_type, why, "Deny the claim, or correct the kind of work.")


def _proof_of_payment(facts: ClaimFacts) -> Finding:
    check = Check(
        facts.rules, CheckCode.PROOF_OF_PAYMENT, Basis.UPLOADED, expected="proof of payment", tolerance="none"
    )
    if not facts.proof_of_payment_required:
        return check.skipped("The programme asks for no proof of payment.")
    if facts.has_proof_of_payment:
        return check.passed("attached", "Proof of payment is attached.")
    return check.failed("missing", "The programme asks for proof of payment.", "Attach the bank's confirmation.")


def _evidence(facts: ClaimFacts) -> Finding:
    expected = _listed(facts.required_evidence)
    check = Check(facts.rules, CheckCode.EVIDENCE, Basis.UPLOADED, expected=expected, tolerance="none")
    if not facts.required_evidence:
        return check.skipped("The programme asks for no evidence for this kind of work.")
    missing = facts.required_evidence - facts.attached_evidence
    if missing:
        what = _listed(missing)
        return check.failed(_listed(facts.attached_evidence), f"Missing: {what}.", f"Attach what is missing: {what}.")
    return check.passed(_listed(facts.attached_evidence), "All evidence that is asked for is attached.")


def _listed(kinds: Iterable[str]) -> str:
    return ", ".join(sorted(kind.replace("_", " ") for kind in kinds)) or "none"
