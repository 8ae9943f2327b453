"""The vendor's pages of publishing: to whom and what blocks it, versions with their differences, recalling."""

from __future__ import annotations

from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from wtforms.fields.choices import SelectChoice

from tcma.access import Permission
from tcma.accounts import queries as account_queries
from tcma.campaigns import queries, services, showing
from tcma.campaigns.authoring_pages import as_author, campaign_page
from tcma.campaigns.blueprint import Page, bp, document
from tcma.campaigns.forms import PublishForm, ReasonForm, put_faults
from tcma.campaigns.models import Campaign
from tcma.campaigns.problems import errors
from tcma.db import db, unit_of_work
from tcma.errors import Invalid


@bp.route("/campaigns/<uuid:campaign_id>/publish", methods=["GET", "POST"])
def campaign_publish(campaign_id: UUID) -> Page:
    """What will happen and what stands in the way; the deed itself."""
    as_author()
    g.actor.require(Permission.CAMPAIGN_PUBLISH)
    found = queries.get_campaign(db.session, g.actor, campaign_id)
    form = _form(found)
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                made = services.publish_campaign(
                    session, g.actor, campaign_id, partner_ids=form.partner_ids(), note=form.note.data or "",
                    shown=form.shown.data or "",
                )  # fmt: skip
            flash(_("Version %(number)s is published. New partners are told by mail.", number=made.number), "success")
            return redirect(url_for("campaigns.campaign", campaign_id=campaign_id, tab="versions"), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
            found = queries.get_campaign(db.session, g.actor, campaign_id)
    problems = showing.problems(found)
    page = render_template(
        "campaigns/campaign_publish.html", campaign=found, form=form, problems=problems, faults=len(errors(problems)),
        versions=queries.list_versions(db.session, g.actor, campaign_id),
        seen=None if errors(problems) else showing.draft(db.session, g.actor, campaign_id),
    )  # fmt: skip
    return page, 422 if form.errors else 200


def _form(found: Campaign) -> PublishForm:
    whom = "all" if found.for_all_partners else "chosen"
    granted = list(queries.granted_partner_ids(db.session, found.id))
    begins = {"whom": whom, "partners": granted, "shown": services.draft_mark(found)}
    form = PublishForm(data=begins if request.method == "GET" else None)
    active = account_queries.active_partners(db.session, g.actor)
    form.partners.choices = [SelectChoice(one.partner_id, one.name) for one in active]
    return form


@bp.post("/campaigns/<uuid:campaign_id>/recall")
def campaign_recall(campaign_id: UUID) -> Page:
    as_author()
    queries.get_campaign(db.session, g.actor, campaign_id)
    form = ReasonForm()
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                services.recall_campaign(session, g.actor, campaign_id, reason=form.reason.data or "")
            flash(_("Recalled. Nobody can launch it any more."), "info")
            return redirect(url_for("campaigns.campaign", campaign_id=campaign_id, tab="versions"), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    return campaign_page(queries.get_campaign(db.session, g.actor, campaign_id), "versions", reason=form)


@bp.post("/campaigns/<uuid:campaign_id>/archive")
def campaign_archive(campaign_id: UUID) -> Page:
    as_author()
    with unit_of_work(g.actor) as session:
        services.archive_campaign(session, g.actor, campaign_id)
    flash(_("Archived. Partners do not see it any more."), "info")
    return redirect(url_for("campaigns.campaigns"), 303)


@bp.post("/campaigns/<uuid:campaign_id>/reopen")
def campaign_reopen(campaign_id: UUID) -> Page:
    as_author()
    with unit_of_work(g.actor) as session:
        services.reopen_campaign(session, g.actor, campaign_id)
    flash(_("The campaign is a draft again."), "success")
    return redirect(url_for("campaigns.campaign", campaign_id=campaign_id), 303)


@bp.get("/campaigns/<uuid:campaign_id>/versions/<uuid:version_id>")
def campaign_version(campaign_id: UUID, version_id: UUID) -> Page:
    """One version: what changed since the one before, and how it looks."""
    as_author()
    found = queries.get_campaign(db.session, g.actor, campaign_id)
    versions = queries.list_versions(db.session, g.actor, found.id)
    place = next((number for number, one in enumerate(versions) if one.id == version_id), None)
    if place is None:
        return redirect(url_for("campaigns.campaign", campaign_id=campaign_id, tab="versions"))
    older = versions[place + 1] if place + 1 < len(versions) else None
    newer = queries.get_version(db.session, version_id)
    before = queries.get_version(db.session, older.id) if older else None
    return render_template(
        "campaigns/campaign_version.html", campaign=found, version=newer, older=older,
        lines=showing.differences(before, newer) if before else [],
    )  # fmt: skip


@bp.get("/campaigns/versions/<uuid:version_id>/preview")
def version_preview(version_id: UUID) -> Response:
    as_author()
    seen = showing.version(db.session, g.actor, version_id)
    text = request.args.get("part") == "text"
    return document(seen.text if text else seen.html, text=text)
