"""Who mail is from: the domains that sign, their keys, and the identities on them.

Rows without a partner are the platform's own domain and its keys: every tenant reads them, for a partner without a
verified domain sends from there; only the service itself writes them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma.access import Actor
from tcma.db import Base, Created, UuidKey, granted, private, state_type, tenant_key
from tcma.delivery.senders_states import KEY_MOVES, SENDER_MOVES, KeyStatus, SenderStatus
from tcma.machine import Machine

_OWN_AND_PLATFORM = granted("partner_id", "partner_id IS NULL")


class SendingDomain(UuidKey, Created, Base):
    """A domain that mail is from and what DNS said of it last.

    `name` is ASCII, in lower case. `findings` are those of `domain_check.Finding`. `verified_at` is since when the
    needed records have stood; `lost_at` since when they have been gone again. `next_check_at` is when the sweep
    looks anew, None for never. `returns_to` is the platform's domain to which the domain's own return path was seen to
    lead last, None for none.
    """

    __tablename__ = "sending_domains"
    __tenancy__ = _OWN_AND_PLATFORM
    __table_args__ = (
        UniqueConstraint("partner_id", "id"),
        UniqueConstraint("partner_id", "name", postgresql_nulls_not_distinct=True),
        Index(None, "next_check_at"),
    )
    partner_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(String(253))
    findings: Mapped[list[Any]] = mapped_column(default=list)
    checked_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    lost_at: Mapped[datetime | None]
    returns_to: Mapped[str | None] = mapped_column(String(253))
    keys: Mapped[list[DkimKey]] = relationship(
        primaryjoin="SendingDomain.id == foreign(DkimKey.domain_id)", order_by="DkimKey.created_at", viewonly=True
    )


class DkimKey(Machine, UuidKey, Created, Base):
    """An RSA key that signs for one domain. The private half is encrypted, and wiped once the key is retired.

    `public_key` is the value of the record's `p=`: base64 of the DER form (RFC 6376 §3.6.1).
    """

    __tablename__ = "dkim_keys"
    __tenancy__ = _OWN_AND_PLATFORM
    __table_args__ = (
        tenant_key("partner_id", "domain_id", "sending_domains"),
        UniqueConstraint("domain_id", "selector"),
        Index("uq_dkim_keys_active", "domain_id", unique=True, postgresql_where=text("status = 'active'")),
        Index("uq_dkim_keys_pending", "domain_id", unique=True, postgresql_where=text("status = 'pending'")),
    )
    moves = KEY_MOVES
    noun = "dkim_key"
    partner_id: Mapped[UUID | None]
    # Beside the composite key, which does not look where there is no partner.
    domain_id: Mapped[UUID] = mapped_column(ForeignKey("sending_domains.id"))
    selector: Mapped[str] = mapped_column(String(63))
    public_key: Mapped[str]
    private_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    status: Mapped[KeyStatus] = mapped_column(state_type(KeyStatus), default=KeyStatus.PENDING)
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]

    def activate(self, *, by: Actor, at: datetime) -> None:
        """DNS shows it: sign with it from now on."""
        self.move("activate", KeyStatus.ACTIVE, by=by, also={"selector": self.selector})
        self.activated_at = at

    def retire(self, *, by: Actor, at: datetime, reason: str | None = None) -> None:
        """Sign no more with it; mails on their way still need its record for some days."""
        self.move("retire", KeyStatus.RETIRED, by=by, reason=reason, also={"selector": self.selector})
        self.retired_at, self.private_key = at, None


class SendingIdentity(Machine, UuidKey, Created, Base):
    """A name and an address that a partner's mail may be from. It follows the verdicts on its domain."""

    __tablename__ = "sending_identities"
    __tenancy__ = private("partner_id")
    __table_args__ = (
        tenant_key("partner_id", "domain_id", "sending_domains"),
        Index(
            "uq_sending_identities_address", "partner_id", "address", unique=True,
            postgresql_where=text("status <> 'retired'"),
        ),
        Index("uq_sending_identities_default", "partner_id", unique=True, postgresql_where=text("is_default")),
        Index(None, "domain_id"),
    )  # fmt: skip
    moves = SENDER_MOVES
    noun = "sender"
    partner_id: Mapped[UUID]
    domain_id: Mapped[UUID] = mapped_column(ForeignKey("sending_domains.id"))
    name: Mapped[str] = mapped_column(String(120))
    address: Mapped[str] = mapped_column(String(254))
    reply_to: Mapped[str] = mapped_column(String(254), default="")
    status: Mapped[SenderStatus] = mapped_column(state_type(SenderStatus), default=SenderStatus.PENDING)
    is_default: Mapped[bool] = mapped_column(default=False)
    verified_at: Mapped[datetime | None]
    domain: Mapped[SendingDomain] = relationship(
        primaryjoin="SendingDomain.id == foreign(SendingIdentity.domain_id)", viewonly=True
    )

    def verify(self, *, by: Actor, at: datetime) -> None:
        self.move("verify", SenderStatus.VERIFIED, by=by)
        self.verified_at = at

    def lapse(self, *, by: Actor, reason: str) -> None:
        """Its records are gone: new launches use another sender until they are back."""
        self.move("lapse", SenderStatus.LAPSED, by=by, reason=reason)
        self.verified_at = None

    def retire(self, *, by: Actor) -> None:
        self.move("retire", SenderStatus.RETIRED, by=by)
        self.is_default = False
