"""How fast and how often: providers in trouble, and how often a partner writes to one person."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from tcma import clock
from tcma.db import GLOBAL, Base, UuidKey, private


class ProviderBreaker(Base):
    """A provider that refused us altogether: nothing is tried with it until `open_until`. No row: all is well."""

    __tablename__ = "provider_breakers"
    __tenancy__ = GLOBAL
    provider: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    open_until: Mapped[datetime]
    last_error: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(default=clock.now)


class SendingRules(UuidKey, Base):
    """One partner's rule for all its launches: at most `cap_mails` to one person in `cap_days`. No row: no cap."""

    __tablename__ = "sending_rules"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        CheckConstraint("cap_mails BETWEEN 1 AND 100", name="cap_mails"),
        CheckConstraint("cap_days BETWEEN 1 AND 365", name="cap_days"),
    )
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), unique=True)
    cap_mails: Mapped[int]
    cap_days: Mapped[int]
    changed_by: Mapped[UUID | None]
    changed_at: Mapped[datetime] = mapped_column(default=clock.now)
