"""Contacts, lists, imports, consent and suppression. All of it is the partner's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Computed, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tcma import clock
from tcma.access import Actor
from tcma.audience.states import IMPORT_MOVES, ConsentBasis, ImportStatus, SuppressionReason, SuppressionScope
from tcma.db import ORG, Base, BigKey, Created, Tenancy, UuidKey, private, state_type, tenant_key
from tcma.machine import Machine


class Contact(BigKey, Created, Base):
    """Whom a partner may write to; unique by (partner, email key). Erased ones keep the key only."""

    __tablename__ = "contacts"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        UniqueConstraint("partner_id", "email_key"),
        UniqueConstraint("partner_id", "id"),
        # Prefix search that keeps its index under row-level security: compare with ~>=~ and ~<~ (DESIGN section 3).
        *(
            Index(f"ix_contacts_{name}", "partner_id", name, postgresql_ops={name: "text_pattern_ops"})
            for name in ("lower_email", "lower_last_name", "lower_company")
        ),
    )
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[bytes] = mapped_column(LargeBinary)
    first_name: Mapped[str] = mapped_column(default="")
    last_name: Mapped[str] = mapped_column(default="")
    company: Mapped[str] = mapped_column(default="")
    job_title: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    city: Mapped[str] = mapped_column(default="")
    country: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(default="")
    no_tracking: Mapped[bool] = mapped_column(default=False)
    import_id: Mapped[UUID | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
    erased_at: Mapped[datetime | None]
    # Under row-level security an index serves plain columns only, for lower() might tell what it sees.
    lower_email: Mapped[str] = mapped_column(Computed("lower((email)::text)", persisted=True), deferred=True)
    lower_last_name: Mapped[str] = mapped_column(Computed("lower(last_name)", persisted=True), deferred=True)
    lower_company: Mapped[str] = mapped_column(Computed("lower(company)", persisted=True), deferred=True)

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class ContactList(UuidKey, Created, Base):
    """A named set of contacts."""

    __tablename__ = "lists"
    __tenancy__ = private("partner_id")
    __table_args__ = (UniqueConstraint("partner_id", "id"), UniqueConstraint("partner_id", "name"))
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")


class ListMember(Base):
    """A contact on a list."""

    __tablename__ = "list_members"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        tenant_key("partner_id", "list_id", "lists", ondelete="CASCADE"),
        tenant_key("partner_id", "contact_id", "contacts", ondelete="CASCADE"),
        Index(None, "partner_id", "contact_id"),
    )
    list_id: Mapped[UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    partner_id: Mapped[UUID]
    added_at: Mapped[datetime] = mapped_column(default=clock.now)


class AudienceCount(BigKey, Base):
    """How many contacts came or went with one statement; of the partner in all, or with `list_id` of that list.

    Triggers write these rows beside contacts and list members, and a sweep adds them up: how many there are is the sum,
    whatever their number, and nobody who writes waits for another.
    """

    __tablename__ = "audience_counts"
    __tenancy__ = private("partner_id")
    __table_args__ = (Index(None, "partner_id", "list_id"),)
    partner_id: Mapped[UUID]
    list_id: Mapped[UUID | None]
    number: Mapped[int] = mapped_column(BigInteger)


class Import(UuidKey, Created, Machine, Base):
    """One uploaded file of contacts: how it is mapped, its consent basis, how far it is, what came of each row."""

    __tablename__ = "imports"
    __tenancy__ = private("partner_id")
    __table_args__ = (UniqueConstraint("partner_id", "id"),)
    moves = IMPORT_MOVES
    noun = "import"

    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    status: Mapped[ImportStatus] = mapped_column(state_type(ImportStatus), default=ImportStatus.UPLOADED)
    filename: Mapped[str]
    storage_key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    columns: Mapped[list[Any]]
    sample: Mapped[list[Any]]
    mapping: Mapped[dict[str, Any]]
    warnings: Mapped[list[Any]]
    list_id: Mapped[UUID | None]
    basis: Mapped[ConsentBasis | None] = mapped_column(state_type(ConsentBasis))
    basis_source: Mapped[str] = mapped_column(default="")
    purpose: Mapped[str] = mapped_column(default="marketing")
    total_rows: Mapped[int | None]
    done_rows: Mapped[int] = mapped_column(default=0)
    created_count: Mapped[int] = mapped_column(default=0)
    updated_count: Mapped[int] = mapped_column(default=0)
    duplicate_count: Mapped[int] = mapped_column(default=0)
    refused_count: Mapped[int] = mapped_column(default=0)
    warning_count: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[str | None]

    def queue(self, *, by: Actor) -> None:
        self.move("queue", ImportStatus.QUEUED, by=by)
        self.error = None

    def run(self, *, by: Actor, at: datetime) -> None:
        self.move("run", ImportStatus.RUNNING, by=by)
        self.started_at = self.started_at or at

    def finish(self, *, by: Actor, at: datetime) -> None:
        self.move("finish", ImportStatus.FINISHED, by=by)
        self.finished_at = at

    def fail(self, *, by: Actor, error: str, at: datetime) -> None:
        self.move("fail", ImportStatus.FAILED, by=by, reason=error)
        self.error, self.finished_at = error, at

    def cancel(self, *, by: Actor, at: datetime) -> None:
        self.move("cancel", ImportStatus.CANCELLED, by=by)
        self.finished_at = at


class ImportRow(BigKey, Base):
    """A row that was refused or warned about, with the reasons, so that it can be mended and imported again."""

    __tablename__ = "import_rows"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        tenant_key("partner_id", "import_id", "imports", ondelete="CASCADE"),
        UniqueConstraint("import_id", "row_number"),
    )
    partner_id: Mapped[UUID]
    import_id: Mapped[UUID]
    row_number: Mapped[int]
    verdict: Mapped[str]
    reasons: Mapped[list[Any]]
    cells: Mapped[list[Any]]


class Consent(BigKey, Base):
    """Append-only: on what ground a partner writes to a contact, or that the ground was withdrawn."""

    __tablename__ = "consents"
    __tenancy__ = private("partner_id", append_only=True)
    __table_args__ = (
        tenant_key("partner_id", "contact_id", "contacts"),
        Index(None, "partner_id", "contact_id", "id"),
    )
    partner_id: Mapped[UUID]
    contact_id: Mapped[int] = mapped_column(BigInteger)
    vendor_id: Mapped[UUID | None]
    purpose: Mapped[str] = mapped_column(default="marketing")
    basis: Mapped[ConsentBasis] = mapped_column(state_type(ConsentBasis))
    wording_version: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime | None]
    withdrawn: Mapped[bool] = mapped_column(default=False)


class Suppression(BigKey, Created, Base):
    """A refusal by keyed hash of the address. Platform and vendor scopes hold nothing but the hash."""

    __tablename__ = "suppressions"
    __tenancy__ = Tenancy(
        "granted",
        rows=f"partner_id = {ORG} OR vendor_id = {ORG}",
        reads="scope = 'platform' OR (scope = 'vendor' AND EXISTS (SELECT 1 FROM partnerships p "
        f"WHERE p.vendor_id = suppressions.vendor_id AND p.partner_id = {ORG}))",
    )
    __table_args__ = (
        Index(
            "uq_suppressions_one", "scope", "partner_id", "vendor_id", "email_key",
            unique=True, postgresql_nulls_not_distinct=True,
        ),
        Index(None, "email_key"),
    )  # fmt: skip
    scope: Mapped[SuppressionScope] = mapped_column(state_type(SuppressionScope))
    partner_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    vendor_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    email_key: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[SuppressionReason] = mapped_column(state_type(SuppressionReason))
    source: Mapped[str] = mapped_column(default="")
    until: Mapped[datetime | None]
    created_by: Mapped[UUID | None]
