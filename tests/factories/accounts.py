"""Invitations, terms and partners in all their states, for any test."""

from __future__ import annotations

import secrets
from uuid import UUID

from tcma.access import Actor, Kind, Role
from tcma.accounts import invitations, keys, onboarding, queries, services
from tcma.accounts.states import PartnershipStatus
from tcma.db import unit_of_work
from tests.factories.cast import Cast, make_member, make_organization
from tests.factories.objects import Known

TERMS = "1. Write only to people who agreed to hear from you.\n\n2. Claim within 30 days."


def publish_terms(vendor: Actor, body: str = TERMS) -> UUID:
    """The id of a new version of the vendor's terms."""
    with unit_of_work(vendor) as session:
        return onboarding.publish_terms(session, vendor, body=body).id


def invite_partner(vendor: Actor, *, email: str | None = None, company: str = "Lumen Partners") -> tuple[UUID, str]:
    """The id of an open invitation and the token of its link."""
    address = email or f"ines-{secrets.token_hex(4)}@example.com"
    with unit_of_work(vendor) as session:
        row, token = invitations.invite_partner(session, vendor, company=company, email=address, name="Ines Costa")
        return row.id, token


def partner_in(operator: Actor, vendor_id: UUID, status: PartnershipStatus, name: str = "Newcomer") -> Actor:
    """The administrator of a new partner whose partnership with the vendor is invited or applying."""
    partner = make_organization(operator, Kind.PARTNER, name)
    admin = make_member(operator, partner, f"{name} Admin", Role.PARTNER_ADMIN)
    with unit_of_work(operator) as session:
        services.start_partnership(session, operator, vendor_id=vendor_id, partner_id=partner.id, status=status)
    return admin


def _key(cast: Cast) -> Known:
    with unit_of_work(cast.partner_admin) as session:
        row, _ = keys.make_key(session, cast.partner_admin, name="Marked key")
        return Known(row.id, parties={cast.partner_id}, marks=("Marked key",))


def _member(cast: Cast) -> Known:
    with unit_of_work(cast.partner_admin) as session:
        rows = queries.list_members(session, cast.partner_admin)
        found = next(one for one in rows if one.user_id == cast.partner_marketer.user_id)
        return Known(found.id, parties={cast.partner_id}, marks=(cast.partner_marketer.email,))


def _invitation(cast: Cast) -> Known:
    found, _ = invite_partner(cast.vendor_admin, company="Marked Company")
    return Known(found, parties={cast.vendor_id}, marks=("Marked Company",))


OBJECTS = {
    "key_id": _key,
    "member_id": _member,
    "invitation_id": _invitation,
    "partner_id": lambda cast: Known(cast.rival_id, parties={cast.vendor_id, cast.rival_id}, marks=("Rival Systems",)),
    "other_id": lambda cast: Known(cast.rival_id, parties={cast.vendor_id, cast.rival_id}, marks=("Rival Systems",)),
    "organization_id": lambda cast: Known(
        cast.partner_id, parties={cast.partner_id, cast.operator.organization_id}, marks=("Acme IT",)
    ),
}
