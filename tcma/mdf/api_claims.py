# mypy: disable-error-code="untyped-decorator"
"""The API of claims, proofs, statements and payments: the same services as the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, g, request
from flask.views import MethodView
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from tcma.access import Permission
from tcma.db import db, unit_of_work
from tcma.errors import Invalid
from tcma.idempotency import answer_once
from tcma.mdf import claims, evidence, payments, statement
from tcma.mdf import queries_claims as queries
from tcma.mdf import schemas_claims as s
from tcma.mdf.models import Claim, Payee, PaymentBatch, Proof, Statement
from tcma.mdf.states import ProofKind

claims_api = Blueprint("api_claims", __name__, url_prefix="/claims", description="Claims with their proof")
proofs_api = Blueprint("api_proofs", __name__, url_prefix="/proofs", description="Evidence of activities")
payee_api = Blueprint("api_payee", __name__, url_prefix="/payee", description="Where a partner is paid")
payments_api = Blueprint("api_payments", __name__, url_prefix="/payments", description="Payment batches")
statements_api = Blueprint("api_statements", __name__, url_prefix="/statements", description="Sealed statements")
blueprints = [claims_api, proofs_api, payee_api, payments_api, statements_api]


def _whole(session: Session, claim: Claim) -> dict[str, Any]:
    """A claim with its proofs, statement and the latest findings."""
    sealed = queries.statement_of_activity(session, claim.activity_id)
    return {
        **s.plain(s.ClaimSchema(), claim),
        "statement": s.plain(s.StatementSchema(), sealed) if sealed else None,
        "proofs": [s.plain(s.ProofSchema(), one) for one in queries.proofs_of(session, claim.activity_id)],
        "findings": [s.plain(s.FindingSchema(), one) for one in queries.findings_of(session, claim.id)],
    }


@claims_api.route("")
class Claims(MethodView):
    @claims_api.arguments(s.ClaimListQuery, location="query")
    @claims_api.response(200, s.ClaimPageSchema)
    def get(self, given: dict[str, Any]) -> dict[str, Any]:
        """One page of claims, the newest first; `next` goes into `after`."""
        g.actor.require(Permission.CLAIM_READ)
        rows, more = queries.list_claims(
            db.session, g.actor, status=given.get("status"), search=given["q"], activity_id=given["activity_id"],
            partner_id=given["partner_id"], after=given["after"], limit=given["limit"],
        )  # fmt: skip
        return {"items": rows, "next": str(rows[-1].id) if more else None}

    @claims_api.arguments(s.ClaimMadeSchema)
    @claims_api.response(201)
    def post(self, given: dict[str, Any]) -> dict[str, Any]:
        """Claim an approved activity; its launch's statement is sealed and attached."""
        with unit_of_work(g.actor) as session:
            claim = claims.create_claim(session, g.actor, given["activity_id"])
            return _whole(session, claim)


@claims_api.route("/<uuid:claim_id>", methods=["GET"])
@claims_api.response(200)
def one_claim(claim_id: UUID) -> dict[str, Any]:
    """One claim with its evidence and findings."""
    g.actor.require(Permission.CLAIM_READ)
    return _whole(db.session, queries.get_claim(db.session, g.actor, claim_id))


@claims_api.route("/<uuid:claim_id>/proofs", methods=["POST"])
@claims_api.response(201, s.ProofSchema)
def add_proof(claim_id: UUID) -> Proof:
    """Attach a file (multipart: file, kind); what could be read of an invoice is in `read`."""
    g.actor.require(Permission.CLAIM_RAISE)
    queries.get_claim(db.session, g.actor, claim_id)
    given = request.form.get("kind", ProofKind.INVOICE)
    if given not in set(ProofKind):
        raise Invalid({"kind": f"Choose one of: {', '.join(ProofKind)}."})
    file = request.files.get("file")
    if file is None:
        raise Invalid({"file": "Send the file as multipart form data in the field “file”."})
    upload = evidence.read_upload(file.read(), file.filename or "", kind=ProofKind(given))
    with unit_of_work(g.actor) as session:
        return evidence.upload_proof(session, g.actor, claim_id, kind=ProofKind(given), upload=upload)


@proofs_api.route("/<uuid:proof_id>", methods=["PATCH"])
@proofs_api.arguments(s.ConfirmSchema)
@proofs_api.response(200, s.ProofSchema)
def confirm_proof(given: dict[str, Any], proof_id: UUID) -> Proof:
    """Confirm or correct what was read of an invoice."""
    with unit_of_work(g.actor) as session:
        return evidence.confirm_invoice(session, g.actor, proof_id, values=given)


@proofs_api.route("/<uuid:proof_id>", methods=["DELETE"])
@proofs_api.response(204)
def remove_proof(proof_id: UUID) -> None:
    """Take a file out of the evidence."""
    with unit_of_work(g.actor) as session:
        evidence.remove_proof(session, g.actor, proof_id)


@claims_api.route("/<uuid:claim_id>/lines", methods=["PUT"])
@claims_api.arguments(s.ClaimLinesSchema)
@claims_api.response(200)
def put_lines(given: dict[str, Any], claim_id: UUID) -> dict[str, Any]:
    """Say what the money was spent on and how much is claimed; without an amount, what the rules allow."""
    with unit_of_work(g.actor) as session:
        return _whole(session, claims.save_lines(session, g.actor, claim_id, **given))


@claims_api.route("/<uuid:claim_id>/submit", methods=["POST"])
@claims_api.arguments(s.ClaimVersionSchema, required=False)
def submit(given: dict[str, Any], claim_id: UUID) -> Response:
    """File the claim; the answer says what the checks found and what can be paid. Honours Idempotency-Key."""

    def work(session: Session) -> tuple[dict[str, Any], int]:
        claim, findings, payable = claims.submit_claim(session, g.actor, claim_id, **given)
        return {
            **s.plain(s.ClaimSchema(), claim),
            "findings": [s.plain(s.FindingSchema(), one) for one in findings],
            "payable": payable.amount.to_json(),
        }, 200

    return answer_once(work)


def _decide(verb: Callable[..., Claim], claim_id: UUID, given: dict[str, Any]) -> Response:
    def work(session: Session) -> tuple[dict[str, Any], int]:
        return _whole(session, verb(session, g.actor, claim_id, **given)), 200

    return answer_once(work)


@claims_api.route("/<uuid:claim_id>/approve", methods=["POST"])
@claims_api.arguments(s.ClaimApproveSchema)
def approve(given: dict[str, Any], claim_id: UUID) -> Response:
    """Approve all or part; less than claimed wants a code and a reason. Honours Idempotency-Key."""
    return _decide(claims.approve_claim, claim_id, given)


@claims_api.route("/<uuid:claim_id>/return", methods=["POST"])
@claims_api.arguments(s.ClaimReasonSchema)
def give_back(given: dict[str, Any], claim_id: UUID) -> Response:
    """Give it back to be mended."""
    return _decide(claims.return_claim, claim_id, given)


@claims_api.route("/<uuid:claim_id>/deny", methods=["POST"])
@claims_api.arguments(s.ClaimReasonSchema)
def deny(given: dict[str, Any], claim_id: UUID) -> Response:
    """Say no for good."""
    return _decide(claims.deny_claim, claim_id, given)


@claims_api.route("/<uuid:claim_id>/withdraw", methods=["POST"])
@claims_api.arguments(s.ClaimVersionSchema, required=False)
def withdraw(given: dict[str, Any], claim_id: UUID) -> Response:
    """Take it back; its money is committed again."""
    return _decide(claims.withdraw_claim, claim_id, given)


@payee_api.route("")
class PayeeDetails(MethodView):
    @payee_api.response(200, s.PayeeSchema)
    def get(self) -> Payee:
        """Where you are paid; of the account its last four characters only."""
        g.actor.require(Permission.PAYEE_MANAGE)
        found = queries.find_payee(db.session, g.actor.organization_id)
        if found is None:
            raise Invalid("You have given no bank details yet. Send them with PUT.")
        return found

    @payee_api.arguments(s.PayeeSchema)
    @payee_api.response(200, s.PayeeSchema)
    def put(self, given: dict[str, Any]) -> Payee:
        """Say where you are paid. Another account is paid after three days only."""
        with unit_of_work(g.actor) as session:
            return payments.set_payee(session, g.actor, **given)


@payments_api.route("/batches")
class Batches(MethodView):
    @payments_api.arguments(s.BatchListQuery, location="query")
    @payments_api.response(200, s.BatchPageSchema)
    def get(self, given: dict[str, Any]) -> dict[str, Any]:
        """One page of batches, the newest first."""
        g.actor.require(Permission.PAYMENT_MAKE)
        rows, more = queries.list_batches(db.session, g.actor, after=given["after"], limit=given["limit"])
        return {"items": rows, "next": str(rows[-1].id) if more else None}

    @payments_api.arguments(s.BatchMadeSchema)
    def post(self, given: dict[str, Any]) -> Response:
        """Put approved claims of one currency into a batch. Honours Idempotency-Key."""

        def work(session: Session) -> tuple[dict[str, Any], int]:
            made = payments.make_batch(session, g.actor, claim_ids=given["claim_ids"])
            return s.plain(s.BatchSchema(), made), 201

        return answer_once(work)


def _batch(verb: Callable[..., PaymentBatch], batch_id: UUID, **given: Any) -> Response:
    def work(session: Session) -> tuple[dict[str, Any], int]:
        verb(session, g.actor, batch_id, **given)
        return s.plain(s.BatchSchema(), queries.get_batch(session, g.actor, batch_id)), 200

    return answer_once(work)


@payments_api.route("/batches/<uuid:batch_id>", methods=["GET"])
@payments_api.response(200, s.BatchSchema)
def one_batch(batch_id: UUID) -> PaymentBatch:
    """One batch with its payments."""
    g.actor.require(Permission.PAYMENT_MAKE)
    return queries.get_batch(db.session, g.actor, batch_id)


@payments_api.route("/batches/<uuid:batch_id>/check", methods=["POST"])
def check(batch_id: UUID) -> Response:
    """Another person than the maker checks it; the file is written. Honours Idempotency-Key."""
    return _batch(payments.check_batch, batch_id)


@payments_api.route("/batches/<uuid:batch_id>/file", methods=["GET"])
def file(batch_id: UUID) -> Response:
    """The payment file as it was checked."""
    batch, content = payments.batch_file(db.session, g.actor, batch_id)
    return Response(
        content, mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{batch.number}.csv"'}
    )


@payments_api.route("/batches/<uuid:batch_id>/paid", methods=["POST"])
def paid(batch_id: UUID) -> Response:
    """The bank has paid it. Honours Idempotency-Key."""
    return _batch(payments.mark_paid, batch_id)


@payments_api.route("/batches/<uuid:batch_id>/cancel", methods=["POST"])
@payments_api.arguments(s.BatchReasonSchema)
def cancel(given: dict[str, Any], batch_id: UUID) -> Response:
    """Pay nothing of it; its claims are approved again."""
    return _batch(payments.cancel_batch, batch_id, **given)


@statements_api.route("/<uuid:statement_id>", methods=["GET"])
@statements_api.response(200, s.StatementSchema)
def one_statement(statement_id: UUID) -> Statement:
    """A sealed statement with its figures, cut, hash and seal."""
    g.actor.require(Permission.CLAIM_READ)
    return queries.get_statement(db.session, g.actor, statement_id)


@statements_api.route("/<uuid:statement_id>/verify", methods=["POST"])
@statements_api.response(200, s.VerificationSchema)
def verify(statement_id: UUID) -> statement.Verification:
    """Recompute it from the rows at its cut: `ok`, or what differs in words."""
    with unit_of_work(g.actor) as session:
        return statement.verify_statement(session, g.actor, statement_id)
