"""Stored token buckets: one mechanism for sign-in, the API, forms and delivery."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tcma import clock
from tcma.errors import RateLimited

_TAKE = text(
    """
    INSERT INTO token_buckets AS b (key, tokens, updated_at) VALUES (:key, :burst - :cost, :now)
    ON CONFLICT (key) DO UPDATE SET
        tokens = least(:burst, b.tokens + greatest(0, extract(epoch FROM :now - b.updated_at)) * :rate) - :cost,
        updated_at = greatest(b.updated_at, :now)
    WHERE least(:burst, b.tokens + greatest(0, extract(epoch FROM :now - b.updated_at)) * :rate) >= :cost
    RETURNING tokens
    """
)


_FILL = text(
    "INSERT INTO token_buckets (key, tokens, updated_at) VALUES (:key, :burst, :now) ON CONFLICT (key) DO NOTHING"
)
_LOOK = text("SELECT tokens, updated_at FROM token_buckets WHERE key = :key FOR UPDATE")
_LEAVE = text("UPDATE token_buckets SET tokens = :tokens, updated_at = :now WHERE key = :key")


@dataclass(frozen=True)
class Limit:
    """`burst` at once, refilled by `burst` tokens every `seconds`."""

    name: str
    burst: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.burst / self.seconds


def take(session: Session, limit: Limit, subject: str, *, cost: int = 1) -> bool:
    """Take `cost` tokens from the bucket of `subject`; False, with nothing taken, where too few are left."""
    key = f"{limit.name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
    values = {"key": key, "burst": float(limit.burst), "rate": limit.rate, "cost": float(cost), "now": clock.now()}
    return session.execute(_TAKE, values).first() is not None


def take_or_refuse(session: Session, limit: Limit, subject: str) -> None:
    """Take one token or raise RateLimited."""
    if not take(session, limit, subject):
        raise RateLimited(retry_after=max(1, round(limit.seconds / limit.burst)))


def take_some(session: Session, limit: Limit, subject: str, *, wanted: int) -> int:
    """Take as many tokens as there are, at most `wanted`; how many. The bucket is locked until the commit."""
    key, now = f"{limit.name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}", clock.now()
    session.execute(_FILL, {"key": key, "burst": float(limit.burst), "now": now})
    found = session.execute(_LOOK, {"key": key}).one()
    tokens: float = found[0]
    since: datetime = found[1]
    there = min(float(limit.burst), tokens + max(0.0, (now - since).total_seconds()) * limit.rate)
    granted = min(wanted, int(there))
    session.execute(_LEAVE, {"key": key, "tokens": there - granted, "now": max(now, since)})
    return granted


def forget(session: Session, limit: Limit, subject: str) -> None:
    """Fill the bucket of `subject` again, as after a success."""
    key = f"{limit.name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
    session.execute(text("DELETE FROM token_buckets WHERE key = :key"), {"key": key})
