"""What comes back from mail servers and providers, kept before it is answered; counts, alarms and roll-ups of it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tcma import clock
from tcma.db import GLOBAL, Base, BigKey, Tenancy, private, shared, state_type, tenant_key
from tcma.delivery.states import AlarmKind

SERVICE_ONLY = Tenancy("service", rows="false")
"""No tenant sees such rows: what they hold is not known to be anybody's before it is read."""


class Return(BigKey, Base):
    """One webhook or inbound mail as it came. (source, key) is unique: a replay is the same row.

    `envelope` is what came beside the body (the recipient of a mail). `outcome` says what was made of it.
    `delivery_id` is set where one delivery is meant, so that an erasure finds the body; bodies are emptied
    after KEEP_BODY, rows stay.
    """

    __tablename__ = "returns"
    __tenancy__ = SERVICE_ONLY
    __table_args__ = (
        UniqueConstraint("source", "key"),
        Index("ix_returns_due", "due_at", postgresql_where=text("processed_at IS NULL")),
        Index("ix_returns_delivery", "delivery_id", postgresql_where=text("delivery_id IS NOT NULL")),
        Index("ix_returns_bodies", "received_at", postgresql_where=text("body <> ''::bytea")),
    )
    source: Mapped[str]
    key: Mapped[str]
    envelope: Mapped[dict[str, Any]]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(default=clock.now)
    due_at: Mapped[datetime] = mapped_column(default=clock.now)
    attempts: Mapped[int] = mapped_column(default=0)
    processed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]
    delivery_id: Mapped[int | None] = mapped_column(BigInteger)


class ReturnCount(Base):
    """How many returns of a source were processed with an outcome, ever: what /metrics shows."""

    __tablename__ = "return_counts"
    __tenancy__ = GLOBAL
    source: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class TouchedLaunch(Base):
    """A launch to which something came back since it was last counted and checked."""

    __tablename__ = "touched_launches"
    __tenancy__ = private("partner_id")
    __table_args__ = (tenant_key("partner_id", "launch_id", "launches"),)
    launch_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID]
    since: Mapped[datetime] = mapped_column(default=clock.now)


class LaunchAlarm(BigKey, Base):
    """A launch that the service paused by itself: why, and the counts at that moment, for both parties.

    `counted` of `attempted` is what was too much; a later check of the same kind looks at what came since.
    """

    __tablename__ = "launch_alarms"
    __tenancy__ = shared(append_only=True)
    __table_args__ = (
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "launch_id"], ["launches.vendor_id", "launches.partner_id", "launches.id"]
        ),
        Index(None, "launch_id", "id"),
        Index(None, "vendor_id"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    kind: Mapped[AlarmKind] = mapped_column(state_type(AlarmKind))
    at: Mapped[datetime] = mapped_column(default=clock.now)
    counted: Mapped[int]
    attempted: Mapped[int]
    detail: Mapped[str] = mapped_column(default="")


class DomainDay(Base):
    """What became of one launch's mails to one receiving domain, by the day on which they left (UTC).

    `domain` is empty for the domains beyond the launch's largest, and for erased people. `sender` is the address
    that the mails were from.
    """

    __tablename__ = "domain_days"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        tenant_key("partner_id", "launch_id", "launches"),
        Index("ix_domain_days_read", "partner_id", "day", "sender"),
    )
    launch_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID]
    sender: Mapped[str]
    sent: Mapped[int]
    failed: Mapped[int]
    bounced: Mapped[int]
    complained: Mapped[int]


class DomainCount(Base):
    """After which count of a launch's totals its DomainDay rows were made: LaunchTotals.counted_at of then."""

    __tablename__ = "domain_counts"
    __tenancy__ = private("partner_id")
    __table_args__ = (tenant_key("partner_id", "launch_id", "launches"),)
    launch_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID]
    counted_at: Mapped[datetime]
