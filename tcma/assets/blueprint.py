"""The one blueprint of the pages of assets, and the answers that they share."""

from __future__ import annotations

from flask import Blueprint, Response, g
from werkzeug.wrappers import Response as WerkzeugResponse

bp = Blueprint("assets", __name__, template_folder="templates")

Page = str | Response | WerkzeugResponse | tuple[str, int]


@bp.before_request
def stand_in_the_side_bar() -> None:
    # Partners come to kits and to their brand from the catalogue.
    g.nav_at = "catalogue" if g.actor is not None and g.actor.is_partner else "kits"


def picture_answer(data: bytes, content_type: str = "image/webp", *, public: bool = False) -> Response:
    """A picture that no browser takes for anything else. Public ones are named by their content, so they never age."""
    answer = Response(data, mimetype=content_type)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if public else "private, max-age=600"
    if public:
        answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer
