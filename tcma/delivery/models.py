"""Deliveries, what came back, and the totals that a vendor may see."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from tcma import clock
from tcma.db import GLOBAL, Base, BigKey, Created, UuidKey, private, shared, state_type, tenant_key
from tcma.delivery.states import DeliveryStatus, EventClass, EventKind

DELIVERY_PARTITIONS = 8


class LaunchTouch(UuidKey, Base):
    """One touch of one launch: when it is due and what it links to.

    `links` is [{"number", "label", "url"}], frozen at planning; `due_at` orders the touches.
    """

    __tablename__ = "launch_touches"
    __tenancy__ = shared()
    __table_args__ = (
        UniqueConstraint("launch_id", "touch_id"),
        UniqueConstraint("partner_id", "launch_id", "id"),
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "launch_id"], ["launches.vendor_id", "launches.partner_id", "launches.id"]
        ),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    touch_id: Mapped[UUID] = mapped_column(ForeignKey("touches.id"))
    position: Mapped[int]
    links: Mapped[list[Any]]
    due_at: Mapped[datetime]
    planned_at: Mapped[datetime | None]


class Delivery(Base):
    """The record of one message: (launch touch, contact). Partitioned by hash of the launch."""

    __tablename__ = "deliveries"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        UniqueConstraint("launch_id", "launch_touch_id", "contact_id"),
        UniqueConstraint("launch_id", "launch_touch_id", "email_key"),
        ForeignKeyConstraint(
            ["partner_id", "launch_id", "launch_touch_id"],
            ["launch_touches.partner_id", "launch_touches.launch_id", "launch_touches.id"],
        ),
        Index("ix_deliveries_claimable", "launch_id", "due_at", "id", postgresql_where=text("status = 'pending'")),
        Index("ix_deliveries_leased", "lease_until", postgresql_where=text("status = 'sending'")),
        Index("ix_deliveries_status", "launch_id", "status", "id"),
        Index("ix_deliveries_contact", "partner_id", "contact_id", "id"),
        # Public tokens and bounces name a delivery by its id alone.
        Index("ix_deliveries_id", "id"),
        Index("ix_deliveries_email_key", "partner_id", "email_key"),
        {"postgresql_partition_by": "HASH (launch_id)"},
    )
    launch_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    partner_id: Mapped[UUID]
    launch_touch_id: Mapped[UUID]
    contact_id: Mapped[int] = mapped_column(BigInteger)
    email_key: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[str] = mapped_column(String(254))
    status: Mapped[DeliveryStatus] = mapped_column(state_type(DeliveryStatus))
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    lease_id: Mapped[UUID | None]
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    code: Mapped[int | None]
    response: Mapped[str | None]
    planned_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class Event(BigKey, Base):
    """What came back, raw and immutable. `batch_id` is the loader batch that brought it."""

    __tablename__ = "events"
    __tenancy__ = private("partner_id", append_only=True)
    __table_args__ = (
        Index(None, "launch_id", "kind", "id"),
        Index(None, "partner_id", "delivery_id"),
        UniqueConstraint("source", "source_key"),
    )
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    delivery_id: Mapped[int | None] = mapped_column(BigInteger)
    contact_id: Mapped[int | None] = mapped_column(BigInteger)
    kind: Mapped[EventKind] = mapped_column(state_type(EventKind))
    at: Mapped[datetime]
    link_number: Mapped[int | None]
    address: Mapped[str] = mapped_column(default="")
    agent: Mapped[str] = mapped_column(default="")
    method: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]]
    source: Mapped[str]
    source_key: Mapped[str]
    batch_id: Mapped[int] = mapped_column(BigInteger)


class Classification(Base):
    """Human, machine or unknown: the verdict of one version of the rules on one event."""

    __tablename__ = "classifications"
    __tenancy__ = private("partner_id")
    __table_args__ = (Index(None, "launch_id", "version", "verdict"),)
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("events.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    verdict: Mapped[EventClass] = mapped_column(state_type(EventClass))
    score: Mapped[int]
    reasons: Mapped[list[str]]


class LoadBatch(BigKey, Created, Base):
    """One load of spooled hits: its number is the cut that a statement names."""

    __tablename__ = "load_batches"
    __tenancy__ = GLOBAL
    rows: Mapped[int]


class SpoolOffset(Base):
    """How far each spool segment has been loaded, kept in the transaction that loaded its rows."""

    __tablename__ = "spool_offsets"
    __tenancy__ = GLOBAL
    segment: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class LaunchTotals(Base):
    """Counts of one launch touch, for both parties. Counted from the rows, never incremented blindly."""

    __tablename__ = "launch_totals"
    __tenancy__ = shared()
    __table_args__ = (
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "launch_id"], ["launches.vendor_id", "launches.partner_id", "launches.id"]
        ),
        Index(None, "vendor_id"),
    )
    launch_touch_id: Mapped[UUID] = mapped_column(ForeignKey("launch_touches.id"), primary_key=True)
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    planned: Mapped[int] = mapped_column(default=0)
    pending: Mapped[int] = mapped_column(default=0)
    sending: Mapped[int] = mapped_column(default=0)
    sent: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    suppressed: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    unknown: Mapped[int] = mapped_column(default=0)
    opened: Mapped[int] = mapped_column(default=0)
    clicks: Mapped[int] = mapped_column(default=0)
    clickers: Mapped[int] = mapped_column(default=0)
    machine_clicks: Mapped[int] = mapped_column(default=0)
    unsubscribed: Mapped[int] = mapped_column(default=0)
    bounced: Mapped[int] = mapped_column(default=0)
    complained: Mapped[int] = mapped_column(default=0)
    counted_at: Mapped[datetime] = mapped_column(default=clock.now)


class TestMail(UuidKey, Created, Base):
    """A test mail to oneself: outside the accounting and outside statements."""

    __tablename__ = "test_mails"
    __tenancy__ = private("partner_id")
    __test__ = False
    __table_args__ = (tenant_key("partner_id", "launch_id", "launches"),)
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    address: Mapped[str]
    sent_by: Mapped[UUID | None]
    status: Mapped[str]
    response: Mapped[str | None]
