"""JSON shapes of accounts."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from tcma.access import Kind, Role
from tcma.accounts.states import PartnershipStatus

KINDS = [str(Kind.VENDOR), str(Kind.PARTNER)]


class OrganizationIn(Schema):
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    name = fields.String(required=True, validate=validate.Length(1, 120))
    country = fields.String(load_default="", validate=validate.Regexp(r"^([A-Z]{2})?$"))
    currency = fields.String(load_default="EUR", validate=validate.Regexp(r"^[A-Z]{3}$"))
    timezone = fields.String(load_default="UTC")
    color = fields.String(load_default="#2f5fd0", validate=validate.Regexp(r"^#[0-9a-fA-F]{6}$"))
    scratch = fields.Boolean(load_default=False, metadata={"description": "For trying out; may be closed again."})


class OrganizationOut(Schema):
    id = fields.UUID()
    kind = fields.String()
    name = fields.String()
    slug = fields.String()
    legal_name = fields.String()
    country = fields.String()
    currency = fields.String()
    timezone = fields.String()
    color = fields.String()
    scratch = fields.Boolean()
    closed_at = fields.DateTime(attribute="purged_at", allow_none=True)


class MemberIn(Schema):
    email = fields.String(required=True, validate=validate.Length(3, 254))
    name = fields.String(load_default="", validate=validate.Length(max=120))
    roles = fields.List(fields.String(validate=validate.OneOf([str(one) for one in Role])), required=True)
    password = fields.String(load_default=None, allow_none=True, load_only=True, validate=validate.Length(10, 200))


class MemberOut(Schema):
    id = fields.UUID()
    organization_id = fields.UUID()
    user_id = fields.UUID()
    email = fields.String(attribute="user.email")
    name = fields.String(attribute="user.name")
    roles = fields.List(fields.String())
    joined_at = fields.DateTime()


class KeyIn(Schema):
    name = fields.String(required=True, validate=validate.Length(1, 80))
    scopes = fields.List(fields.String(), load_default=list)
    expires_at = fields.AwareDateTime(load_default=None, allow_none=True)


class MemberKeyIn(KeyIn):
    user_id = fields.UUID(required=True)


class KeyOut(Schema):
    id = fields.UUID()
    organization_id = fields.UUID()
    user_id = fields.UUID()
    name = fields.String()
    prefix = fields.String()
    scopes = fields.List(fields.String())
    created_at = fields.DateTime()
    last_used_at = fields.DateTime(allow_none=True)
    expires_at = fields.DateTime(allow_none=True)
    revoked_at = fields.DateTime(allow_none=True)


class NewKeyOut(KeyOut):
    key = fields.String(metadata={"description": "The secret; this is the only time it is shown."})


class KeysOut(Schema):
    items = fields.List(fields.Nested(KeyOut))
    next = fields.String(allow_none=True)


class PartnershipIn(Schema):
    vendor_id = fields.UUID(required=True)
    partner_id = fields.UUID(required=True)
    tier = fields.String(load_default="Registered", validate=validate.Length(1, 40))
    territory = fields.String(load_default="", validate=validate.Length(max=80))


class PartnershipChange(Schema):
    tier = fields.String(validate=validate.Length(1, 40))
    territory = fields.String(validate=validate.Length(max=80))


class ReasonIn(Schema):
    reason = fields.String(required=True, validate=validate.Length(1, 500))


class PartnershipOut(Schema):
    id = fields.UUID()
    vendor_id = fields.UUID()
    vendor = fields.String(attribute="vendor.name")
    partner_id = fields.UUID()
    partner = fields.String(attribute="partner.name")
    status = fields.String()
    tier = fields.String()
    territory = fields.String()
    invited_at = fields.DateTime(allow_none=True)
    applied_at = fields.DateTime(allow_none=True)
    activated_at = fields.DateTime(allow_none=True)
    first_signed_in_at = fields.DateTime(allow_none=True)
    terms_accepted_at = fields.DateTime(allow_none=True)
    profile_completed_at = fields.DateTime(allow_none=True)
    first_launch_at = fields.DateTime(allow_none=True)
    last_active_at = fields.DateTime(allow_none=True)


class PartnershipsOut(Schema):
    items = fields.List(fields.Nested(PartnershipOut))
    next = fields.String(allow_none=True)


class PartnershipsQuery(Schema):
    q = fields.String(load_default="")
    status = fields.Enum(PartnershipStatus, by_value=True, load_default=None)
    after = fields.String(load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class InvitationIn(Schema):
    company = fields.String(required=True, validate=validate.Length(1, 120))
    email = fields.String(required=True, validate=validate.Length(3, 254))
    name = fields.String(load_default="", validate=validate.Length(max=120))
    tier = fields.String(load_default="Registered", validate=validate.Length(1, 40))
    territory = fields.String(load_default="", validate=validate.Length(max=80))


class InvitationOut(Schema):
    id = fields.UUID()
    kind = fields.String()
    company = fields.String()
    email = fields.String()
    tier = fields.String()
    territory = fields.String()
    expires_at = fields.DateTime()


class TermsIn(Schema):
    body = fields.String(required=True)
    effective_on = fields.Date(load_default=None, allow_none=True)


class TermsOut(Schema):
    id = fields.UUID()
    vendor_id = fields.UUID()
    number = fields.Integer()
    body = fields.String()
    effective_on = fields.Date(allow_none=True)
    created_at = fields.DateTime()


class TermsQuery(Schema):
    vendor_id = fields.UUID(load_default=None)


class AcceptIn(Schema):
    vendor_id = fields.UUID(required=True)
    terms_version_id = fields.UUID(required=True)


class MeOut(Schema):
    user_id = fields.UUID(allow_none=True)
    name = fields.String()
    email = fields.String()
    organization_id = fields.UUID()
    organization = fields.String(attribute="organization_name")
    kind = fields.String()
    roles = fields.Function(lambda actor: sorted(str(role) for role in actor.roles))
    permissions = fields.Function(lambda actor: sorted(str(one) for one in actor.permissions))
