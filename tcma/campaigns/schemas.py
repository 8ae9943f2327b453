"""JSON shapes of campaigns and launches."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tcma.campaigns.launches import landing_url

Text = fields.String


class CampaignIn(Schema):
    """What a draft may hold; `slots` as in DESIGN section 5, `landing` the texts and fields of the landing page."""

    name = Text(required=True, validate=validate.Length(1, 120))
    goal = Text()
    summary = Text()
    subject = Text()
    preheader = Text()
    mjml = Text()
    slots = fields.List(fields.Dict(keys=Text()))
    landing = fields.Dict(keys=Text())
    effort_minutes = fields.Integer()
    begins_on = fields.Date(allow_none=True)
    ends_on = fields.Date(allow_none=True)


class CampaignPatch(CampaignIn):
    name = Text(validate=validate.Length(1, 120))


class CampaignOut(CampaignIn):
    id = fields.UUID()
    vendor_id = fields.UUID()
    status = Text()
    current_version_id = fields.UUID(allow_none=True)
    published_at = fields.DateTime(allow_none=True)


class CataloguedOut(Schema):
    id = fields.UUID()
    vendor_id = fields.UUID()
    name = Text()
    goal = Text()
    summary = Text()
    effort_minutes = fields.Integer()
    ends_on = fields.Date(allow_none=True)
    current_version_id = fields.UUID()


class CampaignPage(Schema):
    items = fields.List(fields.Nested(CampaignOut))
    next = Text(allow_none=True)


class CataloguePage(Schema):
    items = fields.List(fields.Nested(CataloguedOut))
    next = Text(allow_none=True)


class StarterOut(Schema):
    key = Text()
    name = Text()
    goal = Text()
    summary = Text()
    subject = Text()
    preheader = Text()
    mjml = Text()
    slots = fields.List(fields.Dict(keys=Text()))
    landing = fields.Dict(keys=Text())


class StarterPage(Schema):
    items = fields.List(fields.Nested(StarterOut))


class ProblemOut(Schema):
    line = fields.Integer(allow_none=True)
    column = fields.Integer(allow_none=True)
    what = Text()
    mend = Text()
    severity = Text()


class ProblemsOut(Schema):
    problems = fields.List(fields.Nested(ProblemOut))


class PublicationIn(Schema):
    """`partner_ids` null: all active partners, also those to come."""

    partner_ids = fields.List(fields.UUID(), allow_none=True, load_default=None)
    note = Text(load_default="")


class VersionOut(Schema):
    version_id = fields.UUID(attribute="id")
    number = fields.Integer()
    content_sha256 = Text()
    published_at = fields.DateTime()


class ReasonIn(Schema):
    reason = Text(required=True)


class LaunchIn(Schema):
    campaign_id = fields.UUID(required=True)
    name = Text(load_default=None, allow_none=True)


class LaunchPatch(Schema):
    name = Text()
    slots = fields.Dict(keys=Text(), values=Text())
    lists = fields.List(fields.UUID())
    exclude_lists = fields.List(fields.UUID())


class LaunchOut(Schema):
    id = fields.UUID()
    vendor_id = fields.UUID()
    partner_id = fields.UUID()
    campaign_id = fields.UUID()
    campaign_version_id = fields.UUID()
    name = Text()
    status = Text()
    slots = fields.Dict(keys=Text())
    audience = fields.Dict(keys=Text())
    landing_url = fields.Function(landing_url)
    scheduled_at = fields.DateTime(allow_none=True)
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)


class LaunchPage(Schema):
    items = fields.List(fields.Nested(LaunchOut))
    next = Text(allow_none=True)


class PreviewIn(Schema):
    contact_id = fields.Integer(load_default=None, allow_none=True)


class PreviewOut(Schema):
    subject = Text()
    html = Text()
    text = Text()


class PageIn(Schema):
    """Where a keyset page begins: the `next` of the page before."""

    before = fields.UUID(load_default=None, allow_none=True)
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    search = Text(load_default="")
    status = Text(load_default=None, allow_none=True)
