"""An uploaded invoice gives up its data with its source and how sure it is, or is refused with the way to mend it."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from facturx import generate_cii_xml, generate_from_binary, generate_ubl_xml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from tcma.errors import Invalid
from tcma.mdf.invoice_reading import read_document
from tcma.mdf.invoices import FIELDS, Field, InvoiceLine, kind_of, read_invoice
from tcma.money import Money

PAGE = [
    "Printfix GmbH",
    "Hauptstr. 1, 10115 Berlin",
    "USt-IdNr.: DE123456789",
    "Rechnung an: Nordwind Marketing GmbH",
    "Rechnungsnummer: RE-2026-0815",
    "Rechnungsdatum: 20.03.2026",
    "Zwischensumme 1.000,00 €",
    "MwSt 19 % 190,00 €",
    "Gesamtbetrag 1.190,00 €",
]
VALUES = {
    "supplier": "Printfix GmbH",
    "supplier_tax_id": "DE123456789",
    "buyer": "Nordwind Marketing GmbH",
    "number": "RE-2026-0815",
    "date": "2026-03-20",
    "currency": "EUR",
    "net": "1000.00",
    "tax": "190.00",
    "gross": "1190.00",
}
LINES = (
    InvoiceLine("Mailing, design", "600.00"),
    InvoiceLine("Mailing, sending", "450.00"),
    InvoiceLine("Discount", "-50.00"),
)


def pdf(lines: list[str] = PAGE, *, pages: int = 1) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for _ in range(pages):
        for place, line in enumerate(lines):
            canvas.drawString(50, 800 - 16 * place, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def data(**changes: Any) -> dict[str, Any]:
    """The invoice by the business terms of EN 16931, as the factur-x package writes it."""

    def line(number: str, name: str, net: str) -> dict[str, str]:
        return {"BT-126": number, "BT-153": name, "BT-129": "1", "BT-130": "C62", "BT-131": net, "BT-146": net,
                "BT-151": "S", "BT-152": "19"}  # fmt: skip

    seller = {"name": "Printfix GmbH", "vat_identifier": "DE123456789", "country_code": "DE", "city": "Berlin"}
    return {
        "BT-1": "RE-2026-0815", "BT-2": date(2026, 3, 20), "BT-3": "380", "BT-5": "EUR", "BT-72": date(2026, 3, 20),
        "BG-4": seller,
        "BG-7": {"name": "Nordwind Marketing GmbH", "country_code": "DE", "city": "Köln"},
        "BG-20": [{"amount": "50.00", "vat_category_code": "S", "vat_rate": "19", "reason": "Discount"}],
        "BG-23": [{"BT-116": "1000.00", "BT-117": "190.00", "BT-118": "S", "BT-119": "19"}],
        "BG-25": [line("1", "Mailing, design", "600.00"), line("2", "Mailing, sending", "450.00")],
        "BT-106": "1050.00", "BT-107": "50.00", "BT-109": "1000.00", "BT-110": "190.00", "BT-112": "1190.00",
        "BT-115": "1190.00",
        **changes,
    }  # fmt: skip


def cii(**changes: Any) -> bytes:
    return bytes(generate_cii_xml(data(**changes), level="en16931", check_schematron=False))


def ubl(**changes: Any) -> bytes:
    return bytes(generate_ubl_xml(data(**changes), level="en16931", check_schematron=False))


def facturx(xml: bytes, pages: bytes) -> bytes:
    return bytes(generate_from_binary(pages, xml, flavor="factur-x", level="en16931", check_schematron=False))


def fattura(body: str = "", **changes: str) -> bytes:
    values = {"type": "TD01", "total": "<ImportoTotaleDocumento>1190.00</ImportoTotaleDocumento>", **changes}
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <p:FatturaElettronica xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2" versione="FPR12">
    <FatturaElettronicaHeader>
      <CedentePrestatore><DatiAnagrafici><IdFiscaleIVA><IdPaese>IT</IdPaese><IdCodice>01234567890</IdCodice>
      </IdFiscaleIVA><Anagrafica><Denominazione>Stampa Veloce S.r.l.</Denominazione></Anagrafica></DatiAnagrafici>
      </CedentePrestatore>
      <CessionarioCommittente><DatiAnagrafici><Anagrafica><Nome>Anna</Nome><Cognome>Bianchi</Cognome></Anagrafica>
      </DatiAnagrafici></CessionarioCommittente>
    </FatturaElettronicaHeader>
    <FatturaElettronicaBody><DatiGenerali><DatiGeneraliDocumento><TipoDocumento>{values["type"]}</TipoDocumento>
      <Divisa>EUR</Divisa><Data>2026-03-20</Data><Numero>FPR 12/26</Numero>{values["total"]}</DatiGeneraliDocumento>
      </DatiGenerali><DatiBeniServizi>
      <DettaglioLinee><Descrizione>Volantini</Descrizione><PrezzoTotale>600.00000000</PrezzoTotale></DettaglioLinee>
      <DettaglioLinee><Descrizione>Invio</Descrizione><PrezzoTotale>400</PrezzoTotale></DettaglioLinee>
      <DatiRiepilogo><ImponibileImporto>600.00</ImponibileImporto><Imposta>114.00</Imposta></DatiRiepilogo>
      <DatiRiepilogo><ImponibileImporto>400.00</ImponibileImporto><Imposta>76.00</Imposta></DatiRiepilogo>
    </DatiBeniServizi></FatturaElettronicaBody>{body}</p:FatturaElettronica>""".encode()


def texts(fields: Any) -> dict[str, str]:
    return {name: field.value for name, field in fields.items()}


@pytest.mark.parametrize(("make", "kind"), [(cii, "cii"), (ubl, "ubl")])
def test_an_e_invoice_is_read_whole_and_surely(make: Any, kind: str) -> None:
    found = read_invoice(make(), "invoice.xml")
    assert found.kind == kind
    assert texts(found.fields) == VALUES
    assert {(field.confidence, field.source) for field in found.fields.values()} == {(1.0, "xml")}
    assert found.lines == LINES
    assert sum((Decimal(line.net) for line in found.lines), Decimal(0)) == Decimal("1000.00")
    assert (found.is_credit_note, found.warnings, found.pages) == (False, (), 0)


def test_values_come_as_money_and_dates() -> None:
    found = read_invoice(cii(), "invoice.xml")
    assert found.money("gross") == Money(119_000, "EUR")
    assert found.date == date(2026, 3, 20)
    assert found.line_amounts[2] == Money(-5_000, "EUR")


@pytest.mark.parametrize("make", [cii, ubl])
def test_a_credit_note_is_known_as_one(make: Any) -> None:
    assert read_invoice(make(**{"BT-3": "381"}), "note.xml").is_credit_note


def test_zugferd_1_is_read_by_its_older_names() -> None:
    xml = cii().decode()
    for new, old in [
        ("CrossIndustryInvoice", "CrossIndustryDocument"),
        ("rsm:ExchangedDocument>", "rsm:HeaderExchangedDocument>"),
        ("SupplyChainTradeTransaction", "SpecifiedSupplyChainTradeTransaction"),
        ("ApplicableHeaderTradeAgreement", "ApplicableSupplyChainTradeAgreement"),
        ("ApplicableHeaderTradeSettlement", "ApplicableSupplyChainTradeSettlement"),
        ("SpecifiedTradeSettlementHeaderMonetarySummation", "SpecifiedTradeSettlementMonetarySummation"),
        ("SpecifiedLineTradeSettlement", "SpecifiedSupplyChainTradeSettlement"),
        ("SpecifiedTradeSettlementLineMonetarySummation", "SpecifiedTradeSettlementMonetarySummation"),
    ]:
        xml = xml.replace(new, old)
    found = read_invoice(xml.encode(), "zugferd.xml")
    assert texts(found.fields) == VALUES
    assert found.lines == LINES


def test_fattura_pa_is_read_with_its_rates_added() -> None:
    found = read_invoice(fattura(), "IT01234567890_1.xml")
    assert found.kind == "fatturapa"
    assert texts(found.fields) == {
        **VALUES, "supplier": "Stampa Veloce S.r.l.", "supplier_tax_id": "IT01234567890", "buyer": "Anna Bianchi",
        "number": "FPR 12/26",
    }  # fmt: skip
    assert found.lines == (InvoiceLine("Volantini", "600.00"), InvoiceLine("Invio", "400.00"))


def test_fattura_pa_without_a_total_has_the_sum_and_td04_is_a_credit_note() -> None:
    assert read_invoice(fattura(total=""), "f.xml").text("gross") == "1190.00"
    assert read_invoice(fattura(type="TD04"), "f.xml").is_credit_note


def test_more_invoices_in_one_file_are_told() -> None:
    found = read_invoice(fattura(body="<FatturaElettronicaBody/>"), "f.xml")
    assert found.warnings == ("This file holds 2 invoices; only the first was read. Upload the others alone.",)


def test_amounts_that_contradict_each_other_are_less_sure_and_told() -> None:
    found = read_invoice(ubl(**{"BT-112": "1191.00", "BT-115": "1191.00"}), "invoice.xml")
    assert found.fields["gross"] == Field("1191.00", 0.5, "xml")
    assert "do not make the total" in found.warnings[0]


def test_a_pdf_with_an_e_invoice_inside_is_read_by_its_data() -> None:
    found = read_invoice(facturx(cii(), pdf()), "facturx.pdf")
    assert (found.kind, found.pages, found.warnings) == ("facturx", 1, ())
    assert texts(found.fields) == VALUES
    assert found.lines == LINES


def test_data_that_the_pages_do_not_show_is_flagged() -> None:
    page = [line.replace("1.190,00", "190,00") for line in PAGE]
    found = read_invoice(facturx(cii(), pdf(page)), "facturx.pdf")
    assert found.fields["gross"].confidence == 0.4
    assert "no page shows it" in found.warnings[0]


def test_a_pdf_with_other_xml_inside_is_read_by_its_words() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf())))
    writer.add_attachment("notes.xml", b"<notes/>")
    buffer = io.BytesIO()
    writer.write(buffer)
    found = read_invoice(buffer.getvalue(), "invoice.pdf")
    assert found.kind == "pdf_text"
    assert found.text("gross") == "1190.00"
    assert "notes.xml" in found.warnings[0]


def test_a_plain_pdf_is_read_by_its_words_and_never_surely() -> None:
    found = read_invoice(pdf(), "invoice.pdf")
    assert found.kind == "pdf_text"
    assert texts(found.fields) == VALUES
    assert {field.source for field in found.fields.values()} == {"text"}
    assert all(0 < field.confidence < 1 for field in found.fields.values())


def test_a_scan_is_left_to_be_typed() -> None:
    found = read_invoice(pdf([]), "scan.pdf")
    assert found.kind == "pdf_scan"
    assert texts(found.fields) == dict.fromkeys(FIELDS, "")
    assert (found.money("gross"), found.date, found.text_hash) == (None, None, None)
    assert "Type the values" in found.warnings[0]


def test_the_same_words_saved_anew_keep_their_text_hash() -> None:
    first, again = read_invoice(pdf(), "a.pdf"), read_invoice(pdf([*PAGE[:3], "", *PAGE[3:]]), "b.pdf")
    other = read_invoice(pdf([*PAGE, "Vielen Dank"]), "c.pdf")
    assert first.sha256 != again.sha256
    assert first.text_hash == again.text_hash != other.text_hash


def test_what_was_read_can_be_kept_as_json() -> None:
    found = read_invoice(ubl(), "invoice.xml")
    kept = json.loads(json.dumps(found.to_json()))
    assert kept["fields"]["gross"] == {"value": "1190.00", "confidence": 1.0, "source": "xml"}
    assert kept["lines"][0] == {"description": "Mailing, design", "net": "600.00"}
    assert kept["sha256"] == found.sha256


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("invoice.pdf", "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "filename", "says"),
    [
        (b"", "invoice.pdf", "empty"),
        (zipped(), "invoice.pdf", "This file is a ZIP archive or an Office document, not a PDF or an e-invoice XML"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 90, "invoice.pdf", "picture (PNG)"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 90, "photo.jpg", "picture (JPEG)"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 90, "invoice.doc", "old Office document"),
        (b"<!DOCTYPE html><html><body>Invoice</body></html>", "invoice.pdf", "web page"),
        (b"0\x82\x10\x00" + b"\0" * 90, "invoice.xml.p7m", "signed envelope"),
        (b"just some words", "invoice.pdf", "neither a PDF nor an e-invoice XML"),
        (b"MII" * 30, "invoice.xml.p7m", "signed envelope"),
        (b"<notes><note/></notes>", "notes.xml", "begins with “notes”"),
        (b"<Invoice><broken", "invoice.xml", "broken"),
        (b"<Invoice/>", "invoice.xml", "neither a number nor a total"),
        (b"%PDF-1.7\nnothing more", "invoice.pdf", "cannot be read"),
        (pdf()[:700], "invoice.pdf", "cannot be read"),
        (b"%PDF-1.4\n" + b"0" * (16 * 1024 * 1024), "huge.pdf", "16.0 MB; at most 15 MB"),
    ],
)
def test_what_is_no_invoice_is_refused_by_name(content: bytes, filename: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_invoice(content, filename)
    assert says in str(refused.value)
    assert str(refused.value).endswith(".")


def test_a_pdf_with_a_password_is_refused() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf())))
    writer.encrypt("secret")
    buffer = io.BytesIO()
    writer.write(buffer)
    with pytest.raises(Invalid, match="asks for a password"):
        read_invoice(buffer.getvalue(), "locked.pdf")


def test_a_pdf_locked_against_changes_only_is_read() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf())))
    writer.encrypt("", "owner")
    buffer = io.BytesIO()
    writer.write(buffer)
    assert read_invoice(buffer.getvalue(), "signed.pdf").text("number") == "RE-2026-0815"


def test_too_many_pages_are_refused_with_both_values() -> None:
    with pytest.raises(Invalid, match="60 pages; at most 50"):
        read_invoice(pdf(["page"], pages=60), "book.pdf")


BOMBS = [
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]><Invoice>&c;</Invoice>',
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Invoice><ID>&a;</ID></Invoice>',
    '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><Invoice><ID>1</ID></Invoice>',
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_entities_and_document_types_are_refused(bomb: str) -> None:
    for content in (bomb.encode(), bomb.encode("utf-16")):
        with pytest.raises(Invalid, match="declares a document type or entities"):
            read_invoice(content, "invoice.xml")


def test_an_entity_bomb_inside_a_pdf_is_not_used() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf())))
    writer.add_attachment("factur-x.xml", BOMBS[0].encode())
    buffer = io.BytesIO()
    writer.write(buffer)
    found = read_invoice(buffer.getvalue(), "invoice.pdf")
    assert found.kind == "pdf_text"
    assert "document type" in found.warnings[0]


def test_hostile_words_stay_data_on_one_line() -> None:
    xml = ubl().replace(b"Printfix GmbH", b"&lt;script&gt;alert(1)&lt;/script&gt;\n=1+1&#x202e;")
    assert read_invoice(xml, "invoice.xml").text("supplier") == "<script>alert(1)</script> =1+1"


def test_an_amount_beyond_all_sense_is_left_out() -> None:
    xml = ubl().replace(b">1190.00<", b">99999999999999999999999999<")
    assert read_invoice(xml, "invoice.xml").text("gross") == ""


def read_in_process(content: bytes) -> dict[str, Any] | str:
    """As the child does it, but here, so that many can be tried; what is no Invalid breaks the test."""
    try:
        return read_document(content, "xml")
    except Invalid as refused:
        return str(refused)


tags = st.sampled_from(
    ["Invoice", "CreditNote", "CrossIndustryInvoice", "FatturaElettronica", "ID", "IssueDate", "DocumentCurrencyCode",
     "LegalMonetaryTotal", "TaxInclusiveAmount", "TaxTotal", "TaxAmount", "InvoiceLine", "LineExtensionAmount",
     "ExchangedDocument", "SupplyChainTradeTransaction", "FatturaElettronicaBody", "DatiGenerali", "AllowanceCharge"]
)  # fmt: skip
leaves = st.one_of(
    st.text(alphabet="0123456789.-+eE NaN", max_size=20), st.sampled_from(["2026-13-45", "EUR", "ZZZ", "KWD"])
)
trees = st.recursive(
    st.builds("<{0}>{1}</{0}>".format, tags, leaves),
    lambda inner: st.builds("<{0}>{1}</{0}>".format, tags, st.lists(inner, max_size=4).map("".join)),
    max_leaves=15,
)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        trees.map(str.encode), st.binary(max_size=300), st.text(max_size=100).map(lambda text: f"<{text}".encode())
    )
)
@example(
    b"<Invoice><ID>1</ID><LegalMonetaryTotal><TaxInclusiveAmount>1e9</TaxInclusiveAmount></LegalMonetaryTotal></Invoice>"
)
@example(b"<Invoice" + b"<a>" * 5_000)
@example(b"<a>" * 50_000)
@example(b"")
@example(b'<?xml version="1.0" encoding="nonsense"?><Invoice/>')
@example(b'<?xml version="1.0" encoding="utf-7"?><Invoice/>')
def test_any_xml_is_read_or_refused_never_broken(content: bytes) -> None:
    found = read_in_process(content)
    if isinstance(found, dict):
        assert set(found["fields"]) <= set(FIELDS)
        assert all(value and 0 <= confidence <= 1 for value, confidence, _ in found["fields"].values())
    else:
        assert found.endswith(".")


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=50), st.text(max_size=50).map(str.encode)), st.sampled_from(["a.pdf", "b.p7m", ""]))
def test_any_start_of_a_file_is_told_or_refused(content: bytes, filename: str) -> None:
    kind = ""
    message = ""
    try:
        kind = kind_of(content, filename)
    except Invalid as refused:
        message = str(refused)
    assert kind in ("pdf", "xml") or message.endswith(".")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_pdf_with_flipped_bytes_is_read_or_refused(flips: list[tuple[float, int]]) -> None:
    content = bytearray(pdf())
    for place, value in flips:
        content[int(place * len(content))] = value
    message = ""
    pages = 0
    try:
        pages = read_invoice(bytes(content), "invoice.pdf").pages
    except Invalid as refused:
        message = str(refused)
    assert pages or message
