"""The names that a template may use: who offers which fields, and where each may stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tcma.campaigns.slots import SlotDef, SlotKind

FieldName = tuple[str, str]
SEPARATOR: Final = "__"

BRAND_FIELDS: Final = (
    "name", "legal_name", "logo_url", "color", "accent_color", "on_color", "on_accent_color", "text_color",
    "postal_address", "phone", "email", "website",
)  # fmt: skip
CONTACT_FIELDS: Final = (
    "email", "first_name", "last_name", "full_name", "company", "job_title", "city", "country",
)  # fmt: skip
LAUNCH_FIELDS: Final = ("name", "vendor_name", "landing_url")
SERVICE_FIELDS: Final = ("reason", "unsubscribe_url", "privacy_url", "pixel_url")
COLOUR_FIELDS: Final = frozenset(
    ("brand", name) for name in ("color", "accent_color", "on_color", "on_accent_color", "text_color")
)


@dataclass(frozen=True)
class Dialect:
    """Which names a template may use. `roots` maps a root to its fields, or to None for any field.

    `addresses` are fields that hold a whole web address, `images` a picture's, `blocks` those whose value has
    line breaks or tags and so may stand only where text stands, `rich` those that may hold links. `labels`
    say in words what a field shows. `is_ours` marks templates that we wrote out of an author's.
    """

    roots: Mapping[str, frozenset[str] | None]
    addresses: frozenset[FieldName] = frozenset()
    images: frozenset[FieldName] = frozenset()
    blocks: frozenset[FieldName] = frozenset()
    rich: frozenset[FieldName] = frozenset()
    labels: Mapping[FieldName, str] = field(default_factory=dict)
    is_ours: bool = False

    def is_address(self, name: FieldName) -> bool:
        """Whether the field's value is a whole web address."""
        if self.roots.get(name[0]) is None and name[0] in self.roots:
            return name[1].endswith("url")
        return name in self.addresses


def campaign_dialect(slots: Iterable[SlotDef]) -> Dialect:
    """The names that a campaign with these slots may use."""
    known = tuple(slots)
    links = {("slot", slot.name) for slot in known if slot.kind is SlotKind.LINK}
    return Dialect(
        roots={
            "slot": frozenset(slot.name for slot in known),
            "brand": frozenset(BRAND_FIELDS),
            "contact": frozenset(CONTACT_FIELDS),
            "launch": frozenset(LAUNCH_FIELDS),
        },
        addresses=frozenset(links | {("brand", "website"), ("launch", "landing_url")}),
        images=frozenset({("brand", "logo_url"), *links}),
        blocks=frozenset(("slot", slot.name) for slot in known if slot.kind in (SlotKind.RICH, SlotKind.PARAGRAPH)),
        rich=frozenset(("slot", slot.name) for slot in known if slot.kind is SlotKind.RICH),
        labels={("slot", slot.name): slot.default or slot.label for slot in known},
    )


def sending_dialect(dialect: Dialect, *, links: int = 0) -> Dialect:
    """The names that templates of ours may use: an author's, and what the service adds to each mail."""
    added = {
        "link": frozenset(f"l{number}" for number in range(1, links + 1)),
        "service": frozenset(SERVICE_FIELDS),
    }
    return replace(dialect, roots={**added, **dialect.roots}, is_ours=True)


def flat(root: str, name: str) -> str:
    """The key under which a program looks for `root.name`."""
    return f"{root}{SEPARATOR}{name}"


def values_for(root: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one root under the keys that a program looks for."""
    return {flat(root, name): value for name, value in fields.items()}
