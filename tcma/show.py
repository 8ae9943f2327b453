"""How values are shown to people: filters of all templates, in the reader's locale and time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import flask_babel
from flask import Flask, g
from markupsafe import Markup, escape

from tcma import clock
from tcma.money import Money


def reader_zone() -> ZoneInfo:
    """The reader's time zone; UTC where it is not known."""
    actor = getattr(g, "actor", None)
    try:
        return ZoneInfo(actor.timezone) if actor else ZoneInfo("UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def show_money(value: Money | None) -> str:
    return "–" if value is None else value.format(locale=str(flask_babel.get_locale() or "en"))


def _moment(local: datetime) -> str:
    """Day and time to the minute; seconds help nobody who plans or looks back."""
    day = flask_babel.format_date(local, "medium", rebase=False)
    return f"{day}, {flask_babel.format_time(local, 'short', rebase=False)}"


def show_datetime(value: datetime | None) -> Markup | str:
    if value is None:
        return "–"
    local = value.astimezone(reader_zone())
    words = _moment(local)
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), words)


def show_day(value: date | None) -> Markup | str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        value = value.astimezone(reader_zone()).date()
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), flask_babel.format_date(value, "medium"))


def show_ago(value: datetime | None) -> Markup | str:
    """Relative words with the exact moment on hover; script keeps them fresh."""
    if value is None:
        return "–"
    words = flask_babel.format_timedelta(value - clock.now(), add_direction=True, threshold=0.9)
    if abs(value - clock.now()) < timedelta(seconds=45):
        words = flask_babel.gettext("just now")
    exact = _moment(value.astimezone(reader_zone()))
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(value.isoformat(), exact, words)


def show_number(value: int | float | Decimal | None) -> str:
    return "–" if value is None else flask_babel.format_decimal(value)


def show_percent(value: float | Decimal | None) -> str:
    """A share 0..1 as a percentage."""
    return "–" if value is None else flask_babel.format_percent(value, "#,##0.#%")


def show_filesize(value: int | None) -> str:
    if value is None:
        return "–"
    size = float(value)
    for unit in ("B", "KB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size /= 1000
    return f"{flask_babel.format_decimal(round(size, 1 if size < 10 and unit != 'B' else 0))} {unit}"


def show_lines(value: str | None) -> Markup:
    """Plain text with its line breaks."""
    return Markup("<br>").join(escape(line) for line in (value or "").splitlines())


def add_filters(app: Flask) -> None:
    app.jinja_env.filters.update(
        money=show_money, datetime=show_datetime, day=show_day, ago=show_ago, number=show_number,
        percent=show_percent, filesize=show_filesize, lines=show_lines,
    )  # fmt: skip
