"""What a file is, is told by its bytes; what is refused is named, with the way to mend it."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tcma.assets.samples import sample_datasheet, sample_logo
from tcma.assets.sniff import MAX_BYTES, PICTURES, Kind, image_size, sniff
from tcma.errors import Invalid

PNG = sample_logo("Nord", "#1f4e8c", seed=1)
PDF = sample_datasheet("Backup", "Nord", "#1f4e8c")


def picture(kind: str, size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, "#1f4e8c").save(target, kind, **options)
    return target.getvalue()


JPEG = picture("JPEG")


def kind_or_refusal(data: bytes) -> str:
    """Any other exception fails the test that asks."""
    try:
        return sniff(data)
    except Invalid as refused:
        return refused.message


def office(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, "<x/>")
    return target.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "kind", "media_type", "suffix"),
    [
        (PDF, Kind.PDF, "application/pdf", ".pdf"),
        (PNG, Kind.PNG, "image/png", ".png"),
        (JPEG, Kind.JPEG, "image/jpeg", ".jpg"),
        (picture("JPEG", progressive=True), Kind.JPEG, "image/jpeg", ".jpg"),
        (b"\xef\xbb\xbf" + PDF + b"\r\n\0\0", Kind.PDF, "application/pdf", ".pdf"),
    ],
)
def test_the_kinds_that_are_taken(data: bytes, kind: Kind, media_type: str, suffix: str) -> None:
    assert sniff(data) is kind
    assert (kind.media_type, kind.suffix) == (media_type, suffix)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "This file is empty. Choose the file again"),
        (
            b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "This is an SVG. Save it as PNG, at least 600 pixels wide, and upload that.",
        ),
        ('\ufeff <SVG onload="alert(1)">'.encode("utf-16"), "This is an SVG. Save it as PNG"),
        (b"<!DOCTYPE html><p>x", "This is a web page. Export it as PDF and upload that."),
        (b"<html><svg></svg></html>", "This is a"),
        (b'<?xml version="1.0"?><Invoice/>', "This is an XML file. Choose a PDF, PNG or JPEG file."),
        (picture("GIF"), "This is a GIF. Save it as PNG"),
        (picture("WEBP"), "This is a WebP. Save it as PNG"),
        (picture("BMP"), "This is a BMP. Save it as PNG"),
        (picture("TIFF"), "This is a TIFF. Save it as PNG"),
        (picture("AVIF"), "This is a HEIC or AVIF photo. Save it as PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "This is a HEIC or AVIF photo. Save it as PNG"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 20, "This is a video. Choose a PDF, PNG or JPEG file."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "This is an EPS file. Save it as PNG"),
        (office("word/document.xml"), "This is a Word document. Export it as PDF and upload that."),
        (office("ppt/presentation.xml"), "This is a PowerPoint deck. Export it as PDF"),
        (office("xl/workbook.xml"), "This is an Excel workbook. Export it as PDF"),
        (office("readme"), "This is a zip archive. Unpack it and upload the files inside"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
            "This is an old Office document. Export it as PDF",
        ),
        (b"{\\rtf1 x}", "This is a rich text document. Export it as PDF"),
        (b"MZ\x90\0" + b"\0" * 100, "This is a program. Choose a PDF, PNG or JPEG file."),
        (b"Dear Sir,\nhere is my logo.", "This is a text file. Export it as PDF"),
        (b"\x00\x01\x02\x03\xfe", "This is not a PDF, PNG or JPEG file, or it is damaged."),
    ],
)
def test_a_foreign_file_is_named_and_the_mend_is_told(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        sniff(data)
    assert refused.value.message.startswith(message)


def test_what_is_taken_elsewhere_is_refused_kindly_here() -> None:
    with pytest.raises(Invalid, match=r"This is a PDF\. Save it as PNG, at least 600 pixels wide"):
        sniff(PDF, accept=PICTURES)
    with pytest.raises(Invalid, match=r"This is a PNG\. Export it as PDF and upload that"):
        sniff(PNG, accept=(Kind.PDF,))
    with pytest.raises(Invalid, match="Choose a PDF file"):
        sniff(b"\0\1", accept=(Kind.PDF,))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_file_beyond_its_cap_is_refused_with_both_values(kind: Kind) -> None:
    begin = {Kind.PDF: PDF, Kind.PNG: PNG, Kind.JPEG: JPEG}[kind]
    limit = MAX_BYTES[kind] // 1024 // 1024
    with pytest.raises(Invalid, match=rf"is {limit}\.1 MB\. The limit is {limit} MB"):
        sniff(begin + b"\0" * (MAX_BYTES[kind] + 90_000 - len(begin)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PNG + b"<script>alert(1)</script>", id="page behind a picture"),
        pytest.param(PNG + office("readme"), id="archive behind a picture"),
        pytest.param(JPEG + office("readme"), id="archive behind a photo"),
        pytest.param(PDF + office("readme") + b"%%EOF", id="archive behind a PDF, ended again"),
        pytest.param(PDF + office("readme"), id="archive behind a PDF"),
        pytest.param(b"<html><script>x()</script>" + PDF, id="PDF behind a page"),
        pytest.param(b"GIF89a;" + PDF, id="PDF behind a picture"),
        pytest.param(JPEG[:2] + b"\xff\xfe\0\x1f<script >alert(1)</script>  " + JPEG[2:], id="comment"),
        pytest.param(png_of(9, 9, png_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]);")), id="text chunk"),
        pytest.param(png_of(9, 9, png_chunk(b"tEXt", b"x\0%PDF-1.7 ")), id="PDF in a text chunk"),
    ],
)
def test_a_file_of_two_natures_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match=r"hidden in it|before its beginning|cut off"):
        sniff(data)


def test_an_animated_picture_is_refused() -> None:
    frames = [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
    target = io.BytesIO()
    frames[0].save(target, "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(Invalid, match=r"This PNG is animated\. Save one frame"):
        sniff(target.getvalue())


def test_a_rare_compression_is_refused() -> None:
    lossless = JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(Invalid, match=r"rare compression\. Save it again as PNG"):
        sniff(lossless)


@pytest.mark.parametrize("data", [PNG, JPEG, PDF, picture("JPEG", (300, 300), progressive=True)])
def test_a_file_cut_off_anywhere_is_refused(data: bytes) -> None:
    ends = {*range(0, len(data) - 6, max(1, len(data) // 150)), 1, 7, 33, len(data) - 7}
    for end in sorted(ends):
        with pytest.raises(Invalid):
            sniff(data[:end])


def test_the_size_is_read_from_the_header_alone() -> None:
    assert image_size(png_of(50_000, 7), Kind.PNG) == (50_000, 7)
    assert image_size(picture("JPEG", (301, 7)), Kind.JPEG) == (301, 7)
    with pytest.raises(Invalid):
        image_size(png_of(0, 7), Kind.PNG)


def test_millions_of_empty_parts_are_walked_in_bounded_time() -> None:
    begun = time.monotonic()
    padding = png_chunk(b"tEXt", b"") * 1_500_000
    assert sniff(png_of(9, 9, padding)) is Kind.PNG
    assert time.monotonic() - begun < 20


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.7\n", b"<", b"PK\3\4"]),
)
def test_garbage_is_refused_and_nothing_else_happens(rest: bytes, begin: bytes) -> None:
    assert kind_or_refusal(begin + rest)


@given(st.data())
def test_a_damaged_file_is_told_or_refused(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([PNG, JPEG, PDF])))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, min(400, len(whole) - 1)))] = data.draw(st.integers(0, 255))
    assert kind_or_refusal(bytes(whole))
