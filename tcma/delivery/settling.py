"""Recording what came of deliveries: in bulk, and only for rows that the worker still holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, String, select, update
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from tcma import clock
from tcma.db import among, given_rows
from tcma.delivery.journal import Entry
from tcma.delivery.models import Delivery
from tcma.delivery.reply import Reply, ReplyKind
from tcma.delivery.states import DeliveryStatus

MAX_ATTEMPTS = 8
BACKOFF = (30, 120, 600, 1800, 3600, 7200, 14400)
"""Seconds until the next try after the first, second … refusal for now."""

_VERDICT_TYPES: dict[str, TypeEngine[Any]] = {
    "id": BigInteger(), "status": String(), "reason": String(), "attempts": Integer(),
    "due_at": DateTime(timezone=True), "code": Integer(), "response": String(), "settled_at": DateTime(timezone=True),
}  # fmt: skip


def settle(session: Session, launch_id: UUID, worker: str, results: list[tuple[int, int, Reply]]) -> None:
    """Record verdicts of (delivery id, attempts before, reply) that `worker` holds; a repeat changes nothing."""
    now = clock.now()
    sent = {(attempts, reply.code) for _, attempts, reply in results if reply.kind is ReplyKind.SENT}
    for attempts, code in sent:
        taken = [
            {"id": delivery_id, "response": reply.text[:500] or None}
            for delivery_id, before, reply in results
            if reply.kind is ReplyKind.SENT and (before, reply.code) == (attempts, code)
        ]
        # Nearly all of a launch, and all alike: only the server's words differ.
        same = {"status": DeliveryStatus.SENT, "reason": None, "attempts": attempts + 1, "code": code, "settled_at": now}
        _write(session, launch_id, worker, taken, same=same)
    _write(session, launch_id, worker, [_judged(*one, now=now) for one in results if one[2].kind is not ReplyKind.SENT])


def _write(
    session: Session, launch_id: UUID, worker: str, rows: list[dict[str, Any]], *, same: Mapping[str, Any] | None = None
) -> None:
    """Write `rows` by their id, and `same` into each, where `worker` still holds them."""
    if not rows:
        return
    verdicts = given_rows({name: _VERDICT_TYPES[name] for name in rows[0]}, rows)
    changes = {name: verdicts.c[name] for name in rows[0] if name != "id"}
    session.execute(
        update(Delivery)
        .where(
            Delivery.launch_id == launch_id, Delivery.id == verdicts.c.id,
            Delivery.status == DeliveryStatus.SENDING, Delivery.worker == worker,
        )
        .values(**changes, **(same or {}), worker=None, lease_until=None),
        execution_options={"synchronize_session": False},
    )  # fmt: skip


def _judged(delivery_id: int, attempts: int, reply: Reply, *, now: datetime) -> dict[str, Any]:
    """What a verdict other than `sent` writes, by column."""
    status = DeliveryStatus(reply.kind) if reply.kind is not ReplyKind.DEFERRED else None
    due, settled = now, cast("datetime | None", now)
    reason = reply.enhanced or (str(reply.code) if reply.code else "no_answer")
    tried = attempts + int(reply.spends_attempt)
    if status is None:
        if tried >= MAX_ATTEMPTS:
            status, reason = DeliveryStatus.FAILED, "gave_up"
        else:
            status, settled = DeliveryStatus.PENDING, None
            due = now + timedelta(seconds=BACKOFF[min(tried, len(BACKOFF)) - 1] if reply.spends_attempt else 30)
    return {
        "id": delivery_id, "status": str(status), "reason": reason, "attempts": tried, "due_at": due,
        "code": reply.code, "response": reply.text[:500] or None, "settled_at": settled,
    }  # fmt: skip


def put_back(
    session: Session, launch_id: UUID, worker: str, delivery_ids: list[int] | None, *, due_at: datetime | None = None
) -> int:
    """Make deliveries that `worker` holds and never attempted pending again (None: all of them); how many."""
    statement = update(Delivery).where(
        Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENDING, Delivery.worker == worker
    )
    if delivery_ids is not None:
        statement = statement.where(among(Delivery.id, delivery_ids))
    changes: dict[str, Any] = {"status": DeliveryStatus.PENDING, "worker": None, "lease_until": None}
    if due_at is not None:
        changes["due_at"] = due_at
    done = session.execute(statement.values(changes), execution_options={"synchronize_session": False})
    return int(getattr(done, "rowcount", 0))


def wait(session: Session, launch_id: UUID, until: Mapping[int, datetime]) -> None:
    """Pending deliveries that must wait: by id, when each is due again. No attempt is spent."""
    kinds: dict[str, TypeEngine[Any]] = {"id": BigInteger(), "due_at": DateTime(timezone=True)}
    waits = given_rows(kinds, [{"id": row_id, "due_at": at} for row_id, at in until.items()])
    session.execute(
        update(Delivery)
        .where(
            Delivery.launch_id == launch_id, Delivery.id == waits.c.id, Delivery.status == DeliveryStatus.PENDING
        )
        .values(due_at=waits.c.due_at),
        execution_options={"synchronize_session": False},
    )  # fmt: skip


def settle_held(session: Session, launch_id: UUID, worker: str, entries: Mapping[int, Entry] | None) -> int:
    """Settle all that `worker` still holds of a launch by its journal's `entries`; how many rows moved.

    None for `entries` means that the journal is gone or unreadable: then every row is unknown.
    """
    rows = session.execute(
        select(Delivery.id, Delivery.attempts)
        .where(Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENDING, Delivery.worker == worker)
        .with_for_update()
    ).all()
    lost = Reply(ReplyKind.UNKNOWN, text="The worker ended before the answer was recorded.")
    verdicts: list[tuple[int, int, Reply]] = []
    for delivery_id, attempts in rows:
        entry = lost if entries is None else entries.get(delivery_id)
        if entry is not None:
            verdicts.append((delivery_id, attempts, entry if isinstance(entry, Reply) else lost))
    settle(session, launch_id, worker, verdicts)
    put_back(session, launch_id, worker, None)
    return len(rows)
