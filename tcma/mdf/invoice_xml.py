"""E-invoices: CII (Factur-X, ZUGFeRD, XRechnung), UBL and FatturaPA, read into one shape.

Elements are found by their local names, so that every version's namespace is read. What a file says is taken as
it stands: whether it is true is for the checks and for a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from tcma.errors import Invalid
from tcma.money import EXPONENTS

MAX_XML = 10 * 1024 * 1024
MAX_LINES = 1_000
# UNTDID 1001 codes that EN 16931 counts as credit notes; then FatturaPA's own.
_CREDIT_NOTES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532"})
_CREDIT_NOTES_IT = frozenset({"TD04", "TD08"})
_AMOUNT = re.compile(r"[+-]?[0-9]{1,11}(\.[0-9]{1,20})?")
_DATE = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")


@dataclass
class FoundInvoice:
    """What was found in a document: texts by field name, amounts plain, dates ISO; lines (description, net)."""

    kind: str
    fields: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    is_credit_note: bool = False
    warnings: list[str] = field(default_factory=list)
    text: str = ""


def read_invoice_xml(data: bytes) -> FoundInvoice:
    """The invoice in an XML document. Raises Invalid for broken, hostile or other XML, saying which."""
    if len(data) > MAX_XML:
        raise Invalid(
            f"This e-invoice has {len(data) / 1024**2:.1f} MB; at most {MAX_XML // 1024**2} MB can be read. "
            "Export it without its attachments."
        )
    try:
        root = fromstring(data, forbid_dtd=True)
    except DefusedXmlException:
        raise Invalid(
            "This XML declares a document type or entities, which e-invoices never do. Export the invoice anew."
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise Invalid(f"This XML is broken: {error}. Export the invoice anew, or upload its PDF.") from None
    name = _local(root)
    if name in ("CrossIndustryInvoice", "CrossIndustryDocument"):
        found = _cii(root)
    elif name in ("Invoice", "CreditNote"):
        found = _ubl(root)
    elif name == "FatturaElettronica":
        found = _fattura_pa(root)
    else:
        raise Invalid(
            f"This XML is no e-invoice: it begins with “{name[:60]}”. Upload Factur-X, ZUGFeRD, XRechnung, UBL, CII "
            "or FatturaPA, or the invoice as PDF."
        )
    if not (found.fields.get("number") or found.fields.get("gross")):
        raise Invalid("This XML has the frame of an e-invoice but neither a number nor a total. Export it anew.")
    found.text = " ".join(" ".join(root.itertext()).split())[:200_000]
    return found


def _cii(root: Element) -> FoundInvoice:
    # The second names are those of ZUGFeRD 1.
    document = _one_of(root, "ExchangedDocument", "HeaderExchangedDocument")
    trade = _one_of(root, "SupplyChainTradeTransaction", "SpecifiedSupplyChainTradeTransaction")
    agreement = _one_of(trade, "ApplicableHeaderTradeAgreement", "ApplicableSupplyChainTradeAgreement")
    settlement = _one_of(trade, "ApplicableHeaderTradeSettlement", "ApplicableSupplyChainTradeSettlement")
    sums = _one_of(
        settlement, "SpecifiedTradeSettlementHeaderMonetarySummation", "SpecifiedTradeSettlementMonetarySummation"
    )
    currency = _text(settlement, "InvoiceCurrencyCode").upper()
    seller = _first(agreement, "SellerTradeParty")
    found = FoundInvoice("cii", is_credit_note=_text(document, "TypeCode") in _CREDIT_NOTES)
    found.fields = {
        "number": _text(document, "ID"),
        "date": _date(_text(document, "IssueDateTime/DateTimeString")),
        "supplier": _text(seller, "Name"),
        "supplier_tax_id": _cii_tax_id(seller),
        "buyer": _text(agreement, "BuyerTradeParty/Name"),
        "currency": currency,
        "net": _amount(_text(sums, "TaxBasisTotalAmount"), currency),
        "tax": _amount(_in_currency(list(_all(sums, "TaxTotalAmount")), currency), currency),
        "gross": _amount(_text(sums, "GrandTotalAmount"), currency),
    }
    for item in _all(trade, "IncludedSupplyChainTradeLineItem"):
        line = _one_of(item, "SpecifiedLineTradeSettlement", "SpecifiedSupplyChainTradeSettlement")
        summed = _one_of(
            line, "SpecifiedTradeSettlementLineMonetarySummation", "SpecifiedTradeSettlementMonetarySummation"
        )
        _add_line(found, _text(item, "SpecifiedTradeProduct/Name"), _text(summed, "LineTotalAmount"), currency)
    for change in _all(settlement, "SpecifiedTradeAllowanceCharge"):
        charge = _text(change, "ChargeIndicator/Indicator") == "true"
        _add_change(found, _text(change, "Reason"), _text(change, "ActualAmount"), currency, charge=charge)
    return found


def _cii_tax_id(seller: Element | None) -> str:
    """The VAT number (scheme VA) before the national tax number (FC)."""
    ids = [entry for group in _all(seller, "SpecifiedTaxRegistration") for entry in _all(group, "ID")]
    by_scheme = {entry.get("schemeID", ""): (entry.text or "").strip() for entry in reversed(ids)}
    return by_scheme.get("VA") or by_scheme.get("FC") or next(iter(by_scheme.values()), "")


def _ubl(root: Element) -> FoundInvoice:
    currency = _text(root, "DocumentCurrencyCode").upper()
    totals = _first(root, "LegalMonetaryTotal")
    supplier = _first(_first(root, "AccountingSupplierParty"), "Party")
    buyer = _first(_first(root, "AccountingCustomerParty"), "Party")
    # A second total may stand in the accounting currency.
    taxes = [amount for total in _all(root, "TaxTotal") for amount in _all(total, "TaxAmount")]
    code = _text(root, "InvoiceTypeCode") or _text(root, "CreditNoteTypeCode")
    found = FoundInvoice("ubl", is_credit_note=_local(root) == "CreditNote" or code in _CREDIT_NOTES)
    found.fields = {
        "number": _text(root, "ID"),
        "date": _date(_text(root, "IssueDate")),
        "supplier": _ubl_name(supplier),
        "supplier_tax_id": _ubl_tax_id(supplier),
        "buyer": _ubl_name(buyer),
        "currency": currency,
        "net": _amount(_text(totals, "TaxExclusiveAmount"), currency),
        "tax": _amount(_in_currency(taxes, currency), currency),
        "gross": _amount(_text(totals, "TaxInclusiveAmount") or _text(totals, "PayableAmount"), currency),
    }
    for item in (*_all(root, "InvoiceLine"), *_all(root, "CreditNoteLine")):
        _add_line(found, _text(item, "Item/Name"), _text(item, "LineExtensionAmount"), currency)
    for change in _all(root, "AllowanceCharge"):
        charge = _text(change, "ChargeIndicator") == "true"
        _add_change(found, _text(change, "AllowanceChargeReason"), _text(change, "Amount"), currency, charge=charge)
    return found


def _ubl_name(party: Element | None) -> str:
    return _text(party, "PartyLegalEntity/RegistrationName") or _text(party, "PartyName/Name")


def _ubl_tax_id(party: Element | None) -> str:
    """The VAT number before a local tax number, and that before the company's register number."""
    schemes = sorted(_all(party, "PartyTaxScheme"), key=lambda scheme: _text(scheme, "TaxScheme/ID") != "VAT")
    return _text(schemes[0] if schemes else None, "CompanyID") or _text(party, "PartyLegalEntity/CompanyID")


def _fattura_pa(root: Element) -> FoundInvoice:
    header = _first(root, "FatturaElettronicaHeader")
    bodies = list(_all(root, "FatturaElettronicaBody"))
    body = bodies[0] if bodies else None
    general = _first(_first(body, "DatiGenerali"), "DatiGeneraliDocumento")
    goods = _first(body, "DatiBeniServizi")
    currency = (_text(general, "Divisa") or "EUR").upper()
    seller = _first(_first(header, "CedentePrestatore"), "DatiAnagrafici")
    buyer = _first(_first(header, "CessionarioCommittente"), "DatiAnagrafici")
    net = _added([_text(group, "ImponibileImporto") for group in _all(goods, "DatiRiepilogo")])
    tax = _added([_text(group, "Imposta") for group in _all(goods, "DatiRiepilogo")])
    found = FoundInvoice("fatturapa", is_credit_note=_text(general, "TipoDocumento") in _CREDIT_NOTES_IT)
    found.fields = {
        "number": _text(general, "Numero"),
        "date": _date(_text(general, "Data")),
        "supplier": _fattura_name(seller),
        "supplier_tax_id": _text(seller, "IdFiscaleIVA/IdPaese") + _text(seller, "IdFiscaleIVA/IdCodice"),
        "buyer": _fattura_name(buyer),
        "currency": currency,
        "net": _amount(net, currency),
        "tax": _amount(tax, currency),
        "gross": _amount(_text(general, "ImportoTotaleDocumento") or _added([net, tax]), currency),
    }
    for item in _all(goods, "DettaglioLinee"):
        _add_line(found, _text(item, "Descrizione"), _text(item, "PrezzoTotale"), currency)
    if len(bodies) > 1:
        found.warnings.append(
            f"This file holds {len(bodies)} invoices; only the first was read. Upload the others alone."
        )
    return found


def _fattura_name(party: Element | None) -> str:
    person = f"{_text(party, 'Anagrafica/Nome')} {_text(party, 'Anagrafica/Cognome')}".strip()
    return _text(party, "Anagrafica/Denominazione") or person


def _add_line(found: FoundInvoice, description: str, amount: str, currency: str) -> None:
    plain = _amount(amount, currency)
    if plain and len(found.lines) < MAX_LINES:
        found.lines.append((description[:500], plain))


def _add_change(found: FoundInvoice, reason: str, amount: str, currency: str, *, charge: bool) -> None:
    """An allowance or charge on the whole document counts as a line, so that the lines make the net."""
    sign = "" if charge else "-"
    _add_line(found, reason or ("Charge" if charge else "Allowance"), sign + amount.removeprefix("+"), currency)


def _amount(text: str, currency: str) -> str:
    """Plain major units with the currency's decimals; empty for what is no amount."""
    if not _AMOUNT.fullmatch(text):
        return ""
    places = Decimal(1).scaleb(-EXPONENTS.get(currency, 2))
    return f"{Decimal(text).quantize(places, ROUND_HALF_EVEN):f}"


def _added(amounts: list[str]) -> str:
    plain = [amount for amount in amounts if _AMOUNT.fullmatch(amount)]
    return f"{sum((Decimal(amount) for amount in plain), Decimal(0)):f}" if plain else ""


def _date(text: str) -> str:
    found = _DATE.match(text)
    try:
        return date.fromisoformat("-".join(found.groups())).isoformat() if found else ""
    except ValueError:
        return ""


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _all(element: Element | None, name: str) -> Iterator[Element]:
    return (child for child in (() if element is None else element) if _local(child) == name)


def _first(element: Element | None, name: str) -> Element | None:
    return next(_all(element, name), None)


def _one_of(element: Element | None, *names: str) -> Element | None:
    return next((child for name in names for child in _all(element, name)), None)


def _text(element: Element | None, path: str) -> str:
    """The text at the first element of each step, in one line; empty where a step is missing."""
    for name in path.split("/"):
        element = _first(element, name)
    return "" if element is None else " ".join((element.text or "").split())[:500]


def _in_currency(amounts: list[Element], currency: str) -> str:
    """Of amounts in several currencies the one in the invoice's; else the first."""
    chosen = next(
        (amount for amount in amounts if amount.get("currencyID") == currency), amounts[0] if amounts else None
    )
    return "" if chosen is None else (chosen.text or "").strip()
