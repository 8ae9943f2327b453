"""Pages of imports: upload, say what the columns are, watch it run, mend what was refused."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import format_timedelta
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from tcma import clock
from tcma.access import Permission
from tcma.audience import imports, queries
from tcma.audience.api import take_upload
from tcma.audience.blueprint import Page, bp, csv_answer
from tcma.audience.forms import BASES, MapForm, UploadForm, chosen_basis, put_faults
from tcma.audience.models import Import
from tcma.audience.states import ImportStatus
from tcma.csvfile import write_csv
from tcma.db import db, unit_of_work
from tcma.errors import Invalid

SHOWN_ROWS = 50
AT_WORK = (ImportStatus.QUEUED, ImportStatus.RUNNING)


@bp.get("/imports", endpoint="imports")
def imports_list() -> str:
    return render_template("audience/imports.html", rows=queries.list_imports(db.session, g.actor, limit=100))


@bp.route("/imports/new", methods=["GET", "POST"])
def import_new() -> Page:
    g.actor.require(Permission.CONTACT_MANAGE)
    form = UploadForm()
    if request.method == "GET":
        return render_template("audience/import_new.html", form=form)
    file = form.file.data
    try:
        if not isinstance(file, FileStorage) or not file.filename:
            raise Invalid({"file": "Choose the file with your contacts first."})
        made = take_upload(file)
    except Invalid as wrong:
        put_faults(form, Invalid({"file": wrong.message}))
        return render_template("audience/import_new.html", form=form), 422
    return redirect(url_for("audience.import_map", import_id=made.id), code=303)


@bp.route("/imports/<uuid:import_id>", methods=["GET", "POST"])
def import_map(import_id: UUID) -> Page:
    """One import: its columns before it runs, how far it is, what came of it."""
    found = queries.get_import(db.session, g.actor, import_id)
    if found.status is not ImportStatus.UPLOADED:
        return redirect(request.path, code=303) if request.method == "POST" else _shown(found)
    form = MapForm.of(found.columns, found.mapping, Path(found.filename).stem[:80])
    if request.method == "POST":
        try:
            _queue(import_id, form)
        except Invalid as wrong:
            put_faults(form, wrong)
        else:
            return redirect(url_for("audience.import_map", import_id=import_id), code=303)
    answer = render_template(
        "audience/import_map.html", row=found, form=form, hints={str(basis): hint for basis, (_label, hint) in BASES.items()},
        columns=[
            {"name": name, "field": entry, "samples": [cells[place] for cells in found.sample if place < len(cells)]}
            for place, (name, entry) in enumerate(zip(found.columns, form.columns, strict=False))
        ],
    )  # fmt: skip
    return (answer, 422) if request.method == "POST" else answer


def _queue(import_id: UUID, form: MapForm) -> None:
    try:
        with unit_of_work(g.actor) as session:
            imports.queue_import(
                session, g.actor, import_id, mapping=form.mapping(), basis=chosen_basis(form),
                basis_source=form.basis_source.data or "", list_name=form.list_name.data or "",
            )  # fmt: skip
    except Invalid as wrong:
        at = {"mapping": "columns", "name": "list_name"}
        raise Invalid({at.get(name, name): words for name, words in wrong.fields.items()}) from None


def _shown(found: Import) -> str:
    after = request.args.get("after", "")
    start = int(after) if after.isdecimal() and len(after) < 10 else 0
    rows = queries.import_rows(db.session, g.actor, found.id, after=start, limit=SHOWN_ROWS + 1)
    return render_template(
        "audience/import.html", row=found, at_work=found.status in AT_WORK, progress=_progress(found),
        rows=rows[:SHOWN_ROWS], older=rows[SHOWN_ROWS - 1].row_number if len(rows) > SHOWN_ROWS else None, paged=bool(start),
    )  # fmt: skip


def _progress(found: Import) -> dict[str, object]:
    """Rows a second and the time left in words, as far as they can be known."""
    if found.started_at is None or not found.done_rows:
        return {"rate": None, "left": None}
    rate = found.done_rows / max(1.0, (clock.now() - found.started_at).total_seconds())
    left = max(0, (found.total_rows or 0) - found.done_rows) / rate
    return {"rate": round(rate), "left": format_timedelta(round(left), granularity="second") if left else None}


@bp.get("/imports/<uuid:import_id>/progress")
def import_progress(import_id: UUID) -> Page:
    """The bar alone, for a page that asks again; once the work has ended, the whole page is due."""
    found = queries.get_import(db.session, g.actor, import_id)
    html = render_template(
        "audience/import_progress.html", row=found, at_work=found.status in AT_WORK, progress=_progress(found)
    )
    answer = Response(html)
    if found.status not in AT_WORK:
        answer.headers["HX-Refresh"] = "true"
    return answer


@bp.post("/imports/<uuid:import_id>/cancel")
def import_cancel(import_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        imports.cancel_import(session, g.actor, import_id)
    flash(_("Cancelled. Contacts that are in stay in."), "success")
    return redirect(url_for("audience.import_map", import_id=import_id), code=303)


@bp.post("/imports/<uuid:import_id>/again")
def import_again(import_id: UUID) -> Page:
    """Go on with an import that failed, with the columns and the ground that were chosen."""
    with unit_of_work(g.actor) as session:
        row = queries.get_import(session, g.actor, import_id, lock=True)
        imports.queue_import(
            session, g.actor, import_id, mapping=row.mapping, basis=row.basis, basis_source=row.basis_source,
            list_name=queries.get_list(session, g.actor, row.list_id).name if row.list_id else "",
        )  # fmt: skip
    return redirect(url_for("audience.import_map", import_id=import_id), code=303)


@bp.get("/imports/<uuid:import_id>/refused.csv")
def import_refused(import_id: UUID) -> Response:
    """The rows that failed, as they were, with why: to mend and upload again."""
    found = queries.get_import(db.session, g.actor, import_id)
    header = ["row in the file", *found.columns, "why it was refused"]
    return csv_answer(
        "".join(write_csv(imports.mended_rows(db.session, g.actor, import_id), header, bom=True)), "refused.csv"
    )
