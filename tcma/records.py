"""Tables of the foundation: stored token buckets, sweeps, heartbeats, the outbox and idempotency keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Index, Integer, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tcma import clock
from tcma.db import GLOBAL, ORG, Base, Created, Tenancy, UuidKey, private


class TokenBucket(Base):
    """A stored token bucket: sign-in, API and delivery limits alike. The key names what is limited, hashed."""

    __tablename__ = "token_buckets"
    __tenancy__ = GLOBAL
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    tokens: Mapped[float] = mapped_column(Float)
    updated_at: Mapped[datetime]


class Sweep(Base):
    """When a periodic job is due next; each tick is a compare-and-set on `next_run_at`."""

    __tablename__ = "sweeps"
    __tenancy__ = GLOBAL
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    every_seconds: Mapped[int]
    next_run_at: Mapped[datetime]
    last_run_at: Mapped[datetime | None]


class Heartbeat(Base):
    """The last sign of life of one running part."""

    __tablename__ = "heartbeats"
    __tenancy__ = GLOBAL
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    part: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    beat_at: Mapped[datetime]


class OutboxMail(UuidKey, Created, Base):
    """One notification mail that must go out: written with what caused it, sent after the commit."""

    __tablename__ = "outbox"
    __tenancy__ = Tenancy("organization-private", rows=f"organization_id = {ORG}")
    __table_args__ = (
        Index("ix_outbox_due", "due_at", postgresql_where=text("sent_at IS NULL AND failed_at IS NULL")),
        Index(None, "organization_id", "once_key", unique=True),
    )
    organization_id: Mapped[UUID | None]
    to_address: Mapped[str]
    to_name: Mapped[str] = mapped_column(default="")
    template: Mapped[str]
    data: Mapped[dict[str, Any]]
    once_key: Mapped[str | None]
    due_at: Mapped[datetime] = mapped_column(default=clock.now)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class IdempotencyKey(Created, Base):
    """The answer to a POST that sends or pays, kept so that a repeat gets the same one."""

    __tablename__ = "idempotency_keys"
    __tenancy__ = private("organization_id")
    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(Integer)
    body: Mapped[dict[str, Any] | None]
