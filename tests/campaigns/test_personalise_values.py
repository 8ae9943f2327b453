"""Whatever a value holds, it changes words and never the form of the mail."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tcma.campaigns.markup import CompiledEmail
from tcma.campaigns.personalise import Rendered, TouchTemplate
from tcma.campaigns.vocabulary import CONTACT_FIELDS
from tcma.errors import Invalid
from tests.campaigns.mails import BRAND, LAUNCH, SERVICE, SLOTS, Outline, compiled, in_column

SOURCE = in_column(
    '<mj-image src="{{ brand.logo_url }}" alt="{{ brand.name }} {{ contact.city }}" title="{{ slot.headline }}" '
    'href="{{ brand.website }}" />'
    "<mj-text>{{ contact.first_name }} {{ contact.last_name }} {{ contact.full_name }} {{ contact.company }} "
    "{{ contact.job_title }} {{ contact.city }} {{ contact.country }} {{ contact.email }} {{ slot.headline }} "
    '{{ slot.intro }} {{ launch.name }} <a href="https://a.example/?q={{ slot.headline }}&n={{ launch.name }}">a</a> '
    '<a href="mailto:{{ brand.email }}?subject={{ slot.headline }}">m</a> <a href="tel:{{ brand.phone }}">t</a></mj-text>'
    '<mj-button href="{{ slot.cta }}" background-color="{{ brand.color }}">{{ contact.city }}</mj-button>',
    head="<mj-title>{{ contact.first_name }} {{ slot.headline }}</mj-title>"
    "<mj-preview>{{ contact.city }}</mj-preview><mj-style>a{color:{{ brand.color }}}</mj-style>",
)
MAIL = compiled(SOURCE, subject="{{ contact.first_name }} {{ slot.headline }}")
RICH = compiled(in_column("<mj-text><div>{{ slot.note }}</div></mj-text>"))

NASTY = [
    "<script>alert(1)</script>", '" onmouseover="alert(1)', "' onmouseover='alert(1)", "javascript:alert(1)",
    "--><script>alert(1)</script><!--", "]]><script>", "</title></style></textarea><script>", "{{7*7}}", "{{ 7*7 }}",
    "{% for x in range(9) %}", "{#", "}}", "%}", "&lt;script&gt;", "&#x22;", "\r\nBcc: a@b.example", "\x00", "\ud800",
    "\u202e", "<![endif]--><script>", "a" * 5000, "`", "\\", "\"'><img src=x onerror=alert(1)>", "tk0n0z", "\u2028",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=80), st.lists(st.sampled_from(NASTY), max_size=4).map("".join)
)
_MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rendered(touch: TouchTemplate, contact: dict[str, str]) -> Rendered:
    links = {number: f"https://t.example/r/{number}" for number in touch.destinations()}
    return touch.render(contact=contact, links=links, service=SERVICE)


def touch_or_fields(mail: CompiledEmail, **given: dict[str, str]) -> TouchTemplate | set[str]:
    """The touch, or the fields that refused it."""
    try:
        return TouchTemplate(
            mail,
            slots=given.get("slots", {}),
            brand={**BRAND, **given.get("brand", {})},
            launch={**LAUNCH, **given.get("launch", {})},
        )
    except Invalid as refused:
        return set(refused.fields)


PLAIN = TouchTemplate(MAIL, slots={"headline": "plain words"}, brand=BRAND, launch=LAUNCH)
SHAPE = Outline(rendered(PLAIN, dict.fromkeys(CONTACT_FIELDS, "plain")).html)


def keeps_its_shape(made: Rendered) -> None:
    outline = Outline(made.html)
    # Only a paragraph's own lines may add to the form.
    assert [one for one in outline.shape if one[0] != "br"] == [one for one in SHAPE.shape if one[0] != "br"]
    assert [len(one) > 0 for one in outline.comments] == [len(one) > 0 for one in SHAPE.comments]
    for href in outline.hrefs():
        assert href.startswith(("https://t.example/r/", "https://go.example/", "mailto:", "tel:"))
    assert "\n" not in made.subject
    assert "\r" not in made.subject
    for part in (made.subject, made.html, made.text):
        assert part.encode()
        assert "\x00" not in part


@_MANY
@given(contact=st.fixed_dictionaries(dict.fromkeys(CONTACT_FIELDS, VALUES)))
def test_no_contact_changes_the_form_of_a_mail(contact: dict[str, str]) -> None:
    made = rendered(PLAIN, contact)
    keeps_its_shape(made)
    if any("{{7*7}}" in value[:290] for value in contact.values()):
        assert "{{7*7}}" in made.html + made.text


@_MANY
@given(headline=VALUES, intro=VALUES)
@example(headline='"><script>', intro="<!--")
def test_no_slot_changes_the_form_of_a_mail(headline: str, intro: str) -> None:
    touch = touch_or_fields(MAIL, slots={"headline": headline, "intro": intro})
    if isinstance(touch, set):
        assert touch <= {"slots.headline", "slots.intro"}
    else:
        keeps_its_shape(rendered(touch, {"first_name": "Mara"}))


@_MANY
@given(
    brand=st.fixed_dictionaries(dict.fromkeys(("name", "legal_name", "postal_address", "phone", "email"), VALUES)),
    launch=st.fixed_dictionaries(dict.fromkeys(("name", "vendor_name"), VALUES)),
)
def test_no_brand_changes_the_form_of_a_mail(brand: dict[str, str], launch: dict[str, str]) -> None:
    touch = touch_or_fields(MAIL, brand=brand, launch=launch)
    if isinstance(touch, set):
        assert touch <= {"brand.legal_name", "brand.postal_address", "links.2"}
    else:
        keeps_its_shape(rendered(touch, {"first_name": "Mara"}))


@_MANY
@given(value=VALUES)
@pytest.mark.parametrize("field", ["logo_url", "website", "color", "accent_color"])
def test_an_address_or_colour_that_is_none_is_refused(field: str, value: str) -> None:
    touch = touch_or_fields(MAIL, brand={field: "https://x.example/" + value})
    if isinstance(touch, set):
        assert touch == {f"brand.{field}"}
    else:
        assert field in ("logo_url", "website")
        keeps_its_shape(rendered(touch, {}))


@_MANY
@given(
    pieces=st.lists(st.sampled_from(["<p>", "</p>", "<b>", '<a href="https://n.example">', "</a>", *NASTY]), max_size=8)
)
def test_formatted_text_brings_only_its_own_few_tags(pieces: list[str]) -> None:
    touch = touch_or_fields(RICH, slots={"note": "".join(pieces)})
    if isinstance(touch, set):
        assert touch == {"slots.note"}
        return
    plain = Outline(rendered(TouchTemplate(RICH, slots={"note": "x"}, brand=BRAND, launch=LAUNCH), {}).html)
    outline = Outline(rendered(touch, {}).html)
    added = [one for one in outline.shape if one[0] not in ("p", "b", "a", "br")]
    assert added == [one for one in plain.shape if one[0] not in ("p", "b", "a", "br")]
    assert {names for tag, names in outline.shape if tag == "a"} <= {("href",), ("href", "style")}
    assert {one for one in outline.hrefs() if "go.example" not in one} <= {
        f"https://t.example/r/{number}" for number in touch.destinations()
    }


def test_the_mail_under_test_uses_every_kind_of_value() -> None:
    assert set(MAIL.contact_fields) == set(CONTACT_FIELDS)
    assert set(MAIL.slots_used) == {slot.name for slot in SLOTS} - {"note", "tone"}
