"""What a mail is filled with apart from its slots: the partner's brand, and the launch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tcma.campaigns.addresses import WEB, BadAddress, normal_address
from tcma.campaigns.vocabulary import BRAND_FIELDS, LAUNCH_FIELDS
from tcma.errors import Invalid

DEFAULT_COLOUR: Final = "#1f3a5f"
DEFAULT_ACCENT: Final = "#c2410c"
PREVIEW_URL: Final = "https://preview.invalid/"

_HEX: Final = re.compile(r"^#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]+")


def strict_brand(given: Mapping[str, str | None]) -> dict[str, str]:
    """The brand's fields for sending; raises Invalid (`brand.…`) where a mail would be unlawful or broken."""
    fields: dict[str, str] = {}
    brand = _brand_lines(given)
    for name, what in (("legal_name", "legal name"), ("postal_address", "postal address")):
        if not brand[name]:
            fields[f"brand.{name}"] = f"The brand profile has no {what}. The law wants it in every mail."
    for name in ("color", "accent_color"):
        if brand[name] and not _HEX.match(brand[name]):
            fields[f"brand.{name}"] = f"{brand[name][:20]} is not a colour. Write it like #1a2b3c."
    for name in ("logo_url", "website"):
        try:
            brand[name] = normal_address(brand[name], schemes=WEB) if brand[name] else ""
        except BadAddress as error:
            fields[f"brand.{name}"] = str(error)
    if fields:
        raise Invalid(fields)
    return _with_colours(brand)


def lenient_brand(given: Mapping[str, str | None]) -> dict[str, str]:
    """The brand's fields for a preview: what is missing shows in brackets, what is wrong is left out."""
    brand = _brand_lines(given)
    brand["name"] = brand["name"] or "[Your company]"
    brand["legal_name"] = brand["legal_name"] or "[Legal name]"
    brand["postal_address"] = brand["postal_address"] or "[Postal address]"
    for name in ("color", "accent_color"):
        if not _HEX.match(brand[name]):
            brand[name] = ""
    for name in ("logo_url", "website"):
        try:
            brand[name] = normal_address(brand[name], schemes=WEB) if brand[name] else ""
        except BadAddress:
            brand[name] = ""
    return _with_colours(brand)


def _brand_lines(given: Mapping[str, str | None]) -> dict[str, str]:
    """The brand's fields, each on one line; the lines of an address are joined with commas."""
    lines = {}
    for name in BRAND_FIELDS:
        value = given.get(name)
        if isinstance(value, str):
            value = ", ".join(part.strip(" ,") for part in value.splitlines() if part.strip(" ,"))
        lines[name] = one_line(value)
    lines["name"] = lines["name"] or lines["legal_name"]
    return lines


def _with_colours(brand: dict[str, str]) -> dict[str, str]:
    brand["color"] = brand["color"] or DEFAULT_COLOUR
    brand["accent_color"] = brand["accent_color"] or DEFAULT_ACCENT
    brand["on_color"] = readable_on(brand["color"])
    brand["on_accent_color"] = readable_on(brand["accent_color"])
    # On white paper a pale brand colour cannot be read: text then is nearly black.
    brand["text_color"] = brand["color"] if _luminance(brand["color"]) <= 0.183 else "#1a2230"
    return brand


def strict_launch(given: Mapping[str, str | None]) -> dict[str, str]:
    """The launch's fields for sending; raises Invalid (`launch.landing_url`)."""
    launch = {name: one_line(given.get(name)) for name in LAUNCH_FIELDS}
    if launch["landing_url"]:
        try:
            launch["landing_url"] = normal_address(launch["landing_url"], schemes=WEB)
        except BadAddress as error:
            raise Invalid({"launch.landing_url": str(error)}) from None
    return launch


def lenient_launch(given: Mapping[str, str | None]) -> dict[str, str]:
    """The launch's fields for a preview."""
    launch = {name: one_line(given.get(name)) for name in LAUNCH_FIELDS}
    launch["vendor_name"] = launch["vendor_name"] or "[Vendor]"
    try:
        launch["landing_url"] = normal_address(launch["landing_url"], schemes=WEB)
    except BadAddress:
        launch["landing_url"] = PREVIEW_URL + "landing"
    return launch


def readable_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour (WCAG 2.2, contrast ratio)."""
    light = _luminance(colour)
    return "#ffffff" if 1.05 / (light + 0.05) >= (light + 0.05) / 0.055 else "#111111"


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(char * 2 for char in digits)
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def one_line(value: object, *, limit: int = 2000) -> str:
    """A value as one line of plain characters. A subclass of str (such as Markup) loses what it adds."""
    if value is None:
        return ""
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"A mail is filled with text only, not with {type(value).__name__}.")
        return str(value)
    text = str.__str__(value)
    if not text.isprintable():
        text = _UNSEEN.sub(" ", text)
    return text[:limit].strip()


def seen(text: str) -> str:
    """Text without control characters and the like, on one line with single spaces."""
    return " ".join((text if text.isprintable() else _UNSEEN.sub(" ", text)).split())
