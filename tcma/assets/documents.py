"""PDF from strangers: checked, freed of everything that acts by itself, and shown as pictures.

All reading happens in a limited child process. What is kept is written anew from the root on down, so that
what nothing refers to is gone.
"""

from __future__ import annotations

import io
import logging
import re
from dataclasses import dataclass
from typing import Any

import pypdf
import pypdfium2
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, NameObject

from tcma.assets.images import Format, encoded, shrunk
from tcma.assets.sniff import Kind, sniff
from tcma.errors import Invalid
from tcma.limits import limited

MAX_PAGES = 200
# PDF 1.7, annex C: a page is at most 14,400 units a side; below 3 units nobody could read anything.
SIDES = (3.0, 14_400.0)
PDF_SECONDS = 30
_SCHEME = re.compile(r"[\s\0]*([a-z][a-z0-9+.-]*)\s*:", re.IGNORECASE)
_LINKS = frozenset({"http", "https", "mailto", "tel"})

# Actions (ISO 32000-2 §12.6.4) that run, fetch, send or play something. Links and jumps inside stay.
_ACTIONS = {
    "/JavaScript": "scripts",
    "/Launch": "calls of other programs",
    "/GoToR": "jumps into other files",
    "/GoToE": "jumps into other files",
    "/SubmitForm": "forms that send data",
    "/ImportData": "forms that send data",
    "/ResetForm": "forms that send data",
    "/Rendition": "sound and film",
    "/Movie": "sound and film",
    "/Sound": "sound and film",
    "/GoTo3DView": "sound and film",
    "/RichMediaExecute": "sound and film",
    "/Thread": "jumps into other files",
}
_KEYS = {
    "/AA": "scripts",
    "/JS": "scripts",
    "/JavaScript": "scripts",
    "/XFA": "forms that send data",
    "/EmbeddedFiles": "attached files",
    "/EF": "attached files",
    "/AF": "attached files",
    "/Collection": "attached files",
    "/RichMediaContent": "sound and film",
    "/RichMediaSettings": "sound and film",
}
_ANNOTATIONS = {
    "/FileAttachment": "attached files",
    "/Sound": "sound and film",
    "/Movie": "sound and film",
    "/Screen": "sound and film",
    "/RichMedia": "sound and film",
    "/3D": "sound and film",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF rewritten without active content.

    `pages` are the sizes of the pages as seen (cropped, rotated), width and height in points. `removed` names
    in plain words what was taken out, such as "scripts".
    """

    data: bytes
    pages: tuple[tuple[float, float], ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PagePreview:
    """One page as a picture; `page` counts from 1, `width` and `height` are pixels."""

    page: int
    data: bytes
    width: int
    height: int


def read_pdf(data: bytes) -> Document:
    """The PDF, clean; raises Invalid for a damaged, encrypted, too long or oddly sized one."""
    sniff(data, accept=(Kind.PDF,))
    clean, pages, removed = limited(_read_pdf, data, seconds=PDF_SECONDS)
    return Document(clean, tuple(pages), tuple(removed))


def thumbnail(data: bytes, kind: Kind, *, width: int = 480, as_: Format = "webp") -> bytes:
    """A picture, or the first page of a PDF, at most `width` pixels wide; raises Invalid."""
    if kind is not Kind.PDF:
        return shrunk(data, kind, width=width, as_=as_)
    return page_previews(data, width=width, as_=as_, most=1)[0].data


def page_previews(pdf: bytes, *, width: int = 1000, as_: Format = "webp", most: int = 20) -> tuple[PagePreview, ...]:
    """The first `most` pages as pictures `width` pixels wide, for zones to be drawn on; raises Invalid."""
    answer = limited(_previews, pdf, width, as_, most, seconds=PDF_SECONDS)
    return tuple(PagePreview(number, *rest) for number, rest in enumerate(answer, start=1))


def loaded(data: bytes) -> pypdf.PdfReader:
    """An open reader of an unencrypted PDF with 1 to 200 pages. Only for use inside a limited child."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells each small fault of a file one by one
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        locked = reader.is_encrypted
        count = 0 if locked else len(reader.pages)
    except PyPdfError as error:
        raise _damaged() from error
    if locked:
        raise Invalid("This PDF is protected with a password. Save it without protection, and upload that.")
    if count == 0:
        raise Invalid("This PDF has no pages. Export it again, and upload that.")
    if count > MAX_PAGES:
        raise Invalid(f"This PDF has {count} pages. The limit is {MAX_PAGES}. Upload a part of it.")
    return reader


def visible_box(page: pypdf.PageObject) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of what one sees of a page, in its own units, before rotation.

    That is the crop box as far as it lies on the media box (ISO 32000-2 §14.11.2.1).
    """
    media, crop = _ordered(page.mediabox), _ordered(page.cropbox)
    box = (max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3]))
    return box if box[0] < box[2] and box[1] < box[3] else media


def visible_size(page: pypdf.PageObject) -> tuple[float, float]:
    """Width and height of a page as one sees it, in its own units."""
    left, bottom, right, top = visible_box(page)
    size = (right - left, top - bottom)
    return size[::-1] if page.rotation % 180 else size


def _ordered(box: Any) -> tuple[float, float, float, float]:
    left, bottom, right, top = (float(value) for value in box)
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)


def _damaged() -> Invalid:
    return Invalid("This PDF is damaged. Open it, export it as PDF again, and upload that.")


def _read_pdf(data: bytes) -> tuple[bytes, list[tuple[float, float]], list[str]]:
    reader = loaded(data)
    try:
        sizes = [visible_size(page) for page in reader.pages]
        removed = _disarm(reader)
        target = io.BytesIO()
        pypdf.PdfWriter(clone_from=reader).write(target)
    except PyPdfError as error:
        raise _damaged() from error
    for number, size in enumerate(sizes, start=1):
        if not all(SIDES[0] <= side <= SIDES[1] for side in size):
            raise Invalid(
                f"Page {number} of this PDF is {size[0]:,.0f} × {size[1]:,.0f} points. Pages may be up to "
                f"{SIDES[1]:,.0f} points a side (5 metres). Export it in its real size, and upload that."
            )
    clean = target.getvalue()
    # A second opinion by the program that will draw it.
    with _drawable(clean) as drawn:
        if len(drawn) != len(sizes):
            raise _damaged()
        drawn[0].render(scale=72 / max(sizes[0]))
    return clean, sizes, sorted(removed)


def _disarm(reader: pypdf.PdfReader) -> set[str]:
    """Take everything active out of the objects that the document's root reaches, in place."""
    removed: set[str] = set()
    seen: set[tuple[int, int]] = set()
    stack: list[Any] = [reader.trailer]
    while stack:
        node = stack.pop()
        if isinstance(node, IndirectObject):
            if (node.idnum, node.generation) in seen:
                continue
            seen.add((node.idnum, node.generation))
            node = node.get_object()
        if isinstance(node, ArrayObject):
            node[:] = [item for item in node if not _drop(item, removed)]
            stack.extend(node)
        elif isinstance(node, DictionaryObject):
            _disarm_dictionary(node, removed)
            stack.extend(node.values())
    return removed


def _drop(item: Any, removed: set[str]) -> bool:
    """Whether an array's item is an annotation that carries a file or plays something."""
    item = item.get_object() if isinstance(item, IndirectObject) else item
    if not isinstance(item, DictionaryObject):
        return False
    subtype = item.get("/Subtype")
    if not isinstance(subtype, NameObject) or subtype not in _ANNOTATIONS or "/Rect" not in item:
        return False
    removed.add(_ANNOTATIONS[subtype])
    return True


def _disarm_dictionary(node: DictionaryObject, removed: set[str]) -> None:
    for key in [key for key in node if key in _KEYS]:
        del node[key]
        removed.add(_KEYS[key])
    action = node.get("/S")
    if isinstance(action, NameObject) and action in _ACTIONS:
        node.clear()
        removed.add(_ACTIONS[action])
    elif action == "/URI":
        scheme = _SCHEME.match(_as_text(node.get("/URI", "")))
        if scheme and scheme[1].lower() not in _LINKS:
            node.clear()
            removed.add("links to places that are not web pages")


def _as_text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _drawable(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise _damaged() from error


def _previews(data: bytes, width: int, as_: Format, most: int) -> list[tuple[bytes, int, int]]:
    made = []
    with _drawable(data) as document:
        for number in range(min(most, len(document))):
            try:
                page = document[number]
            except pypdfium2.PdfiumError as error:
                raise _damaged() from error
            across, down = page.get_size()
            # A page like a ribbon would need a picture of any height; it is shown smaller instead.
            scale = min(width / max(across, 1), 3 * width / max(down, 1))
            image = page.render(scale=scale).to_pil().convert("RGB")
            made.append((encoded(image, as_), image.width, image.height))
    if not made:
        raise _damaged()
    return made
