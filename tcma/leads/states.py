"""States of leads."""

from __future__ import annotations

from enum import StrEnum


class LeadStatus(StrEnum):
    NEW = "new"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WORKING = "working"
    WON = "won"
    LOST = "lost"


LEAD_MOVES = {
    LeadStatus.NEW: frozenset({LeadStatus.ACCEPTED, LeadStatus.REJECTED}),
    LeadStatus.ACCEPTED: frozenset({LeadStatus.WORKING, LeadStatus.WON, LeadStatus.LOST, LeadStatus.REJECTED}),
    LeadStatus.WORKING: frozenset({LeadStatus.WON, LeadStatus.LOST}),
    LeadStatus.REJECTED: frozenset({LeadStatus.ACCEPTED}),
    LeadStatus.WON: frozenset({LeadStatus.WORKING}),
    LeadStatus.LOST: frozenset({LeadStatus.WORKING}),
}


class RejectReason(StrEnum):
    NOT_A_FIT = "not_a_fit"
    NOT_REACHABLE = "not_reachable"
    ALREADY_CUSTOMER = "already_customer"
    COMPETITOR = "competitor"
    DUPLICATE = "duplicate"
    SPAM = "spam"
    OTHER = "other"
