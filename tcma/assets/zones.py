"""Where a partner's brand goes in an asset, and what that brand is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tcma.assets import fonts, palette
from tcma.errors import Invalid

KINDS = ("logo", "contact_block")
ALIGNS = ("left", "center", "right")
INKS = ("dark", "light", "brand")
MAX_ZONES = 50
MAX_PAGE = 200
SMALLEST = 0.01
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Zone:
    """A rectangle on one page that takes a partner's logo or contact block.

    `page` counts from 1 (a picture has one). `x`, `y`, `width` and `height` are shares of the page as one
    sees it (cropped and rotated), from its top left corner, 0 to 1. `ink` is the colour of text: dark, light,
    brand (the name in the partner's colour, darkened until it reads on white, the rest dark) or a colour such
    as `#1f4e8c`; where it is light, the logo's variant for dark grounds is used. Raises Invalid where a value
    cannot be.
    """

    page: int
    x: float
    y: float
    width: float
    height: float
    kind: str
    align: str = "left"
    ink: str = "dark"

    def __post_init__(self) -> None:
        if not _whole(self.page) or not 1 <= self.page <= MAX_PAGE:
            raise Invalid(f"A zone's page is a whole number from 1 to {MAX_PAGE}, not {_shown(self.page)}.")
        for name in ("x", "y", "width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise Invalid(f"A zone's {name} is a number from 0 to 1, not {_shown(value)}.")
        if min(self.x, self.y) < 0 or min(self.width, self.height) < SMALLEST:
            raise Invalid(
                "A zone lies on its page and is at least a hundredth of it wide and high. "
                f"This one is at {self.x:g}, {self.y:g} and {self.width:g} × {self.height:g}."
            )
        if max(self.x + self.width, self.y + self.height) > 1 + _ROUNDING:
            raise Invalid(
                f"A zone reaches to {self.x + self.width:g} across and {self.y + self.height:g} down, beyond "
                "the page, which ends at 1. Make it smaller or move it."
            )
        for name, allowed in (("kind", KINDS), ("align", ALIGNS)):
            if getattr(self, name) not in allowed:
                raise Invalid(f"A zone's {name} is {' or '.join(allowed)}, not {_shown(getattr(self, name))}.")
        if self.ink not in INKS and not (isinstance(self.ink, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", self.ink)):
            raise Invalid(f"A zone's ink is dark, light, brand or a colour such as #1f4e8c, not {_shown(self.ink)}.")

    def as_json(self) -> dict[str, Any]:
        """The zone as plain JSON, which `zones_from` reads."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BrandKit:
    """What of a partner's brand profile goes into a file. `postal_address` may have several lines.

    `logo_png` and `logo_dark_png` are those of `images.Logo`; without a logo the name is set instead.
    """

    name: str
    legal_name: str = ""
    logo_png: bytes | None = None
    color: str = "#1f4e8c"
    postal_address: str = ""
    phone: str = ""
    email: str = ""
    website: str = ""
    logo_dark_png: bytes | None = None

    def checked(self) -> BrandKit:
        """The same brand with clean texts; raises Invalid by field for signs that cannot be drawn."""
        palette.as_rgb(self.color)
        texts = {
            name: fonts.clean_text(getattr(self, name)) for name in ("name", "legal_name", "phone", "email", "website")
        }
        lines = (fonts.clean_text(line) for line in self.postal_address.splitlines())
        texts["postal_address"] = "\n".join(line for line in lines if line)
        wrong = {name: fonts.missing_signs(text.replace("\n", "")) for name, text in texts.items()}
        faults = {
            name: f"We cannot print these signs: {signs[:20]}. Use Latin, Greek or Cyrillic letters."
            for name, signs in wrong.items()
            if signs
        }
        if faults:
            raise Invalid(faults)
        if not texts["name"]:
            raise Invalid({"name": "The brand profile has no name yet. Fill it in first."})
        return BrandKit(logo_png=self.logo_png, logo_dark_png=self.logo_dark_png, color=self.color.lower(), **texts)


def zones_from(items: object, *, pages: int) -> tuple[Zone, ...]:
    """Zones from plain JSON, a list of objects; raises Invalid naming the zone at fault, counted from 1."""
    if not isinstance(items, list | tuple) or len(items) > MAX_ZONES:
        raise Invalid({"zones": f"Zones are a list of up to {MAX_ZONES} rectangles."})
    zones = []
    for number, item in enumerate(items, start=1):
        try:
            zones.append(_zone_from(item, pages=pages))
        except Invalid as error:
            raise Invalid({"zones": f"Zone {number}: {error.message}"}) from error
    return tuple(zones)


def _zone_from(item: object, *, pages: int) -> Zone:
    if not isinstance(item, Mapping):
        raise Invalid("A zone is an object with page, x, y, width, height and kind.")
    known = {field.name for field in fields(Zone)}
    unknown = sorted(str(name) for name in set(item) - known)
    absent = [name for name in ("page", "x", "y", "width", "height", "kind") if name not in item]
    if unknown or absent:
        fault = f"{', '.join(absent)} is missing" if absent else f"{', '.join(unknown)[:80]} is not known"
        raise Invalid(f"A zone has page, x, y, width, height, kind, and may have align and ink; {fault}.")
    zone = Zone(**item)
    if zone.page > pages:
        raise Invalid(f"It is on page {zone.page}, but the file has {pages}.")
    return zone


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return repr(value)[:40]
