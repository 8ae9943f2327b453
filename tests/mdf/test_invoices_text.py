"""Invoices in six languages give up their fields by their words, with confidence that fits the words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tcma.mdf.invoice_text import amounts_in, read_invoice_text
from tcma.mdf.invoices import FIELDS
from tcma.money import Money

ENGLISH = """
Acme Print Ltd
12 High Street, London
VAT Reg No: GB123456789
INVOICE
Bill to:
Northwind Marketing Limited
Invoice number: INV-00123
Invoice date: 20 March 2026
Due date: 19 April 2026
Postcards 5,000 pcs 800.00
Postage 200.00
Subtotal £1,000.00
VAT 20% £200.00
Total due £1,200.00
"""
AMERICAN = """
Acme Print Inc.
Invoice # 4711
Date: 03/04/2026
Sold to: Northwind LLC
Subtotal $1,000.00
Sales tax (8.25%) $82.50
Total $1,082.50 USD
"""
FRENCH = """
Imprimerie Rapide SARL
N° TVA intracommunautaire : FR12345678901
Facture n° F2026-044
Date de facture : 20/03/2026
Échéance : 20/04/2026
Facturé à : Vent du Nord SAS
Total HT 1 000,00 €
TVA 20 % 200,00 €
Total TTC 1 200,00 €
"""
SPANISH = """
Imprenta Sol S.L.
NIF: ESB12345678
Factura número: 2026/15
Fecha de factura: 20 de marzo de 2026
Cliente: Viento Norte S.A.
Base imponible 1.000,00 EUR
IVA 21% 210,00 EUR
Total factura 1.210,00 EUR
"""
DUTCH = """
Drukkerij Snel B.V.
BTW-nummer: NL123456789B01
Factuurnummer: 2026-0077
Factuurdatum: 20-03-2026
Factuur aan: Noordenwind B.V.
Subtotaal € 1.000,00
BTW 21% € 210,00
Te betalen € 1.210,00
"""
ITALIAN = """
Stampa Veloce S.r.l.
Partita IVA: IT01234567890
Fattura n. 12/2026
Data fattura: 20/03/2026
Spett.le Vento del Nord S.p.A.
Imponibile 1.000,00
IVA 22% 220,00
Totale fattura EUR 1.220,00
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH, ["Acme Print Ltd", "GB123456789", "Northwind Marketing Limited", "INV-00123", "2026-03-20", "GBP",
                   "1000.00", "200.00", "1200.00"]),
        (FRENCH, ["Imprimerie Rapide SARL", "FR12345678901", "Vent du Nord SAS", "F2026-044", "2026-03-20", "EUR",
                  "1000.00", "200.00", "1200.00"]),
        (SPANISH, ["Imprenta Sol S.L.", "ESB12345678", "Viento Norte S.A.", "2026/15", "2026-03-20", "EUR",
                   "1000.00", "210.00", "1210.00"]),
        (DUTCH, ["Drukkerij Snel B.V.", "NL123456789B01", "Noordenwind B.V.", "2026-0077", "2026-03-20", "EUR",
                 "1000.00", "210.00", "1210.00"]),
        (ITALIAN, ["Stampa Veloce S.r.l.", "IT01234567890", "Vento del Nord S.p.A.", "12/2026", "2026-03-20", "EUR",
                   "1000.00", "220.00", "1220.00"]),
    ],
    ids=["en", "fr", "es", "nl", "it"],
)  # fmt: skip
def test_invoices_are_read_in_their_language(text: str, expected: list[str]) -> None:
    found = read_invoice_text(text)
    assert {name: reading.value for name, reading in found.items()} == dict(zip(FIELDS, expected, strict=True))
    assert found["gross"].confidence > 0.9
    assert found["supplier"].confidence <= 0.6


def test_a_date_whose_day_and_month_may_swap_is_less_sure_and_read_by_its_country() -> None:
    american = read_invoice_text(AMERICAN)
    assert american["date"].value == "2026-03-04"
    assert american["date"].confidence < 0.5
    assert (american["number"].value, american["gross"].value, american["currency"].value) == ("4711", "1082.50", "USD")
    european = read_invoice_text(AMERICAN.replace("$", "€").replace("USD", "EUR"))
    assert european["date"].value == "2026-04-03"


def test_amounts_that_do_not_add_up_are_less_sure() -> None:
    found = read_invoice_text(ENGLISH.replace("1,200.00", "1,300.00"))
    assert found["gross"].value == "1300.00"
    assert found["gross"].confidence <= 0.6
    assert found["net"].confidence <= 0.5


def test_several_rates_of_tax_are_added_where_that_makes_the_total() -> None:
    found = read_invoice_text("Net total 1,000.00 EUR\nVAT 7% 7.00\nVAT 19% 171.00\nGrand total 1,178.00 EUR\n")
    assert (found["net"].value, found["tax"].value, found["gross"].value) == ("1000.00", "178.00", "1178.00")


def test_a_total_alone_is_taken_with_little_confidence() -> None:
    found = read_invoice_text("Thank you\nTotal 99.50 EUR\n")
    assert (found["gross"].value, found["gross"].confidence) == ("99.50", 0.4)
    assert "net" not in found


def test_the_due_date_is_not_the_invoices_date() -> None:
    assert "date" not in read_invoice_text("Due date: 20 March 2026")


def test_a_label_above_its_value_is_understood() -> None:
    found = read_invoice_text("Invoice number\nA-77812\nInvoice date\n2026-03-20\nTotal due\n1,200.00 EUR")
    assert (found["number"].value, found["date"].value, found["gross"].value) == ("A-77812", "2026-03-20", "1200.00")


def test_yen_have_no_decimals() -> None:
    found = read_invoice_text("Grand total JPY 120,000\n")
    assert found["gross"].value == "120000"
    assert Money.of(Decimal(found["gross"].value), "JPY") == Money(120_000, "JPY")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1 234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1,234", "1234"),
        ("1.234.567", "1234567"),
        ("12,5 %", None),
        ("1234.50", "1234.50"),
        ("-50.00", "-50.00"),
        ("€19.99.", "19.99"),
    ],
)
def test_amounts_are_read_however_they_are_written(text: str, amount: str | None) -> None:
    assert (Decimal(amount) in amounts_in(text)) if amount else not amounts_in(text)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.text(max_size=400),
        st.lists(
            st.sampled_from([line for text in (ENGLISH, FRENCH, SPANISH, ITALIAN) for line in text.splitlines()])
        ).map("\n".join),
        st.text(alphabet="0123456789.,' /-€$%\nTotalVAT", max_size=300),
    )
)
@example("Invoice number " * 200)
@example("VAT " + "A " * 5_000)
@example("1 " * 5_000)
@example("99/99/9999 0000-00-00 31 Foo 2026 31.02.2026")
def test_any_text_gives_readings_of_the_right_form(text: str) -> None:
    found = read_invoice_text(text)
    currency = found["currency"].value if "currency" in found else "EUR"
    for name, reading in found.items():
        assert name in FIELDS
        assert reading.value
        assert 0 < reading.confidence < 1
    for name in {"net", "tax", "gross"} & set(found):
        assert str(Money.of(Decimal(found[name].value), currency)) == found[name].value
    if "date" in found:
        assert date.fromisoformat(found["date"].value)
