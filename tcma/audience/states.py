"""States of imports; bases of consent; scopes and reasons of suppression."""

from __future__ import annotations

from enum import StrEnum


class ImportStatus(StrEnum):
    UPLOADED = "uploaded"
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


IMPORT_MOVES = {
    ImportStatus.UPLOADED: frozenset({ImportStatus.QUEUED, ImportStatus.CANCELLED}),
    ImportStatus.QUEUED: frozenset({ImportStatus.RUNNING, ImportStatus.CANCELLED, ImportStatus.FAILED}),
    ImportStatus.RUNNING: frozenset({ImportStatus.FINISHED, ImportStatus.FAILED, ImportStatus.CANCELLED}),
    ImportStatus.FAILED: frozenset({ImportStatus.QUEUED}),
    ImportStatus.FINISHED: frozenset(),
    ImportStatus.CANCELLED: frozenset(),
}


class ConsentBasis(StrEnum):
    OPT_IN = "opt_in"
    DOUBLE_OPT_IN = "double_opt_in"
    EXISTING_CUSTOMER = "existing_customer"
    LEGITIMATE_INTEREST = "legitimate_interest"
    CONTRACT = "contract"


class SuppressionScope(StrEnum):
    PLATFORM = "platform"
    VENDOR = "vendor"
    PARTNER = "partner"


class SuppressionReason(StrEnum):
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    MANUAL = "manual"
    ERASED = "erased"
    PAUSED = "paused"
