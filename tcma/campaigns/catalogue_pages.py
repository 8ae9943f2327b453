"""The partner's catalogue: campaigns in its own brand, and the way to a launch."""

from __future__ import annotations

from uuid import UUID

from flask import Response, g, redirect, render_template, request, url_for

from tcma.access import Kind, Permission
from tcma.accounts import queries as account_queries
from tcma.assets import queries as asset_queries
from tcma.campaigns import launches, queries, showing, slots, starter
from tcma.campaigns.authoring_pages import uuid_arg
from tcma.campaigns.blueprint import Page, bp, document
from tcma.campaigns.forms import FIELD_WORDS, KIND_WORDS
from tcma.db import db, unit_of_work

_LIVE = ("name", "legal_name", "postal_address", "phone", "email", "website", "color", "accent_color")


def _as_partner() -> None:
    g.actor.require(Permission.CAMPAIGN_READ)
    g.actor.require_kind(Kind.PARTNER)


@bp.get("/catalogue")
def catalogue() -> Page:
    """What this partner may launch now; vendors are led to their campaigns."""
    if g.actor.is_vendor:
        return redirect(url_for("campaigns.campaigns"))
    _as_partner()
    partnerships = account_queries.list_partnerships(db.session, g.actor)
    rows = queries.list_catalogue(
        db.session, g.actor, vendor_id=uuid_arg("vendor"), search=request.args.get("q", ""), limit=200
    )
    return render_template(
        "campaigns/catalogue.html", rows=rows, vendors={one.vendor_id: one.vendor for one in partnerships},
        gaps=asset_queries.brand_gaps(asset_queries.brand_values(db.session, g.actor.organization_id)),
    )  # fmt: skip


@bp.get("/catalogue/<uuid:campaign_id>")
def catalogued(campaign_id: UUID) -> Page:
    if g.actor.is_vendor:
        return redirect(url_for("campaigns.campaign", campaign_id=campaign_id))
    _as_partner()
    found = queries.get_catalogued(db.session, g.actor, campaign_id)
    version = queries.current_version(db.session, found)
    partnership = account_queries.get_partnership(db.session, g.actor, found.vendor_id)
    own = queries.list_launches(db.session, g.actor, campaign_id=campaign_id, limit=10)
    return render_template(
        "campaigns/catalogued.html", campaign=found, version=version, vendor=partnership.vendor,
        slots=slots.parse_slots(version.slots), kind_words=KIND_WORDS, field_words=FIELD_WORDS, launches=own,
        seen=showing.catalogued(db.session, g.actor, campaign_id), landing=showing.landing(version),
        gaps=asset_queries.brand_gaps(asset_queries.brand_values(db.session, g.actor.organization_id)),
    )  # fmt: skip


@bp.get("/catalogue/<uuid:campaign_id>/preview")
def catalogued_preview(campaign_id: UUID) -> Response:
    """The mail in the partner's own brand, for a frame."""
    _as_partner()
    seen = showing.catalogued(db.session, g.actor, campaign_id)
    text = request.args.get("part") == "text"
    return document(seen.text if text else seen.html, text=text)


@bp.get("/catalogue/<uuid:campaign_id>/landing-preview")
def catalogued_landing(campaign_id: UUID) -> Response:
    _as_partner()
    found = queries.get_catalogued(db.session, g.actor, campaign_id)
    version = queries.current_version(db.session, found)
    brand = showing.brand_of(db.session, g.actor.organization_id)
    return document(render_template("campaigns/landing_preview.html", landing=showing.landing(version), brand=brand))


@bp.post("/catalogue/<uuid:campaign_id>/launch")
def catalogued_launch(campaign_id: UUID) -> Page:
    """Make a draft launch and go to it."""
    with unit_of_work(g.actor) as session:
        launch = launches.create_launch(session, g.actor, campaign_id)
    return redirect(url_for("delivery.launch", launch_id=launch.id), 303)


@bp.get("/brand/sample")
def brand_sample() -> Response:
    """An example mail in the partner's brand, with values of the address over the saved ones, for the brand page."""
    _as_partner()
    brand = showing.brand_of(db.session, g.actor.organization_id)
    brand |= {name: request.args[name][:300] for name in _LIVE if request.args.get(name)}
    return document(showing.starter_mail(starter.starters()[0].key, brand=brand, vendor_name="Northwind").html)
