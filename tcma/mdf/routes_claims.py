"""Pages of claims: the partner's list and its one-page claim, finance's desk, statements, the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _

from tcma import audit, clock
from tcma.access import Permission
from tcma.csvfile import Cell
from tcma.db import db, unit_of_work
from tcma.errors import Invalid
from tcma.mdf import claims, evidence, reconcile, statement
from tcma.mdf import queries as mdf_queries
from tcma.mdf import queries_claims as queries
from tcma.mdf.blueprint import bp
from tcma.mdf.checks import CheckCode, Finding
from tcma.mdf.forms import read_money
from tcma.mdf.forms_claims import DecisionForm, InvoiceForm, LinesForm, ProofForm, put_claim_faults
from tcma.mdf.models import Claim, FindingRow, Proof
from tcma.mdf.pages import Page, as_typed, beside, csv_answer, has, int_arg, ledger_link, locale, uuid_arg
from tcma.mdf.states import ClaimStatus, ProofKind
from tcma.money import Money

_ICONS = {"submit": "send", "approve": "check", "return": "arrow-back-up", "deny": "x", "pay": "cash"}


def _status() -> ClaimStatus | None:
    state = request.args.get("state", "")
    return ClaimStatus(state) if state in set(ClaimStatus) else None


@bp.get("/claims", endpoint="claims")
def claims_list() -> Page:
    g.actor.require(Permission.CLAIM_READ)
    session, actor = db.session, g.actor
    if request.args.get("format") == "csv":
        header = [
            "number",
            "activity",
            "partner",
            "state",
            "currency",
            "claimed",
            "approved",
            "submitted",
            "due",
            "paid",
        ]
        return csv_answer("claims", header, _claim_cells())
    rows, more = queries.list_claims(
        session, actor, status=_status(), search=request.args.get("q", ""), after=uuid_arg("after"),
        before=uuid_arg("before"),
    )  # fmt: skip
    counts = queries.count_claims(session, actor)
    others = [one.vendor_id if actor.is_partner else one.partner_id for one in rows]
    ready = (
        queries.claimable(session, actor, begun=False) if actor.is_partner and actor.may(Permission.CLAIM_RAISE) else []
    )
    return render_template(
        "mdf/claims.html", rows=rows, names=mdf_queries.names_of(session, others), counts=counts, ready=ready,
        states=[one for one in ClaimStatus if counts.get(one)], Money=Money, has=has, **beside(rows, more),
    )  # fmt: skip


def _claim_cells() -> Iterator[list[Cell]]:
    after: UUID | None = None
    while True:
        rows, more = queries.list_claims(
            db.session, g.actor, status=_status(), search=request.args.get("q", ""), after=after, limit=500
        )
        names = mdf_queries.names_of(db.session, [one.partner_id for one in rows])
        for one in rows:
            yield [
                one.number, one.activity.title, names.get(one.partner_id), str(one.status), one.currency, one.claimed,
                one.approved, one.submitted_at, one.due_at, one.paid_at,
            ]  # fmt: skip
        if not more:
            return
        after = rows[-1].id


@bp.post("/activities/<uuid:activity_id>/claim")
def claim_activity(activity_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        claim = claims.create_claim(session, g.actor, activity_id)
    return redirect(url_for("mdf.claim", claim_id=claim.id), 303)


@bp.post("/launches/<uuid:launch_id>/claim")
def claim_launch(launch_id: UUID) -> Page:
    """“Claim for this launch”: the approved activity that it carried out, with nearly all filled in."""
    g.actor.require(Permission.CLAIM_RAISE)
    found = queries.claimable(db.session, g.actor, launch_id=launch_id)
    if not found:
        flash(_("Link this launch to an approved activity first: open the request and choose the launch."), "warning")
        return redirect(url_for("mdf.requests", state="approved"), 303)
    return claim_activity(found[0].id)


@bp.get("/claims/<uuid:claim_id>")
def claim(claim_id: UUID) -> Page:
    g.actor.require(Permission.CLAIM_READ)
    return _claim_page(claim_id) if g.actor.is_partner else _desk_page(claim_id)


def _claim_page(
    claim_id: UUID, *, proof_form: ProofForm | None = None, lines_form: LinesForm | None = None,
    invoice: tuple[UUID, InvoiceForm] | None = None, refused: Invalid | None = None,
) -> Page:  # fmt: skip
    session, actor = db.session, g.actor
    found = queries.get_claim(session, actor, claim_id)
    proofs = queries.proofs_of(session, found.activity_id)
    editable = found.status in queries.OPEN and actor.may(Permission.CLAIM_RAISE)
    findings, payable = _findings(found)
    forms = {
        one.id: InvoiceForm(formdata=None, prefix="", data=_read_values(one))
        for one in proofs if one.kind is ProofKind.INVOICE
    }  # fmt: skip
    if invoice is not None:
        forms[invoice[0]] = invoice[1]
    for proof_id, form in forms.items():
        for field in form:  # several invoices on one page: a label names the field of its own
            field.id = f"{field.name}-{proof_id}"
    page = render_template(
        "mdf/claim.html", found=found, proofs=proofs, forms=forms, editable=editable, findings=findings, payable=payable,
        proof_form=proof_form or ProofForm(formdata=None), refused=refused, confirmed=evidence.is_confirmed,
        lines_form=lines_form or LinesForm(formdata=None, data=_typed_lines(found, proofs)), Money=Money,
        sealed=queries.statement_of_activity(session, found.activity_id), vendor=_name(found.vendor_id),
        faults=claims.submit_faults(session, found) if editable else {}, history=_history(found), has=has,
        ledger_url=ledger_link(source=found.id), committed=reconcile.committed_left(session, found),
    )  # fmt: skip
    wrong = refused or (proof_form and proof_form.errors) or (lines_form and lines_form.errors) or invoice
    return page, 422 if wrong else 200


def _findings(found: Claim) -> tuple[list[dict[str, Any]], Any]:
    """Findings as `ui.verdicts` shows them: those kept once filed, a live run before; and what can be paid."""
    live, payable = reconcile.check_claim(db.session, g.actor, found)
    kept: list[FindingRow] | list[Finding] = live
    if found.status not in queries.OPEN:
        kept = queries.findings_of(db.session, found.id)
    order = {"fail": 0, "warn": 1, "pass": 2, "not_applicable": 3}
    rows = [
        {
            "state": str(one.verdict), "title": CheckCode(one.code).label, "text": one.why,
            "rule": one.expected, "found": one.actual, "mend": one.mend,
        }
        for one in kept
    ]  # fmt: skip
    return sorted(rows, key=lambda row: order[row["state"]]), payable


def _name(organization_id: UUID) -> str:
    return mdf_queries.names_of(db.session, [organization_id]).get(organization_id, "")


def _plain(minor: int | None, currency: str | None) -> str:
    return "" if minor is None or currency is None else as_typed(Money(minor, currency))


def _read_values(proof: Proof) -> dict[str, Any]:
    currency = proof.currency or "EUR"
    return {
        "supplier": proof.supplier, "supplier_tax_id": proof.supplier_tax_id, "buyer": proof.buyer,
        "number": proof.invoice_number, "date": proof.invoice_date, "currency": currency,
        "net": _plain(proof.net_minor, currency), "tax": _plain(proof.tax_minor, currency),
        "gross": _plain(proof.gross_minor, currency),
    }  # fmt: skip


def _typed_lines(found: Claim, proofs: list[Proof]) -> dict[str, Any]:
    """The claim's lines; before there are any, one for each invoice in the claim's currency."""
    lines = [
        {
            "description": one.description, "net": _plain(one.net_minor, one.currency),
            "tax": _plain(one.tax_minor, one.currency),
        }
        for one in found.lines
    ] or [
        {
            "description": _("%(supplier)s, invoice %(number)s", supplier=one.supplier, number=one.invoice_number),
            "net": _plain(one.net_minor, one.currency), "tax": _plain(one.tax_minor, one.currency),
        }
        for one in proofs if one.kind is ProofKind.INVOICE and one.currency == found.currency and one.net_minor
    ]  # fmt: skip
    amount = _plain(found.claimed_minor, found.currency) if found.claimed_minor else ""
    return {
        "lines": [*lines, {}], "claimed_reach": found.claimed_reach, "amount": amount, "version": found.row_version,
    }  # fmt: skip


def _did(action: str) -> str:
    """What a row of the audit trail says of a claim, as something that somebody did."""
    words = {
        "create": _("began the claim"), "edit": _("changed the costs"), "submit": _("filed the claim"),
        "approve": _("approved it"), "return": _("returned it"), "deny": _("denied it"), "pay": _("paid it"),
        "withdraw": _("withdrew it"),
    }  # fmt: skip
    return str(words.get(action, action.replace("_", " ")))


def _history(found: Claim) -> list[dict[str, Any]]:
    rows = audit.history(db.session, found)
    people = mdf_queries.people(db.session, [one.actor_user_id for one in rows])
    return [
        {
            "who": people.get(one.actor_user_id, _("The service")) if one.actor_user_id else _("The service"),
            "what": _did(one.action.partition(".")[2]) + (f": {one.reason}" if one.reason else ""),
            "when": one.at, "icon": _ICONS.get(one.action.partition(".")[2], "pencil"),
        }
        for one in reversed(rows)
    ]  # fmt: skip


def _version() -> int | None:
    given = request.form.get("version", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else None


def _back(claim_id: UUID, words: str, *, anchor: str | None = None) -> Page:
    flash(words, "success")
    return redirect(url_for("mdf.claim", claim_id=claim_id, _anchor=anchor), 303)


@bp.post("/claims/<uuid:claim_id>/proofs")
def claim_add_proof(claim_id: UUID) -> Page:
    g.actor.require(Permission.CLAIM_RAISE)
    queries.get_claim(db.session, g.actor, claim_id)
    form = ProofForm()
    if form.validate_on_submit():
        kind = ProofKind(form.kind.data)
        try:
            upload = evidence.read_upload(form.file.data.read(), form.file.data.filename or "", kind=kind)
            with unit_of_work(g.actor) as session:
                evidence.upload_proof(session, g.actor, claim_id, kind=kind, upload=upload)
            return _back(claim_id, _("Attached."), anchor="evidence")
        except Invalid as wrong:
            put_claim_faults(form, wrong)
    return _claim_page(claim_id, proof_form=form)


def _claim_of(proof: Proof) -> UUID:
    """The claim on whose page the proof's forms stand."""
    rows, _more = queries.list_claims(db.session, g.actor, activity_id=proof.activity_id, limit=1)
    return rows[0].id


@bp.post("/proofs/<uuid:proof_id>/confirm")
def proof_confirm(proof_id: UUID) -> Page:
    g.actor.require(Permission.CLAIM_RAISE)
    claim_id = _claim_of(queries.get_proof(db.session, g.actor, proof_id))
    form = InvoiceForm()
    if form.validate_on_submit():
        values = form.values(locale=locale())
        if not form.errors:
            try:
                with unit_of_work(g.actor) as session:
                    evidence.confirm_invoice(session, g.actor, proof_id, values=values)
                return _back(claim_id, _("Confirmed."), anchor="lines")
            except Invalid as wrong:
                put_claim_faults(form, wrong)
    return _claim_page(claim_id, invoice=(proof_id, form))


@bp.post("/proofs/<uuid:proof_id>/remove")
def proof_remove(proof_id: UUID) -> Page:
    claim_id = _claim_of(queries.get_proof(db.session, g.actor, proof_id))
    with unit_of_work(g.actor) as session:
        evidence.remove_proof(session, g.actor, proof_id)
    return _back(claim_id, _("Taken out."), anchor="evidence")


@bp.get("/proofs/<uuid:proof_id>/page")
def proof_page(proof_id: UUID) -> Page:
    data, kind = evidence.proof_picture(db.session, g.actor, proof_id)
    return Response(data, mimetype=kind, headers={"Cache-Control": "private, max-age=3600"})


@bp.get("/proofs/<uuid:proof_id>/file")
def proof_file(proof_id: UUID) -> Page:
    proof, data = evidence.proof_bytes(db.session, g.actor, proof_id)
    answer = Response(data, mimetype="application/octet-stream")
    answer.headers.set("Content-Disposition", "attachment", filename=proof.filename)
    return answer


@bp.post("/claims/<uuid:claim_id>/lines")
def claim_lines(claim_id: UUID) -> Page:
    g.actor.require(Permission.CLAIM_RAISE)
    found = queries.get_claim(db.session, g.actor, claim_id)
    form = LinesForm()
    if form.validate_on_submit():
        costs = form.costs(found.currency, locale=locale())
        amount = form.asked(found.currency, locale=locale())
        if not form.errors:
            try:
                with unit_of_work(g.actor) as session:
                    claims.save_lines(
                        session, g.actor, claim_id, lines=costs, amount=amount, expected_version=_version(),
                        claimed_reach=form.claimed_reach.data,
                    )  # fmt: skip
                return _back(claim_id, _("Saved."), anchor="checks")
            except Invalid as wrong:
                put_claim_faults(form, wrong)
    return _claim_page(claim_id, lines_form=form)


@bp.post("/claims/<uuid:claim_id>/submit")
def claim_submit(claim_id: UUID) -> Page:
    try:
        with unit_of_work(g.actor) as session:
            claims.submit_claim(session, g.actor, claim_id, expected_version=_version())
    except Invalid as wrong:
        return _claim_page(claim_id, refused=wrong)
    return _back(claim_id, _("Filed. You get an answer within 5 working days."))


@bp.post("/claims/<uuid:claim_id>/withdraw")
def claim_withdraw(claim_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        claims.withdraw_claim(session, g.actor, claim_id, expected_version=_version())
    return _back(claim_id, _("Withdrawn."))


# -- finance's desk ------------------------------------------------------------------------------------


QUEUE_SHOWN = 50
"""Claims of the queue on one page: what is decided makes room for the next."""
RISKS_COMPARED = 200


@bp.get("/desk")
def desk() -> Page:
    g.actor.require(Permission.CLAIM_APPROVE)
    return _desk_page(None)


def _desk_page(claim_id: UUID | None, *, form: DecisionForm | None = None, refused: Invalid | None = None) -> Page:
    """The queue by due time, and beside it one claim: the one asked for, or the first."""
    session, actor = db.session, g.actor
    search, by_risk = request.args.get("q", ""), request.args.get("order") == "risk"
    queue = queries.list_queue(session, actor, search=search, limit=RISKS_COMPARED if by_risk else QUEUE_SHOWN)
    risks = queries.verdict_counts(session, [one.id for one in queue])
    if by_risk:
        queue.sort(key=lambda one: (-risks.get(one.id, {}).get("fail", 0), -risks.get(one.id, {}).get("warn", 0)))
    queue = queue[:QUEUE_SHOWN]
    chosen = claim_id or (queue[0].id if queue else None)
    detail = _beside(chosen, form) if chosen else {}
    page = render_template(
        "mdf/desk.html", queue=queue, waiting=queries.count_queue(session, actor, search=search), risks=risks, refused=refused, now=clock.now(), Money=Money, has=has,
        names=mdf_queries.names_of(session, [one.partner_id for one in queue]), **detail,
    )  # fmt: skip
    return page, 422 if refused or (form and form.errors) else 200


def _beside(claim_id: UUID, form: DecisionForm | None) -> dict[str, Any]:
    session, actor = db.session, g.actor
    found = queries.get_claim(session, actor, claim_id)
    findings, payable = _findings(found)
    proposal = min(payable.amount, found.claimed)
    decides = actor.may(Permission.CLAIM_APPROVE) and found.status is ClaimStatus.SUBMITTED
    return {
        "found": found, "findings": findings, "payable": payable, "decides": decides,
        "form": form or DecisionForm(formdata=None, data={"amount": _plain(proposal.minor, found.currency), "version": found.row_version}),
        "proofs": queries.proofs_of(session, found.activity_id), "confirmed": evidence.is_confirmed,
        "sealed": queries.statement_of_activity(session, found.activity_id), "partner": _name(found.partner_id),
        "history": _history(found), "ledger_url": ledger_link(source=found.id), "proposal": proposal,
    }  # fmt: skip


@bp.post("/desk/<uuid:claim_id>/<any(approve, give_back, deny):verb>")
def desk_decide(claim_id: UUID, verb: str) -> Page:
    g.actor.require(Permission.CLAIM_APPROVE)
    found = queries.get_claim(db.session, g.actor, claim_id)
    number, currency = found.number, found.currency
    form = DecisionForm()
    given: dict[str, Any] = {
        "code": form.code.data or "", "reason": form.reason.data or "", "expected_version": _version(),
    }  # fmt: skip
    if verb == "approve":
        given["amount"] = read_money(form.amount, currency, locale=locale())
        if given["amount"] is None:
            return _desk_page(claim_id, form=form, refused=Invalid({"amount": " ".join(map(str, form.amount.errors))}))
    act: dict[str, Any] = {
        "approve": claims.approve_claim, "give_back": claims.return_claim, "deny": claims.deny_claim,
    }  # fmt: skip
    try:
        with unit_of_work(g.actor) as session:
            act[verb](session, g.actor, claim_id, **given)
    except Invalid as wrong:
        if "code" in wrong.fields:  # the service names codes, for programs; a person has a list before them
            wrong = Invalid({**wrong.fields, "code": _("Choose a reason from the list.")})
        put_claim_faults(form, wrong)
        return _desk_page(claim_id, form=form, refused=wrong)
    words = {"approve": _("%(number)s approved.", number=number), "deny": _("%(number)s denied.", number=number)}
    flash(words.get(verb, _("%(number)s returned to the partner.", number=number)), "success")
    return redirect(url_for("mdf.desk"), 303)


# -- statements and the audit trail -----------------------------------------------------------------------


@bp.get("/statements/<uuid:statement_id>", endpoint="statement")
def statement_page(statement_id: UUID) -> Page:
    g.actor.require(Permission.CLAIM_READ)
    return _statement_page(statement_id)


@bp.post("/statements/<uuid:statement_id>/verify")
def statement_verify(statement_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        found = statement.verify_statement(session, g.actor, statement_id)
    return _statement_page(statement_id, verification=found)


def _statement_page(statement_id: UUID, *, verification: statement.Verification | None = None) -> Page:
    sealed = queries.get_statement(db.session, g.actor, statement_id)
    return render_template(
        "mdf/statement.html", sealed=sealed, verification=verification, has=has,
        names=mdf_queries.names_of(db.session, [sealed.vendor_id, sealed.partner_id]),
    )  # fmt: skip


@bp.get("/audit", endpoint="audit")
def audit_page() -> Page:
    g.actor.require(Permission.AUDIT_READ)
    wanted: dict[str, Any] = {
        "object_id": request.args.get("object", ""), "person": uuid_arg("person"),
        "action": request.args.get("q", ""),
    }  # fmt: skip
    if request.args.get("format") == "csv":
        header = ["id", "at", "person", "by", "action", "object", "object id", "before", "after", "reason"]
        return csv_answer("audit", header, _audit_cells(wanted))
    rows, more = queries.list_audit(db.session, g.actor, after=int_arg("after"), **wanted)
    people = mdf_queries.people(db.session, [one.actor_user_id for one in rows] + [wanted["person"]])
    return render_template(
        "mdf/audit.html", rows=rows, people=people, wanted=wanted, Money=Money,
        older=rows[-1].id if more else None,
    )  # fmt: skip


def _audit_cells(wanted: dict[str, Any]) -> Iterator[list[Cell]]:
    after: int | None = None
    while True:
        rows, more = queries.list_audit(db.session, g.actor, after=after, limit=500, **wanted)
        people = mdf_queries.people(db.session, [one.actor_user_id for one in rows])
        for one in rows:
            yield [
                one.id, one.at, people.get(one.actor_user_id) if one.actor_user_id else None, one.actor_kind,
                one.action, one.object_type, one.object_id, str(one.before or ""), str(one.after or ""), one.reason,
            ]  # fmt: skip
        if not more:
            return
        after = rows[-1].id
