"""Organizations, partnerships, users, members, invitations, terms and API keys."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask_security.core import UserMixin
from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma import clock
from tcma.access import Actor, Kind, Role
from tcma.accounts.states import PARTNERSHIP_MOVES, InvitationKind, PartnershipStatus
from tcma.db import (
    GLOBAL,
    ORG,
    USER,
    Base,
    BigKey,
    Created,
    Tenancy,
    UuidKey,
    granted,
    private,
    shared,
    state_type,
)
from tcma.machine import Machine


class User(UuidKey, Created, Base, UserMixin):  # type: ignore[misc]
    """A person who signs in; one login for all organizations."""

    __tablename__ = "users"
    __tenancy__ = GLOBAL
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(default="")
    password: Mapped[str | None]
    active: Mapped[bool] = mapped_column(default=True)
    fs_uniquifier: Mapped[str] = mapped_column(String(64), unique=True)
    confirmed_at: Mapped[datetime | None]
    locale: Mapped[str] = mapped_column(default="en")
    timezone: Mapped[str] = mapped_column(default="UTC")
    last_login_at: Mapped[datetime | None]  # type: ignore[assignment]
    last_organization_id: Mapped[UUID | None]

    @property
    def roles(self) -> list[Any]:  # type: ignore[override]
        """Roles belong to members, not users; Flask-Security wants the attribute."""
        return []


class Organization(UuidKey, Created, Base):
    """A vendor or a partner company, or the platform itself."""

    __tablename__ = "organizations"
    __tenancy__ = granted(
        "id",
        f"EXISTS (SELECT 1 FROM partnerships p WHERE (p.vendor_id = organizations.id AND p.partner_id = {ORG}) "
        f"OR (p.partner_id = organizations.id AND p.vendor_id = {ORG})) "
        f"OR EXISTS (SELECT 1 FROM members m WHERE m.organization_id = organizations.id AND m.user_id = {USER})",
    )
    kind: Mapped[Kind] = mapped_column(state_type(Kind))
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)
    legal_name: Mapped[str] = mapped_column(default="")
    country: Mapped[str] = mapped_column(default="")
    website: Mapped[str] = mapped_column(default="")
    currency: Mapped[str] = mapped_column(String(3), default="EUR")
    locale: Mapped[str] = mapped_column(default="en")
    timezone: Mapped[str] = mapped_column(default="UTC")
    color: Mapped[str] = mapped_column(String(7), default="#2f5fd0")
    postal_address: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    contact_email: Mapped[str] = mapped_column(default="")
    open_to_applications: Mapped[bool] = mapped_column(default=False)
    scratch: Mapped[bool] = mapped_column(default=False)
    purged_at: Mapped[datetime | None]


class Partnership(UuidKey, Created, Machine, Base):
    """One vendor and one partner: tier, territory, status, and how far the partner has come."""

    __tablename__ = "partnerships"
    __tenancy__ = shared()
    __table_args__ = (
        UniqueConstraint("vendor_id", "partner_id"),
        Index(None, "partner_id"),
    )
    moves = PARTNERSHIP_MOVES
    noun = "partnership"

    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    status: Mapped[PartnershipStatus] = mapped_column(state_type(PartnershipStatus))
    tier: Mapped[str] = mapped_column(default="Registered")
    territory: Mapped[str] = mapped_column(default="")
    invited_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    first_signed_in_at: Mapped[datetime | None]
    last_active_at: Mapped[datetime | None]
    terms_version_id: Mapped[UUID | None]
    terms_accepted_at: Mapped[datetime | None]
    profile_completed_at: Mapped[datetime | None]
    first_launch_at: Mapped[datetime | None]

    vendor: Mapped[Organization] = relationship(foreign_keys=[vendor_id])
    partner: Mapped[Organization] = relationship(foreign_keys=[partner_id])

    def activate(self, *, by: Actor, at: datetime) -> None:
        self.move("activate", PartnershipStatus.ACTIVE, by=by)
        self.activated_at = self.activated_at or at

    def suspend(self, *, by: Actor, reason: str) -> None:
        self.move("suspend", PartnershipStatus.SUSPENDED, by=by, reason=reason)

    def end(self, *, by: Actor, reason: str) -> None:
        self.move("end", PartnershipStatus.ENDED, by=by, reason=reason)

    def approve(self, *, by: Actor, at: datetime) -> None:
        """The vendor says yes to an application; the partner's turn again, for its terms are still open."""
        self.move("approve", PartnershipStatus.INVITED, by=by)
        self.invited_at = at

    def decline(self, *, by: Actor, reason: str) -> None:
        self.move("decline", PartnershipStatus.DECLINED, by=by, reason=reason)

    def apply_again(self, *, by: Actor, at: datetime) -> None:
        self.move("apply", PartnershipStatus.APPLYING, by=by)
        self.applied_at = at


class Member(UuidKey, Base):
    """A user in an organization, with roles."""

    __tablename__ = "members"
    __tenancy__ = Tenancy("organization-private", rows=f"organization_id = {ORG}", reads=f"user_id = {USER}")
    __table_args__ = (UniqueConstraint("organization_id", "user_id"), Index(None, "user_id"))
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    roles: Mapped[list[str]]
    joined_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_seen_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]

    user: Mapped[User] = relationship()
    organization: Mapped[Organization] = relationship()

    @property
    def role_set(self) -> frozenset[Role]:
        return frozenset(Role(role) for role in self.roles)


class Invitation(UuidKey, Created, Base):
    """An address asked to join, or that applied, by mail. Only a hash of the token is kept."""

    __tablename__ = "invitations"
    __tenancy__ = private("organization_id")
    __table_args__ = (Index(None, "organization_id", "created_at"),)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    kind: Mapped[InvitationKind] = mapped_column(state_type(InvitationKind))
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(default="")
    company: Mapped[str] = mapped_column(default="")
    note: Mapped[str] = mapped_column(default="")
    roles: Mapped[list[str]]
    tier: Mapped[str] = mapped_column(default="Registered")
    territory: Mapped[str] = mapped_column(default="")
    partner_id: Mapped[UUID | None]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    expires_at: Mapped[datetime]
    invited_by: Mapped[UUID | None]
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[UUID | None]
    revoked_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]


class TermsVersion(UuidKey, Created, Base):
    """The vendor's partner terms; each change is a new version. Never changed once made."""

    __tablename__ = "terms_versions"
    __tenancy__ = granted(
        "vendor_id",
        f"EXISTS (SELECT 1 FROM partnerships p WHERE p.vendor_id = terms_versions.vendor_id AND p.partner_id = {ORG})",
        append_only=True,
    )
    __table_args__ = (UniqueConstraint("vendor_id", "number"),)
    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    number: Mapped[int]
    body: Mapped[str]
    effective_on: Mapped[date | None]


class TermsAcceptance(BigKey, Base):
    """Who accepted which version for a partner, when and from where."""

    __tablename__ = "terms_acceptances"
    __tenancy__ = shared(append_only=True)
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    terms_version_id: Mapped[UUID] = mapped_column(ForeignKey("terms_versions.id"))
    user_id: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(default=clock.now)
    address: Mapped[str] = mapped_column(default="")
    agent: Mapped[str] = mapped_column(default="")


class ApiKey(UuidKey, Created, Base):
    """A bearer key of one member: shown once, kept as a hash, scoped and revocable."""

    __tablename__ = "api_keys"
    __tenancy__ = private("organization_id")
    __table_args__ = (Index(None, "organization_id"),)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(String(16))
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
