"""What operators do: look up an organization, close a scratch one, give it its people."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Kind, Permission
from tcma.accounts import services
from tcma.accounts.members import check_roles
from tcma.accounts.models import ApiKey, Invitation, Member, Organization, Partnership, User
from tcma.accounts.states import PartnershipStatus
from tcma.db import elevated
from tcma.errors import Forbidden, IllegalTransition, NotFound


def get_any_organization(session: Session, actor: Actor, organization_id: UUID) -> Organization:
    """The actor's own organization, or for an operator any vendor or partner. Raises NotFound."""
    if organization_id == actor.organization_id:
        return session.get_one(Organization, organization_id)
    found = None
    if actor.may(Permission.ORGANIZATION_PROVISION):
        with elevated(session, "an operator looks up an organization by id"):
            found = session.get(Organization, organization_id)
    if found is None or found.kind is Kind.PLATFORM:
        raise NotFound()
    return found


def provision_member(
    session: Session, actor: Actor, organization_id: UUID, *, email: str, roles: Collection[str], name: str = "",
    password: str | None = None,
) -> Member:  # fmt: skip
    """An operator adds people to a scratch organization, and to another one only its first.

    After that the organization's own administrators invite. Raises Forbidden, NotFound, Invalid.
    """
    actor.require(Permission.ORGANIZATION_PROVISION)
    organization = get_any_organization(session, actor, organization_id)
    chosen = check_roles(organization.kind, roles)
    with elevated(session, "an operator adds the first member of an organization"):
        taken = session.scalar(
            select(Member.id).where(Member.organization_id == organization_id, Member.removed_at.is_(None)).limit(1)
        )
    if taken and not organization.scratch:
        raise Forbidden("This organization has members. Its own administrators invite others.")
    if organization.purged_at:
        raise IllegalTransition("This organization is closed. Make a new one.")
    user = services.ensure_user(session, email=email, name=name, password=password)
    with elevated(session, "an operator adds the first member of an organization"):
        return services.add_member(session, actor, organization, user, roles=chosen)


def close_organization(session: Session, actor: Actor, organization_id: UUID) -> Organization:
    """Close a scratch organization for good: partnerships end, keys and invitations stop, members lose access.

    Users who belong nowhere else can sign in no more. Doing it twice is once. Raises Forbidden, NotFound.
    """
    actor.require(Permission.ORGANIZATION_PROVISION)
    organization = get_any_organization(session, actor, organization_id)
    if not organization.scratch:
        raise Forbidden("Only scratch organizations are closed this way.")
    if organization.purged_at is not None:
        return organization
    now = clock.now()
    with elevated(session, "an operator closes a scratch organization"):
        session.execute(select(Organization.id).where(Organization.id == organization_id).with_for_update())
        ended = session.scalars(
            select(Partnership)
            .where((Partnership.vendor_id == organization_id) | (Partnership.partner_id == organization_id))
            .order_by(Partnership.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        for partnership in ended:
            if partnership.status in (PartnershipStatus.APPLYING,):
                partnership.decline(by=actor, reason="The organization was closed.")
            elif partnership.status not in (PartnershipStatus.ENDED, PartnershipStatus.DECLINED):
                partnership.end(by=actor, reason="The organization was closed.")
        session.execute(
            update(ApiKey)
            .where(ApiKey.organization_id == organization_id, ApiKey.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        session.execute(
            update(Invitation)
            .where(
                Invitation.organization_id == organization_id,
                Invitation.accepted_at.is_(None),
                Invitation.revoked_at.is_(None),
            )
            .values(revoked_at=now)
        )
        people = set(
            session.scalars(
                update(Member)
                .where(Member.organization_id == organization_id, Member.removed_at.is_(None))
                .values(removed_at=now)
                .returning(Member.user_id)
            )
        )
        elsewhere = set(
            session.scalars(select(Member.user_id).where(Member.user_id.in_(people), Member.removed_at.is_(None)))
        )
        session.execute(update(User).where(User.id.in_(people - elsewhere)).values(active=False))
        organization.purged_at = now
        audit.record(session, actor, "organization.close", organization)
        session.flush()
    return organization
