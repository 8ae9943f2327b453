"""Slots: the regions of a campaign that a partner may edit, with their limits. All else is shell."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import nh3

from tcma.campaigns.addresses import BadAddress, normal_address
from tcma.errors import Invalid

MAX_SLOTS: Final = 60
_LIMITS: Final = {"text": (80, 300), "paragraph": (600, 4000), "rich": (1200, 8000), "link": (500, 2000)}
_NAME: Final = re.compile(r"^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$")
_RICH_TAGS: Final = {"p", "br", "strong", "b", "em", "i", "u", "ul", "ol", "li", "a"}
_RICH_SCHEMES: Final = {"https", "http", "mailto", "tel"}
_HREF: Final = re.compile(r'<a href="([^"]*)">')
_KEYS: Final = frozenset(
    ("name", "label", "kind", "default", "min_length", "max_length", "required", "choices", "help")
)


class SlotKind(StrEnum):
    """What a partner puts in: one line, several lines, formatted text, an address, or one of some choices."""

    TEXT = "text"
    PARAGRAPH = "paragraph"
    RICH = "rich"
    LINK = "link"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class SlotDef:
    """One slot as its vendor declared it. Lengths count the characters that a reader sees."""

    name: str
    label: str
    kind: SlotKind
    default: str
    min_length: int = 0
    max_length: int = 80
    required: bool = True
    choices: tuple[str, ...] = ()
    help: str = ""

    def to_json(self) -> dict[str, Any]:
        """One item of what `parse_slots` reads."""
        return {
            "name": self.name,
            "label": self.label,
            "kind": self.kind.value,
            "default": self.default,
            "min_length": self.min_length,
            "max_length": self.max_length,
            "required": self.required,
            "choices": list(self.choices),
            "help": self.help,
        }


def parse_slots(data: Sequence[Mapping[str, Any]]) -> tuple[SlotDef, ...]:
    """Slot definitions from JSON or TOML.

    Raises Invalid with keys such as `slots.headline.max_length`; a slot without a usable name goes by its
    place, `slots.3.name`.
    """
    items: Any = data  # It comes from people's files, so its declared shape is a hope.
    if not isinstance(items, (list, tuple)):
        raise Invalid({"slots": "Slots must be a list. Put each slot in square brackets."})
    if len(items) > MAX_SLOTS:
        raise Invalid({"slots": f"There are {len(items)} slots; {MAX_SLOTS} fit. Remove some."})
    found: dict[str, SlotDef] = {}
    fields: dict[str, str] = {}
    for place, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            fields[f"slots.{place}"] = "Each slot needs a name, a label and a kind."
            continue
        slot = _Reader(item, place=place, fields=fields).read()
        if slot is None:
            continue
        if slot.name in found:
            fields[f"slots.{slot.name}.name"] = f"Two slots are called {slot.name}. Rename one of them."
        found[slot.name] = slot
    if fields:
        raise Invalid(fields)
    return tuple(found.values())


def to_json(slots: Sequence[SlotDef]) -> list[dict[str, Any]]:
    """What `parse_slots` reads back."""
    return [slot.to_json() for slot in slots]


def clean_values(slots: Sequence[SlotDef], values: Mapping[str, str]) -> dict[str, str]:
    """One value for every slot: the partner's, cleaned, or the default where there is none.

    Rich values come back sanitised, links in their normal form. Cleaning a cleaned value changes nothing.
    Raises Invalid (slot name → what to mend), also for a name that no slot has.
    """
    cleaned, found = _judge(slots, values)
    if found:
        raise Invalid(found)
    return cleaned


def problems(slots: Sequence[SlotDef], values: Mapping[str, str]) -> dict[str, str]:
    """What `clean_values` would refuse: slot name → what to mend; empty when all is well."""
    return _judge(slots, values)[1]


def shown_values(slots: Sequence[SlotDef], values: Mapping[str, str]) -> dict[str, str]:
    """Values for a preview while someone types: as `clean_values`, but a value that is merely too long,
    too short or missing shows as typed, and one that cannot be shown at all gives way to the default."""
    cleaned: dict[str, str] = {}
    for slot in slots:
        value = values.get(slot.name)
        try:
            cleaned[slot.name] = _clean(slot, value if isinstance(value, str) else slot.default)
        except _Refused:
            cleaned[slot.name] = slot.default
    return cleaned


def visible_text(slot: SlotDef, value: str) -> str:
    """What a reader sees of a value, for counting: rich text without its tags."""
    if slot.kind is not SlotKind.RICH:
        return value
    spaced = re.sub(r"</(?:p|li)>|<br>", r"\g<0> ", value)
    return " ".join(html.unescape(nh3.clean(spaced, tags=set())).split())


class _Refused(Exception):
    """A value that cannot be used; the text says what to mend."""


def _judge(slots: Sequence[SlotDef], values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    cleaned: dict[str, str] = {}
    found: dict[str, str] = {}
    known = {slot.name for slot in slots}
    for name in values:
        if name not in known:
            found[str(name)] = f"This campaign has no slot called {name}. Leave it out."
    for slot in slots:
        value = values.get(slot.name)
        try:
            if value is not None and not isinstance(value, str):
                raise _Refused(f"{slot.label} must be text.")
            cleaned[slot.name] = _clean(slot, slot.default if value is None else value)
            _measure(slot, cleaned[slot.name])
        except _Refused as refusal:
            found[slot.name] = str(refusal)
    return cleaned, found


def _clean(slot: SlotDef, raw: str) -> str:
    """The value in its normal form; raises _Refused where it has none."""
    if len(raw) > 100_000:
        raise _Refused(f"{slot.label} is far too long. Shorten it to {slot.max_length} characters.")
    value = unicodedata.normalize("NFC", raw.replace("\r\n", "\n").replace("\r", "\n")).strip()
    value = value.replace("\t", " ")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value if char != "\n"):
        raise _Refused(f"{slot.label} holds a character that cannot be shown. Type it again by hand.")
    if "\n" in value and slot.kind not in (SlotKind.PARAGRAPH, SlotKind.RICH):
        raise _Refused(f"{slot.label} has more than one line. Write it on one line.")
    if not value:
        return ""
    if slot.kind is SlotKind.LINK:
        try:
            return normal_address(value)
        except BadAddress as error:
            raise _Refused(f"{slot.label}: {error}") from None
    if slot.kind is SlotKind.CHOICE and value not in slot.choices:
        raise _Refused(f"{slot.label} must be one of: {', '.join(slot.choices)}.")
    return _clean_rich(slot, value) if slot.kind is SlotKind.RICH else value


def _clean_rich(slot: SlotDef, value: str) -> str:
    if "<" not in value:
        # Typed without an editor: blank lines part paragraphs, single ones break the line.
        blocks = [block.replace("\n", "<br>") for block in re.split(r"\n\s*\n", value)]
        value = blocks[0] if len(blocks) == 1 else "".join(f"<p>{block}</p>" for block in blocks)
    for _ in range(10):
        before, value = value, _tidied(value)
        if value == before:
            break
    else:
        raise _Refused(f"{slot.label} is formatted in a way that cannot be kept. Paste it as plain text.")
    for href in _HREF.findall(value):
        try:
            normal = html.escape(normal_address(html.unescape(href)))
        except BadAddress as error:
            raise _Refused(f"{slot.label} has a link that cannot be used. {error}") from None
        value = value.replace(f'<a href="{href}">', f'<a href="{normal}">')
    return value


def _tidied(value: str) -> str:
    """One round of cleaning; dropping a tag may leave another empty, so several may be needed."""
    # Browsers' editable regions write a div for a line; after the first pass it carries no attributes.
    value = _sanitise(value, tags={*_RICH_TAGS, "div"})
    value = _sanitise(value.replace("<div>", "<p>").replace("</div>", "</p>"), tags=_RICH_TAGS)
    value = _sanitise(value.replace("<a>", "").replace("<p></p>", ""), tags=_RICH_TAGS)
    # In HTML a line's end is a space; kept, it could pass for a typed one the next time.
    return " ".join(value.split())


def _sanitise(value: str, *, tags: set[str]) -> str:
    return nh3.clean(
        value,
        tags=tags,
        clean_content_tags={"script", "style", "title", "template", "textarea", "svg", "math"},
        attributes={"a": {"href"}},
        url_schemes=_RICH_SCHEMES,
        link_rel=None,
    )


def _measure(slot: SlotDef, value: str) -> None:
    length = len(visible_text(slot, value))
    if length == 0:
        if slot.required:
            raise _Refused(f"{slot.label} is empty. Fill it in.")
        return
    if slot.kind is SlotKind.CHOICE:
        return
    if length > slot.max_length:
        over = length - slot.max_length
        raise _Refused(f"{slot.label} is {length} characters; {slot.max_length} fit. Shorten it by {over}.")
    if length < slot.min_length:
        missing = slot.min_length - length
        raise _Refused(f"{slot.label} is {length} characters; it needs {slot.min_length}. Add {missing}.")


class _Reader:
    """Reads one slot definition and notes what is wrong under its own field keys."""

    def __init__(self, item: Mapping[str, Any], *, place: int, fields: dict[str, str]) -> None:
        self.item = item
        self.fields = fields
        self.prefix = f"slots.{place}"
        self.failed = False

    def read(self) -> SlotDef | None:
        name = self._text("name", limit=40)
        if not _NAME.match(name):
            self._refuse("name", "Name the slot with small letters, digits and single _, such as cta_text.")
            return None
        self.prefix = f"slots.{name}"
        for key in self.item:
            if key not in _KEYS:
                self._refuse(str(key), f"A slot has no setting {key}. Remove it.")
        label = self._text("label", limit=80) or name.replace("_", " ").capitalize()
        kind = self._kind()
        if kind is None:
            return None
        choices = self._choices(kind)
        usual, most = _LIMITS.get(kind.value, (80, 300))
        slot = SlotDef(
            name=name,
            label=label,
            kind=kind,
            default=self._text("default", limit=20_000),
            min_length=self._number("min_length", default=0, most=most),
            max_length=self._number("max_length", default=usual, most=most),
            required=self._flag("required"),
            choices=choices,
            help=self._text("help", limit=300),
        )
        if slot.min_length > slot.max_length:
            self._refuse("min_length", "The shortest length is above the longest. Lower it.")
        if slot.max_length < 1:
            self._refuse("max_length", "The longest length must be at least 1.")
        if not self.failed:
            slot = self._with_clean_default(slot)
        return None if self.failed else slot

    def _with_clean_default(self, slot: SlotDef) -> SlotDef:
        if not slot.default and slot.kind is SlotKind.CHOICE and slot.required:
            return replace(slot, default=slot.choices[0])
        try:
            clean = _clean(slot, slot.default)
            if clean:
                _measure(slot, clean)
        except _Refused as refusal:
            self._refuse("default", f"The default does not fit the slot's own rules. {refusal}")
            return slot
        return replace(slot, default=clean)

    def _refuse(self, key: str, message: str) -> None:
        self.failed = True
        self.fields[f"{self.prefix}.{key}"] = message

    def _text(self, key: str, *, limit: int) -> str:
        value = self.item.get(key, "")
        if not isinstance(value, str):
            self._refuse(key, f"{key} must be text.")
            return ""
        if len(value) > limit:
            self._refuse(key, f"{key} is {len(value)} characters; {limit} fit. Shorten it.")
        return value if key == "default" else " ".join(value.split())

    def _kind(self) -> SlotKind | None:
        value = self.item.get("kind", "text")
        try:
            return SlotKind(value)
        except ValueError:
            self._refuse("kind", f"There is no kind {value}. Use one of: {', '.join(SlotKind)}.")
            return None

    def _number(self, key: str, *, default: int, most: int) -> int:
        value: object = self.item.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self._refuse(key, f"{key} must be a whole number from 0 to {most}.")
            return default
        return value

    def _flag(self, key: str) -> bool:
        value = self.item.get(key, True)
        if not isinstance(value, bool):
            self._refuse(key, f"{key} must be true or false.")
            return True
        return value

    def _choices(self, kind: SlotKind) -> tuple[str, ...]:
        value = self.item.get("choices", ())
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._refuse("choices", "Choices must be a list of texts.")
            return ()
        choices = tuple(" ".join(item.split()) for item in value if isinstance(item, str))
        if kind is not SlotKind.CHOICE:
            if value:
                self._refuse("choices", "Only the kind choice has choices. Remove them or change the kind.")
            return ()
        if len(choices) != len(value) or not all(choices) or len(set(choices)) != len(choices):
            self._refuse("choices", "Each choice must be a text of its own, without repeats.")
        elif not 2 <= len(choices) <= 20:
            self._refuse("choices", "Give from 2 to 20 choices.")
        return choices
