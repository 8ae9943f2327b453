"""JSON of claims, proofs, statements and payments."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from tcma.mdf.schemas import MoneyField, minor
from tcma.mdf.states import BatchStatus, ClaimStatus, ProofKind


class StatementSchema(Schema):
    id = fields.UUID()
    launch_id = fields.UUID()
    edition = fields.Integer()
    cut = fields.Integer()
    classification_version = fields.Integer()
    figures = fields.Dict()
    sha256 = fields.String()
    seal = fields.Function(lambda row: row.seal.hex())
    sealed_at = fields.AwareDateTime()


class VerificationSchema(Schema):
    ok = fields.Boolean()
    recomputed_sha256 = fields.String()
    differences = fields.List(fields.String())


class FindingSchema(Schema):
    code = fields.String()
    verdict = fields.String()
    expected = fields.String()
    actual = fields.String()
    tolerance = fields.String()
    why = fields.String()
    mend = fields.String()
    rule_version = fields.String()


class ProofSchema(Schema):
    id = fields.UUID()
    kind = fields.Enum(ProofKind, by_value=True)
    filename = fields.String()
    content_type = fields.String()
    size = fields.Integer()
    sha256 = fields.String()
    statement_id = fields.UUID(allow_none=True)
    read = fields.Function(lambda row: row.read.get("fields", {}))
    warnings = fields.Function(lambda row: row.read.get("warnings", []))
    confirmed = fields.Function(lambda row: bool(row.read.get("confirmed_at")))
    supplier = fields.String()
    supplier_tax_id = fields.String()
    buyer = fields.String()
    number = fields.String(attribute="invoice_number")
    date = fields.Date(attribute="invoice_date", allow_none=True)
    currency = fields.String(allow_none=True)
    net = minor("net_minor")
    tax = minor("tax_minor")
    gross = minor("gross_minor")


class ConfirmSchema(Schema):
    """What a person read on the invoice; amounts in major units as text. Fields left out stay."""

    supplier = fields.String()
    supplier_tax_id = fields.String()
    buyer = fields.String()
    number = fields.String()
    date = fields.Date(allow_none=True)
    currency = fields.String()
    net = fields.String(allow_none=True)
    tax = fields.String(allow_none=True)
    gross = fields.String(allow_none=True)


class LineSchema(Schema):
    description = fields.String(required=True, validate=validate.Length(max=300))
    net = MoneyField(required=True)
    tax = MoneyField(load_default=None, allow_none=True)


class LineShownSchema(Schema):
    description = fields.String()
    net = minor("net_minor")
    tax = minor("tax_minor")


class ClaimLinesSchema(Schema):
    lines = fields.List(fields.Nested(LineSchema), required=True, validate=validate.Length(max=100))
    claimed_reach = fields.Integer(load_default=None, allow_none=True)
    amount = MoneyField(load_default=None, allow_none=True)
    expected_version = fields.Integer(load_default=None, allow_none=True)


class ClaimMadeSchema(Schema):
    activity_id = fields.UUID(required=True)


class ClaimSchema(Schema):
    """A claim; of one claim also its evidence, statement and findings."""

    id = fields.UUID()
    number = fields.String()
    status = fields.Enum(ClaimStatus, by_value=True)
    row_version = fields.Integer()
    vendor_id = fields.UUID()
    partner_id = fields.UUID()
    activity_id = fields.UUID()
    title = fields.Function(lambda row: row.activity.title)
    claimed = MoneyField()
    approved = MoneyField(allow_none=True)
    claimed_reach = fields.Integer(allow_none=True)
    submitted_at = fields.AwareDateTime(allow_none=True)
    due_at = fields.AwareDateTime(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    decision_code = fields.String()
    decision_reason = fields.String()
    paid_at = fields.AwareDateTime(allow_none=True)
    lines = fields.List(fields.Nested(LineShownSchema))


class ClaimPageSchema(Schema):
    items = fields.List(fields.Nested(ClaimSchema))
    next = fields.String(allow_none=True)


class ClaimListQuery(Schema):
    status = fields.Enum(ClaimStatus, by_value=True)
    q = fields.String(load_default="")
    activity_id = fields.UUID(load_default=None)
    partner_id = fields.UUID(load_default=None)
    after = fields.UUID(load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))


class ClaimVersionSchema(Schema):
    """The version that was looked at; if someone changed the claim since, nothing is done (409)."""

    class Meta:
        unknown = EXCLUDE

    expected_version = fields.Integer(load_default=None, allow_none=True)


class ClaimReasonSchema(ClaimVersionSchema):
    code = fields.String(required=True)
    reason = fields.String(required=True)


class ClaimApproveSchema(ClaimVersionSchema):
    amount = MoneyField(required=True)
    code = fields.String(load_default="")
    reason = fields.String(load_default="")


class PayeeSchema(Schema):
    holder = fields.String(required=True)
    iban = fields.String(required=True, load_only=True)
    bic = fields.String(load_default="")
    country = fields.String(load_default="")
    town = fields.String(load_default="")
    account_last4 = fields.String(dump_only=True)
    changed_at = fields.AwareDateTime(dump_only=True)


class BatchMadeSchema(Schema):
    claim_ids = fields.List(fields.UUID(), required=True)


class PaymentSchema(Schema):
    id = fields.UUID()
    claim_id = fields.UUID()
    partner_id = fields.UUID()
    end_to_end_id = fields.String()
    amount = minor("amount_minor")


class BatchSchema(Schema):
    id = fields.UUID()
    number = fields.String()
    status = fields.Enum(BatchStatus, by_value=True)
    total = minor("total_minor")
    file_sha256 = fields.String(allow_none=True)
    paid_at = fields.AwareDateTime(allow_none=True)
    payments = fields.List(fields.Nested(PaymentSchema))


class BatchPageSchema(Schema):
    items = fields.List(fields.Nested(BatchSchema))
    next = fields.String(allow_none=True)


class BatchListQuery(Schema):
    after = fields.UUID(load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))


class BatchReasonSchema(Schema):
    reason = fields.String(required=True)


def plain(schema: Schema, row: object) -> dict[str, Any]:
    """A row as plain JSON values."""
    dumped: dict[str, Any] = schema.dump(row)
    return dumped
