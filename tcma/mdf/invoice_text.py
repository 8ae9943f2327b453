"""Reading an invoice's fields from the text of its pages, in six languages, with how sure each reading is.

Labels decide, arithmetic confirms: a net, a tax and a total that add up are most likely the right ones. Nothing
here is ever sure; a person sees every value beside the document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import product
from typing import NamedTuple

from babel import Locale

from tcma.money import EXPONENTS

MAX_TEXT = 200_000
MAX_LINE = 500
_TONGUES = ("en", "de", "fr", "es", "nl", "it")


class Reading(NamedTuple):
    """A value as text (amounts plain, dates ISO) and the confidence in it, 0 to 1."""

    value: str
    confidence: float


@dataclass
class _Candidates:
    """Amounts by what their line says they are; `strong` totals are named as such beyond doubt."""

    net: list[Decimal] = field(default_factory=list)
    tax: list[Decimal] = field(default_factory=list)
    strong: list[Decimal] = field(default_factory=list)
    weak: list[Decimal] = field(default_factory=list)


_NUMBER_LABEL = re.compile(
    r"\b(?:invoice|inv|rechnungs?|rechn|beleg|facture|factura|fattura|factuur|document)\s*[-.]?\s*"
    r"(?:number|nummer|num[ée]ro|n[uú]mero|numero|num|nr|no|n\s?[°ºo]|n(?=[.\s])|id|#)\s*\.?\s*(?:de\s+facture)?\s*[:#]?\s*(.*)"
    r"|\b(?:num[ée]ro|n[uú]mero|numero|n[°º]|nr\.?|no\.?)\s*(?:de\s+|della\s+)?(?:facture|factura|fattura)\s*[:#]?\s*(.*)"
    r"|\b(?:invoice|rechnung|facture|factura|fattura|factuur)\s*[:#]\s*(.*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[A-Z0-9][A-Z0-9/._-]{0,29}", re.IGNORECASE)
_DATE_LABEL = re.compile(
    r"invoice date|date of issue|issue date|issued|rechnungsdatum|date (?:de )?(?:la )?facture|date d.[ée]mission"
    r"|fecha (?:de )?(?:la )?factura|fecha de emisi[oó]n|factuurdatum|data fattura|data (?:di )?emissione",
    re.IGNORECASE,
)
_ANY_DATE_LABEL = re.compile(r"\b(?:date|datum|fecha|data)\b", re.IGNORECASE)
_OTHER_DATE = re.compile(
    r"\bdue\b|deliver|f[äa]llig|liefer|leistung|[ée]ch[ée]ance|livraison|vencim|entrega|verval|lever|scadenza|consegna"
    r"|period|zeitraum|paid|bezahlt",
    re.IGNORECASE,
)
_GROSS = re.compile(
    r"grand total|total due|amount due|balance due|invoice total|total to pay|total payable|incl|\bttc\b|net [àa] payer"
    r"|total a pagar|total factura|importe total|te betalen|totaalbedrag|gesamtbetrag|gesamtsumme|rechnungsbetrag"
    r"|brutto|\bgross\b|zu zahlen|endbetrag|totale (?:fattura|documento|da pagare|dovuto)|zahlbetrag",
    re.IGNORECASE,
)
_NET = re.compile(
    r"sub-?\s?total|net total|net amount|total net|nett?o|\bnet\b|excl|\bht\b|hors taxe|zwischensumme|base imponible"
    r"|subtotaal|imponibile",
    re.IGNORECASE,
)
_TAX = re.compile(
    r"\b(?:vat|tax|gst|mwst|ust|umsatzsteuer|mehrwertsteuer|tva|iva|btw|imposta|mva|moms)\b", re.IGNORECASE
)
_TOTAL = re.compile(r"\b(?:total|summe|gesamt|totaal|totale|amount|betrag|montant|importe|importo)\b", re.IGNORECASE)
_TAX_ID_LABEL = re.compile(
    r"(?:\b(?:vat|tax|ust|uid|mwst|tva|btw|iva|ein|gst)\b[^0-9\n]{0,30}?\b(?:id|no|nr|number|nummer|reg|n[°º])\b"
    r"|\bust-?\s?idn?r?|\bvat\s?id|tva\s+intra\w*|\bp\.?\s?iva|partita iva"
    r"|\b(?:nif|cif|steuernummer|btw-?(?:nr|nummer))\b)"
    r"[.:\s#°º-]*((?:[A-Z]{2}[ -]?)?[A-Z0-9][A-Z0-9. /-]{5,16}[A-Z0-9])",
    re.IGNORECASE,
)
_EU_TAX_ID = re.compile(
    r"\b(?:ATU[0-9]{8}|BE[01][0-9]{9}|DE[0-9]{9}|DK[0-9]{8}|ES[A-Z0-9][0-9]{7}[A-Z0-9]|FR[A-Z0-9]{2}[0-9]{9}|IT[0-9]{11}"
    r"|NL[0-9]{9}B[0-9]{2}|PL[0-9]{10}|PT[0-9]{9}|SE[0-9]{12}|GB[0-9]{9}|IE[0-9][A-Z0-9][0-9]{5}[A-Z]{1,2}|LU[0-9]{8})\b"
)
_SUPPLIER_LABEL = re.compile(
    r"^\s*(?:from|supplier|seller|vendor|lieferant|verk[äa]ufer|absender|fournisseur|vendeur|proveedor|leverancier|fornitore)"
    r"\s*:\s*(.*)",
    re.IGNORECASE,
)
_BUYER_LABEL = re.compile(
    r"^\s*(?:bill(?:ed)? to|invoice(?:d)? to|sold to|customer|client|buyer|rechnung an|rechnungsempf[äa]nger|kunde"
    r"|k[äa]ufer|factur[ée]e? [àa]|destinataire|cliente?|facturar a|klant|factuur aan|spett(?:\.?\s?le|abile)"
    r"|acquirente)\b\s*:?\s*(.*)",
    re.IGNORECASE,
)
_COMPANY = re.compile(
    r"\b(?:gmbh|ag|kg|ug|ltd|limited|llc|llp|inc|corp|plc|s\.?a\.?|s\.?a\.?s|sarl|b\.?v\.?|n\.?v\.?|s\.?r\.?l\.?"
    r"|s\.?p\.?a\.?|s\.?l\.?|oy|ab|aps|as|co)\b\.?",
    re.IGNORECASE,
)
_NO_NAME = re.compile(
    r"invoice|rechnung|facture|factura|fattura|factuur|page|seite|original|copy|https?:|www\.|@", re.I
)
_AMOUNT = re.compile(
    r"(?<![\w.,])[-+]?(?:[0-9]{1,3}(?:[.,'’ \u00a0\u202f][0-9]{3})*|[0-9]{4,11})(?:[.,][0-9]{2,3})?(?![\w%]|[.,][0-9])"
)
_CURRENCY_SIGNS = {"€": ("EUR", 0.8), "£": ("GBP", 0.7), "¥": ("JPY", 0.5), "$": ("USD", 0.5), "₹": ("INR", 0.8)}
_DATES = (
    re.compile(r"\b([0-9]{4})-([0-9]{2})-([0-9]{2})\b"),
    re.compile(r"\b([0-9]{1,2})\s?\.\s?([0-9]{1,2})\s?\.\s?([0-9]{4})\b"),
    re.compile(r"\b([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})\b"),
    re.compile(r"\b([0-9]{1,2})(?:st|nd|rd|th|er|\.|º)?\s+(?:de\s+)?([^\W\d_]{3,12})\.?,?\s+(?:de\s+)?([0-9]{4})\b"),
    re.compile(r"\b([^\W\d_]{3,12})\.?\s+([0-9]{1,2})(?:st|nd|rd|th)?,?\s+([0-9]{4})\b"),
)


def read_invoice_text(text: str) -> dict[str, Reading]:
    """What the text says by field name; fields that were not found are not in it."""
    lines = [" ".join(line.split())[:MAX_LINE] for line in text[:MAX_TEXT].splitlines()]
    lines = [line for line in lines if line]
    currency = _currency(text[:MAX_TEXT])
    found: dict[str, Reading | None] = {
        "number": _number(lines),
        "date": _date(lines, american=bool(currency and currency.value == "USD")),
        "currency": currency,
        "supplier": _supplier(lines),
        "supplier_tax_id": _tax_id(text[:MAX_TEXT]),
        "buyer": _buyer(lines),
        **_amounts(lines, currency.value if currency else "EUR"),
    }
    return {name: reading for name, reading in found.items() if reading}


def amounts_in(text: str) -> set[Decimal]:
    """Every amount that stands in the text, however it is written."""
    return {amount for line in text[:MAX_TEXT].splitlines() for amount in _line_amounts(line[:MAX_LINE])}


def _number(lines: list[str]) -> Reading | None:
    for place, line in enumerate(lines):
        label = _NUMBER_LABEL.search(line)
        if not label:
            continue
        rest = next((group for group in label.groups() if group is not None), "")
        for candidate, confidence in ((rest, 0.85), (lines[place + 1] if place + 1 < len(lines) else "", 0.5)):
            found = next(
                (word for word in _NUMBER.findall(candidate)[:3] if any(char.isdigit() for char in word)), None
            )
            if found and not _dates_in(found, american=False):
                return Reading(found.rstrip("./-_"), confidence)
    return None


def _date(lines: list[str], *, american: bool) -> Reading | None:
    """The labelled date; then any date that is not said to be another's; each less sure where day and month swap."""
    best: Reading | None = None
    for place, line in enumerate(lines):
        if _OTHER_DATE.search(line) and not _DATE_LABEL.search(line):
            continue
        after = line
        confidence = 0.35
        if label := _DATE_LABEL.search(line):
            after, confidence = line[label.end() :], 0.9
        elif label := _ANY_DATE_LABEL.search(line):
            after, confidence = line[label.end() :], 0.65
        dates = _dates_in(after, american=american)
        if not dates and confidence > 0.5 and place + 1 < len(lines):
            dates, confidence = _dates_in(lines[place + 1], american=american), confidence - 0.3
        if dates and (best is None or confidence > best.confidence):
            day, sure = dates[0]
            best = Reading(day.isoformat(), confidence if sure else min(confidence, 0.45))
    return best


def _dates_in(text: str, *, american: bool) -> list[tuple[date, bool]]:
    """Dates in order of place, each with whether day and month cannot be swapped."""
    found: list[tuple[int, date, bool]] = []
    for shape, pattern in enumerate(_DATES):
        for match in pattern.finditer(text):
            one, two, three = match.groups()
            sure = True
            if shape == 0:
                year, month, day = one, two, three
            elif shape in (1, 3):
                day, month, year = one, two, three
            elif shape == 4:
                month, day, year = one, two, three
            else:
                day, month, year = (two, one, three) if american else (one, two, three)
                if int(month) > 12:
                    day, month = month, day
                sure = int(day) > 12 or day == month
            made = _made_date(year, month, day)
            if made:
                found.append((match.start(), made, sure))
    return [(day, sure) for _, day, sure in sorted(found)]


def _made_date(year: str, month: str, day: str) -> date | None:
    number = int(month) if month.isdecimal() else _months().get(month.casefold().rstrip("."))
    try:
        return date(int(year), number or 0, int(day))
    except ValueError:
        return None


@cache
def _months() -> dict[str, int]:
    found: dict[str, int] = {}
    for tongue in _TONGUES:
        for form, width in product(("format", "stand-alone"), ("wide", "abbreviated")):
            for number, name in Locale(tongue).months[form][width].items():
                found[str(name).casefold().rstrip(".")] = int(number)
    return found


def _amounts(lines: list[str], currency: str) -> dict[str, Reading | None]:
    candidates = _Candidates()
    for place, line in enumerate(lines):
        kind = _kind_of(line)
        if kind is None:
            continue
        amounts = _line_amounts(line) or (_line_amounts(lines[place + 1])[:1] if place + 1 < len(lines) else [])
        if amounts:
            getattr(candidates, kind).append(amounts[-1])
    places = Decimal(1).scaleb(-EXPONENTS.get(currency, 2))

    def reading(amount: Decimal, confidence: float) -> Reading:
        return Reading(f"{amount.quantize(places):f}", confidence)

    for gross, net, tax in _sums(candidates):
        if net + tax == gross:
            sure = 0.95 if gross in candidates.strong else 0.85
            return {"net": reading(net, sure), "tax": reading(tax, sure), "gross": reading(gross, sure)}
    found: dict[str, Reading | None] = {}
    if candidates.strong or candidates.weak:
        total = candidates.strong[-1] if candidates.strong else max(candidates.weak)
        found["gross"] = reading(total, 0.6 if candidates.strong else 0.4)
    if candidates.net:
        found["net"] = reading(candidates.net[-1], 0.5)
    if candidates.tax:
        found["tax"] = reading(candidates.tax[-1], 0.5)
    return found


def _kind_of(line: str) -> str | None:
    """What the amount in a line is, if the line says. “Total incl. VAT” is a total, “VAT ID” no amount at all."""
    if _TAX_ID_LABEL.search(line):
        return None
    if _GROSS.search(line):
        return "strong"
    if _NET.search(line):
        return "net"
    if _TAX.search(line):
        return "tax"
    return "weak" if _TOTAL.search(line) else None


def _sums(candidates: _Candidates) -> list[tuple[Decimal, Decimal, Decimal]]:
    """Totals, nets and taxes to try, the likeliest first; several taxes may stand line by line."""
    totals = [*reversed(candidates.strong), *sorted(set(candidates.weak), reverse=True)][:12]
    taxes = list(dict.fromkeys(candidates.tax))[:12]
    if len(taxes) > 1:
        taxes.append(sum(taxes, Decimal(0)))
    nets = [*reversed(candidates.net), *sorted(set(candidates.weak))][:12]
    if not taxes:
        taxes = [Decimal(0)]
        nets = nets if candidates.net else []
    return [(gross, net, tax) for gross, net, tax in product(totals, nets, taxes) if gross and net]


def _line_amounts(line: str) -> list[Decimal]:
    return [amount for found in _AMOUNT.findall(line) if (amount := _made_amount(found)) is not None]


def _made_amount(text: str) -> Decimal | None:
    """The last point or comma stands before decimals if two digits follow it; else it groups thousands."""
    bare = re.sub(r"['’\s]", "", text)
    mark = max(bare.rfind("."), bare.rfind(","))
    decimals = len(bare) - mark - 1 if mark >= 0 else 0
    grouped = decimals == 3 or bare.count(bare[mark]) > 1 if mark >= 0 else False
    whole, fraction = (bare, "") if mark < 0 or grouped else (bare[:mark], bare[mark + 1 :])
    digits = re.sub(r"[.,]", "", whole)
    if not digits.lstrip("+-") or len(digits) > 12:
        return None
    return Decimal(f"{digits}.{fraction or '0'}")


def _currency(text: str) -> Reading | None:
    """The currency that stands beside amounts most often; a code beats a sign, for a dollar is many."""
    codes: dict[str, int] = {}
    for before, after in re.findall(r"\b([A-Z]{3})\s?[-+]?[0-9]|[0-9]\s?([A-Z]{3})\b", text):
        code = before or after
        if code in EXPONENTS:
            codes[code] = codes.get(code, 0) + 1
    if codes:
        return Reading(max(codes, key=lambda code: codes[code]), 0.85 if len(codes) == 1 else 0.6)
    signs = {sign: text.count(sign) for sign in _CURRENCY_SIGNS if sign in text}
    if signs:
        return Reading(*_CURRENCY_SIGNS[max(signs, key=lambda sign: signs[sign])])
    alone = next((code for code in re.findall(r"\b[A-Z]{3}\b", text) if code in ("EUR", "USD", "GBP", "CHF")), None)
    return Reading(alone, 0.5) if alone else None


def _tax_id(text: str) -> Reading | None:
    """The first tax number; less sure where there are two, for the second may be the supplier's."""
    labelled = [re.sub(r"[\s.]", "", found).upper() for found in _TAX_ID_LABEL.findall(text)]
    labelled = [found for found in labelled if sum(char.isdigit() for char in found) >= 5]
    ids = list(dict.fromkeys([*labelled, *_EU_TAX_ID.findall(text)]))
    return Reading(ids[0][:30], 0.65 if len(ids) == 1 else 0.4) if ids else None


def _supplier(lines: list[str]) -> Reading | None:
    for place, line in enumerate(lines):
        if label := _SUPPLIER_LABEL.match(line):
            name = label[1] or (lines[place + 1] if place + 1 < len(lines) else "")
            if name:
                return Reading(name[:200], 0.6)
    names = [line for line in lines[:12] if _may_be_name(line)]
    companies = [line for line in names if _COMPANY.search(line)]
    if companies:
        return Reading(companies[0][:200], 0.5)
    return Reading(names[0][:200], 0.3) if names else None


def _may_be_name(line: str) -> bool:
    letters = sum(char.isalpha() for char in line)
    labelled = _BUYER_LABEL.match(line) or _NO_NAME.search(line) or _TAX_ID_LABEL.search(line)
    return letters >= 3 and letters * 2 > len(line) and not labelled


def _buyer(lines: list[str]) -> Reading | None:
    for place, line in enumerate(lines):
        if label := _BUYER_LABEL.match(line):
            name = label[1].strip(" :") or (lines[place + 1] if place + 1 < len(lines) else "")
            if name and any(char.isalpha() for char in name):
                return Reading(name[:200], 0.6 if _COMPANY.search(name) else 0.45)
    return None
