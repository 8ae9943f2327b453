"""A payment file says the same each time, proves itself, and starts no formula at finance's desk."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcma.errors import Invalid
from tcma.mdf.payment_files import (
    HEADER,
    Payment,
    PaymentBatch,
    PaymentTotals,
    check_iban,
    check_payment_csv,
    content_hash,
    end_to_end_id,
    is_iban,
    payment_csv,
)
from tcma.money import Money

GERMAN = "DE89370400440532013000"
ONE = Payment(
    "p1", "Nordwind GmbH", "DE89 3704 0044 0532 0130 00", Money(123450, "EUR"), "C-2026-001", "COBADEFFXXX", "DE"
)
TWO = Payment("p2", "Beta SARL", "FR14 2004 1010 0505 0001 3M02 606", Money(50, "EUR"), "C-2026-002")
BATCH = PaymentBatch("b1", "P-2026-001", "Vendor AG", "EUR", datetime(2026, 3, 1, 12, tzinfo=UTC), (ONE, TWO))


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize(
    "iban",
    ["DE89370400440532013000", "gb29 nwbk 6016 1331 9268 19", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"],
)
def test_real_ibans_pass(iban: str) -> None:
    assert check_iban(iban) == iban.replace(" ", "").upper()
    assert is_iban(iban)


@pytest.mark.parametrize(
    ("iban", "says"),
    [
        ("", "begins with two letters"),
        ("12345678901234", "begins with two letters"),
        ("DE8937040044053201300", "22 characters; this one has 21"),
        ("DE88370400440532013000", "check digits"),
        ("XX89370400440532013000", "no country with IBANs"),
        ("DE89370400440532013\u0660\u0660\u0660", "begins with two letters"),
    ],
)
def test_wrong_ibans_are_refused_with_what_is_wrong(iban: str, says: str) -> None:
    with pytest.raises(Invalid, match=re.escape(says)):
        check_iban(iban)
    assert not is_iban(iban)


@settings(deadline=None)
@given(st.integers(0, 21), st.sampled_from("0123456789"))
def test_one_wrong_digit_is_always_seen(place: int, digit: str) -> None:
    changed = GERMAN[:place] + digit + GERMAN[place + 1 :]
    assert is_iban(changed) is (changed == GERMAN)


@settings(deadline=None)
@given(st.integers(2, 20))
def test_two_digits_swapped_are_always_seen(place: int) -> None:
    swapped = GERMAN[:place] + GERMAN[place + 1] + GERMAN[place] + GERMAN[place + 2 :]
    assert is_iban(swapped) is (swapped == GERMAN)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_an_iban_or_not(text: str) -> None:
    assert is_iban(text) in (True, False)


def test_the_banks_reference_is_the_same_each_time_and_no_longer_than_35() -> None:
    batch, payment = UUID(int=1), UUID(int=2)
    reference = end_to_end_id(batch, payment)
    assert reference == end_to_end_id(str(batch), str(payment))
    assert re.fullmatch(r"[A-Z0-9]{35}", reference)
    assert len({reference, end_to_end_id(payment, batch), end_to_end_id(batch, batch), end_to_end_id("1", "12"),
                end_to_end_id("11", "2"), end_to_end_id("1:1", "2"), end_to_end_id("1", "1:2")}) == 7  # fmt: skip


def test_the_same_batch_makes_the_same_bytes() -> None:
    assert payment_csv(BATCH) == payment_csv(replace(BATCH))
    assert content_hash(payment_csv(BATCH)) != content_hash(payment_csv(replace(BATCH, number="P-2026-002")))


def test_each_payment_is_a_row_with_a_plain_amount() -> None:
    first, second = rows(payment_csv(BATCH))[:2]
    assert first == {
        "record": "payment", "end_to_end_id": end_to_end_id("b1", "p1"), "payee": "Nordwind GmbH", "account": GERMAN,
        "bic": "COBADEFFXXX", "country": "DE", "town": "", "amount": "1234.50", "currency": "EUR",
        "reference": "C-2026-001",
    }  # fmt: skip
    assert second["amount"] == "0.50"


def test_the_control_block_tells_count_total_and_hash() -> None:
    control = {row["end_to_end_id"]: row for row in rows(payment_csv(BATCH)) if row["record"] == "control"}
    assert control["payments"]["payee"] == "2"
    assert (control["total"]["amount"], control["total"]["currency"]) == ("1235.00", "EUR")
    assert re.fullmatch(r"[0-9a-f]{64}", control["sha256"]["payee"])
    assert check_payment_csv(payment_csv(BATCH)) == PaymentTotals("P-2026-001", 2, Money(123500, "EUR"))


def test_yen_have_no_decimals_in_the_file() -> None:
    batch = replace(BATCH, currency="JPY", payments=(replace(ONE, amount=Money(1235, "JPY")),))
    assert rows(payment_csv(batch))[0]["amount"] == "1235"


def test_a_changed_file_is_refused() -> None:
    content = payment_csv(BATCH)
    for before, after in [(b"1234.50", b"9234.50"), (b"Nordwind", b"Southwnd"), (b"P-2026-001", b"P-2026-009")]:
        with pytest.raises(Invalid, match="was changed after it was made"):
            check_payment_csv(content.replace(before, after))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_any_change_of_bytes_is_seen(place: int, change: bytes) -> None:
    content = payment_csv(BATCH)
    place %= len(content)
    changed = content[:place] + change + content[place + len(change) :]
    if changed != content:
        with pytest.raises(Invalid):
            check_payment_csv(changed)


@settings(deadline=None)
@given(st.one_of(st.binary(), st.text().map(str.encode), st.just((",".join(HEADER) + "\r\n").encode() * 4)))
def test_any_other_file_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        check_payment_csv(content)


def test_names_start_no_formula_and_no_new_line() -> None:
    evil = replace(ONE, payee="=HYPERLINK(0)", reference="a\r\n@SUM(1)", town="-1")
    content = payment_csv(replace(BATCH, payments=(evil,)))
    row = rows(content)[0]
    assert (row["payee"], row["reference"], row["town"]) == ("'=HYPERLINK(0)", "a @SUM(1)", "'-1")
    assert check_payment_csv(content).count == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"amount": Money(100, "USD")}, "The batch is in EUR, this payment in USD"),
        ({"amount": Money(0, "EUR")}, "not above zero"),
        ({"amount": Money(-5, "EUR")}, "not above zero"),
        ({"payee": " \n"}, "no name"),
        ({"account": ""}, "no account number"),
        ({"account": "DE89370400440532013001"}, "check digits"),
        ({"account": "=1+1"}, "no account number"),
        ({"bic": "NOPE"}, "BIC"),
    ],
)
def test_a_payment_that_cannot_be_made_is_refused_by_its_reference(change: dict[str, object], says: str) -> None:
    batch = replace(BATCH, payments=(replace(ONE, **change), TWO))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match=says) as refused:
        payment_csv(batch)
    assert list(refused.value.fields) == ["C-2026-001"]


def test_an_account_number_without_iban_is_taken() -> None:
    assert (
        rows(payment_csv(replace(BATCH, payments=(replace(ONE, account="0123-456 789"),))))[0]["account"]
        == "0123456789"
    )


def test_an_empty_batch_and_a_payment_twice_are_refused() -> None:
    with pytest.raises(Invalid, match="no payment"):
        payment_csv(replace(BATCH, payments=()))
    with pytest.raises(Invalid, match="twice"):
        payment_csv(replace(BATCH, payments=(ONE, TWO, replace(ONE))))
