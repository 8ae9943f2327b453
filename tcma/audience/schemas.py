"""JSON shapes of contacts, lists and imports."""

from __future__ import annotations

from flask_smorest.fields import Upload
from marshmallow import Schema, fields, validate

from tcma.audience.states import ConsentBasis

Text = fields.String


class FileIn(Schema):
    file = Upload(required=True)


class ImportOut(Schema):
    id = fields.UUID()
    status = Text()
    filename = Text()
    columns = fields.List(Text())
    sample = fields.List(fields.List(Text()))
    mapping = fields.Dict(keys=Text(), values=fields.Integer())
    warnings = fields.List(Text())
    total_rows = fields.Integer(allow_none=True)
    done_rows = fields.Integer()
    created_count = fields.Integer()
    updated_count = fields.Integer()
    duplicate_count = fields.Integer()
    refused_count = fields.Integer()
    warning_count = fields.Integer()
    list_id = fields.UUID(allow_none=True)
    error = Text(allow_none=True)


class ImportRunIn(Schema):
    """`mapping` is field → column number from 0; `basis` the ground on which these people may be written to."""

    mapping = fields.Dict(keys=Text(), values=fields.Integer(), required=True)
    basis = fields.Enum(ConsentBasis, by_value=True, required=True)
    basis_source = Text(required=True)
    list_name = Text(load_default="")


class ImportRowOut(Schema):
    row_number = fields.Integer()
    verdict = Text()
    reasons = fields.List(fields.Dict(keys=Text()))
    cells = fields.List(Text())


class ImportRowPage(Schema):
    items = fields.List(fields.Nested(ImportRowOut))
    next = fields.Integer(allow_none=True)


class ContactFields(Schema):
    first_name = Text()
    last_name = Text()
    company = Text()
    job_title = Text()
    phone = Text()
    city = Text()
    country = Text()
    language = Text()


class ContactIn(ContactFields):
    email = Text(required=True)
    basis = fields.Enum(ConsentBasis, by_value=True, required=True)
    source = Text(required=True)
    list_ids = fields.List(fields.UUID(), load_default=[])


class ContactOut(ContactFields):
    id = fields.Integer()
    email = Text()
    no_tracking = fields.Boolean()
    created_at = fields.DateTime()


class ContactPageIn(Schema):
    search = Text(load_default="")
    list = fields.UUID(load_default=None, allow_none=True)
    after = fields.Integer(load_default=0, validate=validate.Range(0, 2**63 - 1))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 500))


class ContactPage(Schema):
    items = fields.List(fields.Nested(ContactOut))
    next = fields.Integer(allow_none=True)


class ListIn(Schema):
    name = Text(required=True)
    description = Text(load_default="")


class ListOut(Schema):
    id = fields.UUID()
    name = Text()
    contacts = fields.Integer()


class ListPage(Schema):
    items = fields.List(fields.Nested(ListOut))
