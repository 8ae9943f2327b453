"""Pages of the audience: contacts, one person, lists. Imports are in `import_pages`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, stream_with_context, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from wtforms.fields.choices import SelectChoice

from tcma.access import Kind, Permission
from tcma.audience import import_pages, queries, services
from tcma.audience.blueprint import Page, an_id, bp, csv_answer
from tcma.audience.forms import (
    BASES,
    ChooseListForm,
    EditContactForm,
    ListForm,
    NewContactForm,
    chosen_basis,
    put_faults,
)
from tcma.audience.models import Contact
from tcma.csvfile import Cell, write_csv
from tcma.db import bind, db, unit_of_work
from tcma.errors import Invalid

PAGE = 50
EXPORT_PAGE = 500
COLUMNS = ("email", *services.TEXT_FIELDS)

__all__ = ["blueprints", "import_pages"]
blueprints = [bp]


def _filter() -> dict[str, Any]:
    """Search and list of the address; what is no list of ours is no filter."""
    return {"search": request.args.get("q", "")[:200], "list_id": an_id(request.args.get("list", ""))}


@bp.get("/contacts")
def contacts() -> str:
    after = request.args.get("after", "")
    start = int(after) if after.isdecimal() and len(after) < 19 else 0
    found = queries.list_contacts(db.session, g.actor, **_filter(), after=start, limit=PAGE + 1)
    rows = found[:PAGE]
    return render_template(
        "audience/contacts.html", rows=rows, lists=queries.list_lists(db.session, g.actor),
        refused=queries.still_refused(db.session, g.actor.organization_id, None, [one.id for one in rows]),
        older=str(rows[-1].id) if len(found) > PAGE else None, paged=bool(start),
        total=queries.count_contacts(db.session, g.actor),
    )  # fmt: skip


@bp.get("/contacts.csv")
def contacts_csv() -> Response:
    """All contacts of the present filter."""
    chosen, actor = _filter(), g.actor

    def rows() -> Iterator[list[Cell]]:
        bind(db.session, actor)  # the answer is written after the request's own session has ended
        after = 0
        while page := queries.list_contacts(db.session, actor, **chosen, after=after, limit=EXPORT_PAGE):
            for one in page:
                yield [*(getattr(one, name) for name in COLUMNS), one.created_at.date()]
            after = page[-1].id
            db.session.expunge_all()

    return csv_answer(stream_with_context(write_csv(rows(), [*COLUMNS, "added"], bom=True)), "contacts.csv")


@bp.route("/contacts/new", methods=["GET", "POST"])
def contact_new() -> Page:
    g.actor.require(Permission.CONTACT_MANAGE)
    form = NewContactForm()
    form.list_ids.choices = [
        SelectChoice(str(one.id), one.name) for one, _count in queries.list_lists(db.session, g.actor)
    ]
    if request.method == "POST":
        try:
            contact = _add(form)
        except Invalid as wrong:
            put_faults(form, wrong)
        else:
            flash(_("%(who)s is in your contacts.", who=contact.email), "success")
            return redirect(url_for("audience.contact", contact_id=contact.id), code=303)
    answer = render_template("audience/contact_new.html", form=form, hints=_hints())
    return (answer, 422) if request.method == "POST" else answer


def _add(form: NewContactForm) -> Contact:
    basis = chosen_basis(form)
    missing: dict[str, str] = {}
    if not (form.email.data or "").strip():
        missing["email"] = "Enter the email address, such as name@example.com."
    if basis is None:
        missing["basis"] = "Choose on what ground you may write to this person. Without one, no mail leaves."
    if missing or basis is None:
        raise Invalid(missing)
    texts = {name: form[name].data or "" for name in services.TEXT_FIELDS}
    with unit_of_work(g.actor) as session:
        return services.add_contact(
            session, g.actor, email=form.email.data or "", basis=basis, source=form.source.data or "",
            list_ids=form.list_ids.data or [], **texts,
        )  # fmt: skip


def _hints() -> dict[str, Any]:
    return {str(basis): hint for basis, (_label, hint) in BASES.items()}


@bp.get("/contacts/<int:contact_id>")
def contact(contact_id: int) -> str:
    return _person(queries.get_contact(db.session, g.actor, contact_id))


def _person(found: Contact) -> str:
    refused = queries.still_refused(db.session, found.partner_id, None, [found.id])
    return render_template(
        "audience/contact.html", person=found, consents=queries.consents_of(db.session, found), bases=BASES,
        lists=queries.lists_of_contact(db.session, found), refused=refused.get(found.id),
        held=queries.suppression_of(db.session, found.partner_id, found.email_key),
    )  # fmt: skip


@bp.route("/contacts/<int:contact_id>/edit", methods=["GET", "POST"])
def contact_edit(contact_id: int) -> Page:
    g.actor.require(Permission.CONTACT_MANAGE)
    found = queries.get_contact(db.session, g.actor, contact_id)
    form = EditContactForm(obj=found)
    if request.method == "GET":
        return render_template("audience/contact_edit.html", person=found, form=form)
    texts = {name: form[name].data or "" for name in services.TEXT_FIELDS}
    with unit_of_work(g.actor) as session:
        services.edit_contact(session, g.actor, contact_id, **texts)
    flash(_("Saved."), "success")
    return redirect(url_for("audience.contact", contact_id=contact_id), code=303)


@bp.post("/contacts/<int:contact_id>/tracking")
def contact_tracking(contact_id: int) -> Page:
    """Turn the measuring of this person off (`no_tracking` is 1) or on."""
    quiet = request.form.get("no_tracking") == "1"
    with unit_of_work(g.actor) as session:
        services.edit_contact(session, g.actor, contact_id, no_tracking=quiet)
    said = _("Clicks of this person are not measured any more.") if quiet else _("Clicks are measured again.")
    flash(said, "success")
    return redirect(url_for("audience.contact", contact_id=contact_id), code=303)


@bp.post("/contacts/<int:contact_id>/suppress")
def contact_suppress(contact_id: int) -> Page:
    with unit_of_work(g.actor) as session:
        services.suppress_contact(session, g.actor, contact_id)
    flash(_("Nobody of your organization writes to this person any more."), "success")
    return redirect(url_for("audience.contact", contact_id=contact_id), code=303)


@bp.post("/contacts/<int:contact_id>/erase")
def contact_erase(contact_id: int) -> Page:
    with unit_of_work(g.actor) as session:
        services.erase_contact(session, g.actor, contact_id)
    flash(_("Erased. What was counted stays counted; who it was is gone."), "success")
    return redirect(url_for("audience.contacts"), code=303)


@bp.get("/contacts/<int:contact_id>/export.<any(json, csv):kind>")
def contact_export(contact_id: int, kind: str) -> Response:
    """All that is held of one person, to hand to them."""
    with unit_of_work(g.actor) as session:
        held = services.export_contact(session, g.actor, contact_id)
    if kind == "csv":
        rows = [[name, value if isinstance(value, str | bool) else _in_words(value)] for name, value in held.items()]
        return csv_answer(write_csv(rows, ["what", "value"], bom=True), f"contact-{contact_id}.csv")
    answer = Response(json.dumps(held, ensure_ascii=False, indent=2), mimetype="application/json")
    answer.headers.set("Content-Disposition", "attachment", filename=f"contact-{contact_id}.json")
    return answer


def _in_words(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


@bp.post("/contacts/bulk")
def contacts_bulk() -> Page:
    """Add the ticked contacts to a list, or suppress them. Without a list chosen yet, ask for it."""
    g.actor.require(Permission.CONTACT_MANAGE)
    ids = [int(one) for one in request.form.getlist("ids") if one.isdecimal() and len(one) < 19]
    chosen = queries.get_contacts(db.session, g.actor, ids)
    if not chosen:
        flash(_("Tick the contacts first."), "warning")
        return redirect(url_for("audience.contacts"), code=303)
    if request.form.get("do") == "suppress":
        with unit_of_work(g.actor) as session:
            for one in chosen:
                services.suppress_contact(session, g.actor, one.id)
        flash(ngettext("%(num)d contact suppressed.", "%(num)d contacts suppressed.", len(chosen)), "success")
        return redirect(url_for("audience.contacts"), code=303)
    return _to_list(chosen)


def _to_list(chosen: list[Contact]) -> Page:
    form = ChooseListForm()
    form.list_id.choices = [
        SelectChoice("", _("Choose a list")),
        *(SelectChoice(str(one.id), one.name) for one, _count in queries.list_lists(db.session, g.actor)),
    ]
    if request.form.get("do") == "put":
        try:
            with unit_of_work(g.actor) as session:
                target = an_id(form.list_id.data or "")
                if form.name.data and form.name.data.strip():
                    target = services.create_list(session, g.actor, name=form.name.data).id
                if target is None:
                    raise Invalid({"list_id": "Choose a list, or name a new one."})
                services.add_to_list(session, g.actor, target, [one.id for one in chosen])
        except Invalid as wrong:
            put_faults(form, wrong)
        else:
            flash(ngettext("%(num)d contact added.", "%(num)d contacts added.", len(chosen)), "success")
            return redirect(url_for("audience.contacts", list=target), code=303)
    answer = render_template("audience/choose_list.html", form=form, chosen=chosen)
    return (answer, 422) if form.errors else answer


@bp.route("/lists", methods=["GET", "POST"])
def lists() -> Page:
    form = ListForm()
    if request.method == "POST":
        try:
            with unit_of_work(g.actor) as session:
                services.create_list(session, g.actor, name=form.name.data or "")
        except Invalid as wrong:
            put_faults(form, wrong)
        else:
            flash(_("The list is there."), "success")
            return redirect(url_for("audience.lists"), code=303)
    g.actor.require_kind(Kind.PARTNER)
    found = queries.list_lists(db.session, g.actor)
    answer = render_template(
        "audience/lists.html", form=form, rows=[{"list": one, "count": count} for one, count in found]
    )
    return (answer, 422) if request.method == "POST" else answer


@bp.post("/lists/<uuid:list_id>/delete")
def list_delete(list_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        services.delete_list(session, g.actor, list_id)
    flash(_("The list is gone. Its contacts stay."), "success")
    return redirect(url_for("audience.lists"), code=303)


@bp.post("/lists/<uuid:list_id>/leave/<int:contact_id>")
def list_leave(list_id: UUID, contact_id: int) -> Page:
    with unit_of_work(g.actor) as session:
        services.leave_list(session, g.actor, list_id, contact_id)
    flash(_("Taken off the list."), "success")
    return redirect(url_for("audience.contact", contact_id=contact_id), code=303)
