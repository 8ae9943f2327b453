"""States of programmes, requests, claims, claim lines and payments; kinds of ledger accounts and evidence."""

from __future__ import annotations

from enum import StrEnum


class ProgrammeStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    CLOSED = "closed"


PROGRAMME_MOVES = {
    ProgrammeStatus.DRAFT: frozenset({ProgrammeStatus.ACTIVE, ProgrammeStatus.CLOSED}),
    ProgrammeStatus.ACTIVE: frozenset({ProgrammeStatus.CLOSED}),
    ProgrammeStatus.CLOSED: frozenset({ProgrammeStatus.ACTIVE}),
}


class RequestStatus(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


REQUEST_MOVES = {
    RequestStatus.DRAFT: frozenset({RequestStatus.SUBMITTED, RequestStatus.WITHDRAWN}),
    RequestStatus.SUBMITTED: frozenset(
        {RequestStatus.APPROVED, RequestStatus.RETURNED, RequestStatus.REJECTED, RequestStatus.WITHDRAWN}
    ),
    RequestStatus.RETURNED: frozenset({RequestStatus.SUBMITTED, RequestStatus.WITHDRAWN}),
    RequestStatus.APPROVED: frozenset({RequestStatus.EXPIRED, RequestStatus.WITHDRAWN}),
    RequestStatus.REJECTED: frozenset(),
    RequestStatus.WITHDRAWN: frozenset(),
    RequestStatus.EXPIRED: frozenset(),
}


class ClaimStatus(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    PAYMENT_DUE = "payment_due"
    PAID = "paid"


CLAIM_MOVES = {
    ClaimStatus.DRAFT: frozenset({ClaimStatus.SUBMITTED, ClaimStatus.WITHDRAWN}),
    ClaimStatus.SUBMITTED: frozenset(
        {ClaimStatus.APPROVED, ClaimStatus.RETURNED, ClaimStatus.DENIED, ClaimStatus.WITHDRAWN}
    ),
    ClaimStatus.RETURNED: frozenset({ClaimStatus.SUBMITTED, ClaimStatus.WITHDRAWN}),
    ClaimStatus.APPROVED: frozenset({ClaimStatus.PAYMENT_DUE}),
    ClaimStatus.PAYMENT_DUE: frozenset({ClaimStatus.PAID, ClaimStatus.APPROVED}),
    ClaimStatus.DENIED: frozenset(),
    ClaimStatus.WITHDRAWN: frozenset(),
    ClaimStatus.PAID: frozenset(),
}


class BatchStatus(StrEnum):
    DRAFT = "draft"
    CHECKED = "checked"
    PAID = "paid"
    CANCELLED = "cancelled"


BATCH_MOVES = {
    BatchStatus.DRAFT: frozenset({BatchStatus.CHECKED, BatchStatus.CANCELLED}),
    BatchStatus.CHECKED: frozenset({BatchStatus.PAID, BatchStatus.CANCELLED}),
    BatchStatus.PAID: frozenset(),
    BatchStatus.CANCELLED: frozenset(),
}


class AccountKind(StrEnum):
    CONTROL = "control"
    BUDGET = "budget"
    ALLOCATED = "allocated"
    COMMITTED = "committed"
    CLAIMED = "claimed"
    PAYABLE = "payable"
    CASH = "cash"
    EXPIRED = "expired"
    RECEIVABLE = "receivable"


class Side(StrEnum):
    DEBIT = "debit"
    CREDIT = "credit"


class ProofKind(StrEnum):
    INVOICE = "invoice"
    PAYMENT_RECEIPT = "payment_receipt"
    PHOTO = "photo"
    STATEMENT = "statement"
    OTHER = "other"


class ReturnReason(StrEnum):
    MISSING_EVIDENCE = "missing_evidence"
    WRONG_AMOUNT = "wrong_amount"
    NOT_ELIGIBLE = "not_eligible"
    OUT_OF_WINDOW = "out_of_window"
    DUPLICATE = "duplicate"
    UNCLEAR = "unclear"
    OTHER = "other"
