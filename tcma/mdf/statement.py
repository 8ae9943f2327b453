"""The statement of a launch: its figures at one cut of the record, sealed, and recomputed by whoever doubts them.

A cut is the number of the last loader batch counted. Verdicts on clicks are made anew from the events up to the
cut, for a later event may change how an earlier one is judged. Mails settled after sealing count as open.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Permission
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import CampaignVersion, Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.db import elevated
from tcma.delivery.classify import Hit, classify
from tcma.delivery.models import Delivery, Event, LoadBatch
from tcma.delivery.queries import CLASSIFICATION_VERSION
from tcma.delivery.states import DeliveryStatus, EventClass, EventKind
from tcma.errors import IllegalTransition, NotFound
from tcma.leads.models import Lead
from tcma.mdf import queries_claims as queries
from tcma.mdf.models import Statement

SEALABLE = (LaunchStatus.SENDING, LaunchStatus.PAUSED, LaunchStatus.FINISHED)
_SETTLED = (
    DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.SUPPRESSED, DeliveryStatus.SKIPPED,
    DeliveryStatus.UNKNOWN,
)  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """Whether a statement still says what the record says; `differences` are sentences, empty where it does."""

    ok: bool
    recomputed_sha256: str
    differences: tuple[str, ...]


def seal_statement(session: Session, actor: Actor, launch_id: UUID) -> Statement:
    """The statement of the actor's launch as of now: the newest edition if nothing changed, else the next one.

    Raises NotFound, Forbidden, and IllegalTransition for a launch that has not sent anything.
    """
    actor.require(Permission.CLAIM_RAISE)
    launch = campaign_queries.get_launch(session, actor, launch_id)
    if launch.status not in SEALABLE:
        raise IllegalTransition(
            "There is nothing to state yet: this launch has not been sent. Send it first; a launch that is sending or "
            "finished has a statement."
        )
    # Loads under way are waited for, so that none of them adds to the cut afterwards.
    session.execute(text("LOCK TABLE load_batches IN SHARE MODE"))
    at = clock.now()
    cut = session.scalar(select(func.max(LoadBatch.id))) or 0
    figures = figures_at(session, launch, cut=cut, at=at)
    last = queries.latest_statement(session, launch.id)
    if last is not None and last.figures == figures and last.classification_version == CLASSIFICATION_VERSION:
        return last
    made = Statement(
        vendor_id=launch.vendor_id, partner_id=launch.partner_id, launch_id=launch.id,
        edition=(last.edition if last else 0) + 1, cut=cut, classification_version=CLASSIFICATION_VERSION,
        figures=figures, sealed_at=at,
    )  # fmt: skip
    body = canonical(made, figures)
    made.sha256 = hashlib.sha256(body).hexdigest()
    made.seal = _seal(body, settings().derived_keys("statement")[0])
    session.add(made)
    session.flush()
    audit.record(session, actor, "statement.seal", made, after={"edition": made.edition, "sha256": made.sha256})
    return made


def verify_statement(session: Session, actor: Actor, statement_id: UUID) -> Verification:
    """Recompute a statement from the rows at its cut, and compare seal, hash and every figure.

    Raises NotFound and Forbidden. Both parties may ask; the vendor learns counts, never a person.
    """
    actor.require(Permission.CLAIM_READ)
    found = queries.get_statement(session, actor, statement_id)
    wrong: list[str] = []
    body = canonical(found, found.figures)
    if hashlib.sha256(body).hexdigest() != found.sha256:
        wrong.append("The hash does not fit the figures: they were changed after sealing.")
    if not any(hmac.compare_digest(_seal(body, key), found.seal) for key in settings().derived_keys("statement")):
        wrong.append("The seal is not this service's: the statement was changed or made elsewhere.")
    if found.classification_version != CLASSIFICATION_VERSION:
        wrong.append(
            f"Its clicks were judged by version {found.classification_version} of the rules; now version "
            f"{CLASSIFICATION_VERSION} holds. Seal a new edition to compare."
        )
    with elevated(session, "a statement is recomputed from the partner's rows"):
        launch = session.get(Launch, found.launch_id)
        if launch is None:
            raise NotFound()
        again = figures_at(session, launch, cut=found.cut, at=found.sealed_at)
    wrong += _differences(found.figures, again)
    return Verification(not wrong, hashlib.sha256(canonical(found, again)).hexdigest(), tuple(wrong))


def figures_at(session: Session, launch: Launch, *, cut: int, at: datetime) -> dict[str, Any]:
    """Everything a statement says, counted from rows: events up to the batch `cut`, the rest as of `at`."""
    version = session.get(CampaignVersion, launch.campaign_version_id)
    if version is None:
        raise NotFound()
    finished = launch.finished_at if launch.finished_at and launch.finished_at <= at else None
    return {
        "campaign": {"name": version.name, "version": version.number, "sha256": version.content_sha256},
        "launch": {"started_at": _moment(launch.started_at), "finished_at": _moment(finished)},
        "deliveries": _deliveries(session, launch.id, at),
        **_answers(session, launch.id, cut),
        "leads": session.scalar(
            select(func.count()).select_from(Lead).where(Lead.launch_id == launch.id, Lead.created_at <= at)
        ) or 0,
    }  # fmt: skip


def canonical(statement: Statement, figures: dict[str, Any]) -> bytes:
    """The bytes that are hashed and sealed: JSON with sorted keys and no blanks, like RFC 8785 for these values."""
    return json.dumps(
        {
            "vendor_id": str(statement.vendor_id), "partner_id": str(statement.partner_id),
            "launch_id": str(statement.launch_id), "edition": statement.edition, "cut": statement.cut,
            "classification_version": statement.classification_version,
            "sealed_at": _moment(statement.sealed_at), "figures": figures,
        },
        sort_keys=True, separators=(",", ":"), ensure_ascii=False,
    ).encode()  # fmt: skip


def _seal(body: bytes, key: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).digest()


def _moment(value: datetime | None) -> str | None:
    return value.astimezone(clock.now().tzinfo).isoformat() if value else None


def _deliveries(session: Session, launch_id: UUID, at: datetime) -> dict[str, Any]:
    rows = session.execute(
        select(Delivery.status, func.count(), func.min(Delivery.settled_at), func.max(Delivery.settled_at))
        .where(Delivery.launch_id == launch_id, Delivery.settled_at <= at)
        .group_by(Delivery.status)
    )
    found = {row[0]: (row[1], row[2], row[3]) for row in rows}
    planned = session.scalar(
        select(func.count()).select_from(Delivery).where(Delivery.launch_id == launch_id, Delivery.planned_at <= at)
    ) or 0  # fmt: skip
    counts = {str(status): found.get(status, (0, None, None))[0] for status in _SETTLED}
    _, first, last = found.get(DeliveryStatus.SENT, (0, None, None))
    return {
        "planned": planned, **counts, "open": planned - sum(counts.values()),
        "first_sent_at": _moment(first), "last_sent_at": _moment(last),
    }  # fmt: skip


def _answers(session: Session, launch_id: UUID, cut: int) -> dict[str, Any]:
    """Clicks by verdict, people who clicked, and unsubscriptions, from the events up to `cut`. Opens never count."""
    rows = session.execute(
        select(Event, Delivery.settled_at)
        .outerjoin(Delivery, (Delivery.id == Event.delivery_id) & (Delivery.launch_id == launch_id))
        .where(Event.launch_id == launch_id, Event.batch_id <= cut)
        .order_by(Event.id)
    )
    mails: dict[int, list[Hit]] = {}
    events: dict[int, Event] = {}
    for event, sent_at in rows:
        events[event.id] = event
        hit = Hit(event.id, EventKind(event.kind), event.at, sent_at, event.agent, event.method, event.link_number)
        mails.setdefault(event.delivery_id or -event.id, []).append(hit)
    clicks = dict.fromkeys((str(one) for one in EventClass), 0)
    people: set[tuple[str, int]] = set()
    for hits in mails.values():
        for event_id, verdict in classify(hits).items():
            event = events[event_id]
            if event.kind is not EventKind.CLICK:
                continue
            clicks[str(verdict.verdict)] += 1
            if verdict.verdict is EventClass.HUMAN:
                people.add(("contact", event.contact_id) if event.contact_id else ("mail", event.delivery_id or 0))
    gone = {one.delivery_id for one in events.values() if one.kind is EventKind.UNSUBSCRIBE}
    return {"clicks": clicks, "people": len(people), "unsubscribed": len(gone)}


def _differences(sealed: dict[str, Any], again: dict[str, Any], *, at: str = "") -> list[str]:
    wrong = []
    for name in sorted({*sealed, *again}):
        one, other = sealed.get(name), again.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            wrong += _differences(one, other, at=f"{at}{name}, ")
        elif one != other:
            wrong.append(f"{at}{name}: the statement says {one}, the record says {other}.".replace("_", " "))
    return wrong
