"""Deeds that are asked about once: the question on a page of its own, for who pressed before the scripts came.

A button with `confirm=` (templates/macros/actions.html) is named `_ask`, or `_ask:name=value` where it has a name of
its own, and its value is the question. static/js/confirm.js asks in a dialog and takes the name off again; without
scripts the name arrives here, and the deed waits for a second press. Posts of the API carry no such name.
"""

from __future__ import annotations

from flask import Response, make_response, render_template, request
from flask_babel import gettext as _

from tcma.errors import Invalid

MARK = "_ask"
Pairs = list[tuple[str, str]]


def ask_first() -> Response | None:
    """The page that asks, for a form that came with its question; else None, and the deed is done."""
    if request.method != "POST" or request.path.startswith("/api/"):
        return None
    asked = next((name for name in request.form if name == MARK or name.startswith(f"{MARK}:")), None)
    if asked is None:
        return None
    if any(one.filename for one in request.files.values()):
        raise Invalid(_("The page was not ready yet. Go back, wait until it has loaded, and press again."))
    page = render_template(
        "ask.html", question=request.form[asked], pairs=_pairs(asked), action=request.full_path.rstrip("?"),
        back=_back(),
    )  # fmt: skip
    response = make_response(page)
    if request.headers.get("HX-Request"):
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "body", "innerHTML"
    return response


def _pairs(asked: str) -> Pairs:
    """What the form held, without the question, and with the name and value that are the button's own."""
    kept = [(name, value) for name, value in request.form.items(multi=True) if name not in (asked, "csrf_token")]
    name, separator, value = asked.removeprefix(f"{MARK}:").partition("=")
    return [*kept, (name, value)] if separator else kept


def _back() -> str:
    """The page that was left, if it was one of ours."""
    came_from = request.referrer or ""
    here = request.host_url
    return "/" + came_from[len(here) :].lstrip("/\\") if came_from.startswith(here) else "/"
