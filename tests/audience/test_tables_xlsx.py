"""Workbooks: the sheet people see, the values people see, and no bombs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.workbook import Workbook

from tcma.audience.sheetxml import MAX_ROWS
from tcma.audience.tables import RawRow, open_table, read_row
from tcma.errors import Invalid

Rewrite = Callable[[Mapping[str, str | bytes]], Path]
SHEET = "xl/worksheets/sheet1.xml"


def save(path: Path, fill: Callable[[Workbook], None]) -> Path:
    workbook = openpyxl.Workbook()
    fill(workbook)
    workbook.save(path)
    return path


def with_rows(*rows: list[object]) -> Callable[[Workbook], None]:
    def fill(workbook: Workbook) -> None:
        for row in rows:
            workbook.active.append(row)  # type: ignore[union-attr]

    return fill


@pytest.fixture
def rewrite(tmp_path: Path) -> Rewrite:
    """A small workbook with some parts replaced: how a hostile or broken file is made."""

    def to_file(parts: Mapping[str, str | bytes]) -> Path:
        original = io.BytesIO()
        workbook = openpyxl.Workbook()
        with_rows(["Email", "Name"], ["a@b.example", "Ann"])(workbook)
        workbook.save(original)
        path = tmp_path / "made.xlsx"
        with zipfile.ZipFile(original) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name in {*source.namelist(), *parts}:
                target.writestr(name, parts[name] if name in parts else source.read(name))
        return path

    return to_file


def sheet_xml(rows: str, head: str = "") -> str:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<?xml version="1.0"?>{head}<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'


def inline(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def shared(texts: str, head: str = "") -> dict[str, str]:
    """Parts for a workbook whose texts stand apart from its sheets, as Excel itself writes them."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}/{name}" Target="{target}"/>'
        for number, (name, target) in enumerate(
            [
                ("worksheet", "worksheets/sheet1.xml"),
                ("styles", "styles.xml"),
                ("sharedStrings", "sharedStrings.xml"),
            ],
            1,
        )
    )
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return {
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{space}">{relations}</Relationships>',
        "xl/sharedStrings.xml": f'<?xml version="1.0"?>{head}<sst>{texts}</sst>',
    }


def refusal(path: Path, filename: str = "c.xlsx") -> str:
    with pytest.raises(Invalid) as refused:
        list(open_table(path, filename).rows())
    return str(refused.value)


NAMES = f'<row r="1">{inline("A1", "Email")}{inline("B1", "Name")}</row>'


def test_values_read_as_people_see_them(tmp_path: Path) -> None:
    shown = [
        (491512345678, "491512345678"), (4.9e11, "490000000000"), (12.5, "12.5"), (True, "true"),
        (date(2026, 3, 1), "2026-03-01"), (datetime(2026, 3, 1, 9, 30), "2026-03-01 09:30:00"),
        (time(9, 30), "09:30:00"), (timedelta(hours=30), "1 day, 6:00:00"), ("007", "007"),
        ("Müller <b>", "Müller <b>"), (None, ""), ("a\nb", "a\nb"),
    ]  # fmt: skip
    names = ["Email", *[f"v{number}" for number in range(len(shown))]]
    path = save(tmp_path / "c.xlsx", with_rows(names, ["a@b.example", *[value for value, _ in shown]]))
    (row,) = open_table(path, "c.xlsx").rows()
    assert list(row.cells) == ["a@b.example", *[text for _, text in shown]]


def test_the_first_visible_sheet_with_rows_is_read_and_the_others_named(tmp_path: Path) -> None:
    def fill(workbook: Workbook) -> None:
        workbook.active.title = "Empty"  # type: ignore[union-attr]
        hidden = workbook.create_sheet("Hidden")
        hidden.append(["Email"])
        hidden.append(["secret@b.example"])
        hidden.sheet_state = "hidden"
        for name in ("People", "More"):
            sheet = workbook.create_sheet(name)
            sheet.append(["Email"])
            sheet.append([f"{name.lower()}@b.example"])

    table = open_table(save(tmp_path / "c.xlsx", fill), "c.xlsx")
    assert [list(row.cells) for row in table.rows()] == [["people@b.example"]]
    (warning,) = table.warnings
    assert warning.message == "Only the sheet “People” is read, not “More”."


def test_a_workbook_without_visible_rows_is_refused(tmp_path: Path) -> None:
    assert "no visible sheet with rows" in refusal(save(tmp_path / "c.xlsx", lambda workbook: None))


def test_a_formula_without_a_result_gets_a_verdict(tmp_path: Path) -> None:
    path = save(
        tmp_path / "c.xlsx",
        with_rows(["Email", "Name"], ['="a"&"@b.example"', "Ann"], ["c@d.example", "=A1"]),
    )
    table = open_table(path, "c.xlsx")
    in_email, in_name = (read_row(row, {"email": 0, "full_name": 1}) for row in table.rows())
    assert (in_email.status, in_email.reasons[0].code) == ("refused", "formula")
    assert (in_name.status, in_name.reasons[0].code) == ("warning", "formula")
    assert in_name.values
    assert in_name.values.first_name == ""
    assert "paste the column as values" in in_name.reasons[0].message


def test_a_formula_with_its_result_is_its_result(rewrite: Rewrite) -> None:
    row = (
        '<row r="2"><c r="A2" t="str"><f>"a"&amp;"@b.example"</f><v>a@b.example</v></c>'
        + inline("B2", "Ann")
        + "</row>"
    )
    (found,) = open_table(rewrite({SHEET: sheet_xml(NAMES + row)}), "c.xlsx").rows()
    assert found == RawRow(2, ["a@b.example", "Ann"])


def test_an_error_in_a_cell_gets_a_verdict(rewrite: Rewrite) -> None:
    row = f'<row r="2">{inline("A2", "a@b.example")}<c r="B2" t="e"><f>NA()</f><v>#N/A</v></c></row>'
    (found,) = open_table(rewrite({SHEET: sheet_xml(NAMES + row)}), "c.xlsx").rows()
    assert [(problem.column, problem.reason.code) for problem in found.problems] == [(1, "formula_error")]


def test_gaps_keep_their_row_numbers_and_their_columns(rewrite: Rewrite) -> None:
    rows = f'{NAMES}<row r="7">{inline("A7", "a@b.example")}</row><row r="9">{inline("B9", "Bob")}</row>'
    found = list(open_table(rewrite({SHEET: sheet_xml(rows)}), "c.xlsx").rows())
    assert found == [RawRow(7, ["a@b.example", ""]), RawRow(9, ["", "Bob"])]


def test_rows_and_cells_without_numbers_follow_each_other(rewrite: Rewrite) -> None:
    cell = '<c t="inlineStr"><is><r><t>a@</t></r><r><t>b.example</t></r><rPh><t>x</t></rPh></is></c>'
    rows = f'<row>{inline("", "Email")}</row><row>{cell}</row><row r="1">{cell}</row>'
    found = list(open_table(rewrite({SHEET: sheet_xml(rows)}), "c.xlsx").rows())
    assert found == [RawRow(2, ["a@b.example"]), RawRow(3, ["a@b.example"])]


def test_prefixed_and_strict_workbooks_are_read(rewrite: Rewrite) -> None:
    xml = sheet_xml(f'{NAMES}<row r="2">{inline("A2", "a@b.example")}</row>')
    for tag in ("worksheet", "sheetData", "row", "c", "is", "t"):
        xml = (
            xml.replace(f"<{tag} ", f"<x:{tag} ").replace(f"<{tag}>", f"<x:{tag}>").replace(f"</{tag}>", f"</x:{tag}>")
        )
    xml = xml.replace("xmlns=", "xmlns:x=").replace(
        "schemas.openxmlformats.org/spreadsheetml/2006", "purl.oclc.org/ooxml"
    )
    (found,) = open_table(rewrite({SHEET: xml}), "c.xlsx").rows()
    assert found.cells == ["a@b.example", ""]


def test_shared_texts_are_joined_from_their_runs_without_phonetic_hints(rewrite: Rewrite) -> None:
    texts = "<si><t>Email</t></si><si><r><t>a@</t></r><r><t>b.example</t></r><rPh><t>ei</t></rPh></si>"
    rows = '<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2" t="s"><v>1</v></c></row>'
    table = open_table(rewrite({**shared(texts), SHEET: sheet_xml(rows)}), "c.xlsx")
    assert table.columns == ("Email",)
    assert [list(row.cells) for row in table.rows()] == [["a@b.example"]]


def test_characters_that_xml_cannot_hold_are_unescaped(rewrite: Rewrite) -> None:
    rows = f'{NAMES}<row r="2">{inline("A2", "a@b.example")}{inline("B2", "one_x000D_two")}</row>'
    (found,) = open_table(rewrite({SHEET: sheet_xml(rows)}), "c.xlsx").rows()
    assert found.cells[1] == "one\rtwo"


@pytest.mark.parametrize("filename", ["c.xlsm", "c.XLSM"])
def test_macro_workbooks_are_refused_by_name(rewrite: Rewrite, filename: str) -> None:
    assert "macros" in refusal(rewrite({}), filename)


def test_macros_are_refused_whatever_the_name(rewrite: Rewrite) -> None:
    assert "macros" in refusal(rewrite({"xl/vbaProject.bin": b"\xd0\xcf\x11\xe0"}))


def test_too_many_columns_are_refused_with_both_values(rewrite: Rewrite) -> None:
    many = "".join(f'<c t="inlineStr"><is><t>c{n}</t></is></c>' for n in range(300))
    message = refusal(rewrite({SHEET: sheet_xml(f"<row>{many}</row><row>{inline('A2', 'a@b.example')}</row>")}))
    assert "300 columns" in message
    assert "200" in message


def test_a_zip_bomb_is_refused_before_it_is_unpacked(rewrite: Rewrite) -> None:
    bomb = sheet_xml(NAMES + " " * (60 * 1024 * 1024))
    assert "unpacks to 60 MB" in refusal(rewrite({SHEET: bomb}))


def test_a_false_size_in_the_archive_gains_nothing(rewrite: Rewrite) -> None:
    path = rewrite({SHEET: sheet_xml(NAMES + " " * (60 * 1024 * 1024))})
    content = path.read_bytes()
    assert content.count((len(sheet_xml(NAMES)) + 60 * 1024 * 1024).to_bytes(4, "little")) == 2
    path.write_bytes(content.replace((len(sheet_xml(NAMES)) + 60 * 1024 * 1024).to_bytes(4, "little"), b"\0\x10\0\0"))
    assert "damaged" in refusal(path)


def test_an_archive_of_countless_parts_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "parts.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2_500):
            archive.writestr(f"xl/worksheets/{number}.xml", "")
        archive.writestr("xl/workbook.xml", "")
    assert "more than 2,000 parts" in refusal(path)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE w SYSTEM "file:///etc/passwd">',
    ],
)
def test_document_types_and_entities_are_refused(rewrite: Rewrite, head: str) -> None:
    for part in (SHEET, "xl/workbook.xml", "xl/styles.xml"):
        assert "damaged" in refusal(rewrite({part: sheet_xml(NAMES, head)}))
    assert "damaged" in refusal(rewrite(shared("<si><t>Email</t></si>", head)))


@pytest.mark.parametrize(
    "row",
    [
        f'<row r="999999999999">{inline("A2", "a@b.example")}</row>',
        f'<row r="-5">{inline("A2", "a@b.example")}</row>',
        f"<row>{inline('ZZZZ9', 'a@b.example')}</row>",
        f"<row>{inline('11', 'a@b.example')}</row>",
        f"<row>{inline('@1', 'a@b.example')}</row>",
    ],
)
def test_impossible_places_are_read_as_the_next_ones(rewrite: Rewrite, row: str) -> None:
    (found,) = open_table(rewrite({SHEET: sheet_xml(NAMES + row)}), "c.xlsx").rows()
    assert (found.number, found.cells[0]) == (2, "a@b.example")


@pytest.mark.parametrize(
    "row",
    [
        f'<row r="{MAX_ROWS}">{inline("A1", "a")}</row><row>{inline("A2", "a@b.example")}</row>',
        f'<row r="2">{inline("ZZZ2", "a@b.example")}</row>',
        '<row r="2"><c r="A2" t="s"><v>99</v></c></row>',
        '<row r="2"><c r="A2"><v>one</v></c></row>',
        '<row r="2"><c r="A2"',
    ],
)
def test_what_no_workbook_holds_is_damage(rewrite: Rewrite, row: str) -> None:
    assert "damaged" in refusal(rewrite({SHEET: sheet_xml(NAMES + row)}))


def test_a_giant_cell_gets_a_verdict(rewrite: Rewrite) -> None:
    rows = f'{NAMES}<row r="2">{inline("A2", "a@b.example")}{inline("B2", "x" * 200_000)}</row>'
    (found,) = open_table(rewrite({SHEET: sheet_xml(rows)}), "c.xlsx").rows()
    assert [problem.reason.code for problem in found.problems] == ["cell_too_large"]


def test_a_truncated_workbook_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "c.xlsx", with_rows(["Email"], ["a@b.example"]))
    path.write_bytes(path.read_bytes()[:-300])
    assert "damaged" in refusal(path)


fragments = st.sampled_from(
    [
        *("<row>", "</row>", '<row r="3">', "<c>", '<c r="B2" t="s">', '<c t="e">', '<c s="9" t="n">', "</c>"),
        *('<c t="d">', "<v>", "</v>", "1", "-1", "99999999999999999999", "1e999", "nan", "x", "<f>", "</f>"),
        *("<is>", "</is>", "<t>", "</t>", "a@b.example", "&lt;", "&bad;", "_xD800_", "<!-- -->", "<rPh>", "</rPh>"),
        "\u0000",
    ]
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(fragments, max_size=25).map("".join))
def test_any_sheet_is_read_or_refused_never_broken(rewrite: Rewrite, inside: str) -> None:
    path = rewrite({SHEET: sheet_xml(f'{NAMES}<row r="2">{inline("A2", "a@b.example")}</row>{inside}')})
    numbers: list[int] = []
    message = ""
    try:
        for row in open_table(path, "c.xlsx").rows():
            numbers.append(read_row(row, {"email": 0, "last_name": 1}).number)
    except Invalid as refused:
        message = str(refused)
    assert message or numbers[0] == 2
    assert numbers == sorted(set(numbers))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_workbook_with_flipped_bytes_is_read_or_refused(rewrite: Rewrite, flips: list[tuple[float, int]]) -> None:
    path = rewrite({})
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    rows: list[RawRow] = []
    message = ""
    try:
        rows = list(open_table(path, "c.xlsx").rows())
    except Invalid as refused:
        message = str(refused)
    assert rows or message
