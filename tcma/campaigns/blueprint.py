"""The one blueprint of the pages of campaigns, and the answers that they share."""

from __future__ import annotations

from flask import Blueprint, Response, g, request
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma.campaigns.looks import in_look

bp = Blueprint("campaigns", __name__, template_folder="templates")

Page = str | Response | WerkzeugResponse | tuple[str, int]

# A mail brings its own styles and pictures; it may do nothing, and reach nothing of ours.
_FRAMED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https: http:; font-src data:; "
    "frame-ancestors 'self'; sandbox"
)


@bp.before_request
def stand_in_the_side_bar() -> None:
    at_catalogue = (request.endpoint or "").startswith("campaigns.catalogue") or (g.actor and g.actor.is_partner)
    g.nav_at = "catalogue" if at_catalogue else "campaigns"


def document(body: str, *, text: bool = False) -> Response:
    """A whole document for a sandboxed frame, with its own policy; `?look=dark` shows it on a dark screen."""
    if not text:
        body = in_look(body, dark=request.args.get("look") == "dark")
    answer = Response(body, mimetype="text/plain" if text else "text/html")
    answer.headers["Content-Security-Policy"] = _FRAMED
    return answer
