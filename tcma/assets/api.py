"""The API of assets: kits for vendors, the brand profile and co-branded files for partners."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from flask import Response, g
from flask_smorest import Blueprint
from werkzeug.datastructures import FileStorage

from tcma.access import Permission
from tcma.assets import queries, services
from tcma.assets import schemas as shapes
from tcma.assets.models import Asset, BrandProfile, Kit
from tcma.db import db, unit_of_work
from tcma.errors import Invalid, NotFound
from tcma.storage import storage

blp = Blueprint("api_assets", __name__, description="Kits, brand profiles and co-branded files")
blueprints = [blp]


def read_zones(given: str) -> list[dict[str, Any]]:
    """Zones from JSON text; what they may be, `zones_from` checks."""
    try:
        found = json.loads(given or "[]")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise Invalid({"zones": "Zones are a JSON list such as [{“page”: 1, “x”: 0.1, …}]. Draw them on the page instead."})
    return found


@blp.get("/brand")
@blp.response(200, shapes.BrandOut)
def read_brand() -> BrandProfile:
    """This partner's brand profile."""
    g.actor.require(Permission.BRAND_READ)
    found = queries.find_brand(db.session, g.actor.organization_id)
    if found is None:
        raise NotFound("There is no brand profile yet. Put one with PUT /brand.")
    return found


@blp.put("/brand")
@blp.arguments(shapes.BrandIn)
@blp.response(200, shapes.BrandOut)
def save_brand(given: dict[str, str]) -> BrandProfile:
    """Set fields of the brand profile; those left out stay."""
    with unit_of_work(g.actor) as session:
        return services.save_brand(session, g.actor, **given)


@blp.put("/brand/logo")
@blp.arguments(shapes.FileIn, location="files")
@blp.response(200, shapes.LogoOut)
def set_logo(given: dict[str, FileStorage]) -> dict[str, Any]:
    """Upload the logo, PNG or JPEG; `colors` are suggestions from it, most present first."""
    with unit_of_work(g.actor) as session:
        brand, logo = services.take_logo(session, g.actor, data=given["file"].read())
        return {
            "width": brand.logo_width, "height": brand.logo_height, "sha256": brand.logo_sha256,
            "colors": list(logo.colors), "advice": logo.advice,
        }  # fmt: skip


@blp.get("/kits")
@blp.response(200, shapes.KitPage)
def list_kits() -> dict[str, Any]:
    """Kits, newest first; a partner's are those published to it."""
    g.actor.require(Permission.KIT_READ)
    return {"items": queries.list_kits(db.session, g.actor, limit=200), "next": None}


@blp.post("/kits")
@blp.arguments(shapes.KitIn)
@blp.response(201, shapes.KitOut)
def create_kit(given: dict[str, Any]) -> Kit:
    """A new draft kit."""
    with unit_of_work(g.actor) as session:
        return services.create_kit(session, g.actor, **given)


@blp.get("/kits/<uuid:kit_id>")
@blp.response(200, shapes.KitOut)
def read_kit(kit_id: UUID) -> Kit:
    """One kit with its assets."""
    g.actor.require(Permission.KIT_READ)
    return queries.get_kit(db.session, g.actor, kit_id)


@blp.post("/kits/<uuid:kit_id>/assets")
@blp.arguments(shapes.FileIn, location="files")
@blp.arguments(shapes.ZonesIn, location="form")
@blp.response(201, shapes.AssetOut)
def add_asset(files: dict[str, FileStorage], given: dict[str, str], kit_id: UUID) -> Asset:
    """Upload a PDF, PNG or JPEG into the kit, with the zones for a partner's brand."""
    file = files["file"]
    with unit_of_work(g.actor) as session:
        return services.add_asset(
            session, g.actor, kit_id, filename=file.filename or "asset", data=file.read(),
            zones=read_zones(given["zones"]), name=given["name"],
        )  # fmt: skip


@blp.post("/kits/<uuid:kit_id>/publication")
@blp.arguments(shapes.PartnersIn)
@blp.response(200, shapes.KitOut)
def publish_kit(given: dict[str, Any], kit_id: UUID) -> Kit:
    """Open the kit to partners."""
    with unit_of_work(g.actor) as session:
        return services.publish_kit(session, g.actor, kit_id, **given)


@blp.get("/assets/<uuid:version_id>/cobranded")
@blp.response(200, content_type="application/octet-stream")
def cobranded(version_id: UUID) -> Response:
    """The asset in this partner's brand, as a file."""
    g.actor.require(Permission.COBRAND_MAKE)
    with unit_of_work(g.actor) as session:
        made = services.cobranded(session, g.actor, version_id)
        filename = queries.get_version(session, g.actor, version_id).filename
    return file_answer(storage().read(made.storage_key), made.content_type, filename)


def file_answer(data: bytes, content_type: str, filename: str) -> Response:
    """A file as a download that no browser runs or shows in our origin."""
    answer = Response(data, mimetype=content_type)
    answer.headers.set("Content-Disposition", "attachment", filename=filename)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer
