"""Pages of leads: the inbox as board and list, one lead with its score explained, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma import clock
from tcma.access import Permission
from tcma.accounts import queries as account_queries
from tcma.campaigns import queries as campaign_queries
from tcma.csvfile import write_csv
from tcma.db import db, unit_of_work
from tcma.delivery import queries as delivery_queries
from tcma.errors import Invalid
from tcma.leads import forms, queries, routes_public, scoring, services
from tcma.leads.models import Lead
from tcma.leads.states import LEAD_MOVES, LeadStatus, RejectReason
from tcma.money import Money

bp = Blueprint("leads_pages", __name__, template_folder="templates")
PAGE = 50
# From left to right as work goes on; what came to nothing stands last.
BOARD = (
    LeadStatus.NEW, LeadStatus.ACCEPTED, LeadStatus.WORKING, LeadStatus.WON, LeadStatus.LOST, LeadStatus.REJECTED,
)  # fmt: skip


@bp.before_request
def _at() -> None:
    g.nav_at = "leads"


def _status() -> LeadStatus | None:
    given = request.args.get("state", "")
    return LeadStatus(given) if given in list(LeadStatus) else None


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None


def inbox() -> str:
    """The board by state, or the list; a vendor sees shared leads and counts of all."""
    g.nav_at = "leads"
    g.actor.require(Permission.LEAD_READ)
    as_list = request.args.get("view") == "list" or bool(request.args.get("q")) or _status() is not None
    found = queries.list_leads(
        db.session, g.actor, status=_status(), launch_id=_uuid("launch"), search=request.args.get("q", ""),
        overdue=bool(request.args.get("overdue")), before=_uuid("after"), limit=PAGE + 1 if as_list else 200,
    )  # fmt: skip
    older = str(found[PAGE - 1].id) if as_list and len(found) > PAGE else None
    counts = queries.status_counts(db.session, g.actor)
    by_status = {status: [lead for lead in found if lead.status is status] for status in BOARD}
    by_status[LeadStatus.NEW].sort(key=lambda lead: lead.accept_by)  # whoever waits longest stands on top
    columns = [
        {"state": status, "count": counts[status], "items": leads}
        for status, leads in by_status.items()
        if status is not LeadStatus.REJECTED or counts[status]
    ]
    return render_template(
        "leads/inbox.html", leads=found[:PAGE] if as_list else found, columns=columns, counts=counts, as_list=as_list,
        older=older, totals=queries.summed(db.session, g.actor), warmth=scoring.warmth, states=BOARD, now=clock.now(),
    )  # fmt: skip


@bp.get("/leads.csv")
def export() -> Response:
    """All leads of the present filter."""
    g.actor.require(Permission.LEAD_READ)
    header = ["created", "launch", "name", "email", "company", "phone", "status", "score", "amount", "currency"]

    def rows() -> Any:
        before: UUID | None = None
        while page := queries.list_leads(
            db.session, g.actor, status=_status(), launch_id=_uuid("launch"), before=before, limit=500
        ):
            for one in page:
                won = Money(one.amount_minor, one.currency).decimal if one.amount_minor is not None and one.currency else ""
                yield [
                    one.created_at.date(), one.launch.name if one.launch else "", one.name, one.email, one.company,
                    one.phone, str(one.status), one.score, won, one.currency or "",
                ]  # fmt: skip
            before = page[-1].id

    answer = Response("".join(write_csv(rows(), header)), mimetype="text/csv")
    answer.headers.set("Content-Disposition", "attachment", filename="leads.csv")
    return answer


@bp.get("/leads/<uuid:lead_id>")
def lead(lead_id: UUID) -> str:
    return _page(lead_id)


def _page(lead_id: UUID, **given: FlaskForm) -> str:
    g.actor.require(Permission.LEAD_READ)
    found = queries.get_lead(db.session, g.actor, lead_id)
    launch = campaign_queries.get_launch(db.session, g.actor, found.launch_id)
    mine = found.partner_id == g.actor.organization_id
    came_back = delivery_queries.events_of(db.session, found.delivery_id) if found.delivery_id and mine else []
    own = account_queries.get_organization(db.session, found.partner_id)
    return render_template(
        "leads/lead.html", lead=found, launch=launch, mine=mine, events=came_back, warmth=scoring.warmth(found.score),
        timeline=queries.timeline(db.session, found), may={str(to) for to in LEAD_MOVES[found.status]} if mine else set(),
        currency=found.currency or own.currency,
        amount=Money(found.amount_minor, found.currency) if found.amount_minor is not None and found.currency else None,
        reject_form=given.get("reject_form") or forms.RejectForm(), win_form=given.get("win_form") or forms.WinForm(),
        lose_form=given.get("lose_form") or forms.LoseForm(), note_form=given.get("note_form") or forms.NoteForm(),
        step_form=given.get("step_form") or forms.StepForm(data={"next_step": found.next_step}),
        reasons=forms.REASONS, now=clock.now(),
    )  # fmt: skip


def _do(
    lead_id: UUID, work: Callable[[Session], Lead], said: str, *, form: FlaskForm | None = None, name: str = ""
) -> WerkzeugResponse:
    """Do one deed and go back to the lead; what must be mended stands at its field."""
    try:
        with unit_of_work(g.actor) as session:
            work(session)
    except Invalid as error:
        if form is None:
            raise
        for field, words in error.fields.items():
            if field in form:
                form[field].errors = [words]
            else:
                form.form_errors.append(words)
        return Response(_page(lead_id, **{name: form}), status=422)
    flash(said, "success")
    return redirect(url_for("leads_pages.lead", lead_id=lead_id), code=303)


@bp.post("/leads/<uuid:lead_id>/accept")
def accept(lead_id: UUID) -> WerkzeugResponse:
    return _do(lead_id, lambda session: services.accept_lead(session, g.actor, lead_id), _("Accepted. It is yours now."))


@bp.post("/leads/<uuid:lead_id>/reject")
def reject(lead_id: UUID) -> WerkzeugResponse:
    form = forms.RejectForm()
    reason = RejectReason(form.reason.data) if form.reason.data in list(RejectReason) else None
    return _do(
        lead_id,
        lambda session: services.reject_lead(session, g.actor, lead_id, reason=reason, words=form.words.data or ""),
        _("Rejected, with the reason."), form=form, name="reject_form",
    )  # fmt: skip


@bp.post("/leads/<uuid:lead_id>/work")
def work(lead_id: UUID) -> WerkzeugResponse:
    return _do(lead_id, lambda session: services.work_lead(session, g.actor, lead_id), _("Work has begun."))


@bp.post("/leads/<uuid:lead_id>/win")
def win(lead_id: UUID) -> WerkzeugResponse:
    form = forms.WinForm()
    currency = account_queries.get_organization(db.session, g.actor.organization_id).currency

    def deed(session: Session) -> Lead:
        try:
            amount = Money.parse(form.amount.data or "", currency, locale=g.actor.locale)
        except Invalid as error:
            raise Invalid({"amount": error.message}) from None
        return services.win_lead(session, g.actor, lead_id, amount=amount)

    return _do(lead_id, deed, _("Won. Well done."), form=form, name="win_form")


@bp.post("/leads/<uuid:lead_id>/lose")
def lose(lead_id: UUID) -> WerkzeugResponse:
    form = forms.LoseForm()
    return _do(
        lead_id, lambda session: services.lose_lead(session, g.actor, lead_id, reason=form.reason.data or ""),
        _("Lost, with the reason."), form=form, name="lose_form",
    )  # fmt: skip


@bp.post("/leads/<uuid:lead_id>/note")
def note(lead_id: UUID) -> WerkzeugResponse:
    form = forms.NoteForm()
    return _do(
        lead_id, lambda session: services.add_note(session, g.actor, lead_id, text=form.text.data or ""), _("Noted."),
        form=form, name="note_form",
    )  # fmt: skip


@bp.post("/leads/<uuid:lead_id>/next-step")
def next_step(lead_id: UUID) -> WerkzeugResponse:
    form = forms.StepForm()
    return _do(
        lead_id,
        lambda session: services.plan_next_step(session, g.actor, lead_id, next_step=form.next_step.data or ""),
        _("Saved."), form=form, name="step_form",
    )  # fmt: skip


@bp.post("/leads/<uuid:lead_id>/share")
def share(lead_id: UUID) -> WerkzeugResponse:
    return _do(lead_id, lambda session: services.share_lead(session, g.actor, lead_id), _("Shared with the vendor."))


@bp.post("/leads/<uuid:lead_id>/revoke")
def revoke(lead_id: UUID) -> WerkzeugResponse:
    return _do(lead_id, lambda session: services.revoke_share(session, g.actor, lead_id), _("No longer shared."))


# The side bar and other rooms know the inbox as `leads.inbox`.
routes_public.bp.add_url_rule("/leads", "inbox", inbox, methods=["GET"])
blueprints = [routes_public.bp, bp]
