"""What a lane asks of the database: rows to hand over, and that their verdicts are recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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
from tcma.db import among, elevated, unit_of_work
from tcma.delivery import pacing, settling
from tcma.delivery.models import Delivery
from tcma.delivery.reply import Reply
from tcma.delivery.states import DeliveryStatus

CHUNK = 500
FIRST_CHUNK = 100
"""A lane's first claim is small: nothing leaves before it is there."""
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
class _Found:
    """`seen` rows were due; `claimed` of them are the lane's now."""

    claimed: list[Claimed] = field(default_factory=list)
    seen: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one lane's rows are claimed and recorded: whose launch, and under which name the lane holds them."""

    actor: Actor
    launch_id: UUID
    worker: str
    lease: timedelta = LEASE

    def claim(self, *, most: int = CHUNK) -> tuple[list[Claimed], int]:
        """Up to `most` due deliveries, and how many were suppressed instead; none where the launch is not sending."""
        suppressed = 0
        while True:
            with unit_of_work(self.actor) as session:
                found = self._take(session, most=most)
            suppressed += found.suppressed
            # Where all that was found must wait, others may be due behind it.
            if found.claimed or not found.seen:
                return found.claimed, suppressed

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

    def trouble(self, error: str) -> datetime:
        """Tell all lanes that the provider takes no mail; until when none of them tries."""
        with unit_of_work(self.actor) as session:
            return pacing.note_trouble(session, pacing.provider_name(), error)

    def others_at_work(self) -> bool:
        """Whether another lane holds deliveries, of whichever launch: all of them use one provider."""
        with unit_of_work(self.actor) as session, elevated(session, "lanes of all tenants share the provider"):
            held = select(Delivery.id).where(
                Delivery.status == DeliveryStatus.SENDING, Delivery.worker != self.worker,
                Delivery.lease_until > clock.now(),
            )  # fmt: skip
            return session.scalar(held.limit(1)) is not None

    def health(self) -> None:
        """Tell all lanes that the provider takes mail."""
        with unit_of_work(self.actor) as session:
            pacing.note_health(session, pacing.provider_name())

    def _take(self, session: Session, *, most: int) -> _Found:
        now = clock.now()
        launch = campaign_queries.get_launch(session, self.actor, self.launch_id)
        session.refresh(launch, ["status"])
        if launch.status is not LaunchStatus.SENDING or pacing.shut_until(session, pacing.provider_name()):
            return _Found()
        # Two statements, so that neither plan depends on how many rows the planner believes there are.
        due = session.execute(
            select(Delivery.id, Delivery.contact_id, Delivery.address, Delivery.attempts)
            .where(
                Delivery.launch_id == self.launch_id, Delivery.status == DeliveryStatus.PENDING, Delivery.due_at <= now
            )
            .order_by(Delivery.due_at, Delivery.id)
            .limit(most)
            .with_for_update(skip_locked=True)
        ).all()
        late = pacing.late_after(launch)
        if due and late is not None and now > late:
            self._settle(session, {row[0]: "late" for row in due}, DeliveryStatus.SKIPPED, now=now)
            return _Found(seen=len(due))
        contacts = audience_queries.contact_values(session, self.actor.organization_id, [row[1] for row in due])
        waits = pacing.not_now(
            session, launch, [(row[0], row[2], contacts.get(row[1], {}).get("country", "")) for row in due], now=now
        )
        if waits:
            settling.wait(session, self.launch_id, waits)
        taken = [row for row in due if row[0] not in waits]
        refused = audience_queries.still_refused(
            session, self.actor.organization_id, launch.vendor_id, [row[1] for row in taken]
        )
        if refused:
            gone = {row[0]: refused[row[1]] for row in taken if row[1] in refused}
            self._settle(session, gone, DeliveryStatus.SUPPRESSED, now=now)
        kept = [row for row in taken if row[1] not in refused]
        if kept:
            self._lease(session, [row[0] for row in kept], now=now)
        claimed = [Claimed(row[0], row[1], row[2], row[3], now + self.lease, contacts.get(row[1])) for row in kept]
        return _Found(claimed, seen=len(due), suppressed=len(taken) - len(kept))

    def _lease(self, session: Session, delivery_ids: list[int], *, now: datetime) -> None:
        session.execute(
            update(Delivery)
            .where(
                Delivery.launch_id == self.launch_id, among(Delivery.id, delivery_ids),
                Delivery.status == DeliveryStatus.PENDING,
            )
            .values(status=DeliveryStatus.SENDING, worker=self.worker, lease_until=now + self.lease),
            execution_options={"synchronize_session": False},
        )  # fmt: skip

    def _settle(self, session: Session, reasons: dict[int, str], status: DeliveryStatus, *, now: datetime) -> None:
        """Deliveries that get no mail after all, by id and reason."""
        by_reason: dict[str, list[int]] = {}
        for delivery_id, reason in reasons.items():
            by_reason.setdefault(reason, []).append(delivery_id)
        for reason, delivery_ids in by_reason.items():
            session.execute(
                update(Delivery)
                .where(
                    Delivery.launch_id == self.launch_id, among(Delivery.id, delivery_ids),
                    Delivery.status == DeliveryStatus.PENDING,
                )
                .values(status=status, reason=reason, settled_at=now),
                execution_options={"synchronize_session": False},
            )  # fmt: skip


def lanes_at_work(session: Session, launch_id: UUID) -> int:
    """How many lanes hold deliveries of a launch right now."""
    statement = select(func.count(Delivery.worker.distinct())).where(
        Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENDING
    )
    return session.scalar(statement) or 0
