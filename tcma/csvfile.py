"""CSV for people and their spreadsheets: RFC 4180, with cells that a spreadsheet would run made harmless."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from tcma.money import Money

Cell = str | int | Decimal | Money | date | datetime | UUID | bool | None

# OWASP, CSV Injection: = + - @ tab CR, their full-width twins, also behind blanks. After ; tab or a line
# break too: a spreadsheet that splits at another separator than ours would begin a cell there.
_RUNS = re.compile(r"(^|[;\t\r\n])([ \u00a0\u200b\ufeff]*)(?=[=+\-@\t\r＝＋－＠])")


def write_csv(rows: Iterable[Sequence[Cell]], header: Sequence[str], *, bom: bool = False) -> Iterator[str]:
    """The header and each row as one line of CSV ending in CRLF, made as they are asked for.

    Text that a spreadsheet would read as a formula gets an apostrophe in front. Numbers and money of ours
    are written plain (-12.50), for they cannot hold a formula; money without its currency, dates in ISO 8601,
    None as an empty cell. `bom` marks the text as UTF-8 for Excel. Raises ValueError for a row of another
    width.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow([safe_text(name) for name in header])
    yield ("\ufeff" if bom else "") + _taken(buffer)
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"The row has {len(row)} cells, the header {len(header)}.")
        writer.writerow([_written(cell) for cell in row])
        yield _taken(buffer)


def safe_text(text: str) -> str:
    """`text` with an apostrophe wherever a spreadsheet would begin to read a formula; else unchanged."""
    return _RUNS.sub(r"\1'\2", text)


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case str():
            return safe_text(cell)
        case Decimal():
            return f"{cell:f}" if cell.is_finite() else ""
        case date():
            return cell.isoformat()
        case _:
            return str(cell)


def _taken(buffer: io.StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line
