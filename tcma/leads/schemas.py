"""JSON shapes of leads."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tcma.leads.states import RejectReason

Text = fields.String


class LeadPageIn(Schema):
    status = Text(load_default=None, allow_none=True)
    launch = fields.UUID(load_default=None, allow_none=True)
    search = Text(load_default="")
    before = fields.UUID(load_default=None, allow_none=True)
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class LeadOut(Schema):
    id = fields.UUID()
    launch_id = fields.UUID()
    name = Text()
    email = Text()
    company = Text()
    phone = Text()
    answers = fields.Dict(keys=Text())
    source = Text()
    status = Text()
    score = fields.Integer()
    score_parts = fields.List(fields.Dict())
    accept_by = fields.DateTime()
    shared = fields.Function(lambda lead: lead.shared_at is not None and lead.revoked_at is None)
    amount_minor = fields.Integer(allow_none=True)
    currency = Text(allow_none=True)
    next_step = Text()
    created_at = fields.DateTime()


class LeadPage(Schema):
    items = fields.List(fields.Nested(LeadOut))
    next = Text(allow_none=True)


class RejectIn(Schema):
    reason = fields.Enum(RejectReason, by_value=True, required=True)
    words = Text(load_default="")


class WinIn(Schema):
    """`amount` in major units of `currency`, such as "1250.00"."""

    amount = Text(required=True)
    currency = Text(required=True, validate=validate.Length(3, 3))


class LoseIn(Schema):
    reason = Text(required=True)


class CountsOut(Schema):
    views = fields.Integer()
    answers = fields.Integer()
    leads = fields.Integer()
    accepted = fields.Integer()
    won = fields.Integer()
    lost = fields.Integer()
    overdue = fields.Integer()
