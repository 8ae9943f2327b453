"""What a partner decides about deliveries that did not end well: treat unknown ones as sent, send again, try again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from tcma import audit, clock, jobs
from tcma.access import Actor
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.delivery import planning, preflight, queries, services
from tcma.delivery.lately import lately
from tcma.delivery.models import Delivery
from tcma.delivery.states import DeliveryStatus
from tcma.errors import Forbidden, IllegalTransition, Stale

AFTER_START = (LaunchStatus.SENDING, LaunchStatus.PAUSED, LaunchStatus.FINISHED)


@dataclass(frozen=True, slots=True)
class Open:
    """Deliveries of a launch that wait for a decision. `passing` of the `failed` were refused for now only."""

    unknown: int = 0
    failed: int = 0
    passing: int = 0


def waiting(session: Session, launch: Launch) -> Open:
    """What may be decided about a launch; all zero before its start and after a cancellation."""
    if launch.status not in AFTER_START:
        unknown = _count(session, launch.id, DeliveryStatus.UNKNOWN) if launch.status is LaunchStatus.CANCELLED else 0
        return Open(unknown=unknown)
    key = ("decisions", session.info.get("tcma_org"), launch.id, launch.status, queries.counted_at(session, launch.id))
    return lately(key, lambda: _open(session, launch))


def _open(session: Session, launch: Launch) -> Open:
    row = session.execute(
        select(func.count(), func.count().filter(_passing())).where(
            Delivery.launch_id == launch.id, Delivery.partner_id == launch.partner_id,
            Delivery.status == DeliveryStatus.FAILED, Delivery.address != "",
        )
    ).one()  # fmt: skip
    return Open(_count(session, launch.id, DeliveryStatus.UNKNOWN), row[0], row[1])


def _count(session: Session, launch_id: UUID, status: DeliveryStatus) -> int:
    statement = select(func.count()).where(Delivery.launch_id == launch_id, Delivery.status == status)
    return session.scalar(statement) or 0


def _passing() -> Any:
    """Refused for a reason that may have passed: 4xx, a lost connection, a full mailbox (5.2.2)."""
    return or_(
        Delivery.reason.in_(["gave_up", "no_answer", "5.2.2"]), Delivery.reason.startswith("4."),
        Delivery.code.between(400, 499),
    )  # fmt: skip


def treat_as_sent(session: Session, actor: Actor, launch_id: UUID) -> int:
    """Count every unknown delivery as sent: the partner has looked, or does not mind; how many."""
    launch = services.own_launch(session, actor, launch_id)
    return _decide(
        session, actor, launch, "launch.unknown_as_sent", Delivery.status == DeliveryStatus.UNKNOWN,
        {"status": DeliveryStatus.SENT, "response": "Counted as sent by a decision of the partner."},
    )  # fmt: skip


def send_again(session: Session, actor: Actor, launch_id: UUID, *, expected: int) -> int:
    """Send every unknown delivery once more; the people may get the mail twice. How many.

    `expected` is the number that the person agreed to: where there are more by now, Stale. The Message-ID is the
    same as before, so that many mail programs show one copy.
    """
    launch = services.own_launch(session, actor, launch_id)
    if _count(session, launch.id, DeliveryStatus.UNKNOWN) > expected:
        raise Stale()
    return _back_to_pending(
        session, actor, launch, "launch.unknown_again", Delivery.status == DeliveryStatus.UNKNOWN
    )


def retry_failed(session: Session, actor: Actor, launch_id: UUID, *, all_reasons: bool = False) -> int:
    """Try failed deliveries once more, those refused for now, or all; how many.

    Suppressed people stay left out: the check before handing over sees to that.
    """
    launch = services.own_launch(session, actor, launch_id)
    condition = (Delivery.status == DeliveryStatus.FAILED) & (Delivery.address != "")
    if not all_reasons:
        condition &= _passing()
    return _back_to_pending(session, actor, launch, "launch.retry_failed", condition)


def _back_to_pending(session: Session, actor: Actor, launch: Launch, action: str, condition: Any) -> int:
    if launch.status not in AFTER_START:
        raise IllegalTransition("This launch was cancelled, so nothing of it is sent again. Make a new launch.")
    refused = preflight.campaign_open(session, actor, launch)
    if refused.verdict == "fail":
        raise Forbidden(f"{refused.detail} Nothing more of this launch can be sent.")
    now = clock.now()
    done = _decide(
        session, actor, launch, action, condition,
        {"status": DeliveryStatus.PENDING, "reason": None, "code": None, "response": None, "attempts": 0,
         "due_at": now, "settled_at": None, "worker": None, "lease_until": None},
    )  # fmt: skip
    if not done:
        return 0
    if launch.status is LaunchStatus.FINISHED:
        launch.reopen(by=actor)
        session.flush()
    if launch.status is LaunchStatus.SENDING:
        jobs.enqueue(session, planning.SEND, launch.partner_id, launch.id, queue="delivery")
    return done


def _decide(
    session: Session, actor: Actor, launch: Launch, action: str, condition: Any, values: dict[str, Any]
) -> int:
    """Move the launch's deliveries that fulfil `condition`, which names their status; with audit and totals."""
    result = session.execute(
        update(Delivery).where(Delivery.launch_id == launch.id, condition).values(**values),
        execution_options={"synchronize_session": False},
    )
    done = int(getattr(result, "rowcount", 0))
    if done:
        audit.record(session, actor, action, launch, after={"deliveries": done})
        session.flush()
        planning.count_totals(session, launch)
    return done
