"""Pages of programmes: their rules, what they pay for, opening and closing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _

from tcma.access import Permission
from tcma.db import db, unit_of_work
from tcma.errors import Invalid
from tcma.mdf import programmes, queries
from tcma.mdf.activity_kinds import KINDS
from tcma.mdf.blueprint import bp
from tcma.mdf.forms import EVIDENCE, ActivityTypeForm, ProgrammeForm, put_faults, read_money
from tcma.mdf.models import Programme
from tcma.mdf.pages import Page, as_typed, csv_answer, locale
from tcma.mdf.states import ProgrammeStatus
from tcma.money import Money

_FIELDS = (
    "name", "share_percent", "begins_on", "ends_on", "zone", "lead_days", "claim_days", "guidelines", "gl_code",
)  # fmt: skip


@bp.get("/programmes")
def programmes_list() -> Page:
    g.actor.require(Permission.PROGRAMME_READ)
    state = request.args.get("state", "")
    status = ProgrammeStatus(state) if state in set(ProgrammeStatus) else None
    rows = queries.list_programmes(db.session, g.actor, status=status, search=request.args.get("q", ""))
    if request.args.get("format") == "csv":
        header = ["programme", "state", "currency", "share %", "cap", "first day", "last day", "rules version"]
        return csv_answer(
            "programmes", header,
            (
                [one.name, str(one.status), one.currency, one.share_percent, Money(one.cap_minor, one.currency),
                 one.begins_on, one.ends_on, one.rule_version]
                for one in rows
            ),
        )  # fmt: skip
    vendors = queries.names_of(db.session, [one.vendor_id for one in rows])
    return render_template("mdf/programmes.html", rows=rows, states=list(ProgrammeStatus), vendors=vendors, cap=_cap)


def _cap(programme: Programme) -> Money:
    return Money(programme.cap_minor, programme.currency)


@bp.route("/programmes/new", methods=["GET", "POST"])
def programme_new() -> Page:
    g.actor.require(Permission.PROGRAMME_MANAGE)
    form = ProgrammeForm(data={"zone": g.actor.timezone} if request.method == "GET" else None)
    if form.validate_on_submit():
        cap = read_money(form.cap, form.currency.data, locale=locale())
        if cap is not None:
            try:
                with unit_of_work(g.actor) as session:
                    made = programmes.create_programme(
                        session, g.actor, currency=form.currency.data, cap=cap, **_typed(form)
                    )
                flash(_("Saved as a draft. Now say what it pays for."), "success")
                return redirect(url_for("mdf.programme", programme_id=made.id), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    page = render_template("mdf/programme_edit.html", form=form, programme=None)
    return page, 422 if form.errors else 200


def _typed(form: ProgrammeForm) -> dict[str, Any]:
    return {name: form[name].data or ("" if name in ("guidelines", "gl_code") else form[name].data) for name in _FIELDS}


@bp.get("/programmes/<uuid:programme_id>")
def programme(programme_id: UUID) -> Page:
    g.actor.require(Permission.PROGRAMME_READ)
    return _programme_page(programme_id)


def _programme_page(
    programme_id: UUID, *, form: ActivityTypeForm | None = None, refused: Invalid | None = None
) -> Page:
    found = queries.get_programme(db.session, g.actor, programme_id)
    if form is None:
        form = ActivityTypeForm(formdata=None)
    page = render_template(
        "mdf/programme.html", programme=found, cap=_cap(found), form=form, refused=refused, kinds=KINDS, Money=Money,
        funds=queries.list_funds(db.session, g.actor, programme_id=programme_id), evidence={one.value: one.label for one in EVIDENCE},
        vendor=queries.names_of(db.session, [found.vendor_id]).get(found.vendor_id, ""),
    )  # fmt: skip
    return page, 422 if refused or form.errors else 200


@bp.route("/programmes/<uuid:programme_id>/edit", methods=["GET", "POST"])
def programme_edit(programme_id: UUID) -> Page:
    g.actor.require(Permission.PROGRAMME_MANAGE)
    found = queries.get_programme(db.session, g.actor, programme_id)
    form = ProgrammeForm(obj=found, data={"cap": as_typed(_cap(found))} if request.method == "GET" else None)
    if request.method == "POST":
        form.currency.data = found.currency
    if form.validate_on_submit():
        cap = read_money(form.cap, found.currency, locale=locale())
        if cap is not None:
            try:
                with unit_of_work(g.actor) as session:
                    programmes.save_programme(session, g.actor, programme_id, cap=cap, **_typed(form))
                flash(_("Saved."), "success")
                return redirect(url_for("mdf.programme", programme_id=programme_id), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    page = render_template("mdf/programme_edit.html", form=form, programme=found)
    return page, 422 if form.errors else 200


@bp.post("/programmes/<uuid:programme_id>/activity-types")
def programme_add_type(programme_id: UUID) -> Page:
    g.actor.require(Permission.PROGRAMME_MANAGE)
    found = queries.get_programme(db.session, g.actor, programme_id)
    form = ActivityTypeForm()
    if form.validate_on_submit():
        cap = read_money(form.cap, found.currency, locale=locale()) if (form.cap.data or "").strip() else None
        if not form.cap.errors:
            try:
                with unit_of_work(g.actor) as session:
                    programmes.add_activity_type(
                        session, g.actor, programme_id, code=form.code.data, cap=cap,
                        required_evidence=form.required_evidence.data or None,
                    )  # fmt: skip
                flash(_("Added."), "success")
                return redirect(url_for("mdf.programme", programme_id=programme_id, _anchor="types"), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    return _programme_page(programme_id, form=form)


@bp.post("/programmes/<uuid:programme_id>/activity-types/<uuid:type_id>/remove")
def programme_remove_type(programme_id: UUID, type_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        programmes.remove_activity_type(session, g.actor, type_id, programme_id=programme_id)
    return redirect(url_for("mdf.programme", programme_id=programme_id, _anchor="types"), 303)


@bp.post("/programmes/<uuid:programme_id>/open")
def programme_open(programme_id: UUID) -> Page:
    try:
        with unit_of_work(g.actor) as session:
            programmes.open_programme(session, g.actor, programme_id)
    except Invalid as wrong:
        return _programme_page(programme_id, refused=wrong)
    flash(_("The programme is open: partners see it and may ask."), "success")
    return redirect(url_for("mdf.programme", programme_id=programme_id), 303)


@bp.post("/programmes/<uuid:programme_id>/close")
def programme_close(programme_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        programmes.close_programme(session, g.actor, programme_id)
    flash(_("The programme is closed: it takes no more requests."), "info")
    return redirect(url_for("mdf.programme", programme_id=programme_id), 303)
