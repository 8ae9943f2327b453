"""Members of one organization: roles and leaving."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from tcma import audit, clock
from tcma.access import ROLES_OF_KIND, Actor, Kind, Permission, Role
from tcma.accounts import keys
from tcma.accounts.models import Member
from tcma.errors import Invalid, NotFound

ADMIN_OF_KIND = {
    Kind.VENDOR: Role.VENDOR_ADMIN, Kind.PARTNER: Role.PARTNER_ADMIN, Kind.PLATFORM: Role.OPERATOR,
}  # fmt: skip


def check_roles(kind: Kind, roles: Collection[str]) -> set[Role]:
    """`roles` as roles of that kind of organization. Raises Invalid for none and for others."""
    fitting = ROLES_OF_KIND[kind]
    wrong = [role for role in roles if role not in fitting]
    if wrong or not roles:
        raise Invalid({"roles": f"Choose at least one role of a {kind}: {', '.join(fitting)}."})
    return {Role(role) for role in roles}


def get_member(session: Session, actor: Actor, member_id: UUID) -> Member:
    found = session.scalar(
        select(Member)
        .options(joinedload(Member.user))
        .where(
            Member.id == member_id,
            Member.organization_id == actor.organization_id,
            Member.removed_at.is_(None),
        )
    )
    if found is None:
        raise NotFound()
    return found


def change_roles(session: Session, actor: Actor, member_id: UUID, *, roles: Collection[str]) -> Member:
    """Give a member exactly `roles`. Raises Forbidden, NotFound, Invalid; the last administrator stays one."""
    actor.require(Permission.MEMBER_MANAGE)
    chosen = check_roles(actor.kind, roles)
    admins = _lock_admins(session, actor)
    member = get_member(session, actor, member_id)
    if ADMIN_OF_KIND[actor.kind] not in chosen:
        _refuse_last_admin(admins, member, field="roles")
    before, member.roles = member.roles, sorted(str(role) for role in chosen)
    if before != member.roles:
        audit.record(
            session, actor, "member.change_roles", member,
            before={"roles": " ".join(before)}, after={"roles": " ".join(member.roles)},
        )  # fmt: skip
    return member


def remove_member(session: Session, actor: Actor, member_id: UUID) -> Member:
    """Take a member out at once, with all their keys here; what they did stays. Raises as `change_roles`."""
    actor.require(Permission.MEMBER_MANAGE)
    admins = _lock_admins(session, actor)
    member = get_member(session, actor, member_id)
    _refuse_last_admin(admins, member, field="")
    member.removed_at = clock.now()
    keys.revoke_keys_of(session, actor.organization_id, member.user_id)
    audit.record(session, actor, "member.remove", member, before={"roles": " ".join(member.roles)})
    return member


def _lock_admins(session: Session, actor: Actor) -> set[UUID]:
    """The administrators, locked: two of them who remove each other at once leave one."""
    statement = (
        select(Member.id)
        .where(
            Member.organization_id == actor.organization_id,
            Member.removed_at.is_(None),
            Member.roles.contains([str(ADMIN_OF_KIND[actor.kind])]),
        )
        .order_by(Member.id)
        .with_for_update()
    )
    return set(session.scalars(statement))


def _refuse_last_admin(admins: set[UUID], member: Member, *, field: str) -> None:
    if admins == {member.id}:
        raise Invalid(
            {field: "This is the only administrator. Make another member administrator first, then try again."}
        )
