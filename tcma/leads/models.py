"""Leads: contacts or strangers who answered, their timelines, and raw form answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma import clock
from tcma.access import Actor
from tcma.campaigns.models import Launch
from tcma.db import ORG, Base, BigKey, Created, UuidKey, granted, private, state_type, tenant_key
from tcma.errors import Invalid
from tcma.leads.states import LEAD_MOVES, LeadStatus, RejectReason
from tcma.machine import Machine


class Lead(UuidKey, Created, Machine, Base):
    """One who answered a launch. The partner's; its vendor sees it once shared, until revoked."""

    __tablename__ = "leads"
    __tenancy__ = granted("partner_id", f"vendor_id = {ORG} AND shared_at IS NOT NULL AND revoked_at IS NULL")
    __table_args__ = (
        UniqueConstraint("launch_id", "email_key"),
        UniqueConstraint("partner_id", "id"),
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "launch_id"], ["launches.vendor_id", "launches.partner_id", "launches.id"]
        ),
        Index(None, "partner_id", "status", "id"),
        Index(None, "vendor_id"),
    )
    moves = LEAD_MOVES
    noun = "lead"

    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    contact_id: Mapped[int | None] = mapped_column(BigInteger)
    delivery_id: Mapped[int | None] = mapped_column(BigInteger)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[str] = mapped_column(default="")
    company: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    answers: Mapped[dict[str, Any]]
    source: Mapped[str]
    status: Mapped[LeadStatus] = mapped_column(state_type(LeadStatus), default=LeadStatus.NEW)
    score: Mapped[int] = mapped_column(default=0)
    score_parts: Mapped[list[Any]]
    accept_by: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    rejected_reason: Mapped[RejectReason | None] = mapped_column(state_type(RejectReason))
    closed_at: Mapped[datetime | None]
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    owner_id: Mapped[UUID | None]
    next_step: Mapped[str] = mapped_column(default="")
    shared_at: Mapped[datetime | None]
    shared_by: Mapped[UUID | None]
    revoked_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
    row_version: Mapped[int] = mapped_column(default=1)

    launch: Mapped[Launch] = relationship(
        viewonly=True, primaryjoin="Lead.launch_id == foreign(Launch.id)", uselist=False
    )
    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012

    def accept(self, *, by: Actor, at: datetime) -> None:
        self.move("accept", LeadStatus.ACCEPTED, by=by)
        self.accepted_at, self.rejected_reason = at, None

    def reject(self, *, by: Actor, reason: RejectReason, words: str = "") -> None:
        self.move("reject", LeadStatus.REJECTED, by=by, reason=reason, also={"words": bool(words)})
        self.rejected_reason = reason

    def work(self, *, by: Actor) -> None:
        self.move("work", LeadStatus.WORKING, by=by)
        self.closed_at = None

    def win(self, *, by: Actor, amount_minor: int, currency: str, at: datetime) -> None:
        if amount_minor < 0:
            raise Invalid({"amount": "An amount won cannot be negative. Enter 0 or more."})
        self.move("win", LeadStatus.WON, by=by, also={"amount_minor": amount_minor, "currency": currency})
        self.amount_minor, self.currency, self.closed_at = amount_minor, currency, at

    def lose(self, *, by: Actor, reason: str, at: datetime) -> None:
        self.move("lose", LeadStatus.LOST, by=by, reason=reason)
        self.closed_at = at


class LeadActivity(BigKey, Base):
    """One entry of a lead's timeline."""

    __tablename__ = "lead_activities"
    __tenancy__ = granted(
        "partner_id",
        f"EXISTS (SELECT 1 FROM leads l WHERE l.id = lead_activities.lead_id AND l.partner_id <> {ORG})",
    )
    __table_args__ = (tenant_key("partner_id", "lead_id", "leads"), Index(None, "lead_id", "id"))
    partner_id: Mapped[UUID]
    lead_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(default=clock.now)
    kind: Mapped[str]
    text: Mapped[str] = mapped_column(default="")
    by_name: Mapped[str] = mapped_column(default="")
    user_id: Mapped[UUID | None]


class FormAnswer(UuidKey, Created, Base):
    """One raw answer to a landing page form with its verdict: stored before anything is made of it."""

    __tablename__ = "form_answers"
    __tenancy__ = private("partner_id")
    __table_args__ = (tenant_key("partner_id", "launch_id", "launches"), Index(None, "launch_id", "id"))
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    delivery_id: Mapped[int | None] = mapped_column(BigInteger)
    lead_id: Mapped[UUID | None]
    answers: Mapped[dict[str, Any]]
    verdict: Mapped[str]
    reasons: Mapped[list[str]]
    address_hash: Mapped[bytes] = mapped_column(LargeBinary)
    once_key: Mapped[str] = mapped_column(unique=True)


class LeadTotals(Base):
    """Counts of a launch's leads that both parties may see, whether leads are shared or not."""

    __tablename__ = "lead_totals"
    __tenancy__ = granted("partner_id", f"vendor_id = {ORG}")
    __table_args__ = (
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "launch_id"], ["launches.vendor_id", "launches.partner_id", "launches.id"]
        ),
        Index(None, "vendor_id"),
    )
    launch_id: Mapped[UUID] = mapped_column(primary_key=True)
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    views: Mapped[int] = mapped_column(default=0)
    answers: Mapped[int] = mapped_column(default=0)
    leads: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[int] = mapped_column(default=0)
    won: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)
    won_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    currency: Mapped[str] = mapped_column(String(3), default="EUR")
    overdue: Mapped[int] = mapped_column(default=0)
    counted_at: Mapped[datetime] = mapped_column(default=clock.now)
