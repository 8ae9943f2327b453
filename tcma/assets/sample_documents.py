"""Sample PDF files made in code: a datasheet with room for a partner's brand, and an invoice."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from tcma.assets import fonts, palette
from tcma.assets.zones import Zone

_INK, _GREY, _RULE, _PALE = "#1f2937", "#6b7280", "#d8dde5", "#f5f7fa"
_EDGE = 48.0
_WIDTH, _HEIGHT = A4
_FOOT = (36.0, 104.0)  # bottom and top of the datasheet's panel for the partner, in points
# ISO 4217 exponents other than 2, of the currencies that samples may use.
_EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "KWD": 3, "BHD": 3, "TND": 3}

SAMPLE_DATASHEET_ZONES = (
    Zone(1, 0.105, 0.889, 0.26, 0.056, "logo", "left", "dark"),
    Zone(1, 0.43, 0.8825, 0.465, 0.069, "contact_block", "left", "brand"),
)

_FACTS = (
    ("99.95 %", "availability, month by month"),
    ("12 min", "from order to first use"),
    ("24/7", "people who answer"),
)
_REASONS = (
    (
        "Ready in an afternoon",
        "Your partner sets it up with you, moves your data and shows your team around.",
    ),
    ("Costs you can plan", "One price for each person and month. No fee to begin, none to leave."),
    ("Safe by default", "Encrypted in transit and at rest, with a sign-in that asks twice."),
    ("Grows as you do", "Add people, places or storage whenever you need them, for a day or for good."),
)
_TABLE = (
    ("", "Essential", "Business", "Premium"),
    ("People", "up to 10", "up to 100", "no limit"),
    ("Storage for each", "100 GB", "1 TB", "5 TB"),
    ("Restore from", "30 days", "1 year", "10 years"),
    ("Support", "by mail", "phone, 8–18 h", "phone, 24/7"),
    ("Answer within", "1 day", "4 hours", "30 minutes"),
)


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line of an invoice; `unit_price` is in minor units of the currency (cents), without tax."""

    text: str
    quantity: int
    unit_price: int


def sample_datasheet(title: str, vendor: str, color: str) -> bytes:
    """An A4 page in PDF about a product, its panel at the bottom empty under SAMPLE_DATASHEET_ZONES."""
    target = io.BytesIO()
    canvas = _canvas(target, title=title, author=vendor)
    _datasheet_head(canvas, title=title, vendor=vendor, color=color)
    _datasheet_facts(canvas, color)
    _datasheet_reasons(canvas, color)
    _datasheet_table(canvas, color)
    _datasheet_foot(canvas)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def sample_invoice(
    supplier: str,
    buyer: str,
    number: str,
    date: date,
    lines: Sequence[InvoiceLine],
    currency: str,
    tax_rate: Decimal,
) -> bytes:
    """An A4 invoice in PDF whose text can be read back.

    `supplier` and `buyer` are a name and an address in lines; `tax_rate` is a share such as Decimal("0.19"),
    rounded half up on the sum of the lines.
    """
    target = io.BytesIO()
    canvas = _canvas(target, title=f"Invoice {number}", author=supplier.splitlines()[0])
    _invoice_head(canvas, supplier=supplier, buyer=buyer, number=number, day=date)
    _invoice_lines(canvas, lines, currency=currency, tax_rate=tax_rate)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def invoice_totals(lines: Sequence[InvoiceLine], tax_rate: Decimal) -> tuple[int, int, int]:
    """Net, tax and gross in minor units, as `sample_invoice` prints them."""
    net = sum(line.quantity * line.unit_price for line in lines)
    tax = int((net * tax_rate).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return net, tax, net + tax


def _canvas(target: io.BytesIO, *, title: str, author: str) -> Canvas:
    canvas = Canvas(target, pagesize=A4, invariant=1, pageCompression=1)
    canvas.setTitle(title)
    canvas.setAuthor(author)
    return canvas


def _text(canvas: Canvas, text: str, x: float, y: float, *, size: float, bold: bool = False, color: str = _INK) -> None:
    canvas.setFont(fonts.pdf_font(bold=bold), size)
    canvas.setFillColor(HexColor(color))
    canvas.drawString(x, y, text)


def _right(
    canvas: Canvas, text: str, x: float, y: float, *, size: float, bold: bool = False, color: str = _INK
) -> None:
    _text(canvas, text, x - _width(text, size, bold=bold), y, size=size, bold=bold, color=color)


def _width(text: str, size: float, *, bold: bool = False) -> float:
    return float(pdfmetrics.stringWidth(text, fonts.pdf_font(bold=bold), size))


def _paragraph(canvas: Canvas, text: str, x: float, y: float, *, width: float, size: float, color: str = _INK) -> float:
    """Set `text` in lines no wider than `width`, the first baseline at `y`; the baseline after the last."""
    line = ""
    for word in [*text.split(), None]:
        longer = f"{line} {word}".strip()
        if word is None or _width(longer, size) > width:
            _text(canvas, line, x, y, size=size, color=color)
            line, y = word or "", y - size * 1.42
        else:
            line = longer
    return y


def _rule(canvas: Canvas, left: float, right: float, y: float, *, color: str = _RULE, width: float = 0.6) -> None:
    canvas.setStrokeColor(HexColor(color))
    canvas.setLineWidth(width)
    canvas.line(left, y, right, y)


def _datasheet_head(canvas: Canvas, *, title: str, vendor: str, color: str) -> None:
    bottom = _HEIGHT - 236
    canvas.saveState()
    path = canvas.beginPath()
    path.rect(0, bottom, _WIDTH, 236)
    canvas.clipPath(path, stroke=0, fill=0)
    red, green, blue = (value / 255 for value in palette.as_rgb(color))
    first, last = Color(red * 0.45, green * 0.45, blue * 0.5), Color(red, green, blue)
    canvas.linearGradient(0, bottom, _WIDTH, _HEIGHT, (first, last), extend=True)
    canvas.setFillColor(Color(1, 1, 1, alpha=0.07))
    for radius in (230, 165, 100, 45):
        canvas.circle(_WIDTH - 70, bottom + 150, radius, stroke=0, fill=1)
    canvas.restoreState()
    _text(canvas, vendor, _EDGE, _HEIGHT - 50, size=13, bold=True, color="#ffffff")
    _right(canvas, "DATASHEET", _WIDTH - _EDGE, _HEIGHT - 50, size=9, bold=True, color="#ffffff")
    size = 34.0
    while _width(title, size, bold=True) > _WIDTH - 2 * _EDGE and size > 16:
        size -= 1
    _text(canvas, title, _EDGE - 1, _HEIGHT - 132, size=size, bold=True, color="#ffffff")
    lead = "Everything a growing business needs to work safely from anywhere, looked after by someone nearby."
    _paragraph(canvas, lead, _EDGE, _HEIGHT - 162, width=360, size=12.5, color="#ffffff")


def _datasheet_facts(canvas: Canvas, color: str) -> None:
    width = (_WIDTH - 2 * _EDGE - 24) / 3
    for place, (figure, words) in enumerate(_FACTS):
        left = _EDGE + place * (width + 12)
        canvas.setFillColor(HexColor("#ffffff"))
        canvas.setStrokeColor(HexColor(_RULE))
        canvas.setLineWidth(0.6)
        canvas.roundRect(left, _HEIGHT - 270, width, 62, 6, stroke=1, fill=1)
        ink = palette.readable(color)
        _text(canvas, figure, left + 14, _HEIGHT - 238, size=21, bold=True, color=ink)
        _text(canvas, words, left + 14, _HEIGHT - 257, size=8.6, color=_GREY)


def _datasheet_reasons(canvas: Canvas, color: str) -> None:
    _text(canvas, "Why teams choose it", _EDGE, 532, size=15, bold=True)
    column = (_WIDTH - 2 * _EDGE - 28) / 2
    for place, (head, words) in enumerate(_REASONS):
        left, top = _EDGE + (place % 2) * (column + 28), 502 - (place // 2) * 66
        canvas.setFillColor(HexColor(color))
        canvas.circle(left + 8, top + 1, 8, stroke=0, fill=1)
        canvas.setStrokeColor(HexColor("#ffffff"))
        canvas.setLineWidth(1.5)
        canvas.lines([(left + 4.4, top + 1, left + 7.2, top - 2), (left + 7.2, top - 2, left + 11.8, top + 4)])
        _text(canvas, head, left + 25, top - 2.5, size=11, bold=True)
        _paragraph(canvas, words, left + 25, top - 18, width=column - 25, size=9.4, color=_GREY)


def _datasheet_table(canvas: Canvas, color: str) -> None:
    _text(canvas, "Three ways to begin", _EDGE, 356, size=15, bold=True)
    stops = (_EDGE + 12, _EDGE + 160, _EDGE + 280, _EDGE + 398)
    row, top = 26.0, 338.0
    canvas.setFillColor(HexColor(color))
    canvas.roundRect(_EDGE, top - row, _WIDTH - 2 * _EDGE, row, 4, stroke=0, fill=1)
    for number, cells in enumerate(_TABLE):
        base = top - number * row
        if number and number % 2 == 0:
            canvas.setFillColor(HexColor(_PALE))
            canvas.rect(_EDGE, base - row, _WIDTH - 2 * _EDGE, row, stroke=0, fill=1)
        for place, (cell, stop) in enumerate(zip(cells, stops, strict=True)):
            tone = "#ffffff" if number == 0 else (_INK if place else _GREY)
            _text(canvas, cell, stop, base - 17, size=9.8, bold=number == 0, color=tone)
    _rule(canvas, _EDGE, _WIDTH - _EDGE, top - len(_TABLE) * row)


def _datasheet_foot(canvas: Canvas) -> None:
    _text(canvas, "YOUR LOCAL PARTNER", _EDGE, _FOOT[1] + 8, size=8, bold=True, color=_GREY)
    canvas.setFillColor(HexColor(_PALE))
    canvas.roundRect(_EDGE, _FOOT[0], _WIDTH - 2 * _EDGE, _FOOT[1] - _FOOT[0], 6, stroke=0, fill=1)
    small = "Figures as of this edition; what counts is the offer that your partner makes you."
    _text(canvas, small, _EDGE, 20, size=7, color=_GREY)


def _invoice_head(canvas: Canvas, *, supplier: str, buyer: str, number: str, day: date) -> None:
    name, *address = supplier.splitlines()
    _text(canvas, name, _EDGE, _HEIGHT - 66, size=16, bold=True)
    for place, line in enumerate(address):
        _text(canvas, line, _EDGE, _HEIGHT - 84 - place * 13, size=9.5, color=_GREY)
    _right(canvas, "INVOICE", _WIDTH - _EDGE, _HEIGHT - 68, size=22, bold=True)
    facts = (("Invoice number:", number), ("Invoice date:", day.isoformat()), ("Payment due:", "30 days net"))
    for place, (label, value) in enumerate(facts):
        y = _HEIGHT - 92 - place * 15
        _text(canvas, label, _WIDTH - _EDGE - 190, y, size=9.5, color=_GREY)
        _right(canvas, value, _WIDTH - _EDGE, y, size=9.5, bold=True)
    _rule(canvas, _EDGE, _WIDTH - _EDGE, _HEIGHT - 158)
    _text(canvas, "Bill to", _EDGE, _HEIGHT - 184, size=9, color=_GREY)
    for place, line in enumerate(buyer.splitlines()):
        _text(canvas, line, _EDGE, _HEIGHT - 200 - place * 14, size=10.5, bold=place == 0)


def _invoice_lines(canvas: Canvas, lines: Sequence[InvoiceLine], *, currency: str, tax_rate: Decimal) -> None:
    quantity, price, total = _WIDTH - _EDGE - 190, _WIDTH - _EDGE - 90, _WIDTH - _EDGE - 10
    y = _HEIGHT - 300
    canvas.setFillColor(HexColor(_PALE))
    canvas.rect(_EDGE, y - 9, _WIDTH - 2 * _EDGE, 26, stroke=0, fill=1)
    _text(canvas, "Description", _EDGE + 10, y, size=9, bold=True, color=_GREY)
    for head, stop in (("Quantity", quantity), ("Unit price", price), ("Amount", total)):
        _right(canvas, head, stop, y, size=9, bold=True, color=_GREY)
    y -= 30
    for line in lines:
        _right(canvas, str(line.quantity), quantity, y, size=10)
        _right(canvas, _money(line.unit_price, currency), price, y, size=10)
        _right(canvas, _money(line.quantity * line.unit_price, currency), total, y, size=10)
        end = _paragraph(canvas, line.text, _EDGE + 10, y, width=quantity - _EDGE - 70, size=10)
        y = min(y - 14, end) - 10
        _rule(canvas, _EDGE, _WIDTH - _EDGE, y + 14)
    net, tax, gross = invoice_totals(lines, tax_rate)
    rate = f"{(tax_rate * 100).normalize():f} %"
    y -= 14
    for label, amount in (("Net total", net), (f"Tax {rate}", tax)):
        _text(canvas, label, price - 90, y, size=10, color=_GREY)
        _right(canvas, f"{currency} {_money(amount, currency)}", total, y, size=10)
        y -= 18
    _rule(canvas, price - 90, _WIDTH - _EDGE, y + 8, color=_INK, width=1)
    _text(canvas, "Total due", price - 90, y - 9, size=12, bold=True)
    _right(canvas, f"{currency} {_money(gross, currency)}", total, y - 9, size=12, bold=True)
    _rule(canvas, _EDGE, _WIDTH - _EDGE, 78)
    thanks = "Please quote the invoice number with your payment. Thank you for your business."
    _text(canvas, thanks, _EDGE, 62, size=8.6, color=_GREY)


def _money(minor: int, currency: str) -> str:
    digits = _EXPONENTS.get(currency, 2)
    return f"{Decimal(minor).scaleb(-digits):,.{digits}f}"
