"""Contact files as Excel workbooks (XLSX), read a row at a time, and only after their sizes were checked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tcma.audience.addresses import Reason
from tcma.audience.rawrows import RawRow, Table, find_header, fitted, is_blank
from tcma.audience.sheetxml import read_sheet, read_workbook
from tcma.errors import Invalid

MEGABYTE = 1024 * 1024
MAX_FILE = 100 * MEGABYTE
MAX_UNPACKED = 600 * MEGABYTE
MAX_SHEET = 400 * MEGABYTE
MAX_STRINGS = 150 * MEGABYTE
MAX_OTHER = 20 * MEGABYTE
MAX_RATIO = 200  # sheets pack to a twentieth; only zeros pack to less than a hundredth
MAX_PARTS = 2_000


@dataclass(frozen=True)
class SpreadsheetTable(Table):
    """A table in one sheet of a workbook, kept in `part` of the archive."""

    sheet: str
    part: str
    first_row: int

    def rows(self) -> Iterator[RawRow]:
        width = len(self.columns)
        with _opened(self.path) as archive:
            for number, cells, problems in read_sheet(archive, self.part, read_workbook(archive)):
                if number >= self.first_row and (problems or not is_blank(cells)):
                    # A sheet leaves out empty cells at the end of a row, so a short row is whole.
                    padded = [*cells, *[""] * (width - len(cells))]
                    yield fitted(number, padded, width, problems)


def open_spreadsheet(path: Path) -> SpreadsheetTable:
    """The first visible sheet that holds anything. Raises Invalid for a bomb, macros, damage or emptiness."""
    _check_directory(path)
    with _opened(path) as archive:
        _check_parts(archive.infolist())
        book = read_workbook(archive)
        heads = {
            sheet: list(islice(read_sheet(archive, sheet.part, book), 30)) for sheet in book.sheets if sheet.visible
        }
    filled = [sheet for sheet, head in heads.items() if not all(is_blank(row.cells) for row in head)]
    if not filled:
        raise Invalid("This workbook has no visible sheet with rows. Put the contacts on one and save it again.")
    sheet = filled[0]
    header = find_header([(row.number, row.cells) for row in heads[sheet]])
    others = ", ".join(f"“{other.name}”" for other in filled[1:4])
    told = (Reason("other_sheets", f"Only the sheet “{sheet.name}” is read, not {others}."),) if others else ()
    return SpreadsheetTable(
        path=path,
        kind="xlsx",
        columns=header.columns,
        named=header.named,
        warnings=(*told, *header.warnings),
        sheet=sheet.name,
        part=sheet.part,
        first_row=header.first_row,
    )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever zipfile, zlib and expat raise on damage within the block becomes Invalid."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (Invalid, MemoryError):
        raise
    except Exception as error:  # each parser has kinds of its own, and all of them mean the same here
        raise _damaged() from error


def _damaged() -> Invalid:
    return Invalid(
        "This workbook is damaged, or protected by a password. Open it in Excel, save it as “Excel Workbook "
        "(.xlsx)” without a password, and upload that."
    )


def _check_directory(path: Path) -> None:
    """Look at the archive's directory (APPNOTE 4.3.16) before zipfile makes an object of each entry in it."""
    length = path.stat().st_size
    if length > MAX_FILE:
        raise Invalid(
            f"This workbook is {length / MEGABYTE:,.0f} MB; at most {MAX_FILE // MEGABYTE} MB can be read. "
            "Save it as CSV, or split it."
        )
    with path.open("rb") as file:
        file.seek(max(0, length - 65_557))
        tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or place + 22 > len(tail):
        raise _damaged()
    entries = int.from_bytes(tail[place + 10 : place + 12], "little")
    size = int.from_bytes(tail[place + 12 : place + 16], "little")
    if entries > MAX_PARTS or size > MAX_PARTS * 1024:
        raise Invalid(f"This workbook has more than {MAX_PARTS:,} parts. Save it as CSV and upload that.")


def _check_parts(parts: list[zipfile.ZipInfo]) -> None:
    """Raises Invalid for macros and for what would unpack too large; nothing is unpacked to know it.

    zipfile never reads more of a part than its directory declares, so a false size gains nothing.
    """
    names = {part.filename for part in parts}
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        raise Invalid("This workbook contains macros. Save it as “Excel Workbook (.xlsx)” without macros.")
    read = [part for part in parts if not part.filename.startswith(("xl/media/", "xl/drawings/", "xl/charts/"))]
    total = sum(part.file_size for part in read)
    if total > MAX_UNPACKED:
        raise _bomb(total, MAX_UNPACKED)
    for part in read:
        if part.filename == "xl/sharedStrings.xml":
            limit = MAX_STRINGS
        else:
            limit = MAX_SHEET if part.filename.startswith("xl/worksheets/") else MAX_OTHER
        if part.file_size > limit:
            raise _bomb(part.file_size, limit)
        if part.file_size > max(10 * MEGABYTE, MAX_RATIO * part.compress_size):
            raise _bomb(part.file_size, 10 * MEGABYTE)


def _bomb(size: int, limit: int) -> Invalid:
    return Invalid(
        f"This workbook unpacks to {size / MEGABYTE:,.0f} MB where at most {limit // MEGABYTE:,} MB is read. "
        "Keep only the sheet with the contacts, or save it as CSV."
    )
