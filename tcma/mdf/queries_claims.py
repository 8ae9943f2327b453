"""Reads of claims, proofs, statements, findings, payees and payment batches, scoped to the session's tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from tcma.access import Actor
from tcma.accounts.models import Organization
from tcma.audit import AuditEvent
from tcma.errors import NotFound
from tcma.mdf.models import (
    Activity,
    Claim,
    FindingRow,
    Payee,
    Payment,
    PaymentBatch,
    Proof,
    Request,
    Statement,
)
from tcma.mdf.states import ClaimStatus, RequestStatus

PAGE = 50
FILED = (
    ClaimStatus.SUBMITTED, ClaimStatus.RETURNED, ClaimStatus.APPROVED, ClaimStatus.PAYMENT_DUE, ClaimStatus.PAID,
)  # fmt: skip
OPEN = (ClaimStatus.DRAFT, ClaimStatus.RETURNED)

_WHOLE = (
    joinedload(Claim.activity).joinedload(Activity.request).joinedload(Request.programme),
    joinedload(Claim.activity).joinedload(Activity.activity_type),
    selectinload(Claim.lines),
)


def visible(actor: Actor) -> ColumnElement[bool]:
    """Claims that the actor may see: a draft is the partner's own."""
    if actor.is_partner:
        return Claim.partner_id == actor.organization_id
    unseen = (Claim.status == ClaimStatus.DRAFT) | (
        (Claim.status == ClaimStatus.WITHDRAWN) & Claim.submitted_at.is_(None)
    )
    return and_(Claim.vendor_id == actor.organization_id, ~unseen)


def get_claim(session: Session, actor: Actor, claim_id: UUID, *, lock: bool = False) -> Claim:
    """A claim with its lines, activity, request and programme, or NotFound."""
    if lock:
        # Locked by itself first: a row lock cannot be taken on the outer side of the joins below.
        session.execute(select(Claim.id).where(Claim.id == claim_id).with_for_update()).first()
    statement = (
        select(Claim)
        .options(*_WHOLE)
        .where(Claim.id == claim_id, visible(actor))
        .execution_options(populate_existing=lock)
    )
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def _claims(
    actor: Actor, *, status: ClaimStatus | None, search: str, partner_id: UUID | None, activity_id: UUID | None
) -> Select[Claim]:
    statement = select(Claim).where(visible(actor))
    for column, value in (
        (Claim.status, status), (Claim.partner_id, partner_id), (Claim.activity_id, activity_id),
    ):  # fmt: skip
        if value is not None:
            statement = statement.where(column == value)
    if words := search.strip():
        titled = select(Activity.id).where(Activity.title.icontains(words, autoescape=True))
        named = select(Organization.id).where(Organization.name.icontains(words, autoescape=True))
        statement = statement.where(
            or_(
                Claim.number.istartswith(words, autoescape=True),
                Claim.activity_id.in_(titled),
                Claim.partner_id.in_(named),
            )
        )
    return statement


def list_claims(
    session: Session,
    actor: Actor,
    *,
    status: ClaimStatus | None = None,
    search: str = "",
    partner_id: UUID | None = None,
    activity_id: UUID | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    limit: int = PAGE,
) -> tuple[list[Claim], bool]:
    """One page of claims, the newest first, and whether more follow; paging as in `queries.list_requests`."""
    statement = _claims(
        actor, status=status, search=search, partner_id=partner_id, activity_id=activity_id
    ).options(*_WHOLE)  # fmt: skip
    if before is not None:
        statement = statement.where(Claim.id > before).order_by(Claim.id)
    else:
        statement = statement.order_by(Claim.id.desc())
        if after is not None:
            statement = statement.where(Claim.id < after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit


def count_claims(session: Session, actor: Actor) -> dict[ClaimStatus, int]:
    """How many claims the actor sees in each state; states without any are left out."""
    rows: Any = session.execute(select(Claim.status, func.count()).where(visible(actor)).group_by(Claim.status))
    return dict(rows.all())


def list_queue(session: Session, actor: Actor, *, search: str = "", limit: int = 200) -> list[Claim]:
    """Claims that wait for a decision, the first due first."""
    statement = _claims(actor, status=ClaimStatus.SUBMITTED, search=search, partner_id=None, activity_id=None)
    return list(session.scalars(statement.options(*_WHOLE).order_by(Claim.due_at, Claim.id).limit(limit)))


def count_queue(session: Session, actor: Actor, *, search: str = "") -> int:
    """How many claims wait for a decision."""
    statement = _claims(actor, status=ClaimStatus.SUBMITTED, search=search, partner_id=None, activity_id=None)
    return session.scalar(select(func.count()).select_from(statement.with_only_columns(Claim.id).subquery())) or 0


def find_open_claim(session: Session, activity_id: UUID) -> Claim | None:
    """The activity's claim that is still being written, if there is one."""
    return session.scalar(select(Claim).where(Claim.activity_id == activity_id, Claim.status.in_(OPEN)).limit(1))


def claimable(session: Session, actor: Actor, *, launch_id: UUID | None = None, begun: bool = True) -> list[Activity]:
    """Approved activities of the partner on which no claim was filed yet, the latest to end first.

    With `begun` also those whose claim is being written or was returned.
    """
    done = tuple(one for one in FILED if one not in OPEN) + (() if begun else OPEN)
    filed = select(Claim.activity_id).where(Claim.status.in_(done))
    statement = (
        select(Activity)
        .join(Activity.request)
        .options(joinedload(Activity.request), joinedload(Activity.activity_type))
        .where(
            Activity.partner_id == actor.organization_id,
            Request.status == RequestStatus.APPROVED,
            Activity.id.not_in(filed),
        )
        .order_by(Activity.ends_on.desc(), Activity.id)
        .limit(100)
    )
    if launch_id is not None:
        statement = statement.where(Activity.launch_id == launch_id)
    return list(session.scalars(statement))


def proofs_of(session: Session, activity_id: UUID) -> list[Proof]:
    """Evidence of an activity that has not been removed, the oldest first."""
    statement = select(Proof).where(Proof.activity_id == activity_id, Proof.removed_at.is_(None)).order_by(Proof.id)
    return list(session.scalars(statement))


def get_proof(session: Session, actor: Actor, proof_id: UUID) -> Proof:
    """A proof, or NotFound; a vendor sees those of claims that it sees."""
    statement = select(Proof).where(Proof.id == proof_id, Proof.removed_at.is_(None))
    if actor.is_partner:
        statement = statement.where(Proof.partner_id == actor.organization_id)
    else:
        statement = statement.where(
            select(Claim.id).where(Claim.activity_id == Proof.activity_id, visible(actor)).exists()
        )
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def findings_of(session: Session, claim_id: UUID) -> list[FindingRow]:
    """What the latest run of the checks found, in the order of the checks."""
    latest = select(func.max(FindingRow.run)).where(FindingRow.claim_id == claim_id).scalar_subquery()
    statement = (
        select(FindingRow).where(FindingRow.claim_id == claim_id, FindingRow.run == latest).order_by(FindingRow.id)
    )
    return list(session.scalars(statement))


def verdict_counts(session: Session, claim_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """By claim: how many findings of its latest run have each verdict."""
    latest = (
        select(FindingRow.claim_id, func.max(FindingRow.run).label("run"))
        .where(FindingRow.claim_id.in_(claim_ids))
        .group_by(FindingRow.claim_id)
        .subquery()
    )
    rows: Any = session.execute(
        select(FindingRow.claim_id, FindingRow.verdict, func.count())
        .join(latest, and_(latest.c.claim_id == FindingRow.claim_id, latest.c.run == FindingRow.run))
        .group_by(FindingRow.claim_id, FindingRow.verdict)
    )
    found: dict[UUID, dict[str, int]] = {}
    for claim_id, verdict, number in rows:
        found.setdefault(claim_id, {})[verdict] = number
    return found


def get_statement(session: Session, actor: Actor, statement_id: UUID) -> Statement:
    """A sealed statement of either party, or NotFound."""
    mine = Statement.partner_id if actor.is_partner else Statement.vendor_id
    found = session.scalar(select(Statement).where(Statement.id == statement_id, mine == actor.organization_id))
    if found is None:
        raise NotFound()
    return found


def latest_statement(session: Session, launch_id: UUID) -> Statement | None:
    """The newest edition of a launch's statement."""
    return session.scalar(
        select(Statement).where(Statement.launch_id == launch_id).order_by(Statement.edition.desc()).limit(1)
    )


def statement_of_activity(session: Session, activity_id: UUID) -> Statement | None:
    """The statement attached to an activity as proof."""
    return session.scalar(
        select(Statement)
        .join(Proof, Proof.statement_id == Statement.id)
        .where(Proof.activity_id == activity_id, Proof.removed_at.is_(None))
        .order_by(Statement.edition.desc())
        .limit(1)
    )


def find_payee(session: Session, partner_id: UUID) -> Payee | None:
    return session.get(Payee, partner_id)


def get_batch(session: Session, actor: Actor, batch_id: UUID, *, lock: bool = False) -> PaymentBatch:
    """A vendor's own payment batch with its payments, or NotFound."""
    if lock:
        session.execute(select(PaymentBatch.id).where(PaymentBatch.id == batch_id).with_for_update()).first()
    found = session.scalar(
        select(PaymentBatch)
        .options(selectinload(PaymentBatch.payments).joinedload(Payment.claim))
        .where(PaymentBatch.id == batch_id, PaymentBatch.vendor_id == actor.organization_id)
        .execution_options(populate_existing=lock)
    )
    if found is None:
        raise NotFound()
    return found


def list_batches(
    session: Session, actor: Actor, *, search: str = "", after: UUID | None = None, limit: int = PAGE
) -> tuple[list[PaymentBatch], bool]:
    """One page of batches, the newest first, and whether older ones follow."""
    statement = (
        select(PaymentBatch)
        .options(selectinload(PaymentBatch.payments))
        .where(PaymentBatch.vendor_id == actor.organization_id)
        .order_by(PaymentBatch.id.desc())
    )
    if words := search.strip():
        statement = statement.where(PaymentBatch.number.icontains(words, autoescape=True))
    if after is not None:
        statement = statement.where(PaymentBatch.id < after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def list_payable(session: Session, actor: Actor) -> list[Claim]:
    """Approved claims that are in no batch yet, the longest waiting first."""
    statement = select(Claim).where(visible(actor), Claim.status == ClaimStatus.APPROVED)
    return list(session.scalars(statement.options(*_WHOLE).order_by(Claim.decided_at, Claim.id).limit(500)))


def list_audit(
    session: Session,
    actor: Actor,
    *,
    object_id: str = "",
    person: UUID | None = None,
    action: str = "",
    since: datetime | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> tuple[list[AuditEvent], bool]:
    """One page of audit rows that the actor's organization may read, the newest first, and whether older follow."""
    mine = actor.organization_id
    statement = (
        select(AuditEvent)
        .where((AuditEvent.organization_id == mine) | (AuditEvent.other_id == mine))
        .order_by(AuditEvent.id.desc())
    )
    if object_id.strip():
        statement = statement.where(AuditEvent.object_id == object_id.strip())
    if person is not None:
        statement = statement.where(AuditEvent.actor_user_id == person)
    if action.strip():
        statement = statement.where(AuditEvent.action.icontains(action.strip(), autoescape=True))
    if since is not None:
        statement = statement.where(AuditEvent.at >= since)
    if after is not None:
        statement = statement.where(AuditEvent.id < after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    return rows[:limit], len(rows) > limit
