"""JSON of mdf: money as {"amount": "1234.50", "currency": "EUR"}, days as ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from tcma.errors import Invalid
from tcma.mdf.states import ProgrammeStatus, ProofKind, RequestStatus
from tcma.money import Money


class MoneyField(fields.Field[Money]):
    """A Money; in JSON an object with the amount in major units as text, and the currency."""

    def _serialize(self, value: Money | None, attr: str | None, obj: Any, **kwargs: Any) -> dict[str, str] | None:
        return None if value is None else value.to_json()

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Money:
        try:
            return Money.from_json(value)
        except Invalid as wrong:
            raise ValidationError(list(wrong.fields.values())) from None


def minor(name: str) -> fields.Function:
    """A field that shows the column `name` of minor units as money in the row's currency."""

    def shown(row: Any) -> dict[str, str] | None:
        value = getattr(row, name)
        return None if value is None else Money(value, row.currency).to_json()

    return fields.Function(shown)


class ActivityTypeSchema(Schema):
    id = fields.UUID(dump_only=True)
    code = fields.String(required=True)
    name = fields.String(load_default="")
    cap = MoneyField(load_only=True, load_default=None, allow_none=True)
    cap_minor = fields.Integer(dump_only=True)
    required_evidence = fields.List(
        fields.String(validate=validate.OneOf(list(ProofKind))), load_default=None, allow_none=True
    )


class ProgrammeSchema(Schema):
    id = fields.UUID(dump_only=True)
    vendor_id = fields.UUID(dump_only=True)
    status = fields.Enum(ProgrammeStatus, by_value=True, dump_only=True)
    rule_version = fields.Integer(dump_only=True)
    name = fields.String(required=True)
    currency = fields.String(required=True, validate=validate.Length(equal=3))
    share_percent = fields.Decimal(required=True, as_string=True)
    cap = MoneyField(required=True, load_only=True)
    cap_shown = fields.Function(
        lambda row: Money(row.cap_minor, row.currency).to_json(), data_key="cap_per_partner", dump_only=True
    )
    begins_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)
    zone = fields.String(load_default="UTC")
    claim_days = fields.Integer(load_default=30)
    lead_days = fields.Integer(load_default=0)
    guidelines = fields.String(load_default="")
    gl_code = fields.String(load_default="")
    activity_types = fields.List(fields.Nested(ActivityTypeSchema), load_default=list)


class ProgrammeChangeSchema(Schema):
    """What may be changed; fields left out stay."""

    name = fields.String()
    share_percent = fields.Decimal()
    cap = MoneyField()
    begins_on = fields.Date()
    ends_on = fields.Date()
    zone = fields.String()
    claim_days = fields.Integer()
    lead_days = fields.Integer()
    guidelines = fields.String()
    gl_code = fields.String()


class FundSchema(Schema):
    id = fields.UUID(dump_only=True)
    programme_id = fields.UUID(required=True)
    name = fields.String(required=True)
    currency = fields.String(dump_only=True)
    budget = MoneyField(required=True, load_only=True)
    begins_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)


class AllocationSchema(Schema):
    id = fields.UUID(dump_only=True)
    fund_id = fields.UUID(dump_only=True)
    partner_id = fields.UUID(required=True)
    amount = MoneyField(required=True, load_only=True)
    expires_on = fields.Date(required=True)
    once = fields.UUID(
        load_only=True, load_default=None, metadata={"description": "An id of yours: sent twice, it allocates once."}
    )


class BalancesSchema(Schema):
    """What each kind of account holds."""

    fund_id = fields.UUID()
    partner_id = fields.UUID(allow_none=True)
    control = MoneyField()
    budget = MoneyField()
    allocated = MoneyField()
    committed = MoneyField()
    claimed = MoneyField()
    payable = MoneyField()
    cash = MoneyField()
    expired = MoneyField()
    receivable = MoneyField()


class PlannedSchema(Schema):
    activity_type_id = fields.UUID(required=True)
    title = fields.String(required=True)
    starts_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)
    campaign_version_id = fields.UUID(load_default=None, allow_none=True)
    expected_reach = fields.Integer(load_default=None, allow_none=True)


class ActivitySchema(PlannedSchema):
    """An activity as a partner sends it."""

    cost = MoneyField(required=True)
    requested = MoneyField(required=True)


class ActivityShownSchema(PlannedSchema):
    """An activity as it is kept."""

    id = fields.UUID()
    cost = minor("cost_minor")
    requested = minor("requested_minor")
    committed = minor("committed_minor")
    approved_sha256 = fields.String()
    launch_id = fields.UUID()


class RequestSchema(Schema):
    """What a partner sends."""

    programme_id = fields.UUID(required=True)
    fund_id = fields.UUID(load_default=None, allow_none=True)
    title = fields.String(required=True)
    purpose = fields.String(load_default="")
    activities = fields.List(fields.Nested(ActivitySchema), required=True, validate=validate.Length(max=20))


class RequestChangeSchema(Schema):
    title = fields.String(required=True)
    purpose = fields.String(load_default="")
    activities = fields.List(fields.Nested(ActivitySchema), required=True, validate=validate.Length(max=20))
    expected_version = fields.Integer(load_default=None, allow_none=True)


class RequestShownSchema(Schema):
    id = fields.UUID()
    number = fields.String()
    status = fields.Enum(RequestStatus, by_value=True)
    vendor_id = fields.UUID()
    partner_id = fields.UUID()
    programme_id = fields.UUID()
    fund_id = fields.UUID()
    title = fields.String()
    purpose = fields.String()
    budget = MoneyField()
    row_version = fields.Integer()
    submitted_at = fields.AwareDateTime(allow_none=True)
    due_at = fields.AwareDateTime(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    decision_reason = fields.String()
    rule_version = fields.Integer(allow_none=True)
    claim_until = fields.Date(allow_none=True)
    activities = fields.List(fields.Nested(ActivityShownSchema))


class RequestPageSchema(Schema):
    items = fields.List(fields.Nested(RequestShownSchema))
    next = fields.String(allow_none=True)


class ProgrammePageSchema(Schema):
    items = fields.List(fields.Nested(ProgrammeSchema))
    next = fields.String(allow_none=True)


class FundPageSchema(Schema):
    items = fields.List(fields.Nested(FundSchema))
    next = fields.String(allow_none=True)


class AllocationPageSchema(Schema):
    items = fields.List(fields.Nested(AllocationSchema))
    next = fields.String(allow_none=True)


class RequestListQuery(Schema):
    status = fields.Enum(RequestStatus, by_value=True)
    q = fields.String(load_default="")
    programme_id = fields.UUID(load_default=None)
    partner_id = fields.UUID(load_default=None)
    after = fields.UUID(load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))


class FundListQuery(Schema):
    programme_id = fields.UUID(load_default=None)


class BalancesQuery(Schema):
    partner_id = fields.UUID(load_default=None)


class DecisionSchema(Schema):
    """The version that was looked at; if someone changed the request since, nothing is done (409)."""

    expected_version = fields.Integer(load_default=None, allow_none=True)


class ReasonSchema(DecisionSchema):
    reason = fields.String(required=True)


class LinkLaunchSchema(Schema):
    launch_id = fields.UUID(required=True)
