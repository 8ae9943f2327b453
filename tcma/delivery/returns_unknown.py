"""What was handed over without an answer is settled by what comes back later: only ever from unknown, and in bulk."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.db import among
from tcma.delivery.models import Delivery
from tcma.delivery.models_returns import TouchedLaunch
from tcma.delivery.states import DeliveryStatus


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


def touch(session: Session, launch: Launch) -> None:
    """Have the launch counted and checked. The row is locked until this transaction ends, so that no count misses it."""
    statement = insert(TouchedLaunch).values(
        launch_id=launch.id, partner_id=launch.partner_id, since=clock.now()
    )
    session.execute(
        statement.on_conflict_do_update(index_elements=["launch_id"], set_={"since": TouchedLaunch.since})
    )
