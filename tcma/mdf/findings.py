"""What a check of a claim can find: its code, its verdict, both values, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

RULE_VERSION = "2026-11"  # rises with every change of a rule; a finding keeps the one it was made by


class CheckCode(StrEnum):
    """The checks in the order in which people read them."""

    PLAN_APPROVED_FIRST = "plan_approved_first"
    ACTIVITY_IN_WINDOW = "activity_in_window"
    INVOICE_IN_WINDOW = "invoice_in_window"
    FILED_IN_TIME = "filed_in_time"
    CAMPAIGN_VERSION = "campaign_version"
    REACH = "reach"
    CLICKS = "clicks"
    INVOICE_KIND = "invoice_kind"
    INVOICE_ADDS_UP = "invoice_adds_up"
    LINES_MATCH_INVOICE = "lines_match_invoice"
    CURRENCY = "currency"
    WITHIN_SHARE = "within_share"
    WITHIN_COMMITMENT = "within_commitment"
    TYPE_ELIGIBLE = "type_eligible"
    CAPS = "caps"
    EXCLUDED_COSTS = "excluded_costs"
    PAYEE_NAME = "payee_name"
    SUPPLIER_NAME = "supplier_name"
    BUYER_NAME = "buyer_name"
    SUPPLIER_AFFILIATE = "supplier_affiliate"
    DUPLICATE_FILE = "duplicate_file"
    DUPLICATE_NUMBER = "duplicate_number"
    DUPLICATE_NEAR = "duplicate_near"
    DUPLICATE_TEXT = "duplicate_text"
    PROOF_OF_PAYMENT = "proof_of_payment"
    EVIDENCE = "evidence"

    @property
    def label(self) -> str:
        """What people read, as the claim it would be if the check passes."""
        return _LABELS[self]


_LABELS = {
    CheckCode.PLAN_APPROVED_FIRST: "Approved before the work began",
    CheckCode.ACTIVITY_IN_WINDOW: "Work within the programme's dates",
    CheckCode.INVOICE_IN_WINDOW: "Invoice within the programme's dates",
    CheckCode.FILED_IN_TIME: "Claim filed in time",
    CheckCode.CAMPAIGN_VERSION: "Sent what was approved",
    CheckCode.REACH: "Reach as claimed",
    CheckCode.CLICKS: "Clicks as reported",
    CheckCode.INVOICE_KIND: "An invoice, not a credit note",
    CheckCode.INVOICE_ADDS_UP: "Invoice adds up",
    CheckCode.LINES_MATCH_INVOICE: "Claimed lines are the invoice's",
    CheckCode.CURRENCY: "Currency",
    CheckCode.WITHIN_SHARE: "Within the share of the invoice",
    CheckCode.WITHIN_COMMITMENT: "Within what was approved",
    CheckCode.TYPE_ELIGIBLE: "Kind of work is paid for",
    CheckCode.CAPS: "Within the caps",
    CheckCode.EXCLUDED_COSTS: "No excluded costs",
    CheckCode.PAYEE_NAME: "Payee is the partner",
    CheckCode.SUPPLIER_NAME: "Supplier as planned",
    CheckCode.BUYER_NAME: "Invoice made out to the partner",
    CheckCode.SUPPLIER_AFFILIATE: "Supplier is independent",
    CheckCode.DUPLICATE_FILE: "File not filed before",
    CheckCode.DUPLICATE_NUMBER: "Invoice not filed before",
    CheckCode.DUPLICATE_NEAR: "No nearly equal invoice",
    CheckCode.DUPLICATE_TEXT: "Text not filed before",
    CheckCode.PROOF_OF_PAYMENT: "Proof of payment",
    CheckCode.EVIDENCE: "Evidence is complete",
}


class Verdict(StrEnum):
    """From the mildest to the hardest."""

    NOT_APPLICABLE = "not_applicable"
    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


_HARDNESS = {verdict: place for place, verdict in enumerate(Verdict)}


class Basis(StrEnum):
    """Where the values come from. Only what the service recorded may pass without a person's look."""

    RECORDED = "recorded"
    UPLOADED = "uploaded"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `expected`, `actual` and `tolerance` are texts to show side by side.

    `why` is one sentence; `mend` says what the partner or the reviewer can do, and is empty for a pass.
    """

    code: CheckCode
    verdict: Verdict
    expected: str
    actual: str
    tolerance: str
    why: str
    mend: str
    basis: Basis
    rule_version: str = RULE_VERSION


@dataclass(frozen=True, slots=True)
class CheckRules:
    """Tolerances with the defaults of the trade; a programme may set its own, and then its own `version`."""

    version: str = RULE_VERSION
    grace_days: int = 5
    reach_tolerance: Decimal = Decimal("0.05")
    click_tolerance: Decimal = Decimal("0.10")
    minor_units_per_line: int = 1
    same_name: int = 85  # of 100, by words in any order
    edit_distance: int = 1


class Check:
    """Makes the findings of one check; what each of them shares is said once."""

    def __init__(self, rules: CheckRules, code: CheckCode, basis: Basis, *, expected: str, tolerance: str) -> None:
        self._version, self._code, self._basis = rules.version, code, basis
        self._expected, self._tolerance = expected, tolerance

    def _make(self, verdict: Verdict, actual: str, why: str, mend: str) -> Finding:
        return Finding(
            code=self._code,
            verdict=verdict,
            expected=self._expected,
            actual=actual,
            tolerance=self._tolerance,
            why=why,
            mend=mend,
            basis=self._basis,
            rule_version=self._version,
        )

    def passed(self, actual: str, why: str) -> Finding:
        return self._make(Verdict.PASS, actual, why, "")

    def warned(self, actual: str, why: str, mend: str) -> Finding:
        return self._make(Verdict.WARN, actual, why, mend)

    def failed(self, actual: str, why: str, mend: str) -> Finding:
        return self._make(Verdict.FAIL, actual, why, mend)

    def skipped(self, why: str) -> Finding:
        return self._make(Verdict.NOT_APPLICABLE, "", why, "")


def worst(findings: Iterable[Finding], none: Finding) -> Finding:
    """The hardest of some findings of one check, with the actual values of all that are as hard; `none` for none."""
    found = list(findings)
    if not found:
        return none
    hardest = max(found, key=lambda finding: _HARDNESS[finding.verdict])
    actual = [finding.actual for finding in found if finding.verdict == hardest.verdict and finding.actual]
    return replace(hardest, actual="; ".join(dict.fromkeys(actual)))


def needs_person(findings: Iterable[Finding]) -> bool:
    """Whether a person must look: something warns or fails, or passes only by what was uploaded."""
    return any(
        finding.verdict in (Verdict.WARN, Verdict.FAIL)
        or (finding.verdict is Verdict.PASS and finding.basis is Basis.UPLOADED)
        for finding in findings
    )
