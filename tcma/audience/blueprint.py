"""The one blueprint of the pages of the audience, and the answers that they share."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from flask import Blueprint, Response, g
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma.access import Permission

bp = Blueprint("audience", __name__, template_folder="templates")

Page = str | Response | WerkzeugResponse | tuple[str, int]


@bp.before_request
def stand_in_the_side_bar() -> None:
    g.nav_at = "contacts"
    if g.actor is not None:
        g.actor.require(Permission.CONTACT_READ)


def an_id(text: str) -> UUID | None:
    """The id that `text` spells, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def csv_answer(lines: Iterable[str], filename: str) -> Response:
    answer = Response(lines, mimetype="text/csv")
    answer.headers.set("Content-Disposition", "attachment", filename=filename)
    return answer
