"""Nudges: what a vendor sent to a partner who went quiet."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from tcma.db import Base, Created, UuidKey, shared


class Nudge(UuidKey, Created, Base):
    """One reminder mail to a partner, and the step it was about."""

    __tablename__ = "nudges"
    __tenancy__ = shared()
    __table_args__ = (
        ForeignKeyConstraint(["vendor_id", "partner_id"], ["partnerships.vendor_id", "partnerships.partner_id"]),
        Index(None, "vendor_id", "partner_id", "created_at"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    step: Mapped[str]
    message: Mapped[str] = mapped_column(default="")
    sent_by: Mapped[UUID | None]
