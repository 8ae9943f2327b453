"""Contact files open as what they are, or are refused by name with the way to mend them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tcma.audience.tables import RawRow, Table, open_table
from tcma.errors import Invalid

Write = Callable[[bytes | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(content: bytes | str) -> Path:
        path = tmp_path / "upload"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


def cells(table: Table) -> list[list[str]]:
    return [list(row.cells) for row in table.rows()]


def refusal(path: Path, filename: str = "contacts.csv") -> str:
    with pytest.raises(Invalid) as refused:
        list(open_table(path, filename).rows())
    return str(refused.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_are_found(write: Write, delimiter: str, newline: str) -> None:
    lines = [delimiter.join(row) for row in (["Email", "Name", "City"], ["a@b.example", "Ann", "Rome"])]
    table = open_table(write(newline.join(lines)), "c.csv")
    assert table.columns == ("Email", "Name", "City")
    assert cells(table) == [["a@b.example", "Ann", "Rome"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_files_are_read_without_a_warning(write: Write, encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    table = open_table(write((mark + "Email;Ort\na@b.example;Köln Łódź 東京\n").encode(encoding)), "c.csv")
    assert cells(table) == [["a@b.example", "Köln Łódź 東京"]]
    assert table.warnings == ()


def test_windows_1252_is_read_with_a_warning_that_shows_a_sample(write: Write) -> None:
    table = open_table(write("Email;Ort\na@b.example;Bonn\nc@d.example;Köln – Süd\n".encode("cp1252")), "c.csv")
    assert cells(table)[1] == ["c@d.example", "Köln – Süd"]
    (warning,) = table.warnings
    assert warning.code == "encoding_guessed"
    assert "Line 3 reads: “c@d.example;Köln – Süd”" in warning.message
    assert "CSV UTF-8" in warning.message


def test_a_few_foreign_bytes_in_utf_8_are_pointed_at(write: Write) -> None:
    good = "".join(f"a{number}@b.example;Jürgen Müller\n" for number in range(50)).encode()
    message = refusal(write(b"Email;Name\n" + good + b"x@y.example;J\xfcrgen\n"))
    assert "line 52" in message
    assert "Jürgen" in message


def test_bytes_of_no_encoding_are_refused_with_how_to_save(write: Write) -> None:
    message = refusal(write(b"Email;Name\na@b.example;M\x81\x8dller\n"))
    assert "line 2" in message
    assert "CSV UTF-8" in message


def test_utf_16_broken_further_down_is_refused(write: Write) -> None:
    assert "UTF-16" in refusal(write("Email\na@b.example\n".encode("utf-16") + b"\x00\xd8\x00"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n\n , ,\n", "no rows"),
        (b"Email,Name\n", "no contacts"),
        (b"%PDF-1.7\n...", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old Excel file (.xls)"),
        (gzip.compress(b"Email\na@b.example\n", mtime=0), "compressed"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "picture"),
        (b"{\\rtf1 hello}", "RTF"),
        (b"<html><table><tr><td>Email</td></tr></table></html>", "web page"),
        (b'<?xml version="1.0"?><Workbook/>', "XML"),
        (b"BEGIN:VCARD\nFN:Ann\nEND:VCARD\n", "vCard"),
        (json.dumps([{"email": "a@b.example"}]).encode(), "JSON"),
        (b"\x7fELF" + bytes(range(256)) * 20, "not text"),
        ("Email\na@b.example\n".encode("utf-16-le"), "UTF-16 without its mark"),
        ("Email\na@b.example\n".encode("utf-32"), "UTF-32"),
    ],
)
def test_other_files_are_refused_by_name(write: Write, content: bytes, says: str) -> None:
    message = refusal(write(content))
    assert says in message
    assert message.endswith((".", "”"))


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("Index/Document.iwa", "Numbers"),
        ("content.xml", "OpenDocument"),
        ("word/document.xml", "Word"),
        ("xl/workbook.bin", ".xlsb"),
        ("contacts.csv", "ZIP archive"),
    ],
)
def test_archives_are_told_apart_by_what_is_inside(tmp_path: Path, member: str, says: str) -> None:
    path = tmp_path / "upload"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "x")
    assert says in refusal(path, "contacts.xlsx")


def test_a_million_columns_are_refused_with_both_values(write: Write) -> None:
    for names in (
        ",".join("c" * 1 for _ in range(1_000_000)),
        ",".join(f"column{n}" for n in range(1_000_000)),
    ):
        message = refusal(write(f"{names}\na@b.example\n"))
        assert "1,000,000 columns" in message
        assert "200" in message


def test_quotes_may_hold_separators_quotes_and_line_breaks(write: Write) -> None:
    table = open_table(write('Email,Note\na@b.example,"one, ""two""\r\nthree"\nc@d.example,x\n'), "c.csv")
    assert list(table.rows()) == [
        RawRow(2, ["a@b.example", 'one, "two"\r\nthree']),
        RawRow(3, ["c@d.example", "x"]),
    ]


def test_an_open_quote_is_told_with_its_row_and_swallows_nothing_in_silence(write: Write) -> None:
    table = open_table(write('Email,Name\na@b.example,Ann\nc@d.example,"Bob\ne@f.example,Eve\n'), "c.csv")
    rows = list(table.rows())
    assert [row.number for row in rows] == [2, 3]
    (problem,) = rows[1].problems
    assert problem.reason.code == "quote_not_closed"
    assert "row 3" in problem.reason.message


def test_a_giant_cell_costs_its_own_row_only(write: Write) -> None:
    table = open_table(write(f"Email,Note\na@b.example,{'x' * 200_000}\nc@d.example,ok\n"), "c.csv")
    giant, fine = table.rows()
    assert [problem.reason.code for problem in giant.problems][:1] == ["cell_too_large"]
    assert fine.cells == ["c@d.example", "ok"]


def test_an_endless_line_is_refused_before_it_fills_memory(write: Write) -> None:
    assert "longer than 4,000,000" in refusal(write("Email\n" + "x" * 5_000_000))


def test_rows_longer_and_shorter_than_the_names_are_told(write: Write) -> None:
    table = open_table(write("Email,First,City\na@b.example,Ann\nc@d.example,Bob,Rome,Italy\ne@f.example,E,R,,\n"), "c")
    short, long, padded = table.rows()
    assert (short.cells, [p.reason.code for p in short.problems]) == (
        ["a@b.example", "Ann", ""],
        ["row_too_short"],
    )
    assert [p.reason.code for p in long.problems] == ["row_too_long"]
    assert "4 cells" in long.problems[0].reason.message
    assert padded.problems == ()
    assert all(len(row.cells) == 3 for row in (short, long, padded))


def test_row_numbers_are_those_of_a_spreadsheet(write: Write) -> None:
    table = open_table(write("Email\n\na@b.example\n  \n\nc@d.example"), "c.csv")
    assert [row.number for row in table.rows()] == [3, 6]


def test_a_file_without_names_is_read_from_its_first_row(write: Write) -> None:
    table = open_table(write("a@b.example,Ann\nc@d.example,Bob\n"), "c.csv")
    assert table.columns == ("Column 1", "Column 2")
    assert not table.named
    assert [warning.code for warning in table.warnings] == ["no_names"]
    assert cells(table)[0] == ["a@b.example", "Ann"]


def test_names_are_made_unique_and_clean(write: Write) -> None:
    table = open_table(write("Email,Email,,  Job\u200b  title \na@b.example,c@d.example,x,y\n"), "c.csv")
    assert table.columns == ("Email", "Email (2)", "Column 3", "Job title")


def test_lines_above_the_names_are_skipped_and_said(write: Write) -> None:
    table = open_table(write("Export of 1 March\n\nEmail,Name,City\na@b.example,Ann,Rome\n"), "c.csv")
    assert table.columns == ("Email", "Name", "City")
    assert [row.number for row in table.rows()] == [4]
    assert [warning.code for warning in table.warnings] == ["lines_skipped"]


def test_excels_own_separator_line_is_obeyed(write: Write) -> None:
    table = open_table(write("sep=;\nEmail;Name, all\na@b.example;Doe, Jane\n"), "c.csv")
    assert table.columns == ("Email", "Name, all")
    assert cells(table) == [["a@b.example", "Doe, Jane"]]


def test_one_column_of_addresses_is_a_table(write: Write) -> None:
    assert cells(open_table(write("Email\na@b.example\n"), "c.txt")) == [["a@b.example"]]


def test_null_bytes_do_not_stop_a_file(write: Write) -> None:
    table = open_table(write(b"Email,Name\na@b.example,An\0n\n"), "c.csv")
    assert cells(table) == [["a@b.example", "An\0n"]]


def test_a_table_reads_again_from_the_start(write: Write) -> None:
    table = open_table(write("Email\n" + "".join(f"a{n}@b.example\n" for n in range(50))), "c.csv")
    assert [row.number for row in table.sample(3)] == [2, 3, 4]
    assert len(list(table.rows())) == len(list(table.rows())) == 50


def test_memory_stays_flat_over_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("Email,Name,City\n")
        for number in range(60_000):
            file.write(f"person{number}@company{number % 977}.example,Person {number},Somewhere\n")
    table = open_table(path, "long.csv")
    tracemalloc.start()
    try:
        assert sum(1 for _ in table.rows()) == 60_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 10
