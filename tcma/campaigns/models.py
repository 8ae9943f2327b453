"""Campaigns and their immutable versions, touches, entitlements, and launches."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma import clock
from tcma.access import Actor
from tcma.campaigns.states import CAMPAIGN_MOVES, LAUNCH_MOVES, CampaignStatus, LaunchStatus, TouchKind
from tcma.db import ORG, Base, Created, UuidKey, granted, shared, state_type, tenant_key
from tcma.machine import Machine

# A partner goes on reading what it launched, also after a recall.
_ENTITLED = (
    "EXISTS (SELECT 1 FROM campaign_grants g JOIN partnerships p ON p.vendor_id = g.vendor_id "
    f"AND p.partner_id = g.partner_id WHERE g.campaign_id = {{table}}.{{column}} AND g.partner_id = {ORG} "
    f"AND p.status = 'active') OR EXISTS (SELECT 1 FROM launches l WHERE l.campaign_id = {{table}}.{{column}} "
    f"AND l.partner_id = {ORG})"
)


class Campaign(UuidKey, Created, Machine, Base):
    """What a vendor authors. The draft lives here; each publication freezes a version."""

    __tablename__ = "campaigns"
    __tenancy__ = granted("vendor_id", f"status <> 'draft' AND ({_ENTITLED.format(table='campaigns', column='id')})")
    __table_args__ = (UniqueConstraint("vendor_id", "id"),)
    moves = CAMPAIGN_MOVES
    noun = "campaign"

    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    status: Mapped[CampaignStatus] = mapped_column(state_type(CampaignStatus), default=CampaignStatus.DRAFT)
    name: Mapped[str]
    goal: Mapped[str] = mapped_column(default="")
    summary: Mapped[str] = mapped_column(default="")
    effort_minutes: Mapped[int] = mapped_column(default=10)
    activity_type: Mapped[str] = mapped_column(default="email")
    begins_on: Mapped[date | None]
    ends_on: Mapped[date | None]
    subject: Mapped[str] = mapped_column(default="")
    preheader: Mapped[str] = mapped_column(default="")
    mjml: Mapped[str] = mapped_column(default="")
    slots: Mapped[list[Any]]
    landing: Mapped[dict[str, Any]]
    for_all_partners: Mapped[bool] = mapped_column(default=True)
    current_version_id: Mapped[UUID | None]
    published_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)

    def publish(self, *, by: Actor, version: CampaignVersion, at: datetime) -> None:
        self.move("publish", CampaignStatus.PUBLISHED, by=by, also={"version": version.number})
        self.current_version_id, self.published_at = version.id, at

    def recall(self, *, by: Actor, reason: str) -> None:
        self.move("recall", CampaignStatus.RECALLED, by=by, reason=reason)

    def archive(self, *, by: Actor) -> None:
        self.move("archive", CampaignStatus.ARCHIVED, by=by)

    def reopen(self, *, by: Actor) -> None:
        self.move("reopen", CampaignStatus.DRAFT, by=by)


class CampaignVersion(UuidKey, Base):
    """One publication, never changed."""

    __tablename__ = "campaign_versions"
    __tenancy__ = granted(
        "vendor_id",
        f"vendor_id <> {ORG} AND ({_ENTITLED.format(table='campaign_versions', column='campaign_id')})",
        append_only=True,
    )
    __table_args__ = (
        UniqueConstraint("campaign_id", "number"),
        UniqueConstraint("vendor_id", "id"),
        tenant_key("vendor_id", "campaign_id", "campaigns"),
    )
    vendor_id: Mapped[UUID]
    campaign_id: Mapped[UUID]
    number: Mapped[int]
    name: Mapped[str]
    goal: Mapped[str]
    summary: Mapped[str]
    slots: Mapped[list[Any]]
    landing: Mapped[dict[str, Any]]
    content_sha256: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(default="")
    published_at: Mapped[datetime] = mapped_column(default=clock.now)
    published_by: Mapped[UUID | None]

    campaign: Mapped[Campaign] = relationship()
    touches: Mapped[list[Touch]] = relationship(back_populates="version", order_by="Touch.position")

    @property
    def email(self) -> Touch:
        """The first email touch."""
        return next(touch for touch in self.touches if touch.kind is TouchKind.EMAIL)


class Touch(UuidKey, Base):
    """One step of a campaign version: an email or a landing page. `compiled` is CompiledEmail.to_json()."""

    __tablename__ = "touches"
    __tenancy__ = granted(
        "vendor_id",
        f"EXISTS (SELECT 1 FROM campaign_versions v WHERE v.id = touches.campaign_version_id AND v.vendor_id <> {ORG})",
        append_only=True,
    )
    __table_args__ = (
        UniqueConstraint("campaign_version_id", "position"),
        UniqueConstraint("vendor_id", "id"),
        tenant_key("vendor_id", "campaign_version_id", "campaign_versions"),
    )
    vendor_id: Mapped[UUID]
    campaign_version_id: Mapped[UUID]
    position: Mapped[int]
    kind: Mapped[TouchKind] = mapped_column(state_type(TouchKind))
    subject: Mapped[str] = mapped_column(default="")
    preheader: Mapped[str] = mapped_column(default="")
    mjml: Mapped[str] = mapped_column(default="")
    compiled: Mapped[dict[str, Any]]

    version: Mapped[CampaignVersion] = relationship(back_populates="touches")


class CampaignGrant(Created, Base):
    """A partner entitled to a campaign."""

    __tablename__ = "campaign_grants"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}")
    __table_args__ = (tenant_key("vendor_id", "campaign_id", "campaigns"), Index(None, "partner_id"))
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    vendor_id: Mapped[UUID]


class Launch(UuidKey, Created, Machine, Base):
    """One partner's run of one campaign version. It freezes slots, brand and sender when it starts.

    `audience` holds list ids only: {"lists": [...], "exclude_lists": [...]}. `pace` says when mail may arrive, in each
    recipient's own time: {"from": "08:00", "to": "18:00", "days": [1, …], "late_hours": 48}, all of it optional.
    """

    __tablename__ = "launches"
    __tenancy__ = shared()
    __table_args__ = (
        UniqueConstraint("partner_id", "id"),
        UniqueConstraint("vendor_id", "partner_id", "id"),
        ForeignKeyConstraint(["vendor_id", "partner_id"], ["partnerships.vendor_id", "partnerships.partner_id"]),
        tenant_key("vendor_id", "campaign_id", "campaigns"),
        tenant_key("vendor_id", "campaign_version_id", "campaign_versions"),
        Index(None, "campaign_id"),
        Index("ix_launches_due", "status", "scheduled_at"),
    )
    moves = LAUNCH_MOVES
    noun = "launch"

    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    campaign_id: Mapped[UUID]
    campaign_version_id: Mapped[UUID]
    status: Mapped[LaunchStatus] = mapped_column(state_type(LaunchStatus), default=LaunchStatus.DRAFT)
    name: Mapped[str]
    slots: Mapped[dict[str, Any]]
    audience: Mapped[dict[str, Any]]
    brand: Mapped[dict[str, Any] | None]
    sender: Mapped[dict[str, Any] | None]
    launched_by: Mapped[UUID | None]
    on_behalf: Mapped[bool] = mapped_column(default=False)
    landing_key: Mapped[str] = mapped_column(String(24), unique=True)
    scheduled_at: Mapped[datetime | None]
    pace: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)

    campaign: Mapped[Campaign] = relationship(viewonly=True, primaryjoin="Launch.campaign_id == foreign(Campaign.id)", uselist=False)
    version: Mapped[CampaignVersion] = relationship(
        viewonly=True, primaryjoin="Launch.campaign_version_id == foreign(CampaignVersion.id)", uselist=False
    )

    def schedule(self, *, by: Actor, at: datetime) -> None:
        self.move("schedule", LaunchStatus.SCHEDULED, by=by, also={"scheduled_at": at})
        self.scheduled_at = at

    def unschedule(self, *, by: Actor) -> None:
        self.move("unschedule", LaunchStatus.DRAFT, by=by)
        self.scheduled_at = None

    def plan(self, *, by: Actor, brand: dict[str, Any], sender: dict[str, Any], at: datetime) -> None:
        """Start: freeze brand and sender; planning makes the deliveries."""
        self.move("start", LaunchStatus.PLANNING, by=by)
        self.brand, self.sender, self.started_at = brand, sender, at
        self.launched_by = by.user_id

    def send(self, *, by: Actor) -> None:
        self.require_status("send", LaunchStatus.PLANNING)
        self.move("send", LaunchStatus.SENDING, by=by)
        self.paused_at = None

    def pause(self, *, by: Actor, at: datetime, reason: str | None = None) -> None:
        self.move("pause", LaunchStatus.PAUSED, by=by, reason=reason)
        self.paused_at = at

    def resume(self, *, by: Actor) -> None:
        self.require_status("resume", LaunchStatus.PAUSED)
        self.move("resume", LaunchStatus.SENDING, by=by)
        self.paused_at = None

    def finish(self, *, by: Actor, at: datetime) -> None:
        self.move("finish", LaunchStatus.FINISHED, by=by)
        self.finished_at = at

    def reopen(self, *, by: Actor) -> None:
        """Go on sending after the end, for deliveries that are sent again."""
        self.require_status("reopen", LaunchStatus.FINISHED)
        self.move("reopen", LaunchStatus.SENDING, by=by)
        self.finished_at = None

    def cancel(self, *, by: Actor, at: datetime, reason: str | None = None) -> None:
        self.move("cancel", LaunchStatus.CANCELLED, by=by, reason=reason)
        self.finished_at = at
