"""PDF from strangers: capped, freed of everything that acts by itself, and shown as pictures."""

from __future__ import annotations

import io
import random
import time
import zlib

import pypdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf.annotations import Link
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    StreamObject,
    TextStringObject,
)
from reportlab.pdfgen.canvas import Canvas

from tcma.assets.documents import page_previews, read_pdf, thumbnail
from tcma.assets.samples import sample_datasheet
from tcma.assets.sniff import Kind
from tcma.errors import Invalid

SHEET = sample_datasheet("Backup", "Nord", "#1f6feb")


def plain_pdf(pages: int = 1, size: tuple[float, float] = (595, 842)) -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=size, invariant=1)
    for number in range(1, pages + 1):
        canvas.drawString(50, size[1] / 2, f"Page {number}")
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def written(writer: pypdf.PdfWriter) -> bytes:
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def writer_of(pages: int = 1) -> pypdf.PdfWriter:
    return pypdf.PdfWriter(clone_from=io.BytesIO(plain_pdf(pages)))


def action(kind: str, **entries: object) -> DictionaryObject:
    made = DictionaryObject({NameObject("/S"): NameObject(f"/{kind}")})
    for name, value in entries.items():
        made[NameObject(f"/{name}")] = TextStringObject(value)
    return made


def raw_pdf(*objects: bytes) -> bytes:
    """A PDF of numbered objects, the first of them the root, written by hand."""
    body, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    return (
        body
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
        + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (count, len(body))
    )


def test_a_clean_pdf_keeps_its_pages_and_looks() -> None:
    document = read_pdf(SHEET)
    assert document.removed == ()
    assert [tuple(round(side) for side in size) for size in document.pages] == [(595, 842)]
    before, after = (page_previews(data, as_="png")[0].data for data in (SHEET, document.data))
    assert before == after


def test_the_same_pdf_gives_the_same_bytes() -> None:
    assert read_pdf(SHEET).data == read_pdf(SHEET).data


def test_what_acts_by_itself_is_taken_out_and_named() -> None:
    writer = writer_of(2)
    root = writer.root_object
    root[NameObject("/OpenAction")] = action("JavaScript", JS="app.alert('evil')")
    root[NameObject("/AA")] = DictionaryObject({NameObject("/WC"): action("JavaScript", JS="evil()")})
    writer.add_attachment("evil.exe", b"evil program")
    listed = ArrayObject([TextStringObject("evil"), writer._add_object(action("JavaScript", JS="evil();"))])
    root["/Names"][NameObject("/JavaScript")] = DictionaryObject({NameObject("/Names"): listed})
    page = writer.pages[0]
    page[NameObject("/AA")] = DictionaryObject({NameObject("/O"): action("Launch", F="evil.exe")})
    notes = ArrayObject()
    for made in (
        action("Launch", F="evil.exe"),
        action("SubmitForm", F="http://evil.example"),
        action("GoToR", F="evil.pdf"),
        action("URI", URI="javascript:evil()"),
        action("URI", URI=" FILE:///evil"),
    ):
        link = Link(rect=(10, 10, 50, 50), url="x")
        link[NameObject("/A")] = made
        notes.append(writer._add_object(link))
    clip = DictionaryObject({NameObject("/Subtype"): NameObject("/RichMedia")})
    clip[NameObject("/Rect")] = ArrayObject([NumberObject(0)] * 4)
    clip[NameObject("/Evil")] = TextStringObject("evil film")
    notes.append(writer._add_object(clip))
    page[NameObject("/Annots")] = notes

    document = read_pdf(written(writer))
    assert document.removed == (
        "attached files",
        "calls of other programs",
        "forms that send data",
        "jumps into other files",
        "links to places that are not web pages",
        "scripts",
        "sound and film",
    )
    assert b"evil" not in unpacked(document.data).lower()
    assert len(document.pages) == 2
    assert read_pdf(document.data).removed == ()


def test_links_to_the_web_and_within_the_file_stay() -> None:
    writer = writer_of(2)
    for address in ("https://example.com/x", "mailto:me@example.com", "www.example.com"):
        writer.add_annotation(0, Link(rect=(10, 10, 50, 50), url=address))
    document = read_pdf(written(writer))
    assert document.removed == ()
    kept = pypdf.PdfReader(io.BytesIO(document.data)).pages[0]["/Annots"]
    assert [note.get_object()["/A"]["/URI"] for note in kept] == [
        "https://example.com/x",
        "mailto:me@example.com",
        "www.example.com",
    ]


def test_what_no_page_refers_to_is_gone() -> None:
    with_more = raw_pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>",
        b"<</Secret(left behind by an earlier version)>>",
    )
    assert b"left behind" in with_more
    assert b"left behind" not in read_pdf(with_more).data


def test_a_cropped_and_turned_page_has_the_size_that_one_sees() -> None:
    writer = writer_of()
    page = writer.pages[0]
    page.cropbox = pypdf.generic.RectangleObject((50, 100, 350, 900))
    page.rotate(90)
    assert read_pdf(written(writer)).pages == ((742.0, 300.0),)


class TestRefused:
    def test_a_protected_one(self) -> None:
        writer = writer_of()
        writer.encrypt("", owner_password="owner", algorithm="AES-256")
        with pytest.raises(Invalid, match=r"protected with a password\. Save it without protection"):
            read_pdf(written(writer))

    def test_one_of_too_many_pages_with_both_values(self) -> None:
        with pytest.raises(Invalid, match=r"has 201 pages\. The limit is 200"):
            read_pdf(plain_pdf(201))
        assert len(read_pdf(plain_pdf(200)).pages) == 200

    def test_one_without_pages(self) -> None:
        with pytest.raises(Invalid, match="has no pages"):
            read_pdf(raw_pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"))

    @pytest.mark.parametrize("size", [(1, 1), (20_000, 100)])
    def test_one_with_a_page_of_no_sensible_size(self, size: tuple[float, float]) -> None:
        with pytest.raises(Invalid, match=r"Page 1 of this PDF is .* points"):
            read_pdf(plain_pdf(size=size))

    def test_a_picture(self) -> None:
        target = io.BytesIO()
        Image.new("RGB", (9, 9)).save(target, "PNG")
        with pytest.raises(Invalid, match="This is a PNG"):
            read_pdf(target.getvalue())


class TestBombs:
    """Small files that unpack, repeat or nest without end are refused, or read as what they show."""

    def told_in_time(self, data: bytes) -> str:
        begun = time.monotonic()
        try:
            document = read_pdf(data)
            answer = f"{len(page_previews(document.data, width=200))} pages"
        except Invalid as refused:
            answer = refused.message
        assert time.monotonic() - begun < 100
        return answer

    def test_a_content_that_unpacks_to_gigabytes(self) -> None:
        packed = zlib.compress(b"0 0 m 9 9 l S " * 12_000_000, 9)
        bomb = raw_pdf(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R>>",
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed),
        )
        assert len(bomb) < 3_000_000
        assert self.told_in_time(bomb)

    def test_pages_that_hold_each_other_doubling_each_time(self) -> None:
        levels = [b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 2>>" % (number + 1, number + 1) for number in range(2, 40)]
        leaf = b"<</Type/Page/MediaBox[0 0 200 100]>>"
        bomb = raw_pdf(b"<</Type/Catalog/Pages 2 0 R>>", *levels, leaf)
        assert "pages" not in self.told_in_time(bomb)[:8]

    def test_pages_that_hold_themselves(self) -> None:
        bomb = raw_pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R]/Count 1>>")
        assert "PDF" in self.told_in_time(bomb) or "file" in self.told_in_time(bomb)

    def test_lists_within_lists(self) -> None:
        deep = b"[" * 200_000 + b"]" * 200_000
        bomb = raw_pdf(
            b"<</Type/Catalog/Pages 2 0 R/Deep 4 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>",
            deep,
        )
        assert self.told_in_time(bomb)

    def test_a_picture_of_a_terabyte_in_the_page(self) -> None:
        packed = zlib.compress(b"\0" * 10_000_000, 9)
        bomb = raw_pdf(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>",
            b"<</Length 5>>stream\n/I Do\nendstream",
            b"<</Type/XObject/Subtype/Image/Width 1000000/Height 1000000/ColorSpace/DeviceGray"
            b"/BitsPerComponent 8/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(packed), packed),
        )
        assert self.told_in_time(bomb)


class TestPreviews:
    def test_each_page_is_a_picture_of_the_width_asked(self) -> None:
        previews = page_previews(plain_pdf(3), width=300, as_="png")
        assert [(made.page, made.width) for made in previews] == [(1, 300), (2, 300), (3, 300)]
        image = Image.open(io.BytesIO(previews[1].data))
        assert image.size == (300, previews[1].height)
        assert image.convert("L").getextrema()[0] < 100, "something is printed on it"

    def test_only_as_many_as_asked(self) -> None:
        assert len(page_previews(plain_pdf(5), width=50, most=2)) == 2

    def test_the_first_page_is_the_thumbnail(self) -> None:
        image = Image.open(io.BytesIO(thumbnail(SHEET, Kind.PDF, width=240)))
        assert (image.format, image.width) == ("WEBP", 240)

    def test_a_ribbon_stays_within_bounds(self) -> None:
        made = page_previews(plain_pdf(size=(10, 10_000)), width=400)[0]
        assert made.height <= 1200

    def test_a_damaged_one_is_refused(self) -> None:
        with pytest.raises(Invalid, match="damaged"):
            page_previews(b"%PDF-1.7 nothing %%EOF")


@settings(deadline=None, max_examples=12)
@given(st.floats(0.01, 0.99))
def test_a_truncated_pdf_is_always_refused(share: float) -> None:
    with pytest.raises(Invalid):
        read_pdf(SHEET[: int(len(SHEET) * share)])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_a_damaged_pdf_is_read_or_refused_and_nothing_else(seed: int, count: int) -> None:
    chance, data = random.Random(seed), bytearray(plain_pdf(2))
    for _ in range(count):
        data[chance.randrange(10, len(data) - 8)] = chance.randrange(256)
    assert outcome(bytes(data))


@settings(deadline=None, max_examples=20)
@given(st.binary(max_size=400))
def test_garbage_in_the_shape_of_a_pdf_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        read_pdf(b"%PDF-1.7\n" + content + b"\n%%EOF\n")


def outcome(data: bytes) -> str:
    """Any other exception than a refusal fails the test that asks."""
    try:
        return f"{len(read_pdf(data).pages)} pages"
    except Invalid as refused:
        return refused.message


def unpacked(data: bytes) -> bytes:
    """All of a PDF with its streams unpacked, to search in."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    parts = [data]
    for number in range(1, len(writer._objects) + 1):
        item = writer.get_object(number)
        parts.append(item.get_data() if isinstance(item, StreamObject) else repr(item).encode())
    pypdfium2.PdfDocument(data).close()
    return b"\n".join(parts)
