"""The audit trail: append-only rows of who did what to what. They hold ids, not personal data.

A sweep seals the rows of each organization into a hash chain (see `seal`), so that a later change shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tcma import clock
from tcma.access import Actor
from tcma.db import ORG, Base, BigKey, Tenancy, private

SETTLED_AFTER = timedelta(minutes=10)

request_id: ContextVar[str] = ContextVar("tcma_request_id", default="")


class AuditEvent(BigKey, Base):
    """One act. `organization_id` owns the row and its chain; `other_id` is the other party who may read it."""

    __tablename__ = "audit_events"
    __tenancy__ = Tenancy(
        "organization-private",
        rows=f"organization_id = {ORG} OR other_id = {ORG}",
        append_only=True,
    )
    __table_args__ = (
        Index(None, "organization_id", "id"),
        Index(None, "object_type", "object_id", "id"),
    )
    organization_id: Mapped[UUID]
    other_id: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(default=clock.now)
    actor_user_id: Mapped[UUID | None]
    actor_organization_id: Mapped[UUID | None]
    actor_kind: Mapped[str]
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]
    request_id: Mapped[str]


class AuditSeal(BigKey, Base):
    """One link of an organization's chain over its audit rows `first_id`..`last_id`."""

    __tablename__ = "audit_seals"
    __tenancy__ = private("organization_id", append_only=True)
    __table_args__ = (Index(None, "organization_id", "number", unique=True),)
    organization_id: Mapped[UUID]
    number: Mapped[int]
    first_id: Mapped[int]
    last_id: Mapped[int]
    rows: Mapped[int]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(default=clock.now)


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: object,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> AuditEvent:
    """Append one audit row about `subject`, a mapped object with an id, in the present transaction.

    The parties are read from the subject: of a shared row the acting organization owns the audit row and the other
    may read it.
    """
    parties = [getattr(subject, name, None) for name in ("vendor_id", "partner_id", "organization_id")]
    known = [party for party in dict.fromkeys([actor.organization_id, *parties]) if party is not None]
    row = AuditEvent(
        organization_id=known[0],
        other_id=known[1] if len(known) > 1 else None,
        at=clock.now(),
        actor_user_id=actor.user_id,
        actor_organization_id=actor.organization_id,
        actor_kind="service" if actor.is_system else ("key" if actor.api_key_id else "person"),
        action=action,
        object_type=getattr(type(subject), "__tablename__", type(subject).__name__),
        object_id=str(getattr(subject, "id", "")),
        before=_plain(before),
        after=_plain(after),
        reason=reason,
        request_id=request_id.get(),
    )
    session.add(row)
    return row


def history(session: Session, subject: object, *, limit: int = 100) -> list[AuditEvent]:
    """The audit rows of one object that the session's tenant may read, oldest first."""
    statement = (
        select(AuditEvent)
        .where(
            AuditEvent.object_type == getattr(type(subject), "__tablename__", ""),
            AuditEvent.object_id == str(getattr(subject, "id", "")),
        )
        .order_by(AuditEvent.id)
        .limit(limit)
    )
    return list(session.scalars(statement))


def seal(session: Session, organization_id: UUID) -> AuditSeal | None:
    """Append the next link over this organization's unsealed rows; None where there are none.

    Rows younger than SETTLED_AFTER wait for the next link, so that none of a transaction still open is left behind.
    Two at once are no harm: the unique (organization, number) refuses the second.
    """
    last = session.scalar(
        select(AuditSeal)
        .where(AuditSeal.organization_id == organization_id)
        .order_by(AuditSeal.number.desc())
        .limit(1)
    )
    rows = list(
        session.scalars(
            select(AuditEvent)
            .where(
                AuditEvent.organization_id == organization_id,
                AuditEvent.id > (last.last_id if last else 0),
                AuditEvent.at <= clock.now() - SETTLED_AFTER,
            )
            .order_by(AuditEvent.id)
            .limit(10_000)
        )
    )
    if not rows:
        return None
    link = AuditSeal(
        organization_id=organization_id,
        number=(last.number if last else 0) + 1,
        first_id=rows[0].id,
        last_id=rows[-1].id,
        rows=len(rows),
        hash=chain_hash(last.hash if last else b"", rows),
    )
    session.add(link)
    return link


def chain_hash(previous: bytes, rows: list[AuditEvent]) -> bytes:
    """SHA-256 over the previous link and each row in a fixed JSON form."""
    digest = hashlib.sha256(previous)
    for row in rows:
        digest.update(
            json.dumps(
                [
                    row.id, str(row.organization_id), str(row.other_id or ""), row.at.astimezone(UTC).isoformat(),
                    str(row.actor_user_id or ""), str(row.actor_organization_id or ""), row.actor_kind, row.action,
                    row.object_type, row.object_id, row.before, row.after, row.reason, row.request_id,
                ],
                sort_keys=True, separators=(",", ":"),
            ).encode()
        )  # fmt: skip
    return digest.digest()


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {key: value if isinstance(value, (int, bool, type(None))) else str(value) for key, value in values.items()}


def unsealed_organizations(session: Session) -> list[UUID]:
    """Organizations with audit rows after their last seal; call it elevated."""
    sealed = (
        select(AuditSeal.organization_id, func.max(AuditSeal.last_id).label("last_id"))
        .group_by(AuditSeal.organization_id)
        .subquery()
    )
    statement = (
        select(AuditEvent.organization_id)
        .outerjoin(sealed, sealed.c.organization_id == AuditEvent.organization_id)
        .where(
            AuditEvent.id > func.coalesce(sealed.c.last_id, 0), AuditEvent.at <= clock.now() - SETTLED_AFTER
        )
        .distinct()
    )
    return list(session.scalars(statement))


def broken_links(session: Session, organization_id: UUID) -> list[int]:
    """The numbers of this organization's seals that its rows no longer match; none means that nothing was changed."""
    broken: list[int] = []
    previous = b""
    for link in session.scalars(
        select(AuditSeal).where(AuditSeal.organization_id == organization_id).order_by(AuditSeal.number)
    ):
        rows = list(
            session.scalars(
                select(AuditEvent)
                .where(
                    AuditEvent.organization_id == organization_id,
                    AuditEvent.id.between(link.first_id, link.last_id),
                )
                .order_by(AuditEvent.id)
            )
        )
        if len(rows) != link.rows or chain_hash(previous, rows) != link.hash:
            broken.append(link.number)
        previous = link.hash
    return broken
