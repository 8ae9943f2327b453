"""Reads of accounts, scoped to the session's tenant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from tcma import clock
from tcma.access import Actor, Kind, Role, permissions_of
from tcma.accounts.models import ApiKey, Member, Organization, Partnership, User
from tcma.accounts.states import PartnershipStatus
from tcma.db import elevated
from tcma.errors import NotFound


@dataclass(frozen=True)
class Choice:
    """One organization that a user may act for."""

    id: UUID
    name: str
    kind: Kind
    current: bool = False


def memberships(session: Session, user_id: UUID) -> list[Member]:
    """The user's own live memberships; readable without an organization, for policies let users see their own."""
    statement = (
        select(Member)
        .join(Member.organization)
        .options(joinedload(Member.organization))
        .where(Member.user_id == user_id, Member.removed_at.is_(None), Organization.purged_at.is_(None))
        .order_by(Organization.name)
    )
    return list(session.scalars(statement))


def actor_of(member: Member, user: User, *, api_key: ApiKey | None = None) -> Actor:
    """The actor of one membership; an API key narrows it to the key's scopes."""
    permissions = permissions_of(member.role_set)
    if api_key is not None and api_key.scopes:
        permissions = frozenset(one for one in permissions if one in api_key.scopes)
    return Actor(
        organization_id=member.organization_id,
        kind=member.organization.kind,
        user_id=user.id,
        roles=member.role_set,
        permissions=permissions,
        name=user.name or user.email,
        email=user.email,
        organization_name=member.organization.name,
        locale=user.locale,
        timezone=user.timezone,
        api_key_id=api_key.id if api_key else None,
    )


def find_actor_of_key(session: Session, presented: str) -> Actor | None:
    """The actor of a bearer key, or None for one that is unknown, revoked or expired."""
    digest = hashlib.sha256(presented.encode()).digest()
    with elevated(session, "an API key names its tenant"):
        key = session.scalar(select(ApiKey).where(ApiKey.key_hash == digest))
        now = clock.now()
        if key is None or key.revoked_at or (key.expires_at and key.expires_at <= now):
            return None
        member = session.scalar(
            select(Member)
            .options(joinedload(Member.organization), joinedload(Member.user))
            .where(
                Member.organization_id == key.organization_id,
                Member.user_id == key.user_id,
                Member.removed_at.is_(None),
            )
        )
        if member is None or not member.user.active or member.organization.purged_at:
            return None
        return actor_of(member, member.user, api_key=key)


def get_organization(session: Session, organization_id: UUID) -> Organization:
    found = session.get(Organization, organization_id)
    if found is None:
        raise NotFound()
    return found


def get_partnership(session: Session, actor: Actor, other_id: UUID, *, lock: bool = False) -> Partnership:
    """The partnership between the actor's organization and `other_id`, or NotFound."""
    mine, other = (Partnership.vendor_id, Partnership.partner_id)
    if actor.is_partner:
        mine, other = other, mine
    statement = (
        select(Partnership)
        .options(joinedload(Partnership.vendor), joinedload(Partnership.partner))
        .where(mine == actor.organization_id, other == other_id)
    )
    if lock:
        # What was read before the lock may have changed: the locked row is read anew.
        statement = statement.with_for_update(of=Partnership).execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_partnerships(session: Session, actor: Actor, *, status: PartnershipStatus | None = None) -> list[Partnership]:
    """All partnerships of the actor's organization with both organizations, by the other's name."""
    mine = Partnership.partner_id if actor.is_partner else Partnership.vendor_id
    other = Partnership.vendor if actor.is_partner else Partnership.partner
    statement = (
        select(Partnership)
        .join(other)
        .options(joinedload(Partnership.vendor), joinedload(Partnership.partner))
        .where(mine == actor.organization_id)
        .order_by(Organization.name)
    )
    if status is not None:
        statement = statement.where(Partnership.status == status)
    return list(session.scalars(statement))


class PartnerName(NamedTuple):
    """A partner to choose from, without the rest of its row."""

    partner_id: UUID
    name: str
    tier: str


def active_partners(session: Session, actor: Actor, *, limit: int | None = None) -> list[PartnerName]:
    """Whom a vendor may choose: partners with an active partnership, by name."""
    statement = (
        select(Partnership.partner_id, Organization.name, Partnership.tier)
        .join(Organization, Organization.id == Partnership.partner_id)
        .where(Partnership.vendor_id == actor.organization_id, Partnership.status == PartnershipStatus.ACTIVE)
        .order_by(Organization.name)
        .limit(limit)
    )
    return [PartnerName(*row) for row in session.execute(statement)]


def find_partners(session: Session, actor: Actor, words: str, *, limit: int) -> list[PartnerName]:
    """A vendor's partners, in whatever state, with these words in their name, by name."""
    statement = (
        select(Partnership.partner_id, Organization.name, Partnership.tier)
        .join(Organization, Organization.id == Partnership.partner_id)
        .where(Partnership.vendor_id == actor.organization_id, Organization.name.icontains(words, autoescape=True))
        .order_by(Organization.name)
        .limit(limit)
    )
    return [PartnerName(*row) for row in session.execute(statement)]


def organization_names(session: Session, organization_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Names of those of these organizations that the session's tenant may see."""
    statement = select(Organization.id, Organization.name).where(Organization.id.in_(set(organization_ids)))
    return {row[0]: row[1] for row in session.execute(statement)}


def active_vendor_ids(session: Session, actor: Actor) -> list[UUID]:
    """The vendors with whom this partner's partnership is active."""
    statement = select(Partnership.vendor_id).where(
        Partnership.partner_id == actor.organization_id, Partnership.status == PartnershipStatus.ACTIVE
    )
    return list(session.scalars(statement))


def list_members(session: Session, actor: Actor) -> list[Member]:
    statement = (
        select(Member)
        .options(joinedload(Member.user))
        .where(Member.organization_id == actor.organization_id, Member.removed_at.is_(None))
        .order_by(Member.joined_at)
    )
    return list(session.scalars(statement))


def members_with_role(session: Session, organization_id: UUID, *roles: Role) -> list[Member]:
    """Members of an organization to be told about something; needs a session that may see them."""
    statement = (
        select(Member)
        .options(joinedload(Member.user))
        .where(
            Member.organization_id == organization_id,
            Member.removed_at.is_(None),
            Member.roles.overlap([str(role) for role in roles]),
        )
        .order_by(Member.joined_at)
    )
    return list(session.scalars(statement))
