"""Identifiers of objects: UUIDv7 (RFC 9562 §5.7), made in Python, sorted by time of making."""

from __future__ import annotations

import os
from itertools import count
from uuid import UUID

from tcma import clock

_order = count(int.from_bytes(os.urandom(1), "big"))


def new_id() -> UUID:
    """A fresh UUIDv7 of the product's clock, so that a moved clock keeps the order of things.

    48 bits of milliseconds, a 12-bit counter of this process (RFC 9562 §6.2 method 1), 62 random bits.
    """
    milliseconds = int(clock.now().timestamp() * 1000)
    value = milliseconds << 80 | 0x7 << 76 | (next(_order) & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=value)
