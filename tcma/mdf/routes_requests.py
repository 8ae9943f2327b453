"""Pages of requests: the list, the form, one request with its rules, and the decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from wtforms.fields.choices import SelectChoice

from tcma import audit
from tcma.access import Permission
from tcma.csvfile import Cell
from tcma.db import db, unit_of_work
from tcma.errors import Invalid
from tcma.mdf import ledger, queries, requests
from tcma.mdf.blueprint import bp
from tcma.mdf.forms import LinkLaunchForm, ReasonForm, RequestForm, put_faults
from tcma.mdf.models import Programme, Request
from tcma.mdf.pages import Page, as_typed, beside, csv_answer, has, ledger_link, locale, uuid_arg
from tcma.mdf.states import AccountKind, ProgrammeStatus, RequestStatus
from tcma.money import Money


def _filters() -> dict[str, Any]:
    state = request.args.get("state", "")
    return {
        "status": RequestStatus(state) if state in set(RequestStatus) else None,
        "search": request.args.get("q", ""), "programme_id": uuid_arg("programme"),
        "partner_id": uuid_arg("partner"), "fund_id": uuid_arg("fund"),
    }  # fmt: skip


@bp.get("/requests", endpoint="requests")
def requests_list() -> Page:
    g.actor.require(Permission.REQUEST_READ)
    if request.args.get("format") == "csv":
        header = [
            "number",
            "title",
            "partner",
            "programme",
            "state",
            "currency",
            "asked",
            "submitted",
            "due",
            "decided",
        ]
        return csv_answer("requests", header, _request_cells())
    rows, more = queries.list_requests(
        db.session, g.actor, after=uuid_arg("after"), before=uuid_arg("before"), **_filters()
    )
    counts = queries.count_requests(db.session, g.actor)
    others = [one.vendor_id if g.actor.is_partner else one.partner_id for one in rows]
    return render_template(
        "mdf/requests.html", rows=rows, names=queries.names_of(db.session, others), counts=counts,
        states=[one for one in RequestStatus if counts.get(one)], **beside(rows, more),
    )  # fmt: skip


def _request_cells() -> Iterator[list[Cell]]:
    after: UUID | None = None
    while True:
        rows, more = queries.list_requests(db.session, g.actor, after=after, limit=500, **_filters())
        names = queries.names_of(db.session, [one.partner_id for one in rows])
        for one in rows:
            yield [
                one.number, one.title, names.get(one.partner_id), one.programme.name, str(one.status), one.currency,
                one.budget, one.submitted_at, one.due_at, one.decided_at,
            ]  # fmt: skip
        if not more:
            return
        after = rows[-1].id


@bp.route("/requests/new", methods=["GET", "POST"])
def request_new() -> Page:
    g.actor.require(Permission.REQUEST_RAISE)
    chosen = uuid_arg("programme")
    if chosen is None:
        open_ones = queries.list_programmes(db.session, g.actor, status=ProgrammeStatus.ACTIVE)
        if len(open_ones) == 1:
            return redirect(url_for("mdf.request_new", programme=open_ones[0].id))
        return _choose_programme(open_ones)
    programme = queries.get_programme(db.session, g.actor, chosen)

    def save(session: Session, form: RequestForm, plan: list[dict[str, Any]]) -> Request:
        return requests.create_request(
            session, g.actor, programme_id=programme.id, title=form.title.data, purpose=form.purpose.data or "",
            activities=plan,
        )  # fmt: skip

    return _plan_page(RequestForm(), programme, save, found=None)


def _choose_programme(open_ones: list[Programme]) -> Page:
    session, actor = db.session, g.actor
    funds = queries.list_funds(session, actor)
    held = ledger.balances_by_fund(session, funds, partner_id=actor.organization_id)
    free = {
        one.id: Money.total(
            [held[fund.id][AccountKind.ALLOCATED] for fund in funds if fund.programme_id == one.id], one.currency
        )
        for one in open_ones
    }
    names = queries.names_of(session, [one.vendor_id for one in open_ones])
    return render_template("mdf/request_choose.html", programmes=open_ones, free=free, names=names)


@bp.route("/requests/<uuid:request_id>/edit", methods=["GET", "POST"])
def request_edit(request_id: UUID) -> Page:
    g.actor.require(Permission.REQUEST_RAISE)
    found = queries.get_request(db.session, g.actor, request_id)
    found.require_status("edit", RequestStatus.DRAFT, RequestStatus.RETURNED)
    programme = queries.get_programme(db.session, g.actor, found.programme_id)
    form = RequestForm() if request.method == "POST" else RequestForm(formdata=None, data=_as_typed(found))

    def save(session: Session, form: RequestForm, plan: list[dict[str, Any]]) -> Request:
        return requests.save_request(
            session, g.actor, request_id, title=form.title.data, purpose=form.purpose.data or "", activities=plan,
            expected_version=_version(form.version.data),
        )  # fmt: skip

    return _plan_page(form, programme, save, found=found)


def _as_typed(found: Request) -> dict[str, Any]:
    return {
        "title": found.title, "purpose": found.purpose, "version": found.row_version,
        "activities": [
            {
                "activity_type_id": one.activity_type_id, "title": one.title, "starts_on": one.starts_on,
                "ends_on": one.ends_on, "cost": as_typed(Money(one.cost_minor, one.currency)),
                "requested": as_typed(Money(one.requested_minor, one.currency)), "expected_reach": one.expected_reach,
                "campaign_version_id": one.campaign_version_id,
            }
            for one in found.activities
        ],
    }  # fmt: skip


Save = Callable[[Session, RequestForm, list[dict[str, Any]]], Request]


def _plan_page(form: RequestForm, programme: Programme, save: Save, *, found: Request | None) -> Page:
    """The form of a plan: one more activity, one fewer, keep as a draft, or keep and submit."""
    deed = request.form.get("do", "draft")
    resized = _resize(form, deed)
    _give_choices(form, programme)
    if request.method == "POST" and not resized and form.validate():
        plan = form.plan(programme.currency, locale=locale())
        if not any(entry.form.cost.errors or entry.form.requested.errors for entry in form.activities.entries):
            try:
                with unit_of_work(g.actor) as session:
                    saved = save(session, form, plan)
                    if deed == "submit":
                        requests.submit_request(session, g.actor, saved.id)
                flash(
                    _("Sent. You get an answer within 3 working days.") if deed == "submit" else _("Saved."), "success"
                )
                return redirect(url_for("mdf.request_page", request_id=saved.id), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    names = queries.names_of(db.session, [programme.vendor_id])
    page = render_template(
        "mdf/request_edit.html", form=form, programme=programme, found=found, vendor=names.get(programme.vendor_id, ""),
        cap=Money(programme.cap_minor, programme.currency),
    )  # fmt: skip
    return page, 422 if form.errors and not resized else 200


def _resize(form: RequestForm, deed: str) -> bool:
    """Add or take out an activity as the button says; whether it did."""
    if request.method != "POST":
        return False
    entries = form.activities.entries
    if deed == "add":
        if len(entries) < 20:
            form.activities.append_entry()
        return True
    if deed.startswith("remove-") and deed[7:].isdecimal():
        index = int(deed[7:])
        if len(entries) > 1 and index < len(entries):
            kept = [entry.form.data for position, entry in enumerate(entries) if position != index]
            while entries:
                form.activities.pop_entry()
            form.activities.last_index = -1
            for one in kept:
                form.activities.append_entry(one)
        return True
    return False


def _give_choices(form: RequestForm, programme: Programme) -> None:
    types = [SelectChoice(one.id, one.name) for one in programme.activity_types]
    offered = queries.campaign_choices(db.session, programme.vendor_id)
    campaigns = [SelectChoice("", _("None from the catalogue")), *(SelectChoice(*one) for one in offered)]
    for entry in form.activities.entries:
        entry.form.activity_type_id.choices = types
        entry.form.campaign_version_id.choices = campaigns


@bp.get("/requests/<uuid:request_id>")
def request_page(request_id: UUID) -> Page:
    g.actor.require(Permission.REQUEST_READ)
    return _request_page(request_id)


def _request_page(request_id: UUID, *, refused: Invalid | None = None, form: ReasonForm | None = None) -> Page:
    session, actor = db.session, g.actor
    found = queries.get_request(session, actor, request_id)
    standing = requests.standing_of(session, actor, found)
    open_to_rules = found.status in (RequestStatus.DRAFT, RequestStatus.SUBMITTED, RequestStatus.RETURNED)
    names = queries.names_of(session, [found.vendor_id, found.partner_id])
    link_form = LinkLaunchForm(formdata=None)
    if actor.is_partner:
        link_form.launch_id.choices = _launches(session, found.vendor_id)
    page = render_template(
        "mdf/request.html", found=found, names=names, standing=standing, refused=refused, link_form=link_form,
        checks=requests.rule_checks(session, actor, found) if open_to_rules else [], Money=Money,
        history=_timeline(session, found, names), form=form or ReasonForm(formdata=None),
        ledger_url=ledger_link(source=found.id), has=has,
    )  # fmt: skip
    return page, 422 if refused or (form and form.errors) else 200


def _launches(session: Session, vendor_id: UUID) -> list[SelectChoice]:
    return [SelectChoice(*one) for one in queries.launch_choices(session, g.actor, vendor_id)]


_DEEDS = {
    "request.create": ("pencil", "neutral"), "request.edit": ("pencil", "neutral"),
    "request.submit": ("send", "info"), "request.approve": ("check", "good"),
    "request.return": ("arrow-back-up", "warn"), "request.reject": ("x", "bad"),
    "request.withdraw": ("arrow-back-up", "neutral"), "request.expire": ("clock-off", "neutral"),
}  # fmt: skip


def _timeline(session: Session, found: Request, names: dict[UUID, str]) -> list[dict[str, Any]]:
    """Who did what, the newest first. Drafting is the partner's own business."""
    words = {
        "request.create": _("began the request"), "request.edit": _("changed the request"),
        "request.submit": _("submitted the request"), "request.approve": _("approved the request"),
        "request.return": _("returned the request"), "request.reject": _("rejected the request"),
        "request.withdraw": _("withdrew the request"), "request.expire": _("let the rest expire"),
    }  # fmt: skip
    rows = [row for row in audit.history(session, found) if row.action in words]
    if g.actor.is_vendor:
        rows = [row for row in rows if row.action not in ("request.create", "request.edit")]
    people = queries.people(session, [row.actor_user_id for row in rows])
    items = []
    for row in reversed(rows):
        who = people.get(row.actor_user_id, "") if row.actor_user_id else _("The service")
        place = names.get(row.actor_organization_id, "") if row.actor_organization_id and row.actor_user_id else ""
        icon, tone = _DEEDS[row.action]
        items.append(
            {
                "who": f"{who}, {place}" if place else who, "what": words[row.action], "when": row.at,
                "icon": icon, "tone": tone, "note": row.reason,
            }
        )  # fmt: skip
    return items


def _version(given: str | None) -> int | None:
    return int(given) if given and given.isascii() and given.isdecimal() and len(given) < 10 else None


def _decide(request_id: UUID, verb: Callable[..., object], done: str, **more: Any) -> Page:
    """Do one verb on a request and go back to its page; a refusal is shown there, with what mends it."""
    form = ReasonForm()
    version = _version(form.version.data)
    try:
        with unit_of_work(g.actor) as session:
            verb(session, g.actor, request_id, expected_version=version, **more)
    except Invalid as wrong:
        if "reason" in wrong.fields:
            form.reason.errors = [wrong.fields["reason"]]
            return _request_page(request_id, form=form)
        return _request_page(request_id, refused=wrong)
    flash(done, "success")
    return redirect(url_for("mdf.request_page", request_id=request_id), 303)


@bp.post("/requests/<uuid:request_id>/submit")
def request_submit(request_id: UUID) -> Page:
    return _decide(request_id, requests.submit_request, _("Sent. You get an answer within 3 working days."))


@bp.post("/requests/<uuid:request_id>/approve")
def request_approve(request_id: UUID) -> Page:
    return _decide(request_id, requests.approve_request, _("Approved. The money is reserved."))


@bp.post("/requests/<uuid:request_id>/return")
def request_return(request_id: UUID) -> Page:
    reason = request.form.get("reason", "")
    return _decide(request_id, requests.return_request, _("Returned to the partner."), reason=reason)


@bp.post("/requests/<uuid:request_id>/reject")
def request_reject(request_id: UUID) -> Page:
    reason = request.form.get("reason", "")
    return _decide(request_id, requests.reject_request, _("Rejected."), reason=reason)


@bp.post("/requests/<uuid:request_id>/withdraw")
def request_withdraw(request_id: UUID) -> Page:
    return _decide(request_id, requests.withdraw_request, _("Withdrawn."))


@bp.post("/activities/<uuid:activity_id>/launch")
def request_link_launch(activity_id: UUID) -> Page:
    g.actor.require(Permission.REQUEST_RAISE)
    activity = queries.get_activity(db.session, g.actor, activity_id)
    form = LinkLaunchForm()
    form.launch_id.choices = _launches(db.session, activity.vendor_id)
    if not form.validate_on_submit():
        refused = Invalid({"launch_id": _("Choose one of your launches from the list.")})
        return _request_page(activity.request_id, refused=refused)
    try:
        with unit_of_work(g.actor) as session:
            requests.link_launch(session, g.actor, activity_id, form.launch_id.data)
    except Invalid as wrong:
        return _request_page(activity.request_id, refused=wrong)
    flash(_("Linked. What this launch does is the proof for your claim."), "success")
    return redirect(url_for("mdf.request_page", request_id=activity.request_id), 303)
