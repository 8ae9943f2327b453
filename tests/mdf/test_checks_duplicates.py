"""An invoice is paid once, whoever files it, and no partner learns of another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from tcma.mdf.checks import (
    CheckCode,
    ClaimFacts,
    Finding,
    InvoiceFacts,
    KnownInvoice,
    normal_number,
    normal_tax_id,
    run_checks,
)
from tcma.money import Money

INVOICE = InvoiceFacts(
    label="invoice.pdf", number="RE-2026-0815", date=date(2026, 3, 20), supplier="Printfix KG",
    supplier_tax_id="DE 123456789", gross=Money(119_000, "EUR"), sha256="f" * 64, text_hash="7" * 64,
)  # fmt: skip
OTHER = KnownInvoice(
    claim="C-2026-0042", own_partner=True, number="XX-9999", date=date(2025, 11, 3), supplier_tax_id="FR555555555",
    gross=Money(7, "EUR"), sha256="0" * 64, text_hash="1" * 64,
)  # fmt: skip


def find(code: CheckCode, *known: KnownInvoice, invoice: InvoiceFacts = INVOICE) -> Finding:
    facts = ClaimFacts(
        Money(100, "EUR"), Decimal("0.5"), date(2026, 1, 1), date(2026, 6, 30), date(2026, 4, 1),
        invoices=(invoice,), known_invoices=known,
    )  # fmt: skip
    (finding,) = [finding for finding in run_checks(facts) if finding.code is code]
    return finding


DUPLICATES = [CheckCode.DUPLICATE_FILE, CheckCode.DUPLICATE_NUMBER, CheckCode.DUPLICATE_NEAR, CheckCode.DUPLICATE_TEXT]


@pytest.mark.parametrize("code", DUPLICATES)
def test_an_unknown_invoice_passes(code: CheckCode) -> None:
    assert find(code).verdict == "pass"
    assert find(code, OTHER).verdict == "pass"


def test_the_same_file_blocks() -> None:
    assert find(CheckCode.DUPLICATE_FILE, OTHER, replace(OTHER, sha256="f" * 64)).verdict == "fail"


@pytest.mark.parametrize(
    ("number", "tax_id", "verdict"),
    [
        ("RE-2026-0815", "DE123456789", "fail"),
        ("re 2026/815", "123.456.789", "fail"),
        ("RE-2026-0816", "DE123456789", "pass"),
        ("RE-2026-0815", "DE123456788", "pass"),
        ("", "DE123456789", "pass"),
        ("RE-2026-0815", "", "pass"),
    ],
)
def test_the_same_supplier_and_number_block_however_they_are_written(number: str, tax_id: str, verdict: str) -> None:
    known = replace(OTHER, number=number, supplier_tax_id=tax_id)
    assert find(CheckCode.DUPLICATE_NUMBER, known).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"number": "RE-2026-0815", "gross": Money(119_000, "EUR")}, "warn"),
        ({"number": "RE-2026-0816", "gross": Money(119_000, "EUR")}, "warn"),
        ({"number": "RE-2026-8015", "gross": Money(119_000, "EUR")}, "warn"),
        ({"number": "RE-2026-0815", "gross": Money(118_000, "EUR")}, "warn"),
        ({"number": "RE-2026-0815", "gross": Money(1_190_000, "EUR")}, "warn"),
        ({"number": "RE-2026-0815", "date": date(2026, 3, 21)}, "warn"),
        ({"gross": Money(119_000, "EUR"), "date": date(2026, 3, 2), "supplier_tax_id": ""}, "warn"),
        ({"gross": Money(119_000, "EUR"), "date": date(2026, 3, 20), "supplier_tax_id": "123456789"}, "warn"),
        ({"gross": Money(119_000, "EUR"), "date": date(2026, 3, 20)}, "pass"),  # two suppliers known to differ
        ({"number": "RE-2026-0827", "gross": Money(119_000, "EUR")}, "pass"),
        ({"number": "RE-2026-0815", "gross": Money(119_000, "USD")}, "pass"),
        ({"number": "RE-2026-0815"}, "pass"),
        ({"gross": Money(119_000, "EUR")}, "pass"),
    ],
)
def test_two_of_three_at_most_a_keystroke_apart_go_to_review(changes: dict[str, object], verdict: str) -> None:
    assert find(CheckCode.DUPLICATE_NEAR, replace(OTHER, **changes)).verdict == verdict  # type: ignore[arg-type]


def test_short_numbers_are_near_only_when_equal() -> None:
    invoice = replace(INVOICE, number="7")
    eight = replace(OTHER, number="8", gross=Money(119_000, "EUR"))
    assert find(CheckCode.DUPLICATE_NEAR, eight, invoice=invoice).verdict == "pass"
    assert find(CheckCode.DUPLICATE_NEAR, replace(eight, number="07"), invoice=invoice).verdict == "warn"


def test_the_same_text_goes_to_review() -> None:
    assert find(CheckCode.DUPLICATE_TEXT, replace(OTHER, text_hash="7" * 64)).verdict == "warn"


def test_empty_hashes_are_never_equal() -> None:
    bare = replace(INVOICE, sha256="", text_hash="")
    known = replace(OTHER, sha256="", text_hash="")
    assert {find(code, known, invoice=bare).verdict for code in DUPLICATES} == {"pass"}


def test_an_earlier_claim_of_ones_own_is_named() -> None:
    why = find(CheckCode.DUPLICATE_FILE, replace(OTHER, sha256="f" * 64)).why
    assert "claim C-2026-0042" in why
    assert "EUR 0.07" in why


@pytest.mark.parametrize("code", DUPLICATES)
def test_another_partner_is_never_named(code: CheckCode) -> None:
    known = KnownInvoice(
        claim="C-2026-0042", own_partner=False, number="RE-2026-0815", date=date(2026, 3, 22),
        supplier_tax_id="DE123456789", gross=Money(119_001, "EUR"), sha256="f" * 64, text_hash="7" * 64,
    )  # fmt: skip
    finding = find(code, known)
    assert finding.verdict in ("warn", "fail")
    told = f"{finding.expected} {finding.actual} {finding.why} {finding.mend}"
    assert "another partner" in told
    for secret in ("C-2026-0042", "2026-03-22", "1,190.01", "0815"):
        assert secret not in told


def test_a_claim_without_invoices_has_nothing_to_compare() -> None:
    facts = ClaimFacts(Money(100, "EUR"), Decimal("0.5"), date(2026, 1, 1), date(2026, 6, 30), date(2026, 4, 1))
    verdicts = {finding.verdict for finding in run_checks(facts) if finding.code in DUPLICATES}
    assert verdicts == {"not_applicable"}


@pytest.mark.parametrize(
    ("number", "normal"),
    [("INV-00123", "INV-123"), ("inv123", "INV-123"), ("2026/007", "2026-7"), ("1/11", "1-11"), ("0", "0"), ("—", "")],
)
def test_invoice_numbers_have_one_spelling(number: str, normal: str) -> None:
    assert normal_number(number) == normal


@pytest.mark.parametrize(
    ("tax_id", "normal"),
    [("DE 123 456 789", "123456789"), ("123.456.789", "123456789"), ("ATU12345678", "U12345678"), ("", "")],
)
def test_tax_numbers_have_one_spelling(tax_id: str, normal: str) -> None:
    assert normal_tax_id(tax_id) == normal
