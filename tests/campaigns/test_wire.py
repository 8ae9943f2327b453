"""Bodies that travel as they are: the same octets as the slow way, and never what SMTP could not carry."""

from __future__ import annotations

import quopri
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tcma.campaigns.program import Program
from tcma.campaigns.vocabulary import campaign_dialect, sending_dialect
from tcma.campaigns.wire import LONGEST_LINE, Body, WireHtml, WireText, tidy
from tcma.delivery.message import _encoded_body

FIELDS = ("contact__first_name", "contact__company", "link__l1")
SOURCE = (
    "<p>Hello {{ contact.first_name }}{% if contact.company %}\nof {{ contact.company | upper }}{% endif %},</p>\n"
    '<p><a href="{{ link.l1 }}">' + "w" * 600 + "{{ contact.first_name }}</a></p>\n<p>100 % the end"
)
TEXT = (
    "\n\n{% if contact.company %}For {{ contact.company }}{% endif %}\n\n\n\nHello {{ contact.first_name }}, 100 % yours\n"
    "{{ contact.company }}\n.dot\n\nRead: {{ link.l1 }}\n{{ link.l1 }}\n"
    + "w" * 90
    + " {{ contact.first_name }}\nthe end"
)
SEVERAL = st.sampled_from(
    ["", "Anna", "Jürgen & Söhne", "=_x", ".", ".x", "名前", "x" * 400, "a\nb", "a\rb", "a\0b", "a b ", "1=2"]
)
DOTTED = st.text(alphabet=". wé=", max_size=350)
LINKS = st.sampled_from(
    ["https://t.example/r/Abc_-9", "https://t.example/?a=1&b=2", "https://t.example/" + "x" * 300, "a\nb", ""]
)


def program(source: str, *, escape: bool = True) -> Program:
    fixed = (lambda text: text.replace("\n", "\r\n").encode("ascii", "xmlcharrefreplace").decode()) if escape else None
    return Program(source, dialect=sending_dialect(campaign_dialect(()), links=1), escape=escape, fixed=fixed)


def html(source: str, values: Mapping[str, str]) -> Body | None:
    return WireHtml(program(source)).body(values)


def values_of(name: str, company: str = "", link: str = "https://t.example/r/1") -> dict[str, str]:
    return dict(zip(FIELDS, (name, company, link), strict=True))


@given(st.text(max_size=350) | SEVERAL, st.text(max_size=350) | SEVERAL, LINKS)
def test_html_is_the_rendered_text_with_references(name: str, company: str, link: str) -> None:
    values = values_of(name, company, link)
    found = html(SOURCE, values)
    if found is None:
        return
    assert found.encoding == b"7bit"
    assert found.data == program(SOURCE).render(values).encode("ascii", "xmlcharrefreplace") + b"\r\n"
    check_lines(found)


@given(
    st.text(max_size=350) | SEVERAL,
    st.text(max_size=350) | SEVERAL,
    LINKS,
    st.sampled_from(["", "für Größe\n", "=20\n"]),
)
@example("Anna", "Acme", "https://t.example/r/1", "")
@example("Anna", "Acme", "https://t.example/r/1", "für Größe\n")
def test_text_says_what_was_rendered(name: str, company: str, link: str, more: str) -> None:
    values = values_of(name, company, link)
    made = program(TEXT + more, escape=False)
    found = WireText(made).body(values)
    rendered = tidy(made.render(values))
    if found is None:
        return
    check_lines(found)
    data = quopri.decodestring(found.data) if found.encoding == b"quoted-printable" else found.data
    assert data.decode() == rendered.rstrip("\n").replace("\n", "\r\n") + "\r\n"
    if found.encoding == b"quoted-printable":
        assert max(map(len, found.data.split(b"\r\n"))) <= 76
    else:
        assert (found.encoding, found.data) == _encoded_body(rendered, is_html=False, boundary=b"=_")


def check_lines(body: Body) -> None:
    lines = body.data.split(b"\r\n")
    assert lines[-1] == b""
    assert max(map(len, lines)) <= LONGEST_LINE
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert b"\0" not in body.data
    assert body.has_dots or not any(line.startswith(b".") for line in lines)


@pytest.mark.parametrize("name", ["", "Anna", "Jürgen & Söhne", "<b>", "名前", "a.b", "100 %s"])
def test_usual_names_travel_as_they_are(name: str) -> None:
    assert html(SOURCE, values_of(name, "x")) is not None
    for more in ("", "für Größe\n"):
        found = WireText(program(TEXT + more, escape=False)).body(values_of(name, "x"))
        assert found is not None
        assert found.encoding == (b"7bit" if name.isascii() and not more else b"quoted-printable")


@pytest.mark.parametrize(
    "name", ["x" * 299 + "é" * 10, "a\nb", "a\rb", "a\0b", "=_0123456789"], ids=["long", "LF", "CR", "NUL", "boundary"]
)
def test_what_does_not_travel_goes_the_slow_way(name: str) -> None:
    assert html("<p>" + "w" * 650 + "{{ contact.first_name }}", values_of(name)) is None
    if name.startswith("x"):
        return
    found = WireText(program("Hello {{ contact.first_name }}", escape=False)).body(values_of(name))
    assert found == (Body(b"quoted-printable", b"Hello =3D_0123456789\r\n", has_dots=False) if "=" in name else None)


def test_a_line_is_measured_with_all_that_stands_in_it() -> None:
    source = "<p>" + "w" * 590 + "{{ contact.first_name }}{{ contact.company }}\n{{ link.l1 }}{{ contact.first_name }}"
    assert html(source, values_of("x" * 300, "y" * 105)) is not None
    assert html(source, values_of("x" * 300, "y" * 106)) is None


def test_a_line_that_grows_too_long_at_the_end_is_noticed() -> None:
    source = "<p>" + "w" * 990 + "{{ contact.first_name }}"
    assert html(source, values_of("short")) is not None
    assert html(source, values_of("x" * 6)) is None


def test_a_program_whose_own_text_does_not_travel_never_does() -> None:
    values = values_of("Anna")
    unfixed = Program("<p>\n</p>{{ contact.first_name }}", dialect=campaign_dialect(()), escape=True)
    assert WireHtml(unfixed).body(values) is None
    assert html("<a href='x?a=_b'>{{ contact.first_name }}", values) is None
    for source in (
        "名前は {{ contact.first_name }} です",
        "a=_b {{ contact.first_name }}",
        "\n\n",
        "{{ '' }}\ud800 für",
    ):
        assert WireText(program(source, escape=False)).body(values) is None


@pytest.mark.parametrize(
    ("source", "has_dots"),
    [("a\nb", False), ("a\n.b", True), (".a", True), ("a\n{{ contact.first_name }}.b", True), ("a.\nb.", False)],
)
def test_it_is_known_whether_a_line_may_begin_with_a_dot(source: str, has_dots: bool) -> None:
    for name in ("", ".", "x"):
        found = html(source, values_of(name))
        assert found is not None
        assert found.has_dots is has_dots


@pytest.mark.parametrize("more", ["", "für "])
@pytest.mark.parametrize("length", range(66, 82))
def test_a_soft_line_break_before_a_dot_is_seen(more: str, length: int) -> None:
    own = f"{more}{'w' * length}. And more, so that the line has to be broken more than once. And once more."
    for source, name in ((own, ""), ("{{ contact.first_name }}", own), (".{{ contact.first_name }}", own)):
        found = WireText(program(source, escape=False)).body(values_of(name))
        assert found is not None
        check_lines(found)
        if found.encoding == b"quoted-printable":
            assert max(map(len, found.data.split(b"\r\n"))) <= 76
            assert quopri.decodestring(found.data) == (source.replace("{{ contact.first_name }}", name) + "\r\n").encode()


def test_text_leaves_no_gap_where_something_is_missing() -> None:
    source = "\n\na für\n\n{% if contact.company %}{{ contact.company }}{% endif %}\n\nb\n\n\n"
    for company, shown in (("", "a für\n\nb\n\n"), ("Acme", "a für\n\nAcme\n\nb\n\n")):
        found = WireText(program(source, escape=False)).body(values_of("Anna", company))
        assert found is not None
        assert quopri.decodestring(found.data).decode() == shown.replace("\n", "\r\n")
    alone = "a für\n\n{{ contact.company }}\n\nb"
    assert WireText(program(alone, escape=False)).body(values_of("Anna", "")) is None
    assert WireText(program(alone, escape=False)).body(values_of("Anna", "Acme")) is not None
