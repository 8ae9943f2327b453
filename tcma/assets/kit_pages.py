"""Pages of kits: the vendor's shelf and one kit on it, and the partner's view of both."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from wtforms.fields.choices import SelectChoice

from tcma import audit
from tcma.access import Kind, Permission
from tcma.accounts import queries as account_queries
from tcma.assets import queries, services
from tcma.assets.blueprint import Page, bp
from tcma.assets.forms import KitForm, PublishForm, ReasonForm, UploadForm, put_faults
from tcma.assets.models import Kit
from tcma.assets.states import KitStatus
from tcma.db import db, unit_of_work
from tcma.errors import Invalid

PAGE = 24


@bp.get("/kits")
def kits() -> Page:
    """The shelf: a vendor's kits in any state, a partner's those published to it."""
    g.actor.require(Permission.KIT_READ)
    state = request.args.get("state", "")
    status = KitStatus(state) if state in set(KitStatus) else None
    rows = queries.list_kits(
        db.session, g.actor, search=request.args.get("q", ""), status=status, before=_uuid_arg("after"), limit=PAGE + 1
    )
    here: dict[str, Any] = {**request.args.to_dict(), "after": rows[PAGE - 1].id} if len(rows) > PAGE else {}
    older = url_for("assets.kits", **here) if here else None
    if g.actor.is_partner:
        vendors = {one.vendor_id: one.vendor for one in account_queries.list_partnerships(db.session, g.actor)}
        return render_template("assets/kits_partner.html", rows=rows[:PAGE], older=older, vendors=vendors)
    counts = queries.count_kits(db.session, g.actor)
    return render_template("assets/kits.html", rows=rows[:PAGE], older=older, counts=counts, states=list(KitStatus))


def _uuid_arg(name: str) -> UUID | None:
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None


def _as_maker() -> None:
    g.actor.require(Permission.KIT_MANAGE)
    g.actor.require_kind(Kind.VENDOR)


@bp.route("/kits/new", methods=["GET", "POST"])
def kit_new() -> Page:
    _as_maker()
    form = KitForm()
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                made = services.create_kit(session, g.actor, **_typed(form))
            flash(_("Saved as a draft. Now put files into it."), "success")
            return redirect(url_for("assets.kit", kit_id=made.id), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    return render_template("assets/kit_edit.html", form=form, kit=None), 422 if form.errors else 200


def _typed(form: KitForm) -> dict[str, Any]:
    return {
        "name": form.name.data or "", "description": form.description.data or "", "begins_on": form.begins_on.data,
        "ends_on": form.ends_on.data,
    }  # fmt: skip


@bp.route("/kits/<uuid:kit_id>/edit", methods=["GET", "POST"])
def kit_edit(kit_id: UUID) -> Page:
    _as_maker()
    found = queries.get_kit(db.session, g.actor, kit_id)
    form = KitForm(obj=found)
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                services.edit_kit(session, g.actor, kit_id, **_typed(form))
            flash(_("Saved."), "success")
            return redirect(url_for("assets.kit", kit_id=kit_id), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    return render_template("assets/kit_edit.html", form=form, kit=found), 422 if form.errors else 200


@bp.get("/kits/<uuid:kit_id>")
def kit(kit_id: UUID) -> Page:
    g.actor.require(Permission.KIT_READ)
    if g.actor.is_partner:
        return _partner_kit(kit_id)
    return _vendor_kit(kit_id)


def _partner_kit(kit_id: UUID) -> Page:
    found = queries.get_kit(db.session, g.actor, kit_id)
    brand = queries.find_brand(db.session, g.actor.organization_id)
    partnership = account_queries.get_partnership(db.session, g.actor, found.vendor_id)
    has_brand = bool(brand and (brand.name or brand.legal_name))
    return render_template("assets/kit_partner.html", kit=found, vendor=partnership.vendor, has_brand=has_brand)


def _vendor_kit(
    kit_id: UUID, *, upload: UploadForm | None = None, publish: PublishForm | None = None, reason: ReasonForm | None = None
) -> Page:
    found = queries.get_kit(db.session, g.actor, kit_id)
    granted = queries.granted_partner_ids(db.session, kit_id)
    if publish is None:
        publish = _publish_form(found, granted, empty=True)
    upload = upload or UploadForm(formdata=None)
    reason = reason or ReasonForm(formdata=None)
    versions = [version.id for asset in found.assets for version in asset.versions]
    page = render_template(
        "assets/kit.html", kit=found, upload=upload, publish=publish, reason=reason, granted=len(granted),
        downloads=queries.download_counts(db.session, versions), history=_history(found),
    )  # fmt: skip
    return page, 422 if upload.errors or publish.errors or reason.errors else 200


def _publish_form(kit: Kit, granted: set[UUID], *, empty: bool) -> PublishForm:
    form = PublishForm(
        formdata=None if empty else request.form,
        data={"whom": "all" if kit.for_all_partners else "chosen", "partners": list(granted)} if empty else None,
    )
    partners = account_queries.active_partners(db.session, g.actor)
    form.partners.choices = [SelectChoice(one.partner_id, one.name) for one in partners]
    return form


def _history(kit: Kit) -> list[dict[str, Any]]:
    words = {
        "kit.create": (_("made the kit"), "plus"), "kit.edit": (_("changed its texts"), "pencil"),
        "kit.publish": (_("published it"), "world"), "kit.recall": (_("recalled it"), "arrow-back-up"),
        "kit.archive": (_("archived it"), "archive"), "kit.reopen": (_("took it out of the archive"), "refresh"),
    }  # fmt: skip
    people = {one.user_id: one.user.name for one in account_queries.list_members(db.session, g.actor)}
    return [
        {
            "who": (people.get(one.actor_user_id) if one.actor_user_id else None) or _("The service"), "what": words.get(one.action, (one.action, "point"))[0],
            "when": one.at, "icon": words.get(one.action, ("", "point"))[1], "note": one.reason,
        }
        for one in reversed(audit.history(db.session, kit))
    ]  # fmt: skip


@bp.post("/kits/<uuid:kit_id>/assets")
def kit_upload(kit_id: UUID) -> Page:
    _as_maker()
    queries.get_kit(db.session, g.actor, kit_id)
    form = UploadForm()
    file = form.file.data
    if not file or not file.filename:
        form.validate()
        form.file.errors = [_("Choose a file first.")]
        return _vendor_kit(kit_id, upload=form)
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                made = services.add_asset(
                    session, g.actor, kit_id, filename=file.filename, data=file.read(), name=form.name.data or ""
                )
            flash(_("Uploaded. Now draw where a partner's logo and address go."), "success")
            return redirect(url_for("assets.asset", kit_id=kit_id, asset_id=made.id), 303)
        except Invalid as wrong:
            put_faults(form, Invalid({"file": wrong.message}) if set(wrong.fields) == {""} else wrong)
    return _vendor_kit(kit_id, upload=form)


@bp.post("/kits/<uuid:kit_id>/publish")
def kit_publish(kit_id: UUID) -> Page:
    _as_maker()
    found = queries.get_kit(db.session, g.actor, kit_id)
    form = _publish_form(found, set(), empty=False)
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                services.publish_kit(session, g.actor, kit_id, partner_ids=form.partner_ids())
            flash(_("Published. Its partners have been told by mail."), "success")
            return redirect(url_for("assets.kit", kit_id=kit_id), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    return _vendor_kit(kit_id, publish=form)


@bp.post("/kits/<uuid:kit_id>/recall")
def kit_recall(kit_id: UUID) -> Page:
    _as_maker()
    queries.get_kit(db.session, g.actor, kit_id)
    form = ReasonForm()
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                services.recall_kit(session, g.actor, kit_id, reason=form.reason.data or "")
            flash(_("Recalled. Partners do not see it any more."), "info")
            return redirect(url_for("assets.kit", kit_id=kit_id), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    return _vendor_kit(kit_id, reason=form)


@bp.post("/kits/<uuid:kit_id>/archive")
def kit_archive(kit_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        services.archive_kit(session, g.actor, kit_id)
    flash(_("Archived. Partners do not see it any more."), "info")
    return redirect(url_for("assets.kits"), 303)


@bp.post("/kits/<uuid:kit_id>/reopen")
def kit_reopen(kit_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        services.reopen_kit(session, g.actor, kit_id)
    flash(_("The kit is a draft again."), "success")
    return redirect(url_for("assets.kit", kit_id=kit_id), 303)
