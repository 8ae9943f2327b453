"""Programmes, funds, allocations, requests with activities, claims with lines and proof, payments.

Amounts are bigint minor units with their ISO currency in the row. Balances live in the ledger only.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Numeric,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma import clock
from tcma.access import Actor
from tcma.db import ORG, Base, BigKey, Created, UuidKey, granted, private, shared, state_type, tenant_key
from tcma.errors import Forbidden, Invalid
from tcma.machine import Machine
from tcma.mdf.states import (
    BATCH_MOVES,
    CLAIM_MOVES,
    PROGRAMME_MOVES,
    REQUEST_MOVES,
    BatchStatus,
    ClaimStatus,
    ProgrammeStatus,
    ProofKind,
    RequestStatus,
)
from tcma.money import Money

_MY_VENDOR = (
    "EXISTS (SELECT 1 FROM partnerships p WHERE p.vendor_id = {table}.vendor_id "
    f"AND p.partner_id = {ORG} AND p.status IN ('active', 'suspended'))"
)


def _parties() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["vendor_id", "partner_id"], ["partnerships.vendor_id", "partnerships.partner_id"])


class Programme(UuidKey, Created, Machine, Base):
    """MDF rules: share, cap, window, activity types, evidence. `rule_version` is stored with each decision."""

    __tablename__ = "programmes"
    __tenancy__ = granted("vendor_id", "status <> 'draft' AND " + _MY_VENDOR.format(table="programmes"))
    __table_args__ = (
        UniqueConstraint("vendor_id", "id"),
        CheckConstraint("share_percent > 0 AND share_percent <= 100", name="share"),
        CheckConstraint("begins_on <= ends_on", name="window"),
    )
    moves = PROGRAMME_MOVES
    noun = "programme"

    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    status: Mapped[ProgrammeStatus] = mapped_column(state_type(ProgrammeStatus), default=ProgrammeStatus.DRAFT)
    name: Mapped[str]
    guidelines: Mapped[str] = mapped_column(default="")
    currency: Mapped[str] = mapped_column(String(3))
    share_percent: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    cap_minor: Mapped[int] = mapped_column(BigInteger)
    begins_on: Mapped[date]
    ends_on: Mapped[date]
    zone: Mapped[str] = mapped_column(default="UTC")
    claim_days: Mapped[int] = mapped_column(default=30)
    lead_days: Mapped[int] = mapped_column(default=0)
    gl_code: Mapped[str] = mapped_column(default="")
    rule_version: Mapped[int] = mapped_column(default=1)

    activity_types: Mapped[list[ActivityType]] = relationship(order_by="ActivityType.position")

    def open(self, *, by: Actor) -> None:
        self.move("open", ProgrammeStatus.ACTIVE, by=by)

    def close(self, *, by: Actor) -> None:
        self.move("close", ProgrammeStatus.CLOSED, by=by)


class ActivityType(UuidKey, Base):
    """A kind of work that a programme pays for, and the evidence it asks."""

    __tablename__ = "activity_types"
    __tenancy__ = granted("vendor_id", _MY_VENDOR.format(table="activity_types"))
    __table_args__ = (
        tenant_key("vendor_id", "programme_id", "programmes"),
        UniqueConstraint("programme_id", "code"),
        UniqueConstraint("vendor_id", "id"),
    )
    vendor_id: Mapped[UUID]
    programme_id: Mapped[UUID]
    code: Mapped[str]
    name: Mapped[str]
    cap_minor: Mapped[int | None] = mapped_column(BigInteger)
    required_evidence: Mapped[list[str]]
    position: Mapped[int] = mapped_column(default=0)


class Fund(UuidKey, Created, Base):
    """Money of a programme. Its budget and balances are in the ledger; lock this row before committing."""

    __tablename__ = "funds"
    __tenancy__ = granted("vendor_id", _MY_VENDOR.format(table="funds"))
    __table_args__ = (tenant_key("vendor_id", "programme_id", "programmes"), UniqueConstraint("vendor_id", "id"))
    vendor_id: Mapped[UUID]
    programme_id: Mapped[UUID]
    name: Mapped[str]
    currency: Mapped[str] = mapped_column(String(3))
    begins_on: Mapped[date]
    ends_on: Mapped[date]
    closed_at: Mapped[datetime | None]

    programme: Mapped[Programme] = relationship()


class Allocation(UuidKey, Created, Base):
    """A partner's part of a fund: one row; its amounts are ledger entries."""

    __tablename__ = "allocations"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}")
    __table_args__ = (
        _parties(),
        tenant_key("vendor_id", "fund_id", "funds"),
        UniqueConstraint("fund_id", "partner_id"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    fund_id: Mapped[UUID]
    expires_on: Mapped[date]


class Request(UuidKey, Created, Machine, Base):
    """A partner's plan for activities with budget, approved before the work."""

    __tablename__ = "requests"
    __tenancy__ = shared()
    __table_args__ = (
        _parties(),
        tenant_key("vendor_id", "programme_id", "programmes"),
        tenant_key("vendor_id", "fund_id", "funds"),
        UniqueConstraint("vendor_id", "partner_id", "id"),
        UniqueConstraint("vendor_id", "number"),
        Index(None, "partner_id"),
    )
    moves = REQUEST_MOVES
    noun = "request"

    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    programme_id: Mapped[UUID]
    fund_id: Mapped[UUID]
    number: Mapped[str]
    status: Mapped[RequestStatus] = mapped_column(state_type(RequestStatus), default=RequestStatus.DRAFT)
    title: Mapped[str]
    purpose: Mapped[str] = mapped_column(default="")
    currency: Mapped[str] = mapped_column(String(3))
    raised_by: Mapped[UUID | None]
    submitted_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    decision_reason: Mapped[str] = mapped_column(default="")
    rule_version: Mapped[int | None]
    claim_until: Mapped[date | None]
    row_version: Mapped[int] = mapped_column(default=1)

    programme: Mapped[Programme] = relationship(viewonly=True, primaryjoin="Request.programme_id == foreign(Programme.id)", uselist=False)
    activities: Mapped[list[Activity]] = relationship(back_populates="request", order_by="Activity.id")
    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012

    @property
    def budget(self) -> Money:
        """What the activities ask of the fund."""
        return Money(sum(activity.requested_minor for activity in self.activities), self.currency)

    def submit(self, *, by: Actor, at: datetime, due_at: datetime) -> None:
        self.move("submit", RequestStatus.SUBMITTED, by=by, also={"amount": self.budget.minor})
        self.submitted_at, self.due_at, self.raised_by = at, due_at, by.user_id

    def approve(self, *, by: Actor, at: datetime, rule_version: int, claim_until: date) -> None:
        _another_person(self.raised_by, by, "raised the request")
        self.move("approve", RequestStatus.APPROVED, by=by, also={"amount": self.budget.minor, "rules": rule_version})
        self.decided_at, self.decided_by = at, by.user_id
        self.rule_version, self.claim_until = rule_version, claim_until

    def give_back(self, *, by: Actor, at: datetime, reason: str) -> None:
        self.move("return", RequestStatus.RETURNED, by=by, reason=reason)
        self.decided_at, self.decided_by, self.decision_reason = at, by.user_id, reason

    def reject(self, *, by: Actor, at: datetime, reason: str) -> None:
        self.move("reject", RequestStatus.REJECTED, by=by, reason=reason)
        self.decided_at, self.decided_by, self.decision_reason = at, by.user_id, reason

    def withdraw(self, *, by: Actor, at: datetime) -> None:
        self.move("withdraw", RequestStatus.WITHDRAWN, by=by)
        self.decided_at = at

    def expire(self, *, by: Actor, at: datetime) -> None:
        self.move("expire", RequestStatus.EXPIRED, by=by)
        self.decided_at = at


class Activity(UuidKey, Created, Base):
    """One piece of work in a request. `requested` is the fund's part of `cost`; `committed` is set at approval.

    The launch that carried it out is linked by `launch_id`; `approved_sha256` is the content approved.
    """

    __tablename__ = "activities"
    __tenancy__ = shared()
    __table_args__ = (
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "request_id"], ["requests.vendor_id", "requests.partner_id", "requests.id"]
        ),
        tenant_key("vendor_id", "activity_type_id", "activity_types"),
        UniqueConstraint("vendor_id", "partner_id", "id"),
        Index(None, "launch_id"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    request_id: Mapped[UUID]
    activity_type_id: Mapped[UUID]
    title: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    currency: Mapped[str] = mapped_column(String(3))
    cost_minor: Mapped[int] = mapped_column(BigInteger)
    requested_minor: Mapped[int] = mapped_column(BigInteger)
    committed_minor: Mapped[int | None] = mapped_column(BigInteger)
    campaign_version_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaign_versions.id"))
    approved_sha256: Mapped[str | None] = mapped_column(String(64))
    launch_id: Mapped[UUID | None] = mapped_column(ForeignKey("launches.id"))
    expected_reach: Mapped[int | None]

    request: Mapped[Request] = relationship(back_populates="activities")
    activity_type: Mapped[ActivityType] = relationship(
        viewonly=True, primaryjoin="Activity.activity_type_id == foreign(ActivityType.id)", uselist=False
    )
    proofs: Mapped[list[Proof]] = relationship(order_by="Proof.id", back_populates="activity")


class Claim(UuidKey, Created, Machine, Base):
    """Lines against one approved activity, with the amount claimed and, apart from it, the amount approved."""

    __tablename__ = "claims"
    __tenancy__ = shared()
    __table_args__ = (
        _parties(),
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "activity_id"], ["activities.vendor_id", "activities.partner_id", "activities.id"]
        ),
        tenant_key("vendor_id", "fund_id", "funds"),
        UniqueConstraint("vendor_id", "partner_id", "id"),
        UniqueConstraint("vendor_id", "number"),
        Index(None, "partner_id"),
        Index(None, "vendor_id", "status", "due_at"),
    )
    moves = CLAIM_MOVES
    noun = "claim"

    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    fund_id: Mapped[UUID]
    activity_id: Mapped[UUID]
    number: Mapped[str]
    status: Mapped[ClaimStatus] = mapped_column(state_type(ClaimStatus), default=ClaimStatus.DRAFT)
    currency: Mapped[str] = mapped_column(String(3))
    claimed_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    approved_minor: Mapped[int | None] = mapped_column(BigInteger)
    claimed_reach: Mapped[int | None]
    raised_by: Mapped[UUID | None]
    submitted_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    decision_code: Mapped[str] = mapped_column(default="")
    decision_reason: Mapped[str] = mapped_column(default="")
    rule_version: Mapped[int | None]
    paid_at: Mapped[datetime | None]
    row_version: Mapped[int] = mapped_column(default=1)

    activity: Mapped[Activity] = relationship(viewonly=True, primaryjoin="Claim.activity_id == foreign(Activity.id)", uselist=False)
    lines: Mapped[list[ClaimLine]] = relationship(back_populates="claim", order_by="ClaimLine.position")
    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012

    @property
    def claimed(self) -> Money:
        return Money(self.claimed_minor, self.currency)

    @property
    def approved(self) -> Money | None:
        return None if self.approved_minor is None else Money(self.approved_minor, self.currency)

    def submit(self, *, by: Actor, amount: Money, at: datetime, due_at: datetime) -> None:
        if amount.currency != self.currency or amount.minor <= 0:
            raise Invalid({"amount": f"Claim an amount above zero in {self.currency}."})
        self.move("submit", ClaimStatus.SUBMITTED, by=by, also={"amount": amount.minor})
        self.claimed_minor, self.submitted_at, self.due_at, self.raised_by = amount.minor, at, due_at, by.user_id
        self.decision_code = self.decision_reason = ""

    def approve(self, *, by: Actor, amount: Money, at: datetime, rule_version: int, code: str = "", reason: str = "") -> None:
        """Approve up to the amount claimed; less is a short-pay and wants a reason."""
        _another_person(self.raised_by, by, "raised the claim")
        if amount.currency != self.currency or amount.minor <= 0:
            raise Invalid({"amount": f"Approve an amount above zero in {self.currency}, or deny the claim."})
        if amount.minor > self.claimed_minor:
            raise Invalid({"amount": f"Only {self.claimed.format()} was claimed. Approve that or less."})
        if amount.minor < self.claimed_minor and not (code and reason):
            raise Invalid({"reason": "Paying less than claimed needs a reason that the partner can read."})
        self.move("approve", ClaimStatus.APPROVED, by=by, reason=reason or None, also={"amount": amount.minor, "rules": rule_version})
        self.approved_minor, self.decided_at, self.decided_by = amount.minor, at, by.user_id
        self.decision_code, self.decision_reason, self.rule_version = code, reason, rule_version

    def give_back(self, *, by: Actor, code: str, reason: str, at: datetime) -> None:
        self.move("return", ClaimStatus.RETURNED, by=by, reason=reason, also={"code": code})
        self.decided_at, self.decided_by, self.decision_code, self.decision_reason = at, by.user_id, code, reason

    def deny(self, *, by: Actor, code: str, reason: str, at: datetime) -> None:
        _another_person(self.raised_by, by, "raised the claim")
        self.move("deny", ClaimStatus.DENIED, by=by, reason=reason, also={"code": code})
        self.decided_at, self.decided_by, self.decision_code, self.decision_reason = at, by.user_id, code, reason

    def withdraw(self, *, by: Actor, at: datetime) -> None:
        self.move("withdraw", ClaimStatus.WITHDRAWN, by=by)
        self.decided_at = at

    def batch(self, *, by: Actor) -> None:
        self.move("batch", ClaimStatus.PAYMENT_DUE, by=by)

    def unbatch(self, *, by: Actor) -> None:
        self.require_status("unbatch", ClaimStatus.PAYMENT_DUE)
        self.move("unbatch", ClaimStatus.APPROVED, by=by)

    def pay(self, *, by: Actor, at: datetime) -> None:
        self.move("pay", ClaimStatus.PAID, by=by)
        self.paid_at = at


def _another_person(first: UUID | None, by: Actor, did: str) -> None:
    """Four eyes: raiser ≠ approver ≠ payer (facts/money, Controls)."""
    if first is not None and first == by.user_id:
        raise Forbidden(f"You {did}, so someone else must decide. Ask a colleague in finance.")


class ClaimLine(UuidKey, Base):
    """One cost in a claim."""

    __tablename__ = "claim_lines"
    __tenancy__ = shared()
    __table_args__ = (
        ForeignKeyConstraint(["vendor_id", "partner_id", "claim_id"], ["claims.vendor_id", "claims.partner_id", "claims.id"]),
        Index(None, "claim_id", "position"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    claim_id: Mapped[UUID]
    position: Mapped[int]
    description: Mapped[str]
    net_minor: Mapped[int] = mapped_column(BigInteger)
    tax_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    currency: Mapped[str] = mapped_column(String(3))
    approved_minor: Mapped[int | None] = mapped_column(BigInteger)
    reason_code: Mapped[str] = mapped_column(default="")

    claim: Mapped[Claim] = relationship(back_populates="lines")


class Proof(UuidKey, Created, Base):
    """Evidence hanging off an activity: an uploaded file, or the launch's own sealed statement."""

    __tablename__ = "proofs"
    __tenancy__ = shared()
    __table_args__ = (
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "activity_id"], ["activities.vendor_id", "activities.partner_id", "activities.id"]
        ),
        Index(None, "activity_id"),
        Index(None, "vendor_id", "sha256"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    activity_id: Mapped[UUID]
    kind: Mapped[ProofKind] = mapped_column(state_type(ProofKind))
    filename: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    text_sha256: Mapped[str | None] = mapped_column(String(64))
    storage_key: Mapped[str | None]
    statement_id: Mapped[UUID | None] = mapped_column(ForeignKey("statements.id"))
    read: Mapped[dict[str, Any]]
    supplier: Mapped[str] = mapped_column(default="")
    supplier_tax_id: Mapped[str] = mapped_column(default="")
    buyer: Mapped[str] = mapped_column(default="")
    invoice_number: Mapped[str] = mapped_column(default="")
    invoice_date: Mapped[date | None]
    currency: Mapped[str | None] = mapped_column(String(3))
    net_minor: Mapped[int | None] = mapped_column(BigInteger)
    tax_minor: Mapped[int | None] = mapped_column(BigInteger)
    gross_minor: Mapped[int | None] = mapped_column(BigInteger)
    uploaded_by: Mapped[UUID | None]
    removed_at: Mapped[datetime | None]

    activity: Mapped[Activity] = relationship(back_populates="proofs")


class Statement(UuidKey, Base):
    """The sealed proof of performance of a launch. An edition stores its cut, so that it can be recomputed."""

    __tablename__ = "statements"
    __tenancy__ = shared(append_only=True)
    __table_args__ = (
        ForeignKeyConstraint(
            ["vendor_id", "partner_id", "launch_id"], ["launches.vendor_id", "launches.partner_id", "launches.id"]
        ),
        UniqueConstraint("launch_id", "edition"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    launch_id: Mapped[UUID]
    edition: Mapped[int]
    cut: Mapped[int] = mapped_column(BigInteger)
    classification_version: Mapped[int]
    figures: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    seal: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(default=clock.now)


class FindingRow(BigKey, Base):
    """The result of one check in one run over a claim."""

    __tablename__ = "findings"
    __tenancy__ = shared(append_only=True)
    __table_args__ = (
        ForeignKeyConstraint(["vendor_id", "partner_id", "claim_id"], ["claims.vendor_id", "claims.partner_id", "claims.id"]),
        Index(None, "claim_id", "run", "id"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    claim_id: Mapped[UUID]
    run: Mapped[int]
    code: Mapped[str]
    verdict: Mapped[str]
    expected: Mapped[str]
    actual: Mapped[str]
    tolerance: Mapped[str]
    why: Mapped[str]
    mend: Mapped[str]
    rule_version: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=clock.now)


class Payee(Base):
    """Where a partner is paid. The account number is encrypted; a change needs a cooling-off time."""

    __tablename__ = "payees"
    __tenancy__ = granted(
        "partner_id",
        f"EXISTS (SELECT 1 FROM partnerships p WHERE p.partner_id = payees.partner_id AND p.vendor_id = {ORG})",
    )
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    holder: Mapped[str]
    account_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    account_last4: Mapped[str] = mapped_column(String(4))
    bic: Mapped[str] = mapped_column(default="")
    country: Mapped[str] = mapped_column(String(2))
    town: Mapped[str] = mapped_column(default="")
    changed_by: Mapped[UUID | None]
    changed_at: Mapped[datetime] = mapped_column(default=clock.now)

    @property
    def id(self) -> UUID:
        return self.partner_id


class PaymentBatch(UuidKey, Created, Machine, Base):
    """Payments that leave in one file, with a maker and a checker; the file is immutable, known by its hash."""

    __tablename__ = "payment_batches"
    __tenancy__ = private("vendor_id")
    __table_args__ = (UniqueConstraint("vendor_id", "id"), UniqueConstraint("vendor_id", "number"))
    moves = BATCH_MOVES
    noun = "payment batch"

    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    number: Mapped[str]
    status: Mapped[BatchStatus] = mapped_column(state_type(BatchStatus), default=BatchStatus.DRAFT)
    currency: Mapped[str] = mapped_column(String(3))
    total_minor: Mapped[int] = mapped_column(BigInteger)
    made_by: Mapped[UUID | None]
    checked_by: Mapped[UUID | None]
    checked_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    file_key: Mapped[str | None]
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    row_version: Mapped[int] = mapped_column(default=1)

    payments: Mapped[list[Payment]] = relationship(
        order_by="Payment.id", viewonly=True, primaryjoin="PaymentBatch.id == foreign(Payment.batch_id)"
    )
    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012

    def check(self, *, by: Actor, file_key: str, file_sha256: str, at: datetime) -> None:
        _another_person(self.made_by, by, "made this batch")
        self.move("check", BatchStatus.CHECKED, by=by, also={"sha256": file_sha256})
        self.checked_by, self.checked_at, self.file_key, self.file_sha256 = by.user_id, at, file_key, file_sha256

    def pay(self, *, by: Actor, at: datetime) -> None:
        self.move("pay", BatchStatus.PAID, by=by)
        self.paid_at = at

    def cancel(self, *, by: Actor, reason: str) -> None:
        self.move("cancel", BatchStatus.CANCELLED, by=by, reason=reason)


class Payment(UuidKey, Created, Base):
    """One claim's payment in a batch."""

    __tablename__ = "payments"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}")
    __table_args__ = (
        ForeignKeyConstraint(["vendor_id", "partner_id", "claim_id"], ["claims.vendor_id", "claims.partner_id", "claims.id"]),
        tenant_key("vendor_id", "batch_id", "payment_batches"),
        UniqueConstraint("batch_id", "claim_id"),
        Index(None, "partner_id"),
    )
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    claim_id: Mapped[UUID]
    batch_id: Mapped[UUID]
    end_to_end_id: Mapped[str] = mapped_column(String(35), unique=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    cancelled_at: Mapped[datetime | None]

    claim: Mapped[Claim] = relationship(viewonly=True, primaryjoin="Payment.claim_id == foreign(Claim.id)", uselist=False)
