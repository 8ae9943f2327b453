"""Small mails, brands and launches for tests of what a campaign says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

from tcma.campaigns.markup import CompiledEmail, compile_email
from tcma.campaigns.personalise import TouchTemplate
from tcma.campaigns.slots import SlotDef, parse_slots

BRAND = {
    "name": "Nord & Co",
    "legal_name": "Nord & Co GmbH",
    "logo_url": "https://nord.example/logo.png",
    "color": "#14375e",
    "accent_color": "#f2a65a",
    "postal_address": "Hafenstraße 12\n20457 Hamburg",
    "phone": "+49 40 123456",
    "email": "hallo@nord.example",
    "website": "https://nord.example",
}
LAUNCH = {"name": "Spring", "vendor_name": "Stratus", "landing_url": "https://go.example/p/k"}
SERVICE = {
    "reason": "You are a customer of ours.",
    "unsubscribe_url": "https://go.example/u/tok",
    "privacy_url": "https://go.example/v/tok",
    "pixel_url": "https://go.example/o/tok",
}
CONTACT = {"first_name": "Mara", "last_name": "Lind", "email": "mara@lind.example", "city": "Bremen"}
SLOTS = parse_slots(
    [
        {"name": "headline", "label": "Headline", "kind": "text", "default": "Hello"},
        {"name": "intro", "label": "Intro", "kind": "paragraph", "default": "One\nTwo"},
        {"name": "note", "label": "Note", "kind": "rich", "default": "<p>Note</p>"},
        {"name": "cta", "label": "Button link", "kind": "link", "default": "https://cta.example/x"},
        {"name": "tone", "label": "Tone", "kind": "choice", "choices": ["warm", "dry"], "default": "warm"},
    ]
)


def in_text(inner: str, *, head: str = "") -> str:
    """A mail whose one mj-text holds `inner`, which begins in line 5."""
    return in_column(f"<mj-text>\n{inner}\n</mj-text>", head=head)


def in_column(inner: str, *, head: str = "") -> str:
    """A mail whose one column holds `inner`, which begins in line 4."""
    return in_body(f"<mj-section><mj-column>\n\n{inner}\n</mj-column></mj-section>", head=head)


def in_body(inner: str, *, head: str = "") -> str:
    """A mail whose body holds `inner`, which begins in line 2."""
    return f"<mjml><mj-head>{head}</mj-head><mj-body>\n{inner}\n</mj-body></mjml>"


def compiled(source: str, *, slots: Sequence[SlotDef] = SLOTS, subject: str = "Subject") -> CompiledEmail:
    """The mail of a source that is expected to compile."""
    return compile_email(source, slots=slots, subject=subject)


def touch_of(
    source: str,
    *,
    slots: Sequence[SlotDef] = SLOTS,
    values: Mapping[str, str] | None = None,
    subject: str = "Subject",
    brand: Mapping[str, str | None] | None = None,
    launch: Mapping[str, str | None] | None = None,
) -> TouchTemplate:
    """A touch of a source that is expected to compile."""
    return TouchTemplate(
        compiled(source, slots=slots, subject=subject),
        slots=values or {},
        brand={**BRAND, **(brand or {})},
        launch={**LAUNCH, **(launch or {})},
    )


class Outline(HTMLParser):
    """What a browser makes of a page: tags with their attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.comments: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags and the names of their attributes, without any value."""
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join("".join(self.words).split())

    def hrefs(self) -> list[str]:
        """Where the links lead."""
        return [attributes["href"] for tag, attributes in self.tags if tag == "a" and "href" in attributes]
