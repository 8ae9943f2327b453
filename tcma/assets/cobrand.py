"""A vendor's PDF or picture with a partner's logo and contact block in the zones that the vendor declared.

Outside the zones nothing changes, and the same input always gives the same bytes, so that a co-branded file
can be kept under the hash of what it was made from (`cobrand_key`).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict

import pypdf
from PIL import Image, ImageDraw
from pypdf.errors import PyPdfError
from pypdf.generic import (
    ArrayObject,
    ContentStream,
    DictionaryObject,
    FloatObject,
    NameObject,
    StreamObject,
)
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from tcma.assets import fonts
from tcma.assets.composing import draw_zone
from tcma.assets.documents import PDF_SECONDS, loaded, visible_box, visible_size
from tcma.assets.images import PICTURE_MEMORY_MB, decoded, encoded
from tcma.assets.sniff import PICTURES, Kind, sniff
from tcma.assets.zones import BrandKit, Zone, zones_from
from tcma.errors import Invalid
from tcma.limits import limited

__all__ = ["BrandKit", "Zone", "cobrand_image", "cobrand_key", "cobrand_pdf", "zones_from"]

# Raised whenever the drawing changes, so that files kept from before are made anew.
DRAWING_VERSION = 1
_PAGE_UNITS = 600  # a page about as wide as A4 or Letter in points; larger surfaces get larger type
_COUNTED_CONTENT = 4 * 1024 * 1024


def cobrand_pdf(pdf: bytes, zones: Sequence[Zone], brand: BrandKit) -> bytes:
    """The PDF with the brand drawn into the zones; raises Invalid for a bad PDF, brand or zone."""
    sniff(pdf, accept=(Kind.PDF,))
    return limited(_cobrand_pdf, pdf, tuple(zones), brand.checked(), seconds=PDF_SECONDS)


def cobrand_image(data: bytes, kind: Kind, zones: Sequence[Zone], brand: BrandKit) -> bytes:
    """The PNG or JPEG with the brand drawn into the zones, in the same kind; raises Invalid.

    Every pixel outside the zones of a PNG keeps its value; a JPEG is encoded anew, so there it may differ by
    a shade.
    """
    sniff(data, accept=PICTURES)
    return limited(_cobrand_image, data, kind.value, tuple(zones), brand.checked(), memory_mb=PICTURE_MEMORY_MB)


def cobrand_key(asset_sha256: str, zones: Sequence[Zone], brand: BrandKit) -> str:
    """64 hex digits that stand for the file that these make; a change in any of them gives another key."""
    told = asdict(brand)
    for name in ("logo_png", "logo_dark_png"):
        told[name] = hashlib.sha256(told[name]).hexdigest() if told[name] is not None else None
    plan = [DRAWING_VERSION, fonts.TYPEFACE, asset_sha256, [zone.as_json() for zone in zones], told]
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


class _PageZone:
    """A zone on a page of the overlay, which reportlab draws with the origin at the bottom left."""

    def __init__(self, canvas: Canvas, zone: Zone, *, size: tuple[float, float]) -> None:
        self.canvas = canvas
        self.width, self.height = zone.width * size[0], zone.height * size[1]
        self.unit = size[0] / _PAGE_UNITS
        self._left, self._top = zone.x * size[0], (1 - zone.y) * size[1]

    def clip(self) -> None:
        path = self.canvas.beginPath()
        path.rect(self._left, self._top - self.height, self.width, self.height)
        self.canvas.clipPath(path, stroke=0, fill=0)

    def measure(self, text: str, bold: bool, size: float) -> float:
        return float(pdfmetrics.stringWidth(text, fonts.pdf_font(bold=bold), size))

    def text(self, text: str, *, x: float, baseline: float, bold: bool, size: float, color: str) -> None:
        self.canvas.setFillColor(color)
        self.canvas.setFont(fonts.pdf_font(bold=bold), size)
        self.canvas.drawString(self._left + x, self._top - baseline, text)

    def image(self, image: Image.Image, *, x: float, y: float, width: float, height: float) -> None:
        corner = (self._left + x, self._top - y - height)
        self.canvas.drawImage(ImageReader(image), *corner, width=width, height=height, mask="auto")


class _PictureZone:
    """A zone cut out of a picture; what is drawn cannot leave it."""

    def __init__(self, picture: Image.Image, zone: Zone) -> None:
        self._picture = picture
        left, top = math.ceil(zone.x * picture.width - 1e-6), math.ceil(zone.y * picture.height - 1e-6)
        right = math.floor((zone.x + zone.width) * picture.width + 1e-6)
        bottom = math.floor((zone.y + zone.height) * picture.height + 1e-6)
        self._box = (left, top, max(left + 1, right), max(top + 1, bottom))
        self._cut = picture.crop(self._box)
        self.width, self.height = float(self._cut.width), float(self._cut.height)
        self.unit = picture.width / _PAGE_UNITS

    def put_back(self) -> None:
        self._picture.paste(self._cut, self._box)

    def measure(self, text: str, bold: bool, size: float) -> float:
        return self._font(size, bold).getlength(text)

    def text(self, text: str, *, x: float, baseline: float, bold: bool, size: float, color: str) -> None:
        draw = ImageDraw.Draw(self._cut)
        draw.text((x, baseline), text, fill=color, font=self._font(size, bold), anchor="ls")

    def image(self, image: Image.Image, *, x: float, y: float, width: float, height: float) -> None:
        size = (max(1, math.floor(width)), max(1, math.floor(height)))
        scaled = image.resize(size, Image.Resampling.LANCZOS)
        ground = self._cut.convert("RGBA")
        ground.alpha_composite(scaled, (round(x), round(y)))
        self._cut = ground.convert(self._picture.mode)

    def _font(self, size: float, bold: bool) -> fonts.PictureFont:
        return fonts.picture_font(max(1, math.floor(size)), bold=bold)


def _cobrand_image(data: bytes, kind: str, zones: tuple[Zone, ...], brand: BrandKit) -> bytes:
    picture = decoded(data, Kind(kind))
    for zone in zones:
        if zone.page != 1:
            raise Invalid(f"A zone is on page {zone.page}, but a picture has only one.")
        surface = _PictureZone(picture, zone)
        draw_zone(surface, zone, brand)
        surface.put_back()
    return encoded(picture, "png" if kind == Kind.PNG else "jpeg")


def _cobrand_pdf(data: bytes, zones: tuple[Zone, ...], brand: BrandKit) -> bytes:
    try:
        writer = pypdf.PdfWriter(clone_from=loaded(data))
        count = len(writer.pages)
        for number in sorted({zone.page for zone in zones}):
            if number > count:
                raise Invalid(f"A zone is on page {number}, but the PDF has {count}.")
            page = writer.pages[number - 1]
            own = [zone for zone in zones if zone.page == number]
            overlay = _overlay(own, brand, size=_seen_size(page))
            _lay_over(writer, page, overlay)
        target = io.BytesIO()
        writer.write(target)
    except PyPdfError as error:
        raise Invalid("This PDF is damaged. Open it, export it as PDF again, and upload that.") from error
    return target.getvalue()


def _seen_size(page: pypdf.PageObject) -> tuple[float, float]:
    """Width and height of the page as seen, in points: a page may declare larger units (PDF 1.6)."""
    width, height = visible_size(page)
    return width * page.user_unit, height * page.user_unit


def _overlay(zones: Sequence[Zone], brand: BrandKit, *, size: tuple[float, float]) -> pypdf.PageObject:
    """One page of its own with the zones drawn, as large and as upright as the page is seen."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=size, invariant=1, pageCompression=1)
    for zone in zones:
        canvas.saveState()
        surface = _PageZone(canvas, zone, size=size)
        surface.clip()
        draw_zone(surface, zone, brand)
        canvas.restoreState()
    canvas.showPage()
    canvas.save()
    return pypdf.PdfReader(target).pages[0]


def _lay_over(writer: pypdf.PdfWriter, page: pypdf.PageObject, overlay: pypdf.PageObject) -> None:
    """Append the overlay to the page as a form, leaving the page's own content streams as they are."""
    form = StreamObject()
    form.set_data(_content(overlay))
    form[NameObject("/Type")] = NameObject("/XObject")
    form[NameObject("/Subtype")] = NameObject("/Form")
    form[NameObject("/BBox")] = ArrayObject(FloatObject(value) for value in overlay.mediabox)
    form[NameObject("/Resources")] = overlay["/Resources"].clone(writer)
    resources = DictionaryObject(page.get("/Resources") or {})
    named = DictionaryObject(resources.get("/XObject") or {})
    name = next(f"/Cobrand{number}" for number in range(1, 1000) if f"/Cobrand{number}" not in named)
    named[NameObject(name)] = writer._add_object(form.flate_encode())
    resources[NameObject("/XObject")] = named
    page[NameObject("/Resources")] = resources

    opening, closing = _balance(page, writer)
    matrix = " ".join(f"{value:.6f}" for value in _to_page(page))
    before, after = StreamObject(), StreamObject()
    before.set_data(b"q\n" * opening)
    after.set_data(b"\n" + b"Q\n" * closing + f"q {matrix} cm {name} Do Q\n".encode())
    own = page.raw_get("/Contents") if "/Contents" in page else ArrayObject()
    streams = own.get_object()
    parts = list(streams) if isinstance(streams, ArrayObject) else [own]
    page[NameObject("/Contents")] = ArrayObject([writer._add_object(before), *parts, writer._add_object(after)])


def _content(page: pypdf.PageObject) -> bytes:
    contents = page.get_contents()
    return contents.get_data() if contents is not None else b""


def _balance(page: pypdf.PageObject, writer: pypdf.PdfWriter) -> tuple[int, int]:
    """How many q before and Q after a page's content bring back the state that it began with.

    One of each, and more where the content itself does not pair them (ISO 32000-2 §8.4.2 asks for it, not all
    programs obey). Very long content is trusted, for counting would take too long.
    """
    contents = page.get_contents()
    if contents is None or len(contents.get_data()) > _COUNTED_CONTENT:
        return 1, 1
    depth = lowest = 0
    for _operands, operator in ContentStream(contents, writer).operations:
        depth += (operator == b"q") - (operator == b"Q")
        lowest = min(lowest, depth)
    return 1 - lowest, 1 - lowest + depth


def _to_page(page: pypdf.PageObject) -> tuple[float, float, float, float, float, float]:
    """The matrix that takes the overlay, upright in points, to the page's own space.

    A page's /Rotate turns it clockwise when shown (ISO 32000-2 table 31), so the overlay turns the other way.
    """
    left, bottom, right, top = visible_box(page)
    unit = 1 / page.user_unit
    return {
        0: (unit, 0.0, 0.0, unit, left, bottom),
        90: (0.0, unit, -unit, 0.0, right, bottom),
        180: (-unit, 0.0, 0.0, -unit, right, top),
        270: (0.0, -unit, unit, 0.0, left, top),
    }[page.rotation % 360]
