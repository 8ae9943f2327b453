"""One launch: the four steps before its start on one page, and the live page after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import format_timedelta
from flask_babel import gettext as _
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from wtforms.fields.choices import SelectChoice

from tcma import audit
from tcma.access import Permission
from tcma.accounts import queries as account_queries
from tcma.accounts.models import Organization
from tcma.audience import queries as audience_queries
from tcma.campaigns import launches as campaign_launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns import slots
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import db, unit_of_work
from tcma.delivery import (
    pacing,
    preflight,
    queries,
    returns_decisions,
    returns_health,
    senders,
    senders_choice,
    services,
)
from tcma.delivery.blueprint import Page, bp, framed
from tcma.delivery.forms import PREFIX, AudienceForm, TestMailForm, WhenForm, put_faults, slots_form, typed_slots
from tcma.delivery.pacing_forms import PaceForm
from tcma.delivery.routes_launches import has
from tcma.delivery.senders_forms import SenderChoiceForm
from tcma.delivery.senders_states import SenderStatus
from tcma.delivery.states import DeliveryStatus
from tcma.errors import Invalid
from tcma.show import reader_zone

BEFORE_START = (LaunchStatus.DRAFT, LaunchStatus.SCHEDULED)
REASONS = {
    "suppressed_partner": "Unsubscribed from you, or bounced", "suppressed_vendor": "Refused this vendor",
    "suppressed_platform": "Refused all mail of this service", "no_consent": "No consent on record",
    "cancelled": "The launch was cancelled", "gave_up": "Refused for now, eight times",
    "no_answer": "The connection was lost", "5.1.1": "No such mailbox", "5.2.2": "The mailbox is full",
    "5.2.1": "The mailbox is switched off", "bounced": "It came back later",
}  # fmt: skip


@bp.get("/launches/<uuid:launch_id>")
def launch(launch_id: UUID) -> Page:
    g.actor.require(Permission.LAUNCH_READ)
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    mine = found.partner_id == g.actor.organization_id
    if mine and found.status in BEFORE_START:
        return _steps(found)
    return render_template(
        "delivery/launch.html", launch=found, mine=mine, reasons_words=REASONS, **_live(found, mine), **_open(found, mine)
    )


def _open(found: Launch, mine: bool) -> dict[str, Any]:
    """What waits for a decision, and why the service paused the launch by itself."""
    return {
        "decisions": returns_decisions.waiting(db.session, found) if mine else None,
        "alarm": returns_health.last_alarm(db.session, found.id), "alarm_words": returns_health.alarm_words,
    }  # fmt: skip


# -- before the start ----------------------------------------------------------------------------------


def _steps(found: Launch, *, forms: dict[str, FlaskForm] | None = None) -> Page:
    """The page of the four steps; `forms` are those that came back with faults."""
    session, actor = db.session, g.actor
    given = forms or {}
    verdicts = preflight.preflight(session, actor, found.id)
    failed = {one.code for one in preflight.blocking(verdicts)}
    version = campaign_queries.get_version(session, found.campaign_version_id)
    defined = slots.parse_slots(version.slots)
    counts = audience_queries.audience_counts(session, found.partner_id, found.vendor_id, found.audience)
    test = given.get("test") or TestMailForm(formdata=None, address=actor.email)
    when = given.get("when") or WhenForm(
        formdata=None,
        when="later" if found.scheduled_at else "now",
        at=found.scheduled_at.astimezone(reader_zone()) if found.scheduled_at else None,
    )
    page = render_template(
        "delivery/launch_steps.html", launch=found, version=version, verdicts=verdicts, failed=failed, counts=counts,
        slots_form=given.get("slots") or slots_form(defined, found.slots), audience_form=given.get("audience") or
        _audience_form(found), when_form=when, test_form=test, PREFIX=PREFIX, defined=defined,
        refusals=[(words, counts[key]) for key, words in preflight.REFUSALS.items() if counts.get(key)],
        sender_form=given.get("sender") or _sender_form(found), pace_form=given.get("pace") or PaceForm.of(found),
        vendor=_vendor(found), zone=reader_zone().key, tests=queries.test_mails(session, actor, found.id),
        has=has, **_preview_values(found),
    )  # fmt: skip
    return page, 422 if forms else 200


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


def _vendor(found: Launch) -> str:
    return _name(found.vendor_id)


def _name(organization_id: UUID) -> str:
    known = db.session.get(Organization, organization_id)
    return known.name if known else ""


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
        return render_template(
            "delivery/_preview.html", launch=again, wrong=wrong, saved=True, **_preview_values(again)
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
    form = WhenForm()
    try:
        with unit_of_work(g.actor) as session:
            if form.when.data == "later":
                services.schedule_launch(session, g.actor, launch_id, at=form.moment(reader_zone()))
            elif campaign_queries.get_launch(session, g.actor, launch_id).status is LaunchStatus.SCHEDULED:
                services.unschedule_launch(session, g.actor, launch_id)
    except Invalid as error:
        put_faults(form, error)
        return _steps(campaign_queries.get_launch(db.session, g.actor, launch_id), forms={"when": form})
    flash(_("It starts at the chosen time.") if form.when.data == "later" else _("Saved."), "success")
    return _back(launch_id, "check")


@bp.post("/launches/<uuid:launch_id>/pace")
def save_pace(launch_id: UUID) -> Page:
    """The hours in which mail may arrive."""
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
        flash(error.message, "error")
        return _back(launch_id, "")
    flash(_("The test mail is on its way to %(address)s.", address=form.address.data), "success")
    return _back(launch_id, "check")


@bp.post("/launches/<uuid:launch_id>/newer")
def take_newer_version(launch_id: UUID) -> Page:
    """Move the draft to the campaign's newest version."""
    return _done(launch_id, campaign_launches.refresh_version, _("The newest version is in place."))


# -- verbs ---------------------------------------------------------------------------------------------


@bp.post("/launches/<uuid:launch_id>/start")
def start(launch_id: UUID) -> Page:
    try:
        return _done(launch_id, services.start_launch, _("The launch has started. You may leave this page."))
    except Invalid as error:
        flash(error.message, "error")
        return _back(launch_id, "check")


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


# -- after the start -----------------------------------------------------------------------------------


def _live(found: Launch, mine: bool) -> dict[str, Any]:
    """Totals, progress and what came back; rows and reasons for the partner only."""
    session = db.session
    counted = queries.shown_totals(session, g.actor, found)
    rate = queries.rate(session, found.id) if mine and found.status is LaunchStatus.SENDING else 0
    waiting = counted.pending + counted.sending
    left = format_timedelta(timedelta(seconds=waiting / rate), threshold=0.9) if rate and waiting else None
    links = {}
    if mine:
        links = {
            str(one): url_for("delivery.deliveries", launch_id=found.id, status=str(one)) for one in DeliveryStatus
        }
    return {
        "totals": counted, "links": links, "rate": rate, "left": left, "moving": found.status in
        (LaunchStatus.PLANNING, LaunchStatus.SENDING), "back": queries.results(session, [found.id]).get(found.id, {}),
        "reasons": queries.reasons(session, found.id) if mine else [], "vendor": _vendor(found), "has": has, "partner": _name(found.partner_id),
        "history": _history(found), "test_form": TestMailForm(formdata=None, address=g.actor.email),
        "landing_url": campaign_launches.landing_url(found),
    }  # fmt: skip


@bp.get("/launches/<uuid:launch_id>/progress")
def progress(launch_id: UUID) -> Page:
    """The moving part of the live page, for htmx; at the end it has the page reloaded, whose verbs differ then."""
    g.actor.require(Permission.LAUNCH_READ)
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    mine = found.partner_id == g.actor.organization_id
    values = _live(found, mine)
    if not values["moving"]:
        return Response(status=204, headers={"HX-Refresh": "true"})
    return render_template("delivery/_progress.html", launch=found, mine=mine, polled=True, **values)


def _history(found: Launch) -> list[dict[str, Any]]:
    words = {
        "launch.create": (_("made this launch"), "plus", "neutral"), "launch.start": (_("started it"), "send", "info"),
        "launch.schedule": (_("chose the time"), "clock", "info"),
        "launch.unschedule": (_("took the time back"), "clock-off", "neutral"),
        "launch.send": (_("began to send"), "mail-forward", "info"),
        "launch.pause": (_("paused it"), "player-pause", "warn"),
        "launch.resume": (_("resumed it"), "player-play", "info"),
        "launch.finish": (_("finished"), "circle-check", "good"), "launch.cancel": (_("cancelled it"), "ban", "bad"),
        "launch.change_sender": (_("changed the sender"), "mail", "warn"),
        "launch.reopen": (_("sent some of it again"), "send", "info"),
        "launch.unknown_as_sent": (_("counted unknown mails as sent"), "check", "info"),
        "launch.unknown_again": (_("sent unknown mails again"), "send", "warn"),
        "launch.retry_failed": (_("tried failed mails again"), "refresh", "info"),
        "launch.not_started": (_("could not start"), "alert-triangle", "warn"),
    }  # fmt: skip
    # Colleagues know each other by name; to the vendor a partner's people are its members.
    mine = found.partner_id == g.actor.organization_id
    names = {one.user_id: one.user.name for one in account_queries.list_members(db.session, g.actor)} if mine else {}
    items = []
    for row in reversed(audit.history(db.session, found)):
        if row.action in words:
            what, icon, tone = words[row.action]
            who = _("You") if row.actor_user_id and row.actor_user_id == g.actor.user_id else ""
            who = who or (names.get(row.actor_user_id, _("A member")) if row.actor_user_id else _("The service"))
            items.append({"who": who, "what": what, "when": row.at, "icon": icon, "tone": tone, "note": row.reason})
    return items
