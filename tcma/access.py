"""Who acts and what they may do: roles, permissions and the actor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from tcma.errors import Forbidden


class Kind(StrEnum):
    """What an organization is."""

    VENDOR = "vendor"
    PARTNER = "partner"
    PLATFORM = "platform"


class Role(StrEnum):
    """A member's duty in an organization."""

    VENDOR_ADMIN = "vendor_admin"
    VENDOR_MARKETER = "vendor_marketer"
    CHANNEL_MANAGER = "channel_manager"
    FINANCE = "finance"
    PARTNER_ADMIN = "partner_admin"
    PARTNER_MARKETER = "partner_marketer"
    OPERATOR = "operator"


class Permission(StrEnum):
    """scope:resource:action; a service asks for one at its top."""

    MEMBER_READ = "accounts:member:read"
    MEMBER_MANAGE = "accounts:member:manage"
    APIKEY_MANAGE = "accounts:apikey:manage"
    PARTNER_READ = "accounts:partner:read"
    PARTNER_MANAGE = "accounts:partner:manage"
    TERMS_MANAGE = "accounts:terms:manage"
    TERMS_ACCEPT = "accounts:terms:accept"
    ORGANIZATION_PROVISION = "accounts:organization:provision"
    AUDIT_READ = "audit:event:read"
    KIT_READ = "assets:kit:read"
    KIT_MANAGE = "assets:kit:manage"
    BRAND_READ = "assets:brand:read"
    BRAND_MANAGE = "assets:brand:manage"
    COBRAND_MAKE = "assets:cobrand:make"
    CONTACT_READ = "audience:contact:read"
    CONTACT_MANAGE = "audience:contact:manage"
    CONTACT_ERASE = "audience:contact:erase"
    CAMPAIGN_READ = "campaigns:campaign:read"
    CAMPAIGN_MANAGE = "campaigns:campaign:manage"
    CAMPAIGN_PUBLISH = "campaigns:campaign:publish"
    LAUNCH_READ = "campaigns:launch:read"
    LAUNCH_MANAGE = "campaigns:launch:manage"
    LAUNCH_START = "delivery:launch:start"
    SENDER_READ = "delivery:sender:read"
    SENDER_MANAGE = "delivery:sender:manage"
    LEAD_READ = "leads:lead:read"
    LEAD_WORK = "leads:lead:work"
    LEAD_SHARE = "leads:lead:share"
    PROGRAMME_READ = "mdf:programme:read"
    PROGRAMME_MANAGE = "mdf:programme:manage"
    FUND_MANAGE = "mdf:fund:manage"
    REQUEST_READ = "mdf:request:read"
    REQUEST_RAISE = "mdf:request:raise"
    REQUEST_APPROVE = "mdf:request:approve"
    CLAIM_READ = "mdf:claim:read"
    CLAIM_RAISE = "mdf:claim:raise"
    CLAIM_APPROVE = "mdf:claim:approve"
    PAYMENT_MAKE = "mdf:payment:make"
    PAYMENT_CHECK = "mdf:payment:check"
    PAYEE_MANAGE = "mdf:payee:manage"
    INSIGHT_READ = "insights:insight:read"
    PARTNER_NUDGE = "insights:partner:nudge"
    SERVICE_OPERATE = "service:service:operate"


P = Permission
_VENDOR_READS = {
    P.MEMBER_READ, P.PARTNER_READ, P.KIT_READ, P.BRAND_READ, P.CAMPAIGN_READ, P.LAUNCH_READ, P.LEAD_READ,
    P.PROGRAMME_READ, P.REQUEST_READ, P.CLAIM_READ, P.INSIGHT_READ,
}  # fmt: skip
_PARTNER_READS = {
    P.MEMBER_READ, P.KIT_READ, P.BRAND_READ, P.CAMPAIGN_READ, P.CONTACT_READ, P.LAUNCH_READ, P.LEAD_READ,
    P.PROGRAMME_READ, P.REQUEST_READ, P.CLAIM_READ, P.INSIGHT_READ, P.SENDER_READ,
}  # fmt: skip
_PARTNER_WORK = {
    P.TERMS_ACCEPT, P.BRAND_MANAGE, P.COBRAND_MAKE, P.CONTACT_MANAGE, P.CONTACT_ERASE, P.LAUNCH_MANAGE,
    P.LAUNCH_START, P.LEAD_WORK, P.LEAD_SHARE, P.REQUEST_RAISE, P.CLAIM_RAISE,
}  # fmt: skip

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VENDOR_ADMIN: frozenset(
        _VENDOR_READS
        | {
            P.MEMBER_MANAGE, P.APIKEY_MANAGE, P.PARTNER_MANAGE, P.TERMS_MANAGE, P.AUDIT_READ, P.KIT_MANAGE,
            P.CAMPAIGN_MANAGE, P.CAMPAIGN_PUBLISH, P.PROGRAMME_MANAGE, P.FUND_MANAGE, P.PARTNER_NUDGE,
        }
    ),
    Role.VENDOR_MARKETER: frozenset(_VENDOR_READS | {P.KIT_MANAGE, P.CAMPAIGN_MANAGE, P.CAMPAIGN_PUBLISH, P.PARTNER_NUDGE}),
    Role.CHANNEL_MANAGER: frozenset(
        _VENDOR_READS | {P.PARTNER_MANAGE, P.REQUEST_APPROVE, P.PARTNER_NUDGE, P.PROGRAMME_MANAGE}
    ),
    Role.FINANCE: frozenset(
        _VENDOR_READS
        | {
            P.AUDIT_READ, P.PROGRAMME_MANAGE, P.FUND_MANAGE, P.REQUEST_APPROVE, P.CLAIM_APPROVE, P.PAYMENT_MAKE,
            P.PAYMENT_CHECK,
        }
    ),
    Role.PARTNER_ADMIN: frozenset(
        _PARTNER_READS | _PARTNER_WORK | {P.MEMBER_MANAGE, P.APIKEY_MANAGE, P.PAYEE_MANAGE, P.AUDIT_READ, P.SENDER_MANAGE}
    ),
    Role.PARTNER_MARKETER: frozenset(_PARTNER_READS | _PARTNER_WORK),
    Role.OPERATOR: frozenset({P.SERVICE_OPERATE, P.ORGANIZATION_PROVISION, P.APIKEY_MANAGE, P.MEMBER_READ}),
}  # fmt: skip

ROLES_OF_KIND: dict[Kind, tuple[Role, ...]] = {
    Kind.VENDOR: (Role.VENDOR_ADMIN, Role.VENDOR_MARKETER, Role.CHANNEL_MANAGER, Role.FINANCE),
    Kind.PARTNER: (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER),
    Kind.PLATFORM: (Role.OPERATOR,),
}


@dataclass(frozen=True)
class Actor:
    """A user acting for one organization, or the service acting for a row's owner (`user_id` is None)."""

    organization_id: UUID
    kind: Kind
    user_id: UUID | None = None
    roles: frozenset[Role] = frozenset()
    permissions: frozenset[Permission] = field(default=frozenset())
    name: str = ""
    email: str = ""
    organization_name: str = ""
    locale: str = "en"
    timezone: str = "UTC"
    api_key_id: UUID | None = None

    @classmethod
    def system(cls, organization_id: UUID, kind: Kind) -> Actor:
        """The service itself, acting for the owner of a row; it holds every permission of that kind."""
        everything = frozenset().union(*(ROLE_PERMISSIONS[role] for role in ROLES_OF_KIND[kind]))
        return cls(organization_id=organization_id, kind=kind, permissions=everything, name="The service")

    @property
    def is_vendor(self) -> bool:
        return self.kind is Kind.VENDOR

    @property
    def is_partner(self) -> bool:
        return self.kind is Kind.PARTNER

    @property
    def is_system(self) -> bool:
        return self.user_id is None

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless this actor holds `permission`."""
        if permission not in self.permissions:
            raise Forbidden()

    def require_kind(self, kind: Kind) -> None:
        if self.kind is not kind:
            raise Forbidden(f"Only a {kind} can do this.")


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """All that `roles` include."""
    return frozenset().union(*(ROLE_PERMISSIONS[role] for role in roles))
