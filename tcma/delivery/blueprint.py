"""The blueprint of delivery's pages, on both origins."""

from __future__ import annotations

from flask import Blueprint, g, request
from flask import Response as FlaskResponse
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma.campaigns.looks import in_look
from tcma.config import settings

bp = Blueprint("delivery", __name__, template_folder="templates")
Page = str | FlaskResponse | WerkzeugResponse | tuple[str, int]


@bp.before_request
def _stand_at_launches() -> None:
    g.nav_at = "launches"


def framed(content: str, *, mimetype: str = "text/html") -> FlaskResponse:
    """A mail for a frame: its inline styles may show, and nothing in it may run or send anything.

    A page is shown as on a light screen, with `?look=dark` as on a dark one.
    """
    if mimetype == "text/html":
        content = in_look(content, dark=request.args.get("look") == "dark")
    policy = (
        f"default-src 'none'; img-src 'self' data: {settings().tracking_origin} {settings().public_origin}; "
        "style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    )
    return FlaskResponse(content, mimetype=mimetype, headers={"Content-Security-Policy": policy})
