"""Money stays exact, in one currency, and is read as typed or not at all."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tcma.errors import Invalid
from tcma.money import EXPONENTS, MOST_TYPED, CurrencyMismatch, Money, exponent

currencies = st.sampled_from(sorted(EXPONENTS))
minors = st.integers(min_value=-MOST_TYPED, max_value=MOST_TYPED)
moneys = st.builds(Money, minors, currencies)
LOCALES = [
    "en",
    "de",
    "fr",
    "es",
    "nl",
    "it",
    "de_CH",
    "fr-CH",
    "en_IN",
    "sv",
    "pl",
    "pt_BR",
    "ja",
    "ar",
    "he",
    "hi",
]


@pytest.mark.parametrize(("currency", "places"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("IQD", 3)])
def test_decimals_follow_iso_4217(currency: str, places: int) -> None:
    assert exponent(currency) == places


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XXX", "€", "ZZZ"])
def test_unknown_currency_is_refused(code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Money(1, code)
    assert "currency" in refusal.value.fields


def test_floats_never_become_money() -> None:
    with pytest.raises(TypeError):
        Money(1.0, "EUR")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Money.of(1.5, "EUR")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Money(100, "EUR").share(0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Money(100, "EUR") * 0.5  # type: ignore[operator]
    with pytest.raises(Invalid):
        Money.from_json({"amount": 1.5, "currency": "EUR"})


@pytest.mark.parametrize(
    ("text", "currency", "locale", "minor"),
    [
        ("1,234.50", "EUR", "en", 123450),
        ("1234.5", "EUR", "en", 123450),
        (".5", "EUR", "en", 50),
        ("  € 1.234,50 ", "EUR", "de", 123450),
        ("1 234,50\u00a0€", "EUR", "fr", 123450),
        ("1’234.50", "CHF", "de_CH", 123450),
        ("CHF 1'234.50", "CHF", "de-CH", 123450),
        ("12,34,567.50", "INR", "en_IN", 123456750),
        ("1,234,567", "JPY", "ja", 1234567),
        ("1,234.567", "KWD", "en", 1234567),
        ("100 eur", "EUR", "en", 10000),
        ("１２３", "EUR", "en", 12300),
        ("١٢٣", "EUR", "en", 12300),
        ("0", "EUR", "en", 0),
        ("-0.00", "EUR", "en", 0),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, currency: str, locale: str, minor: int) -> None:
    assert Money.parse(text, currency, locale=locale) == Money(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency", "locale", "says"),
    [
        ("", "EUR", "en", "Enter an amount, such as 1,234.50"),
        ("ten", "EUR", "en", "Write it like 1,234.50"),
        ("1.234,50", "EUR", "en", "Write it like 1,234.50"),
        ("1,234.50", "EUR", "de", "Write it like 1.234,50"),
        ("1.234", "EUR", "en", "EUR has at most 2 decimals"),
        ("1.5", "JPY", "en", "JPY has no decimals"),
        ("1,23", "EUR", "en", "not an amount"),
        ("1,2345", "EUR", "en", "not an amount"),
        ("12,345 678", "EUR", "en", "not an amount"),
        ("5 USD", "EUR", "en", "This amount is in USD. Enter it in EUR."),
        ("-5", "EUR", "en", "negative"),
        ("1e5", "EUR", "en", "not an amount"),
        ("NaN", "EUR", "en", "not an amount"),
        ("Infinity", "EUR", "en", "not an amount"),
        ("9" * 30, "EUR", "en", "too large"),
        ("9" * 500, "EUR", "en", "too long"),
        ("=1+1", "EUR", "en", "not an amount"),
    ],
)
def test_what_is_no_amount_is_refused_with_how_to_write_it(text: str, currency: str, locale: str, says: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Money.parse(text, currency, locale=locale)
    assert says in refusal.value.fields["amount"]


def test_negative_amounts_only_where_asked_for() -> None:
    assert Money.parse("-1,234.50", "EUR", allow_negative=True) == Money(-123450, "EUR")
    assert Money.parse("€ -5", "EUR", allow_negative=True) == Money(-500, "EUR")


@settings(deadline=None)
@given(st.text(max_size=100), currencies, st.sampled_from(LOCALES))
@example("1\u2044" + "2", "EUR", "en")
@example("²", "EUR", "en")
@example("€", "EUR", "en")
@example("--5", "EUR", "en")
def test_garbage_is_read_or_refused_never_broken(text: str, currency: str, locale: str) -> None:
    fields: list[str] = []
    money = Money.zero(currency)
    try:
        money = Money.parse(text, currency, locale=locale)
    except Invalid as refusal:
        fields = list(refusal.fields)
    assert fields in ([], ["amount"])
    assert 0 <= money.minor <= MOST_TYPED


@settings(deadline=None)
@given(moneys, st.sampled_from(LOCALES))
def test_what_is_shown_can_be_typed_back(money: Money, locale: str) -> None:
    assert Money.parse(money.format(locale), money.currency, locale=locale, allow_negative=True) == money


@pytest.mark.parametrize(
    ("money", "locale", "shown"),
    [
        (Money(123450, "EUR"), "en", "€1,234.50"),
        (Money(123450, "EUR"), "de", "1.234,50\u00a0€"),
        (Money(1234, "JPY"), "en", "¥1,234"),
        (Money(1234567, "IQD"), "en", "IQD\u00a01,234.567"),
        (Money(-50, "USD"), "en-US", "-$0.50"),
    ],
)
def test_amounts_show_in_the_readers_locale(money: Money, locale: str, shown: str) -> None:
    assert money.format(locale) == shown


@settings(deadline=None)
@given(moneys)
def test_json_and_decimal_round_trip(money: Money) -> None:
    assert Money.from_json(json.loads(json.dumps(money.to_json()))) == money
    assert Money.of(money.decimal, money.currency) == money
    assert -money.decimal.as_tuple().exponent == EXPONENTS[money.currency]  # type: ignore[operator]


@pytest.mark.parametrize(
    "value",
    [
        *(None, 5, "5", [], {}, {"amount": "5"}, {"amount": "5", "currency": "eur"}),
        *({"amount": amount, "currency": "EUR"} for amount in (True, "1e5", "1,5", "1.005", "9" * 40, "٥", [])),
        {"amount": "5", "currency": ["EUR"]},
    ],
)
def test_json_that_is_not_exact_money_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        Money.from_json(value)


@settings(deadline=None)
@given(st.decimals(allow_nan=True, allow_infinity=True), currencies)
@example(Decimal("1E+999999"), "EUR")
@example(Decimal("1E-999999"), "EUR")
@example(Decimal("sNaN"), "EUR")
def test_a_decimal_is_taken_exactly_or_refused(amount: Decimal, currency: str) -> None:
    try:
        money = Money.of(amount, currency)
    except Invalid:
        return
    assert money.decimal == amount


@settings(deadline=None)
@given(moneys, minors)
def test_sums_and_order_are_those_of_minor_units(one: Money, minor: int) -> None:
    other = Money(minor, one.currency)
    assert (one + other).minor == one.minor + minor
    assert one - other + other == one
    assert (one < other, one <= other, one > other, one >= other) == (
        one.minor < minor, one.minor <= minor, one.minor > minor, one.minor >= minor
    )  # fmt: skip
    assert Money.total([one, other, -one], one.currency) == other
    assert one * 3 == 3 * one == one + one + one
    assert bool(one) is (one.minor != 0)
    assert abs(one) >= Money.zero(one.currency)


def test_two_currencies_never_mix() -> None:
    euro, dollar = Money(1, "EUR"), Money(1, "USD")
    acts = [lambda: euro + dollar, lambda: euro - dollar, lambda: euro < dollar, lambda: euro >= dollar]
    for act in [*acts, lambda: Money.total([euro], "USD")]:
        with pytest.raises(CurrencyMismatch, match=r"EUR and USD|USD and EUR"):
            act()
    assert euro != dollar


@pytest.mark.parametrize(("minor", "half"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (101, 50)])
def test_a_share_rounds_half_to_even(minor: int, half: int) -> None:
    assert Money(minor, "EUR").share(Decimal("0.5")) == Money(half, "EUR")


@settings(deadline=None)
@given(moneys, st.decimals(min_value=0, max_value=1, places=6))
def test_a_share_is_never_further_than_half_a_unit(money: Money, rate: Decimal) -> None:
    assert abs(money.share(rate).minor - money.minor * Fraction(rate)) <= Fraction(1, 2)


def test_a_share_of_a_huge_amount_is_exact() -> None:
    assert Money(2**62 + 1, "EUR").share(Decimal("1.0000000000000000000")) == Money(2**62 + 1, "EUR")


def test_conversion_minds_the_decimals_of_both_currencies() -> None:
    assert Money(10000, "EUR").convert("JPY", rate=Decimal("161.235")) == Money(16124, "JPY")
    assert Money(16124, "JPY").convert("KWD", rate=Decimal("0.002")) == Money(32248, "KWD")


@settings(deadline=None)
@given(moneys, st.lists(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=12).filter(any))
def test_a_split_adds_up_and_is_fair(money: Money, weights: list[int]) -> None:
    parts = money.split(weights)
    assert Money.total(parts, money.currency) == money
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor * sum(weights) - money.minor * weight) < sum(weights)
        assert weight or not part


def test_a_split_gives_the_rest_to_the_largest_remainders() -> None:
    assert [part.minor for part in Money(100, "EUR").split([1, 1, 1])] == [34, 33, 33]
    assert [part.minor for part in Money(-100, "EUR").split([Decimal("0.5"), Decimal("0.25"), 1])] == [
        -29,
        -14,
        -57,
    ]


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1, 2]])
def test_a_split_without_sense_is_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="Weights"):
        Money(100, "EUR").split(weights)


def test_more_than_a_bigint_never_reaches_a_row() -> None:
    with pytest.raises(OverflowError):
        Money(2**62, "EUR") + Money(2**62, "EUR")
