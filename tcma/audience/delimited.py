"""Contact files as delimited text (CSV and its kin, RFC 4180 and looser), read a row at a time."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from tcma.audience.addresses import Reason
from tcma.audience.rawrows import MAX_COLUMNS, CellProblem, RawRow, Table, find_header, fitted, is_blank
from tcma.errors import Invalid

DELIMITERS = ",;\t|"
MAX_LINE = 4_000_000  # characters of one line
_CHUNK = 1 << 20
_SAMPLE = 1 << 16
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n?", re.IGNORECASE)
# Comes after the last line: a quote that is still open swallows it, and thereby shows itself.
_END = "\ue000end of file\ue000"
_SAVE_ANEW = "Save the file again as “CSV UTF-8” and upload that."


@dataclass(frozen=True)
class DelimitedTable(Table):
    """A table in a text file of known `encoding` and `delimiter`, its contents beginning at `first_row`."""

    encoding: str
    delimiter: str
    first_row: int

    def rows(self) -> Iterator[RawRow]:
        width = len(self.columns)
        first = self.first_row
        for record in _records(self.path, self.encoding, self.delimiter):
            number, cells, _ = record
            if number < first:
                continue
            if len(cells) == width and cells[0] and not cells[0].isspace() and not record.problems:
                yield record
            elif not is_blank(cells) or record.problems:
                yield fitted(number, cells, width, record.problems)


def open_delimited(path: Path) -> DelimitedTable:
    """Find encoding, separator and names. Raises Invalid for what is not text, or has too many columns."""
    encoding, warnings = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        sample = file.read(_SAMPLE)
    told = _SEPARATOR_LINE.match(sample)
    delimiter = told[1] if told else _delimiter(sample)
    _refuse_endless_names(path, encoding, delimiter)
    records = list(islice(_records(path, encoding, delimiter), 30))
    if told:
        records = records[1:]
    header = find_header([(record.number, record.cells) for record in records])
    return DelimitedTable(
        path=path,
        kind="csv",
        columns=header.columns,
        named=header.named,
        warnings=(*warnings, *header.warnings),
        encoding=encoding,
        delimiter=delimiter,
        first_row=header.first_row,
    )


def _records(path: Path, encoding: str, delimiter: str) -> Iterator[RawRow]:
    """Every record with its number; blank lines count, as they do in a spreadsheet."""
    number = 0
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(_lines(file), delimiter=delimiter)
        while True:
            number += 1
            try:
                for cells in reader:
                    if cells and cells[-1].endswith(_END):
                        if cells != [_END]:
                            yield RawRow(number, _rest(cells), (_open_quote(number),))
                        return
                    yield RawRow(number, cells)
                    number += 1
                return
            except csv.Error:  # a cell past csv.field_size_limit(); the reader goes on with the next line
                yield RawRow(number, [], (_giant_cell(number),))


def _lines(file: TextIO) -> Iterator[str]:
    count = 0
    while line := file.readline(MAX_LINE):
        count += 1
        if len(line) == MAX_LINE:
            raise Invalid(
                f"Line {count:,} is longer than {MAX_LINE:,} characters, so this is no table we can read. " + _SAVE_ANEW
            )
        yield line
    yield _END


def _rest(cells: list[str]) -> list[str]:
    return [*cells[:-1], cells[-1].removesuffix(_END)[:200]]


def _open_quote(number: int) -> CellProblem:
    return CellProblem(
        None,
        Reason(
            "quote_not_closed",
            f"A double quote opened in row {number:,} is never closed, so all rows after it were read as one "
            "cell. Close the quote and import the file again.",
        ),
    )


def _giant_cell(number: int) -> CellProblem:
    return CellProblem(
        None,
        Reason(
            "cell_too_large",
            f"A cell in row {number:,} is longer than {csv.field_size_limit():,} characters. A closing "
            "double quote may be missing. Mend this row and import the file again.",
        ),
    )


def _encoding(path: Path) -> tuple[str, tuple[Reason, ...]]:
    """UTF-8 or UTF-16 if all of the file is; else Windows-1252 with a warning. Raises Invalid for neither."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise Invalid(f"This file is in UTF-32, which we do not read. {_SAVE_ANEW}")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if _decodes(path, "utf-16"):
            return "utf-16", ()
        raise Invalid(f"This file begins as UTF-16 but is damaged further down. {_SAVE_ANEW}")
    _refuse_binary(head)
    if _decodes(path, "utf-8"):
        return "utf-8-sig", ()
    line, text, mixed = _first_foreign_line(path)
    if mixed or head.startswith(codecs.BOM_UTF8):
        raise Invalid(
            f"Most of this file is UTF-8, but line {line:,} holds other bytes: “{text}”. "
            f"Correct that line, or open the file in your spreadsheet. {_SAVE_ANEW}"
        )
    if not _decodes(path, "cp1252"):
        raise Invalid(f"The letters in line {line:,} cannot be read: “{text}”. {_SAVE_ANEW}")
    message = (
        f"The file is not UTF-8, so it was read as Windows-1252. Line {line:,} reads: “{text}”. "
        f"If that looks wrong, cancel. {_SAVE_ANEW}"
    )
    return "cp1252", (Reason("encoding_guessed", message),)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _first_foreign_line(path: Path) -> tuple[int, str, bool]:
    """The first line that is not UTF-8, as Windows-1252, and whether the file is mostly UTF-8 anyway."""
    line, found, shown = 0, 0, ""
    valid = broken = 0
    with path.open("rb") as file:
        while raw := file.readline(_CHUNK):
            line += 1
            if raw.isascii():
                continue
            text = raw.decode("utf-8", "replace")
            bad = text.count("\ufffd")
            broken += bad
            valid += sum(1 for char in text if char > "\x7f") - bad
            if bad and not found:
                found = line
                shown = raw.decode("cp1252", "replace")
    place = next((index for index, char in enumerate(shown) if char > "\x7f"), 0)
    excerpt = "".join(char if char.isprintable() else " " for char in shown[max(0, place - 30) : place + 30])
    return found, excerpt.strip(), valid > 2 * broken


def _refuse_binary(head: bytes) -> None:
    nulls = head.count(0)
    if nulls > len(head) // 4:
        raise Invalid(f"This file is in UTF-16 without its mark, or not text at all. {_SAVE_ANEW}")
    controls = sum(head.count(bytes([code])) for code in range(1, 32) if code not in b"\t\n\r\f\x1a")
    if nulls + controls > max(8, len(head) // 100):
        raise Invalid(f"This file is not text. Open it in the program that made it. {_SAVE_ANEW}")


def _delimiter(sample: str) -> str:
    """The separator that gives most rows the same number of cells, two or more; a comma if none does."""
    end = max(sample.rfind("\n"), sample.rfind("\r")) if len(sample) == _SAMPLE else 0
    whole = sample[:end] or sample  # the last line may be cut
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        widths = Counter(len(row) for row in rows[:200])
        if not widths:
            continue
        (width, count) = max(widths.items(), key=lambda item: (item[1], item[0]))
        score = (count / min(len(rows), 200), width)
        if width > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _refuse_endless_names(path: Path, encoding: str, delimiter: str) -> None:
    """Count the columns of a first line too long to parse, without keeping it."""
    with path.open(encoding=encoding, newline="") as file:
        line = file.readline(MAX_LINE)
        if len(line) < MAX_LINE:
            return
        columns = 1 + line.count(delimiter)
        while not line.endswith("\n") and (line := file.readline(MAX_LINE)):
            columns += line.count(delimiter)
    if columns > MAX_COLUMNS:
        raise Invalid(
            f"This file has {columns:,} columns; at most {MAX_COLUMNS} can be read. "
            "Keep the columns you need, delete the others, and upload it again."
        )
