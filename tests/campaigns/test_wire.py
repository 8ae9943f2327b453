"""HTML that travels as it is: the same octets as the slow way, and never what SMTP could not carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma.campaigns.language import Program
from tcma.campaigns.vocabulary import campaign_dialect
from tcma.campaigns.wire import LONGEST_LINE, WireProgram

FIELDS = ("contact__first_name", "contact__company")
SOURCE = (
    "<p>Hello {{ contact.first_name }}{% if contact.company %}\nof {{ contact.company | upper }}{% endif %},</p>\n"
    "<p>" + "w" * 700 + "{{ contact.first_name }}</p>\n<p>the end"
)


def program(source: str) -> Program:
    return Program(source, dialect=campaign_dialect(()), escape=True, fixed=lambda text: text.replace("\n", "\r\n"))


@given(st.text(max_size=350), st.text(max_size=350))
def test_pieces_are_the_rendered_text_with_references(name: str, company: str) -> None:
    made = program(SOURCE)
    values = dict(zip(FIELDS, (name, company), strict=True))
    pieces = WireProgram(made).pieces(values)
    if pieces is None:
        return
    body = b"".join(pieces)
    assert body == made.render(values).encode("ascii", "xmlcharrefreplace") + b"\r\n"
    lines = body.split(b"\r\n")
    assert max(map(len, lines)) <= LONGEST_LINE
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert b"\0" not in body


@pytest.mark.parametrize("name", ["", "Anna", "Jürgen & Söhne", "<b>", "名前", "a.b"])
def test_usual_names_travel_as_they_are(name: str) -> None:
    assert WireProgram(program(SOURCE)).pieces({"contact__first_name": name, "contact__company": "x"}) is not None


@pytest.mark.parametrize(
    "name", ["x" * 299 + "é", "a\nb", "a\rb", "a\0b", "=_0123456789"], ids=["long", "LF", "CR", "NUL", "boundary"]
)
def test_what_does_not_travel_goes_the_slow_way(name: str) -> None:
    assert WireProgram(program(SOURCE)).pieces({"contact__first_name": name, "contact__company": ""}) is None


def test_a_line_that_grows_too_long_at_the_end_is_noticed() -> None:
    made = program("<p>" + "w" * 990 + "{{ contact.first_name }}")
    assert WireProgram(made).pieces({"contact__first_name": "short", "contact__company": ""}) is not None
    assert WireProgram(made).pieces({"contact__first_name": "x" * 9, "contact__company": ""}) is None


def test_a_program_whose_own_text_does_not_travel_never_does() -> None:
    values = {"contact__first_name": "Anna", "contact__company": ""}
    unfixed = Program("<p>\n</p>{{ contact.first_name }}", dialect=campaign_dialect(()), escape=True)
    assert WireProgram(unfixed).pieces(values) is None
    assert WireProgram(program("<a href='x?a=_b'>{{ contact.first_name }}")).pieces(values) is None
