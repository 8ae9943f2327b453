"""Reads of leads, scoped to the session's tenant: a vendor sees shared leads, and counts of all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, joinedload

from tcma import clock
from tcma.access import Actor
from tcma.delivery.models import Classification, Event
from tcma.delivery.queries import CLASSIFICATION_VERSION
from tcma.delivery.states import EventClass, EventKind
from tcma.errors import NotFound
from tcma.leads.models import Lead, LeadActivity, LeadTotals
from tcma.leads.states import LeadStatus


def _mine(actor: Actor) -> Select[Lead]:
    if actor.is_partner:
        return select(Lead).where(Lead.partner_id == actor.organization_id)
    return select(Lead).where(
        Lead.vendor_id == actor.organization_id, Lead.shared_at.is_not(None), Lead.revoked_at.is_(None)
    )


def get_lead(session: Session, actor: Actor, lead_id: UUID, *, lock: bool = False) -> Lead:
    statement = _mine(actor).where(Lead.id == lead_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_leads(
    session: Session, actor: Actor, *, status: LeadStatus | None = None, launch_id: UUID | None = None, search: str = "",
    overdue: bool = False, before: UUID | None = None, limit: int = 50,
) -> list[Lead]:  # fmt: skip
    """Leads, newest first; `before` pages on by id."""
    statement = _mine(actor).where(Lead.erased_at.is_(None)).options(joinedload(Lead.launch))
    if status is not None:
        statement = statement.where(Lead.status == status)
    if launch_id is not None:
        statement = statement.where(Lead.launch_id == launch_id)
    if overdue:
        statement = statement.where(Lead.status == LeadStatus.NEW, Lead.accept_by < clock.now())
    wanted = search.replace("\0", "").strip()
    if wanted:
        statement = statement.where(
            or_(
                Lead.email.istartswith(wanted, autoescape=True),
                Lead.name.icontains(wanted, autoescape=True),
                Lead.company.icontains(wanted, autoescape=True),
            )
        )
    if before is not None:
        statement = statement.where(Lead.id < before)
    return list(session.scalars(statement.order_by(Lead.id.desc()).limit(limit)))


def status_counts(session: Session, actor: Actor) -> dict[LeadStatus, int]:
    rows = _mine(actor).where(Lead.erased_at.is_(None)).subquery()
    counted = select(rows.c.status, func.count()).group_by(rows.c.status)
    found: dict[str, int] = {row[0]: row[1] for row in session.execute(counted)}
    return {status: found.get(status, 0) for status in LeadStatus}


def find_lead_by_key(session: Session, launch_id: UUID, email_key: bytes, *, lock: bool = False) -> Lead | None:
    statement = select(Lead).where(Lead.launch_id == launch_id, Lead.email_key == email_key)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return session.scalar(statement)


def timeline(session: Session, lead: Lead) -> list[LeadActivity]:
    return list(session.scalars(select(LeadActivity).where(LeadActivity.lead_id == lead.id).order_by(LeadActivity.id)))


def human_clicks(session: Session, launch_id: UUID, delivery_id: int) -> int:
    """Clicks of people on one delivery."""
    statement = (
        select(func.count())
        .select_from(Event)
        .join(Classification, Classification.event_id == Event.id)
        .where(
            Event.launch_id == launch_id, Event.delivery_id == delivery_id, Event.kind == EventKind.CLICK,
            Classification.version == CLASSIFICATION_VERSION, Classification.verdict == EventClass.HUMAN,
        )
    )  # fmt: skip
    return session.scalar(statement) or 0


def launch_counts(session: Session, launch_ids: list[UUID]) -> dict[UUID, LeadTotals]:
    """Counts by launch that both parties may see."""
    statement = select(LeadTotals).where(LeadTotals.launch_id.in_(launch_ids))
    return {one.launch_id: one for one in session.scalars(statement)}


def summed(session: Session, actor: Actor) -> dict[str, int]:
    """Counts over all launches of the actor's organization: views, answers, leads, accepted, won, lost, overdue."""
    names = ("views", "answers", "leads", "accepted", "won", "lost", "overdue")
    mine = LeadTotals.partner_id if actor.is_partner else LeadTotals.vendor_id
    row = session.execute(
        select(*(func.coalesce(func.sum(getattr(LeadTotals, name)), 0) for name in names)).where(
            mine == actor.organization_id
        )
    ).one()
    counted: tuple[Any, ...] = tuple(row)
    return {name: int(value or 0) for name, value in zip(names, counted, strict=True)}
