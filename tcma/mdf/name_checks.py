"""Checks of the companies named in a claim: alike is a matter of degree, so nothing here rejects by itself."""

from __future__ import annotations

import re
import unicodedata

from rapidfuzz import fuzz

from tcma.mdf.claim_facts import ClaimFacts, InvoiceFacts, each_invoice
from tcma.mdf.duplicates import normal_tax_id
from tcma.mdf.findings import Basis, Check, CheckCode, Finding

# Of no help in telling companies apart.
_LEGAL_FORMS = frozenset(
    """
    gmbh mbh ag kg kgaa ohg gbr ug ek se eg ltd limited llc llp inc incorporated corp corporation co company plc sa
    sas sarl eurl bv nv vof srl spa sl slu oy oyj ab as aps asa spzoo kft zrt sro doo
    """.split()  # noqa: SIM905 - a list of forty quoted words reads worse
)


def same_name(one: str, other: str) -> float:
    """0 to 100: how much two company names are alike, whatever their legal forms, accents and order of words."""
    return fuzz.token_set_ratio(_core(one), _core(other))


def _core(name: str) -> str:
    """The words that tell a company from others, in lower case: “Müller & Söhne G.m.b.H.” is “muller sohne”."""
    spread = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(char for char in spread if not unicodedata.combining(char))
    words = re.sub(r"[^\w ]+", " ", re.sub(r"(?<=\b\w)\.(?=\w\b|\s|$)", "", plain)).split()
    return " ".join(word for word in words if word not in _LEGAL_FORMS) or " ".join(words)


def _name(check: Check, facts: ClaimFacts, expected: str, actual: str, noun: str) -> Finding:
    if not expected:
        return check.skipped(f"No name is known that {noun} should have.")
    mend = "Compare the names. If they are one company, note why; else return the claim."
    if not actual:
        return check.warned("unknown", f"The name of {noun} is not known.", "Enter it from the document.")
    likeness = same_name(expected, actual)
    if likeness >= facts.rules.same_name:
        return check.passed(actual, f"The name of {noun} fits.")
    return check.warned(actual, f"The name of {noun} is alike by {likeness:.0f} of 100 only.", mend)


def _names(facts: ClaimFacts, code: CheckCode, expected: str) -> Check:
    return Check(
        facts.rules, code, Basis.UPLOADED, expected=expected, tolerance=f"{facts.rules.same_name} of 100 alike"
    )


def payee_name(facts: ClaimFacts) -> Finding:
    check = _names(facts, CheckCode.PAYEE_NAME, facts.partner.name)
    return _name(check, facts, facts.partner.name, facts.payee_name, "the payee")


def supplier_name(facts: ClaimFacts) -> Finding:
    check = _names(facts, CheckCode.SUPPLIER_NAME, facts.planned_supplier)
    return each_invoice(
        facts, check, lambda one: _name(check, facts, facts.planned_supplier, one.supplier, "the supplier")
    )


def buyer_name(facts: ClaimFacts) -> Finding:
    check = _names(facts, CheckCode.BUYER_NAME, facts.partner.name)
    return each_invoice(facts, check, lambda one: _name(check, facts, facts.partner.name, one.buyer, "the buyer"))


def supplier_affiliate(facts: ClaimFacts) -> Finding:
    check = _names(facts, CheckCode.SUPPLIER_AFFILIATE, "another company than the partner's own")
    own = [party for party in (facts.partner, *facts.affiliates) if party.name or party.tax_id]

    def judge(invoice: InvoiceFacts) -> Finding:
        tax_id = normal_tax_id(invoice.supplier_tax_id)
        for party in own:
            same_id = bool(tax_id) and tax_id == normal_tax_id(party.tax_id)
            alike = bool(party.name and invoice.supplier) and same_name(party.name, invoice.supplier) >= 90
            if same_id or alike:
                why = f"{invoice.supplier or invoice.supplier_tax_id} seems to belong to the partner ({party.name})."
                return check.warned(invoice.supplier, why, "Ask for the bill of an independent supplier, or note why.")
        if not invoice.supplier and not tax_id:
            return check.warned("unknown", "The supplier is not known.", "Enter the supplier from the document.")
        return check.passed(invoice.supplier, "The supplier is not known to belong to the partner.")

    return each_invoice(facts, check, judge) if own else check.skipped("Nothing is known of the partner's companies.")
