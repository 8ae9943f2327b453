"""What every contact file becomes before its contents are judged: columns, and numbered rows of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tcma.audience.addresses import Reason, looks_like_address
from tcma.errors import Invalid

MAX_COLUMNS = 200
MAX_NAME = 200
_PREAMBLE = 5  # lines that exports put above the column names: a title, a date, a filter


class CellProblem(NamedTuple):
    """What was wrong before anything was read into a cell; column None means the whole row."""

    column: int | None
    reason: Reason


class RawRow(NamedTuple):
    """One row as text. `number` is the row's number in the file as a spreadsheet shows it, the first being 1.

    `cells` are always as many as the table has columns; what did not fit is told in `problems`.
    """

    number: int
    cells: Sequence[str]
    problems: tuple[CellProblem, ...] = ()


class Header(NamedTuple):
    """Where a table's names and contents begin."""

    columns: tuple[str, ...]
    named: bool
    first_row: int
    warnings: tuple[Reason, ...]


@dataclass(frozen=True)
class Table(ABC):
    """A contact file that can be read, again and again, a row at a time.

    `columns` are the names in the file, made unique, or “Column 1” and so on where it names none (`named`
    is False); `warnings` tell what was assumed in reading it.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    named: bool
    warnings: tuple[Reason, ...]

    @abstractmethod
    def rows(self) -> Iterator[RawRow]:
        """All rows below the names that are not blank, read as they are asked for.

        Raises Invalid where the file breaks off or turns out to be damaged further down.
        """

    def sample(self, count: int = 20) -> list[RawRow]:
        """The first `count` rows."""
        return list(islice(self.rows(), count))


def is_blank(cells: Iterable[str]) -> bool:
    return not any(cell and not cell.isspace() for cell in cells)


def find_header(records: Sequence[tuple[int, Sequence[str]]]) -> Header:
    """Tell names from contents in the first `records` (number, cells) of a file.

    Raises Invalid where there is nothing, only names, or more than MAX_COLUMNS columns.
    """
    filled = [(number, cells) for number, cells in records if not is_blank(cells)]
    if not filled:
        raise Invalid("This file holds no rows. Add a row of column names and one row for each contact.")
    skipped = _preamble([cells for _, cells in filled])
    number, cells = filled[skipped]
    width = len(_trimmed(cells))
    if width > MAX_COLUMNS:
        raise Invalid(
            f"This file has {width:,} columns; at most {MAX_COLUMNS} can be read. "
            "Keep the columns you need, delete the others, and upload it again."
        )
    warnings: tuple[Reason, ...] = ()
    if skipped:
        words = "line" if skipped == 1 else "lines"
        warnings = (Reason("lines_skipped", f"The first {skipped} {words} above the column names were skipped."),)
    if any(looks_like_address(cell) for cell in cells):
        warnings = (
            *warnings,
            Reason("no_names", "The file has no column names, so its first row is a contact."),
        )
        widest = min(MAX_COLUMNS, max(len(_trimmed(other)) for _, other in filled))
        return Header(tuple(f"Column {place}" for place in range(1, widest + 1)), False, number, warnings)
    if len(filled) == skipped + 1:
        raise Invalid("This file holds column names but no contacts. Add one row for each contact.")
    return Header(_unique(_trimmed(cells)), True, number + 1, warnings)


def fitted(number: int, cells: Sequence[str], width: int, problems: tuple[CellProblem, ...] = ()) -> RawRow:
    """The row with exactly `width` cells, and a problem told where it had more or fewer."""
    if len(cells) > width:
        extra = len(_trimmed(cells))
        if extra > width:
            reason = Reason(
                "row_too_long",
                f"This row has {extra:,} cells but the file has {width} columns. A value may hold the "
                "separator: put that value in double quotes.",
            )
            problems = (*problems, CellProblem(None, reason))
        return RawRow(number, cells[:width], problems)
    if len(cells) < width:
        reason = Reason(
            "row_too_short",
            f"This row has {len(cells)} of {width} cells; the missing ones were taken as empty. "
            "Check that the row is whole.",
        )
        return RawRow(number, [*cells, *[""] * (width - len(cells))], (*problems, CellProblem(None, reason)))
    return RawRow(number, cells, problems)


def _preamble(rows: list[Sequence[str]]) -> int:
    """How many lines stand above the names: single cells, then at once a row of three or more."""
    for place, cells in enumerate(rows[: _PREAMBLE + 1]):
        count = sum(1 for cell in cells if cell.strip())
        if count >= 3:
            return place
        if count > 1 or any(looks_like_address(cell) for cell in cells):
            return 0
    return 0


def _trimmed(cells: Sequence[str]) -> Sequence[str]:
    """`cells` without the blank ones at the end."""
    length = len(cells)
    while length and not cells[length - 1].strip():
        length -= 1
    return cells[:length]


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    taken: dict[str, int] = {}
    columns = []
    for place, raw in enumerate(names, start=1):
        printable = "".join(char if char.isprintable() else " " for char in raw)
        name = " ".join(printable.split())[:MAX_NAME] or f"Column {place}"
        taken[name] = taken.get(name, 0) + 1
        columns.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return tuple(columns)
