"""A CSV of ours reads back unchanged and starts no formula in any spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcma.csvfile import safe_text, write_csv
from tcma.money import Money

TRIGGERS = "=+-@\t\r"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "\u00a0@x"])
def test_text_that_begins_like_a_formula_is_neutralised(text: str) -> None:
    (line,) = list(write_csv([[text]], ["name"]))[1:]
    (cell,) = next(csv.reader(io.StringIO(line, newline="")))
    assert cell.startswith("'")
    assert cell.replace("'", "") == text


def test_a_formula_behind_a_foreign_separator_is_neutralised() -> None:
    assert safe_text("a;=cmd|' /C calc'!A0") == "a;'=cmd|' /C calc'!A0"
    assert safe_text("a\n=HYPERLINK(0)") == "a\n'=HYPERLINK(0)"


@pytest.mark.parametrize("text", ["Müller & Söhne", "a-b", "x@example.com", "1=1", "O'Neil", "", "two\r\nlines"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert safe_text(text) == text


def test_numbers_and_money_of_ours_stay_numbers() -> None:
    row = [-5, Decimal("-1E+3"), Money(-1250, "EUR"), Money(5, "JPY"), True, None, date(2026, 3, 1)]
    (line,) = list(write_csv([row], list("abcdefg")))[1:]
    assert line == "-5,-1000,-12.50,5,true,,2026-03-01\r\n"


def test_a_decimal_that_is_no_number_is_an_empty_cell() -> None:
    assert list(write_csv([[Decimal("NaN"), Decimal("-Infinity")]], ["a", "b"]))[1] == ",\r\n"


def test_lines_end_and_quote_by_rfc_4180() -> None:
    lines = list(write_csv([['say "hi"', "a,b"], ["two\nlines", "x"]], ["a", "b"]))
    assert lines == ["a,b\r\n", '"say ""hi""","a,b"\r\n', '"two\nlines",x\r\n']


def test_a_moment_keeps_its_offset() -> None:
    moment = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert list(write_csv([[moment]], ["at"]))[1] == "2026-03-01T12:00:00+00:00\r\n"


def test_the_mark_for_excel_comes_once_and_first() -> None:
    lines = list(write_csv([["é"]], ["name"], bom=True))
    assert lines[0].encode().startswith(b"\xef\xbb\xbf")
    assert "\ufeff" not in lines[1]


def test_a_header_is_neutralised_as_well() -> None:
    assert next(write_csv([], ["=evil"])) == "'=evil\r\n"


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cells, the header 2"):
        list(write_csv([[1, 2, 3]], ["a", "b"]))


def test_rows_are_written_as_they_come() -> None:
    taken: list[int] = []

    def rows() -> object:
        for number in range(10**6):
            taken.append(number)
            yield [number]

    lines = write_csv(rows(), ["n"])  # type: ignore[arg-type]
    assert [next(lines), next(lines)] == ["n\r\n", "0\r\n"]
    assert taken == [0]


@settings(deadline=None)
@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=8))
def test_any_text_reads_back_and_starts_no_formula(rows: list[list[str]]) -> None:
    written = "".join(write_csv(rows, ["a", "b", "c"]))
    back = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert back == [[safe_text(cell) for cell in row] for row in rows]
    for row, original in zip(back, rows, strict=True):
        for cell, before in zip(row, original, strict=True):
            assert not cell.lstrip(" ").startswith(tuple(TRIGGERS))
            assert cell == before or len(cell) > len(before)
