"""States of sending identities and of DKIM keys."""

from __future__ import annotations

from enum import StrEnum


class SenderStatus(StrEnum):
    """`pending`: the records are not seen yet; `lapsed`: they were there and are gone or changed."""

    PENDING = "pending"
    VERIFIED = "verified"
    LAPSED = "lapsed"
    RETIRED = "retired"


SENDER_MOVES = {
    SenderStatus.PENDING: frozenset({SenderStatus.VERIFIED, SenderStatus.RETIRED}),
    SenderStatus.VERIFIED: frozenset({SenderStatus.LAPSED, SenderStatus.RETIRED}),
    SenderStatus.LAPSED: frozenset({SenderStatus.VERIFIED, SenderStatus.RETIRED}),
    SenderStatus.RETIRED: frozenset(),
}


class KeyStatus(StrEnum):
    """`pending`: made, its record not seen in DNS yet; `active`: signs; `retired`: its private half is gone."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


KEY_MOVES = {
    KeyStatus.PENDING: frozenset({KeyStatus.ACTIVE, KeyStatus.RETIRED}),
    KeyStatus.ACTIVE: frozenset({KeyStatus.RETIRED}),
    KeyStatus.RETIRED: frozenset(),
}
