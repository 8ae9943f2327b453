"""Pictures from strangers come out harmless, upright, trimmed and fit for light and dark."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

from tcma.assets import palette
from tcma.assets.documents import thumbnail
from tcma.assets.images import LOGO_BOX, Picture, read_logo, read_picture
from tcma.assets.samples import sample_logo
from tcma.assets.sniff import Kind
from tcma.errors import Invalid

LOGO = sample_logo("Nord", "#1f6feb", seed=0)


def drawn(mode: str = "RGBA", size: tuple[int, int] = (600, 300), ground: object = None) -> Image.Image:
    """A blue box with a red one in it, in the middle of a large empty ground."""
    clear = (255, 255, 255, 0) if mode == "RGBA" else "#ffffff"
    image = Image.new(mode, size, clear if ground is None else ground)  # type: ignore[arg-type]
    draw = ImageDraw.Draw(image)
    draw.rectangle((200, 100, 399, 199), fill="#0000c8")
    draw.rectangle((210, 110, 260, 190), fill="#c80000")
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(one: tuple[int, ...], other: tuple[int, ...], within: int = 12) -> bool:
    return all(abs(a - b) <= within for a, b in zip(one[:3], other[:3], strict=True))


class TestLogo:
    def test_an_empty_border_is_trimmed_to_a_narrow_one(self) -> None:
        logo = read_logo(saved(drawn()))
        assert (logo.width, logo.height) == (208, 108)
        assert logo.transparent
        image = opened(logo.png)
        assert image.format == "PNG"
        assert image.size == (208, 108)
        assert image.getpixel((0, 0)) == (0, 0, 0, 0)
        assert image.getpixel((150, 50)) == (0, 0, 200, 255)

    @pytest.mark.parametrize("ground", ["#ffffff", "#123456"])
    def test_a_border_of_one_colour_is_trimmed_too(self, ground: str) -> None:
        logo = read_logo(saved(drawn("RGB", ground=ground)))
        assert (logo.width, logo.height) == (208, 108)
        assert not logo.transparent
        assert palette.as_rgb(ground) == opened(logo.png).getpixel((0, 0))[:3]

    def test_noise_of_a_jpeg_border_is_no_mark(self) -> None:
        logo = read_logo(saved(drawn("RGB"), "JPEG", quality=60))
        block = 16  # JPEG smears a mark no further than the blocks that it touches
        assert abs(logo.width - 208) <= block
        assert abs(logo.height - 108) <= block

    def test_a_fully_opaque_alpha_channel_is_no_transparency(self) -> None:
        logo = read_logo(saved(drawn("RGB").convert("RGBA")))
        assert not logo.transparent
        assert (logo.width, logo.height) == (208, 108)

    def test_a_large_logo_is_brought_to_size(self) -> None:
        image = drawn().resize((6000, 3000))
        logo = read_logo(saved(image))
        assert logo.width <= LOGO_BOX[0]
        assert logo.height <= LOGO_BOX[1]
        assert abs(logo.width / logo.height - 208 / 108) < 0.05

    def test_the_same_logo_gives_the_same_bytes(self) -> None:
        assert read_logo(LOGO) == read_logo(LOGO)

    @pytest.mark.parametrize("color", ["#000000", "#ffffff"])
    def test_a_picture_of_one_colour_is_refused(self, color: str) -> None:
        with pytest.raises(Invalid, match="one colour only"):
            read_logo(saved(Image.new("RGB", (300, 100), color)))

    def test_an_invisible_picture_is_refused(self) -> None:
        with pytest.raises(Invalid, match="empty"):
            read_logo(saved(Image.new("RGBA", (300, 100), (9, 9, 9, 0))))

    def test_a_tiny_one_is_refused_and_a_small_one_gets_advice(self) -> None:
        with pytest.raises(Invalid, match=r"only 20 × 10 pixels\. Upload one that is at least 300"):
            read_logo(saved(drawn().resize((60, 30), Image.Resampling.NEAREST)))
        assert read_logo(LOGO).advice is None
        advice = read_logo(saved(drawn())).advice
        assert advice is not None
        assert "600 pixels wide" in advice

    def test_a_line_is_no_logo(self) -> None:
        line = Image.new("RGBA", (4000, 300), (0, 0, 0, 0))
        ImageDraw.Draw(line).rectangle((0, 100, 3999, 120), fill="#ff0000")
        with pytest.raises(Invalid, match="a line rather than a logo"):
            read_logo(saved(line))

    def test_its_colours_are_suggested_without_paper_and_greys_last(self) -> None:
        image = drawn("RGB")
        ImageDraw.Draw(image).rectangle((300, 110, 390, 190), fill="#404040")
        colors = read_logo(saved(image)).colors
        assert [near(palette.as_rgb(color), goal) for color, goal in zip(
            colors, ((0, 0, 200), (200, 0, 0), (64, 64, 64)), strict=True
        )] == [True] * 3  # fmt: skip

    def test_a_white_logo_suggests_no_white(self) -> None:
        white = Image.new("RGBA", (400, 200), (255, 255, 255, 0))
        ImageDraw.Draw(white).ellipse((50, 50, 350, 150), fill="#ffffff")
        assert read_logo(saved(white)).colors == ()


class TestOnLightAndDark:
    def test_a_dark_logo_gets_a_white_plate_for_dark_grounds(self) -> None:
        dark = Image.new("RGBA", (400, 200), (0, 0, 0, 0))
        ImageDraw.Draw(dark).ellipse((50, 50, 350, 150), fill="#101820")
        logo = read_logo(saved(dark))
        on_dark = opened(logo.dark_png)
        assert on_dark.width > logo.width
        assert on_dark.getpixel((0, 0))[3] == 0, "rounded"
        assert on_dark.getpixel((on_dark.width // 2, 4)) == (255, 255, 255, 255)
        assert opened(logo.png).getpixel((2, 2))[3] == 0, "no plate on light"

    def test_a_white_logo_gets_a_dark_plate_for_light_grounds(self) -> None:
        white = Image.new("RGBA", (400, 200), (255, 255, 255, 0))
        ImageDraw.Draw(white).ellipse((50, 50, 350, 150), fill="#ffffff")
        logo = read_logo(saved(white))
        on_light = opened(logo.png)
        assert near(on_light.getpixel((on_light.width // 2, 4)), palette.as_rgb(palette.DARK_PLATE))
        assert opened(logo.dark_png).getpixel((2, 2))[3] == 0, "no plate on dark"

    def test_a_bright_logo_stands_by_itself_on_both(self) -> None:
        bright = Image.new("RGBA", (400, 200), (0, 0, 0, 0))
        ImageDraw.Draw(bright).ellipse((50, 50, 350, 150), fill="#e0572b")
        logo = read_logo(saved(bright))
        assert logo.png == logo.dark_png

    def test_a_dark_name_beside_a_bright_mark_is_not_lost_on_dark(self) -> None:
        image = Image.new("RGBA", (700, 220), (0, 0, 0, 0))
        draw = ImageDraw.Draw(image)
        draw.rectangle((10, 10, 409, 209), fill="#e0572b")
        for left in range(430, 690, 40):
            draw.rectangle((left, 100, left + 12, 140), fill="#101010")
        logo = read_logo(saved(image))
        assert logo.dark_png != logo.png

    def test_white_letters_inside_a_badge_need_no_plate(self) -> None:
        image = Image.new("RGBA", (700, 220), (0, 0, 0, 0))
        draw = ImageDraw.Draw(image)
        draw.rectangle((10, 10, 689, 209), fill="#0f766e")
        for left in range(60, 640, 60):
            draw.rectangle((left, 40, left + 40, 180), fill="#ffffff")
        logo = read_logo(saved(image))
        assert opened(logo.png).getpixel((2, 2))[3] == 0

    def test_an_opaque_logo_brings_its_paper_along_on_dark(self) -> None:
        logo = read_logo(saved(drawn("RGB", ground="#fff8e0")))
        on_dark = opened(logo.dark_png)
        assert on_dark.getpixel((0, 0))[3] == 0
        assert on_dark.getpixel((on_dark.width // 2, 3))[:3] == (255, 248, 224)


class TestHarmless:
    def test_metadata_and_hidden_parts_are_gone(self) -> None:
        notes = PngInfo()
        notes.add_text("Author", "Jane Secret")
        notes.add_itxt("XML:com.adobe.xmp", "<x>Secret</x>")
        exif = Image.Exif()
        exif[0x010F] = "SecretCam"
        png = read_picture(saved(drawn("RGB"), pnginfo=notes, exif=exif)).data
        jpeg = read_picture(saved(drawn("RGB"), "JPEG", exif=exif, comment=b"Secret")).data
        for data in (png, jpeg):
            assert b"Secret" not in data
            assert b"Jane" not in data
            assert len(opened(data).getexif()) == 0

    def test_a_turned_photo_is_set_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was held upright
        image = Image.new("RGB", (200, 100), "#ffffff")
        ImageDraw.Draw(image).rectangle((0, 0, 40, 99), fill="#ff0000")
        picture = read_picture(saved(image, "JPEG", exif=exif, quality=95))
        assert (picture.width, picture.height) == (100, 200)
        assert near(opened(picture.data).getpixel((50, 10)), (255, 0, 0), 30)

    def test_print_colours_become_screen_colours(self) -> None:
        cmyk = Image.new("CMYK", (300, 100), (0, 0, 0, 0))
        ImageDraw.Draw(cmyk).rectangle((100, 30, 200, 70), fill=(0, 255, 255, 0))
        picture = read_picture(saved(cmyk, "JPEG", quality=95))
        image = opened(picture.data)
        assert image.mode == "RGB"
        assert near(image.getpixel((5, 5)), (255, 255, 255), 20)
        red, green, blue = image.getpixel((150, 50))
        assert red > 200
        assert max(green, blue) < 80

    def test_a_colour_profile_is_applied_and_a_broken_one_left_aside(self) -> None:
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        for profile in (b"broken", b"\0" * 200, lab):
            picture = read_picture(saved(drawn("RGB"), icc_profile=profile))
            assert opened(picture.data).getpixel((150 + 180, 150))[:3] == (0, 0, 200)
            assert "icc_profile" not in opened(picture.data).info

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"])
    def test_every_mode_of_png_is_read(self, mode: str) -> None:
        base = Image.new("L", (60, 40), 255)
        ImageDraw.Draw(base).rectangle((20, 10, 40, 30), fill=0)
        if mode.startswith("I"):
            # Grey scales of 16 bits: 40,000 of 65,535 is 155 of 255.
            deep = Image.new("I;16", (60, 40), 40_000)
            assert near((opened(read_picture(saved(deep)).data).getpixel((5, 5))[0],) * 3, (155,) * 3, 1)
            return
        picture = read_picture(saved(base.convert(mode)))
        image = opened(picture.data).convert("RGB")
        assert (image.getpixel((5, 5)), image.getpixel((30, 20))) == ((255,) * 3, (0,) * 3)

    def test_transparency_by_a_single_colour_is_kept(self) -> None:
        image = drawn("RGB")
        picture = read_picture(saved(image, transparency=(255, 255, 255)))
        assert opened(picture.data).getpixel((5, 5))[3] == 0
        assert read_logo(saved(image.convert("P"), transparency=0)).width > 0

    def test_a_phones_photo_with_a_second_picture_behind_is_taken(self) -> None:
        first, second = drawn("RGB"), drawn("RGB").resize((60, 30))
        target = io.BytesIO()
        first.save(target, "MPO", save_all=True, append_images=[second])
        picture = read_picture(target.getvalue())
        assert (picture.kind, picture.width, picture.height) == (Kind.JPEG, 600, 300)
        assert opened(picture.data).format == "JPEG"

    def test_a_plain_png_keeps_every_pixel(self) -> None:
        image = drawn()
        picture = read_picture(saved(image))
        assert opened(picture.data).tobytes() == image.tobytes()
        assert isinstance(picture, Picture)


def huge_png(width: int, height: int, *, chunk: bytes = b"") -> bytes:
    """A small file that would fill width × height pixels."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(min(height, 60_000))) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + chunk + part(b"IDAT", body) + part(b"IEND", b"")


class TestBombs:
    def test_a_picture_50000_pixels_wide_is_refused_with_both_values(self) -> None:
        with pytest.raises(Invalid, match=r"is 50,000 × 100 pixels\. The limit is 12,000 pixels a side"):
            read_logo(huge_png(50_000, 100))

    def test_too_many_pixels_are_refused_with_both_values(self) -> None:
        with pytest.raises(Invalid, match=r"100 million pixels \(10,000 × 10,000\)\. The limit is 40 million"):
            read_picture(huge_png(10_000, 10_000))

    def test_the_largest_allowed_is_read(self) -> None:
        picture = read_picture(huge_png(8_000, 5_000))
        assert (picture.width, picture.height) == (8_000, 5_000)

    def test_a_header_that_lies_gets_no_further(self) -> None:
        """The declared size is small, a second header says otherwise."""
        small, large = huge_png(100, 100), huge_png(50_000, 50_000)
        for data in (small[:33] + large[8:], small[:-12] + large[8:]):
            with pytest.raises(Invalid, match="damaged"):
                read_picture(data)
        frame = PHOTO.index(b"\xff\xc2")
        end = frame + 2 + int.from_bytes(PHOTO[frame + 2 : frame + 4], "big")
        with pytest.raises(Invalid, match="damaged"):
            read_picture(PHOTO[:end] + PHOTO[frame:])

    def test_a_text_that_unpacks_to_a_gigabyte_is_left_alone(self) -> None:
        packed = zlib.compress(b"x" * 300_000_000, 9)
        content = b"Comment\0\0" + packed
        chunk = struct.pack(">I", len(content)) + b"zTXt" + content
        chunk += struct.pack(">I", zlib.crc32(b"zTXt" + content))
        begun = time.monotonic()
        try:
            assert read_picture(huge_png(100, 100, chunk=chunk)).width == 100
        except Invalid as refused:
            assert "damaged" in refused.message  # noqa: PT017 - either is right, as long as it is quick
        assert time.monotonic() - begun < 20


class TestThumbnail:
    @pytest.mark.parametrize(("as_", "name"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
    def test_a_picture_is_shrunk_in_proportion(self, as_: str, name: str) -> None:
        small = opened(thumbnail(saved(drawn()), Kind.PNG, width=120, as_=as_))  # type: ignore[arg-type]
        assert (small.format, small.size) == (name, (120, 60))

    def test_it_is_never_enlarged_nor_endlessly_high(self) -> None:
        assert opened(thumbnail(saved(drawn()), Kind.PNG, width=5000)).size == (600, 300)
        tower = Image.new("RGB", (100, 8000), "#808080")
        assert opened(thumbnail(saved(tower), Kind.PNG, width=100)).height <= 200

    def test_clear_ground_becomes_white_where_the_kind_knows_none(self) -> None:
        small = opened(thumbnail(saved(drawn()), Kind.PNG, width=300, as_="jpeg"))
        assert near(small.getpixel((5, 5)), (255, 255, 255), 3)


PHOTO = saved(drawn("RGB"), "JPEG", progressive=True)


@settings(deadline=None, max_examples=12)
@given(st.sampled_from([LOGO, PHOTO]), st.floats(0.02, 0.98))
def test_a_truncated_picture_is_always_refused(whole: bytes, share: float) -> None:
    with pytest.raises(Invalid):
        read_logo(whole[: int(len(whole) * share)])


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([LOGO, PHOTO]), st.integers(0, 2**32), st.integers(1, 30))
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(whole: bytes, seed: int, count: int) -> None:
    """The ends stay, so that the damage reaches the decoder."""
    chance, data = random.Random(seed), bytearray(whole)
    for _ in range(count):
        data[chance.randrange(30, len(data) - 14)] = chance.randrange(256)
    assert outcome(bytes(data))


def outcome(data: bytes) -> str:
    """Any other exception than a refusal fails the test that asks."""
    try:
        return f"{read_logo(data).width} pixels"
    except Invalid as refused:
        return refused.message
