"""API keys: made, listed and revoked. A key never opens more than its member may do."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from tcma import audit, clock
from tcma.access import Actor, Permission, permissions_of
from tcma.accounts import tokens
from tcma.accounts.models import ApiKey, Member, Organization
from tcma.db import elevated
from tcma.errors import Forbidden, Invalid, NotFound

MOST_KEYS = 50


def make_key(
    session: Session,
    actor: Actor,
    *,
    name: str,
    scopes: Collection[str] = (),
    user_id: UUID | None = None,
    organization_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and the secret, which is never seen again. Without `scopes` it may all that its member may.

    People make keys for themselves. An operator makes them for members of scratch organizations only, so that
    no operator reaches a tenant's data this way. Raises Forbidden, NotFound, Invalid.
    """
    actor.require(Permission.APIKEY_MANAGE)
    own = organization_id is None or organization_id == actor.organization_id
    owner_id = actor.organization_id if organization_id is None else organization_id
    if own:
        if user_id is not None and user_id != actor.user_id:
            raise Forbidden("A key acts as its owner, so everybody makes their own.")
        user_id = actor.user_id
    else:
        actor.require(Permission.ORGANIZATION_PROVISION)
    if user_id is None:
        raise Invalid({"user_id": "Say whose key it is."})
    member = _member(session, actor, owner_id, user_id, own=own)
    may = actor.permissions if own else permissions_of(member.role_set)
    chosen = sorted(set(scopes))
    if own and actor.api_key_id and not chosen:
        chosen = sorted(may)  # a key makes no key that may more than itself
    _check(name, chosen, may, expires_at)
    secret = tokens.new_key()
    key = ApiKey(
        organization_id=owner_id, user_id=user_id, name=name.strip(), prefix=secret[:12],
        key_hash=tokens.digest(secret), scopes=[str(scope) for scope in chosen], expires_at=expires_at,
    )  # fmt: skip
    if own:
        _check_count(session, owner_id)
        session.add(key)
        session.flush()
    else:
        with elevated(session, "an operator makes a key of a scratch organization"):
            session.add(key)
            session.flush()
    audit.record(session, actor, "api_key.make", key, after={"prefix": key.prefix, "scopes": " ".join(key.scopes)})
    return key, secret


def _member(session: Session, actor: Actor, organization_id: UUID, user_id: UUID, *, own: bool) -> Member:
    statement = (
        select(Member)
        .options(joinedload(Member.organization))
        .where(Member.organization_id == organization_id, Member.user_id == user_id, Member.removed_at.is_(None))
    )
    if own:
        member = session.scalar(statement)
    else:
        with elevated(session, "an operator makes a key of a scratch organization"):
            member = session.scalar(statement)
    if member is None:
        raise NotFound("There is no such member. Add the person to the organization first.")
    organization: Organization = member.organization
    if not own and not organization.scratch:
        raise Forbidden("Operators make keys for members of scratch organizations only.")
    return member


def _check(name: str, scopes: list[str], may: Collection[Permission], expires_at: datetime | None) -> None:
    problems: dict[str, str] = {}
    if not name.strip() or len(name) > 80:
        problems["name"] = "Name the key after what uses it, at most 80 characters."
    known = set(Permission)
    unknown = [scope for scope in scopes if scope not in known]
    beyond = [scope for scope in scopes if scope in known and scope not in may]
    if unknown:
        problems["scopes"] = f"There is no scope {unknown[0]}."
    elif beyond:
        problems["scopes"] = f"A key cannot hold {beyond[0]}, for its owner does not. Leave it out."
    if expires_at is not None and expires_at <= clock.now():
        problems["expires_at"] = "Choose a moment in the future, or leave it empty."
    if problems:
        raise Invalid(problems)


def _check_count(session: Session, organization_id: UUID) -> None:
    statement = select(ApiKey.id).where(ApiKey.organization_id == organization_id, ApiKey.revoked_at.is_(None))
    if len(list(session.scalars(statement.limit(MOST_KEYS)))) == MOST_KEYS:
        raise Invalid(f"An organization has at most {MOST_KEYS} keys in use. Revoke one that nothing uses.")


def revoke_key(session: Session, actor: Actor, key_id: UUID) -> ApiKey:
    """Stop a key at once; doing it twice is once. Raises Forbidden, NotFound."""
    actor.require(Permission.APIKEY_MANAGE)
    key = session.scalar(
        select(ApiKey).where(ApiKey.id == key_id, ApiKey.organization_id == actor.organization_id).with_for_update().execution_options(populate_existing=True)
    )
    if key is None:
        raise NotFound()
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        audit.record(session, actor, "api_key.revoke", key, after={"prefix": key.prefix})
    return key


def revoke_keys_of(session: Session, organization_id: UUID, user_id: UUID) -> None:
    """Stop all keys of one member, as when the member leaves."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.organization_id == organization_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )


def list_keys(session: Session, actor: Actor) -> list[ApiKey]:
    """All keys of the organization, those in use first, then the newest."""
    actor.require(Permission.APIKEY_MANAGE)
    statement = (
        select(ApiKey)
        .where(ApiKey.organization_id == actor.organization_id)
        .order_by(ApiKey.revoked_at.is_not(None), ApiKey.created_at.desc())
        .limit(200)
    )
    return list(session.scalars(statement))
