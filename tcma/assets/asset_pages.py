"""Pages of one asset: its zones drawn on the page, versions, and the pictures and files that browsers fetch."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _

from tcma.access import Kind, Permission
from tcma.assets import queries, services, showing
from tcma.assets.api import file_answer
from tcma.assets.blueprint import Page, bp, picture_answer
from tcma.assets.forms import ReplaceForm, ZonesForm, put_faults
from tcma.assets.models import Asset
from tcma.db import db, unit_of_work
from tcma.errors import Invalid, NotFound
from tcma.storage import storage


def _own_asset(kit_id: UUID, asset_id: UUID) -> Asset:
    g.actor.require(Permission.KIT_MANAGE)
    g.actor.require_kind(Kind.VENDOR)
    found = queries.get_asset(db.session, g.actor, asset_id)
    if found.kit_id != kit_id:
        raise NotFound()
    return found


@bp.get("/kits/<uuid:kit_id>/assets/<uuid:asset_id>")
def asset(kit_id: UUID, asset_id: UUID) -> Page:
    return _asset_page(_own_asset(kit_id, asset_id))


def _asset_page(found: Asset, *, form: ZonesForm | None = None, replace: ReplaceForm | None = None) -> Page:
    if form is None:
        form = ZonesForm(formdata=None, data={"zones": [_percent(zone) for zone in found.current.zones]})
    if replace is None:
        replace = ReplaceForm(formdata=None)
    page = min(max(request.args.get("page", 1, type=int), 1), found.current.pages)
    answer = render_template(
        "assets/asset.html", asset=found, kit=queries.get_kit(db.session, g.actor, found.kit_id), form=form,
        replace=replace, page=page, drawn=min(found.current.pages, showing.MOST_PAGES),
        downloads=queries.download_counts(db.session, [one.id for one in found.versions]),
        model=ZonesForm(formdata=None, data={"zones": [{"page": page}]}).zones[0].form,
    )  # fmt: skip
    return answer, 422 if form.errors or replace.errors else 200


def _percent(zone: dict[str, Any]) -> dict[str, Any]:
    return {**zone, **{name: round(zone[name] * 100, 2) for name in ("x", "y", "width", "height")}}


@bp.post("/kits/<uuid:kit_id>/assets/<uuid:asset_id>/zones")
def asset_zones(kit_id: UUID, asset_id: UUID) -> Page:
    """Save the zones; `do` may ask for one more row or one fewer, which keeps what was typed."""
    found = _own_asset(kit_id, asset_id)
    form = ZonesForm()
    deed = request.form.get("do", "save")
    if deed == "add":
        page = request.args.get("page", 1, type=int)
        form.zones.append_entry({"kind": "logo", "page": page, "x": 70, "y": 5, "width": 25, "height": 8})
        return _asset_page(found, form=form)
    if deed.startswith("remove-"):
        kept = [entry.data for number, entry in enumerate(form.zones.entries) if deed != f"remove-{number}"]
        return _asset_page(found, form=ZonesForm(formdata=None, data={"zones": kept}))
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                services.set_zones(session, g.actor, asset_id, [entry.form.as_zone() for entry in form.zones.entries])
            flash(_("Zones saved as a new version."), "success")
            return redirect(url_for("assets.asset", kit_id=kit_id, asset_id=asset_id), 303)
        except Invalid as wrong:
            form.form_errors.extend(wrong.fields.values())
    return _asset_page(found, form=form)


@bp.post("/kits/<uuid:kit_id>/assets/<uuid:asset_id>/versions")
def asset_replace(kit_id: UUID, asset_id: UUID) -> Page:
    found = _own_asset(kit_id, asset_id)
    form = ReplaceForm()
    file = form.file.data
    if not file or not file.filename:
        form.validate()
        form.file.errors = [_("Choose a file first.")]
        return _asset_page(found, replace=form)
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                services.replace_asset(session, g.actor, asset_id, filename=file.filename, data=file.read())
            flash(_("The new version is there. Partners get it from now on."), "success")
            return redirect(url_for("assets.asset", kit_id=kit_id, asset_id=asset_id), 303)
        except Invalid as wrong:
            put_faults(form, Invalid({"file": wrong.message}))
    return _asset_page(found, replace=form)


@bp.post("/kits/<uuid:kit_id>/assets/<uuid:asset_id>/remove")
def asset_remove(kit_id: UUID, asset_id: UUID) -> Page:
    _own_asset(kit_id, asset_id)
    with unit_of_work(g.actor) as session:
        services.remove_asset(session, g.actor, asset_id)
    flash(_("Removed. Partners do not get it any more."), "info")
    return redirect(url_for("assets.kit", kit_id=kit_id), 303)


@bp.get("/assets/<uuid:version_id>/thumbnail")
def thumbnail(version_id: UUID) -> Response:
    return picture_answer(showing.thumbnail(db.session, g.actor, version_id))


@bp.get("/assets/<uuid:version_id>/pages/<int:page>")
def page_picture(version_id: UUID, page: int) -> Response:
    return picture_answer(showing.page_picture(db.session, g.actor, version_id, page))


@bp.get("/assets/<uuid:version_id>/yours")
def cobranded_picture(version_id: UUID) -> Response:
    """How the first page looks in the partner's own brand; the plain picture where that cannot be made."""
    try:
        with unit_of_work(g.actor) as session:
            return picture_answer(showing.cobranded_picture(session, g.actor, version_id))
    except Invalid:
        return picture_answer(showing.thumbnail(db.session, g.actor, version_id))


@bp.get("/assets/<uuid:version_id>/original")
def original(version_id: UUID) -> Response:
    with unit_of_work(g.actor) as session:
        version, data = showing.original(session, g.actor, version_id)
        return file_answer(data, version.content_type, version.filename)


@bp.get("/assets/<uuid:version_id>/download")
def cobranded(version_id: UUID) -> Page:
    """The file in the partner's brand; where something is missing, a page that says what and leads there."""
    try:
        with unit_of_work(g.actor) as session:
            made = services.cobranded(session, g.actor, version_id)
            filename = queries.get_version(session, g.actor, version_id).filename
    except Invalid as wrong:
        found = queries.get_version(db.session, g.actor, version_id)
        page = render_template("assets/cannot_cobrand.html", version=found, why=wrong.message)
        return page, 422
    return file_answer(storage().read(made.storage_key), made.content_type, filename)
