"""JSON shapes of kits, assets and brand profiles."""

from __future__ import annotations

from flask_smorest.fields import Upload
from marshmallow import Schema, fields, validate

Text = fields.String


class FileIn(Schema):
    file = Upload(required=True)


class ZonesIn(Schema):
    """`zones` is JSON text: a list of {page, x, y, width, height, kind, align, ink}, shares of the page, 0 to 1."""

    zones = Text(load_default="[]")
    name = Text(load_default="")


class KitIn(Schema):
    name = Text(required=True, validate=validate.Length(1, 120))
    description = Text(load_default="")
    begins_on = fields.Date(load_default=None, allow_none=True)
    ends_on = fields.Date(load_default=None, allow_none=True)


class AssetVersionOut(Schema):
    id = fields.UUID()
    number = fields.Integer()
    filename = Text()
    content_type = Text()
    size = fields.Integer()
    sha256 = Text()
    pages = fields.Integer()
    width = fields.Integer()
    height = fields.Integer()
    zones = fields.List(fields.Dict())


class AssetOut(Schema):
    id = fields.UUID()
    name = Text()
    kind = Text()
    version = fields.Nested(AssetVersionOut, attribute="current")


class KitOut(Schema):
    id = fields.UUID()
    vendor_id = fields.UUID()
    name = Text()
    description = Text()
    status = Text()
    begins_on = fields.Date(allow_none=True)
    ends_on = fields.Date(allow_none=True)
    assets = fields.List(fields.Nested(AssetOut), attribute="present_assets")


class KitPage(Schema):
    items = fields.List(fields.Nested(KitOut))
    next = Text(allow_none=True)


class PartnersIn(Schema):
    """`partner_ids` null: all active partners, also those to come."""

    partner_ids = fields.List(fields.UUID(), allow_none=True, load_default=None)


class BrandIn(Schema):
    name = Text()
    legal_name = Text()
    postal_address = Text()
    country = Text()
    phone = Text()
    email = Text()
    website = Text()
    privacy_url = Text()
    color = Text()
    accent_color = Text()
    sender_name = Text()
    reply_to = Text()


class BrandOut(BrandIn):
    logo_sha256 = Text(allow_none=True)
    logo_width = fields.Integer(allow_none=True)
    logo_height = fields.Integer(allow_none=True)


class LogoOut(Schema):
    width = fields.Integer()
    height = fields.Integer()
    sha256 = Text()
    colors = fields.List(Text())
    advice = Text(allow_none=True)
