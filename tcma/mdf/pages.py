"""What the pages of mdf have in common: reading the address, paging by key, CSV answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from babel.numbers import format_decimal
from flask import Response, current_app, g, request, stream_with_context, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma.csvfile import Cell, write_csv
from tcma.db import bind, db
from tcma.mdf.states import AccountKind
from tcma.money import Money

Page = str | Response | WerkzeugResponse | tuple[str, int]


def uuid_arg(name: str) -> UUID | None:
    """An id in the query string; None for none and for what is no id."""
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None


def int_arg(name: str) -> int | None:
    value = request.args.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else None


def beside(rows: Sequence[Any], more: bool) -> dict[str, str | None]:
    """Addresses of the pages with newer and older rows than `rows`, or None where there are none."""
    if not rows:
        return {"newer": None, "older": None}
    backwards = bool(request.args.get("before"))
    has_newer = more if backwards else bool(request.args.get("after"))
    has_older = True if backwards else more
    return {
        "newer": _here(before=rows[0].id, after=None) if has_newer else None,
        "older": _here(after=rows[-1].id, before=None) if has_older else None,
    }


def _here(**changes: object) -> str:
    """This address with some values of its query changed; None takes one out."""
    values: dict[str, Any] = {**(request.view_args or {}), **request.args.to_dict(), **changes}
    return url_for(str(request.endpoint), **{name: value for name, value in values.items() if value is not None})


def csv_answer(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """A CSV file that is written as it is sent."""
    actor = g.actor

    def lines() -> Iterator[str]:
        # The request's session has ended by then; the one of the stream is nobody's until it is bound.
        bind(db.session, actor)
        yield from write_csv(rows, header, bom=True)

    return Response(
        stream_with_context(lines()),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def ledger_link(kind: AccountKind | None = None, **which: UUID | None) -> str:
    """The entries that a figure counts."""
    values: dict[str, Any] = {name: value for name, value in which.items() if value}
    return url_for("mdf.ledger_entries", kind=kind, **values)


def has(endpoint: str) -> bool:
    """Whether a page is there that another part of the room serves."""
    return endpoint in current_app.view_functions


def locale() -> str:
    return str(g.actor.locale)


def as_typed(amount: Money | None) -> str:
    """An amount as this reader would type it, for a field that is read in the reader's locale; empty for none."""
    if amount is None:
        return ""
    places = -int(amount.decimal.as_tuple().exponent)
    return format_decimal(amount.decimal, format="0" + ("." + "0" * places if places else ""), locale=locale())


def kind_words() -> dict[AccountKind, str]:
    """Accounts as people read them."""
    return {
        AccountKind.BUDGET: _("Not allocated"),
        AccountKind.ALLOCATED: _("Available to partners") if g.actor.is_vendor else _("Available"),
        AccountKind.COMMITTED: _("Committed"),
        AccountKind.CLAIMED: _("Claimed"),
        AccountKind.PAYABLE: _("To be paid"),
        AccountKind.CASH: _("Paid"),
        AccountKind.EXPIRED: _("Expired"),
        AccountKind.CONTROL: _("Budget given"),
        AccountKind.RECEIVABLE: _("To be paid back"),
    }
