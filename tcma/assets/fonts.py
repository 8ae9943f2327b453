"""The typeface of everything that we set ourselves: Source Sans Pro, under the SIL Open Font License 1.1.

It comes with the package `font-source-sans-pro`; it has Latin with its extensions, Greek and Cyrillic.
The fonts that reportlab and Pillow bring along lack most letters of Polish, Czech, Hungarian and Romanian.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

from PIL import ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont, TTFontFile

PictureFont = ImageFont.FreeTypeFont

# Part of every cache key of set text: another typeface means another file.
TYPEFACE = "source-sans-pro-0.0.1"
_FILES = {False: "SourceSansPro-Regular.ttf", True: "SourceSansPro-Semibold.ttf"}
_NAMES = {False: "SourceSans", True: "SourceSans-Semibold"}


@cache
def font_file(*, bold: bool = False) -> Path:
    """The TrueType file of the regular or the semibold cut."""
    return Path(str(files("font_source_sans_pro") / "files" / _FILES[bold]))


@cache
def pdf_font(*, bold: bool = False) -> str:
    """The name by which reportlab sets and embeds this cut."""
    pdfmetrics.registerFont(TTFont(_NAMES[bold], str(font_file(bold=bold))))
    return _NAMES[bold]


@cache
def picture_font(size: int, *, bold: bool = False) -> PictureFont:
    """This cut for Pillow at `size` pixels; the plain layout engine sets alike on every machine."""
    return ImageFont.truetype(str(font_file(bold=bold)), size, layout_engine=ImageFont.Layout.BASIC)


def clean_text(text: str) -> str:
    """Composed letters (Unicode NFC) without control characters; runs of blanks become one."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(" " if sign.isspace() else sign for sign in composed)
    return " ".join("".join(sign for sign in visible if unicodedata.category(sign)[0] != "C").split())


def missing_signs(text: str) -> str:
    """The signs of clean text that the typeface cannot draw, each once, in their order."""
    return "".join(dict.fromkeys(sign for sign in text if ord(sign) not in _known_signs()))


@cache
def _known_signs() -> frozenset[int]:
    both = [frozenset(TTFontFile(str(font_file(bold=bold))).charToGlyph) for bold in (False, True)]
    return both[0] & both[1]
