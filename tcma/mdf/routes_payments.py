"""Pages of payments: what waits, batches with maker and checker, and the partner's bank details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _

from tcma.access import Kind, Permission
from tcma.csvfile import Cell
from tcma.db import db, unit_of_work
from tcma.errors import DomainError, Forbidden, Invalid
from tcma.mdf import payments as service
from tcma.mdf import queries as mdf_queries
from tcma.mdf import queries_claims as queries
from tcma.mdf.blueprint import bp
from tcma.mdf.forms_claims import CancelForm, PayeeForm, put_claim_faults
from tcma.mdf.models import PaymentBatch
from tcma.mdf.pages import Page, csv_answer, uuid_arg
from tcma.money import Money


@bp.get("/payments", endpoint="payments")
def payments_page() -> Page:
    g.actor.require(Permission.PAYMENT_MAKE)
    if request.args.get("format") == "csv":
        header = ["batch", "state", "currency", "total", "payments", "made", "checked", "paid", "sha256"]
        batches, _more = queries.list_batches(db.session, g.actor, search=request.args.get("q", ""), limit=2000)
        return csv_answer("payments", header, [_cells(one) for one in batches])
    return _payments_page()


def _cells(one: PaymentBatch) -> list[Cell]:
    return [
        one.number, str(one.status), one.currency, Money(one.total_minor, one.currency), len(one.payments),
        one.created_at, one.checked_at, one.paid_at, one.file_sha256,
    ]  # fmt: skip


def _payments_page(*, refused: DomainError | None = None) -> Page:
    session, actor = db.session, g.actor
    waiting = queries.list_payable(session, actor)
    batches, more = queries.list_batches(
        session, actor, search=request.args.get("q", ""), after=uuid_arg("after")
    )  # fmt: skip
    page = render_template(
        "mdf/payments.html", waiting=waiting, batches=batches, refused=refused, Money=Money,
        names=mdf_queries.names_of(session, [one.partner_id for one in waiting]) | service.names(session, batches),
        payees={one.partner_id: queries.find_payee(session, one.partner_id) for one in waiting},
        older=batches[-1].id if more else None,
    )  # fmt: skip
    return page, refused.status if refused else 200


@bp.post("/payments")
def payments_make() -> Page:
    chosen = []
    for given in request.form.getlist("ids"):
        try:
            chosen.append(UUID(given))
        except ValueError:
            continue
    try:
        with unit_of_work(g.actor) as session:
            batch = service.make_batch(session, g.actor, claim_ids=chosen)
    except (Invalid, Forbidden) as wrong:
        g.actor.require(Permission.PAYMENT_MAKE)
        return _payments_page(refused=wrong)
    flash(_("%(number)s is made. Now a colleague checks it.", number=batch.number), "success")
    return redirect(url_for("mdf.payment_batch", batch_id=batch.id), 303)


@bp.get("/payments/<uuid:batch_id>")
def payment_batch(batch_id: UUID) -> Page:
    g.actor.require(Permission.PAYMENT_MAKE)
    return _batch_page(batch_id)


def _batch_page(batch_id: UUID, *, form: CancelForm | None = None, refused: DomainError | None = None) -> Page:
    session, actor = db.session, g.actor
    batch = queries.get_batch(session, actor, batch_id)
    page = render_template(
        "mdf/payment_batch.html", batch=batch, names=service.names(session, [batch]), Money=Money, refused=refused,
        payees={one.partner_id: queries.find_payee(session, one.partner_id) for one in batch.payments},
        mine=batch.made_by == actor.user_id, form=form or CancelForm(formdata=None),
    )  # fmt: skip
    return page, refused.status if refused else 200


def _act(verb: Callable[..., PaymentBatch], batch_id: UUID, words: str, **given: Any) -> Page:
    try:
        with unit_of_work(g.actor) as session:
            verb(session, g.actor, batch_id, **given)
    except (Invalid, Forbidden) as wrong:
        g.actor.require(Permission.PAYMENT_MAKE)
        return _batch_page(batch_id, refused=wrong)
    flash(words, "success")
    return redirect(url_for("mdf.payment_batch", batch_id=batch_id), 303)


@bp.post("/payments/<uuid:batch_id>/check")
def payment_check(batch_id: UUID) -> Page:
    return _act(service.check_batch, batch_id, _("Checked. The file is written and does not change any more."))


@bp.post("/payments/<uuid:batch_id>/paid")
def payment_paid(batch_id: UUID) -> Page:
    return _act(service.mark_paid, batch_id, _("Paid. The partners are told."))


@bp.post("/payments/<uuid:batch_id>/cancel")
def payment_cancel(batch_id: UUID) -> Page:
    reason = request.form.get("reason", "")
    return _act(service.cancel_batch, batch_id, _("Cancelled. Its claims wait for payment again."), reason=reason)


@bp.get("/payments/<uuid:batch_id>/file")
def payment_file(batch_id: UUID) -> Page:
    batch, content = service.batch_file(db.session, g.actor, batch_id)
    return Response(
        content, mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{batch.number}.csv"'}
    )


@bp.route("/payee", methods=["GET", "POST"])
def payment_payee() -> Page:
    """Where the partner is paid. The account itself is never shown again."""
    g.actor.require(Permission.PAYEE_MANAGE)
    g.actor.require_kind(Kind.PARTNER)
    found = queries.find_payee(db.session, g.actor.organization_id)
    data = {"holder": found.holder, "bic": found.bic, "country": found.country, "town": found.town} if found else {}
    form = PayeeForm() if request.method == "POST" else PayeeForm(formdata=None, data=data)
    if form.validate_on_submit():
        given = {name: form[name].data or "" for name in ("holder", "iban", "bic", "country", "town")}
        try:
            with unit_of_work(g.actor) as session:
                service.set_payee(session, g.actor, **given)
            flash(_("Saved. Claims are paid to this account."), "success")
            return redirect(url_for("mdf.payment_payee"), 303)
        except Invalid as wrong:
            put_claim_faults(form, wrong)
    return render_template("mdf/payment_payee.html", form=form, found=found), 422 if form.errors else 200
