"""Filling a compiled mail for one recipient after another.

A `TouchTemplate` is made once for a launch touch: what is the same for every reader is checked and cleaned
there. What is left for each reader is a dictionary and three compiled programs. A value is written where its
placeholder stood and never read as a template again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
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
from tcma.campaigns.language import Program
from tcma.campaigns.markup import CompiledEmail, Link
from tcma.campaigns.plaintext import plain
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
from tcma.campaigns.wire import WireProgram
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

    With `for_sending`, `fill` gives HTML as it travels, encoded once here and not again for each reader.
    """

    _wire: WireProgram | None = None

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
        self._rich_html = {flat("slot", name): pieces for name, pieces in rich.items()}
        self._rich_text = {key: _text_pieces(pieces) for key, pieces in self._rich_html.items()}
        if self._is_wire:
            self._rich_html = {
                key: [_as_wire(piece) if isinstance(piece, str) else piece for piece in pieces]
                for key, pieces in self._rich_html.items()
            }
        for slot in compiled.slots:
            key, value = flat("slot", slot.name), values[slot.name]
            if key not in self._rich_html:
                for_html[key] = _as_html(slot, value)
                for_text[key] = plain(value) if slot.kind is SlotKind.RICH else value
        self._subject = Program(compiled.subject, dialect=dialect, escape=False, known=for_text)
        fixed = _as_wire if self._is_wire else None
        self._html = Program(compiled.html, dialect=dialect, escape=True, known=for_html, fixed=fixed)
        self._wire = WireProgram(self._html) if self._is_wire else None
        self._text = Program(compiled.text, dialect=dialect, escape=False, known=for_text)
        self._fallback_subject = launch["name"] or brand["name"]
        self._destinations, self._direct = self._resolve(dialect, for_text)

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
        subject, text, for_html = self._begun(contact, links, service)
        return Rendered(subject, self._html.render(for_html), text)

    def fill(
        self,
        *,
        contact: Mapping[str, str | None],
        links: Mapping[int, str],
        service: Mapping[str, str | None],
    ) -> tuple[str, str | list[bytes], str]:
        """(subject, HTML, text) as in `render`; the HTML in pieces that travel as they are, wherever it can."""
        subject, text, for_html = self._begun(contact, links, service)
        pieces = self._wire.pieces(for_html) if self._wire is not None else None
        return subject, self._html.render(for_html) if pieces is None else pieces, text

    def _begun(
        self, contact: Mapping[str, str | None], links: Mapping[int, str], service: Mapping[str, str | None]
    ) -> tuple[str, str, dict[str, Any]]:
        """Subject and text of a mail, and the values for its HTML."""
        own = _own_values(contact, links=links, service=service, wanted=self._destinations)
        own.update(self._direct)
        for_html, for_text = own, own
        if self._rich_html:
            for_html, for_text = dict(own), dict(own)
            for key, pieces in self._rich_html.items():
                # Each piece is a part of a value that clean_values or shown_values sanitised.
                for_html[key] = Markup("".join(_joined(pieces, own, escape=True)))  # noqa: S704
                for_text[key] = "".join(_joined(self._rich_text[key], own, escape=False))
        text = self._text.render(for_text)
        # Blocks that were left out leave their empty lines behind.
        while "\n\n\n" in text:
            text = text.replace("\n\n\n", "\n\n")
        subject = seen(self._subject.render(for_text))
        return subject or self._fallback_subject, text.lstrip("\n"), for_html


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
    touch.compiled, touch._is_wire = compiled, False
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


def _as_wire(text: str) -> str:
    return _LINE_END.sub("\r\n", text).encode("ascii", "xmlcharrefreplace").decode()


def _own_values(
    contact: Mapping[str, str | None],
    *,
    links: Mapping[int, str],
    service: Mapping[str, str | None],
    wanted: Mapping[int, str],
) -> dict[str, Any]:
    own: dict[str, Any] = {
        _CONTACT_KEYS[name]: one_line(contact.get(name), limit=MAX_CONTACT_VALUE) for name in CONTACT_FIELDS
    }
    if not own["contact__full_name"]:
        own["contact__full_name"] = f"{own['contact__first_name']} {own['contact__last_name']}".strip()
    for number in wanted:
        address = links.get(number, "")
        if not address.startswith(("https://", "http://")):
            raise ValueError(f"Link {number} needs a web address.")
        own[f"link__l{number}"] = one_line(address)
    for name in SERVICE_FIELDS:
        value = one_line(service.get(name))
        if name != "reason" and value not in ("", "#") and not value.startswith(("https://", "http://")):
            raise ValueError(f"service.{name} needs a web address.")
        own[_SERVICE_KEYS[name]] = value
    if not own["service__unsubscribe_url"]:
        raise ValueError("service.unsubscribe_url is missing.")
    return own


_CONTACT_KEYS: Final = {name: flat("contact", name) for name in CONTACT_FIELDS}
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


def _joined(pieces: Sequence[str | int], own: Mapping[str, Any], *, escape: bool) -> Iterator[str]:
    """A formatted value with this reader's addresses in it."""
    for piece in pieces:
        if isinstance(piece, int):
            address = own[flat("link", f"l{piece}")]
            yield html.escape(address) if escape else address
        else:
            yield piece
