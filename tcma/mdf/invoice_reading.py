"""The part of reading an invoice that runs in a limited child: bytes in, plain data out."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any

from tcma.errors import Invalid
from tcma.mdf.invoice_text import amounts_in, read_invoice_text
from tcma.mdf.invoice_xml import FoundInvoice, read_invoice_xml

_CREDIT_NOTE = re.compile(
    r"^\W*(?:credit note|credit memo|gutschrift|rechnungskorrektur|(?:facture d.)?avoir|nota di credito|creditnota"
    r"|nota de cr[ée]dito|factura de abono)\b",
    re.IGNORECASE | re.MULTILINE,
)
_FEWEST_LETTERS = 40  # of a text that can tell one document from another


def read_document(data: bytes, kind: str) -> dict[str, Any]:
    """Fields (value, confidence, source), lines, text hash, pages, warnings and kind of a "pdf" or "xml"."""
    if kind == "xml":
        found = read_invoice_xml(data)
        return _plain(found, pages=0, text=found.text)
    # Only a PDF needs the large parsers.
    from tcma.mdf.invoice_pdf import read_pdf

    text, pages, files = read_pdf(data)
    warnings: list[str] = []
    for name, content in files:
        try:
            found = read_invoice_xml(content)
        except Invalid as error:
            warnings.append(f"The file “{name[:60]}” inside the PDF was not used. {error}")
            continue
        found.kind = "facturx"
        return _plain(found, pages=pages, text=text, shown=text)
    return _by_words(text, pages, warnings)


def _plain(found: FoundInvoice, *, pages: int, text: str, shown: str = "") -> dict[str, Any]:
    """An e-invoice's own data: sure, unless its amounts contradict each other or the pages (`shown`)."""
    fields = {name: (value, 1.0, "xml") for name, value in found.fields.items() if value}
    warnings = list(found.warnings)
    net, tax, gross = (found.fields.get(name) or "" for name in ("net", "tax", "gross"))
    if net and tax and gross and Decimal(net) + Decimal(tax) != Decimal(gross):
        warnings.append(f"Net {net} and tax {tax} do not make the total of {gross}.")
        fields.update({name: (value, 0.5, "xml") for name, value in (("net", net), ("tax", tax), ("gross", gross))})
    if shown.strip() and gross and Decimal(gross) not in amounts_in(shown):
        warnings.append(f"The data inside the PDF says a total of {gross}, but no page shows it. Compare them.")
        fields["gross"] = (gross, 0.4, "xml")
    return {
        "kind": found.kind,
        "fields": fields,
        "lines": found.lines,
        "text_hash": _text_hash(text),
        "pages": pages,
        "is_credit_note": found.is_credit_note,
        "warnings": warnings,
    }


def _by_words(text: str, pages: int, warnings: list[str]) -> dict[str, Any]:
    kind = "pdf_text" if any(char.isalnum() for char in text) else "pdf_scan"
    if kind == "pdf_scan":
        warnings = [*warnings, "The pages hold no text, only pictures. Type the values from the document."]
    fields = {name: (reading.value, reading.confidence, "text") for name, reading in read_invoice_text(text).items()}
    return {
        "kind": kind,
        "fields": fields,
        "lines": [],
        "text_hash": _text_hash(text),
        "pages": pages,
        "is_credit_note": bool(_CREDIT_NOTE.search(text[:1000])),
        "warnings": warnings,
    }


def _text_hash(text: str) -> str | None:
    letters = "".join(char for char in text.casefold() if char.isalnum())
    return hashlib.sha256(letters.encode("utf-8", "replace")).hexdigest() if len(letters) >= _FEWEST_LETTERS else None
