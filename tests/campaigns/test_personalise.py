"""A compiled mail is filled for each reader: completely, once, and with nothing but text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from markupsafe import Markup

from tcma.campaigns.facts import readable_on
from tcma.campaigns.language import Refusal
from tcma.campaigns.markup import CompiledEmail
from tcma.campaigns.personalise import Rendered, TouchTemplate, preview
from tcma.campaigns.program import Program
from tcma.campaigns.slots import parse_slots
from tcma.campaigns.vocabulary import campaign_dialect
from tcma.errors import Invalid
from tests.campaigns.mails import (
    BRAND,
    CONTACT,
    LAUNCH,
    SERVICE,
    SLOTS,
    Outline,
    compiled,
    in_column,
    in_text,
    touch_of,
)


def filled(touch: TouchTemplate, **contact: str | None) -> Rendered:
    links = {number: f"https://t.example/r/{number}" for number in touch.destinations()}
    return touch.render(contact={**CONTACT, **contact}, links=links, service=SERVICE)


# -- values --------------------------------------------------------------------------------------------


def test_values_stand_in_subject_html_and_text() -> None:
    touch = touch_of(
        in_text(
            "Dear {{ contact.first_name }}, {{ slot.headline }} from {{ brand.name }} and {{ launch.vendor_name }}"
        ),
        subject="{{ contact.first_name }}: {{ slot.headline }}",
        values={"headline": "Tom & Jerry"},
    )
    made = filled(touch)
    assert made.subject == "Mara: Tom & Jerry"
    assert "Dear Mara, Tom &amp; Jerry from Nord &amp; Co and Stratus" in made.html
    assert "Dear Mara, Tom & Jerry from Nord & Co and Stratus" in made.text


@pytest.mark.parametrize(
    "value", ["{{7*7}}", "{{ 7*7 }}", "{% if 1 %}x{% endif %}", "{# gone #}", "{{ contact.email }}"]
)
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    touch = touch_of(
        in_text("[{{ slot.headline }}] [{{ slot.intro }}] [{{ slot.note }}] [{{ contact.city }}] [{{ brand.name }}]"),
        subject="{{ slot.headline }} {{ contact.city }}",
        values={"headline": value, "intro": value, "note": value},
        brand={"name": value, "legal_name": value},
        launch={"name": value, "vendor_name": value},
    )
    made = filled(touch, city=value)
    assert made.subject == f"{value} {value}"
    assert Outline(made.html).text.count(value) >= 7
    assert made.text.count(value) >= 7
    assert "49" not in made.html + made.text


def test_a_missing_value_is_empty_or_what_default_says() -> None:
    source = in_text(
        "[{{ contact.country }}] [{{ contact.company|default('your company') }}] [{{ contact.job_title }}]"
    )
    made = filled(touch_of(source), company="", job_title=None)
    assert "[] [your company] []" in made.text


def test_the_full_name_is_put_together_where_it_is_missing() -> None:
    assert "[Mara Lind]" in filled(touch_of(in_text("[{{ contact.full_name }}]"))).text
    assert "[M. Lind]" in filled(touch_of(in_text("[{{ contact.full_name }}]")), full_name="M. Lind").text


@pytest.mark.parametrize("char", ["\n", "\r\n", "\x00", "\x0b", "\u2028", "\x85", "\ud800"])
def test_subject_and_contact_values_are_one_line(char: str) -> None:
    touch = touch_of(in_text("[{{ contact.city }}]"), subject="Hi {{ contact.city }}")
    made = filled(touch, city=f"Bremen{char}Bcc: x@evil.example")
    assert made.subject == "Hi Bremen Bcc: x@evil.example"
    assert "[Bremen Bcc: x@evil.example]" in made.text
    assert made.html.encode()


def test_an_empty_subject_falls_back_to_the_launch() -> None:
    assert filled(touch_of(in_text("x"), subject="{{ contact.country }}")).subject == "Spring"


def test_lines_of_a_paragraph_stay_lines() -> None:
    made = filled(touch_of(in_text("{{ slot.intro }}"), values={"intro": "One <b>\nTwo"}))
    assert "One &lt;b&gt;<br>Two" in made.html
    assert "One <b>\nTwo" in made.text


def test_formatted_text_keeps_its_form_and_reads_well_as_text() -> None:
    note = "<p>We <strong>care</strong>.</p><ul><li>One</li><li>Two</li></ul>"
    made = filled(touch_of(in_text("{{ slot.note }}"), values={"note": note}))
    assert note in made.html
    assert "We care." in made.text
    assert "* One" in made.text
    assert "<p>" not in made.text


def test_formatted_text_is_cleaned_again_when_it_is_used() -> None:
    made = filled(touch_of(in_text("{{ slot.note }}"), values={"note": "<p onclick=x>a</p><script>b</script>"}))
    assert "<p>a</p>" in made.html
    assert "onclick" not in made.html


def test_text_that_claims_to_be_safe_is_escaped_all_the_same() -> None:
    made = filled(touch_of(in_text("{{ contact.city }}")), city=Markup("<b>x</b>"))
    assert "&lt;b&gt;x&lt;/b&gt;" in made.html


@pytest.mark.parametrize("value", [object(), ["a"], {"a": 1}, b"x", 1.5, True])
def test_only_text_fills_a_mail(value: object) -> None:
    with pytest.raises(TypeError, match="text only"):
        filled(touch_of(in_text("{{ contact.city }}")), city=value)  # type: ignore[arg-type]


def test_a_value_without_end_is_cut() -> None:
    assert "x" * 301 not in filled(touch_of(in_text("{{ contact.city }}")), city="x" * 100_000).html


def test_slots_are_checked_again_and_named() -> None:
    with pytest.raises(Invalid) as refused:
        touch_of(in_text("{{ slot.headline }}"), values={"headline": "x" * 99, "tone": "loud"})
    assert set(refused.value.fields) == {"slots.headline", "slots.tone"}


@pytest.mark.parametrize("name", ["items", "keys", "values", "copy", "get", "update", "format", "default"])
def test_a_slot_may_have_the_name_of_anything_in_python(name: str) -> None:
    slots = parse_slots([{"name": name, "default": "fine"}])
    assert "[fine]" in filled(touch_of(in_text(f"[{{{{ slot.{name} }}}}]"), slots=slots)).text


# -- brand and launch ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brand", "field"),
    [
        ({"postal_address": ""}, "brand.postal_address"),
        ({"postal_address": " \n "}, "brand.postal_address"),
        ({"legal_name": None}, "brand.legal_name"),
        ({"color": "red;} body{display:none"}, "brand.color"),
        ({"accent_color": "#12345"}, "brand.accent_color"),
        ({"logo_url": "javascript:x"}, "brand.logo_url"),
        ({"website": "mailto:a@b.example"}, "brand.website"),
    ],
)
def test_a_brand_that_would_make_an_unlawful_or_broken_mail_is_refused(brand: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        touch_of(in_text("x"), brand=brand)
    assert list(refused.value.fields) == [field]


def test_a_landing_page_must_be_a_web_address() -> None:
    with pytest.raises(Invalid) as refused:
        touch_of(in_text("x"), launch={"landing_url": "javascript:x"})
    assert list(refused.value.fields) == ["launch.landing_url"]


@pytest.mark.parametrize(
    ("colour", "text"), [("#ffffff", "#111111"), ("#000", "#ffffff"), ("#f6d743", "#111111"), ("#14375e", "#ffffff")]
)
def test_text_on_a_brand_colour_can_be_read(colour: str, text: str) -> None:
    assert readable_on(colour) == text
    source = in_column(
        '<mj-text color="{{ brand.on_color }}" container-background-color="{{ brand.color }}">x</mj-text>'
    )
    page = filled(touch_of(source, brand={"color": colour})).html
    assert f"color:{text}" in page
    assert f"background:{colour}" in page


def test_a_pale_brand_colour_is_not_used_for_text_on_white() -> None:
    source = in_column('<mj-text color="{{ brand.text_color }}">x</mj-text>')
    assert "color:#1a2230" in filled(touch_of(source, brand={"color": "#f6d743"})).html
    assert "color:#14375e" in filled(touch_of(source)).html


# -- links ---------------------------------------------------------------------------------------------


LINKS = in_text('<a href="{{ slot.cta }}">a</a> <a href="https://a.example/?n={{ launch.name }}">b</a> {{ slot.note }}')


def test_destinations_are_whole_web_addresses() -> None:
    touch = touch_of(LINKS, values={"cta": "https://ä.example/x y"})
    assert touch.destinations() == {1: "https://xn--4ca.example/x%20y", 2: "https://a.example/?n=Spring"}


def test_each_reader_gets_their_own_links() -> None:
    made = filled(touch_of(LINKS))
    assert Outline(made.html).hrefs()[:2] == ["https://t.example/r/1", "https://t.example/r/2"]
    assert "a <https://t.example/r/1> b <https://t.example/r/2>" in made.text
    assert "cta.example" not in made.html + made.text


def test_links_inside_formatted_text_are_tracked_too() -> None:
    touch = touch_of(LINKS, values={"note": '<p>See <a href="https://n.example/?a=1&amp;b=2">here</a></p>'})
    assert touch.destinations()[3] == "https://n.example/?a=1&b=2"
    assert (touch.links[2].number, touch.links[2].label) == (3, "here")
    made = filled(touch)
    assert '<p>See <a href="https://t.example/r/3">here</a></p>' in made.html
    assert "See here <https://t.example/r/3>" in made.text
    assert "n.example" not in made.html + made.text


def test_text_that_looks_like_our_own_marks_is_only_text() -> None:
    note = '<p>https://mark.invalid/9/ <a href="https://n.example">x</a></p>'
    made = filled(touch_of(LINKS, values={"note": note}))
    assert "https://mark.invalid/9/ x <https://t.example/r/3>" in made.text


def test_a_mail_link_in_a_slot_is_left_as_it_is() -> None:
    touch = touch_of(LINKS, values={"cta": "mailto:a@b.example"})
    assert list(touch.destinations()) == [2]
    assert Outline(filled(touch).html).hrefs()[0] == "mailto:a@b.example"


def test_a_link_without_an_address_is_refused_only_where_a_reader_would_see_it() -> None:
    slots = parse_slots([{"name": "more", "label": "More", "kind": "link", "required": False}])
    with pytest.raises(Invalid) as refused:
        touch_of(in_text('<a href="{{ slot.more }}">More</a>'), slots=slots)
    assert refused.value.fields == {"links.1": "The link “More” has no address. Fill it in."}
    hidden = in_text('{% if slot.more %}<a href="{{ slot.more }}">More</a>{% endif %}')
    assert touch_of(hidden, slots=slots).destinations() == {}
    sometimes = in_text('{% if contact.city %}<a href="{{ slot.more }}">More</a>{% endif %}')
    with pytest.raises(Invalid):
        touch_of(sometimes, slots=slots)


@pytest.mark.parametrize(
    ("links", "service"),
    [
        ({}, SERVICE),
        ({1: "javascript:x", 2: "https://t.example"}, SERVICE),
        ({1: "https://t.example", 2: "https://t.example"}, {}),
        ({1: "https://t.example", 2: "https://t.example"}, {**SERVICE, "pixel_url": "javascript:x"}),
        ({1: "https://t.example", 2: "https://t.example"}, {**SERVICE, "unsubscribe_url": ""}),
    ],
)
def test_a_callers_mistake_is_a_value_error_and_no_mail(links: dict[int, str], service: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"needs a web address|is missing"):
        touch_of(LINKS).render(contact=CONTACT, links=links, service=service)


# -- text part -----------------------------------------------------------------------------------------


def test_the_text_part_reads_well() -> None:
    source = in_column(
        '<mj-image src="{{ brand.logo_url }}" alt="{{ brand.name }}" href="{{ brand.website }}" />'
        "<mj-text><h1>{{ slot.headline }}</h1><p>Hello{% if contact.first_name %} {{ contact.first_name }}{% endif %},"
        "</p><p>first line<br>second line, see <a href='https://a.example'>the page</a>.</p></mj-text>"
        '{% for step in ["One", "Two"] %}<mj-text>{{ loop.index }}. {{ step }}</mj-text>{% endfor %}'
        "<mj-table><tr><td>Price</td><td>20</td></tr><tr><td>Term</td><td>12</td></tr></mj-table>"
        '<mj-button href="{{ slot.cta }}">Go on</mj-button>'
        '<mj-text>Or write to <a href="mailto:{{ brand.email }}">{{ brand.email }}</a></mj-text>'
    )
    assert filled(touch_of(source)).text == (
        "Nord & Co: https://t.example/r/1\n\n"
        "Hello\n\n"
        "Hello Mara,\n\n"
        "first line\nsecond line, see the page <https://t.example/r/2>.\n\n"
        "1. One\n\n2. Two\n\n"
        "Price  20\nTerm   12\n\n"
        "Go on: https://t.example/r/3\n\n"
        "Or write to hallo@nord.example\n\n"
        "--------------------------------------------------\n"
        "You are a customer of ours.\n"
        "Sent by Nord & Co about Stratus.\n\n"
        "Nord & Co GmbH\nHafenstraße 12, 20457 Hamburg\n\n"
        "Unsubscribe: https://go.example/u/tok\n"
        "Privacy and preferences: https://go.example/v/tok\n"
    )


def test_a_block_that_is_left_out_leaves_no_gap_in_the_text() -> None:
    source = in_column(
        "<mj-text>A</mj-text>{% if contact.country %}<mj-text>B</mj-text>{% else %}<mj-text>C</mj-text>{% endif %}"
        "{% if contact.job_title %}<mj-text>D</mj-text>{% endif %}<mj-text>E</mj-text>"
    )
    touch = touch_of(source)
    assert filled(touch).text.startswith("A\n\nC\n\nE\n\n---")
    assert filled(touch, country="NL", job_title="x").text.startswith("A\n\nB\n\nD\n\nE\n\n---")


def test_rows_that_come_and_go_become_lines() -> None:
    rows = '{% for name, price in [("A", 1), ("B", 2)] %}<tr><td>{{ name }}</td><td><b>{{ price }}</b></td></tr>{% endfor %}'
    touch = touch_of(in_column(f"<mj-table>{rows}</mj-table><mj-text>After</mj-text>"))
    assert filled(touch).text.startswith("A – 1\nB – 2\n\nAfter")


def test_what_is_hidden_in_html_is_not_in_the_text() -> None:
    source = in_text('seen<span style="display:none">hidden</span>', head="<mj-preview>preview</mj-preview>")
    text = filled(touch_of(source)).text
    assert text.startswith("seen\n")
    assert "hidden" not in text
    assert "preview" not in text


# -- the language --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{ contact.city|upper }}", "BREMEN"),
        ("{{ contact.city|lower }}", "bremen"),
        ("{{ contact.company|default('none')|title }}", "None"),
        ("{{ slot.headline|capitalize }}", "Hello there, my friends"),
        ("{{ slot.headline|truncate(12) }}", "hello there…"),
        ("{{ slot.headline|truncate(12, end='') }}", "hello there"),
        ("{{ contact.city if contact.company else contact.last_name }}", "Lind"),
        ("{{ contact.city if contact.company }}", ""),
        ("{{ contact.company or contact.city }}", "Bremen"),
        ("{% if contact.city == 'Bremen' and not contact.company %}yes{% endif %}", "yes"),
        ("{% if slot.tone in ['warm', 'dry'] %}yes{% elif slot.tone != 'x' %}no{% else %}?{% endif %}", "yes"),
        (
            "{% for a, b in [('x', 1), ('y', 2)] %}{{ a }}{{ b }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "x1, y2",
        ),
        ("{{ '<b>' }}", "<b>"),
        ("a{#- a note -#}b", "ab"),
        ("{{ contact.city | default(&quot;x&quot;) }}", "Bremen"),
    ],
)
def test_the_language_does_what_it_offers(template: str, shown: str) -> None:
    touch = touch_of(in_text(f"[{template}]"), values={"headline": "hello there, my friends"})
    assert f"[{shown}]" in filled(touch).text


@pytest.mark.parametrize(
    "template",
    ["{{ x }}", "{{ contact.city.x }}", "{{ contact['city'] }}", "{{ contact.city|urlpart }}", "{% set a = 1 %}",
     "{% macro a() %}{% endmacro %}", "{{ namespace() }}", "{{ slot }}", "{{ 1 + 1 }}", "{{ 'a' ~ 'b' }}", "{{ [1][0] }}",
     "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% block a %}{% endblock %}", "{{ {'a': 1} }}",
     "{{ contact.city is none }}", "{{ contact.city|attr('x') }}", "{{ contact.city|upper(1) }}", "{{ loop.index }}",
     "{% for a in 'abc' %}{% endfor %}", "{% for a in [1] recursive %}{% endfor %}", "{{ contact__city }}",
     "{% for contact__city in [1] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}",
     "{% for a, b in [('x', 1, 2)] %}{% endfor %}", "{{ contact.city|truncate(true) }}",
     "{{ contact.city|truncate(5, length=6) }}", "{{ " + "9" * 5000 + " }}"],
)  # fmt: skip
def test_a_program_holds_to_the_language_even_if_the_gate_was_passed_by(template: str) -> None:
    with pytest.raises(Refusal):
        Program(template, dialect=campaign_dialect(SLOTS), escape=True)


def test_a_stored_mail_that_somebody_changed_is_refused() -> None:
    data = compiled(in_text("x")).to_json()
    data["html"] += "{{ contact.email.__class__ }}"
    with pytest.raises(Refusal):
        TouchTemplate(CompiledEmail.from_json(data), slots={}, brand=BRAND, launch=LAUNCH)


def test_a_mail_that_grows_too_large_is_refused_before_the_first_reader() -> None:
    loop = "{% for a in [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20] %}" + "x" * 80_000 + "{% endfor %}"
    with pytest.raises(Invalid, match="larger than 1 MB"):
        touch_of(in_text(loop))


def test_threads_may_share_a_touch() -> None:
    touch = touch_of(LINKS, subject="{{ contact.city }}", values={"note": '<a href="https://n.example">x</a>'})

    def one(number: int) -> bool:
        links = {link: f"https://t.example/{number}/{link}" for link in touch.destinations()}
        made = touch.render(contact={"city": f"City {number}"}, links=links, service=SERVICE)
        return made.subject == f"City {number}" and made.html.count(f"https://t.example/{number}/") == 3

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))


# -- preview -------------------------------------------------------------------------------------------


def test_a_preview_shows_real_destinations() -> None:
    made = preview(compiled(LINKS), slots={}, brand=BRAND, launch=LAUNCH, contact=CONTACT)
    assert Outline(made.html).hrefs()[:2] == ["https://cta.example/x", "https://a.example/?n=Spring"]
    assert "#" not in Outline(made.html).hrefs()


def test_a_preview_stands_while_everything_is_still_missing_or_wrong() -> None:
    made = preview(
        compiled(LINKS.replace("{{ slot.note }}", "{{ slot.note }} {{ slot.headline }}")),
        slots={"headline": "y" * 200, "cta": "nonsense", "note": '<a href="/x">x</a>', "gone": "x"},
        brand={"color": "red", "website": "nonsense"},
        launch={},
        contact={},
    )
    assert "y" * 200 in made.html
    assert "[Postal address]" in made.text
    assert "Sent by [Your company] about [Vendor]." in made.text


def test_a_preview_of_a_link_that_is_still_empty_leads_nowhere_real() -> None:
    slots = parse_slots([{"name": "more", "kind": "link", "required": False}])
    mail = compiled(in_text('<a href="{{ slot.more }}">More</a>'), slots=slots)
    made = preview(mail, slots={}, brand=BRAND, launch=LAUNCH, contact={})
    assert Outline(made.html).hrefs()[0] == "https://preview.invalid/"
