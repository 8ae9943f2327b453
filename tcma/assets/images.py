"""Pictures from strangers, made harmless and fit for use: logos, a kit's images, thumbnails.

Every picture is decoded in a limited child process and written anew, so that nothing of the upload but its
pixels survives: no metadata, no comments, no second file behind the end. Colours are brought to sRGB.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageOps

from tcma.assets import palette
from tcma.assets.sniff import PICTURES, Kind, image_size, sniff
from tcma.errors import Invalid
from tcma.limits import limited

Format = Literal["png", "jpeg", "webp"]

MAX_SIDE = 12_000
MAX_PIXELS = 40_000_000
PICTURE_MEMORY_MB = 1536  # 40 million pixels at 4 bytes, and the few copies that converting takes
# What Pillow raises on damaged pixels.
_DECODING = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    struct.error,
    zlib.error,
    Image.DecompressionBombWarning,
    Image.DecompressionBombError,
)
LOGO_BOX = (1200, 600)
LOGO_MIN_SIDE = 32
LOGO_SHARP_SIDE = 300
LOGO_MAX_RATIO = 25
# Below this, scanners' noise and soft edges; above, something a person would call a mark.
_BORDER_TOLERANCE = 18
_SEEN_ALPHA = 8


@dataclass(frozen=True, slots=True)
class Logo:
    """A partner's logo, trimmed and re-encoded as PNG.

    `png` reads well on white and `dark_png` on a dark ground (on a rounded plate where the logo itself would
    vanish). `width` and `height` are those of `png`, in pixels. `colors` are up to three suggestions such as
    `#1f4e8c`, most present first. `advice` is a sentence for people where the logo could be better.
    """

    png: bytes
    dark_png: bytes
    width: int
    height: int
    colors: tuple[str, ...]
    transparent: bool
    advice: str | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture re-encoded in its own kind; `width` and `height` in pixels as it is seen."""

    data: bytes
    kind: Kind
    width: int
    height: int


def read_logo(data: bytes) -> Logo:
    """The logo in a PNG or JPEG; raises Invalid for anything that is not a usable one."""
    kind = sniff(data, accept=PICTURES)
    check_size(*image_size(data, kind))
    png, dark_png, width, height, colors, transparent, advice = limited(
        _read_logo, data, kind.value, memory_mb=PICTURE_MEMORY_MB
    )
    return Logo(png, dark_png, width, height, tuple(colors), transparent, advice)


def read_picture(data: bytes) -> Picture:
    """A PNG or JPEG, upright, in sRGB and without metadata; raises Invalid for anything else."""
    kind = sniff(data, accept=PICTURES)
    check_size(*image_size(data, kind))
    return Picture(*_as_picture(limited(_read_picture, data, kind.value, memory_mb=PICTURE_MEMORY_MB)))


def check_size(width: int, height: int) -> None:
    """Raise Invalid for a picture of more pixels than we decode, with its size, the limit and the mend."""
    if max(width, height) > MAX_SIDE:
        raise Invalid(
            f"This picture is {width:,} × {height:,} pixels. The limit is {MAX_SIDE:,} pixels a side. "
            "Make it smaller, for example 1,200 pixels wide, and upload that."
        )
    if width * height > MAX_PIXELS:
        raise Invalid(
            f"This picture has {width * height / 1e6:,.0f} million pixels ({width:,} × {height:,}). "
            f"The limit is {MAX_PIXELS // 1_000_000} million. Make it smaller, and upload that."
        )


def shrunk(data: bytes, kind: Kind, *, width: int, as_: Format) -> bytes:
    """A picture at most `width` pixels wide and twice as high, never enlarged; raises Invalid."""
    check_size(*image_size(data, kind))
    return limited(_shrunk, data, kind.value, width, as_, memory_mb=PICTURE_MEMORY_MB)


def decoded(data: bytes, kind: Kind) -> Image.Image:
    """The decoded picture, upright, as RGB or RGBA in sRGB. Only for use inside a limited child.

    Raises Invalid where the pixels cannot be decoded to the end.
    """
    check_size(*image_size(data, kind))
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(data), formats=(kind.upper(),)) as image:
            image.load()
            return _to_srgb(ImageOps.exif_transpose(image))
    except _DECODING as error:
        raise Invalid(
            f"This {kind.label} is damaged: its pixels cannot be read to the end. Open it, save it again, "
            "and upload that."
        ) from error


def encoded(image: Image.Image, as_: Format) -> bytes:
    """The picture as bytes: the same pixels always give the same bytes, and there is no metadata.

    JPEG knows no transparency; there the ground becomes white.
    """
    target = io.BytesIO()
    clean = Image.new(image.mode, image.size)  # leaves `info` behind, which savers would write out
    clean.paste(image)
    if as_ == "png":
        clean.save(target, "PNG", optimize=True)
    elif as_ == "webp":
        clean.save(target, "WEBP", quality=82, method=4)
    else:
        flat(clean).save(target, "JPEG", quality=92, subsampling=0, optimize=True)
    return target.getvalue()


def flat(image: Image.Image, ground: str = "#ffffff") -> Image.Image:
    """The picture as RGB, laid on `ground` where it is transparent."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    sheet = Image.new("RGB", image.size, ground)
    sheet.paste(image, mask=image.getchannel("A"))
    return sheet


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        # 16-bit greys: Pillow would clip at 255 where it should scale.
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if image.mode != "CMYK":
        clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        image = image.convert("RGBA" if clear else "RGB")
    if profile:
        image = _by_profile(image, profile)
    return image.convert("RGB") if image.mode == "CMYK" else image


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours by the picture's own profile; one that is broken or for another colour space is left aside."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        done = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        return image if done is None else done
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _as_picture(answer: tuple[bytes, str, int, int]) -> tuple[bytes, Kind, int, int]:
    data, kind, width, height = answer
    return data, Kind(kind), width, height


def _read_picture(data: bytes, kind: str) -> tuple[bytes, str, int, int]:
    image = decoded(data, Kind(kind))
    return encoded(image, "png" if kind == Kind.PNG else "jpeg"), kind, image.width, image.height


def _shrunk(data: bytes, kind: str, width: int, as_: Format) -> bytes:
    image = decoded(data, Kind(kind))
    image.thumbnail((width, width * 2), Image.Resampling.LANCZOS)
    return encoded(image, as_)


def _read_logo(data: bytes, kind: str) -> tuple[bytes, bytes, int, int, list[str], bool, str | None]:
    logo, ground = _trimmed(decoded(data, Kind(kind)))
    advice = _advice(logo)
    logo.thumbnail(LOGO_BOX, Image.Resampling.LANCZOS)
    transparent = ground is None
    light, dark = _variants(logo, ground)
    return (
        encoded(light, "png"),
        encoded(dark, "png"),
        light.width,
        light.height,
        palette.suggested(logo, ground),
        transparent,
        advice,
    )


def _trimmed(image: Image.Image) -> tuple[Image.Image, str | None]:
    """The logo without its empty or one-coloured border, with a narrow one of ours, and its ground's colour.

    The ground is None where the logo is transparent. Raises Invalid for a picture of a single colour.
    """
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if alpha is not None and not any(alpha.histogram()[:250]):
        image, alpha = image.convert("RGB"), None
    if alpha is not None:
        box = alpha.point(lambda value: 255 if value > _SEEN_ALPHA else 0).getbbox()
        ground, fill = None, (0, 0, 0, 0)
    else:
        image = image.convert("RGB")
        color = palette.border_color(image)
        distance = ImageChops.difference(image, Image.new("RGB", image.size, color))
        strongest = ImageChops.lighter(ImageChops.lighter(*distance.split()[:2]), distance.getchannel(2))
        box = strongest.point(lambda value: 255 if value > _BORDER_TOLERANCE else 0).getbbox()
        ground, fill = palette.as_hex(color), (*color, 255)
    if box is None:
        raise Invalid("This picture is empty: it shows one colour only. Choose the file that holds your logo.")
    logo = image.crop(box).convert("RGBA")
    _check_logo(logo)
    edge = max(2, round(max(logo.size) * 0.02))
    framed = Image.new("RGBA", (logo.width + 2 * edge, logo.height + 2 * edge), fill)
    framed.paste(logo, (edge, edge))
    return framed, ground


def _check_logo(logo: Image.Image) -> None:
    width, height = logo.size
    if max(width, height) < LOGO_MIN_SIDE:
        raise Invalid(
            f"The logo in this picture is only {width} × {height} pixels. Upload one that is at least "
            f"{LOGO_SHARP_SIDE} pixels wide; 600 or more is better for print."
        )
    if max(width, height) > LOGO_MAX_RATIO * min(width, height):
        raise Invalid(
            f"What this picture shows is {width} × {height} pixels: a line rather than a logo. Choose the "
            "file that holds your logo."
        )


def _advice(logo: Image.Image) -> str | None:
    if max(logo.size) >= LOGO_SHARP_SIDE:
        return None
    return (
        f"Your logo is {logo.width} × {logo.height} pixels. On screens that is fine; in print it will look "
        "soft. A PNG 600 pixels wide or more is better."
    )


def _variants(logo: Image.Image, ground: str | None) -> tuple[Image.Image, Image.Image]:
    """The logo for light and for dark grounds: itself where it stands out, else on a plate."""
    if ground is not None:
        # An opaque logo brings its ground along: fine on paper, a hard box on dark unless dark itself.
        dark_enough = palette.luminance(ground) < 0.2
        return logo, logo if dark_enough else _on_plate(logo, ground)
    light = _on_plate(logo, palette.DARK_PLATE) if palette.vanishes(logo, "#ffffff") else logo
    dark = _on_plate(logo, "#ffffff") if palette.vanishes(logo, palette.DARK_GROUND) else logo
    return light, dark


def _on_plate(logo: Image.Image, color: str) -> Image.Image:
    margin = max(6, round(min(logo.size) * 0.12))
    size = (logo.width + 2 * margin, logo.height + 2 * margin)
    smooth = 4  # drawn larger and shrunk, for an even edge
    mask = Image.new("L", (size[0] * smooth, size[1] * smooth))
    radius = round(min(size) * 0.14) * smooth
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius, fill=255)
    mask = mask.resize(size, Image.Resampling.LANCZOS)
    plate = Image.new("RGBA", size, (*palette.as_rgb(color), 0))
    plate.putalpha(mask)
    plate.alpha_composite(logo, (margin, margin))
    return plate
