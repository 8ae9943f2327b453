"""Reading an uploaded invoice: structured where it is an e-invoice, else by its words, else left to be typed.

Nothing read here is trusted: each value carries its source and how sure it is, and is shown beside the document.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from tcma.errors import Invalid
from tcma.limits import limited
from tcma.mdf.invoice_reading import read_document
from tcma.money import EXPONENTS, Money

FIELDS: Mapping[str, str] = {
    "supplier": "Supplier",
    "supplier_tax_id": "Supplier's tax number",
    "buyer": "Buyer",
    "number": "Invoice number",
    "date": "Invoice date",
    "currency": "Currency",
    "net": "Net amount",
    "tax": "Tax",
    "gross": "Total",
}
"""What is read of an invoice, with its label."""

KINDS: Mapping[str, str] = {
    "facturx": "PDF with an e-invoice inside (Factur-X, ZUGFeRD)",
    "cii": "E-invoice (CII)",
    "ubl": "E-invoice (UBL)",
    "fatturapa": "E-invoice (FatturaPA)",
    "pdf_text": "PDF, read by its words",
    "pdf_scan": "PDF without text, to be typed",
}
MEGABYTE = 1024 * 1024
MAX_FILE = 15 * MEGABYTE
SECONDS = 20

_AS_PDF = "Save or scan the invoice as PDF, and upload that."
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"PK\3\4", f"This file is a ZIP archive or an Office document, not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"PK\5\6", f"This file is an empty ZIP archive, not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"\x89PNG", f"This file is a picture (PNG), not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"\xff\xd8\xff", f"This file is a picture (JPEG), not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"GIF8", f"This file is a picture (GIF), not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"II*\0", f"This file is a picture (TIFF), not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"MM\0*", f"This file is a picture (TIFF), not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"\xd0\xcf\x11\xe0", f"This file is an old Office document, not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"{\\rtf", f"This file is a text document (RTF), not a PDF or an e-invoice XML. {_AS_PDF}"),
    (b"\x1f\x8b", "This file is compressed. Unpack it and upload the invoice inside."),
    (b"0\x82", "This file is a signed envelope (.p7m). Take the XML out of it, and upload that."),
    (b"0\x80", "This file is a signed envelope (.p7m). Take the XML out of it, and upload that."),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A value as read: amounts plain (1190.00), dates ISO, empty if not found; `confidence` 0 to 1.

    `source` is "xml" for an e-invoice's own data, "text" for words on the pages, "" for nothing.
    """

    value: str = ""
    confidence: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line of an e-invoice; `net` in plain major units. An allowance is a line below zero."""

    description: str
    net: str


@dataclass(frozen=True, slots=True)
class ReadInvoice:
    """What could be read of a file. `fields` has every name of FIELDS; `warnings` are sentences for people.

    `text_hash` is equal for files with the same words, however they are saved; None where there are too few.
    """

    kind: str
    fields: Mapping[str, Field]
    lines: tuple[InvoiceLine, ...]
    sha256: str
    text_hash: str | None
    pages: int
    is_credit_note: bool
    warnings: tuple[str, ...]

    def text(self, name: str) -> str:
        return self.fields[name].value

    def money(self, name: str) -> Money | None:
        """Net, tax or gross in the invoice's own currency; None where either was not read."""
        currency, value = self.text("currency"), self.text(name)
        return Money.of(Decimal(value), currency) if value and currency in EXPONENTS else None

    @property
    def date(self) -> date | None:
        value = self.text("date")
        return date.fromisoformat(value) if value else None

    @property
    def line_amounts(self) -> tuple[Money, ...]:
        """The lines' nets as money; empty where the currency is unknown."""
        currency = self.text("currency")
        if currency not in EXPONENTS:
            return ()
        return tuple(Money.of(Decimal(line.net), currency) for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Plain data to keep with the file, as it was read."""
        return {
            "kind": self.kind,
            "fields": {
                name: {"value": field.value, "confidence": field.confidence, "source": field.source}
                for name, field in self.fields.items()
            },
            "lines": [{"description": line.description, "net": line.net} for line in self.lines],
            "sha256": self.sha256,
            "text_hash": self.text_hash,
            "pages": self.pages,
            "is_credit_note": self.is_credit_note,
            "warnings": list(self.warnings),
        }


def read_invoice(data: bytes, filename: str) -> ReadInvoice:
    """Read a PDF or an e-invoice XML; `filename` only helps to name what else it may be.

    Parsing happens in a child process with 20 seconds and 1 GB: call it outside a transaction (0.5 s a PDF).
    Raises Invalid, and that only, for what is neither, is broken, hostile or too large, with the way to mend it;
    RateLimited when too many files are being read.
    """
    found = limited(read_document, data, kind_of(data, filename), seconds=SECONDS)
    try:
        return ReadInvoice(
            kind=next(kind for kind in KINDS if kind == found["kind"]),
            fields={name: _field(name, found["fields"].get(name)) for name in FIELDS},
            lines=tuple(InvoiceLine(str(what), _amount(net)) for what, net in found["lines"]),
            sha256=hashlib.sha256(data).hexdigest(),
            text_hash=None if found["text_hash"] is None else str(found["text_hash"]),
            pages=int(found["pages"]),
            is_credit_note=bool(found["is_credit_note"]),
            warnings=tuple(str(warning) for warning in found["warnings"]),
        )
    except (StopIteration, KeyError, TypeError, ValueError) as error:  # a file may have taken the child over
        raise Invalid(f"This file cannot be read. {_AS_PDF}") from error


def _field(name: str, found: tuple[Any, Any, Any] | None) -> Field:
    """The child's reading, its form checked again; raises ValueError and TypeError for what is not of it."""
    if found is None:
        return Field()
    value, confidence, source = str(found[0]), float(found[1]), str(found[2])
    if name == "date":
        date.fromisoformat(value)
    elif name in ("net", "tax", "gross"):
        _amount(value)
    # One line without controls, as long as a column holds.
    value = " ".join("".join(char if char.isprintable() else " " for char in value).split())[:200]
    return Field(value, min(1.0, max(0.0, confidence)), source[:10])


def _amount(value: object) -> str:
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,4})?", str(value)):
        raise ValueError("no plain amount")
    return str(value)


def kind_of(data: bytes, filename: str) -> str:
    """ "pdf" or "xml" by the content. Raises Invalid for everything else, naming it where that can be told."""
    if not data:
        raise Invalid("This file is empty. Choose the file again, or save it anew first.")
    if len(data) > MAX_FILE:
        raise Invalid(
            f"This file has {len(data) / MEGABYTE:.1f} MB; at most {MAX_FILE // MEGABYTE} MB can be read. "
            "Save the PDF with smaller pictures, and upload that."
        )
    for start, refusal in _STARTS:
        if data.startswith(start):
            raise Invalid(refusal)
    # Readers look for a PDF's header in the first 1024 bytes (ISO 32000-1, annex H.3.4.1).
    if b"%PDF-" in data[:1024]:
        return "pdf"
    head = data[:2048]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "ignore").encode()
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")) or b"<html" in head:
        raise Invalid(f"This file is a web page, not a PDF or an e-invoice XML. Print the page to PDF. {_AS_PDF}")
    if head.startswith(b"<"):
        return "xml"
    if filename.lower().endswith(".p7m"):
        raise Invalid("This file is a signed envelope (.p7m). Take the XML out of it, and upload that.")
    raise Invalid(f"This file is neither a PDF nor an e-invoice XML, whatever its name says. {_AS_PDF}")
