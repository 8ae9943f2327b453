"""Drawing a partner's brand into one zone, alike on a page of a PDF and on a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from tcma.assets import palette
from tcma.assets.images import MAX_PIXELS
from tcma.assets.textfit import BASELINE, LEADING, SEPARATOR, Fitted, Line, Sizes, fit
from tcma.assets.zones import BrandKit, Zone
from tcma.errors import Invalid

DARK_INK = "#111827"
LIGHT_INK = "#ffffff"


class Surface(Protocol):
    """A rectangle to draw on: the zone itself. Places are from its top left, in the surface's own unit."""

    width: float
    height: float
    unit: float  # a point on a page of usual size; font sizes are multiples of it

    def measure(self, text: str, bold: bool, size: float) -> float: ...

    def text(self, text: str, *, x: float, baseline: float, bold: bool, size: float, color: str) -> None: ...

    def image(self, image: Image.Image, *, x: float, y: float, width: float, height: float) -> None: ...


def draw_zone(surface: Surface, zone: Zone, brand: BrandKit) -> None:
    """Put the logo or the contact block into the zone; raises Invalid where the text cannot fit legibly."""
    if zone.kind == "contact_block":
        _draw_lines(surface, zone, brand, contact_forms(brand), _contact_sizes(surface))
        return
    logo = _logo(brand, light=zone.ink == "light" or _is_light(zone.ink))
    if logo is None:
        tall = Sizes(surface.height * 0.6, surface.unit * 8, surface.unit * 5)
        _draw_lines(surface, zone, brand, [[Line(brand.name, bold=True)]], tall)
        return
    scale = min(surface.width / logo.width, surface.height / logo.height)
    width, height = logo.width * scale, logo.height * scale
    x = _aligned(zone.align, surface.width - width)
    surface.image(logo, x=x, y=(surface.height - height) / 2, width=width, height=height)


def contact_forms(brand: BrandKit) -> list[list[Line]]:
    """The contact block in a roomy form, a line a fact, and in two compact ones for flat zones."""
    head = [Line(brand.name, bold=True, scale=1.2)]
    legal = brand.legal_name if brand.legal_name.casefold() != brand.name.casefold() else ""
    address = brand.postal_address.split("\n") if brand.postal_address else []
    reach = [fact for fact in (brand.phone, brand.email, brand.website) if fact]
    postal = ", ".join(address)

    def lines(*facts: str) -> list[Line]:
        return [Line(fact) for fact in facts if fact]

    return [
        head + lines(legal, *address, *reach),
        head + lines(legal, postal, SEPARATOR.join(reach)),
        head + lines(SEPARATOR.join(fact for fact in (legal, postal) if fact), SEPARATOR.join(reach)),
    ]


def _contact_sizes(surface: Surface) -> Sizes:
    return Sizes(surface.unit * 10.5, surface.unit * 7.5, surface.unit * 5)


def _draw_lines(surface: Surface, zone: Zone, brand: BrandKit, forms: Sequence[Sequence[Line]], sizes: Sizes) -> None:
    fitted = fit(forms, width=surface.width, height=surface.height, sizes=sizes, measure=surface.measure)
    if fitted is None:
        what = "contact block" if zone.kind == "contact_block" else "name"
        raise Invalid(
            f"The {what} of {brand.name} does not fit legibly into its zone on page {zone.page}. Shorten the "
            "address, or ask the vendor for a larger zone."
        )
    _draw_fitted(surface, zone, brand, fitted)


def _draw_fitted(surface: Surface, zone: Zone, brand: BrandKit, fitted: Fitted) -> None:
    ink = {"dark": DARK_INK, "light": LIGHT_INK, "brand": DARK_INK}.get(zone.ink, zone.ink)
    name_ink = palette.readable(brand.color) if zone.ink == "brand" else ink
    top = (surface.height - fitted.height) / 2
    for line in fitted.lines:
        size = fitted.size * line.scale
        x = _aligned(zone.align, surface.width - surface.measure(line.text, line.bold, size))
        baseline = top + size * BASELINE
        color = name_ink if line.bold else ink
        surface.text(line.text, x=x, baseline=baseline, bold=line.bold, size=size, color=color)
        top += size * LEADING


def _aligned(align: str, room: float) -> float:
    return {"left": 0.0, "center": room / 2, "right": room}[align]


def _is_light(ink: str) -> bool:
    return ink.startswith("#") and palette.luminance(ink) > 0.5


def _logo(brand: BrandKit, *, light: bool) -> Image.Image | None:
    data = (brand.logo_dark_png if light else None) or brand.logo_png
    if data is None:
        return None
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return image.convert("RGBA")
