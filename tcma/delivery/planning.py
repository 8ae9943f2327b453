"""Planning a launch: the frozen links, and one INSERT … SELECT that makes every delivery row. Refusals are rows too."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, literal, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session

from tcma import clock, jobs
from tcma.access import Actor
from tcma.audience import queries as audience_queries
from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.delivery import pacing, queries
from tcma.delivery.models import Classification, Delivery, Event, LaunchTotals, LaunchTouch
from tcma.delivery.states import DeliveryStatus, EventClass, EventKind

SEND = "tcma.delivery.send"


def plan_launch(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    """Make the launch's deliveries and let sending begin. Twice is once: rows are unique by (touch, contact)."""
    launch = campaign_queries.get_launch(session, actor, launch_id, lock=True)
    if launch.status is not LaunchStatus.PLANNING:
        return launch
    now = clock.now()
    touch = _launch_touch(session, launch, now=now)
    _insert_deliveries(session, launch, touch, now=now)
    touch.planned_at = now
    launch.send(by=actor)
    session.flush()
    count_totals(session, launch)
    for _ in range(settings().delivery_lanes):
        jobs.enqueue(session, SEND, launch.partner_id, launch.id, queue="delivery")
    return launch


def _launch_touch(session: Session, launch: Launch, *, now: datetime) -> LaunchTouch:
    email = campaign_queries.email_touch(session, launch.campaign_version_id)
    found = session.scalar(
        select(LaunchTouch).where(LaunchTouch.launch_id == launch.id, LaunchTouch.touch_id == email.id)
    )
    if found is None:
        template = launches.touch_template(session, launch)
        labels = {link.number: link.label for link in template.links}
        found = LaunchTouch(
            vendor_id=launch.vendor_id, partner_id=launch.partner_id, launch_id=launch.id, touch_id=email.id,
            position=email.position, due_at=now,
            links=[
                {"number": number, "label": labels.get(number, ""), "url": url}
                for number, url in sorted(template.destinations().items())
            ],
        )  # fmt: skip
        session.add(found)
        session.flush()
    return found


def _insert_deliveries(session: Session, launch: Launch, touch: LaunchTouch, *, now: datetime) -> None:
    people = audience_queries.audience_rows(launch.partner_id, launch.vendor_id, launch.audience).subquery()
    rules = pacing.sending_rules(session, launch.partner_id)
    # Worked out once for each row, though three columns depend on it.
    rows = (
        select(
            people.c.contact_id, people.c.email_key, people.c.email, people.c.refusal,
            pacing.capped(rules, launch.partner_id, people.c.contact_id).label("capped"),
            pacing.due_at(session, launch, people.c.country, now=now).label("due_at"),
        )
        .cte("audience")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )  # fmt: skip
    status = case(
        (rows.c.refusal.is_not(None), str(DeliveryStatus.SUPPRESSED)),
        (rows.c.capped, str(DeliveryStatus.SKIPPED)),
        else_=str(DeliveryStatus.PENDING),
    )
    reason = case((rows.c.refusal.is_not(None), rows.c.refusal), (rows.c.capped, "capped"), else_=None)
    columns = ["launch_id", "partner_id", "launch_touch_id", "contact_id", "email_key", "address", "status", "reason",
               "attempts", "due_at", "planned_at", "settled_at"]  # fmt: skip
    source = select(
        literal(launch.id), literal(launch.partner_id), literal(touch.id), rows.c.contact_id, rows.c.email_key,
        rows.c.email, status, reason, literal(0), rows.c.due_at, literal(now),
        case((rows.c.refusal.is_(None) & ~rows.c.capped, None), else_=literal(now)),
    )  # fmt: skip
    statement = pg_insert(Delivery).from_select(columns, source, include_defaults=False).on_conflict_do_nothing()
    session.execute(statement)


def count_totals(session: Session, launch: Launch) -> None:
    """Count the launch's rows anew into the totals that both parties see."""
    now = clock.now()
    state = [func.count().filter(Delivery.status == status).label(str(status)) for status in DeliveryStatus]
    counted = session.execute(
        select(Delivery.launch_touch_id, func.count().label("planned"), *state)
        .where(Delivery.launch_id == launch.id)
        .group_by(Delivery.launch_touch_id)
    ).mappings()
    back = _came_back(session, launch.id)
    for row in counted:
        values = {**row, **back, "vendor_id": launch.vendor_id, "partner_id": launch.partner_id,
                  "launch_id": launch.id, "counted_at": now}  # fmt: skip
        statement = pg_insert(LaunchTotals).values(values)
        changed = {name: statement.excluded[name] for name in values if name != "launch_touch_id"}
        session.execute(
            statement.on_conflict_do_update(index_elements=["launch_touch_id"], set_=changed),
            execution_options={"synchronize_session": False},
        )


def _came_back(session: Session, launch_id: UUID) -> dict[str, int]:
    """Events of the launch by kind and class; machines' clicks stand apart from people's."""
    verdict = func.coalesce(Classification.verdict, EventClass.UNKNOWN)
    statement = (
        select(Event.kind, verdict, func.count(), func.count(Event.contact_id.distinct()))
        .outerjoin(
            Classification,
            (Classification.event_id == Event.id) & (Classification.version == queries.CLASSIFICATION_VERSION),
        )
        .where(Event.launch_id == launch_id)
        .group_by(Event.kind, verdict)
    )
    found = dict.fromkeys(
        ("opened", "clicks", "clickers", "machine_clicks", "unsubscribed", "bounced", "complained"), 0
    )
    people = {EventKind.OPEN: "opened", EventKind.UNSUBSCRIBE: "unsubscribed", EventKind.BOUNCE: "bounced",
              EventKind.COMPLAINT: "complained"}  # fmt: skip
    for kind, judged, number, contacts in session.execute(statement):
        kind, judged = EventKind(kind), EventClass(judged)
        if kind is EventKind.CLICK and judged is EventClass.HUMAN:
            found["clicks"], found["clickers"] = number, contacts
        elif kind is EventKind.CLICK and judged is EventClass.MACHINE:
            found["machine_clicks"] = number
        elif kind in people and not (kind is EventKind.OPEN and judged is EventClass.MACHINE):
            found[people[kind]] += contacts
    return found
