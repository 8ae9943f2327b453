"""Sample files made in code, the same bytes each time: for the demo, for trying out, and for tests."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from tcma.assets import fonts
from tcma.assets.images import encoded
from tcma.assets.palette import RGB, as_rgb
from tcma.assets.sample_documents import (
    SAMPLE_DATASHEET_ZONES,
    InvoiceLine,
    sample_datasheet,
    sample_invoice,
)
from tcma.assets.textfit import Line, Sizes, fit
from tcma.assets.zones import Zone

__all__ = [
    "SAMPLE_BANNER_ZONES",
    "SAMPLE_DATASHEET_ZONES",
    "InvoiceLine",
    "sample_banner",
    "sample_datasheet",
    "sample_invoice",
    "sample_logo",
]

_SMOOTH = 4  # drawn this much larger and shrunk, for even edges
_INK = (31, 41, 55)
_BANNER = (1200, 628)
_PANEL = (60, 462, 1140, 578)

SAMPLE_BANNER_ZONES = (
    Zone(1, 0.07, 0.765, 0.24, 0.125, "logo", "left", "dark"),
    Zone(1, 0.36, 0.755, 0.57, 0.145, "contact_block", "right", "dark"),
)


def sample_logo(name: str, color: str, *, seed: int) -> bytes:
    """A PNG on a clear ground: a geometric mark in shades of `color`, by `seed`, and the name beside it."""
    side = 200 * _SMOOTH
    chance = random.Random(seed)  # noqa: S311 - a choice of shapes, not a secret
    font = fonts.picture_font(104 * _SMOOTH, bold=True)
    gap, edge = 40 * _SMOOTH, 10 * _SMOOTH
    width = side + gap + math.ceil(font.getlength(name)) + 2 * edge
    sheet = Image.new("RGBA", (width, side + 2 * edge), (*_INK, 0))
    mark = Image.new("RGBA", (side, side), (*as_rgb(color), 0))
    _MARKS[seed % len(_MARKS)](mark, as_rgb(color), chance)
    sheet.alpha_composite(mark, (edge, edge))
    draw = ImageDraw.Draw(sheet)
    baseline = edge + side // 2 + 35 * _SMOOTH  # half a capital's height below the middle
    draw.text((edge + side + gap, baseline), name, font=font, fill=(*_INK, 255), anchor="ls")
    size = (sheet.width // _SMOOTH, sheet.height // _SMOOTH)
    return encoded(sheet.resize(size, Image.Resampling.LANCZOS), "png")


def sample_banner(title: str, color: str) -> bytes:
    """A PNG of 1200 × 628 pixels for social posts, with an empty white panel under SAMPLE_BANNER_ZONES."""
    picture = _diagonal(_BANNER, _mixed(as_rgb(color), (8, 12, 24), 0.45), as_rgb(color))
    picture = _decorated(picture)
    draw = ImageDraw.Draw(picture)
    draw.text((64, 96), "NEW THIS QUARTER", font=fonts.picture_font(26, bold=True), fill="#ffffff", anchor="ls")
    draw.rectangle((64, 112, 136, 117), fill="#ffffff")

    def measure(text: str, bold: bool, size: float) -> float:
        return fonts.picture_font(int(size), bold=bold).getlength(text)

    sizes = Sizes(76, 76, 40)
    fitted = fit([[Line(title, bold=True)]], width=760, height=230, sizes=sizes, measure=measure)
    top = 140.0
    for line in fitted.lines if fitted else ():
        font = fonts.picture_font(int(fitted.size) if fitted else 40, bold=True)
        draw.text((62, top), line.text, font=font, fill="#ffffff", anchor="la")
        top += font.size * 1.12
    below = min(top + 26, 396)
    draw.text(
        (64, below),
        "Talk to your local specialist.",
        font=fonts.picture_font(32),
        fill="#ffffff",
        anchor="la",
    )
    return encoded(picture, "png")


def _mixed(one: RGB, other: RGB, share: float) -> RGB:
    """`one` with a `share` (0 to 1) of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _diagonal(size: tuple[int, int], first: RGB, last: RGB) -> Image.Image:
    """A ground that runs from `first` at the top left to `last` at the bottom right."""
    across = Image.linear_gradient("L").rotate(90).resize(size)
    down = Image.linear_gradient("L").resize(size)
    ramp = Image.blend(across, down, 0.4)
    return Image.composite(Image.new("RGB", size, last), Image.new("RGB", size, first), ramp)


def _decorated(picture: Image.Image) -> Image.Image:
    """With pale rings and discs off the right edge, for depth, and the white panel for the partner."""
    large = Image.new("RGBA", (picture.width * 2, picture.height * 2), (255, 255, 255, 0))
    draw = ImageDraw.Draw(large)
    middle = (large.width * 0.9, large.height * 0.24)
    for radius, strength, width in ((620, 26, 3), (470, 36, 3), (330, 46, 3), (205, 38, 0), (110, 60, 0)):
        box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
        tone = (255, 255, 255, strength)
        ring = Image.new("RGBA", large.size, (255, 255, 255, 0))
        if width:
            ImageDraw.Draw(ring).ellipse(box, outline=(255, 255, 255, strength * 2), width=width)
        else:
            ImageDraw.Draw(ring).ellipse(box, fill=tone)
        large.alpha_composite(ring)
    for step in range(9):
        angle = math.radians(150 + step * 17)
        spot = (middle[0] + 470 * math.cos(angle), middle[1] - 470 * math.sin(angle))
        draw.ellipse((spot[0] - 9, spot[1] - 9, spot[0] + 9, spot[1] + 9), fill=(255, 255, 255, 170))
    draw.rounded_rectangle([2 * place for place in _PANEL], 36, fill="#ffffff")
    small = large.resize(picture.size, Image.Resampling.LANCZOS)
    return Image.alpha_composite(picture.convert("RGBA"), small).convert("RGB")


def _hexagon(mark: Image.Image, color: RGB, chance: random.Random) -> None:
    draw, half = ImageDraw.Draw(mark), mark.width / 2
    turns = [math.radians(60 * corner - 90) for corner in range(6)]
    corners = [(half + half * 0.98 * math.cos(turn), half + half * 0.98 * math.sin(turn)) for turn in turns]
    for face, share in ((0, 0.0), (2, 0.32), (4, -0.4)):
        tone = _mixed(color, (255, 255, 255), share) if share >= 0 else _mixed(color, (0, 0, 0), -share)
        points = [corners[face], corners[(face + 1) % 6], corners[(face + 2) % 6], (half, half)]
        draw.polygon(points, fill=(*tone, 255))


def _bars(mark: Image.Image, color: RGB, chance: random.Random) -> None:
    draw, side = ImageDraw.Draw(mark), mark.width
    heights = [*sorted(chance.sample((0.38, 0.5, 0.62, 0.76), 2)), 1.0]
    for place, height in enumerate(heights):
        left = side * (0.04 + place * 0.335)
        tone = _mixed(color, (255, 255, 255), 0.5 - place * 0.25)
        box = (left, side * (1 - height * 0.96), left + side * 0.26, side * 0.98)
        draw.rounded_rectangle(box, side * 0.06, fill=(*tone, 255))


def _orbit(mark: Image.Image, color: RGB, chance: random.Random) -> None:
    draw, side = ImageDraw.Draw(mark), mark.width
    width = round(side * 0.13)
    draw.arc((side * 0.03, side * 0.03, side * 0.97, side * 0.97), 25, 315, fill=(*color, 255), width=width)
    light = _mixed(color, (255, 255, 255), 0.45)
    draw.ellipse((side * 0.34, side * 0.34, side * 0.66, side * 0.66), fill=(*light, 255))
    angle = math.radians(350)
    spot = (side / 2 + side * 0.41 * math.cos(angle), side / 2 + side * 0.41 * math.sin(angle))
    reach = side * 0.085
    draw.ellipse((spot[0] - reach, spot[1] - reach, spot[0] + reach, spot[1] + reach), fill=(*color, 255))


def _peaks(mark: Image.Image, color: RGB, chance: random.Random) -> None:
    draw, side = ImageDraw.Draw(mark), mark.width
    light = _mixed(color, (255, 255, 255), 0.42)
    draw.polygon([(side * 0.34, side * 0.9), (side * 0.68, side * 0.22), (side, side * 0.9)], fill=(*light, 255))
    draw.polygon([(0, side * 0.9), (side * 0.4, side * 0.1), (side * 0.8, side * 0.9)], fill=(*color, 255))


def _links(mark: Image.Image, color: RGB, chance: random.Random) -> None:
    side = mark.width
    radius, width = side * 0.3, round(side * 0.11)
    for middle, tone in ((0.33, color), (0.67, _mixed(color, (0, 0, 0), 0.35))):
        layer = Image.new("RGBA", mark.size, (*tone, 0))
        box = (side * middle - radius, side / 2 - radius, side * middle + radius, side / 2 + radius)
        ImageDraw.Draw(layer).ellipse(box, outline=(*tone, 255), width=width)
        mark.alpha_composite(layer)


def _leaf(mark: Image.Image, color: RGB, chance: random.Random) -> None:
    side = mark.width
    discs = []
    for middle in ((0.17, 0.83), (0.83, 0.17)):
        disc, reach = Image.new("L", mark.size), side * 0.72
        x, y = side * middle[0], side * middle[1]
        ImageDraw.Draw(disc).ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
        discs.append(disc)
    both = Image.composite(discs[0], Image.new("L", mark.size), discs[1])
    mark.paste((*color, 255), mask=both)
    light = _mixed(color, (255, 255, 255), 0.75)
    draw = ImageDraw.Draw(mark)
    draw.line(
        [(side * 0.18, side * 0.18), (side * 0.82, side * 0.82)],
        fill=(*light, 255),
        width=round(side * 0.035),
    )


_MARKS: tuple[Callable[[Image.Image, RGB, random.Random], None], ...] = (
    _hexagon,
    _bars,
    _orbit,
    _peaks,
    _links,
    _leaf,
)
