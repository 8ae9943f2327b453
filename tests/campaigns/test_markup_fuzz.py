"""Whatever is fed to the compiler, it gives a mail or a MarkupError; and text stays text."""

from __future__ import annotations

import string

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tcma.campaigns.markup import MarkupError, check, compile_email
from tcma.campaigns.personalise import TouchTemplate
from tcma.campaigns.problems import Severity
from tcma.campaigns.slots import SlotDef
from tests.campaigns.mails import BRAND, CONTACT, LAUNCH, SERVICE, SLOTS, Outline, in_column, in_text

_SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALID = in_column(
    '<mj-image src="{{ brand.logo_url }}" alt="{{ brand.name }}" href="{{ brand.website }}" />'
    "<mj-text>Hi{% if contact.first_name %} {{ contact.first_name }}{% endif %}, "
    '<a href="https://a.example/?b=1&c=2">see</a></mj-text>'
    '{% for x in ["a", "b"] %}<mj-text padding="1px 2px">{{ x }}</mj-text>{% endfor %}'
    '<mj-button href="{{ slot.cta }}" background-color="{{ brand.color }}">{{ slot.headline }}</mj-button>'
    "<mj-table><tr><td>{{ slot.note }}</td></tr></mj-table>",
    head='<mj-attributes><mj-all color="#111" /></mj-attributes><mj-style>a{color:{{ brand.color }}}</mj-style>',
)

_SCRAPS = st.sampled_from(
    ["<", ">", "/", '"', "'", "=", "{{", "}}", "{%", "%}", "{#", "#}", "{{{", "}}}", "<!--", "-->", "<![CDATA[", "]]>",
     "<?xml", "?>", "<!DOCTYPE", "&", "&#", "&#123;", "&quot;", "\x00", "\ud800", "\u2028", "<mj-text>", "</mj-text>",
     "<mj-raw>", "<mj-include path='x'/>", "<mj-section>", "</mj-section>", "<mj-hero>", "<mj-group>", "<mj-carousel>",
     "<script>", "</script>", "<p>", "</p>", "<td>", "<table>", "{% if slot.tone %}", "{% endif %}", "{% else %}",
     "{% for x in [1] %}", "{% endfor %}", "{{ slot.headline }}", "{{ x }}", "javascript:", "href=", "width='-1px'",
     "width='0px'", "width='99999px'", "padding='1'", "height='auto'", "\\", "url(", "[[x]]", "*|X|*", "(" * 90,
     "-" * 50, "{{ -" + "-" * 60 + "1 }}", "{{ " + "not " * 90 + "1 }}", "mj-", "ü"]
)  # fmt: skip


def compiles_or_explains(source: str, subject: str = "S") -> None:
    """Compile, and hold the result against what `check` says."""
    found = check(source, slots=SLOTS, subject=subject)
    if any(one.severity is Severity.ERROR for one in found):
        with pytest.raises(MarkupError) as refused:
            compile_email(source, slots=SLOTS, subject=subject)
        assert list(refused.value.problems) == found
        assert all(one.what for one in found)
    else:
        mail = compile_email(source, slots=SLOTS, subject=subject)
        assert TouchTemplate(mail, slots={}, brand=BRAND, launch=LAUNCH).compiled is mail


@_SLOW
@given(source=st.text(max_size=300))
@example(source="<mjml><mj-body><mj-section></mj-section>")
@example(source="<" * 5000)
@example(source="{{" * 5000)
@example(source="{% if x %}" * 3000)
@example(source="<mjml>" * 3000)
@example(source="<mjml a='" + "&" * 9000)
def test_garbage_is_explained(source: str) -> None:
    compiles_or_explains(source)


@_SLOW
@given(scraps=st.lists(_SCRAPS, max_size=25))
def test_scraps_of_markup_are_explained(scraps: list[str]) -> None:
    compiles_or_explains(in_text("".join(scraps)))


@_SLOW
@given(data=st.data())
def test_a_damaged_mail_is_explained(data: st.DataObject) -> None:
    source = VALID
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        length = data.draw(st.integers(0, 12))
        source = source[:start] + data.draw(_SCRAPS | st.just("")) + source[start + length :]
    compiles_or_explains(source)


@_SLOW
@given(subject=st.lists(_SCRAPS | st.text(max_size=5), max_size=12).map("".join))
def test_a_damaged_subject_is_explained(subject: str) -> None:
    compiles_or_explains(VALID, subject or "S")


_ATTRIBUTES = st.lists(
    st.tuples(
        st.sampled_from(["width", "height", "padding", "padding-left", "border", "background-size", "inner-padding",
                         "background-position", "icon-size", "line-height", "border-radius", "background-width",
                         "background-height", "mode", "tb-width", "icon-padding", "vertical-align"]),
        st.sampled_from(["0", "1px", "-5px", "100%", "0%", "99999px", "1em", "auto", "", " ", "1px 2px", "1px 2px 3px",
                         "1px  2px", "1 2 3 4 5", "0.5px", "x", "cover", "center top left", "1px solid", "solid"]),
    ),
    max_size=4,
    unique_by=lambda pair: pair[0],
)  # fmt: skip


@_SLOW
@given(
    tags=st.lists(
        st.tuples(
            st.sampled_from(["mj-text", "mj-button", "mj-image", "mj-divider", "mj-spacer", "mj-table", "mj-social",
                             "mj-navbar", "mj-carousel", "mj-accordion"]),
            _ATTRIBUTES,
        ),
        max_size=4,
    ),
    outer=_ATTRIBUTES,
    section=st.sampled_from(["mj-section", "mj-hero", "mj-wrapper"]),
)  # fmt: skip
def test_odd_sizes_are_laid_out_or_explained(
    tags: list[tuple[str, list[tuple[str, str]]]], outer: list[tuple[str, str]], section: str
) -> None:
    def written(name: str, attributes: list[tuple[str, str]], inner: str) -> str:
        given = " ".join(f'{key}="{value}"' for key, value in attributes)
        return f"<{name} {given}>{inner}</{name}>"

    inner = "\n".join(written(name, attributes, "") for name, attributes in tags)
    if section != "mj-hero":
        inner = written("mj-column", outer, inner)
    if section == "mj-wrapper":
        inner = written("mj-section", outer, inner)
    compiles_or_explains(f"<mjml><mj-body>{written(section, outer, inner)}</mj-body></mjml>")


_WORDS = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="\ufeff"), max_size=60
).filter(lambda text: not set("{[*%$") & set(text))


@_SLOW
@given(words=_WORDS, alt=_WORDS)
@example(words="</mj-text><script>alert(1)</script>", alt='" onerror="alert(1)')
@example(words="<!--", alt="-->")
@example(words="&lt;script&gt;", alt="&quot;&#39;")
def test_an_authors_words_arrive_as_they_were_written(words: str, alt: str) -> None:
    def coded(text: str) -> str:
        return "".join(char if char in string.ascii_letters + " " else f"&#{ord(char)};" for char in text)

    source = in_column(
        f'<mj-text>[{coded(words)}]</mj-text><mj-image src="https://a.example/x.png" alt="{coded(alt)}" />'
    )
    mail = compile_email(source, slots=(), subject="S")
    touch = TouchTemplate(mail, slots={}, brand=BRAND, launch=LAUNCH)
    outline = Outline(touch.render(contact=CONTACT, links={}, service=SERVICE).html)
    assert f"[{' '.join(words.split())}]" in outline.text.replace("[ ", "[").replace(" ]", "]")
    pictures = [given["alt"] for tag, given in outline.tags if tag == "img" and given.get("alt")]
    assert [" ".join(one.split()) for one in pictures] == ([" ".join(alt.split())] if alt else [])
    assert "script" not in {tag for tag, _ in outline.tags}


@pytest.mark.parametrize("slots", [SLOTS, ()])
def test_the_undamaged_mail_compiles(slots: tuple[SlotDef, ...]) -> None:
    found = [one for one in check(VALID, slots=slots, subject="S") if one.severity is Severity.ERROR]
    assert bool(found) is (slots == ())
