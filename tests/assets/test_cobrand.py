"""A partner's brand lands in the vendor's zones, upright and whole, and nothing else changes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import pypdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw
from pypdf.generic import DecodedStreamObject, FloatObject, NameObject, RectangleObject
from reportlab.pdfgen.canvas import Canvas

from tcma.assets.cobrand import BrandKit, Zone, cobrand_image, cobrand_key, cobrand_pdf
from tcma.assets.images import read_logo
from tcma.assets.samples import (
    SAMPLE_BANNER_ZONES,
    SAMPLE_DATASHEET_ZONES,
    sample_banner,
    sample_datasheet,
    sample_logo,
)
from tcma.assets.sniff import Kind
from tcma.errors import Invalid

LOGO = read_logo(sample_logo("Nord", "#1f6feb", seed=0))
BRAND = BrandKit(
    "Nord & Söhne",
    legal_name="Nord und Söhne Systemhaus GmbH",
    logo_png=LOGO.png,
    logo_dark_png=LOGO.dark_png,
    color="#0f766e",
    postal_address="Żelazna 12\n00-841 Łódź\nPolska",
    phone="+48 22 123 45 67",
    email="kontakt@nord.example",
    website="www.nord.example",
)
LOGO_ZONE = Zone(1, 0.1, 0.1, 0.3, 0.1, "logo")
TEXT_ZONE = Zone(1, 0.5, 0.7, 0.4, 0.12, "contact_block")
SHEET = sample_datasheet("Backup", "Nord Cloud", "#1f6feb")
BANNER = sample_banner("Back to work in minutes", "#7c3aed")
SCALE = 2


def page_of(size: tuple[float, float] = (600, 400), draw: Callable[[Canvas], None] | None = None) -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=size, invariant=1)
    canvas.setFillColor("#fde68a")
    canvas.rect(5, 5, size[0] - 10, size[1] - 10, fill=1)
    if draw:
        draw(canvas)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def altered(pdf: bytes, change: Callable[[pypdf.PdfWriter, pypdf.PageObject], None]) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf))
    change(writer, writer.pages[0])
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def shown(pdf: bytes, page: int = 1) -> Image.Image:
    with pypdfium2.PdfDocument(pdf) as document:
        return document[page - 1].render(scale=SCALE).to_pil().convert("RGB")


def box_of(zone: Zone, image: Image.Image, margin: int = 0) -> tuple[int, int, int, int]:
    return (
        round(zone.x * image.width) - margin,
        round(zone.y * image.height) - margin,
        round((zone.x + zone.width) * image.width) + margin,
        round((zone.y + zone.height) * image.height) + margin,
    )


def changes(before: Image.Image, after: Image.Image, zones: Sequence[Zone]) -> tuple[list[int], bool]:
    """How many pixels changed in each zone, and whether any did outside of all of them."""
    assert before.size == after.size
    gone = ImageChops.difference(before, after).convert("L").point(lambda value: 255 if value else 0)
    inside = []
    for zone in zones:
        inside.append(gone.crop(box_of(zone, gone)).histogram()[255])
        gone.paste(0, box_of(zone, gone, margin=1))  # a pixel that a zone's edge cuts belongs to both
    return inside, gone.getbbox() is not None


def assert_only_zones_changed(before: bytes, after: bytes, zones: Sequence[Zone], page: int = 1) -> None:
    inside, outside = changes(shown(before, page), shown(after, page), zones)
    assert not outside, "something changed outside the zones"
    assert all(count > 100 for count in inside), f"a zone stayed empty: {inside}"


def looks(image: Image.Image, zone: Zone) -> Image.Image:
    return image.crop(box_of(zone, image))


class TestPdf:
    def test_the_zones_are_filled_and_nothing_else_changes(self) -> None:
        made = cobrand_pdf(SHEET, SAMPLE_DATASHEET_ZONES, BRAND)
        assert_only_zones_changed(SHEET, made, SAMPLE_DATASHEET_ZONES)

    def test_the_contact_block_can_be_read_and_searched(self) -> None:
        text = pypdf.PdfReader(io.BytesIO(cobrand_pdf(page_of(), [TEXT_ZONE], BRAND))).pages[0].extract_text()
        for words in ("Nord & Söhne", "Systemhaus GmbH", "Żelazna 12", "00-841 Łódź", "+48 22 123 45 67"):
            assert words in text

    def test_the_same_input_gives_the_same_bytes_in_every_process(self) -> None:
        first, second = (cobrand_pdf(SHEET, SAMPLE_DATASHEET_ZONES, BRAND) for _ in range(2))
        assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()

    def test_a_zone_on_a_later_page_leaves_the_others_alone(self) -> None:
        both = altered(page_of(), lambda writer, page: writer.append(io.BytesIO(page_of((400, 600)))))
        zone = replace(TEXT_ZONE, page=2)
        made = cobrand_pdf(both, [zone], BRAND)
        assert changes(shown(both), shown(made), []) == ([], False)
        assert_only_zones_changed(both, made, [zone], page=2)

    def test_a_page_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(Invalid, match="A zone is on page 2, but the PDF has 1"):
            cobrand_pdf(page_of(), [replace(LOGO_ZONE, page=2)], BRAND)

    def test_no_zone_changes_nothing_that_one_sees(self) -> None:
        assert changes(shown(SHEET), shown(cobrand_pdf(SHEET, [], BRAND)), []) == ([], False)

    def test_it_goes_on_top_of_what_is_there(self) -> None:
        made = shown(cobrand_pdf(page_of(), [LOGO_ZONE], BRAND))
        blue = (0x1F, 0x6F, 0xEB)
        assert any(color == blue for _, color in looks(made, LOGO_ZONE).getcolors(100_000) or ())


class TestOddPages:
    """Whatever a page's own geometry or state, the zone lies where one sees it, and the brand is upright."""

    def upright(self) -> Image.Image:
        return shown(cobrand_pdf(page_of(), [LOGO_ZONE, TEXT_ZONE], BRAND))

    @pytest.mark.parametrize("turn", [0, 90, 180, 270, -90, 450])
    def test_a_turned_page(self, turn: int) -> None:
        """The page is drawn turned and declares the turn back, so it looks like the plain one."""

        def turned(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            page[NameObject("/Rotate")] = pypdf.generic.NumberObject(turn)

        size = (400, 600) if turn % 180 else (600, 400)
        pdf = altered(page_of(size), turned)
        made = cobrand_pdf(pdf, [LOGO_ZONE, TEXT_ZONE], BRAND)
        assert_only_zones_changed(pdf, made, [LOGO_ZONE, TEXT_ZONE])
        for zone in (LOGO_ZONE, TEXT_ZONE):
            difference = ImageChops.difference(looks(shown(made), zone), looks(self.upright(), zone))
            strong = difference.convert("L").point(lambda value: 255 if value > 100 else 0)
            area = strong.width * strong.height
            assert strong.histogram()[255] < area * 0.02, "the brand is turned or mirrored"

    def test_a_cropped_page_whose_origin_lies_elsewhere(self) -> None:
        def cropped(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            page.mediabox = RectangleObject((-100, -50, 700, 500))
            page.cropbox = RectangleObject((50, 30, 2000, 330))

        pdf = altered(page_of(), cropped)
        assert shown(pdf).size == (650 * SCALE, 300 * SCALE)
        made = cobrand_pdf(pdf, [LOGO_ZONE, TEXT_ZONE], BRAND)
        assert_only_zones_changed(pdf, made, [LOGO_ZONE, TEXT_ZONE])

    def test_a_cropped_and_turned_page(self) -> None:
        def both(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            page.cropbox = RectangleObject((50, 30, 400, 330))
            page.rotate(270)

        pdf = altered(page_of(), both)
        made = cobrand_pdf(pdf, [LOGO_ZONE, TEXT_ZONE], BRAND)
        assert_only_zones_changed(pdf, made, [LOGO_ZONE, TEXT_ZONE])

    def test_a_page_in_larger_units(self) -> None:
        def metres(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            page[NameObject("/UserUnit")] = FloatObject(4)

        pdf = altered(page_of(), metres)
        made = cobrand_pdf(pdf, [LOGO_ZONE, TEXT_ZONE], BRAND)
        assert_only_zones_changed(pdf, made, [LOGO_ZONE, TEXT_ZONE])

    @pytest.mark.parametrize("broken", [b"q 0.2 0 0 0.2 300 300 cm q ", b"Q Q 0.2 0 0 0.2 300 300 cm ", b"q Q Q q q "])
    def test_a_page_that_leaves_its_state_behind(self, broken: bytes) -> None:
        def leaky(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            stream = DecodedStreamObject()
            stream.set_data(b"0.5 0.9 0.5 rg 100 100 200 150 re f " + broken)
            page[NameObject("/Contents")] = writer._add_object(stream)

        pdf = altered(page_of(), leaky)
        made = cobrand_pdf(pdf, [LOGO_ZONE, TEXT_ZONE], BRAND)
        assert_only_zones_changed(pdf, made, [LOGO_ZONE, TEXT_ZONE])

    def test_a_page_without_content_or_resources(self) -> None:
        def bare(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            del page["/Contents"]
            del page["/Resources"]

        pdf = altered(page_of(), bare)
        assert_only_zones_changed(pdf, cobrand_pdf(pdf, [LOGO_ZONE], BRAND), [LOGO_ZONE])

    def test_what_pages_inherit_stays_theirs(self) -> None:
        def inherit(writer: pypdf.PdfWriter, page: pypdf.PageObject) -> None:
            writer.append(io.BytesIO(page_of()))
            tree = writer.root_object["/Pages"]
            tree[NameObject("/Resources")] = page["/Resources"]
            tree[NameObject("/Rotate")] = pypdf.generic.NumberObject(90)
            for each in writer.pages:
                each.pop("/Resources", None)
                each.pop("/Rotate", None)

        pdf = altered(page_of(draw=lambda canvas: canvas.drawString(300, 200, "inherited type")), inherit)
        made = cobrand_pdf(pdf, [LOGO_ZONE], BRAND)
        assert_only_zones_changed(pdf, made, [LOGO_ZONE])
        assert changes(shown(pdf, 2), shown(made, 2), []) == ([], False)

    def test_a_file_already_cobranded_once(self) -> None:
        once = cobrand_pdf(page_of(), [LOGO_ZONE], BRAND)
        assert_only_zones_changed(once, cobrand_pdf(once, [TEXT_ZONE], BRAND), [TEXT_ZONE])


class TestImage:
    def test_outside_the_zones_every_pixel_keeps_its_value(self) -> None:
        made = cobrand_image(BANNER, Kind.PNG, SAMPLE_BANNER_ZONES, BRAND)
        before, after = (Image.open(io.BytesIO(data)).convert("RGB") for data in (BANNER, made))
        inside, outside = changes(before, after, SAMPLE_BANNER_ZONES)
        assert not outside
        assert all(count > 500 for count in inside)

    def test_a_jpeg_stays_a_jpeg_and_nearly_itself(self) -> None:
        target = io.BytesIO()
        Image.open(io.BytesIO(BANNER)).save(target, "JPEG", quality=90)
        made = cobrand_image(target.getvalue(), Kind.JPEG, SAMPLE_BANNER_ZONES, BRAND)
        before, after = (Image.open(io.BytesIO(data)) for data in (target.getvalue(), made))
        assert after.format == "JPEG"
        difference = ImageChops.difference(before, after).convert("L")
        for zone in SAMPLE_BANNER_ZONES:
            assert difference.crop(box_of(zone, difference)).getextrema()[1] > 100
            difference.paste(0, box_of(zone, difference, margin=9))
        assert difference.getextrema()[1] < 30

    def test_the_same_input_gives_the_same_bytes(self) -> None:
        first, second = (cobrand_image(BANNER, Kind.PNG, SAMPLE_BANNER_ZONES, BRAND) for _ in range(2))
        assert first == second

    def test_a_clear_picture_stays_clear_outside(self) -> None:
        target = io.BytesIO()
        Image.new("RGBA", (600, 400), (0, 0, 0, 0)).save(target, "PNG")
        made = Image.open(io.BytesIO(cobrand_image(target.getvalue(), Kind.PNG, [LOGO_ZONE], BRAND)))
        assert made.mode == "RGBA"
        alpha = made.getchannel("A")
        assert alpha.crop(box_of(LOGO_ZONE, alpha)).getextrema()[1] == 255
        alpha.paste(0, box_of(LOGO_ZONE, alpha))
        assert alpha.getextrema() == (0, 0)

    def test_a_second_page_is_refused(self) -> None:
        with pytest.raises(Invalid, match="a picture has only one"):
            cobrand_image(BANNER, Kind.PNG, [replace(LOGO_ZONE, page=2)], BRAND)

    @pytest.mark.parametrize(("align", "side"), [("left", 0), ("center", 1), ("right", 2)])
    def test_the_logo_stands_where_the_zone_aligns_it(self, align: str, side: int) -> None:
        sheet = io.BytesIO()
        Image.new("RGB", (900, 300), "#ffffff").save(sheet, "PNG")
        zone = Zone(1, 0, 0, 1, 0.2, "logo", align)
        made = Image.open(io.BytesIO(cobrand_image(sheet.getvalue(), Kind.PNG, [zone], BRAND)))
        box = ImageChops.invert(made.convert("L")).getbbox()
        assert box is not None
        middle = (box[0] + box[2]) / 2 / made.width
        assert [middle < 0.35, 0.45 < middle < 0.55, middle > 0.65][side]

    def test_the_logo_keeps_its_proportions(self) -> None:
        square = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
        ImageDraw.Draw(square).rectangle((0, 0, 299, 299), fill="#c02020")
        png = io.BytesIO()
        square.save(png, "PNG")
        sheet = io.BytesIO()
        Image.new("RGB", (900, 300), "#ffffff").save(sheet, "PNG")
        brand = replace(BRAND, logo_png=png.getvalue())
        for zone in (Zone(1, 0, 0, 0.9, 0.3, "logo"), Zone(1, 0.3, 0, 0.05, 1, "logo")):
            made = Image.open(io.BytesIO(cobrand_image(sheet.getvalue(), Kind.PNG, [zone], brand)))
            box = ImageChops.invert(made.convert("L")).getbbox()
            assert box is not None
            assert abs((box[2] - box[0]) - (box[3] - box[1])) <= 1


class TestInk:
    def colors(self, ink: str, brand: BrandKit = BRAND, kind: str = "contact_block") -> set[tuple[int, int, int]]:
        sheet = io.BytesIO()
        Image.new("RGB", (900, 400), "#808080").save(sheet, "PNG")
        zone = Zone(1, 0.1, 0.1, 0.8, 0.8, kind, "left", ink)
        made = Image.open(io.BytesIO(cobrand_image(sheet.getvalue(), Kind.PNG, [zone], brand)))
        return {color for count, color in made.getcolors(200_000) or () if count > 20}  # type: ignore[misc]

    def test_text_has_the_ink_of_the_zone(self) -> None:
        assert (255, 255, 255) in self.colors("light")
        assert (0x11, 0x18, 0x27) in self.colors("dark")
        assert (0x12, 0x34, 0xAB) in self.colors("#1234ab")

    def test_brand_ink_sets_the_name_in_the_partners_colour(self) -> None:
        assert {(0x0F, 0x76, 0x6E), (0x11, 0x18, 0x27)} <= self.colors("brand")

    def test_a_pale_brand_colour_is_darkened_until_it_reads(self) -> None:
        pale = self.colors("brand", replace(BRAND, color="#ffe600"))
        assert (0xFF, 0xE6, 0x00) not in pale

    def test_light_ink_takes_the_logo_made_for_dark_grounds(self) -> None:
        assert (255, 255, 255) in self.colors("light", kind="logo"), "its white plate"
        assert (255, 255, 255) not in self.colors("dark", kind="logo")
        assert self.colors("light", replace(BRAND, logo_dark_png=None), kind="logo")

    def test_without_a_logo_the_name_is_set(self) -> None:
        made = cobrand_pdf(page_of(), [LOGO_ZONE], replace(BRAND, logo_png=None, logo_dark_png=None))
        assert "Nord & Söhne" in pypdf.PdfReader(io.BytesIO(made)).pages[0].extract_text()
        assert_only_zones_changed(page_of(), made, [LOGO_ZONE])


class TestKey:
    KEY = cobrand_key("a" * 64, SAMPLE_DATASHEET_ZONES, BRAND)

    def test_it_is_the_same_for_the_same(self) -> None:
        assert cobrand_key("a" * 64, list(SAMPLE_DATASHEET_ZONES), replace(BRAND)) == self.KEY
        assert len(self.KEY) == 64

    @pytest.mark.parametrize("field", list(BrandKit.__dataclass_fields__))
    def test_every_part_of_the_brand_counts(self, field: str) -> None:
        value = b"other" if field.startswith("logo") else "#000000"
        other = replace(BRAND, **{field: value})  # type: ignore[arg-type]
        assert cobrand_key("a" * 64, SAMPLE_DATASHEET_ZONES, other) != self.KEY

    def test_the_asset_and_each_zone_count(self) -> None:
        moved = (replace(SAMPLE_DATASHEET_ZONES[0], x=0.11), SAMPLE_DATASHEET_ZONES[1])
        assert cobrand_key("b" * 64, SAMPLE_DATASHEET_ZONES, BRAND) != self.KEY
        assert cobrand_key("a" * 64, moved, BRAND) != self.KEY
        assert cobrand_key("a" * 64, SAMPLE_DATASHEET_ZONES[::-1], BRAND) != self.KEY
        assert cobrand_key("a" * 64, (), BRAND) != self.KEY


@settings(deadline=None, max_examples=15)
@given(
    st.floats(0, 0.7), st.floats(0, 0.7), st.floats(0.05, 0.3), st.floats(0.02, 0.3),
    st.sampled_from(["logo", "contact_block"]), st.sampled_from(["left", "center", "right"]),
    st.text(alphabet="AbcŻół ẞ-&.", min_size=1, max_size=60).filter(lambda text: bool(text.strip())),
)  # fmt: skip
def test_nothing_ever_leaves_its_zone(
    x: float, y: float, width: float, height: float, kind: str, align: str, name: str
) -> None:
    zone = Zone(1, x, y, width, height, kind, align)
    page = page_of()
    try:
        made = cobrand_pdf(page, [zone], replace(BRAND, name=name))
    except Invalid as refused:
        made = page
        told = refused.message
    else:
        told = ""
    assert changes(shown(page), shown(made), [zone])[1] is False
    assert (made == page) == ("does not fit" in told)
