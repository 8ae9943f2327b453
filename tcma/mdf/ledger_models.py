"""The double-entry ledger: accounts, transactions that sum to zero, and immutable entries."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma import clock
from tcma.db import ORG, Base, BigKey, UuidKey, granted, state_type, tenant_key
from tcma.mdf.states import AccountKind, Side


class LedgerAccount(UuidKey, Base):
    """One account of a vendor in one currency: of a fund, of a partner in it, of a request or claim."""

    __tablename__ = "ledger_accounts"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}")
    __table_args__ = (
        UniqueConstraint("vendor_id", "id"),
        Index(
            "uq_ledger_accounts_one", "vendor_id", "fund_id", "kind", "partner_id", "ref_id", "currency",
            unique=True, postgresql_nulls_not_distinct=True,
        ),
        Index(None, "ref_id"),
    )  # fmt: skip
    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    fund_id: Mapped[UUID] = mapped_column(ForeignKey("funds.id"))
    partner_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    kind: Mapped[AccountKind] = mapped_column(state_type(AccountKind))
    ref_id: Mapped[UUID | None]
    currency: Mapped[str] = mapped_column(String(3))


class LedgerTransaction(UuidKey, Base):
    """One event of money, posted once: unique by (source type, source id, event)."""

    __tablename__ = "ledger_transactions"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}", append_only=True)
    __table_args__ = (
        UniqueConstraint("vendor_id", "source_type", "source_id", "event"),
        UniqueConstraint("vendor_id", "id"),
        Index(None, "partner_id"),
    )
    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    partner_id: Mapped[UUID | None]
    fund_id: Mapped[UUID] = mapped_column(ForeignKey("funds.id"))
    source_type: Mapped[str]
    source_id: Mapped[UUID]
    event: Mapped[str]
    memo: Mapped[str] = mapped_column(default="")
    reverses_id: Mapped[UUID | None]
    posted_by: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(default=clock.now)

    entries: Mapped[list[LedgerEntry]] = relationship(back_populates="transaction", order_by="LedgerEntry.id")


class LedgerEntry(BigKey, Base):
    """One leg: a positive amount on the debit or the credit side. Nobody updates or deletes it."""

    __tablename__ = "ledger_entries"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}", append_only=True)
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="positive"),
        tenant_key("vendor_id", "transaction_id", "ledger_transactions"),
        tenant_key("vendor_id", "account_id", "ledger_accounts"),
        Index(None, "account_id", "id"),
        Index(None, "transaction_id"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    transaction_id: Mapped[UUID]
    account_id: Mapped[UUID]
    side: Mapped[Side] = mapped_column(state_type(Side))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))

    transaction: Mapped[LedgerTransaction] = relationship(back_populates="entries")
    account: Mapped[LedgerAccount] = relationship(viewonly=True, primaryjoin="LedgerEntry.account_id == foreign(LedgerAccount.id)", uselist=False)
