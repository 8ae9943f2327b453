"""A launch's landing page on the tracking origin: co-branded, without JavaScript, its form checked by us alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma import clock
from tcma.assets import queries as asset_queries
from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.facts import readable_on
from tcma.campaigns.models import Launch
from tcma.config import settings
from tcma.db import db, unit_of_work
from tcma.delivery import tracking
from tcma.errors import Invalid, NotFound
from tcma.leads import services

bp = Blueprint("leads", __name__, template_folder="templates")

LONGEST_FORM_SECONDS = 7 * 24 * 3600
PLACEHOLDER_HELP = {"email": "email", "name": "name", "company": "organization", "phone": "tel"}


@bp.get("/p/<landing_key>")
def landing_page(landing_key: str) -> str:
    """The page; the view is kept in the spool, nothing else changes."""
    with unit_of_work(None) as session:
        launch, _ = services.open_landing_page(session, landing_key)
        delivery = services.delivery_of_token(session, launch, request.args.get("t"))
        page = _page(launch)
        if delivery is not None:
            tracking.viewed(delivery.id, _visit())
    return render_template("leads/landing.html", **page, token=request.args.get("t", ""), answers={}, errors={})


@bp.post("/p/<landing_key>")
def answer_form(landing_key: str) -> WerkzeugResponse:
    """Keep the answer and thank; errors come back with everything that was typed."""
    given = {name: request.form.get(name, "") for name in services.ANSWER_LIMITS}
    try:
        with unit_of_work(None) as session:
            services.capture_answer(
                session, landing_key, answers=given, token=request.form.get("t"),
                remote_address=request.remote_addr or "", once_key=_once_key(landing_key), trap=request.form.get("website", ""),
                seconds=_seconds_since(request.form.get("o", "")),
            )  # fmt: skip
    except Invalid as error:
        with unit_of_work(None) as session:
            launch, _ = services.open_landing_page(session, landing_key)
            page = _page(launch)
        html = render_template(
            "leads/landing.html", **page, token=request.form.get("t", ""), answers=given, errors=error.fields
        )
        return Response(html, status=422)
    return redirect(url_for("leads.thank_you", landing_key=landing_key), code=303)


@bp.get("/p/<landing_key>/thanks")
def thank_you(landing_key: str) -> str:
    with unit_of_work(None) as session:
        launch, _ = services.open_landing_page(session, landing_key)
        page = _page(launch)
    return render_template("leads/thanks.html", **page)


def _visit() -> tracking.Visit:
    return tracking.Visit(request.remote_addr or "", request.headers.get("User-Agent", ""), request.method)


def _page(launch: Launch) -> dict[str, object]:
    """What the page shows: the vendor's texts with the partner's slots, in the partner's look."""
    version = campaign_queries.get_version(db.session, launch.campaign_version_id)
    values = launch.brand or asset_queries.brand_values(db.session, launch.partner_id)
    if not (values.get("legal_name") or values.get("name")):
        raise NotFound("This page is not there yet.")
    brand = {
        "name": values.get("name") or values.get("legal_name"), "colour": values.get("color", ""),
        "logo_url": values.get("logo_url", ""), "address": values.get("postal_address", ""),
        "site_url": values.get("website", ""), "text_colour": readable_on(values.get("color") or "#1f4e8c"),
    }  # fmt: skip
    return {
        "content": launches.landing_content(launch, version),
        "brand": brand,
        "landing_key": launch.landing_key,
        "vendor_name": launches.launch_values(db.session, launch)["vendor_name"],
        "privacy_url": values.get("privacy_url", ""),
        "opened": _opened_mark(launch.landing_key),
        "once": secrets.token_urlsafe(12),
        "autocomplete": PLACEHOLDER_HELP,
    }


def _key() -> bytes:
    return settings().derived_keys("landing-form")[0]


def _opened_mark(landing_key: str) -> str:
    """When the page was given out, signed, so that the form can tell how long it was open."""
    stamp = str(int(clock.now().timestamp()))
    return f"{stamp}.{hmac.new(_key(), f'{landing_key}:{stamp}'.encode(), hashlib.sha256).hexdigest()[:24]}"


def _seconds_since(mark: str) -> float | None:
    """Seconds since the page was given out; 0 for a mark that is not ours, which reads as too quick."""
    stamp, _, signature = mark.partition(".")
    landing_key = request.view_args["landing_key"] if request.view_args else ""
    expected = hmac.new(_key(), f"{landing_key}:{stamp}".encode(), hashlib.sha256).hexdigest()[:24]
    if not stamp.isdigit() or not hmac.compare_digest(signature, expected):
        return 0.0
    seconds = clock.now().timestamp() - int(stamp)
    return None if seconds > LONGEST_FORM_SECONDS else max(0.0, seconds)


def _once_key(landing_key: str) -> str:
    """The same form sent twice (a double click, a reload) is one answer."""
    once = request.form.get("once", "")[:64] or secrets.token_urlsafe(12)
    return hashlib.sha256(f"{landing_key}:{once}".encode()).hexdigest()
