"""Filling a compiled mail for one recipient after another.

A `TouchTemplate` is made once for a launch touch: what is the same for every reader is checked and cleaned
there. What is left for each reader is a dictionary and three compiled programs. A value is written where its
placeholder stood and never read as a template again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from tcma.campaigns.addresses import BadAddress, is_web, normal_address
from tcma.campaigns.facts import (
    PREVIEW_URL,
    lenient_brand,
    lenient_launch,
    one_line,
    seen,
    strict_brand,
    strict_launch,
)
from tcma.campaigns.markup import CompiledEmail, Link
from tcma.campaigns.plaintext import plain
from tcma.campaigns.program import Program
from tcma.campaigns.slots import SlotDef, SlotKind, clean_values, shown_values
from tcma.campaigns.vocabulary import (
    CONTACT_FIELDS,
    SERVICE_FIELDS,
    Dialect,
    campaign_dialect,
    flat,
    sending_dialect,
    values_for,
)
from tcma.campaigns.wire import Body, WireHtml, WireText, tidy
from tcma.errors import Invalid

MAX_RENDERED: Final = 1024 * 1024
MAX_CONTACT_VALUE: Final = 300

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STYLE: Final = re.compile(r"<style.*?</style", re.DOTALL | re.IGNORECASE)
_COLOUR: Final = re.compile(r"\{\{\s*brand\.\w*color\s*\}\}")
_RICH_LINK: Final = re.compile(r'<a href="([^"]*)">')
_SERVICE_SAMPLE: Final = {
    "reason": "",
    "unsubscribe_url": PREVIEW_URL + "unsubscribe",
    "privacy_url": PREVIEW_URL + "privacy",
    "pixel_url": "",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail for one reader. `subject` is one line without control characters; `text` is the text part."""

    subject: str
    html: str
    text: str


class TouchTemplate:
    """One touch of one launch, ready to be filled for each contact. Safe to use from several threads.

    `brand` needs legal_name and postal_address: without them no footer, and so no mail. Raises Invalid with
    keys such as `brand.postal_address`, `slots.headline`, `links.2`.

    With `for_sending`, `fill` gives bodies as they travel, encoded once here and not again for each reader.
    """

    def __init__(
        self,
        compiled: CompiledEmail,
        *,
        slots: Mapping[str, str],
        brand: Mapping[str, str | None],
        launch: Mapping[str, str | None],
        for_sending: bool = False,
    ) -> None:
        self.compiled = compiled
        self._is_wire = for_sending and _may_be_wire(compiled.html)
        self._for_sending = for_sending
        try:
            values = clean_values(compiled.slots, slots)
        except Invalid as error:
            raise Invalid({f"slots.{name}": message for name, message in error.fields.items()}) from None
        self._fill(values, brand=strict_brand(brand), launch=strict_launch(launch))
        self._try_out()

    def _fill(self, values: dict[str, str], *, brand: dict[str, str], launch: dict[str, str]) -> None:
        compiled = self.compiled
        self.links, rich = _number_rich_links(compiled, values)
        dialect = sending_dialect(campaign_dialect(compiled.slots), links=len(compiled.links))
        for_html: dict[str, Any] = values_for("brand", brand) | values_for("launch", launch)
        for_text: dict[str, Any] = dict(for_html)
        rich_html = {flat("slot", name): pieces for name, pieces in rich.items()}
        rich_text = {key: _text_pieces(pieces) for key, pieces in rich_html.items()}
        for slot in compiled.slots:
            key, value = flat("slot", slot.name), values[slot.name]
            if key not in rich_html:
                for_html[key] = _as_html(slot, value)
                for_text[key] = plain(value) if slot.kind is SlotKind.RICH else value
        text: dict[str, Any] = {"dialect": dialect, "escape": False, "known": for_text, "pieces": rich_text}
        self._subject = Program(compiled.subject, **text)
        self._text = Program(compiled.text, **text)
        fixed = _as_wire if self._is_wire else None
        source = _STYLE.sub(_indented, compiled.html) if self._is_wire else compiled.html
        self._html = Program(source, dialect=dialect, escape=True, known=for_html, pieces=rich_html, fixed=fixed)
        read = self._subject.fields | self._text.fields | self._html.fields
        self._contact_fields = {name: flat(root, name) for root, name in sorted(read) if root == "contact"}
        self._wire_text = WireText(self._text) if self._for_sending else None
        self._wire_html = WireHtml(self._html) if self._is_wire else None
        self._fallback_subject = launch["name"] or brand["name"]
        self._destinations, self._direct = self._resolve(dialect, for_text)
        self._wanted = tuple((number, flat("link", f"l{number}")) for number in self._destinations)

    def _resolve(self, dialect: Dialect, known: Mapping[str, str]) -> tuple[dict[int, str], dict[str, str]]:
        """Where each link leads: tracked ones by number, the others by the name of their placeholder."""
        tracked: dict[int, str] = {}
        direct: dict[str, str] = {}
        for link in self.links:
            if link.number <= len(self.compiled.links):
                program = Program(link.destination, dialect=dialect, escape=False, known=known)
                address = program.render({}).strip()
            else:
                address = link.destination
            if not address:
                direct[flat("link", f"l{link.number}")] = ""
                continue
            try:
                address = normal_address(address)
            except BadAddress as error:
                raise Invalid({f"links.{link.number}": f"The link “{link.label}”: {error}"}) from None
            if is_web(address):
                tracked[link.number] = address
            else:
                direct[flat("link", f"l{link.number}")] = address
        return tracked, direct

    def _try_out(self) -> None:
        """Fill the mail for a contact with and one without data, so that no reader is the first to fail."""
        marks = {number: f"https://trial.invalid/{number}/" for number in self._destinations}
        sample = dict.fromkeys(CONTACT_FIELDS, "X" * 40)
        empty = [key for key, value in self._direct.items() if not value]
        for key in empty:
            self._direct[key] = f"https://trial.invalid/{key}/"
        for contact in ({}, sample):
            found = self.render(contact=contact, links=marks, service=_SERVICE_SAMPLE)
            if len(found.html) > MAX_RENDERED:
                raise Invalid({"": "The mail becomes larger than 1 MB. Shorten it."})
            for key in empty:
                if f"https://trial.invalid/{key}/" in found.html:
                    number = int(key.rsplit("l", 1)[1])
                    label = next(link.label for link in self.links if link.number == number)
                    raise Invalid({f"links.{number}": f"The link “{label}” has no address. Fill it in."})
        for key in empty:
            self._direct[key] = ""

    def destinations(self) -> dict[int, str]:
        """The web address behind each tracked link, by its number. Mail and phone links are not tracked."""
        return dict(self._destinations)

    def render(
        self,
        *,
        contact: Mapping[str, str | None],
        links: Mapping[int, str],
        service: Mapping[str, str | None],
    ) -> Rendered:
        """The mail for one contact.

        `links` gives an address for every number of `destinations()`; `service` gives unsubscribe_url and, if
        wanted, reason, privacy_url and pixel_url (addresses, or "#"). Raises ValueError where one of
        these is missing: that is a mistake of the caller's, not of a person's.
        """
        own = self._own(contact, links, service)
        return Rendered(self._subject_of(own), self._html.render(own), tidy(self._text.render(own)))

    def fill(
        self,
        *,
        contact: Mapping[str, str | None],
        links: Mapping[int, str],
        service: Mapping[str, str | None],
    ) -> tuple[str, str | Body, str | Body]:
        """(subject, HTML, text) as in `render`; HTML and text as they travel, wherever they can."""
        own = self._own(contact, links, service)
        html = self._wire_html.body(own) if self._wire_html is not None else None
        text = self._wire_text.body(own) if self._wire_text is not None else None
        return (
            self._subject_of(own),
            self._html.render(own) if html is None else html,
            tidy(self._text.render(own)) if text is None else text,
        )

    def _own(
        self, contact: Mapping[str, str | None], links: Mapping[int, str], service: Mapping[str, str | None]
    ) -> dict[str, Any]:
        own = _own_values(contact, links=links, service=service, wanted=self._wanted, fields=self._contact_fields)
        own.update(self._direct)
        return own

    def _subject_of(self, own: Mapping[str, str]) -> str:
        return seen(self._subject.render(own)) or self._fallback_subject


def preview(
    compiled: CompiledEmail,
    *,
    slots: Mapping[str, str],
    brand: Mapping[str, str | None],
    launch: Mapping[str, str | None],
    contact: Mapping[str, str | None],
) -> Rendered:
    """The mail as `contact` would see it, while slots and brand are still being filled in.

    Links lead where they will lead; values that are too long show as typed, those that cannot be shown give
    way to the slot's default. Never raises for what a person typed.
    """
    touch = TouchTemplate.__new__(TouchTemplate)
    touch.compiled, touch._is_wire, touch._for_sending = compiled, False, False
    shown = shown_values(compiled.slots, slots)
    facts, occasion = lenient_brand(brand), lenient_launch(launch)
    try:
        touch._fill(shown, brand=facts, launch=occasion)
    except Invalid:
        defaults = {slot.name: slot.default for slot in compiled.slots}
        links = {slot.name for slot in compiled.slots if slot.kind is SlotKind.LINK}
        shown |= {name: value for name, value in defaults.items() if name in links}
        touch._fill(shown, brand=facts, launch=occasion)
    for key, value in touch._direct.items():
        touch._direct[key] = value or PREVIEW_URL
    service = {**_SERVICE_SAMPLE, "reason": f"You receive this because {facts['name']} knows you."}
    return touch.render(contact=contact, links=touch.destinations(), service=service)


def _may_be_wire(source: str) -> bool:
    """Whether references cost little, and nothing but ASCII stands in style sheets, which know no references."""
    if (len(source.encode()) - len(source)) * 32 > len(source):
        return False
    return all(style.isascii() and "{{" not in _COLOUR.sub("", style) for style in _STYLE.findall(source))


def _indented(style: re.Match[str]) -> str:
    """The same style with no dot at the beginning of a line: a mail without them need not be searched for them."""
    return style[0].replace("\n.", "\n .")


def _as_wire(text: str) -> str:
    return _LINE_END.sub("\r\n", text).encode("ascii", "xmlcharrefreplace").decode()


def _own_values(
    contact: Mapping[str, str | None],
    *,
    links: Mapping[int, str],
    service: Mapping[str, str | None],
    wanted: Sequence[tuple[int, str]],
    fields: Mapping[str, str],
) -> dict[str, Any]:
    """A reader's values by the keys that programs look for; of the contact only `fields`, by name."""
    own: dict[str, Any] = {key: one_line(contact.get(name), limit=MAX_CONTACT_VALUE) for name, key in fields.items()}
    if own.get("contact__full_name") == "":
        first, last = (one_line(contact.get(name), limit=MAX_CONTACT_VALUE) for name in ("first_name", "last_name"))
        own["contact__full_name"] = f"{first} {last}".strip()
    for number, key in wanted:
        address = own[key] = _clean(links.get(number))
        if not address.startswith(_WEB):
            raise ValueError(f"Link {number} needs a web address.")
    for name, key in _SERVICE_KEYS.items():
        value = own[key] = _clean(service.get(name))
        if value not in ("", "#") and name != "reason" and not value.startswith(_WEB):
            raise ValueError(f"service.{name} needs a web address.")
    if not own["service__unsubscribe_url"]:
        raise ValueError("service.unsubscribe_url is missing.")
    return own


def _clean(value: str | None) -> str:
    """What the service itself gives, which is seldom anything but one line of plain text."""
    return value if type(value) is str and value.isprintable() else one_line(value)


_WEB: Final = ("https://", "http://")
_SERVICE_KEYS: Final = {name: flat("service", name) for name in SERVICE_FIELDS}


def _as_html(slot: SlotDef, value: str) -> str:
    if slot.kind is SlotKind.RICH:
        return Markup(value)  # noqa: S704 - sanitised by clean_values or shown_values just before
    if slot.kind is SlotKind.PARAGRAPH:
        return Markup("<br>").join(value.split("\n"))
    return value


def _number_rich_links(
    compiled: CompiledEmail, values: Mapping[str, str]
) -> tuple[tuple[Link, ...], dict[str, list[str | int]]]:
    """All links with those inside formatted slot values, which come last; and such values in pieces, where a
    number stands for a link's address."""
    links = list(compiled.links)
    rich: dict[str, list[str | int]] = {}
    for slot in compiled.slots:
        if slot.kind is not SlotKind.RICH or slot.name not in compiled.slots_used:
            continue
        value = values[slot.name]
        pieces: list[str | int] = []
        at = 0
        for found in _RICH_LINK.finditer(value):
            address = html.unescape(found[1])
            shown = re.sub(r"<[^>]*>", "", value[found.end() : value.find("</a>", found.end())])
            label = " ".join(html.unescape(shown).split())[:120] or slot.label
            links.append(Link(len(links) + 1, label, address))
            pieces += [value[at : found.start(1)], len(links)]
            at = found.end(1)
        if pieces:
            rich[slot.name] = [*pieces, value[at:]]
    return tuple(links), rich


def _text_pieces(pieces: Sequence[str | int]) -> list[str | int]:
    """The pieces of a formatted value for the text part, with its links' numbers where they belong."""
    mark = "https://mark.invalid/"
    while any(mark in piece for piece in pieces if isinstance(piece, str)):
        mark += "0/"
    marked = "".join(f"{mark}{piece}/" if isinstance(piece, int) else piece for piece in pieces)
    parts = re.split(rf"{re.escape(mark)}([0-9]+)/", plain(marked))
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
