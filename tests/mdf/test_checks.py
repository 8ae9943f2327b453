"""Every row of the reconciliation table, its default, its edge, and what it says to people."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcma.mdf.checks import (
    RULE_VERSION,
    Basis,
    Cap,
    CheckCode,
    CheckRules,
    ClaimFacts,
    Finding,
    InvoiceFacts,
    KnownInvoice,
    LineFacts,
    Party,
    Verdict,
    needs_person,
    payable_amount,
    run_checks,
)
from tcma.money import Money


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


INVOICE = InvoiceFacts(
    label="invoice.pdf",
    number="RE-2026-0815",
    date=date(2026, 3, 20),
    supplier="Printfix KG",
    supplier_tax_id="DE 123456789",
    buyer="Nordwind Marketing G.m.b.H.",
    net=eur(100_000),
    tax=eur(19_000),
    gross=eur(119_000),
    lines=(LineFacts("Mailing, design", eur(60_000)), LineFacts("Mailing, sending", eur(40_000))),
    sha256="f" * 64,
    text_hash="7" * 64,
)
CLEAN = ClaimFacts(
    claimed=eur(50_000),
    share_rate=Decimal("0.5"),
    window_from=date(2026, 1, 1),
    window_to=date(2026, 6, 30),
    submitted_on=date(2026, 4, 15),
    committed=eur(60_000),
    approved_on=date(2026, 2, 1),
    activity_from=date(2026, 3, 1),
    activity_to=date(2026, 3, 31),
    filing_deadline=date(2026, 4, 30),
    approved_version="a" * 64,
    executed_version="a" * 64,
    claimed_reach=1_000,
    delivered=1_000,
    reported_clicks=100,
    human_clicks=100,
    lines=INVOICE.lines,
    invoices=(INVOICE,),
    activity_type="email",
    eligible_types=frozenset({"email", "webinar"}),
    caps=(Cap("each claim", eur(50_000), eur(0)), Cap("this year", eur(500_000), eur(450_000))),
    excluded_costs=("travel", "alcohol"),
    partner=Party("Nordwind Marketing GmbH", "DE999999999"),
    affiliates=(Party("Südwind Druck GmbH", "DE111111111"),),
    payee_name="NORDWIND MARKETING",
    planned_supplier="Printfix",
    proof_of_payment_required=True,
    has_proof_of_payment=True,
    required_evidence=frozenset({"invoice", "payment_receipt"}),
    attached_evidence=frozenset({"invoice", "payment_receipt", "photo"}),
)


def find(facts: ClaimFacts, code: CheckCode) -> Finding:
    (finding,) = [finding for finding in run_checks(facts) if finding.code is code]
    return finding


def with_invoice(**changes: object) -> ClaimFacts:
    return replace(CLEAN, invoices=(replace(INVOICE, **changes),))  # type: ignore[arg-type]


def test_a_clean_claim_passes_every_check() -> None:
    findings = run_checks(CLEAN)
    assert [finding.code for finding in findings] == list(CheckCode)
    assert {finding.verdict for finding in findings} == {Verdict.PASS}
    assert all(finding.mend == "" and finding.why and finding.rule_version == RULE_VERSION for finding in findings)
    assert payable_amount(CLEAN).amount == CLEAN.claimed


def test_an_empty_claim_gets_a_finding_for_each_check_and_none_breaks() -> None:
    bare = ClaimFacts(eur(100), Decimal("0.5"), date(2026, 1, 1), date(2026, 6, 30), date(2026, 2, 1))
    findings = run_checks(bare)
    assert [finding.code for finding in findings] == list(CheckCode)
    assert find(bare, CheckCode.WITHIN_SHARE).verdict == "fail"
    assert find(bare, CheckCode.REACH).verdict == "not_applicable"
    assert payable_amount(bare).amount == eur(0)


def test_what_fails_or_warns_always_says_why_and_how_to_mend() -> None:
    worse = replace(
        CLEAN, claimed=eur(900_000), approved_on=None, activity_to=None, submitted_on=date(2027, 1, 1), delivered=1,
        executed_version=None, human_clicks=1, invoices=(InvoiceFacts("x.pdf", is_credit_note=True),),
        activity_type="tv", payee_name="", has_proof_of_payment=False, attached_evidence=frozenset(), lines=(),
    )  # fmt: skip
    bad = [finding for finding in run_checks(worse) if finding.verdict in ("warn", "fail")]
    assert len(bad) > 15
    for finding in bad:
        assert finding.why.endswith("."), finding
        assert finding.mend.endswith("."), finding
        assert finding.code.label


def test_only_what_the_service_recorded_passes_without_a_person() -> None:
    findings = run_checks(CLEAN)
    assert needs_person(findings)
    recorded = [finding for finding in findings if finding.basis is Basis.RECORDED]
    assert not needs_person(recorded)
    uploaded = {finding.code for finding in findings if finding.basis is Basis.UPLOADED}
    assert {
        CheckCode.INVOICE_ADDS_UP,
        CheckCode.WITHIN_SHARE,
        CheckCode.BUYER_NAME,
        CheckCode.DUPLICATE_FILE,
    } <= uploaded
    assert {CheckCode.REACH, CheckCode.CLICKS, CheckCode.CAMPAIGN_VERSION}.isdisjoint(uploaded)


@pytest.mark.parametrize(
    ("approved_on", "verdict"),
    [(date(2026, 2, 28), "pass"), (date(2026, 3, 1), "pass"), (date(2026, 3, 2), "fail"), (None, "fail")],
)
def test_the_plan_must_be_approved_before_the_work(approved_on: date | None, verdict: str) -> None:
    assert find(replace(CLEAN, approved_on=approved_on), CheckCode.PLAN_APPROVED_FIRST).verdict == verdict


@pytest.mark.parametrize(("days", "verdict"), [(0, "pass"), (1, "warn"), (5, "warn"), (6, "fail")])
def test_dates_have_five_days_of_grace(days: int, verdict: str) -> None:
    late = timedelta(days=days)
    assert find(replace(CLEAN, activity_to=date(2026, 6, 30) + late), CheckCode.ACTIVITY_IN_WINDOW).verdict == verdict
    assert find(with_invoice(date=date(2026, 6, 30) + late), CheckCode.INVOICE_IN_WINDOW).verdict == verdict
    assert find(with_invoice(date=date(2026, 1, 1) - late), CheckCode.INVOICE_IN_WINDOW).verdict == verdict
    assert find(replace(CLEAN, submitted_on=date(2026, 4, 30) + late), CheckCode.FILED_IN_TIME).verdict == verdict


def test_grace_is_the_programmes_to_set() -> None:
    strict = replace(CLEAN, rules=CheckRules(version="p7", grace_days=0), submitted_on=date(2026, 5, 1))
    finding = find(strict, CheckCode.FILED_IN_TIME)
    assert (finding.verdict, finding.tolerance, finding.rule_version) == ("fail", "0 days", "p7")


def test_work_without_dates_or_ending_before_it_begins_fails() -> None:
    assert find(replace(CLEAN, activity_from=None), CheckCode.ACTIVITY_IN_WINDOW).verdict == "fail"
    assert find(replace(CLEAN, activity_to=date(2026, 2, 1)), CheckCode.ACTIVITY_IN_WINDOW).verdict == "fail"


@pytest.mark.parametrize(
    ("approved", "executed", "verdict"),
    [("a", "a", "pass"), ("a", "b", "fail"), ("a", None, "fail"), (None, None, "not_applicable")],
)
def test_what_was_sent_must_be_what_was_approved(approved: str | None, executed: str | None, verdict: str) -> None:
    facts = replace(CLEAN, approved_version=approved, executed_version=executed)
    assert find(facts, CheckCode.CAMPAIGN_VERSION).verdict == verdict


@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [(1_000, "pass"), (1_050, "pass"), (1_051, "fail"), (950, "pass"), (949, "warn"), (None, "pass")],
)
def test_reach_may_differ_by_five_per_cent(claimed: int | None, verdict: str) -> None:
    finding = find(replace(CLEAN, claimed_reach=claimed), CheckCode.REACH)
    assert (finding.verdict, finding.tolerance, finding.expected) == (verdict, "5 %", "1,000 deliveries")


@pytest.mark.parametrize(("reported", "verdict"), [(110, "pass"), (111, "warn"), (100_000, "warn"), (1, "pass")])
def test_clicks_flag_and_never_reject(reported: int, verdict: str) -> None:
    assert find(replace(CLEAN, reported_clicks=reported), CheckCode.CLICKS).verdict == verdict


def test_nothing_delivered_supports_no_reach() -> None:
    assert find(replace(CLEAN, delivered=0, claimed_reach=1), CheckCode.REACH).verdict == "fail"
    assert find(replace(CLEAN, delivered=0, claimed_reach=0), CheckCode.REACH).verdict == "pass"


@pytest.mark.parametrize(
    ("gross", "verdict"),
    [(119_000, "pass"), (119_002, "pass"), (118_998, "pass"), (119_003, "fail"), (100_000, "fail")],
)
def test_lines_and_tax_make_the_total_within_a_unit_a_line(gross: int, verdict: str) -> None:
    assert find(with_invoice(gross=eur(gross)), CheckCode.INVOICE_ADDS_UP).verdict == verdict


def test_lines_that_do_not_make_the_net_fail_even_if_the_total_fits() -> None:
    assert find(with_invoice(net=eur(90_000), tax=eur(29_000)), CheckCode.INVOICE_ADDS_UP).verdict == "fail"


def test_an_invoice_with_unknown_amounts_is_for_a_person() -> None:
    assert find(with_invoice(tax=None), CheckCode.INVOICE_ADDS_UP).verdict == "warn"
    assert find(with_invoice(tax=Money(1, "USD")), CheckCode.INVOICE_ADDS_UP).verdict == "fail"


def test_a_credit_note_is_no_cost() -> None:
    assert find(with_invoice(is_credit_note=True), CheckCode.INVOICE_KIND).verdict == "fail"


def test_more_lines_than_the_invoice_has_fail() -> None:
    assert (
        find(replace(CLEAN, lines=(LineFacts("all", eur(100_002)),)), CheckCode.LINES_MATCH_INVOICE).verdict == "fail"
    )
    assert (
        find(replace(CLEAN, lines=(LineFacts("all", eur(100_001)),)), CheckCode.LINES_MATCH_INVOICE).verdict == "pass"
    )


def test_the_excess_over_the_share_is_short_paid() -> None:
    facts = replace(CLEAN, claimed=eur(55_000), caps=())
    finding = find(facts, CheckCode.WITHIN_SHARE)
    assert (finding.verdict, finding.expected, finding.actual) == ("fail", "at most EUR 500.00", "EUR 550.00")
    assert finding.mend == "Pay EUR 500.00 and tell why."
    payable = payable_amount(facts)
    assert (payable.amount, payable.short_by) == (eur(50_000), eur(5_000))
    assert [reduction.code for reduction in payable.reductions] == [CheckCode.WITHIN_SHARE]


def test_the_lowest_limit_decides_what_is_payable() -> None:
    facts = replace(CLEAN, claimed=eur(70_000), caps=(Cap("this year", eur(100_000), eur(60_000)),))
    payable = payable_amount(facts)
    assert payable.amount == eur(40_000)
    assert [reduction.code for reduction in payable.reductions] == ["caps", "within_share", "within_commitment"]
    assert find(facts, CheckCode.WITHIN_COMMITMENT).verdict == "fail"
    assert find(facts, CheckCode.CAPS).verdict == "fail"


def test_a_cap_that_is_used_up_leaves_nothing_never_less() -> None:
    facts = replace(CLEAN, caps=(Cap("this year", eur(100), eur(500)),))
    assert payable_amount(facts).amount == eur(0)


def test_without_a_commitment_nothing_was_approved_to_pay() -> None:
    assert find(replace(CLEAN, committed=None), CheckCode.WITHIN_COMMITMENT).verdict == "fail"


def test_the_share_may_be_of_the_total_with_tax() -> None:
    facts = replace(CLEAN, share_of="gross", claimed=eur(59_500), caps=(), lines=())
    assert find(facts, CheckCode.WITHIN_SHARE).verdict == "pass"


def test_a_share_of_an_odd_cent_rounds_half_to_even() -> None:
    facts = replace(with_invoice(net=eur(101)), lines=())
    assert payable_amount(replace(facts, claimed=eur(100))).amount == eur(50)


def test_another_currency_needs_a_rate_frozen_at_approval() -> None:
    dollars = with_invoice(net=Money(100_000, "USD"), tax=Money(0, "USD"), gross=Money(100_000, "USD"), lines=())
    dollars = replace(dollars, lines=(), caps=())
    assert find(dollars, CheckCode.CURRENCY).verdict == "fail"
    assert find(dollars, CheckCode.WITHIN_SHARE).verdict == "fail"
    assert payable_amount(dollars).amount == eur(0)
    agreed = replace(dollars, frozen_rates={"USD": Decimal("0.9")})
    assert find(agreed, CheckCode.CURRENCY).verdict == "pass"
    assert payable_amount(agreed).amount == eur(45_000)


def test_kinds_of_work_that_are_not_paid_for_fail() -> None:
    assert find(replace(CLEAN, activity_type="tv"), CheckCode.TYPE_ELIGIBLE).verdict == "fail"
    assert find(replace(CLEAN, eligible_types=frozenset()), CheckCode.TYPE_ELIGIBLE).verdict == "not_applicable"


def test_excluded_costs_are_taken_out_of_what_is_payable() -> None:
    lines = (LineFacts("Mailing", eur(60_000)), LineFacts("Flight", eur(40_000), category="Travel"))
    facts = replace(CLEAN, lines=lines)
    assert find(facts, CheckCode.EXCLUDED_COSTS).verdict == "fail"
    assert payable_amount(facts).amount == eur(30_000)
    in_invoice = replace(with_invoice(lines=lines), lines=())
    assert payable_amount(in_invoice).amount == eur(30_000)


@pytest.mark.parametrize(
    ("words", "verdict"), [("Travel to the fair", "warn"), ("Travels", "warn"), ("Travelogue print", "pass")]
)
def test_words_that_name_an_excluded_cost_are_for_a_person(words: str, verdict: str) -> None:
    facts = replace(CLEAN, lines=(LineFacts(words, eur(100_000)),))
    assert find(facts, CheckCode.EXCLUDED_COSTS).verdict == verdict
    assert payable_amount(facts).amount == CLEAN.claimed


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("Nordwind Marketing", "pass"),
        ("NORDWIND-MARKETING AG", "pass"),
        ("Marketing Nordwind", "pass"),
        ("Nordwind Markting GmbH", "pass"),
        ("Südwind Logistik GmbH", "warn"),
        ("", "warn"),
    ],
)
def test_names_are_compared_loosely_and_never_reject(name: str, verdict: str) -> None:
    assert find(replace(CLEAN, payee_name=name), CheckCode.PAYEE_NAME).verdict == verdict
    assert find(with_invoice(buyer=name), CheckCode.BUYER_NAME).verdict == verdict


def test_names_of_legal_forms_alone_still_compare() -> None:
    assert (
        find(replace(CLEAN, partner=Party("Company Limited"), payee_name="Co Ltd"), CheckCode.PAYEE_NAME).verdict
        == "warn"
    )


@pytest.mark.parametrize(
    ("supplier", "tax_id", "verdict"),
    [
        ("Suedwind", "111 111 111", "warn"),
        ("Südwind Druck", "", "warn"),
        ("Nordwind Marketing", "", "warn"),
        ("Printfix", "DE123456789", "pass"),
        ("", "", "warn"),
    ],
)
def test_a_supplier_of_the_partners_own_is_flagged(supplier: str, tax_id: str, verdict: str) -> None:
    facts = with_invoice(supplier=supplier, supplier_tax_id=tax_id)
    assert find(facts, CheckCode.SUPPLIER_AFFILIATE).verdict == verdict


@pytest.mark.parametrize(
    ("required", "present", "verdict"),
    [(True, True, "pass"), (True, False, "fail"), (False, False, "not_applicable"), (False, True, "not_applicable")],
)
def test_proof_of_payment_is_the_programmes_wish(required: bool, present: bool, verdict: str) -> None:
    facts = replace(CLEAN, proof_of_payment_required=required, has_proof_of_payment=present)
    assert find(facts, CheckCode.PROOF_OF_PAYMENT).verdict == verdict


def test_missing_evidence_is_named() -> None:
    finding = find(replace(CLEAN, attached_evidence=frozenset({"invoice"})), CheckCode.EVIDENCE)
    assert (finding.verdict, finding.mend) == ("fail", "Attach what is missing: payment receipt.")


def test_of_several_invoices_the_worst_is_told_and_all_are_added() -> None:
    second = replace(INVOICE, label="second.pdf", date=date(2027, 1, 1), number="2")
    facts = replace(CLEAN, invoices=(INVOICE, second), lines=(), claimed=eur(100_000), committed=eur(100_000), caps=())
    finding = find(facts, CheckCode.INVOICE_IN_WINDOW)
    assert (finding.verdict, finding.actual) == ("fail", "2027-01-01")
    assert "second.pdf" in finding.why
    assert payable_amount(facts).amount == eur(100_000)


amounts = st.integers(0, 10**9).map(eur)


@settings(deadline=None)
@given(amounts, amounts, amounts, st.decimals(0, 1, places=4), amounts, amounts)
def test_what_is_payable_never_exceeds_any_limit(
    claimed: Money, net: Money, committed: Money, rate: Decimal, limit: Money, used: Money
) -> None:
    facts = replace(
        with_invoice(net=net), claimed=claimed, committed=committed, share_rate=rate, lines=(),
        caps=(Cap("year", limit, used),),
    )  # fmt: skip
    payable = payable_amount(facts)
    zero = eur(0)
    assert zero <= payable.amount <= claimed
    assert payable.amount <= max(zero, committed)
    assert payable.amount <= max(zero, limit - used)
    assert payable.short_by + payable.amount == claimed
    assert bool(payable.reductions) is bool(payable.short_by)
    failing = {finding.code for finding in run_checks(facts) if finding.verdict == "fail"}
    assert {reduction.code for reduction in payable.reductions} <= failing


maybe_money = st.none() | st.builds(Money, st.integers(-(10**6), 10**6), st.sampled_from(["EUR", "USD", "JPY"]))
maybe_date = st.none() | st.dates()
this_century = st.dates(date(2000, 1, 1), date(2099, 1, 1))
words = st.text(max_size=20)
line_facts = st.builds(LineFacts, words, st.builds(Money, st.integers(-999, 999), st.sampled_from(["EUR", "USD"])))
invoice_facts = st.builds(
    InvoiceFacts, label=words, number=words, date=maybe_date, supplier=words, supplier_tax_id=words, buyer=words,
    net=maybe_money, tax=maybe_money, gross=maybe_money, lines=st.lists(line_facts, max_size=3).map(tuple),
    sha256=words, text_hash=words, is_credit_note=st.booleans(),
)  # fmt: skip
known_facts = st.builds(
    KnownInvoice, claim=words, own_partner=st.booleans(), number=words, date=maybe_date, supplier_tax_id=words,
    gross=maybe_money, sha256=words, text_hash=words,
)  # fmt: skip


@settings(deadline=None)
@given(
    st.builds(
        ClaimFacts, claimed=amounts, share_rate=st.decimals(0, 1, places=3), window_from=this_century,
        window_to=this_century, submitted_on=st.dates(), committed=st.none() | amounts,
        approved_on=maybe_date, activity_from=maybe_date, activity_to=maybe_date, filing_deadline=maybe_date,
        claimed_reach=st.none() | st.integers(0), delivered=st.none() | st.integers(0),
        known_invoices=st.lists(known_facts, max_size=3).map(tuple), partner=st.builds(Party, words, words),
        reported_clicks=st.none() | st.integers(0), human_clicks=st.none() | st.integers(0), payee_name=words,
        invoices=st.lists(invoice_facts, max_size=3).map(tuple),
        lines=st.lists(line_facts, max_size=3).map(tuple), excluded_costs=st.lists(words, max_size=2).map(tuple),
        frozen_rates=st.dictionaries(st.just("USD"), st.decimals("0.01", 10, places=4)), planned_supplier=words,
    )
)  # fmt: skip
def test_any_facts_give_each_finding_once(facts: ClaimFacts) -> None:
    findings = run_checks(facts)
    assert [finding.code for finding in findings] == list(CheckCode)
    assert all(finding.why for finding in findings)
    assert run_checks(facts) == findings
