"""A PDF invoice's text and embedded e-invoice. Runs in a limited child only: PDF parsers meet hostile files."""

from __future__ import annotations

import io
from itertools import islice

import pdfplumber
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from tcma.errors import Invalid

MAX_PAGES = 50
MAX_ATTACHMENTS = 20
MAX_TEXT = 200_000
# The names that Factur-X, ZUGFeRD and XRechnung prescribe; other XML is tried after them.
_KNOWN_NAMES = ("factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml")


def read_pdf(data: bytes) -> tuple[str, int, list[tuple[str, bytes]]]:
    """The text of all pages, how many there are, and the XML files within (name, content), likeliest first.

    Raises Invalid for a PDF that needs a password or has too many pages, and what the parsers raise on damage.
    """
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Invalid("This PDF asks for a password. Save it without one, and upload that.")
    pages = len(reader.pages)
    if pages > MAX_PAGES:
        raise Invalid(
            f"This PDF has {pages:,} pages; at most {MAX_PAGES} can be read. Upload the pages of the invoice only."
        )
    return _text(data), pages, _xml_files(reader)


def _text(data: bytes) -> str:
    parts: list[str] = []
    with pdfplumber.open(io.BytesIO(data)) as document:
        for page in document.pages:
            parts.append(page.extract_text() or "")
            page.close()
            if sum(map(len, parts)) > MAX_TEXT:
                break
    return "\n".join(parts)[:MAX_TEXT]


def _xml_files(reader: PdfReader) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    try:
        for file in islice(reader.attachment_list, MAX_ATTACHMENTS):
            name = file.name.lower()
            if name.endswith(".xml"):
                found.append((name, file.content))
    except (PyPdfError, KeyError, ValueError, TypeError, AttributeError):
        return found  # a broken attachment leaves the pages readable
    return sorted(found, key=lambda file: file[0] not in _KNOWN_NAMES)
