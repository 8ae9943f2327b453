"""What delivery does when something happens in an earlier room, in the same transaction."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tcma import clock, events
from tcma.access import Actor
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import elevated
from tcma.delivery.models import Delivery
from tcma.delivery.models_returns import Return
from tcma.delivery.states import DeliveryStatus

_UNSTARTED = (LaunchStatus.DRAFT, LaunchStatus.SCHEDULED, LaunchStatus.PLANNING)


def suppress_pending(session: Session, actor: Actor, happened: events.ContactSuppressed) -> None:
    """Whoever must not be written to any more gets nothing that is still pending."""
    session.execute(
        update(Delivery)
        .where(
            Delivery.partner_id == happened.partner_id,
            Delivery.email_key == happened.email_key,
            Delivery.status == DeliveryStatus.PENDING,
        )
        .values(status=DeliveryStatus.SUPPRESSED, reason="suppressed_partner", settled_at=clock.now()),
        execution_options={"synchronize_session": False},
    )


def scrub_address(session: Session, actor: Actor, happened: events.ContactErased) -> None:
    """An erased person's deliveries stay counted, without the address; what came back about them loses its words."""
    theirs = (Delivery.partner_id == happened.partner_id, Delivery.contact_id == happened.contact_id)
    session.execute(
        update(Delivery).where(*theirs).values(address="", response=None),
        execution_options={"synchronize_session": False},
    )
    with elevated(session, "stored returns about an erased person are emptied"):
        session.execute(
            update(Return)
            .where(Return.delivery_id.in_(select(Delivery.id).where(*theirs)), Return.processed_at.is_not(None))
            .values(body=b"", envelope={}),
            execution_options={"synchronize_session": False},
        )


def stop_recalled(session: Session, actor: Actor, happened: events.CampaignRecalled) -> None:
    """Launches of a recalled campaign: what has not begun is cancelled, what is being sent is paused."""
    statement = select(Launch).where(
        Launch.vendor_id == happened.vendor_id,
        Launch.campaign_id == happened.campaign_id,
        Launch.status.in_([*_UNSTARTED, LaunchStatus.SENDING]),
    )
    for launch in session.scalars(statement.with_for_update().execution_options(populate_existing=True)):
        if launch.status is LaunchStatus.SENDING:
            launch.pause(by=actor, at=clock.now(), reason="The vendor took the campaign back.")
        else:
            launch.cancel(by=actor, at=clock.now(), reason="The vendor took the campaign back.")
    session.flush()


def pause_suspended(session: Session, actor: Actor, happened: events.PartnershipSuspended) -> None:
    """Nothing more leaves for a partnership that is suspended."""
    statement = select(Launch).where(
        Launch.vendor_id == happened.vendor_id,
        Launch.partner_id == happened.partner_id,
        Launch.status == LaunchStatus.SENDING,
    )
    for launch in session.scalars(statement.with_for_update().execution_options(populate_existing=True)):
        launch.pause(by=actor, at=clock.now(), reason="The partnership is suspended.")
    session.flush()
