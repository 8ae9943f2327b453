"""The tracking origin: links and pixels of mails, unsubscribing, and what is held of a reader.

A GET changes nothing but the spool. Nobody is signed in here, and no cookie is read or set.
"""

from __future__ import annotations

import base64

from flask import Response, abort, render_template, request
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma.db import unit_of_work
from tcma.delivery import preferences, tracking
from tcma.delivery.blueprint import bp
from tcma.delivery.redirects import FRESH
from tcma.delivery.spool import SpoolError
from tcma.delivery.tracking import Visit

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def _visit() -> Visit:
    return Visit(request.remote_addr or "", request.headers.get("User-Agent", ""), request.method)


@bp.get("/r/<token>")
def follow_link(token: str) -> WerkzeugResponse:
    """Keep the hit, then send the reader on to the address stored for this link."""
    try:
        with unit_of_work(None) as session:
            destination = tracking.follow(session, token, _visit())
    except SpoolError:
        abort(503)
    return Response(status=302, headers={"Location": destination, **FRESH})


@bp.get("/o/<token>.gif")
def open_pixel(token: str) -> WerkzeugResponse:
    try:
        tracking.opened(token, _visit())
    except SpoolError:
        abort(503)
    return Response(PIXEL, mimetype="image/gif", headers=FRESH)


@bp.get("/u/<token>")
def unsubscribe_page(token: str) -> str:
    """Ask; a scanner that opens every link of a mail must unsubscribe nobody."""
    with unit_of_work(None) as session:
        sender = tracking.sender_of(session, token)
    return render_template("delivery/unsubscribe.html", sender=sender, token=token, done=False, brand=_look(sender))


@bp.post("/u/<token>")
def unsubscribe(token: str) -> str | Response:
    """Unsubscribe: by the mail program (RFC 8058 §3.2, answered without redirect) or by the form of the page."""
    one_click = request.form.get("List-Unsubscribe", "") == "One-Click"
    with unit_of_work(None) as session:
        sender = tracking.sender_of(session, token)
        tracking.unsubscribe(session, token, _visit(), source="one-click" if one_click else "unsubscribe page")
    if one_click:
        return Response("Unsubscribed.\n", mimetype="text/plain")
    return render_template("delivery/unsubscribe.html", sender=sender, token=token, done=True, brand=_look(sender))


@bp.get("/preferences/<token>")
def preferences_page(token: str) -> str:
    """What the reader gets, to choose; opening it changes nothing."""
    with unit_of_work(None) as session:
        sender = tracking.sender_of(session, token)
        found = preferences.read(session, token)
    return _preferences(token, sender, found)


@bp.post("/preferences/<token>")
def save_preferences(token: str) -> str:
    with unit_of_work(None) as session:
        sender = tracking.sender_of(session, token)
        found = preferences.save(
            session, token, choice=request.form.get("mails", ""), no_tracking=bool(request.form.get("no_tracking")),
            visit=_visit(),
        )  # fmt: skip
    return _preferences(token, sender, found, saved=True)


def _preferences(
    token: str, sender: tracking.Sender, found: preferences.Preferences | None, *, saved: bool = False
) -> str:
    return render_template(
        "delivery/preferences.html", sender=sender, token=token, brand=_look(sender), found=found, saved=saved
    )


@bp.get("/privacy/<token>")
def privacy_page(token: str) -> str:
    with unit_of_work(None) as session:
        sender = tracking.sender_of(session, token)
    return render_template("delivery/privacy.html", sender=sender, token=token, brand=_look(sender))


def _look(sender: tracking.Sender) -> dict[str, str] | None:
    """The partner's look for the public layout."""
    if not sender.known:
        return None
    given = sender.brand
    return {
        "name": sender.name, "colour": given.get("color", ""), "logo_url": given.get("logo_url", ""),
        "address": given.get("postal_address", ""), "site_url": given.get("website", ""),
        "text_colour": readable_on(given.get("color", "")),
    }  # fmt: skip


def readable_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour` (relative luminance of WCAG 2.2)."""
    try:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    except ValueError:
        return "#ffffff"
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
