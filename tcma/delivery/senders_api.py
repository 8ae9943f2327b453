"""The API of senders: add, change, check the domain, choose the default, retire, make a new key."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import g
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from tcma.access import Permission
from tcma.db import db, unit_of_work
from tcma.delivery import senders, senders_checking, senders_verify
from tcma.delivery.models_senders import SendingIdentity

blp = Blueprint("api_senders", __name__, url_prefix="/senders", description="Whom a partner's mail is from")


class SenderRecordOut(Schema):
    """A DNS record to set. `host` is the whole name; `needed` says whether mail waits for it."""

    code = fields.String()
    host = fields.String()
    type = fields.String()
    value = fields.String()
    why = fields.String()
    needed = fields.Boolean()


class SenderFindingOut(Schema):
    """What the last look found; `verdict` is pass, warn, fail, or unsure where the name servers did not answer."""

    code = fields.String()
    verdict = fields.String()
    host = fields.String()
    found = fields.List(fields.String())
    detail = fields.String()
    mend = fields.String()


class SenderOut(Schema):
    id = fields.UUID()
    name = fields.String()
    address = fields.String()
    reply_to = fields.String()
    domain = fields.String(attribute="domain.name")
    status = fields.String()
    is_default = fields.Boolean()
    verified_at = fields.DateTime(allow_none=True)
    checked_at = fields.DateTime(attribute="domain.checked_at", allow_none=True)


class SenderDetailOut(SenderOut):
    records = fields.List(fields.Nested(SenderRecordOut))
    findings = fields.List(fields.Nested(SenderFindingOut))


class SendersOut(Schema):
    items = fields.List(fields.Nested(SenderOut))


class SenderIn(Schema):
    name = fields.String(required=True, validate=validate.Length(1, senders.LONGEST_NAME))
    address = fields.String(required=True, validate=validate.Length(3, 254))
    reply_to = fields.String(load_default="", validate=validate.Length(0, 254))


class SenderChangeIn(Schema):
    name = fields.String(validate=validate.Length(1, senders.LONGEST_NAME))
    reply_to = fields.String(validate=validate.Length(0, 254))


class SenderChoiceIn(Schema):
    sender = fields.String(
        required=True, validate=validate.Length(0, 64),
        metadata={"description": "The id of a verified sender, `platform`, or empty for the default."},
    )  # fmt: skip


def _detail(sender_id: UUID) -> dict[str, Any]:
    row: SendingIdentity = senders.get_sender(db.session, g.actor, sender_id)
    names = ("id", "name", "address", "reply_to", "domain", "status", "is_default", "verified_at")
    records = senders_verify.wanted_records(db.session, row.domain)
    return {**{name: getattr(row, name) for name in names}, "records": records, "findings": row.domain.findings}


@blp.get("")
@blp.response(200, SendersOut)
def list_senders() -> dict[str, Any]:
    """The partner's senders that are not retired, the default first."""
    return {"items": senders.list_senders(db.session, g.actor)}


@blp.post("")
@blp.arguments(SenderIn)
@blp.response(201, SenderDetailOut)
def add_sender(given: dict[str, Any]) -> dict[str, Any]:
    """Add a sender; the answer holds the DNS records to set."""
    with unit_of_work(g.actor) as session:
        sender_id = senders.add_sender(session, g.actor, **given).id
    return _detail(sender_id)


@blp.get("/<uuid:sender_id>")
@blp.response(200, SenderDetailOut)
def read_sender(sender_id: UUID) -> dict[str, Any]:
    """One sender with the records to set and what the last look found."""
    return _detail(sender_id)


@blp.patch("/<uuid:sender_id>")
@blp.arguments(SenderChangeIn)
@blp.response(200, SenderDetailOut)
def edit_sender(given: dict[str, Any], sender_id: UUID) -> dict[str, Any]:
    """Change name or reply address; launches that have started keep theirs."""
    with unit_of_work(g.actor) as session:
        row = senders.get_sender(session, g.actor, sender_id)
        values = {"name": row.name, "reply_to": row.reply_to, **given}
        senders.edit_sender(session, g.actor, sender_id, **values)
    return _detail(sender_id)


@blp.post("/<uuid:sender_id>/check")
@blp.response(200, SenderDetailOut)
def check_sender(sender_id: UUID) -> dict[str, Any]:
    """Look at the DNS now."""
    g.actor.require(Permission.SENDER_MANAGE)
    with unit_of_work(g.actor) as session:
        domain_id = senders.take_check(session, g.actor, sender_id).id
    senders_checking.check_domain(g.actor, domain_id)
    return _detail(sender_id)


@blp.post("/<uuid:sender_id>/default")
@blp.response(200, SenderDetailOut)
def make_default(sender_id: UUID) -> dict[str, Any]:
    """New launches use this sender unless they choose another."""
    with unit_of_work(g.actor) as session:
        senders.make_default(session, g.actor, sender_id)
    return _detail(sender_id)


@blp.post("/<uuid:sender_id>/key")
@blp.response(200, SenderDetailOut)
def new_key(sender_id: UUID) -> dict[str, Any]:
    """Begin to change the DKIM key: set the further record, then check."""
    with unit_of_work(g.actor) as session:
        senders.new_key(session, g.actor, sender_id)
    return _detail(sender_id)


@blp.post("/<uuid:sender_id>/retire")
@blp.response(200, SenderDetailOut)
def retire_sender(sender_id: UUID) -> dict[str, Any]:
    """Use it no more."""
    with unit_of_work(g.actor) as session:
        senders.retire_sender(session, g.actor, sender_id)
    return _detail(sender_id)
