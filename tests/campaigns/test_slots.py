"""Slots keep to what their vendor declared, and say so in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcma.campaigns.slots import (
    SlotDef,
    SlotKind,
    clean_values,
    parse_slots,
    problems,
    shown_values,
    to_json,
    visible_text,
)
from tcma.errors import Invalid
from tests.campaigns.mails import SLOTS


def slot(kind: str, **more: object) -> SlotDef:
    return parse_slots([{"name": "it", "label": "It", "kind": kind, "required": False, **more}])[0]


def cleaned(one: SlotDef, value: str) -> str:
    return clean_values([one], {"it": value})["it"]


def test_definitions_survive_json() -> None:
    assert parse_slots(to_json(SLOTS)) == SLOTS


def test_a_label_and_a_length_come_from_the_name_and_kind() -> None:
    (found,) = parse_slots([{"name": "call_to_action"}])
    assert (found.label, found.kind, found.max_length, found.required) == (
        "Call to action", SlotKind.TEXT, 80, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "field", "words"),
    [
        ({"name": "Head line"}, "slots.1.name", "small letters"),
        ({"name": "a__b"}, "slots.1.name", "single _"),
        ({"label": "No name"}, "slots.1.name", "small letters"),
        ({"name": "a", "kind": "image"}, "slots.a.kind", "no kind image"),
        ({"name": "a", "max_length": 301}, "slots.a.max_length", "from 0 to 300"),
        ({"name": "a", "max_length": "80"}, "slots.a.max_length", "whole number"),
        ({"name": "a", "max_length": True}, "slots.a.max_length", "whole number"),
        ({"name": "a", "max_length": 0}, "slots.a.max_length", "at least 1"),
        ({"name": "a", "min_length": 9, "max_length": 5}, "slots.a.min_length", "above the longest"),
        ({"name": "a", "required": "yes"}, "slots.a.required", "true or false"),
        ({"name": "a", "colour": "red"}, "slots.a.colour", "no setting colour"),
        ({"name": "a", "default": "too long", "max_length": 3}, "slots.a.default", "8 characters; 3 fit"),
        ({"name": "a", "kind": "link", "default": "javascript:x"}, "slots.a.default", "javascript:"),
        ({"name": "a", "kind": "choice"}, "slots.a.choices", "from 2 to 20"),
        ({"name": "a", "kind": "choice", "choices": ["x", "x"]}, "slots.a.choices", "without repeats"),
        ({"name": "a", "kind": "choice", "choices": ["x", 1]}, "slots.a.choices", "a text of its own"),
        ({"name": "a", "choices": ["x", "y"]}, "slots.a.choices", "Only the kind choice"),
        ({"name": "a", "label": 5}, "slots.a.label", "must be text"),
        ("headline", "slots.1", "needs a name"),
    ],
)
def test_a_wrong_definition_is_named_by_its_field(definition: object, field: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_slots([definition])  # type: ignore[list-item]
    assert words in refused.value.fields[field]


def test_two_slots_of_one_name_are_refused() -> None:
    with pytest.raises(Invalid, match="Two slots are called a"):
        parse_slots([{"name": "a"}, {"name": "a"}])


@pytest.mark.parametrize("data", ["headline", {"name": "a"}, [{"name": f"s{n}"} for n in range(61)]])
def test_slots_are_a_list_of_at_most_sixty(data: object) -> None:
    with pytest.raises(Invalid) as refused:
        parse_slots(data)  # type: ignore[arg-type]
    assert "slots" in refused.value.fields


def test_a_required_choice_without_default_takes_the_first() -> None:
    (found,) = parse_slots([{"name": "a", "kind": "choice", "choices": ["x", "y"]}])
    assert found.default == "x"


def test_missing_values_take_the_default() -> None:
    assert clean_values(SLOTS, {"headline": "Mine"}) == {
        "headline": "Mine", "intro": "One\nTwo", "note": "<p>Note</p>", "cta": "https://cta.example/x",
        "tone": "warm",
    }  # fmt: skip


def test_too_long_says_by_how_much() -> None:
    assert problems(SLOTS, {"headline": "x" * 92}) == {
        "headline": "Headline is 92 characters; 80 fit. Shorten it by 12."
    }


def test_too_short_says_by_how_much() -> None:
    assert problems([slot("text", min_length=10)], {"it": "short"}) == {"it": "It is 5 characters; it needs 10. Add 5."}


def test_an_empty_required_slot_is_refused_and_an_optional_one_is_not() -> None:
    assert problems(SLOTS, {"headline": "  "}) == {"headline": "Headline is empty. Fill it in."}
    assert cleaned(slot("text"), "  ") == ""


def test_formatting_does_not_count_as_length() -> None:
    one = slot("rich", max_length=9)
    assert cleaned(one, "<p><strong>Hello</strong></p><p>you</p>") == "<p><strong>Hello</strong></p><p>you</p>"
    assert visible_text(one, "<p>a &amp; b</p>") == "a & b"
    with pytest.raises(Invalid, match="10 characters; 9 fit"):
        cleaned(one, "<p><b>0123456789</b></p>")


def test_a_name_that_no_slot_has_is_refused() -> None:
    assert problems(SLOTS, {"shell": "x"}) == {"shell": "This campaign has no slot called shell. Leave it out."}


def test_a_choice_outside_the_list_is_refused() -> None:
    assert problems(SLOTS, {"tone": "loud"}) == {"tone": "Tone must be one of: warm, dry."}


def test_a_value_that_is_no_text_is_refused() -> None:
    assert problems(SLOTS, {"headline": 7}) == {"headline": "Headline must be text."}  # type: ignore[dict-item]


@pytest.mark.parametrize("value", ["one\ntwo", "one\x00two", "one\x1btwo", "one\x85two", "\ud800"])
def test_text_is_one_line_of_visible_characters(value: str) -> None:
    assert "it" in problems([slot("text")], {"it": value})


def test_line_ends_of_every_system_become_one_kind() -> None:
    assert cleaned(slot("paragraph"), "a\r\nb\rc") == "a\nb\nc"


def test_letters_in_parts_become_one_letter() -> None:
    assert cleaned(slot("text"), "u\u0308") == "ü"


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("https://a.example/x y?q=ü&b='", "https://a.example/x%20y?q=%C3%BC&b=%27"),
        ("HTTPS://Ä.example", "https://xn--4ca.example"),
        ("https://a.example:8443/#part", "https://a.example:8443/#part"),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x"),
        ("https://[::1]/x", "https://[::1]/x"),
        ("mailto:a@b.example?subject=Hi%20there", "mailto:a@b.example?subject=Hi%20there"),
        ("tel:+49 (40) 12-34", "tel:+49401234"),
        (" https://a.example ", "https://a.example"),
    ],
)
def test_a_link_gets_its_normal_form(value: str, normal: str) -> None:
    assert cleaned(slot("link"), value) == normal


@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x",
        "vbscript:x", "file:///etc/passwd", "//evil.example", "evil.example", "/relative", "https://",
        "https:///x", "https://user:pass@bank.example", "https://bank.example@evil.example",
        "https://a.example:99999", "https://a b.example", "https://a.example\\@evil.example",
        "https://a.example/\r\nX: y", "mailto:", "mailto:a@b.example,c@d.example\nBcc: x", "tel:call-me",
        "https://a.example/" + "x" * 2000, "https://a.example/\u202e\x9f",
    ],
)  # fmt: skip
def test_a_link_that_a_reader_must_not_follow_is_refused(value: str) -> None:
    assert "it" in problems([slot("link", max_length=2000)], {"it": value})


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("<p>a<script>alert(1)</script></p>", "<p>a</p>"),
        ('<p onclick="x()" style="x">a</p>', "<p>a</p>"),
        ('<img src=x onerror="alert(1)">a', "a"),
        ('<a href="javascript:alert(1)">a</a>', "a"),
        ('<a href="&#106;avascript:alert(1)">a</a>', "a"),
        ('<a href="https://a.example" target="_top" onclick="x">a</a>', '<a href="https://a.example">a</a>'),
        ("<svg><p><style><img src=x onerror=alert(1)></style></p></svg>b", "b"),
        ("<table><tr><td>a</td></tr></table>", "a"),
        ("<!--[if mso]><b>x</b><![endif]-->a", "a"),
        ("<b>open", "<b>open</b>"),
        ("</td></table></div>a", "a"),
        ("<div>one</div><div>two</div>", "<p>one</p><p>two</p>"),
        ("one\ntwo\n\nthree & four", "<p>one<br>two</p><p>three &amp; four</p>"),
        ("1 < 2", "1 &lt; 2"),
    ],
)
def test_formatted_text_keeps_only_harmless_tags(value: str, safe: str) -> None:
    assert cleaned(slot("rich"), value) == safe


def test_a_link_without_a_domain_in_formatted_text_is_refused() -> None:
    found = problems([slot("rich")], {"it": '<a href="/prices">prices</a>'})
    assert "a link that cannot be used" in found["it"]


@settings(max_examples=150, deadline=None)
@given(value=st.text(max_size=200), kind=st.sampled_from(["text", "paragraph", "rich", "link"]))
def test_cleaning_twice_changes_nothing(value: str, kind: str) -> None:
    one = slot(kind)
    if not problems([one], {"it": value}):
        once = cleaned(one, value)
        assert cleaned(one, once) == once
    else:
        with pytest.raises(Invalid):
            cleaned(one, value)


_MARKUP = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<div>", "</div>", "<b>", "</b>", "<ul>", "<li>", "</ul>", "<br>", "<a href='https://a.de?x&y'>",
         "<a href='javascript:x'>", "</a>", "<script>", "</script>", "<!--", "-->", "text", "&amp;", "&lt;", "<", "\n",
         "<svg>", "<style>", "<a>", "{{ 7*7 }}", "'", '"']
    ),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(value=_MARKUP)
def test_formatted_text_cleaned_twice_changes_nothing(value: str) -> None:
    one = slot("rich", max_length=8000)
    once = cleaned(one, value)
    assert cleaned(one, once) == once
    assert "javascript:" not in once
    assert "<script" not in once


def test_a_preview_shows_what_is_merely_too_long_and_skips_what_cannot_be_shown() -> None:
    shown = shown_values(SLOTS, {"headline": "x" * 92, "cta": "nonsense", "tone": "loud", "intro": ""})
    assert shown == {
        "headline": "x" * 92, "cta": "https://cta.example/x", "tone": "warm", "intro": "",
        "note": "<p>Note</p>",
    }  # fmt: skip
