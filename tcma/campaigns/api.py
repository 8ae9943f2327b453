"""The API of campaigns: authoring, publishing, the catalogue, and launches before they start."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from flask import g
from flask_smorest import Blueprint

from tcma.access import Permission
from tcma.campaigns import launches, queries, services, slots, starter
from tcma.campaigns import schemas as shapes
from tcma.campaigns.models import Campaign, CampaignVersion, Launch
from tcma.campaigns.personalise import Rendered
from tcma.campaigns.states import CampaignStatus, LaunchStatus
from tcma.db import db, unit_of_work
from tcma.errors import Invalid, NotFound

blp = Blueprint("api_campaigns", __name__, description="Campaigns, the catalogue and launches before they start")
blueprints = [blp]

S = TypeVar("S", bound=StrEnum)
AUDIENCE = ("lists", "exclude_lists")


def chosen_status(states: type[S], given: str | None) -> S | None:
    """A status filter, or Invalid with those that there are."""
    if not given:
        return None
    try:
        return states(given)
    except ValueError:
        raise Invalid({"status": f"Use one of {', '.join(states)}."}) from None


def page(items: list[Any], limit: int, *, key: str = "id") -> dict[str, Any]:
    """A keyset page: `next` is what the following one begins before."""
    return {"items": items, "next": str(getattr(items[-1], key)) if len(items) == limit else None}


@blp.get("/campaigns")
@blp.arguments(shapes.PageIn, location="query")
@blp.response(200, shapes.CampaignPage)
def list_campaigns(given: dict[str, Any]) -> dict[str, Any]:
    """The vendor's campaigns, newest first."""
    g.actor.require(Permission.CAMPAIGN_READ)
    status = chosen_status(CampaignStatus, given.pop("status"))
    return page(queries.list_campaigns(db.session, g.actor, status=status, **given), given["limit"])


@blp.post("/campaigns")
@blp.arguments(shapes.CampaignIn)
@blp.response(201, shapes.CampaignOut)
def create_campaign(given: dict[str, Any]) -> Campaign:
    """A new draft."""
    with unit_of_work(g.actor) as session:
        return services.create_campaign(session, g.actor, **given)


@blp.get("/campaigns/starters")
@blp.response(200, shapes.StarterPage)
def list_starters() -> dict[str, Any]:
    """The campaigns that ship with the product."""
    g.actor.require(Permission.CAMPAIGN_READ)
    return {"items": [{**_plain(one), "slots": slots.to_json(one.slots)} for one in starter.starters()]}


def _plain(one: starter.StarterCampaign) -> dict[str, Any]:
    names = ("key", "name", "goal", "summary", "subject", "preheader", "mjml")
    return {**{name: getattr(one, name) for name in names}, "landing": dict(one.landing)}


@blp.get("/campaigns/<uuid:campaign_id>")
@blp.response(200, shapes.CampaignOut)
def read_campaign(campaign_id: UUID) -> Campaign:
    """One campaign with its draft, for its vendor; partners read the catalogue."""
    return _authored(campaign_id)


@blp.patch("/campaigns/<uuid:campaign_id>")
@blp.arguments(shapes.CampaignPatch)
@blp.response(200, shapes.CampaignOut)
def edit_campaign(given: dict[str, Any], campaign_id: UUID) -> Campaign:
    """Change the draft; what is published stays as it is."""
    with unit_of_work(g.actor) as session:
        return services.save_draft(session, g.actor, campaign_id, **given)


@blp.post("/campaigns/<uuid:campaign_id>/check")
@blp.response(200, shapes.ProblemsOut)
def check_campaign(campaign_id: UUID) -> dict[str, Any]:
    """What stands between the draft and publishing."""
    return {"problems": services.check_draft(_authored(campaign_id))}


def _authored(campaign_id: UUID) -> Campaign:
    """A campaign with its draft, which is the vendor's alone: entitled partners get NotFound as all others."""
    g.actor.require(Permission.CAMPAIGN_READ)
    if not g.actor.is_vendor:
        raise NotFound("Drafts are the vendor's. Read GET /catalogue for what you may launch.")
    return queries.get_campaign(db.session, g.actor, campaign_id)


@blp.post("/campaigns/<uuid:campaign_id>/publication")
@blp.arguments(shapes.PublicationIn)
@blp.response(201, shapes.VersionOut)
def publish_campaign(given: dict[str, Any], campaign_id: UUID) -> CampaignVersion:
    """Freeze the draft as the next version and entitle partners."""
    with unit_of_work(g.actor) as session:
        return services.publish_campaign(session, g.actor, campaign_id, **given)


@blp.post("/campaigns/<uuid:campaign_id>/recall")
@blp.arguments(shapes.ReasonIn)
@blp.response(200, shapes.CampaignOut)
def recall_campaign(given: dict[str, Any], campaign_id: UUID) -> Campaign:
    """Take the campaign back."""
    with unit_of_work(g.actor) as session:
        return services.recall_campaign(session, g.actor, campaign_id, **given)


@blp.get("/catalogue")
@blp.response(200, shapes.CataloguePage)
def list_catalogue() -> dict[str, Any]:
    """What this partner may launch now."""
    g.actor.require(Permission.CAMPAIGN_READ)
    return {"items": queries.list_catalogue(db.session, g.actor), "next": None}


@blp.get("/launches")
@blp.arguments(shapes.PageIn, location="query")
@blp.response(200, shapes.LaunchPage)
def list_launches(given: dict[str, Any]) -> dict[str, Any]:
    """Launches, newest first; a vendor sees its partners'."""
    g.actor.require(Permission.LAUNCH_READ)
    status = chosen_status(LaunchStatus, given.pop("status"))
    return page(queries.list_launches(db.session, g.actor, status=status, **given), given["limit"])


@blp.post("/launches")
@blp.arguments(shapes.LaunchIn)
@blp.response(201, shapes.LaunchOut)
def create_launch(given: dict[str, Any]) -> Launch:
    """A draft launch of a campaign's current version."""
    with unit_of_work(g.actor) as session:
        return launches.create_launch(session, g.actor, **given)


@blp.get("/launches/<uuid:launch_id>")
@blp.response(200, shapes.LaunchOut)
def read_launch(launch_id: UUID) -> Launch:
    """One launch."""
    g.actor.require(Permission.LAUNCH_READ)
    return queries.get_launch(db.session, g.actor, launch_id)


@blp.patch("/launches/<uuid:launch_id>")
@blp.arguments(shapes.LaunchPatch)
@blp.response(200, shapes.LaunchOut)
def edit_launch(given: dict[str, Any], launch_id: UUID) -> Launch:
    """Name, slots and audience, as long as it has not started. All of it or nothing; what is left out stays."""
    with unit_of_work(g.actor) as session:
        audience = launches.editable(session, g.actor, launch_id).audience
        if "name" in given:
            launches.rename_launch(session, g.actor, launch_id, given["name"])
        if "slots" in given:
            launches.save_slots(session, g.actor, launch_id, given["slots"])
        if any(name in given for name in AUDIENCE):
            launches.save_audience(
                session, g.actor, launch_id,
                **{name: given[name] if name in given else [UUID(one) for one in audience[name]] for name in AUDIENCE},
            )  # fmt: skip
        return queries.get_launch(session, g.actor, launch_id)


@blp.get("/launches/<uuid:launch_id>/preview")
@blp.arguments(shapes.PreviewIn, location="query")
@blp.response(200, shapes.PreviewOut)
def preview_launch(given: dict[str, Any], launch_id: UUID) -> Rendered:
    """The mail as a contact would get it, links untracked."""
    g.actor.require(Permission.LAUNCH_READ)
    if given["contact_id"] is not None and g.actor.is_partner:
        g.actor.require(Permission.CONTACT_READ)
    return launches.preview(db.session, g.actor, launch_id, **given)
