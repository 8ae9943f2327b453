"""What was handed over without an answer is settled by what comes back later: only ever from unknown, and in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.db import among
from tcma.delivery import planning, queries
from tcma.delivery.models import Delivery, Event, LaunchTotals
from tcma.delivery.models_returns import TouchedLaunch
from tcma.delivery.states import DeliveryStatus, EventKind


def settle_unknown(
    session: Session, delivery_ids: Sequence[int], status: DeliveryStatus, reason: str | None = None, *, answer: str
) -> int:
    """Settle those of the deliveries that are unknown; how many. When they left stays as it was recorded."""
    done = session.execute(
        update(Delivery)
        .where(among(Delivery.id, delivery_ids), Delivery.status == DeliveryStatus.UNKNOWN)
        .values(status=status, reason=reason, response=answer[:500]),
        execution_options={"synchronize_session": False},
    )
    return int(getattr(done, "rowcount", 0))


def settle_by_events(session: Session, launch_id: UUID) -> int:
    """Settle unknown deliveries of a launch by what came back before they were known to be unknown; how many.

    A worker that dies is noticed minutes later, and a click or a bounce may be quicker.
    """
    bounced = _has_event(Event.kind == EventKind.BOUNCE)
    done = 0
    for condition, values in (
        (bounced, {"status": DeliveryStatus.FAILED, "reason": "bounced", "response": "It came back."}),
        (_has_event(Event.kind != EventKind.BOUNCE), {"status": DeliveryStatus.SENT, "reason": None, "response": "Its reader was heard of."}),
    ):
        result = session.execute(
            update(Delivery)
            .where(Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.UNKNOWN, condition)
            .values(**values),
            execution_options={"synchronize_session": False},
        )
        done += int(getattr(result, "rowcount", 0))
    return done


def _has_event(kind: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(Event.id)
        .where(Event.partner_id == Delivery.partner_id, Event.delivery_id == Delivery.id, kind)
        .exists()
    )


def count_soon(session: Session, launch: Launch) -> None:
    """Count the launch's totals anew: now, or with a sweep where that means reading many rows."""
    planned = session.scalar(select(func.sum(LaunchTotals.planned)).where(LaunchTotals.launch_id == launch.id))
    if (planned or 0) > queries.COUNTED_AT_ONCE:
        touch(session, launch)
    else:
        planning.count_totals(session, launch)


def touch(session: Session, launch: Launch) -> None:
    """Have the launch counted and checked. The row is locked until this transaction ends, so that no count misses it."""
    statement = insert(TouchedLaunch).values(
        launch_id=launch.id, partner_id=launch.partner_id, since=clock.now()
    )
    session.execute(
        statement.on_conflict_do_update(index_elements=["launch_id"], set_={"since": TouchedLaunch.since})
    )
