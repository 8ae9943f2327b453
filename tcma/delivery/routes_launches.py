"""The list of launches."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from flask import Response, current_app, g, render_template, request, stream_with_context, url_for

from tcma.access import Permission
from tcma.accounts import queries as account_queries
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.csvfile import Cell, write_csv
from tcma.db import db
from tcma.delivery import queries
from tcma.delivery.blueprint import Page, bp

ROWS = 50
_CSV = (
    "launch",
    "campaign",
    "with",
    "state",
    "started",
    "planned",
    "sent",
    "clickers",
    "machine_clicks",
    "unsubscribed",
)


def _chosen() -> tuple[LaunchStatus | None, str]:
    state = request.args.get("state", "")
    return (LaunchStatus(state) if state in set(LaunchStatus) else None), request.args.get("q", "")


@bp.get("/launches")
def launches() -> Page:
    g.actor.require(Permission.LAUNCH_READ)
    if request.args.get("format") == "csv":
        return csv_answer("launches", _CSV, _cells())
    status, search = _chosen()
    found = campaign_queries.list_launches(
        db.session, g.actor, status=status, search=search, before=uuid_arg("before"), limit=ROWS + 1
    )
    rows = found[:ROWS]
    counts = queries.launch_counts(db.session, g.actor)
    return render_template(
        "delivery/launches.html", rows=rows, names=_others(rows), results=_results(rows), counts=counts,
        states=[one for one in LaunchStatus if counts.get(one)], has_catalogue=has("campaigns.catalogue"),
        older=here(before=rows[-1].id) if len(found) > ROWS else None,
        newer=here(before=None) if request.args.get("before") else None,
    )  # fmt: skip


def _results(rows: list[Launch]) -> dict[UUID, dict[str, int]]:
    return queries.results(db.session, [one.id for one in rows])


def _others(rows: list[Launch]) -> dict[UUID, str]:
    """The other side's name, by launch."""
    others = {one.id: one.vendor_id if g.actor.is_partner else one.partner_id for one in rows}
    names = account_queries.organization_names(db.session, others.values())
    return {launch_id: names.get(other, "") for launch_id, other in others.items()}


def _cells() -> Iterator[list[Cell]]:
    status, search = _chosen()
    before: UUID | None = None
    while rows := campaign_queries.list_launches(
        db.session, g.actor, status=status, search=search, before=before, limit=500
    ):
        names, back = _others(rows), _results(rows)
        for one in rows:
            counted = back.get(one.id, {})
            yield [
                one.name, one.campaign.name if one.campaign else "", names[one.id], str(one.status), one.started_at,
                *(counted.get(name, 0) for name in _CSV[5:]),
            ]  # fmt: skip
        before = rows[-1].id


def uuid_arg(name: str) -> UUID | None:
    """An id in the query string; None for none and for what is no id."""
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None


def here(**changes: object) -> str:
    """This address with some values of its query changed; None takes one out."""
    values = {**(request.view_args or {}), **request.args.to_dict(), **changes}
    return url_for(str(request.endpoint), **{name: value for name, value in values.items() if value is not None})


def has(endpoint: str) -> bool:
    """Whether a page of another room is there."""
    return endpoint in current_app.view_functions


def csv_answer(name: str, header: tuple[str, ...], rows: Iterator[list[Cell]]) -> Response:
    """A CSV file that is written as it is sent."""
    return Response(
        stream_with_context(write_csv(rows, header, bom=True)), mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )  # fmt: skip
