"""Amounts of money: whole minor units of one ISO 4217 currency, exact, rounded by one rule only."""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from babel import Locale
from babel.numbers import NumberPattern, get_currency_symbol, get_decimal_symbol, get_group_symbol

from tcma.errors import DomainError, Invalid

# ISO 4217 with amendments to 2025. CLDR's digits differ (IQD, AFN, ALL …), so they are not used.
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO_DECIMALS = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK
SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD
XCG YER ZAR ZMW ZWG
"""
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"
EXPONENTS: Mapping[str, int] = {
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
    **dict.fromkeys(_FOUR_DECIMALS.split(), 4),
}
"""Currency code to the number of its decimals."""

MOST_MINOR = 2**63 - 1  # a row keeps minor units as bigint
MOST_TYPED = 10**15  # so that thousands of typed amounts still add up to a bigint

_INVISIBLE = dict.fromkeys([0x200B, 0x200E, 0x200F, 0x061C, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_PLAIN = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")


class CurrencyMismatch(DomainError):
    """Two currencies met in one sum or comparison; nothing was computed."""

    status = 422
    title = "Different currencies"

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} cannot be added or compared. Convert one at an agreed rate first.")


def exponent(currency: str) -> int:
    """Decimals of `currency` by ISO 4217; raises Invalid for a code that is not in use."""
    try:
        return EXPONENTS[currency]
    except (KeyError, TypeError):
        shown = str(currency)[:20]
        raise Invalid({"currency": f"“{shown}” is not a currency code. Use three letters, such as EUR."}) from None


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` whole units of `currency` (cents of EUR, yen of JPY); signed, at most a bigint.

    Raises Invalid for an unknown currency, TypeError for anything but an int, OverflowError past a bigint.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError(f"Minor units are whole numbers, not {type(self.minor).__name__}.")
        exponent(self.currency)
        if abs(self.minor) > MOST_MINOR:
            raise OverflowError("More minor units than a bigint holds.")

    @classmethod
    def zero(cls, currency: str) -> Money:
        return cls(0, currency)

    @classmethod
    def of(cls, amount: Decimal | int, currency: str) -> Money:
        """Major units (12.50 for 1250 cents), exactly; raises Invalid where `currency` has fewer decimals."""
        places = exponent(currency)
        if isinstance(amount, bool) or not isinstance(amount, Decimal | int):
            raise TypeError(f"Amounts are Decimal or int, not {type(amount).__name__}.")
        if isinstance(amount, Decimal) and (not amount.is_finite() or abs(amount.adjusted()) > 40):
            raise Invalid({"amount": "This is not an amount of money. Write it like 1234.50."})
        exact = Fraction(amount) * 10**places
        if exact.denominator != 1:
            raise Invalid({"amount": _too_precise(str(amount), currency)})
        if abs(exact) > MOST_TYPED:
            raise Invalid({"amount": _too_large(str(amount), currency)})
        return cls(int(exact), currency)

    @classmethod
    def parse(cls, text: str, currency: str, *, locale: str = "en", allow_negative: bool = False) -> Money:
        """An amount as a person of `locale` types it: “1,234.50”, “€ 1.234,50” (de), “1 234,5” (fr).

        Raises Invalid under the field "amount", saying how to write it. Never guesses: a point or comma
        in the wrong place is refused rather than read as a thousand times more or less.
        """
        return cls(_parse_minor(text, currency, locale, allow_negative), currency)

    @classmethod
    def from_json(cls, value: object) -> Money:
        """From `{"amount": "1234.50", "currency": "EUR"}`; raises Invalid, also for a float."""
        if not isinstance(value, Mapping):
            raise Invalid({"amount": 'Give money as {"amount": "1234.50", "currency": "EUR"}.'})
        amount, currency = value.get("amount"), value.get("currency")
        if not isinstance(currency, str):
            raise Invalid({"currency": "Give the currency as three letters such as EUR."})
        exponent(currency)
        if type(amount) is int:
            return cls.of(amount, currency)
        if not isinstance(amount, str) or not _PLAIN.fullmatch(amount):
            raise Invalid({"amount": 'Give the amount as text with a point for decimals, such as "1234.50".'})
        return cls.of(Decimal(amount), currency)

    def to_json(self) -> dict[str, str]:
        return {"amount": str(self), "currency": self.currency}

    @classmethod
    def total(cls, amounts: Iterable[Money], currency: str) -> Money:
        """The sum, zero in `currency` for none; raises CurrencyMismatch."""
        result = cls.zero(currency)
        for amount in amounts:
            result = result + amount
        return result

    @property
    def decimal(self) -> Decimal:
        """Major units with exactly the currency's decimals: Decimal("1234.50")."""
        places = EXPONENTS[self.currency]
        return Decimal((int(self.minor < 0), tuple(int(digit) for digit in str(abs(self.minor))), -places))

    def __str__(self) -> str:
        """Plain major units without the code: 1234.50."""
        return f"{self.decimal:f}"

    def __bool__(self) -> bool:
        return self.minor != 0

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._minor_of(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._minor_of(other), self.currency)

    def __mul__(self, count: int) -> Money:
        """Times a whole number; for rates see `share`."""
        if type(count) is not int:
            raise TypeError("Money is multiplied by whole numbers; for a rate use share().")
        return Money(self.minor * count, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __abs__(self) -> Money:
        return Money(abs(self.minor), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._minor_of(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._minor_of(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._minor_of(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._minor_of(other)

    def _minor_of(self, other: Money) -> int:
        if not isinstance(other, Money):
            raise TypeError(f"Money meets only money, not {type(other).__name__}.")
        if other.currency != self.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return other.minor

    def share(self, rate: Decimal) -> Money:
        """This times `rate` (0.5 is half), rounded half to even to whole minor units."""
        return Money(round(self.minor * _exact(rate)), self.currency)

    def convert(self, currency: str, *, rate: Decimal) -> Money:
        """In `currency`, at `rate` units of it for one unit of this one; half to even, rounded once."""
        scale = Fraction(10) ** (exponent(currency) - EXPONENTS[self.currency])
        return Money(round(self.minor * _exact(rate) * scale), currency)

    def split(self, weights: Sequence[int | Decimal]) -> list[Money]:
        """Parts in proportion to `weights` that add up to this exactly (largest remainder, then the earlier).

        Raises ValueError for negative weights and where they are all zero.
        """
        exact = [_exact(weight) for weight in weights]
        whole = sum(exact, Fraction(0))
        if whole <= 0 or min(exact) < 0:
            raise ValueError("Weights are not negative, and at least one is more than zero.")
        sign = -1 if self.minor < 0 else 1
        shares = [abs(self.minor) * weight / whole for weight in exact]
        parts = [share.numerator // share.denominator for share in shares]
        by_remainder = sorted(range(len(shares)), key=lambda index: (parts[index] - shares[index], index))
        for index in by_remainder[: abs(self.minor) - sum(parts)]:
            parts[index] += 1
        return [Money(sign * part, self.currency) for part in parts]

    def format(self, locale: str = "en") -> str:
        """For people of `locale`, with the currency's symbol and always all its decimals: €1,234.50."""
        pattern = _pattern(locale, EXPONENTS[self.currency])
        text = pattern.apply(self.decimal, _locale(locale), currency=self.currency, currency_digits=False)
        return re.sub(r"(?<=[A-Za-z])(?=[0-9])", "\u00a0", str(text))  # CLDR: a code stands apart from digits


def _exact(number: int | Decimal) -> Fraction:
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise TypeError(f"Rates and weights are Decimal or int, not {type(number).__name__}.")
    if isinstance(number, Decimal) and not number.is_finite():
        raise ValueError("Rates and weights are finite numbers.")
    return Fraction(number)


@lru_cache(maxsize=64)
def _locale(locale: str) -> Locale:
    return Locale.parse(locale.replace("-", "_"))


@lru_cache(maxsize=256)
def _pattern(locale: str, places: int) -> NumberPattern:
    """The locale's currency pattern, showing ISO 4217's decimals instead of the pattern's two."""
    pattern: NumberPattern = copy.copy(_locale(locale).currency_formats["standard"])
    pattern.frac_prec = (places, places)
    return pattern


def _too_precise(amount: str, currency: str) -> str:
    places = EXPONENTS[currency]
    allowed = {0: "no decimals", 1: "1 decimal"}.get(places, f"at most {places} decimals")
    return f"{currency} has {allowed}, but {amount[:40]} has more. Round it, or check its separators."


def _too_large(amount: str, currency: str) -> str:
    most = Money(MOST_TYPED, currency)
    return f"{amount[:40]} is too large. At most {most} {currency} can be entered."


@dataclass(frozen=True, slots=True)
class _Notation:
    """How a locale writes numbers: the shape of a whole amount, and an example to show."""

    shape: re.Pattern[str]
    decimal: str
    group: str

    def example(self, currency: str) -> str:
        places = EXPONENTS[currency]
        return f"1{self.group}234{self.decimal + '5000'[:places] if places else ''}"


@lru_cache(maxsize=64)
def _notation(locale: str) -> _Notation:
    where = _locale(locale)
    decimal = unicodedata.normalize("NFKC", get_decimal_symbol(where))
    group = unicodedata.normalize("NFKC", get_group_symbol(where)).replace("’", "'")
    separators = "".join(sorted({group, " ", "'"} - {decimal}))
    whole = rf"[0-9]+|[0-9]{{1,3}}(?P<by>[{re.escape(separators)}])[0-9]{{3}}(?:(?P=by)[0-9]{{3}})*"
    if where.decimal_formats[None].grouping == (3, 2):  # India: 12,34,567
        whole += rf"|[0-9]{{1,2}}(?:{re.escape(group)}[0-9]{{2}})+{re.escape(group)}[0-9]{{3}}"
    fraction = rf"(?:{re.escape(decimal)}(?P<fraction>[0-9]+))?"
    return _Notation(re.compile(rf"(?P<whole>{whole})?{fraction}"), decimal, group)


def _without_symbol(text: str, currency: str, locale: str) -> str:
    """`text` less the name of its own currency at either end; raises Invalid where it names another."""
    symbols = (currency, get_currency_symbol(currency, "en"), get_currency_symbol(currency, _locale(locale)))
    names = {unicodedata.normalize("NFKC", symbol.translate(_INVISIBLE)) for symbol in symbols}
    for name in sorted(names, key=len, reverse=True):
        pattern = re.escape(name)
        bare, found = re.subn(rf"^{pattern}\s*|\s*{pattern}$", "", text, count=1, flags=re.IGNORECASE)
        if found:
            return bare
    for word in re.findall(r"[A-Za-z]{3}", text):
        if word.upper() in EXPONENTS:
            raise Invalid({"amount": f"This amount is in {word.upper()}. Enter it in {currency}."})
    return text


def _parse_minor(text: str, currency: str, locale: str, allow_negative: bool) -> int:
    places = exponent(currency)
    notation = _notation(locale)
    example = notation.example(currency)
    if len(text) > 80:
        raise Invalid({"amount": f"This is too long for an amount. Write it like {example}."})
    plain = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).strip()
    plain = plain.replace("’", "'").replace("−", "-")
    if not plain:
        raise Invalid({"amount": f"Enter an amount, such as {example}."})
    plain = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in plain)
    negative = plain.startswith("-") or plain.endswith("-")
    plain = _without_symbol(plain.strip("- ") if negative else plain, currency, locale)
    if plain.startswith("-") and not negative:  # "€ -5"
        negative, plain = True, plain[1:].strip()
    shown = text.strip()[:40]
    found = notation.shape.fullmatch(plain)
    if not found or not (found["whole"] or found["fraction"]):
        raise Invalid({"amount": f"“{shown}” is not an amount we can read. Write it like {example}."})
    fraction = found["fraction"] or ""
    if len(fraction) > places:
        raise Invalid({"amount": f"{_too_precise(shown, currency)} Write it like {example}."})
    whole = re.sub(r"[^0-9]", "", found["whole"] or "") or "0"
    minor = int(whole + fraction.ljust(places, "0"))
    if minor > MOST_TYPED:
        raise Invalid({"amount": _too_large(shown, currency)})
    if negative and minor and not allow_negative:
        raise Invalid({"amount": f"“{shown}” is negative. Enter an amount of zero or more."})
    return -minor if negative else minor
