"""States of partnerships and members."""

from __future__ import annotations

from enum import StrEnum


class PartnershipStatus(StrEnum):
    INVITED = "invited"
    APPLYING = "applying"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"
    DECLINED = "declined"


PARTNERSHIP_MOVES = {
    PartnershipStatus.INVITED: frozenset(
        {PartnershipStatus.ACTIVE, PartnershipStatus.DECLINED, PartnershipStatus.ENDED}
    ),
    PartnershipStatus.APPLYING: frozenset(
        {PartnershipStatus.INVITED, PartnershipStatus.ACTIVE, PartnershipStatus.DECLINED}
    ),
    PartnershipStatus.ACTIVE: frozenset({PartnershipStatus.SUSPENDED, PartnershipStatus.ENDED}),
    PartnershipStatus.SUSPENDED: frozenset({PartnershipStatus.ACTIVE, PartnershipStatus.ENDED}),
    PartnershipStatus.ENDED: frozenset({PartnershipStatus.ACTIVE}),
    PartnershipStatus.DECLINED: frozenset({PartnershipStatus.APPLYING}),
}


class InvitationKind(StrEnum):
    MEMBER = "member"
    PARTNER = "partner"
    APPLICATION = "application"
