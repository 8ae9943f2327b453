"""Colours of a picture: which are its own, and which would be lost on a ground."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from PIL import Image

from tcma.errors import Invalid

RGB = tuple[int, int, int]

DARK_GROUND = "#111827"
DARK_PLATE = "#1f2937"
# Marks need 3 to 1 to read well (WCAG 2.2, 1.4.11); below 1.6 to 1 one hardly sees that they are there.
_LOST_CONTRAST = 1.6
_SAMPLE = 96
_WHITISH = 235  # no use as a brand's colour: buttons and headings in it would vanish


def as_rgb(color: str) -> RGB:
    """`#1f4e8c` as three numbers from 0 to 255; raises Invalid for anything else."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise Invalid(f"{color[:20]!r} is not a colour. Write it as # and six digits, such as #1f4e8c.")
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def as_hex(color: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def luminance(color: str | RGB) -> float:
    """Relative luminance from 0 (black) to 1 (white), by WCAG 2.2."""
    channels = (value / 255 for value in (as_rgb(color) if isinstance(color, str) else color))
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str | RGB, other: str | RGB) -> float:
    """Contrast ratio from 1 to 21, by WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(color: str, *, on: str = "#ffffff", ratio: float = 4.5) -> str:
    """`color`, moved towards black or white only as far as text in it needs to be read on the ground `on`."""
    goal = 0 if luminance(on) > 0.18 else 255
    for step in range(21):
        red, green, blue = (round(value + (goal - value) * step / 20) for value in as_rgb(color))
        if contrast((red, green, blue), on) >= ratio:
            return as_hex((red, green, blue))
    return as_hex((goal, goal, goal))


def border_color(image: Image.Image) -> RGB:
    """The colour that most of an RGB picture's outermost pixels have."""
    width, height = image.size
    edges = (
        (0, 0, width, 1),
        (0, height - 1, width, height),
        (0, 0, 1, height),
        (width - 1, 0, width, height),
    )
    counted: Counter[RGB] = Counter()
    for box in edges:
        counted.update((red, green, blue) for red, green, blue, _ in _pixels(image.crop(box)))
    # Ties go to the smaller value, so that the answer never depends on order.
    return min(counted, key=lambda color: (-counted[color], color))


def vanishes(image: Image.Image, ground: str) -> bool:
    """Whether a part of an RGBA logo that matters would hardly be seen on `ground`.

    That is most of its pixels, or whole columns or rows of it: a dark name beside a bright mark is a small share
    of the pixels but all there is in its columns, while white letters inside a coloured badge do no harm on white.
    """
    small = _small(image)
    base = luminance(ground) + 0.05
    seen: Counter[tuple[str, int]] = Counter()
    lost: Counter[tuple[str, int]] = Counter()
    for place, (red, green, blue, alpha) in enumerate(_pixels(small)):
        if alpha < 128:
            continue
        lines = (("all", 0), ("column", place % small.width), ("row", place // small.width))
        seen.update(lines)
        value = luminance((red, green, blue)) + 0.05
        if max(value, base) / min(value, base) < _LOST_CONTRAST:
            lost.update(lines)
    gone = Counter(way for way, at in seen if lost[way, at] >= 0.9 * seen[way, at])
    ways = Counter(way for way, at in seen)
    return lost["all", 0] > 0.6 * seen["all", 0] or any(gone[way] > 0.12 * ways[way] for way in ("column", "row"))


def suggested(image: Image.Image, ground: str | None, *, most: int = 3) -> list[str]:
    """Up to `most` colours of an RGBA logo, the most present first, none alike, vivid ones before greys.

    `ground` is left out, for it is the paper and not the brand.
    """
    paper = as_rgb(ground) if ground else None
    buckets: dict[RGB, list[RGB]] = {}
    for red, green, blue, alpha in _pixels(_small(image)):
        if min(red, green, blue) > _WHITISH or alpha < 200:
            continue
        if paper is None or _distance((red, green, blue), paper) > 40:
            buckets.setdefault((red >> 4, green >> 4, blue >> 4), []).append((red, green, blue))
    ranked = sorted(buckets.items(), key=lambda item: (-len(item[1]), item[0]))
    means = [_mean(colors) for _, colors in ranked if len(colors) >= len(ranked[0][1]) * 0.04]
    vivid = [color for color in means if max(color) - min(color) >= 40]
    chosen: list[RGB] = []
    for color in vivid + [color for color in means if color not in vivid]:
        if len(chosen) < most and all(_distance(color, other) > 70 for other in chosen):
            chosen.append(color)
    return [as_hex(color) for color in chosen]


def _mean(colors: list[RGB]) -> RGB:
    red, green, blue = (round(sum(values) / len(colors)) for values in zip(*colors, strict=True))
    return red, green, blue


def _distance(one: RGB, other: RGB) -> float:
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((_SAMPLE, _SAMPLE), Image.Resampling.BOX)
    return small


def _pixels(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    flow = iter(image.convert("RGBA").tobytes())
    return zip(flow, flow, flow, flow, strict=True)
