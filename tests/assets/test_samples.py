"""The sample files pass everything that real uploads must, and are the same each time."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal

import pypdf
import pytest
from PIL import Image

from tcma.assets.documents import read_pdf
from tcma.assets.images import read_logo, read_picture
from tcma.assets.sample_documents import invoice_totals
from tcma.assets.samples import (
    SAMPLE_BANNER_ZONES,
    SAMPLE_DATASHEET_ZONES,
    InvoiceLine,
    sample_banner,
    sample_datasheet,
    sample_invoice,
    sample_logo,
)
from tcma.assets.zones import zones_from

LINES = [InvoiceLine("Postcards with addressing", 2000, 45), InvoiceLine("Design", 1, 35_001)]


def invoice(currency: str = "EUR", rate: str = "0.19") -> bytes:
    return sample_invoice(
        "Druck Süd OHG\nLindenweg 4\n10115 Berlin",
        "Nord GmbH\nMain Street 1",
        "INV-7",
        date(2025, 3, 14),
        LINES,
        currency,
        Decimal(rate),
    )


@pytest.mark.parametrize("seed", range(6))
def test_each_mark_makes_a_logo(seed: int) -> None:
    logo = read_logo(sample_logo("Nord Łódź", "#b45309", seed=seed))
    assert logo.transparent
    assert logo.advice is None
    assert logo.colors
    assert sample_logo("Nord", "#b45309", seed=seed) != sample_logo("Nord", "#b45309", seed=seed + 1)


def test_the_same_call_gives_the_same_bytes() -> None:
    for _ in range(2):
        assert sample_logo("Nord", "#b45309", seed=3) == sample_logo("Nord", "#b45309", seed=3)
        assert sample_datasheet("Backup", "Nord", "#1f6feb") == sample_datasheet("Backup", "Nord", "#1f6feb")
        assert sample_banner("Backup", "#1f6feb") == sample_banner("Backup", "#1f6feb")
        assert invoice() == invoice()


@pytest.mark.parametrize("title", ["Backup", "A title that is a good deal longer than most titles ever are"])
def test_the_datasheet_is_a_clean_page_with_room_for_a_brand(title: str) -> None:
    document = read_pdf(sample_datasheet(title, "Nord Cloud", "#1f6feb"))
    assert (len(document.pages), document.removed) == (1, ())
    assert title in pypdf.PdfReader(io.BytesIO(document.data)).pages[0].extract_text()
    stored = [zone.as_json() for zone in SAMPLE_DATASHEET_ZONES]
    assert zones_from(stored, pages=1) == SAMPLE_DATASHEET_ZONES


def test_the_banner_has_the_size_of_social_posts_and_a_white_panel_for_the_brand() -> None:
    picture = read_picture(sample_banner("Back to work in minutes, whatever happens to your files", "#7c3aed"))
    assert (picture.width, picture.height) == (1200, 628)
    image = Image.open(io.BytesIO(picture.data)).convert("RGB")
    for zone in SAMPLE_BANNER_ZONES:
        box = (zone.x * 1200, zone.y * 628, (zone.x + zone.width) * 1200, (zone.y + zone.height) * 628)
        assert image.crop(tuple(round(side) for side in box)).getextrema() == ((255, 255),) * 3  # type: ignore[arg-type]


def test_the_invoice_can_be_read_back() -> None:
    text = pypdf.PdfReader(io.BytesIO(read_pdf(invoice()).data)).pages[0].extract_text()
    net, tax, gross = invoice_totals(LINES, Decimal("0.19"))
    assert (net, tax, gross) == (125_001, 23_750, 148_751)
    for words in ("Druck Süd OHG", "Nord GmbH", "INV-7", "2025-03-14", "1,250.01", "237.50", "EUR 1,487.51"):
        assert words in text


@pytest.mark.parametrize(("currency", "total"), [("JPY", "JPY 137,501"), ("KWD", "KWD 137.501")])
def test_the_invoice_prints_each_currency_in_its_own_digits(currency: str, total: str) -> None:
    text = pypdf.PdfReader(io.BytesIO(invoice(currency, "0.1"))).pages[0].extract_text()
    assert total in text
    assert "10 %" in text
