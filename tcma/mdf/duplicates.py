"""Whether an invoice was filed before: with this vendor, by any partner, who is never named to another."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from rapidfuzz.distance import OSA

from tcma.mdf.claim_facts import ClaimFacts, InvoiceFacts, KnownInvoice
from tcma.mdf.findings import Basis, CheckCode, Finding, Verdict, worst
from tcma.mdf.payable import shown
from tcma.money import Money

_SHORTEST_NEAR = 4  # characters: of shorter texts nearly all are near each other


def check_duplicates(facts: ClaimFacts) -> list[Finding]:
    """One finding for each of the four rules: same file, same number, nearly equal, same text."""
    return [
        _rule(facts, CheckCode.DUPLICATE_FILE, Verdict.FAIL, "the same file", _same_file),
        _rule(facts, CheckCode.DUPLICATE_NUMBER, Verdict.FAIL, "the same supplier and invoice number", _same_number),
        _rule(facts, CheckCode.DUPLICATE_NEAR, Verdict.WARN, "a nearly equal invoice", _near(facts)),
        _rule(facts, CheckCode.DUPLICATE_TEXT, Verdict.WARN, "an invoice with the same text", _same_text),
    ]


def normal_number(number: str) -> str:
    """An invoice number as it is compared: “inv 2026/007” and “INV-2026-7” are one, 1/11 and 11/1 are not."""
    parts = re.findall(r"[A-Z]+|[0-9]+", number.upper())
    return "-".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in parts)


def normal_tax_id(tax_id: str) -> str:
    """A tax number as it is compared: without blanks, dots and the country's letters in front."""
    return re.sub(r"^[A-Z]{2}(?=[0-9A-Z]{5})", "", re.sub(r"[^0-9A-Z]+", "", tax_id.upper()))


def _same_file(invoice: InvoiceFacts, known: KnownInvoice) -> str:
    return "the same file" if invoice.sha256 and invoice.sha256 == known.sha256 else ""


def _same_text(invoice: InvoiceFacts, known: KnownInvoice) -> str:
    return "the same text" if invoice.text_hash and invoice.text_hash == known.text_hash else ""


def _same_number(invoice: InvoiceFacts, known: KnownInvoice) -> str:
    number, tax_id = normal_number(invoice.number), normal_tax_id(invoice.supplier_tax_id)
    same = number == normal_number(known.number) and tax_id == normal_tax_id(known.supplier_tax_id)
    return "the same supplier and number" if number and tax_id and same else ""


def _near(facts: ClaimFacts) -> Callable[[InvoiceFacts, KnownInvoice], str]:
    distance = facts.rules.edit_distance

    def nearly_equal(invoice: InvoiceFacts, known: KnownInvoice) -> str:
        """Two of number, amount and date, each at most one keystroke apart.

        Of two suppliers known to differ, amount and date alone say nothing: many invoices of 500 are dated the 1st.
        """
        near = []
        if _close(normal_number(invoice.number), normal_number(known.number), distance):
            near.append("number")
        if _close_amounts(invoice.gross, known.gross, distance):
            near.append("amount")
        if _close(_digits(invoice.date), _digits(known.date), distance):
            near.append("date")
        one, other = normal_tax_id(invoice.supplier_tax_id), normal_tax_id(known.supplier_tax_id)
        if len(near) < 2 or (one and other and one != other and "number" not in near):
            return ""
        return f"nearly the same {' and '.join(near)}"

    return nearly_equal


def _close(one: str, other: str, distance: int) -> bool:
    """Equal, or both long enough and at most `distance` edits apart; swapping two neighbours is one."""
    if not one or not other:
        return False
    if min(len(one), len(other)) < _SHORTEST_NEAR:
        return one == other
    return OSA.distance(one, other, score_cutoff=distance) <= distance


def _close_amounts(one: Money | None, other: Money | None, distance: int) -> bool:
    if not one or not other or one.currency != other.currency:
        return False
    return _close(str(one.minor), str(other.minor), distance)


def _digits(day: date | None) -> str:
    return day.strftime("%Y%m%d") if day else ""


def _rule(
    facts: ClaimFacts,
    code: CheckCode,
    verdict: Verdict,
    expected: str,
    match: Callable[[InvoiceFacts, KnownInvoice], str],
) -> Finding:
    def finding(verdict: Verdict, actual: str, why: str, mend: str) -> Finding:
        tolerance = "1 keystroke in two of three" if code is CheckCode.DUPLICATE_NEAR else "none"
        return Finding(
            code=code, verdict=verdict, expected=f"not {expected}", actual=actual, tolerance=tolerance, why=why,
            mend=mend, basis=Basis.UPLOADED, rule_version=facts.rules.version,
        )  # fmt: skip

    found = []
    for invoice in facts.invoices:
        for known in facts.known_invoices:
            how = match(invoice, known)
            if how:
                why = f"{invoice.label} has {how} as an invoice filed before{_whose(known)}."
                found.append(finding(verdict, how, why, _MENDS[code]))
    if not facts.invoices:
        return finding(Verdict.NOT_APPLICABLE, "", "There is no invoice to compare.", "")
    clean = finding(Verdict.PASS, "", "Compared with all invoices filed with this vendor before.", "")
    return worst(found, clean)


def _whose(known: KnownInvoice) -> str:
    """How the earlier invoice is named: in full to its own partner, not at all to others."""
    if not known.own_partner:
        return " by another partner"
    told = [known.number and f"number {known.number}", known.gross and shown(known.gross)]
    details = ", ".join(str(part) for part in (*told, known.date) if part)
    return f" with claim {known.claim}" + (f" ({details})" if details else "")


_MENDS = {
    CheckCode.DUPLICATE_FILE: "Remove this file and upload the invoice of this activity.",
    CheckCode.DUPLICATE_NUMBER: "An invoice is paid once. Upload another invoice, or withdraw one of the claims.",
    CheckCode.DUPLICATE_NEAR: "Lay both invoices side by side, and deny the claim if they are one.",
    CheckCode.DUPLICATE_TEXT: "Lay both invoices side by side, and deny the claim if they are one.",
}
