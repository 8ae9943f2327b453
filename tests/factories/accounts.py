"""Invitations, terms and partners in all their states, for any test."""

from __future__ import annotations

import secrets
from uuid import UUID

from tcma.access import Actor, Kind, Role
from tcma.accounts import invitations, onboarding, services
from tcma.accounts.states import PartnershipStatus
from tcma.db import unit_of_work
from tests.factories.cast import make_member, make_organization

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
