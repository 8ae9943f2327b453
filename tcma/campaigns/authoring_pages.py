"""The vendor's pages of campaigns: the list, new ones, and one campaign's tabs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, flash, g, jsonify, redirect, render_template, request, stream_with_context, url_for
from flask_babel import gettext as _

from tcma import audit
from tcma.access import Kind, Permission
from tcma.accounts import queries as account_queries
from tcma.campaigns import queries, services, showing, slots, starter
from tcma.campaigns.blueprint import Page, bp, document
from tcma.campaigns.forms import (
    ContentForm,
    DraftForm,
    LandingForm,
    NewForm,
    ReasonForm,
    RulesForm,
    SlotsForm,
    put_faults,
    slot_data,
)
from tcma.campaigns.models import Campaign
from tcma.campaigns.problems import MarkupError, errors
from tcma.campaigns.states import CampaignStatus
from tcma.csvfile import Cell, write_csv
from tcma.db import bind, db, unit_of_work
from tcma.errors import Invalid, Stale

PAGE = 50
TABS = ("content", "slots", "landing", "rules", "versions", "results")
SAVED = {
    "content": ("subject", "preheader", "mjml"), "slots": ("slots",), "landing": ("landing",),
    "rules": ("name", "goal", "summary", "effort_minutes", "begins_on", "ends_on"),
}  # fmt: skip
"""What each tab of the draft saves."""


def as_author() -> None:
    """Vendors read their campaigns; who may change them, the services say."""
    g.actor.require(Permission.CAMPAIGN_READ)
    g.actor.require_kind(Kind.VENDOR)


@bp.get("/campaigns")
def campaigns() -> Page:
    """The list; partners are led to their catalogue."""
    if g.actor.is_partner:
        return redirect(url_for("campaigns.catalogue"))
    as_author()
    state = request.args.get("state", "")
    status = CampaignStatus(state) if state in set(CampaignStatus) else None
    search = request.args.get("q", "")
    if request.args.get("format") == "csv":
        return _csv(queries.list_campaigns(db.session, g.actor, status=status, search=search, limit=10_000))
    rows = queries.list_campaigns(
        db.session, g.actor, status=status, search=search, before=uuid_arg("after"), limit=PAGE + 1
    )
    shown = rows[:PAGE]
    ids = [one.id for one in shown]
    here: dict[str, Any] = {**request.args.to_dict(), "after": shown[-1].id} if len(rows) > PAGE else {}
    return render_template(
        "campaigns/campaigns.html", rows=shown, counts=queries.count_campaigns(db.session, g.actor),
        adoption=queries.launch_counts(db.session, ids), grants=queries.grant_counts(db.session, ids),
        states=list(CampaignStatus), older=url_for("campaigns.campaigns", **here) if here else None,
    )  # fmt: skip


def _csv(rows: list[Campaign]) -> Response:
    ids, actor = [one.id for one in rows], g.actor
    adoption, grants = queries.launch_counts(db.session, ids), queries.grant_counts(db.session, ids)
    header = ["campaign", "status", "goal", "published_at", "ends_on", "open_to_partners", "launched_by", "launches"]
    none = {"partners": 0, "launches": 0}
    lines: list[list[Cell]] = [
        [one.name, str(one.status), one.goal, one.published_at, one.ends_on, grants.get(one.id, 0),
         adoption.get(one.id, none)["partners"], adoption.get(one.id, none)["launches"]]
        for one in rows
    ]  # fmt: skip
    bind(db.session, actor)
    return Response(
        stream_with_context(write_csv(lines, header, bom=True)), mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="campaigns.csv"'},
    )  # fmt: skip


def uuid_arg(name: str) -> UUID | None:
    """An id in the query string; None for none and for what is no id."""
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None


@bp.route("/campaigns/new", methods=["GET", "POST"])
def campaign_new() -> Page:
    as_author()
    g.actor.require(Permission.CAMPAIGN_MANAGE)
    form = NewForm()
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                if form.starter.data:
                    made = services.create_from_starter(session, g.actor, form.starter.data)
                else:
                    made = services.create_campaign(session, g.actor, name=form.name.data or "", mjml=_BLANK)
            flash(_("Saved as a draft. Partners see nothing until you publish."), "success")
            return redirect(url_for("campaigns.campaign", campaign_id=made.id), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    page = render_template("campaigns/campaign_new.html", form=form, starters=starter.starters())
    return page, 422 if form.errors else 200


_BLANK = """<mjml>
  <mj-body>
    <mj-section>
      <mj-column>
        <mj-text font-size="22px">Hello {{ contact.first_name or "there" }},</mj-text>
        <mj-text>Write here what {{ brand.name }} offers.</mj-text>
        <mj-button background-color="{{ brand.color }}" href="{{ launch.landing_url }}">Learn more</mj-button>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""


@bp.get("/campaigns/starters/<key>/preview")
def starter_preview(key: str) -> Response:
    g.actor.require(Permission.CAMPAIGN_READ)
    return document(showing.starter_mail(key, vendor_name=g.actor.organization_name).html)


@bp.get("/campaigns/<uuid:campaign_id>")
def campaign(campaign_id: UUID) -> Page:
    if g.actor.is_partner:
        return redirect(url_for("campaigns.catalogued", campaign_id=campaign_id))
    as_author()
    found = queries.get_campaign(db.session, g.actor, campaign_id)
    tab = request.args.get("tab", "content")
    return campaign_page(found, tab if tab in TABS else "content")


def campaign_page(found: Campaign, tab: str, **forms: Any) -> Page:
    """One tab of a campaign; `forms` holds the one that came back with faults."""
    given = forms.get("form")
    form = given or _empty_form(found, tab)
    if given is None and tab in SAVED:
        form.seen.data = services.part_mark(found, SAVED[tab])
    problems = showing.problems(found)
    values: dict[str, Any] = {"problems": problems, "faults": len(errors(problems))}
    if tab == "content":
        values |= {"people": _lookers(), "mark": form.seen.data}
    elif tab == "slots":
        values["undeclared"] = showing.undeclared_slots(found)
    elif tab == "versions":
        values["versions"] = queries.list_versions(db.session, g.actor, found.id)
        values["reason"] = forms.get("reason") or ReasonForm(formdata=None)
        values["history"] = history(found)
    elif tab == "results":
        values |= _results(found)
    elif tab == "rules":
        values["granted"] = len(queries.granted_partner_ids(db.session, found.id))
    page = render_template(f"campaigns/campaign_{tab}.html", campaign=found, tab=tab, tabs=TABS, form=form, **values)
    refused = (given is not None and given.errors) or (forms.get("reason") is not None and forms["reason"].errors)
    return page, 422 if refused else 200


def _empty_form(found: Campaign, tab: str) -> Any:
    if tab == "content":
        return ContentForm(formdata=None, obj=found)
    if tab == "slots":
        return SlotsForm(formdata=None, data={"slots": [slot_data(one) for one in slots.parse_slots(found.slots)]})
    if tab == "landing":
        return LandingForm(formdata=None, data=found.landing)
    return RulesForm(formdata=None, obj=found)


def _lookers() -> list[tuple[str, UUID]]:
    """Partners as whom the draft may be looked at."""
    return [(one.name, one.partner_id) for one in account_queries.active_partners(db.session, g.actor, limit=30)]


def _results(found: Campaign) -> dict[str, Any]:
    launches = queries.list_launches(db.session, g.actor, campaign_id=found.id, limit=200)
    names = account_queries.organization_names(db.session, [one.partner_id for one in launches])
    counts = queries.launch_counts(db.session, [found.id]).get(found.id, {"launches": 0, "partners": 0})
    return {
        "launches": launches, "names": names, "counts": counts,
        "granted": len(queries.granted_partner_ids(db.session, found.id)),
    }  # fmt: skip


def history(found: Campaign) -> list[dict[str, Any]]:
    """Who did what to the campaign, newest first, as the timeline takes it; edits of one day count once."""
    words = {
        "campaign.create": (_("made the campaign"), "plus"), "campaign.edit": (_("changed the draft"), "pencil"),
        "campaign.publish": (_("published it"), "world"), "campaign.recall": (_("recalled it"), "arrow-back-up"),
        "campaign.archive": (_("archived it"), "archive"), "campaign.reopen": (_("took it out of the archive"), "refresh"),
    }  # fmt: skip
    people = {one.user_id: one.user.name for one in account_queries.list_members(db.session, g.actor)}
    items: list[dict[str, Any]] = []
    seen = None
    for one in reversed(audit.history(db.session, found)):
        mark = (one.action, one.actor_user_id, one.at.date())
        if mark == seen and one.action == "campaign.edit":
            continue
        seen = mark
        what, icon = words.get(one.action, (one.action, "point"))
        who = people.get(one.actor_user_id) if one.actor_user_id else None
        items.append({"who": who or _("The service"), "what": what, "when": one.at, "icon": icon, "note": one.reason})
    return items


@bp.post("/campaigns/<uuid:campaign_id>/content")
def campaign_content(campaign_id: UUID) -> Page:
    """Save subject, preheader and source; for htmx the answer is what the compiler says of them."""
    as_author()
    form = ContentForm()
    fields = {"subject": form.subject.data or "", "preheader": form.preheader.data or "", "mjml": form.mjml.data or ""}
    queries.get_campaign(db.session, g.actor, campaign_id)
    live, began_with = bool(request.headers.get("HX-Request")), form.seen.data or ""
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                found = services.save_draft(session, g.actor, campaign_id, seen=form.seen.data, **fields)
            if live:
                return _compiled(found)
            flash(_("Saved."), "success")
            return redirect(url_for("campaigns.campaign", campaign_id=campaign_id), 303)
        except Stale:
            instead = put_overtaken(form, campaign_id, "content", live=live)
            if live:
                # Typing on saves no more until somebody decides.
                return _unsaved(form.form_errors, mark=began_with, instead=instead, campaign_id=campaign_id)
        except Invalid as wrong:
            if live:
                return _unsaved(list(wrong.fields.values()), mark=began_with)
            put_faults(form, wrong)
    return campaign_page(queries.get_campaign(db.session, g.actor, campaign_id), "content", form=form)


def put_overtaken(form: DraftForm, campaign_id: UUID, tab: str, *, live: bool = False) -> str:
    """Say on a form who was quicker; the next time it is sent it takes their place. What the part holds now.

    With `live` the page has a button for that, for what saves itself must not.
    """
    found = queries.get_campaign(db.session, g.actor, campaign_id)
    edits = [one for one in history(found) if one["icon"] == "pencil"]
    who = edits[0]["who"] if edits else _("Somebody else")
    form.form_errors.append(
        _("%(who)s changed this while you had it open, so yours is not saved. Open it in a second window to see both.", who=who)
    )
    if not live:
        form.form_errors.append(_("Save again to put yours in its place."))
    form.seen.data = services.part_mark(found, SAVED[tab])
    return str(form.seen.data)


def _unsaved(words: list[str], **more: Any) -> str:
    return render_template("campaigns/compiled.html", unsaved=words, problems=[], **more)


def _compiled(found: Campaign) -> str:
    mark = services.part_mark(found, SAVED["content"])
    return render_template(
        "campaigns/compiled.html", problems=showing.problems(found), campaign=found, unsaved=[], saved=True, mark=mark
    )


@bp.get("/campaigns/<uuid:campaign_id>/preview")
def campaign_preview(campaign_id: UUID) -> Response:
    """The draft in a partner's brand or the sample one, for a frame."""
    as_author()
    partner_id, text = uuid_arg("partner"), request.args.get("part") == "text"
    if partner_id is not None:
        account_queries.get_partnership(db.session, g.actor, partner_id)
    try:
        seen = showing.draft(db.session, g.actor, campaign_id, partner_id=partner_id)
    except MarkupError as wrong:
        return document(render_template("campaigns/no_preview.html", count=len(errors(wrong.problems))))
    return document(seen.text if text else seen.html, text=text)


@bp.post("/campaigns/<uuid:campaign_id>/slots")
def campaign_slots(campaign_id: UUID) -> Page:
    """Save the slots; `do` may ask for a row more, a row fewer, or those that the source uses."""
    as_author()
    g.actor.require(Permission.CAMPAIGN_MANAGE)
    found = queries.get_campaign(db.session, g.actor, campaign_id)
    form, deed = SlotsForm(), request.form.get("do", "save")
    if deed == "add":
        form.slots.append_entry({"kind": "text", "max_length": 80, "required": True})
        return campaign_page(found, "slots", form=form)
    if deed == "detect":
        typed = {entry.form.name.data for entry in form.slots.entries}
        for name in showing.undeclared_slots(found):
            if name not in typed:
                words = name.replace("_", " ").capitalize()
                form.slots.append_entry({"name": name, "label": words, "kind": "text", "max_length": 80, "default": words})
        return campaign_page(found, "slots", form=form)
    if deed.startswith("remove-"):
        kept = [entry.data for number, entry in enumerate(form.slots.entries) if deed != f"remove-{number}"]
        return campaign_page(found, "slots", form=SlotsForm(formdata=None, data={"slots": kept, "seen": form.seen.data}))
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                defined = [entry.form.as_slot() for entry in form.slots.entries]
                services.save_draft(session, g.actor, campaign_id, seen=form.seen.data, slots=defined)
            flash(_("Slots saved."), "success")
            return redirect(url_for("campaigns.campaign", campaign_id=campaign_id, tab="slots"), 303)
        except Stale:
            put_overtaken(form, campaign_id, "slots")
        except Invalid as wrong:
            form.put_slot_faults(wrong)
            found = queries.get_campaign(db.session, g.actor, campaign_id)
    return campaign_page(found, "slots", form=form)


@bp.post("/campaigns/<uuid:campaign_id>/landing")
def campaign_landing(campaign_id: UUID) -> Page:
    as_author()
    form = LandingForm()
    names = ("headline", "intro", "fields", "button", "thank_you")
    return _saved(campaign_id, "landing", form, landing={name: form[name].data for name in names})


@bp.post("/campaigns/<uuid:campaign_id>/rules")
def campaign_rules(campaign_id: UUID) -> Page:
    as_author()
    form = RulesForm()
    return _saved(campaign_id, "rules", form, **{name: form[name].data for name in SAVED["rules"]})


def _saved(campaign_id: UUID, tab: str, form: LandingForm | RulesForm, **fields: Any) -> Page:
    """Save and go back to the tab; forms that save as one types get 204, or 422 with the faults."""
    queries.get_campaign(db.session, g.actor, campaign_id)
    auto = bool(request.headers.get("X-Autosave"))
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                services.save_draft(session, g.actor, campaign_id, seen=form.seen.data, **fields)
            if auto:
                return Response(status=204)
            flash(_("Saved."), "success")
            return redirect(url_for("campaigns.campaign", campaign_id=campaign_id, tab=tab), 303)
        except Stale:
            put_overtaken(form, campaign_id, tab)
        except Invalid as wrong:
            put_faults(form, wrong)
    if auto:
        refused = jsonify(fields={name: str(found[0]) for name, found in form.errors.items() if name and found})
        refused.status_code = 422
        return refused
    return campaign_page(queries.get_campaign(db.session, g.actor, campaign_id), tab, form=form)


@bp.get("/campaigns/<uuid:campaign_id>/landing-preview")
def landing_preview(campaign_id: UUID) -> Response:
    as_author()
    found = queries.get_campaign(db.session, g.actor, campaign_id)
    brand = showing.brand_of(db.session, None)
    return document(render_template("campaigns/landing_preview.html", landing=showing.landing(found), brand=brand))
