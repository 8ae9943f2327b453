"""JSON shapes of delivery."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from tcma.campaigns.launches import landing_url
from tcma.delivery.states import DeliveryStatus


class LaunchOut(Schema):
    id = fields.UUID()
    vendor_id = fields.UUID()
    partner_id = fields.UUID()
    campaign_id = fields.UUID()
    campaign_version_id = fields.UUID()
    name = fields.String()
    status = fields.String()
    slots = fields.Dict(keys=fields.String())
    audience = fields.Dict(keys=fields.String())
    landing_url = fields.Function(landing_url)
    scheduled_at = fields.DateTime(allow_none=True)
    pace = fields.Dict(keys=fields.String(), allow_none=True)
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)


class PaceIn(Schema):
    """Without both hours there is no window."""

    since = fields.Time(load_default=None, allow_none=True, format="%H:%M", metadata={"description": "08:00"})
    until = fields.Time(load_default=None, allow_none=True, format="%H:%M", metadata={"description": "18:00"})
    days = fields.List(fields.Integer(), load_default=[1, 2, 3, 4, 5], metadata={"description": "ISO, Monday is 1."})
    late_hours = fields.Integer(load_default=None, allow_none=True)


class VerdictOut(Schema):
    code = fields.String()
    verdict = fields.String(metadata={"description": "pass, warn or fail; a launch with a fail does not start."})
    title = fields.String()
    detail = fields.String()
    mend = fields.String()


class PreflightOut(Schema):
    items = fields.List(fields.Nested(VerdictOut))
    ok = fields.Boolean()
    sendable = fields.Integer(metadata={"description": "How many people get the mail if it starts now."})
    mark = fields.String(metadata={"description": "What was seen, for start and schedule; empty for the vendor."})


class TestIn(Schema):
    __test__ = False
    address = fields.String(required=True, validate=validate.Length(3, 254))
    contact_id = fields.Integer(load_default=None, allow_none=True)


class TestOut(Schema):
    __test__ = False
    id = fields.UUID()
    address = fields.String()
    status = fields.String()
    response = fields.String(allow_none=True)


_MARK = "The mark of GET preflight: where the launch has changed since, the answer is 409. Without it no look is asked for."


class StartIn(Schema):
    mark = fields.String(load_default=None, allow_none=True, metadata={"description": _MARK})


class ScheduleIn(StartIn):
    at = fields.AwareDateTime(required=True, metadata={"description": "With its offset, within a year."})


class CancelIn(Schema):
    reason = fields.String(load_default="cancelled", validate=validate.Length(1, 300))


class ReasonOut(Schema):
    status = fields.String()
    reason = fields.String(metadata={"description": "Our name for it, or the code of the answer."})
    words = fields.String()
    count = fields.Integer()


class WaitOut(Schema):
    why = fields.String(metadata={"description": "hours, domain, sender, again, provider or turn."})
    subject = fields.String(metadata={"description": "The receiving domain, where one limits."})
    count = fields.Integer()
    since = fields.DateTime(metadata={"description": "When the first of them is due."})
    until = fields.DateTime(metadata={"description": "When the last of them is due."})


class TotalsOut(Schema):
    """`planned` is always the sum of the seven states; `holds` says so. Clicks are people's."""

    planned = fields.Integer()
    pending = fields.Integer()
    sending = fields.Integer()
    sent = fields.Integer()
    failed = fields.Integer()
    suppressed = fields.Integer()
    skipped = fields.Integer()
    # `unknown` itself means something else to a Schema.
    unknown_ = fields.Integer(attribute="unknown", data_key="unknown")
    holds = fields.Boolean()
    clicks = fields.Integer()
    clickers = fields.Integer()
    opened = fields.Integer()
    machine_clicks = fields.Integer()
    unsubscribed = fields.Integer()
    bounced = fields.Integer()
    complained = fields.Integer()
    remaining = fields.Integer(metadata={"description": "Pending and sending."})
    rate = fields.Float(allow_none=True, metadata={"description": "Settled a second, lately. The partner's view only."})
    reasons = fields.List(fields.Nested(ReasonOut), metadata={"description": "The partner's view only."})
    waiting = fields.List(fields.Nested(WaitOut), metadata={"description": "The partner's view only."})
    provider_rests_until = fields.DateTime(
        allow_none=True, metadata={"description": "While the mail server takes no mail: when it is tried next."}
    )


class DeliveriesIn(Schema):
    status = fields.Enum(DeliveryStatus, by_value=True, load_default=None)
    search = fields.String(load_default="")
    after = fields.Integer(load_default=0, validate=validate.Range(min=0))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 500))


class DeliveryOut(Schema):
    id = fields.String()
    contact_id = fields.String()
    address = fields.String()
    status = fields.String()
    reason = fields.String(allow_none=True)
    code = fields.Integer(allow_none=True)
    attempts = fields.Integer()
    due_at = fields.DateTime()
    settled_at = fields.DateTime(allow_none=True)


class DeliveriesOut(Schema):
    items = fields.List(fields.Nested(DeliveryOut))
    next = fields.String(allow_none=True)


class LinkOut(Schema):
    number = fields.Integer()
    label = fields.String()
    url = fields.String(metadata={"description": "The tracked address in this mail."})
    destination = fields.String()


class MailOut(Schema):
    subject = fields.String()
    html = fields.String()
    text = fields.String()
    headers = fields.Dict(keys=fields.String(), values=fields.String())
    links = fields.List(fields.Nested(LinkOut))
    unsubscribe_url = fields.String()
    landing_url = fields.String(metadata={"description": "The landing page as a reader of this mail reaches it."})


def plain(schema: Schema, value: Any) -> dict[str, Any]:
    """What `schema` makes of `value`."""
    return dict(schema.dump(value))
