"""Each row is accepted, accepted with a warning, or refused, and the reason says how to mend it."""

from __future__ import annotations

from pathlib import Path

import phonenumbers
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tcma.audience.addresses import AddressRefused, normalise
from tcma.audience.rows import split_name
from tcma.audience.tables import (
    FIELDS,
    ContactValues,
    RawRow,
    RowReader,
    Verdict,
    open_table,
    read_row,
    suggest_mapping,
)
from tcma.errors import Invalid

MAPPING = {field: place for place, field in enumerate(FIELDS)}


def judge(region: str | None = "DE", problems: tuple[object, ...] = (), **cells: str) -> Verdict:
    cells = {"email": "ann@b.example", **cells}
    row = RawRow(7, [cells.get(field, "") for field in FIELDS], problems)  # type: ignore[arg-type]
    return read_row(row, MAPPING, default_region=region)


def values(region: str | None = "DE", **cells: str) -> ContactValues:
    verdict = judge(region, **cells)
    assert verdict.values is not None
    return verdict.values


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_a_whole_row_is_accepted_with_every_value() -> None:
    verdict = judge(
        email="Ann@B.example", first_name="Ann", last_name="Doe", company="Doe & Co", job_title="CTO",
        city="Rome", phone="030 1234567", country="Deutschland", language="English", tags="vip; berlin,vip",
    )  # fmt: skip
    assert (verdict.number, verdict.status, verdict.reasons) == (7, "accepted", ())
    assert verdict.values == ContactValues(
        normalise("Ann@b.example"),
        "Ann",
        "Doe",
        "Doe & Co",
        "CTO",
        "+49301234567",
        "Rome",
        "DE",
        "en",
        ("vip", "berlin"),
    )
    assert verdict.values.email == "Ann@b.example"


@pytest.mark.parametrize(
    ("cell", "code"), [("", "no_address"), ("ann", "no_at_sign"), ("jösé@b.example", "local_part_not_ascii")]
)
def test_a_row_without_a_usable_address_is_refused(cell: str, code: str) -> None:
    verdict = judge(email=cell)
    assert (verdict.status, codes(verdict), verdict.values) == ("refused", [code], None)


@pytest.mark.parametrize("cell", ["info@b.example", "ann@gmial.com"])
def test_a_doubtful_address_is_a_warning(cell: str) -> None:
    assert judge(email=cell).status == "warning"


@pytest.mark.parametrize(
    ("cell", "region", "phone"),
    [
        ("+49 (0)30 1234567", "DE", "+49301234567"),
        ("0049 30 1234567", "DE", "+49301234567"),
        ("+1 415 555 0132", None, "+14155550132"),
        ("49301234567", "DE", "+49301234567"),
        ("+393312345678", None, "+393312345678"),
        ("0612345678", "NL", "+31612345678"),
        ("030/1234567", "DE", "+49301234567"),
    ],
)
def test_phones_become_e164(cell: str, region: str | None, phone: str) -> None:
    assert values(region, phone=cell).phone == phone


def test_the_country_of_the_row_decides_how_its_phone_is_read() -> None:
    assert values("DE", phone="0612345678", country="Netherlands").phone == "+31612345678"


@pytest.mark.parametrize("cell", ["call me", "12", "+999123456789", "=1+1", "0" * 100])
def test_a_phone_that_is_none_is_left_out_with_a_warning(cell: str) -> None:
    verdict = judge(phone=cell)
    assert codes(verdict) == ["bad_phone"]
    assert verdict.values
    assert verdict.values.phone == ""


@settings(deadline=None, max_examples=300)
@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
@example("+4900301234")
def test_the_short_way_for_phones_agrees_with_phonenumbers(cell: str) -> None:
    found = values(None, phone=cell).phone
    try:
        number = phonenumbers.parse(cell, None)
    except phonenumbers.NumberParseException:
        assert found == ""
        return
    possible = phonenumbers.is_possible_number(number)
    expected = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if possible else ""
    assert found == expected


@pytest.mark.parametrize(
    ("cell", "code"),
    [("Germany", "DE"), ("ALLEMAGNE", "DE"), ("Alemania", "DE"), ("Duitsland", "DE"), ("Germania", "DE"),
     ("de", "DE"), ("DEU", "DE"), ("U.S.A.", "US"), ("UK", "GB"), ("Côte d'Ivoire", "CI"), ("D", "DE"),
     ("Österreich", "AT"), ("United Kingdom", "GB"), ("USA", "US")],
)  # fmt: skip
def test_countries_become_codes(cell: str, code: str) -> None:
    assert values(country=cell).country == code


@pytest.mark.parametrize(
    ("cell", "code"),
    [("Deutsch", "de"), ("de-CH", "de"), ("pt_BR", "pt"), ("ger", "de"), ("français", "fr"), ("EN", "en")],
)
def test_languages_become_codes(cell: str, code: str) -> None:
    assert values(language=cell).language == code


def test_unknown_countries_and_languages_are_left_out_and_told() -> None:
    verdict = judge(country="Atlantis", language="Vulcan 7")
    assert codes(verdict) == ["unknown_country", "unknown_language"]
    assert verdict.values
    assert (verdict.values.country, verdict.values.language) == ("", "")


@pytest.mark.parametrize(
    ("full_name", "first", "last"),
    [
        ("Ann Doe", "Ann", "Doe"),
        ("Doe, Ann Mary", "Ann Mary", "Doe"),
        ("Ann Mary van der Doe", "Ann Mary", "van der Doe"),
        ("Ludwig von Beethoven", "Ludwig", "von Beethoven"),
        ("Ann", "Ann", ""),
        (" , ", "", ""),
        ("van Dam", "van", "Dam"),
    ],
)
def test_a_full_name_is_taken_apart(full_name: str, first: str, last: str) -> None:
    assert split_name(full_name) == (first, last)
    assert values(full_name=full_name).first_name == first


def test_separate_names_win_over_the_full_name() -> None:
    found = values(full_name="Wrong Person", first_name="Ann")
    assert (found.first_name, found.last_name) == ("Ann", "")


def test_names_that_look_like_code_stay_data() -> None:
    cell = "<script>alert(1)</script> {{ 7*7 }} =1+1"
    verdict = judge(first_name=cell)
    assert verdict.status == "accepted"
    assert verdict.values
    assert verdict.values.first_name == cell


def test_controls_are_removed_and_told_line_breaks_become_blanks() -> None:
    verdict = judge(first_name="An\0n\u202e", company="Doe\r\n  &\tCo\u200b", city="Ko\u0308ln")
    assert verdict.values
    assert (verdict.values.first_name, verdict.values.company, verdict.values.city) == (
        "Ann",
        "Doe & Co",
        "Köln",
    )
    assert codes(verdict) == ["control_characters"]


def test_letters_lost_before_are_told() -> None:
    assert codes(judge(last_name="M\ufffdller")) == ["letters_lost"]


def test_joiners_that_names_need_stay() -> None:
    assert values(first_name="علی\u200cرضا").first_name == "علی\u200cرضا"


def test_what_is_too_long_is_cut_and_told_with_both_values() -> None:
    verdict = judge(first_name="x" * 500)
    assert verdict.values
    assert len(verdict.values.first_name) == 100
    assert "500 characters; only the first 100" in verdict.reasons[0].message


def test_too_many_tags_are_cut_and_told() -> None:
    verdict = judge(tags=",".join(f"tag{number}" for number in range(30)))
    assert verdict.values
    assert len(verdict.values.tags) == 20
    assert codes(verdict) == ["too_many_tags"]


def test_problems_of_the_file_refuse_or_warn_as_they_matter(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('Email,First,City\na@b.example,Ann\nc@d.example,Bob,Rome,Italy\ne@f.example,"Eve,\n')
    table = open_table(path, "c.csv")
    verdicts = [read_row(row, {"email": 0, "first_name": 1}) for row in table.rows()]
    assert [(verdict.status, codes(verdict)) for verdict in verdicts] == [
        ("warning", ["row_too_short"]),
        ("refused", ["row_too_long"]),
        ("refused", ["quote_not_closed", "row_too_short"]),
    ]


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"first_name": 0},
        {"email": 0, "shoe_size": 1},
        {"email": 0, "city": 0},
        {"email": -1},
        {"email": "0"},
        {"email": True},
    ],
)
def test_a_mapping_without_sense_is_refused(mapping: dict[str, int]) -> None:
    with pytest.raises(Invalid) as refused:
        RowReader(mapping)
    assert list(refused.value.fields) == ["mapping"]


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(Invalid):
        RowReader({"email": 0}, default_region="XX")


cells = st.lists(st.text(max_size=60), max_size=14)


@settings(deadline=None, max_examples=300)
@given(cells, st.sampled_from([None, "DE", "US"]))
@example(["a@b.example", "\ud800", "\x00", "\u202e", "", "", "+", "", "\udfff", "\udfff", ",;|"], "DE")
def test_any_row_gets_a_verdict_that_a_database_can_keep(row: list[str], region: str | None) -> None:
    verdict = read_row(RawRow(1, row), MAPPING, default_region=region)
    assert (verdict.values is None) is (verdict.status == "refused")
    assert (verdict.reasons == ()) is (verdict.status == "accepted")
    for value in verdict.values or ():
        for text in value if isinstance(value, tuple) else [value]:
            if isinstance(text, str):
                text.encode("utf-8")
                assert not {"\0", "\n", "\r"} & set(text)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=2000),
        st.text(max_size=500).map(str.encode),
        st.text(alphabet='a@b.,;"\n\r\t|é\0', max_size=200).map(str.encode),
    )
)
@example(b"PK\3\4" + b"\0" * 30)
@example(b"PK\5\6" + b"\0" * 18)
@example(b"\xff\xfe")
@example(b'"')
@example(b"a@b.example\n" + b'"' * 7)
@example(b"sep=;\n")
def test_any_file_is_read_or_refused_never_broken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    judged: list[Verdict] = []
    message = ""
    try:
        table = open_table(path, "upload.csv")
        mapping = {"email": 0, **suggest_mapping(table.columns, table.sample(5))}
        mapping = {field: place for field, place in mapping.items() if field == "email" or place != mapping["email"]}
        judged = [read_row(row, mapping) for row in table.rows()]
    except Invalid as refused:
        message = str(refused)
    assert judged or message
    numbers = [verdict.number for verdict in judged]
    assert numbers == sorted(set(numbers))


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=40))
def test_an_address_in_a_row_is_judged_as_an_address_alone(text: str) -> None:
    verdict = judge(email=text)
    try:
        expected = normalise(text)
    except AddressRefused as refused:
        assert verdict.reasons == (refused.reason,)  # noqa: PT017 - the refusal itself is compared
    else:
        assert verdict.values
        assert verdict.values.address == expected
