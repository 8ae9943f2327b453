"""What a file really is, by its bytes. The name and the type that a browser declares are never trusted.

Only whole PDF, PNG and JPEG files pass; everything else is named in the refusal, with the way to mend it.
Nothing is decoded here: headers are walked in bounded time, so this may run in the request itself.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from enum import StrEnum

import puremagic

from tcma.errors import Invalid


class Kind(StrEnum):
    """The kinds of file that are taken."""

    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"

    @property
    def media_type(self) -> str:
        return "application/pdf" if self is Kind.PDF else f"image/{self}"

    @property
    def suffix(self) -> str:
        return ".jpg" if self is Kind.JPEG else f".{self}"

    @property
    def label(self) -> str:
        return self.upper()


PICTURES = frozenset({Kind.PNG, Kind.JPEG})
MEGABYTE = 1024 * 1024
MAX_BYTES = {Kind.PDF: 50 * MEGABYTE, Kind.PNG: 20 * MEGABYTE, Kind.JPEG: 20 * MEGABYTE}

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = re.compile(rb"[A-Za-z]{4}")
# Baseline, extended and progressive Huffman (ITU-T T.81 table B.1); few programs read the others.
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Long enough that chance does not make them in compressed data: not one 20 MB file in a million.
_ACTIVE = re.compile(rb"<script[\s>]|<\?php\s|<!doctype html|<iframe[\s>]", re.IGNORECASE)

# What else people upload: how it begins, what we call it, and which of the mends below fits.
_STRANGERS: tuple[tuple[bytes, str, str], ...] = (
    (b"GIF8", "a GIF", "picture"),
    (b"BM", "a BMP", "picture"),
    (b"II*\0", "a TIFF", "picture"),
    (b"MM\0*", "a TIFF", "picture"),
    (b"8BPS", "a Photoshop file", "picture"),
    (b"%!PS", "an EPS file", "picture"),
    (b"\0\0\1\0", "an icon file", "picture"),
    (b"{\\rtf", "a rich text document", "document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "document"),
    (b"\x1f\x8b", "a packed archive", "archive"),
    (b"Rar!", "a packed archive", "archive"),
    (b"7z\xbc\xaf", "a packed archive", "archive"),
    (b"MZ", "a program", "other"),
    (b"\x7fELF", "a program", "other"),
    (b"\x1aE\xdf\xa3", "a video", "other"),
)
_ZIPPED: tuple[tuple[bytes, str, str], ...] = (
    (b"word/document.xml", "a Word document", "document"),
    (b"ppt/presentation.xml", "a PowerPoint deck", "document"),
    (b"xl/workbook.xml", "an Excel workbook", "document"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file", "document"),
)


def sniff(data: bytes, *, accept: Collection[Kind] = tuple(Kind)) -> Kind:
    """The kind of a whole, unmixed file, one of `accept`.

    Raises Invalid for an empty, too large, cut-off, foreign or double-natured file (a picture that is a web
    page or an archive as well), saying what it is and how to mend it.
    """
    if not data:
        raise Invalid("This file is empty. Choose the file again, or save it anew first.")
    kind = _kind(data)
    if kind is None:
        raise Invalid(_refusal(*_stranger(data), accept=accept))
    if kind not in accept:
        mend = "picture" if PICTURES & set(accept) else "document"
        raise Invalid(_refusal(f"a {kind.label}", mend, accept=accept))
    if len(data) > MAX_BYTES[kind]:
        limit = MAX_BYTES[kind] // MEGABYTE
        mend = "Export it with smaller pictures" if kind is Kind.PDF else "Save it with fewer pixels"
        raise Invalid(
            f"This {kind.label} is {len(data) / MEGABYTE:.1f} MB. The limit is {limit} MB. {mend}, and upload that."
        )
    if kind is Kind.PDF:
        _check_pdf(data)
    else:
        image_size(data, kind)
    _check_single(data, kind)
    return kind


def image_size(data: bytes, kind: Kind) -> tuple[int, int]:
    """Width and height in pixels as the header declares them, before anything is decoded.

    Raises Invalid for a picture that is cut off, animated, or not of this `kind` after all.
    """
    return _png_size(data) if kind is Kind.PNG else _jpeg_size(data)


def _kind(data: bytes) -> Kind | None:
    if data.startswith(_PNG):
        return Kind.PNG
    if data.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    # Readers of PDF look for its header in the first 1024 bytes (ISO 32000-1, annex H.3.4.1).
    return Kind.PDF if b"%PDF-" in data[:1024] else None


def _check_pdf(data: bytes) -> None:
    if not re.match(rb"(\xef\xbb\xbf)?\s{0,8}%PDF-[12]\.", data):
        raise Invalid("This PDF has something else before its beginning. Export it as PDF again, and upload that.")
    if b"%%EOF" not in data[-8192:].rstrip(b"\0\r\n\t ")[-2048:]:
        raise Invalid("This PDF is cut off: its end is missing. Download or export it again, and upload that.")


def _png_size(data: bytes) -> tuple[int, int]:
    """Walk the chunks (PNG, third edition, §5.3) from IHDR to IEND, which must be the end of the file."""
    if not data.startswith(_PNG + b"\0\0\0\rIHDR") or len(data) < 33:
        raise _cut_off(Kind.PNG)
    width, height = struct.unpack_from(">II", data, 16)
    place = 8
    while True:
        if place + 12 > len(data):
            raise _cut_off(Kind.PNG)
        (length,) = struct.unpack_from(">I", data, place)
        name = data[place + 4 : place + 8]
        place += 12 + length
        second_header = name == b"IHDR" and place > 33
        if place > len(data) or second_header or not _PNG_CHUNK.fullmatch(name):
            raise _cut_off(Kind.PNG)
        if name == b"acTL":
            raise Invalid("This PNG is animated. Save one frame of it as PNG, and upload that.")
        if name == b"IEND":
            break
    if data[place:].strip(b"\0\r\n\t "):
        raise _double(Kind.PNG)
    return _positive(width, height, Kind.PNG)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments (ITU-T T.81 §B.1.1) to the frame and scan headers; an end must follow them."""
    size: tuple[int, int] | None = None
    place = 2
    while True:
        while data[place : place + 2] == b"\xff\xff":
            place += 1  # fill bytes
        if place + 4 > len(data) or data[place] != 0xFF:
            raise _cut_off(Kind.JPEG)
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker in _JPEG_OTHER_FRAMES:
            raise Invalid("This JPEG uses a rare compression. Save it again as PNG, and upload that.")
        if marker in _JPEG_FRAMES and place + 9 <= len(data):
            if size is not None:
                raise _cut_off(Kind.JPEG)
            size = (
                int.from_bytes(data[place + 7 : place + 9], "big"),
                int.from_bytes(data[place + 5 : place + 7], "big"),
            )
        place += 2 + length
        if length < 2 or place > len(data):
            raise _cut_off(Kind.JPEG)
        if marker == 0xDA:
            break
    if size is None or data.rfind(b"\xff\xd9", place) < 0:
        raise _cut_off(Kind.JPEG)
    return _positive(*size, Kind.JPEG)


def _positive(width: int, height: int, kind: Kind) -> tuple[int, int]:
    if not width or not height:
        raise _cut_off(kind)
    return width, height


def _check_single(data: bytes, kind: Kind) -> None:
    """Refuse a file that another program would read as something else: an archive, a web page, a script."""
    active = _ACTIVE.search(data, 0, 1024 if kind is Kind.PDF else len(data))
    if active or _ends_as_zip(data) or (kind is not Kind.PDF and b"%PDF-" in data[:1024]):
        raise _double(kind)


def _ends_as_zip(data: bytes) -> bool:
    """Whether a zip archive's directory stands near the end, where unpackers look (APPNOTE 4.3.16)."""
    place = data.rfind(b"PK\5\6", max(0, len(data) - 65_557))
    if place < 0 or place + 22 > len(data):
        return False
    entries, length = struct.unpack_from("<HI", data, place + 10)
    return bool(entries) and place >= length and data.startswith(b"PK\1\2", place - length)


def _stranger(data: bytes) -> tuple[str, str]:
    """What to call a file that is none of ours, and the kind of mend that fits it."""
    if data.startswith(b"PK\3\4") or data.startswith(b"PK\5\6"):
        for mark, label, mend in _ZIPPED:
            if mark in data:
                return label, mend
        return "a zip archive", "archive"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP", "picture"
    if data[4:8] == b"ftyp":
        still = data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
        return ("a HEIC or AVIF photo", "picture") if still else ("a video", "other")
    for mark, label, mend in _STRANGERS:
        if data.startswith(mark):
            return label, mend
    return _text(data) or (_named_by_signature(data), "other")


def _text(data: bytes) -> tuple[str, str] | None:
    head = data[:4096]
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    text = text.lstrip("\ufeff \t\r\n").lower()
    if text.startswith("<"):
        if "<svg" in text:
            return "an SVG", "picture"
        if re.search(r"<!doctype html|<html|<script|<body", text):
            return "a web page", "document"
        return "an XML file", "other"
    if text and all(sign.isprintable() or sign in "\r\n\t" for sign in text.removesuffix("\ufffd")):
        return "a text file", "document"
    return None


def _named_by_signature(data: bytes) -> str:
    """The name that a large table of signatures gives, where it is sure; else no name at all."""
    try:
        best = puremagic.magic_string(data)[0]
    except (puremagic.PureError, ValueError):
        return ""
    return f"a {best.extension.lstrip('.').upper()} file" if best.confidence >= 0.8 and best.extension else ""


def _refusal(label: str, mend: str, *, accept: Collection[Kind]) -> str:
    kinds = [kind.label for kind in Kind if kind in accept]
    wanted = " or ".join([", ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 1 else kinds)
    what = f"This is {label}." if label else f"This is not a {wanted} file, or it is damaged."
    if mend == "picture" and PICTURES & set(accept):
        picture = "PNG" if Kind.PNG in accept else "JPEG"
        return f"{what} Save it as {picture}, at least 600 pixels wide, and upload that."
    if mend in ("document", "picture") and Kind.PDF in accept:
        return f"{what} Export it as PDF and upload that."
    if mend == "archive":
        return f"{what} Unpack it and upload the files inside, each as {wanted}."
    return f"{what} Choose a {wanted} file."


def _cut_off(kind: Kind) -> Invalid:
    return Invalid(f"This {kind.label} is damaged or cut off. Open it, save it again, and upload that.")


def _double(kind: Kind) -> Invalid:
    return Invalid(
        f"This {kind.label} has something else hidden in it. Open it, save it as {kind.label} again, and upload that."
    )
