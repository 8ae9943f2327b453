"""Every mistake in a source is found with its line and how to mend it; nothing harmful passes."""

from __future__ import annotations

import pytest

from tcma.campaigns.markup import MarkupError, Problem, Severity, check, compile_email
from tests.campaigns.mails import SLOTS, in_body, in_column, in_text


def errors(source: str) -> list[Problem]:
    return [one for one in check(source, slots=SLOTS, subject="S") if one.severity is Severity.ERROR]


def warnings(source: str) -> list[Problem]:
    used = (
        '{{ slot.headline }}{% if slot.tone %}{{ slot.intro }}{{ slot.note }}{% endif %}<a href="{{ slot.cta }}">x</a>'
    )
    source = source.replace("<mj-body>", f"<mj-body><mj-section><mj-column><mj-text>{used}</mj-text></mj-column>"
                            "</mj-section>", 1)  # fmt: skip
    found = check(source, slots=SLOTS, subject="S")
    assert [one for one in found if one.severity is Severity.ERROR] == []
    return found


@pytest.mark.parametrize(
    ("source", "line", "what", "mend"),
    [
        # form
        ("", 1, "empty", "<mjml>"),
        ("hello", 1, "text outside", "Move it"),
        ("<html></html>", 1, "starts with <html>", "<mjml>"),
        ("<mjml></mjml>", 1, "no body", "<mj-body>"),
        ("<mjml><mj-body></mj-body><mj-body></mj-body></mjml>", 1, "second <mj-body>", "Merge"),
        ("<mjml><mj-body></mj-body></mjml><mjml></mjml>", 1, "follows after", "Remove"),
        ("<mjml>\n<mj-body>\n<mj-section>\n</mj-body>\n</mjml>", 3, "<mj-section> is never closed", "</mj-body>"),
        ("<mjml>\n<mj-body>\n", 2, "<mj-body> is never closed", "after its content"),
        (in_text("a <b>c"), 5, "<b> is never closed", "</b>"),
        (in_text("</i>a"), 5, "</i> closes nothing", "<mj-text>"),
        (in_column("<mj-text>a</mj-txt>"), 4, "</mj-txt> closes nothing", "</mj-text>"),
        (in_text("1 < 2"), 5, "< stands alone", "&lt;"),
        (in_text("<p\n"), 5, "not complete", ">"),
        (in_text("a</br>"), 5, "</br> is not needed", "<br>"),
        (in_column("<mj-text color=red>a</mj-text>"), 4, "no quotes", 'color="'),
        (in_column("<mj-text color>a</mj-text>"), 4, "has no value", 'color="'),
        (in_column('<mj-text color="red>a</mj-text>'), 4, "no closing quote", '"'),
        (in_column('<mj-text color="red" color="blue">a</mj-text>'), 4, "color twice", "Remove"),
        (in_text("<!-- a"), 5, "never closed", "-->"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + in_text("a"), 1, "DOCTYPE", "Remove"),
        (in_text("<![CDATA[a]]>"), 5, "CDATA", "Remove"),
        ("<?php x ?>" + in_text("a"), 1, "Instructions", "Remove"),
        ("\n\n" + in_text("a\x00b"), 7, "cannot be shown", "Remove"),
        # tags
        (in_column("<mj-txt>a</mj-txt>"), 4, "no <mj-txt>", "mj-text"),
        (in_column("<mj-include path='/etc/passwd' />"), 4, "<mj-include> is not allowed", "Copy"),
        (in_column("<mj-raw><b>x</b></mj-raw>"), 4, "<mj-raw> is not allowed", "mj-text"),
        (in_body("<mj-raw><b>x</b></mj-raw>"), 2, "<mj-raw> is not allowed", "mj-text"),
        (in_text("", head="<mj-html-attributes />"), 1, "<mj-html-attributes> is not allowed", "Remove"),
        (in_text("<script>x</script>"), 5, "<script> is not allowed", "Remove"),
        (in_text("<style>a{}</style>"), 5, "<style> is not allowed", "<mj-style>"),
        (in_text("<form></form>"), 5, "<form> is not allowed", "landing page"),
        (in_text("<iframe></iframe>"), 5, "<iframe> is not allowed", "Link"),
        (in_text("<svg></svg>"), 5, "<svg> is not allowed", "mj-image"),
        (in_text("<marque>a</marque>"), 5, "no <marque>", "mark"),
        (in_column("<p>a</p>"), 4, "<p> cannot stand in <mj-column>", "<mj-text>"),
        (in_body("<mj-text>a</mj-text>"), 2, "<mj-text> cannot stand in <mj-body>", "<mj-column>"),
        (in_body("<mj-section>a</mj-section>"), 2, "no text of its own", "<mj-text>"),
        (in_column("<mj-image src='https://a.example/x.png' alt='x'>a</mj-image>"), 4, "nothing but", "<mj-text>"),
        (in_text("<mj-button>a</mj-button>"), 5, "<mj-button> cannot stand in <mj-text>", "Close"),
        (in_text("a", head="<mj-title><b>x</b></mj-title>"), 1, "takes no tags", "<b>"),
        (in_text('<a href="https://a.example"><a href="https://b.example">x</a></a>'), 5, "another link", "Close"),
        (in_column('<mj-button href="https://a.example"><a href="https://b.example">x</a></mj-button>'), 4,
         "another link", "Close"),
        # attributes
        (in_text('<b onclick="x()">a</b>'), 5, "onclick would run a script", "Remove"),
        (in_column('<mj-text onload="x">a</mj-text>'), 4, "onload would run a script", "Remove"),
        (in_column('<mj-text color="expression(1)">a</mj-text>'), 4, "does not belong", ""),
        (in_column('<mj-text color="reddish;x:y">a</mj-text>'), 4, "does not belong", ""),
        (in_column('<mj-text color="12">a</mj-text>'), 4, "not a colour", "#1a2b3c"),
        (in_column('<mj-text padding="wide">a</mj-text>'), 4, "not a size", "20px"),
        (in_column('<mj-text font-family="x&quot;><script>">a</mj-text>'), 4, "no closing quote", "&lt;"),
        (in_column('<mj-text font-family="x&quot;&gt;&lt;script&gt;">a</mj-text>'), 4, "does not belong", ""),
        (in_text('<p style="background:url(javascript:x)">a</p>'), 5, "javascript:", ""),
        (in_text('<p style="background:u\\72l(file:///etc/x)">a</p>'), 5, "not on the web", "https://"),
        (in_text('<p style="width:expr/**/ession(1)">a</p>'), 5, "expression(", ""),
        (in_text("a", head="<mj-style>@import url(https://a.example/x.css);</mj-style>"), 1, "@import", ""),
        (in_text("a", head="<mj-style>@\\69mport 'file:///x';</mj-style>"), 1, "@import", ""),
        (in_text("a", head="<mj-style>a{color:red</mj-style>"), 1, "more {", ""),
        (in_text("a", head="<mj-style>a{}</style><script>x</script></mj-style>"), 1, "holds a <", "max-width"),
        (in_text("a", head="<mj-font name='a.*' href='https://a.example' />"), 1, "font's name", ""),
        (in_text("a", head="<mj-font name='a' href='javascript:x' />"), 1, "javascript:", "https:"),
        (in_text("a", head="<mj-breakpoint width='1px){}' />"), 1, "breakpoint", "480px"),
        ("<mjml lang='x\"y'>" + in_text("a")[6:], 1, "language", "de-CH"),
        (in_body("a").replace("<mj-body>", "<mj-body width='50%'>"), 1, "width of the mail", "600px"),
        # addresses
        (in_text('<a href="javascript:alert(1)">a</a>'), 5, "javascript:", "https:"),
        (in_text('<a href="java&#115;cript:alert(1)">a</a>'), 5, "javascript:", "https:"),
        (in_text('<a href=" java&#10;script:alert(1)">a</a>'), 5, "invisible", "by hand"),
        (in_text('<a href="/prices">a</a>'), 5, "does not say how", "https://"),
        (in_text('<a href="//a.example">a</a>'), 5, "starts with //", "https://"),
        (in_text('<a href="https://{{ brand.name }}.example">a</a>'), 5, "where the domain", "Write the domain"),
        (in_text('<a href="{{ slot.headline }}">a</a>'), 5, "slot.headline is not an address", "slot.cta"),
        (in_text('<a href="{{ slot.cta or brand.name }}">a</a>'), 5, "brand.name is not an address", "slot.cta"),
        (in_text('<a href="{{ slot.cta or "javascript:x" }}">a</a>'), 5, "javascript:", "https:"),
        (in_text('<a href="https://a.example/{{ contact.email }}">a</a>'), 5, "contact.email", "each click"),
        (in_column('<mj-button href="{{ contact.city }}">a</mj-button>'), 4, "contact.city", "each click"),
        (in_text('<a href="{% if slot.cta %}x{% endif %}">a</a>'), 5, "block stands inside", "around the whole"),
        (in_text('<a href="https://a.example/{{ slot.note }}">a</a>'), 5, "Formatted text", "kind link"),
        (in_text('{% for x in ["a"] %}<a href="https://a.example/{{ x }}">a</a>{% endfor %}'), 5, "no x",
         "write each link out"),
        (in_text('<a href="{{ unsubscribe_url }}">a</a>'), 5, "unsubscribe_url", "its own unsubscribe link"),
        (in_column('<mj-image alt="" src="data:image/png;base64,x" />'), 4, "cannot be written into", "on the web"),
        (in_column('<mj-image alt="" src="{{ brand.name }}" />'), 4, "whole placeholder", "brand.logo_url"),
        (in_column('<mj-image alt="" src="https://a.example/{{ slot.tone }}.png" />'), 4, "inside a picture", ""),
        (in_column('<mj-image alt="" src="https://a.example/x" srcset="javascript:x 2x" />'), 4, "javascript:", ""),
        # placeholders
        (in_text("{{ slot.headlin }}"), 5, "no slot headlin", "headline"),
        (in_text("{{ first_name }}"), 5, "no first_name", "contact.first_name"),
        (in_text("{{ contact.fist_name }}"), 5, "no field fist_name", "first_name"),
        (in_text("{{ contact }}"), 5, "contact alone", "contact.city"),
        (in_text("{{ service.unsubscribe_url }}"), 5, "no service", "its own unsubscribe link"),
        (in_text("{{ link.l1 }}"), 5, "no link", "Known are"),
        (in_text("{{ slot.headline"), 5, "never closed", "}}"),
        (in_text("{{ 1 2 }}"), 5, "cannot be read", "{{ contact.first_name }}"),
        (in_text("{{ slot.headline|shout }}"), 5, "no filter shout", "Known are"),
        (in_text("{{ slot.note|upper }}"), 5, "cannot pass through upper", "upper"),
        (in_text("{{ slot.headline|truncate(99999999) }}"), 5, "from 1 to 1000", "truncate(40)"),
        (in_text("{{ contact.city.upper() }}"), 5, "cannot call", "brackets"),
        (in_text("{{ contact['city'] }}"), 5, "Square brackets", "dot"),
        (in_text("{{ contact.__class__ }}"), 5, "no field __class__", "Known are"),
        (in_text("{{ ''.__class__.__mro__ }}"), 5, "one dot only", "contact.city"),
        (in_text("{{ 'a' * 200000000 }}"), 5, "cannot calculate", "one after the other"),
        (in_text("{{ range(9) }}"), 5, "cannot call", "brackets"),
        (in_text("{{ self }}"), 5, "no self", ""),
        (in_text("{{ contact.city is defined }}"), 5, "Tests with is", "{% if contact.city %}"),
        (in_text("{% set x = 1 %}"), 5, "{% set %} is not part", "if"),
        (in_text("{% include '/etc/passwd' %}"), 5, "{% include %} is not part", ""),
        (in_text("{% raw %}{{ x }}{% endraw %}"), 5, "{% raw %} is not part", ""),
        (in_text("{% iff slot.tone %}{% endif %}"), 5, "{% iff %} is not part", "if"),
        (in_text("{% if slot.tone %}a"), 5, "not closed inside <mj-text>", "{% endif %}"),
        (in_text("{% endif %}"), 5, "no {% if %} before", ""),
        (in_text("{% if slot.tone %}{% endfor %}{% endif %}"), 5, "no {% for %} before", ""),
        (in_text("{% if slot.tone %}{% else slot.x %}{% endif %}"), 5, "too much in it", "{% else %}"),
        (in_text("<p>{% if slot.tone %}</p>{% endif %}"), 5, "not closed inside <p>", ""),
        (in_text("{% if slot.tone %}<p>{% endif %}</p>"), 5, "another element than its {% if %} in line 5", "whole"),
        (in_text("{% for x in contact.city %}{% endfor %}"), 5, "list written out", '["One"'),
        (in_text(f"{{% for x in {list(range(21))} %}}{{% endfor %}}"), 5, "too often", "20"),
        (in_text('{% for x in [1,2,3,4,5] %}{% for y in [1,2,3,4,5] %}{% endfor %}{% endfor %}'), 5, "too often", "20"),
        (in_text("{% if slot.tone %}" * 13 + "{% endif %}" * 13), 5, "too deeply", "12"),
        (in_text('{% for slot in ["a"] %}{% endfor %}'), 5, "slot is taken", "something else"),
        (in_text('{% for x in ["a"] %}{{ loop.length }}{% endfor %}'), 5, "no loop.length", "loop.index"),
        (in_text('{% for x in ["a"] %}{% endfor %}{{ x }}'), 5, "no x", ""),
        (in_column('{% if slot.tone %}{{ slot.headline }}{% endif %}'), 4, "no text of its own", "<mj-text>"),
        (in_column('<mj-text {% if slot.tone %}color="red"{% endif %}>a</mj-text>'), 4, "between attributes",
         "around the whole tag"),
        (in_column('<mj-text padding="{{ slot.headline }}">a</mj-text>'), 4, "cannot stand in padding", "Write"),
        (in_column('<mj-text color="{{ slot.headline }}">a</mj-text>'), 4, "Only a colour", "brand.color"),
        (in_text('<p style="color:{{ contact.city }}">a</p>'), 5, "Only a colour", "brand.color"),
        (in_text("a", head="<mj-style>a{color:{{ slot.headline }}}</mj-style>"), 1, "Only a colour", "brand.color"),
        (in_text('<img src="https://a.example/x.png" alt="{{ slot.note }}">'), 5, "several lines", "kind text"),
        (in_text("a", head="<mj-title>{{ slot.intro }}</mj-title>"), 1, "several lines", "kind text"),
        (in_column('<mj-button href="https://a.example">{{ slot.note }}</mj-button>'), 4, "Formatted text", "text"),
        (in_column("<mj-accordion>{% if slot.tone %}{% endif %}</mj-accordion>"), 4, "stand in mj-accordion", ""),
        # other programs' placeholders
        (in_text("Hi *|FNAME|*"), 5, "*|FNAME|*", "{{ contact.first_name }}"),
        (in_text("Hi %%first_name%%"), 5, "%%first_name%%", "{{ contact.first_name }}"),
        (in_text("Hi [[first name]]"), 5, "[[first name]]", "{{ contact.first_name }}"),
        (in_text("Hi {{{ first_name }}}"), 5, "{{{ first_name }}}", "{{ contact.first_name }}"),
        (in_text("Hi {{#if x}}"), 5, "{{#if x}}", "{{ contact.first_name }}"),
        (in_text("Hi ${name}"), 5, "${name}", "{{ contact.first_name }}"),
        (in_text("Hi %recipient.name%"), 5, "%recipient.name%", "{{ contact.first_name }}"),
        (in_text("Hi %FIRSTNAME%"), 5, "%FIRSTNAME%", "{{ contact.first_name }}"),
        (in_text('<a href="*|UNSUB|*">a</a>'), 5, "*|UNSUB|*", "{{ contact.first_name }}"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_in_its_line(source: str, line: int, what: str, mend: str) -> None:
    found = errors(source)
    assert found, "nothing was found"
    first = next((one for one in found if what in one.message and mend in one.message), None)
    assert first is not None, [str(one) for one in found]
    assert first.line == line


def test_the_column_is_where_the_mistake_begins() -> None:
    (found,) = errors(in_text("abc {{ slot.nope }}"))
    assert (found.line, found.column) == (5, 5)


def test_many_mistakes_are_told_at_once() -> None:
    found = errors(in_text("{{ slot.a }}\n{{ slot.b }}\n<script></script>"))
    assert [one.line for one in found] == [5, 6, 7]


def test_compiling_raises_what_checking_tells() -> None:
    source = in_text("{{ slot.nope }}")
    with pytest.raises(MarkupError) as refused:
        compile_email(source, slots=SLOTS, subject="S")
    assert list(refused.value.problems) == check(source, slots=SLOTS, subject="S")
    assert refused.value.fields["source"].startswith("Line 5: This campaign has no slot nope.")


@pytest.mark.parametrize("part", ["subject", "preheader"])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ slot.nope }}", "no slot nope"),
        ("{{ slot.note }}", "several lines"),
        ("Hi *|FNAME|*", "another program"),
        ("{% if slot.tone %}x", "not closed"),
        ("{{ open", "never closed"),
        ("x" * 301, "301 characters; 300 fit"),
    ],
)
def test_subject_and_preheader_obey_the_same_rules(part: str, text: str, what: str) -> None:
    with pytest.raises(MarkupError) as refused:
        compile_email(in_text("a"), slots=SLOTS, **{"subject": "S", "preheader": "", part: text})
    assert what in refused.value.fields[part]


def test_an_empty_subject_is_refused() -> None:
    with pytest.raises(MarkupError) as refused:
        compile_email(in_text("a"), slots=(), subject=" \n ")
    assert refused.value.fields == {"subject": "The subject is empty. Write one."}


def test_a_source_beyond_256_kb_is_refused_before_it_is_read() -> None:
    (found,) = errors(in_text("a" * 300_000))
    assert "256 fit" in found.what


def test_nesting_beyond_thirty_is_refused() -> None:
    assert errors(in_text("<div>" * 25 + "</div>" * 25)) == []
    (found,) = errors(in_text("<div>" * 5000 + "</div>" * 5000))
    assert "more than 30 deep" in found.what


def test_too_many_tags_attributes_and_placeholders_are_refused() -> None:
    assert "4000 tags" in errors(in_text("<br>" * 4100))[0].what
    assert "600 components" in errors(in_column("<mj-spacer />" * 600))[0].what
    many = " ".join(f'a{n}="1"' for n in range(70))
    assert "too many attributes" in errors(in_text(f"<p {many}>a</p>"))[0].what
    assert "400 placeholders" in errors(in_text("{{ slot.headline }}" * 401))[0].what


@pytest.mark.parametrize(
    ("inner", "what"),
    [
        ('<mj-image src="https://a.example/x.png" />', "no alt text"),
        ('<mj-image src="https://a.example/x.png" alt="" href="https://a.example" />', "no alt text"),
        ('<mj-image alt="x" />', "no src"),
        ("<mj-button>a</mj-button>", "leads nowhere"),
        ('<mj-button href="#">a</mj-button>', "leads nowhere"),
        ('<mj-text colour="red">a</mj-text>', "no colour, so it does nothing"),
        ('<mj-text align="middle">a</mj-text>', "has no effect"),
        ('<mj-text mj-class="ghost">a</mj-text>', "no mj-class ghost"),
        ("<mj-text>Dear {firstname}</mj-text>", "{firstname} will show as written"),
        ("<mj-text><!--[if mso]><b>x</b><![endif]-->a</mj-text>", "comment for Outlook"),
    ],
)
def test_what_is_allowed_but_unkind_is_a_warning_with_its_line(inner: str, what: str) -> None:
    (found,) = warnings(in_column(inner))
    assert what in found.what
    assert found.line == 4


def test_a_slot_that_nothing_uses_is_a_warning() -> None:
    found = check(in_text("a"), slots=SLOTS[:1], subject="S")
    assert [(one.severity, one.what) for one in found] == [(Severity.WARNING, "The slot headline is not used.")]
    assert check(in_text("a"), slots=SLOTS[:1], subject="{{ slot.headline }}") == []


def test_a_mail_near_the_size_at_which_gmail_cuts_is_a_warning() -> None:
    (found,) = check(in_text("<p>word</p>" * 3900 + "x" * 60_000), slots=(), subject="S")
    assert (found.severity, "Gmail cuts off" in found.what) == (Severity.WARNING, True)


def test_a_mail_of_more_than_a_megabyte_is_refused_and_blamed_on_nothing_else() -> None:
    images = "<mj-carousel-image src='https://a.example/x.png' alt='x' />" * 500
    (found,) = errors(in_column(f"<mj-carousel>{images}</mj-carousel>"))
    assert (found.line, found.what) == (0, "The compiled mail is larger than 1 MB.")


def test_editors_own_marks_pass_in_silence() -> None:
    assert warnings(in_column('<mj-text id="i3x" data-gjs-type="mj-text">a</mj-text>')) == []


def test_a_raw_block_with_nothing_but_comments_passes() -> None:
    assert warnings(in_body("<mj-raw>\n<!-- Hero -->\n</mj-raw><mj-section />")) == []


@pytest.mark.parametrize("width", ["33.33333333333333%", "50%", "200px", "0.5px", ".5px"])
def test_sizes_as_editors_write_them_pass(width: str) -> None:
    assert warnings(in_body(f'<mj-section><mj-column width="{width}"></mj-column></mj-section>')) == []


def test_tags_broken_over_lines_pass() -> None:
    assert warnings(in_text('<a\n  href="https://a.example"\n  >x</a\n>&#xA0;<b\n>y</b >')) == []


def test_an_xml_declaration_and_a_byte_order_mark_pass() -> None:
    assert warnings('\ufeff<?xml version="1.0" encoding="UTF-8"?>\n' + in_text("a")) == []
