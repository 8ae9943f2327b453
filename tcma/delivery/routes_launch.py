"""One launch before its start: the four steps on one page, and every verb. The page after it: `routes_live`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from wtforms.fields.choices import SelectChoice

from tcma.access import Permission
from tcma.audience import queries as audience_queries
from tcma.campaigns import launches as campaign_launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns import slots
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import db, unit_of_work
from tcma.delivery import marks, pacing, preflight, queries, routes_live, senders, senders_choice, services
from tcma.delivery.blueprint import Page, bp, framed
from tcma.delivery.forms import PREFIX, AudienceForm, TestMailForm, WhenForm, put_faults, slots_form, typed_slots
from tcma.delivery.pacing_forms import PaceForm
from tcma.delivery.reach import reach_of
from tcma.delivery.routes_launches import has
from tcma.delivery.senders_forms import SenderChoiceForm
from tcma.delivery.senders_states import SenderStatus
from tcma.errors import Invalid, Stale
from tcma.show import reader_zone

BEFORE_START = (LaunchStatus.DRAFT, LaunchStatus.SCHEDULED)


@bp.get("/launches/<uuid:launch_id>")
def launch(launch_id: UUID) -> Page:
    g.actor.require(Permission.LAUNCH_READ)
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    mine = found.partner_id == g.actor.organization_id
    if mine and found.status in BEFORE_START:
        return _steps(found)
    return routes_live.page(found)


# -- before the start ----------------------------------------------------------------------------------


def _steps(found: Launch, *, forms: dict[str, FlaskForm] | None = None, stale: str = "") -> Page:
    """The page of the four steps; `forms` are those that came back with faults, `stale` says what changed meanwhile."""
    session, actor = db.session, g.actor
    given = forms or {}
    verdicts = preflight.preflight(session, actor, found.id)
    failed = {one.code for one in preflight.blocking(verdicts)}
    version = campaign_queries.get_version(session, found.campaign_version_id)
    defined = slots.parse_slots(version.slots)
    reach = reach_of(session, found)
    test = given.get("test") or TestMailForm(formdata=None, address=actor.email)
    when = given.get("when") or WhenForm(
        formdata=None,
        when="later" if found.scheduled_at else "now",
        at=found.scheduled_at.astimezone(reader_zone()) if found.scheduled_at else None,
    )
    page = render_template(
        "delivery/launch_steps.html", launch=found, version=version, verdicts=verdicts, failed=failed, counts=reach,
        slots_form=given.get("slots") or slots_form(defined, found.slots), audience_form=given.get("audience") or
        _audience_form(found), when_form=when, test_form=test, PREFIX=PREFIX, defined=defined,
        refusals=[(words, reach.refused[key]) for key, words in preflight.REFUSALS.items() if reach.refused.get(key)]
        + ([(_("had as many mails lately as you allow"), reach.capped)] if reach.capped else []),
        mark=marks.mark_of(session, found, people=reach.sendable), stale=stale,
        sender_form=given.get("sender") or _sender_form(found), pace_form=given.get("pace") or PaceForm.of(found),
        vendor=routes_live.name_of(found.vendor_id), zone=reader_zone().key, tests=queries.test_mails(session, actor, found.id),
        has=has, **_preview_values(found),
    )  # fmt: skip
    return page, 409 if stale else 422 if forms else 200


def _sender_form(found: Launch, *, posted: bool = False) -> SenderChoiceForm:
    """The verified senders to choose from; with none of them there is no choice."""
    form = SenderChoiceForm() if posted else SenderChoiceForm(
        formdata=None, sender=(found.sender or {}).get("chosen", "")
    )
    platform = senders_choice.via_platform(found.brand or campaign_launches.live_brand(db.session, found))
    own = [one for one in senders.list_senders(db.session, g.actor) if one.status is SenderStatus.VERIFIED]
    form.sender.choices = [
        SelectChoice("", _("Your default")), *(SelectChoice(str(one.id), f"{one.name} <{one.address}>") for one in own),
        SelectChoice(senders_choice.VIA_PLATFORM, f"{platform['from_name']} <{platform['from_address']}>"),
    ] if own else []  # fmt: skip
    return form


def _audience_form(found: Launch, *, posted: bool = False) -> AudienceForm:
    lists = audience_queries.list_lists(db.session, g.actor)
    form = AudienceForm() if posted else AudienceForm(formdata=None, data=found.audience)
    choices = [SelectChoice(str(one.id), f"{one.name} ({count})") for one, count in lists]
    form.lists.choices = form.exclude_lists.choices = choices
    return form


def _contact_id() -> int | None:
    given = request.values.get("contact", "")
    return int(given) if given.isdecimal() and len(given) < 19 else None


def _preview_values(found: Launch) -> dict[str, Any]:
    """What the preview shows: as whom, subject, sender, and what keeps it from being made."""
    session = db.session
    chosen = _contact_id()
    ids = audience_queries.audience_sample(session, found.partner_id, found.vendor_id, found.audience)
    named = audience_queries.contact_values(session, found.partner_id, ids)
    people = [
        (
            one["full_name"] or one["email"],
            url_for("delivery.launch", launch_id=found.id, contact=number),
            number == chosen,
        )
        for number, one in named.items()
    ]
    brand = found.brand or campaign_launches.live_brand(session, found)
    trouble = subject = ""
    try:
        subject = campaign_launches.preview(session, g.actor, found.id, contact_id=chosen).subject
    except Invalid as error:
        trouble = error.message
    return {
        "people": people, "contact": chosen, "subject": subject, "trouble": trouble,
        "sender": senders_choice.sender_of_launch(session, found, brand)["from_name"],
        "edition": f"{found.updated_at.timestamp():.0f}" if found.updated_at else "0",
    }  # fmt: skip


@bp.get("/launches/<uuid:launch_id>/preview")
def preview_html(launch_id: UUID) -> Page:
    """The mail as a named contact gets it, for a frame."""
    g.actor.require(Permission.LAUNCH_READ)
    return framed(campaign_launches.preview(db.session, g.actor, launch_id, contact_id=_contact_id()).html)


@bp.get("/launches/<uuid:launch_id>/preview.txt")
def preview_text(launch_id: UUID) -> Page:
    g.actor.require(Permission.LAUNCH_READ)
    rendered = campaign_launches.preview(db.session, g.actor, launch_id, contact_id=_contact_id())
    return framed(rendered.text, mimetype="text/plain")


@bp.post("/launches/<uuid:launch_id>/texts")
def save_slots(launch_id: UUID) -> Page:
    """Save what was typed; htmx gets the preview anew, the form without it goes back to the page."""
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    version = campaign_queries.get_version(db.session, found.campaign_version_id)
    form = slots_form(slots.parse_slots(version.slots), found.slots)
    wrong: Invalid | None = None
    try:
        with unit_of_work(g.actor) as session:
            campaign_launches.save_slots(session, g.actor, launch_id, typed_slots(form))
            if request.form.get("name", "").strip():
                campaign_launches.rename_launch(session, g.actor, launch_id, request.form["name"])
    except Invalid as error:
        wrong = error
        put_faults(form, error, prefix=PREFIX)
    if request.headers.get("HX-Request"):
        again = campaign_queries.get_launch(db.session, g.actor, launch_id)
        mark = marks.with_texts_of(request.form.get("mark", ""), marks.mark_of(db.session, again))
        return render_template(
            "delivery/_preview.html", launch=again, wrong=wrong, saved=True, mark=mark, **_preview_values(again)
        )
    if wrong:
        return _steps(campaign_queries.get_launch(db.session, g.actor, launch_id), forms={"slots": form})
    flash(_("Saved."), "success")
    return _back(launch_id, "whom")


@bp.post("/launches/<uuid:launch_id>/audience")
def save_audience(launch_id: UUID) -> Page:
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    form = _audience_form(found, posted=True)
    try:
        with unit_of_work(g.actor) as session:
            campaign_launches.save_audience(
                session, g.actor, launch_id, lists=_ids(form.lists.data), exclude_lists=_ids(form.exclude_lists.data)
            )
    except Invalid as error:
        put_faults(form, error)
        return _steps(campaign_queries.get_launch(db.session, g.actor, launch_id), forms={"audience": form})
    flash(_("Saved."), "success")
    return _back(launch_id, "when")


def _ids(given: list[str] | None) -> list[UUID]:
    try:
        return [UUID(one) for one in given or []]
    except ValueError:
        raise Invalid(
            {"lists": "One of these lists is not there any more. Reload the page and choose again."}
        ) from None


@bp.post("/launches/<uuid:launch_id>/schedule")
def schedule(launch_id: UUID) -> Page:
    """Keep the chosen time, or take it back where “now” is chosen."""
    services.require_own(db.session, g.actor, launch_id)
    form = WhenForm()
    try:
        with unit_of_work(g.actor) as session:
            if form.when.data == "later":
                moment = form.moment(reader_zone())
                services.schedule_launch(session, g.actor, launch_id, at=moment, mark=request.form.get("mark"))
            elif campaign_queries.get_launch(session, g.actor, launch_id).status is LaunchStatus.SCHEDULED:
                services.unschedule_launch(session, g.actor, launch_id)
    except Invalid as error:
        put_faults(form, error)
        return _steps(campaign_queries.get_launch(db.session, g.actor, launch_id), forms={"when": form})
    except Stale as error:
        return _again(launch_id, error)
    flash(_("It starts at the chosen time.") if form.when.data == "later" else _("Saved."), "success")
    return _back(launch_id, "check")


@bp.post("/launches/<uuid:launch_id>/pace")
def save_pace(launch_id: UUID) -> Page:
    """The hours in which mail may arrive."""
    services.require_own(db.session, g.actor, launch_id)
    form = PaceForm()
    try:
        if not form.validate():
            raise Invalid({})
        with unit_of_work(g.actor) as session:
            pacing.save_pace(session, g.actor, launch_id, window=form.window(), late_hours=form.late_hours.data)
    except Invalid as error:
        put_faults(form, error)
        return _steps(campaign_queries.get_launch(db.session, g.actor, launch_id), forms={"pace": form})
    flash(_("Saved."), "success")
    return _back(launch_id, "check")


@bp.post("/launches/<uuid:launch_id>/sender")
def choose_sender(launch_id: UUID) -> Page:
    """Whom the mail is from."""
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    form = _sender_form(found, posted=True)
    try:
        with unit_of_work(g.actor) as session:
            services.choose_sender(session, g.actor, launch_id, sender=form.sender.data or "")
    except Invalid as error:
        put_faults(form, error)
        return _steps(campaign_queries.get_launch(db.session, g.actor, launch_id), forms={"sender": form})
    flash(_("Saved."), "success")
    return _back(launch_id, "check")


@bp.post("/launches/<uuid:launch_id>/test")
def send_test(launch_id: UUID) -> Page:
    services.require_own(db.session, g.actor, launch_id)
    form = TestMailForm()
    try:
        if not form.validate():
            raise Invalid({})
        with unit_of_work(g.actor) as session:
            services.send_test(session, g.actor, launch_id, address=form.address.data or "", contact_id=_contact_id())
    except Invalid as error:
        put_faults(form, error)
        found = campaign_queries.get_launch(db.session, g.actor, launch_id)
        if found.status in BEFORE_START:
            return _steps(found, forms={"test": form})
        return routes_live.page(found, test=form), 422
    flash(_("The test mail is on its way to %(address)s.", address=form.address.data), "success")
    return _back(launch_id, "check")


def _again(launch_id: UUID, error: Stale) -> Page:
    """The page as it is now, with what changed since the person looked; where it has started meanwhile, the error."""
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    if found.status not in BEFORE_START:
        raise error
    return _steps(found, stale=error.message)


@bp.post("/launches/<uuid:launch_id>/newer")
def take_newer_version(launch_id: UUID) -> Page:
    """Move the draft to the campaign's newest version."""
    return _done(launch_id, campaign_launches.refresh_version, _("The newest version is in place."))


# -- verbs ---------------------------------------------------------------------------------------------


@bp.post("/launches/<uuid:launch_id>/start")
def start(launch_id: UUID) -> Page:
    verb = partial(services.start_launch, mark=request.form.get("mark"))
    try:
        return _done(launch_id, verb, _("The launch has started. You may leave this page."))
    except Invalid as error:
        flash(error.message, "error")
        return _back(launch_id, "check")
    except Stale as error:
        return _again(launch_id, error)


@bp.post("/launches/<uuid:launch_id>/pause")
def pause(launch_id: UUID) -> Page:
    return _done(launch_id, services.pause_launch, _("Paused. Nobody gets mail until you resume."))


@bp.post("/launches/<uuid:launch_id>/resume")
def resume(launch_id: UUID) -> Page:
    return _done(launch_id, services.resume_launch, _("Going on."))


@bp.post("/launches/<uuid:launch_id>/cancel")
def cancel(launch_id: UUID) -> Page:
    return _done(launch_id, services.cancel_launch, _("Cancelled. What was sent stays sent."))


def _done(launch_id: UUID, verb: Callable[[Session, Any, UUID], Launch], words: str) -> Page:
    with unit_of_work(g.actor) as session:
        verb(session, g.actor, launch_id)
    flash(words, "success")
    return _back(launch_id, "")


def _back(launch_id: UUID, anchor: str) -> Page:
    return redirect(url_for("delivery.launch", launch_id=launch_id, _anchor=anchor or None), 303)
