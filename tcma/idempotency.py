"""POSTs that send or pay: the header `Idempotency-Key` makes a repeat harmless (draft-ietf-httpapi-idempotency-key).

The answer is stored in the transaction that did the work, so either both are there or neither is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Response, g, request
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.db import elevated, unit_of_work
from tcma.errors import DomainError, Invalid
from tcma.records import IdempotencyKey

KEPT = timedelta(days=7)
Work = Callable[[Session], tuple[dict[str, Any], int]]
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class StillWorking(DomainError):
    """The first request with this key has not been answered yet."""

    status = 409
    title = "Still working on it"
    default = "The first request with this Idempotency-Key is still being worked on. Repeat it in a second."


@dataclass(frozen=True)
class Answer:
    """What was answered: a JSON object and a status; `repeated` where it was kept from the first time."""

    body: dict[str, Any]
    status: int
    repeated: bool = False


def once(actor: Actor, work: Work, *, key: str | None, asked: bytes) -> Answer:
    """Do `work` in one unit of work for `actor` and keep its answer under `key`; a repeat gets that answer.

    `work(session)` returns (JSON object of plain values, status). `asked` is what the request says, byte for
    byte: the same key with other words raises Invalid, a repeat while the first still runs StillWorking.
    If `work` raises, nothing is kept and the same key may be tried again. Without a key the work is just done.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid({"Idempotency-Key": "Use 1 to 200 visible ASCII characters, such as a UUID."})
    digest = hashlib.sha256(asked).digest()
    with unit_of_work(actor) as session:
        if key is not None:
            kept = _kept(session, actor, key, digest)
            if kept is not None:
                return kept
        body, status = work(session)
        if key is not None:
            session.add(
                IdempotencyKey(
                    organization_id=actor.organization_id, key=key, request_hash=digest, status=status, body=body
                )
            )
    return Answer(body, status)


def _kept(session: Session, actor: Actor, key: str, digest: bytes) -> Answer | None:
    name = f"idempotency:{actor.organization_id}:{key}"
    # Held to the end of the transaction: whoever comes meanwhile is told so instead of waiting.
    if not session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}):
        raise StillWorking()
    row = session.scalar(
        select(IdempotencyKey).where(
            IdempotencyKey.organization_id == actor.organization_id, IdempotencyKey.key == key
        )
    )
    if row is None:
        return None
    if row.request_hash != digest:
        raise Invalid(
            {"Idempotency-Key": "This key came before with another request. Use a new key for a new request."}
        )
    return Answer(row.body or {}, row.status or 200, repeated=True)


def answer_once(work: Work) -> Response:
    """The answer of an API POST of `g.actor`: `once` with the header and the words of the present request."""
    asked = b"\n".join([request.method.encode(), request.full_path.encode(), request.get_data(cache=True)])
    given = once(g.actor, work, key=request.headers.get("Idempotency-Key"), asked=asked)
    response = Response(json.dumps(given.body), given.status, mimetype="application/json")
    if given.repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def forget_old(session: Session) -> int:
    """Delete answers older than KEPT, of all tenants; how many."""
    with elevated(session, "a sweep over the kept answers of all tenants"):
        result = session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < clock.now() - KEPT))
    return int(getattr(result, "rowcount", 0))
