"""The vendor's list of partners and of invitations, page by page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import Session, joinedload

from tcma import clock
from tcma.access import Actor, Permission
from tcma.accounts.models import Invitation, Organization, Partnership
from tcma.accounts.states import InvitationKind, PartnershipStatus
from tcma.errors import Invalid

PAGE = 50


@dataclass(frozen=True)
class PartnerPage:
    """One page by the partner's name; `newer` and `older` are cursors of the pages beside it, or None."""

    rows: list[Partnership]
    newer: str | None
    older: str | None
    total: int


def encode_cursor(name: str, id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{id.hex}{name}".encode()).decode()


def decode_cursor(cursor: str) -> tuple[str, UUID]:
    """The (name, id) of a cursor. Raises Invalid for one that we did not make."""
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
        return text[32:], UUID(hex=text[:32])
    except (ValueError, binascii.Error):
        raise Invalid({"after": "This is not the place of a page. Start at the first page again."}) from None


def _wanted(actor: Actor, search: str, status: PartnershipStatus | None, tier: str) -> Select[Partnership]:
    mine = Partnership.partner_id if actor.is_partner else Partnership.vendor_id
    other = Partnership.vendor if actor.is_partner else Partnership.partner
    statement = select(Partnership).join(other).where(mine == actor.organization_id)
    if search.strip():
        words = search.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        statement = statement.where(Organization.name.ilike(f"%{words}%") | Partnership.territory.ilike(f"%{words}%"))
    if status is not None:
        statement = statement.where(Partnership.status == status)
    if tier:
        statement = statement.where(Partnership.tier == tier)
    return statement


def page_of_partners(
    session: Session, actor: Actor, *, search: str = "", status: PartnershipStatus | None = None, tier: str = "",
    after: str | None = None, before: str | None = None, limit: int = PAGE,
) -> PartnerPage:  # fmt: skip
    """Partnerships of the actor's organization by the other's name. Raises Forbidden, Invalid (a bad cursor)."""
    if not actor.is_partner:
        actor.require(Permission.PARTNER_READ)
    wanted = _wanted(actor, search, status, tier)
    total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    key = tuple_(Organization.name, Partnership.id)
    statement = wanted.options(joinedload(Partnership.vendor), joinedload(Partnership.partner)).limit(limit + 1)
    backwards = before is not None and after is None
    if backwards:
        statement = statement.where(key < _row(before)).order_by(Organization.name.desc(), Partnership.id.desc())
    else:
        statement = statement.order_by(Organization.name, Partnership.id)
        if after is not None:
            statement = statement.where(key > _row(after))
    rows = list(session.scalars(statement))
    more, rows = len(rows) > limit, rows[:limit]
    if backwards:
        rows.reverse()
    has_newer = more if backwards else after is not None
    has_older = True if backwards else more
    return PartnerPage(
        rows,
        newer=_cursor(actor, rows[0]) if rows and has_newer else None,
        older=_cursor(actor, rows[-1]) if rows and has_older else None,
        total=total,
    )


def _row(cursor: str | None) -> ColumnElement[object]:
    name, id = decode_cursor(cursor or "")
    return tuple_(name, id)  # type: ignore[return-value]


def _cursor(actor: Actor, row: Partnership) -> str:
    return encode_cursor((row.vendor if actor.is_partner else row.partner).name, row.id)


def every_partner(
    session: Session, actor: Actor, *, search: str = "", status: PartnershipStatus | None = None, tier: str = ""
) -> Iterator[Partnership]:
    """All rows of the list, for a file."""
    actor.require(Permission.PARTNER_READ)
    statement = _wanted(actor, search, status, tier).options(joinedload(Partnership.partner))
    yield from session.scalars(statement.order_by(Organization.name, Partnership.id))


def count_by_status(session: Session, actor: Actor) -> dict[PartnershipStatus, int]:
    statement = (
        select(Partnership.status, func.count())
        .where(Partnership.vendor_id == actor.organization_id)
        .group_by(Partnership.status)
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def tiers_in_use(session: Session, actor: Actor) -> list[str]:
    statement = (
        select(Partnership.tier)
        .where(Partnership.vendor_id == actor.organization_id)
        .distinct()
        .order_by(Partnership.tier)
    )
    return list(session.scalars(statement.limit(20)))


def list_invitations(session: Session, actor: Actor, *kinds: InvitationKind, limit: int = 200) -> list[Invitation]:
    """Invitations that nobody has accepted or taken back, expired ones with them; the newest first."""
    statement = (
        select(Invitation)
        .where(
            Invitation.organization_id == actor.organization_id,
            Invitation.kind.in_(kinds),
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
        )
        .order_by(Invitation.created_at.desc())
        .limit(limit)
    )
    return list(session.scalars(statement))


def invitation_of(session: Session, actor: Actor, partner_id: UUID) -> Invitation | None:
    """The invitation or application by which a partner came to this vendor."""
    return session.scalar(
        select(Invitation)
        .where(Invitation.organization_id == actor.organization_id, Invitation.partner_id == partner_id)
        .order_by(Invitation.created_at.desc())
        .limit(1)
    )


def is_expired(invitation: Invitation) -> bool:
    return invitation.expires_at <= clock.now()
