"""The one blueprint of the pages of campaigns, and the answers that they share."""

from __future__ import annotations

import re

from flask import Blueprint, Response, g, request
from werkzeug.wrappers import Response as WerkzeugResponse

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


# How a mail asks for the reader's look; in a frame the switch above it decides, not the looker's own device.
_ASKS_DARK = re.compile(r"\(\s*prefers-color-scheme\s*:\s*dark\s*\)")
_TAKES_BOTH = re.compile(r"(color-scheme\s*:\s*|name=\"(?:supported-)?color-schemes?\"\s+content=\")light dark\b")


def in_look(html: str, *, dark: bool) -> str:
    """A mail as a reader with a light or a dark screen sees it, whatever the looker's screen is."""
    asked = _ASKS_DARK.sub("(min-width: 0)" if dark else "(max-width: 0)", html)
    return _TAKES_BOTH.sub(r"\g<1>dark" if dark else r"\g<1>light", asked)


def document(body: str, *, text: bool = False) -> Response:
    """A whole document for a sandboxed frame, with its own policy; `?look=dark` shows it on a dark screen."""
    if not text:
        body = in_look(body, dark=request.args.get("look") == "dark")
    answer = Response(body, mimetype="text/plain" if text else "text/html")
    answer.headers["Content-Security-Policy"] = _FRAMED
    return answer
