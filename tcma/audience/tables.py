"""Contact files as people have them: told apart by content, opened, or refused with the way to mend them."""

from __future__ import annotations

import codecs
from pathlib import Path

from tcma.audience.columns import suggest_mapping
from tcma.audience.delimited import open_delimited
from tcma.audience.rawrows import MAX_COLUMNS, CellProblem, RawRow, Table
from tcma.audience.rows import FIELDS, ContactValues, RowReader, Status, Verdict, read_row
from tcma.audience.spreadsheets import open_spreadsheet
from tcma.errors import Invalid

__all__ = [
    "FIELDS",
    "MAX_COLUMNS",
    "CellProblem",
    "ContactValues",
    "RawRow",
    "RowReader",
    "Status",
    "Table",
    "Verdict",
    "open_table",
    "read_row",
    "suggest_mapping",
]

MAX_FILE = 1024 * 1024 * 1024

_AS_CSV = "Open it in the program that made it, save it as CSV or Excel (.xlsx), and upload that."
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", f"This is a PDF, not a table. {_AS_CSV}"),
    (b"\x1f\x8b", "This is a compressed file. Unpack it and upload the table inside."),
    (b"7z\xbc\xaf\x27\x1c", "This is a 7z archive. Unpack it and upload the table inside."),
    (b"Rar!", "This is a RAR archive. Unpack it and upload the table inside."),
    (b"{\\rtf", f"This is a text document (RTF). {_AS_CSV}"),
    (b"\x89PNG", "This is a picture, not a table. Upload the table itself, as CSV or Excel (.xlsx)."),
    (b"\xff\xd8\xff", "This is a picture, not a table. Upload the table itself, as CSV or Excel (.xlsx)."),
    (b"SQLite format 3", f"This is a database file. {_AS_CSV}"),
    (b"PAR1", f"This is a Parquet file. {_AS_CSV}"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIPPED: tuple[tuple[str, str], ...] = (
    ("xl/workbook.bin", "This is a binary workbook (.xlsb). Save it as “Excel Workbook (.xlsx)” or CSV."),
    (
        "Index/Document.iwa",
        "This is a Numbers file. In Numbers, choose File, Export To, CSV, and upload that.",
    ),
    ("Index.zip", "This is a Numbers file. In Numbers, choose File, Export To, CSV, and upload that."),
    ("content.xml", "This is an OpenDocument file. Save it as CSV or Excel (.xlsx), and upload that."),
    (
        "word/document.xml",
        "This is a Word document. Copy its table into Excel, save it as .xlsx, and upload that.",
    ),
    ("ppt/presentation.xml", "This is a PowerPoint deck. Copy its table into Excel and save that as .xlsx."),
)
_MACRO_NAMES = (".xlsm", ".xltm", ".xlam")


def open_table(path: Path, filename: str) -> Table:
    """The contact table in the file at `path`, which its owner calls `filename`.

    CSV (comma, semicolon, tab or bar; UTF-8, UTF-16 or, with a warning, Windows-1252) and XLSX. What it is,
    its content tells, for names lie. Memory stays flat for CSV; an XLSX keeps its distinct texts.
    Raises Invalid for everything else, naming what it is and how to mend it.
    """
    size = path.stat().st_size
    if not size:
        raise Invalid("This file is empty. Choose the file again, or save it anew first.")
    if size > MAX_FILE:
        raise Invalid(f"This file is {size / MAX_FILE:,.1f} GB; at most 1 GB can be read. Split it into parts.")
    with path.open("rb") as file:
        head = file.read(8192)
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        _check_zipped(path, filename)
        return open_spreadsheet(path)
    _refuse_others(head)
    return open_delimited(path)


def _check_zipped(path: Path, filename: str) -> None:
    """Raises Invalid for an archive that is no workbook; damage is left to `open_spreadsheet` to tell."""
    if filename.lower().endswith(_MACRO_NAMES):
        raise Invalid("This workbook contains macros. Save it as “Excel Workbook (.xlsx)” without macros.")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 256 * 1024))
        directory = file.read()
    if b"xl/workbook.xml" in directory or b"PK\5\6" not in directory:
        return
    for name, refusal in _ZIPPED:
        if name.encode() in directory:
            raise Invalid(refusal)
    raise Invalid("This is a ZIP archive. Unpack it and upload the table inside, as CSV or Excel (.xlsx).")


def _refuse_others(head: bytes) -> None:
    for start, refusal in _STARTS:
        if head.startswith(start):
            raise Invalid(refusal)
    if head.startswith(_OLE):
        raise Invalid(
            "This is an old Excel file (.xls) or one protected by a password. Open it in Excel, save it as "
            "“Excel Workbook (.xlsx)” without a password, and upload that."
        )
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith(b"<"):
        kind = "a web page" if b"<html" in text or b"<table" in text or b"<!doctype html" in text else "an XML file"
        raise Invalid(f"This is {kind}, whatever its name says. {_AS_CSV}")
    if text.startswith(b"begin:vcard"):
        raise Invalid("These are contact cards (vCard). Import them into your address book and export CSV from it.")
    if text.startswith((b'{"', b"[{", b"{\n", b"{\r\n", b"[\n")):
        raise Invalid(f"This is JSON, not a table. {_AS_CSV}")
