"""The API of decisions about unknown and failed deliveries, and of deliverability."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, g
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from tcma.db import db
from tcma.delivery import deliverability, returns_decisions
from tcma.idempotency import answer_once

blp = Blueprint("api_returns", __name__, description="What came back, and what is decided about it")


class UnknownIn(Schema):
    """`again` needs `expected`: the number of unknown deliveries whose people may get the mail twice."""

    decision = fields.String(required=True, validate=validate.OneOf(["sent", "again"]))
    expected = fields.Integer(validate=validate.Range(min=1, max=10**9))

    @validates_schema
    def _counted(self, given: dict[str, Any], **_: Any) -> None:
        if given.get("decision") == "again" and "expected" not in given:
            raise ValidationError("Say how many unknown deliveries you agreed to send again.", "expected")


class RetryIn(Schema):
    """Without `all_reasons` only what may have passed is tried again."""

    all_reasons = fields.Boolean(load_default=False)


class DecidedOut(Schema):
    deliveries = fields.Integer()


class DeliverabilityIn(Schema):
    sender = fields.String(load_default="", validate=validate.Length(max=254))
    days = fields.Integer(load_default=30, validate=validate.Range(min=1, max=366))


class DeliverabilityRow(Schema):
    """`name` is a day or a domain; the empty domain stands for all others."""

    name = fields.String()
    tried = fields.Integer()
    delivered = fields.Integer()
    came_back = fields.Integer()
    complained = fields.Integer()


class DeliverabilityOut(Schema):
    whole = fields.Nested(DeliverabilityRow)
    days = fields.List(fields.Nested(DeliverabilityRow))
    domains = fields.List(fields.Nested(DeliverabilityRow))
    senders = fields.List(fields.String())


@blp.post("/launches/<uuid:launch_id>/unknown")
@blp.arguments(UnknownIn)
@blp.response(200, DecidedOut)
def decide_unknown(given: dict[str, Any], launch_id: UUID) -> Response:
    """Count unknown deliveries as sent, or send them again. Takes an Idempotency-Key."""
    if given["decision"] == "sent":
        return answer_once(
            lambda session: ({"deliveries": returns_decisions.treat_as_sent(session, g.actor, launch_id)}, 200)
        )
    return answer_once(
        lambda session: (
            {"deliveries": returns_decisions.send_again(session, g.actor, launch_id, expected=given["expected"])}, 200
        )
    )  # fmt: skip


@blp.post("/launches/<uuid:launch_id>/retry")
@blp.arguments(RetryIn)
@blp.response(200, DecidedOut)
def retry_failed(given: dict[str, Any], launch_id: UUID) -> Response:
    """Try failed deliveries again. Takes an Idempotency-Key."""
    return answer_once(
        lambda session: ({"deliveries": returns_decisions.retry_failed(session, g.actor, launch_id, **given)}, 200)
    )


@blp.get("/deliverability")
@blp.arguments(DeliverabilityIn, location="query")
@blp.response(200, DeliverabilityOut)
def read_deliverability(given: dict[str, Any]) -> deliverability.Deliverability:
    """How well the partner's mail arrives, by day and by receiving domain."""
    return deliverability.read(db.session, g.actor, **given)
