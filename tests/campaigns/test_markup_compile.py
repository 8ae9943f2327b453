"""What the compiler makes of a source: complete, harmless, the same each time, with our footer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tcma.campaigns.markup import CompiledEmail, MarkupError, Severity, check, compile_email
from tcma.campaigns.shell import lint
from tests.campaigns.mails import CONTACT, SERVICE, Outline, compiled, in_body, in_column, in_text, touch_of


def page_of(source: str, **values: str) -> str:
    """The HTML that a reader gets."""
    touch = touch_of(source, values=values)
    return touch.render(contact=CONTACT, links=touch.destinations(), service=SERVICE).html


# -- the compiler's traps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        '<mj-font name="Roboto" href="https://fonts.example/r.css" />',
        '<mj-font name="Own" href="https://a.example/1" /><mj-font name="Own" href="https://a.example/2" />',
        '<mj-attributes><mj-text color="red" /><mj-text padding="1px" /></mj-attributes>',
        '<mj-attributes><mj-class name="a" color="red" /></mj-attributes>'
        '<mj-attributes><mj-class name="a" padding="1px" /></mj-attributes>',
        "<mj-attributes><mj-all /><mj-all padding='0' /></mj-attributes>",
        "<mj-title>a</mj-title><mj-title>b</mj-title><mj-preview>a</mj-preview><mj-preview>b</mj-preview>",
        "<mj-attributes></mj-attributes><mj-style></mj-style>",
    ],
)
def test_what_is_defined_twice_is_merged(head: str) -> None:
    assert "Hello there" in compiled(in_text("Hello there", head=head), slots=()).html


def test_later_definitions_add_to_earlier_ones() -> None:
    head = (
        '<mj-attributes><mj-class name="a" color="#111111" padding="1px" /></mj-attributes>'
        '<mj-attributes><mj-class name="a" color="#222222" /></mj-attributes>'
    )
    page = compiled(in_column('<mj-text mj-class="a">x</mj-text>', head=head), slots=()).html
    assert "color:#222222" in page
    assert "padding:1px" in page
    assert "#111111" not in page


def test_an_authors_font_takes_the_place_of_a_built_in_one() -> None:
    head = '<mj-font name="Roboto" href="https://fonts.example/r?a=1&amp;b" />'
    page = compiled(in_column('<mj-text font-family="Roboto, Arial">x</mj-text>', head=head), slots=()).html
    assert "https://fonts.example/r?a=1" in page
    assert "fonts.googleapis.com/css?family=Roboto" not in page


@pytest.mark.parametrize("head", ["", '<mj-style inline="inline">.x { color: red; }</mj-style>'])
def test_a_font_that_nobody_asked_for_is_not_loaded_from_a_third_party(head: str) -> None:
    source = in_column('<mj-text>x</mj-text><mj-text font-family="Roboto, Open Sans, Lato">y</mj-text>', head=head)
    page = compiled(source, slots=()).html
    assert "googleapis" not in page
    assert "<link" not in page
    assert "@import" not in page


@pytest.mark.parametrize(
    "inner",
    [
        "<mj-hero><mj-text>a</mj-text></mj-hero>",
        '<mj-hero height="300px" mode="fluid-height" background-url="https://a.example/x.png"><mj-spacer />'
        '<mj-social><mj-social-element name="web" href="https://a.example">W</mj-social-element></mj-social></mj-hero>',
        "<mj-section><mj-group><mj-column><mj-text>a</mj-text></mj-column>"
        '<mj-column width="30%"><mj-text>b</mj-text></mj-column></mj-group></mj-section>',
        "<mj-section></mj-section>",
        "<mj-wrapper><mj-section><mj-column></mj-column></mj-section></mj-wrapper>",
        '<mj-section full-width="full-width" background-url="https://a.example/x.png" background-size="cover" />',
        '<mj-section><mj-column><mj-navbar hamburger="hamburger"><mj-navbar-link href="https://a.example">a'
        "</mj-navbar-link></mj-navbar></mj-column></mj-section>",
        '<mj-section><mj-column><mj-carousel><mj-carousel-image src="https://a.example/1.png" alt="a" />'
        '<mj-carousel-image src="https://a.example/2.png" alt="b" href="https://a.example" /></mj-carousel>'
        "</mj-column></mj-section>",
        "<mj-section><mj-column><mj-accordion><mj-accordion-element><mj-accordion-title>a</mj-accordion-title>"
        "<mj-accordion-text>b</mj-accordion-text></mj-accordion-element></mj-accordion></mj-column></mj-section>",
        "<mj-section><mj-column><!-- a note --><mj-divider /><mj-spacer /><mj-table><tr><td>a</td></tr></mj-table>"
        "</mj-column></mj-section>",
        "",
    ],
)
@pytest.mark.parametrize("head", ["", '<mj-style inline="inline">.x { color: red; }</mj-style>'])
def test_every_component_compiles(inner: str, head: str) -> None:
    assert "{{ service.unsubscribe_url }}" in compiled(in_body(inner, head=head), slots=()).html


def test_a_value_on_which_the_compiler_stops_is_blamed_on_its_part_of_the_mail() -> None:
    source = in_body("<mj-section />\n<mj-section />\n<mj-hero height='auto' />")
    with pytest.raises(MarkupError) as refused:
        compile_email(source, slots=(), subject="S")
    (problem,) = refused.value.problems
    assert problem.line == 4
    assert "<mj-hero>" in problem.what
    assert "Error" not in str(problem)


def test_outlooks_conditional_comments_stay_whole() -> None:
    page = page_of(in_body('<mj-section background-color="{{ brand.color }}"><mj-column /></mj-section>'))
    assert page.count("<!--[if ") == page.count("<![endif]-->")
    assert 'bgcolor="#14375e"' in "".join(one for one in Outline(page).comments if "if mso" in one)


def test_the_same_source_gives_the_same_mail() -> None:
    source = in_column(
        '<mj-navbar hamburger="hamburger"><mj-navbar-link href="https://a.example">a</mj-navbar-link></mj-navbar>'
        '<mj-carousel><mj-carousel-image src="https://a.example/1.png" alt="a" /></mj-carousel>',
        head='<mj-style inline="inline">.x { color: red; }</mj-style>',
    )
    first, second = compiled(source, slots=()), compiled(source, slots=())
    assert first == second
    assert first.sha256 != compiled(source, slots=(), subject="Other").sha256
    assert first.source_sha256 != compiled(source + "\n", slots=()).source_sha256


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and what was asked for there."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"p { color: red; }")

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_compiling_fetches_nothing(listener: tuple[str, list[str]]) -> None:
    origin, asked = listener
    head = (
        f'<mj-font name="Own" href="{origin}/font.css" />'
        '<mj-style inline="inline">p { margin: 0; }</mj-style>'
        f"<mj-style>@font-face {{ font-family: Own; src: url({origin}/own.woff); }}</mj-style>"
    )
    inner = (
        f'<mj-text font-family="Own">x<img src="{origin}/i.png" alt="x"></mj-text>'
        f'<mj-image src="{origin}/j.png" alt="x" />'
    )
    page = compiled(in_column(inner, head=head), slots=()).html
    assert f"{origin}/font.css" in page
    assert asked == []


# -- nothing breaks out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        in_column('<mj-image src="https://a.example/x.png" alt="&quot; onload=&quot;alert(1)" />'),
        in_column('<mj-image src="https://a.example/x.png" alt="&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;" />'),
        in_column("<mj-image src='https://a.example/x.png' alt='\">&lt;script>alert(1)&lt;/script>' />"),
        in_text("&lt;script&gt;alert(1)&lt;/script&gt;"),
        in_text('<img src="https://a.example/x.png" alt="&quot;&gt;&lt;script&gt;">'),
        in_text("x", head='<mj-title>x" onload="alert(1)&lt;/title&gt;&lt;script&gt;</mj-title>'),
        in_text("x", head="<mj-preview>&lt;/div&gt;&lt;script&gt;alert(1)&lt;/script&gt;</mj-preview>"),
        in_column('<mj-navbar hamburger="hamburger" ico-open="&lt;script&gt;alert(1)&lt;/script&gt;" />'),
        in_column('<mj-text css-class="a&quot; onclick=&quot;x">x</mj-text>'),
        in_body('<mj-section background-url="https://a.example/x\');background:url(\'y"></mj-section>'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("head", ["", '<mj-style inline="inline">.x { color: red; }</mj-style>'])
def test_text_in_any_place_stays_text(source: str, head: str) -> None:
    page = page_of(source.replace("<mj-head>", f"<mj-head>{head}"))
    outline = Outline(page)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert "url('y" not in page


@pytest.mark.parametrize("place", ["text", "attribute", "title", "style", "address", "preview"])
def test_braces_that_an_author_hid_are_no_placeholder(place: str) -> None:
    hidden = "&#123;&#123; 7*7 }}&#123;% set x %}&#123;# gone #}"
    source = {
        "text": in_text(hidden),
        "attribute": in_column(f'<mj-image src="https://a.example/x.png" alt="{hidden}" />'),
        "title": in_text("x", head=f"<mj-title>{hidden}</mj-title>"),
        "preview": in_text("x", head=f"<mj-preview>{hidden}</mj-preview>"),
        "style": in_text("x", head="<mj-style>@media print {#a{color:red}}/*{{*/</mj-style>"),
        "address": in_text('<a href="https://a.example/&#123;&#123;7*7}}">x</a>'),
    }[place]
    if place == "style":
        with pytest.raises(MarkupError, match="never closed"):
            compiled(source, slots=())
        source = source.replace("/*{{*/", "")
    page = page_of(source)
    assert "49" not in page.replace("#f4f5f7", "")
    shown = {"style": "{#a{color:red}}", "address": "%7B%7B7*7%7D%7D"}.get(place, "{{ 7*7 }}{% set x %}{# gone #}")
    assert shown in page


def test_the_last_look_sees_what_must_not_leave() -> None:
    harmful = [
        "<script>x</script>", "<p onclick=x>", "<a href='javascript:x'>", "<a href=' java\nscript:x'>",
        "<iframe src='https://a.example'>", "<meta http-equiv='refresh' content='0'>", "<form action='https://a'>",
        "<p style='width:expression(1)'>", "<style>a{behavior:url(x)}</style>", "<img src='data:x'>",
        "<style>@import 'x.css'</style>", "<!--[if mso]><script>x</script><![endif]-->", "<base href='https://a'>",
        "<input type='text'>", "<object data='https://a'></object>", "<table background='file:///x'>",
    ]  # fmt: skip
    for one in harmful:
        assert lint(f"<p>fine</p>{one}", token_prefix="tk"), one
    harmless = (
        "<a href='https://a.example'>x</a><a href='tk1z'>y</a><a href='#top'>z</a><input type='checkbox'>"
        "<meta http-equiv='Content-Type' content='x'><img src='tk2z'><a href='mailto:a@b.example'>m</a>"
        "<style>@import url(https://fonts.example/x);</style><!--[if mso]><table><![endif]-->"
    )
    assert lint(harmless, token_prefix="tk") == []


# -- blocks between tags -------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", ["", '<mj-style inline="inline">.x { color: red; }</mj-style>'])
@pytest.mark.parametrize(
    "inner",
    [
        '{% if slot.tone == "warm" %}<mj-section><mj-column><mj-text>WARM</mj-text></mj-column></mj-section>'
        "{% else %}<mj-section><mj-column><mj-text>DRY</mj-text></mj-column></mj-section>{% endif %}",
        '<mj-wrapper>{% if slot.tone == "warm" %}<mj-section><mj-column><mj-text>WARM</mj-text></mj-column>'
        "</mj-section>{% else %}<mj-section><mj-column><mj-text>DRY</mj-text></mj-column></mj-section>{% endif %}"
        "</mj-wrapper>",
        '<mj-section>{% if slot.tone == "warm" %}<mj-column><mj-text>WARM</mj-text></mj-column>{% else %}'
        "<mj-column><mj-text>DRY</mj-text></mj-column>{% endif %}</mj-section>",
        '<mj-section><mj-column>{% if slot.tone == "warm" %}<mj-text>WARM</mj-text>{% else %}<mj-text>DRY</mj-text>'
        "{% endif %}</mj-column></mj-section>",
        '<mj-section><mj-column><mj-text>{% if slot.tone == "warm" %}<p>WARM</p>{% else %}<p>DRY</p>{% endif %}'
        "</mj-text></mj-column></mj-section>",
        '<mj-section><mj-column><mj-table>{% if slot.tone == "warm" %}<tr><td>WARM</td></tr>{% else %}'
        "<tr><td>DRY</td></tr>{% endif %}</mj-table></mj-column></mj-section>",
        '<mj-hero height="100px">{% if slot.tone == "warm" %}<mj-text>WARM</mj-text>{% else %}<mj-text>DRY</mj-text>'
        "{% endif %}</mj-hero>",
    ],
)
def test_a_choice_between_tags_shows_one_and_leaves_no_trace_of_the_other(inner: str, inline: str) -> None:
    source = in_body(inner, head=inline)
    warm, dry = page_of(source, tone="warm"), page_of(source, tone="dry")
    assert ("WARM" in warm, "DRY" in warm) == (True, False)
    assert ("WARM" in dry, "DRY" in dry) == (False, True)
    # Both branches have the same form, so the pages differ by that one word only.
    assert warm.replace("WARM", "DRY") == dry


def test_a_loop_repeats_rows_inside_their_table() -> None:
    loop = '{% for name, price in [("A", 1), ("B", 2)] %}'
    row = "<tr><td>{{ loop.index }} {{ name }}</td><td>{{ price }}</td></tr>"
    head = '<mj-style inline="inline">td { margin: 0; }</mj-style>'
    page = page_of(in_column(f"<mj-table>{loop}{row}{{% endfor %}}</mj-table>", head=head))
    assert re.search(r"<tbody><tr><td[^>]*>1 A</td><td[^>]*>1</td></tr><tr><td[^>]*>2 B</td>", page)


def test_a_block_that_html_itself_would_tear_is_refused() -> None:
    head = '<mj-style inline="inline">p { margin: 0; }</mj-style>'
    source = in_text("<p>a{% if slot.tone %}<div>b</div>{% endif %}</p>", head=head)
    with pytest.raises(MarkupError, match="such as a <div> inside a <p>"):
        compiled(source)


def test_a_slot_in_an_alternative_that_is_never_taken_leaves_nothing() -> None:
    page = page_of(in_column("{% if contact.country %}<mj-text>{{ slot.intro }}</mj-text>{% endif %}"))
    assert "One<br>Two" not in page


# -- what the service adds -----------------------------------------------------------------------------


def test_every_mail_ends_with_who_sends_it_why_and_how_to_leave() -> None:
    page = page_of(in_text("x"))
    outline = Outline(page)
    for words in ("You are a customer of ours.", "Nord & Co GmbH", "Hafenstraße 12, 20457 Hamburg",
                  "Sent by Nord & Co about Stratus.", "Unsubscribe", "Privacy and preferences"):  # fmt: skip
        assert words in outline.text
    assert outline.hrefs() == ["https://go.example/u/tok", "https://go.example/v/tok"]
    assert ("img", "https://go.example/o/tok") in [(tag, given.get("src")) for tag, given in outline.tags]
    assert page.rindex("https://go.example/o/tok") > page.rindex("Unsubscribe")
    assert page.rstrip().endswith("</body></html>") or page.rstrip().endswith("</body>\n</html>")


def test_a_contact_who_is_not_tracked_gets_no_pixel() -> None:
    touch = touch_of(in_text("x"))
    page = touch.render(contact={}, links={}, service={**SERVICE, "pixel_url": ""}).html
    assert "<img" not in page


def test_an_authors_defaults_do_not_reach_the_footer() -> None:
    head = (
        '<mj-attributes><mj-all color="#010203" font-size="1px" padding="99px" />'
        '<mj-text color="#010203" /></mj-attributes><mj-style inline="inline">a, div { display: none; }</mj-style>'
    )
    page = page_of(in_text("x", head=head))
    footer = page[page.index('class="tcma-foot"') :]
    assert "#010203" not in footer
    assert "display: none" not in footer
    assert "99px" not in footer


def test_a_mail_without_slots_is_all_shell_and_works_the_same() -> None:
    mail = compiled(in_text("Plain and simple"), slots=())
    assert (mail.slots_used, mail.contact_fields, mail.links) == ((), (), ())
    assert "Plain and simple" in mail.text
    assert "{{ service.unsubscribe_url }}" in mail.text


def test_a_mail_says_that_it_is_fit_for_dark_mode_and_has_a_background() -> None:
    page = compiled(in_text("x"), slots=()).html
    assert '<meta name="color-scheme" content="light dark">' in page
    assert '<meta name="supported-color-schemes" content="light dark">' in page
    assert "background-color:#ffffff" in page
    assert "prefers-color-scheme" not in page
    dark = "<mj-style>@media (prefers-color-scheme: dark) { p { color: white; } }</mj-style>"
    assert ".tcma-foot" in compiled(in_text("x", head=dark), slots=()).html.split("</head>")[0]


def test_the_language_of_the_mail_is_told_and_is_english_when_unknown() -> None:
    assert '<html lang="en"' in compiled(in_text("x"), slots=()).html
    assert '<html lang="de-CH"' in compiled(in_text("x").replace("<mjml>", '<mjml lang="de-CH">'), slots=()).html


def test_the_subject_is_the_title_where_the_source_has_none() -> None:
    assert Outline(page_of(in_text("x"))).text.startswith("Subject")
    assert Outline(page_of(in_text("x", head="<mj-title>Own</mj-title>"))).text.startswith("Own")


def test_a_preheader_goes_before_the_sources_own() -> None:
    source = in_text("x", head="<mj-preview>Own</mj-preview>")
    assert compiled(source, slots=()).preheader == "Own"
    mail = compile_email(source, slots=(), subject="S", preheader="Given for {{ contact.city }}")
    assert mail.preheader == "Given for {{ contact.city }}"
    assert mail.contact_fields == ("city",)
    assert "Given for" not in mail.text


# -- links ---------------------------------------------------------------------------------------------


def test_each_tracked_link_gets_a_number_a_label_and_a_destination() -> None:
    mail = compiled(
        in_column(
            '<mj-image src="{{ brand.logo_url }}" alt="Logo of {{ brand.name }}" href="{{ brand.website }}" />'
            '<mj-text>See <a href="https://a.example/?x=1&copy=2">our <b>page</b></a></mj-text>'
            '<mj-button href="{{ slot.cta }}">{{ slot.headline }}</mj-button>'
        )
    )
    assert [(one.number, one.label, one.destination) for one in mail.links] == [
        (1, "Logo of brand name", "{{ brand.website }}"),
        (2, "our page", "https://a.example/?x=1&copy=2"),
        (3, "Hello", "{{ slot.cta }}"),
    ]
    for number in (1, 2, 3):
        assert f'href="{{{{ link.l{number} }}}}"' in mail.html
        assert f"{{{{ link.l{number} }}}}" in mail.text
    assert "cta.example" not in mail.html


def test_the_same_address_in_two_places_is_two_links() -> None:
    mail = compiled(in_text('<a href="https://a.example">a</a><a href="https://a.example">b</a>'), slots=())
    assert [(one.number, one.label) for one in mail.links] == [(1, "a"), (2, "b")]


def test_mail_and_phone_links_are_not_tracked() -> None:
    source = in_text(
        '<a href="mailto:{{ brand.email }}?subject=Hi&amp;body=x">write</a> <a href="tel:{{ brand.phone }}">call</a>'
    )
    assert compiled(source, slots=()).links == ()
    assert Outline(page_of(source)).hrefs()[:2] == ["mailto:hallo@nord.example?subject=Hi&body=x", "tel:+4940123456"]


def test_anchors_and_empty_links_are_not_tracked() -> None:
    mail = compiled(in_text('<a href="#part">a</a><a href="">b</a><a name="part">c</a>'), slots=())
    assert mail.links == ()
    assert '<a href="#part">a</a>' in mail.html


def test_later_placeholders_in_an_address_are_encoded() -> None:
    mail = touch_of(
        in_text('<a href="https://a.example/?c={{ launch.name }}&u={{ launch.landing_url }}">a</a>'),
        launch={"name": "A&B #1"},
    )
    assert mail.destinations() == {1: "https://a.example/?c=A%26B%20%231&u=https%3A%2F%2Fgo.example%2Fp%2Fk"}


def test_a_share_button_shares_the_page_and_not_the_readers_own_link() -> None:
    source = in_column(
        '<mj-social><mj-social-element name="linkedin" href="https://a.example/p?x=1">Share</mj-social-element>'
        '<mj-social-element name="facebook" href="{{ launch.landing_url }}">Share</mj-social-element></mj-social>'
    )
    touch = touch_of(source)
    assert touch.destinations() == {
        1: "https://www.linkedin.com/shareArticle?mini=true&url=https%3A%2F%2Fa.example%2Fp%3Fx%3D1&title=&summary=&source=",
        2: "https://www.facebook.com/sharer/sharer.php?u=https%3A%2F%2Fgo.example%2Fp%2Fk",
    }
    links = {1: "https://t.example/r/1", 2: "https://t.example/r/2"}
    page = touch.render(contact={}, links=links, service=SERVICE).html
    assert "facebook.com/sharer" not in page
    assert page.count('href="https://t.example/r/1"') == 2


def test_an_icon_without_words_is_named_after_its_network() -> None:
    source = in_column(
        '<mj-social><mj-social-element name="linkedin-noshare" href="https://a.example"></mj-social-element></mj-social>'
    )
    mail = compiled(source, slots=())
    assert 'alt="Linkedin"' in mail.html
    assert mail.text.startswith("Linkedin: {{ link.l1 }}")


def test_a_menus_base_address_goes_before_its_links() -> None:
    source = in_column(
        '<mj-navbar base-url="https://a.example"><mj-navbar-link href="/x">X</mj-navbar-link></mj-navbar>'
    )
    assert touch_of(source).destinations() == {1: "https://a.example/x"}


def test_a_link_given_by_a_class_is_tracked() -> None:
    head = '<mj-attributes><mj-class name="cta" href="https://a.example" /></mj-attributes>'
    mail = compiled(in_column('<mj-button mj-class="cta">Go</mj-button>', head=head), slots=())
    assert [one.destination for one in mail.links] == ["https://a.example"]
    assert 'href="{{ link.l1 }}"' in mail.html


# -- what a version stores -----------------------------------------------------------------------------


def test_a_mail_survives_json() -> None:
    source = in_text("{{ slot.headline }} {{ contact.first_name }} {{ slot.note }}<a href='{{ slot.cta }}'>x</a>")
    mail = compiled(source, subject="{{ slot.tone }} {{ contact.city }}")
    again = CompiledEmail.from_json(json.loads(json.dumps(mail.to_json())))
    assert again == mail
    assert again.warnings == mail.warnings
    assert again.warnings[0].severity is Severity.WARNING


def test_a_mail_knows_what_it_needs() -> None:
    mail = compiled(
        in_text(
            "{{ slot.headline }}{% if contact.company %}{{ contact.first_name|default(contact.full_name) }}{% endif %}"
        ),
        subject="{{ slot.tone }} {{ contact.city }}",
    )
    assert mail.slots_used == ("headline", "tone")
    assert mail.contact_fields == ("city", "company", "first_name", "full_name")
    assert mail.size == len(mail.html.encode())


def test_checking_finds_nothing_wrong_with_what_compiles() -> None:
    assert check(in_text("{{ slot.headline }}"), slots=(), subject="S") != []
    assert check(in_text("{{ brand.name }}"), slots=(), subject="S") == []
