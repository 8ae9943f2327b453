"""What a lane asks of the database: rows to hand over, and that their verdicts are recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.audience import queries as audience_queries
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import among, unit_of_work
from tcma.delivery import settling
from tcma.delivery.models import Delivery
from tcma.delivery.reply import Reply
from tcma.delivery.states import DeliveryStatus

CHUNK = 200
LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Claimed:
    """One delivery that a lane may hand over until `lease_until`; `contact` is None if the person was erased."""

    id: int
    contact_id: int
    address: str
    attempts: int
    lease_until: datetime
    contact: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one lane's rows are claimed and recorded: whose launch, and under which name the lane holds them."""

    actor: Actor
    launch_id: UUID
    worker: str

    def claim(self) -> tuple[list[Claimed], int]:
        """Up to CHUNK due deliveries, and how many were suppressed instead; none where the launch is not sending."""
        with unit_of_work(self.actor) as session:
            taken, suppressed = self._take(session)
            contacts = audience_queries.contact_values(session, self.actor.organization_id, [row[1] for row in taken])
        lease_until = clock.now() + LEASE
        return [Claimed(*row, lease_until, contacts.get(row[1])) for row in taken], suppressed

    def record(
        self,
        results: Iterable[tuple[Claimed, Reply]],
        *,
        release: Iterable[Claimed] = (),
        due_at: datetime | None = None,
    ) -> bool:
        """Write verdicts in bulk and put `release` back to pending. True while the launch is still sending."""
        verdicts = [(row.id, row.attempts, reply) for row, reply in results]
        back = [row.id for row in release]
        with unit_of_work(self.actor) as session:
            settling.settle(session, self.launch_id, self.worker, verdicts)
            if back:
                settling.put_back(session, self.launch_id, self.worker, back, due_at=due_at)
            status = session.scalar(select(Launch.status).where(Launch.id == self.launch_id))
        return status is LaunchStatus.SENDING

    def _take(self, session: Session) -> tuple[list[tuple[int, int, str, int]], int]:
        now = clock.now()
        launch = campaign_queries.get_launch(session, self.actor, self.launch_id)
        session.refresh(launch, ["status"])
        if launch.status is not LaunchStatus.SENDING:
            return [], 0
        # Two statements, so that neither plan depends on how many rows the planner believes there are.
        due = session.execute(
            select(Delivery.id, Delivery.contact_id, Delivery.address, Delivery.attempts)
            .where(
                Delivery.launch_id == self.launch_id, Delivery.status == DeliveryStatus.PENDING, Delivery.due_at <= now
            )
            .order_by(Delivery.due_at, Delivery.id)
            .limit(CHUNK)
            .with_for_update(skip_locked=True)
        ).all()
        taken = [(row[0], row[1], row[2], row[3]) for row in due]
        if not taken:
            return [], 0
        session.execute(
            update(Delivery)
            .where(
                Delivery.launch_id == self.launch_id, among(Delivery.id, [row[0] for row in taken]),
                Delivery.status == DeliveryStatus.PENDING,
            )
            .values(status=DeliveryStatus.SENDING, worker=self.worker, lease_until=now + LEASE),
            execution_options={"synchronize_session": False},
        )  # fmt: skip
        refused = audience_queries.still_refused(
            session, self.actor.organization_id, launch.vendor_id, [row[1] for row in taken]
        )
        if refused:
            self._suppress(session, {row[0]: refused[row[1]] for row in taken if row[1] in refused}, now=now)
        kept = [row for row in taken if row[1] not in refused]
        return kept, len(taken) - len(kept)

    def _suppress(self, session: Session, refused: dict[int, str], *, now: datetime) -> None:
        """Whoever was suppressed since planning gets nothing: `refused` is delivery id to reason."""
        by_reason: dict[str, list[int]] = {}
        for delivery_id, reason in refused.items():
            by_reason.setdefault(reason, []).append(delivery_id)
        for reason, delivery_ids in by_reason.items():
            session.execute(
                update(Delivery)
                .where(
                    Delivery.launch_id == self.launch_id, among(Delivery.id, delivery_ids),
                    Delivery.status == DeliveryStatus.SENDING,
                )
                .values(status=DeliveryStatus.SUPPRESSED, reason=reason, worker=None, lease_until=None, settled_at=now),
                execution_options={"synchronize_session": False},
            )  # fmt: skip


def lanes_at_work(session: Session, launch_id: UUID) -> int:
    """How many lanes hold deliveries of a launch right now."""
    statement = select(func.count(Delivery.worker.distinct())).where(
        Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENDING
    )
    return session.scalar(statement) or 0
