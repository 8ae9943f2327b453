"""What a reader chooses to get: by the token of a mail, without signing in. Reading changes nothing.

Choices narrow or widen what the reader refused before. What a bounce, a complaint or the partner itself refused stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind
from tcma.audience import queries as audience_queries
from tcma.audience import services as audience_services
from tcma.audience.models import Suppression
from tcma.audience.states import SuppressionReason, SuppressionScope
from tcma.campaigns.models import Launch
from tcma.db import bind, elevated
from tcma.delivery import tracking
from tcma.delivery.models import Delivery
from tcma.delivery.returns_unknown import count_soon, settle_unknown
from tcma.delivery.states import DeliveryStatus
from tcma.delivery.tokens import Purpose
from tcma.delivery.tracking import Visit
from tcma.errors import Invalid

SOURCE = "preference page"
Scope = SuppressionScope


class Choice(StrEnum):
    """What mail the reader wants."""

    ALL = "all"
    NOT_VENDOR = "not_vendor"
    PAUSE_30 = "pause_30"
    PAUSE_90 = "pause_90"
    NONE = "none"
    NOBODY = "nobody"


PAUSES = {Choice.PAUSE_30: timedelta(days=30), Choice.PAUSE_90: timedelta(days=90)}


@dataclass(frozen=True, slots=True)
class Preferences:
    """What holds now. `paused_until` goes with a pause; `stopped` is why no mail comes whatever the reader chooses."""

    address: str
    choice: Choice
    no_tracking: bool
    paused_until: datetime | None = None
    stopped: SuppressionReason | None = None


def read(session: Session, token: str) -> Preferences | None:
    """The reader's present choices; None for a test mail and for somebody whose data was erased. Raises NotFound."""
    data = tracking.read(token, Purpose.UNSUBSCRIBE)
    if data.delivery_id == 0:
        return None
    delivery, launch = tracking.delivery_of_token(session, data)
    bind(session, Actor.system(launch.partner_id, Kind.PARTNER))
    contact = audience_queries.find_contact_by_key(session, launch.partner_id, delivery.email_key)
    found = {row.scope: row for row in _refusals(session, delivery, launch)}
    bind(session, None)
    if contact is None:
        return None
    stopped = next((row.reason for row in found.values() if row.reason not in audience_services.OWN_REFUSALS), None)
    choice, until = _choice(found)
    return Preferences(contact.email, choice, contact.no_tracking, until, stopped)


def _refusals(session: Session, delivery: Delivery, launch: Launch) -> list[Suppression]:
    """What refuses this reader mail of this partner about this vendor, in any scope."""
    statement = select(Suppression).where(
        Suppression.email_key == delivery.email_key,
        or_(Suppression.until.is_(None), Suppression.until > clock.now()),
        or_(
            Suppression.scope == Scope.PLATFORM,
            (Suppression.scope == Scope.PARTNER) & (Suppression.partner_id == launch.partner_id),
            (Suppression.scope == Scope.VENDOR) & (Suppression.vendor_id == launch.vendor_id),
        ),
    )
    return list(session.scalars(statement))


def _choice(found: dict[SuppressionScope, Suppression]) -> tuple[Choice, datetime | None]:
    own = {scope: row for scope, row in found.items() if row.reason in audience_services.OWN_REFUSALS}
    if Scope.PLATFORM in own:
        return Choice.NOBODY, None
    if Scope.PARTNER in own:
        until = own[Scope.PARTNER].until
        if own[Scope.PARTNER].reason is SuppressionReason.PAUSED and until is not None:
            longer = until - clock.now() > PAUSES[Choice.PAUSE_30]
            return (Choice.PAUSE_90 if longer else Choice.PAUSE_30), until
        return Choice.NONE, None
    return (Choice.NOT_VENDOR if Scope.VENDOR in own else Choice.ALL), None


def save(session: Session, token: str, *, choice: str, no_tracking: bool, visit: Visit) -> Preferences | None:
    """Have it as the reader chose; what they had chosen before gives way. Raises NotFound, Invalid."""
    if choice not in set(Choice):
        raise Invalid({"mails": "Choose one of these."})
    wanted = Choice(choice)
    before = read(session, token)
    if before is None:
        return None
    delivery, launch = tracking.delivery_of_token(session, tracking.read(token, Purpose.UNSUBSCRIBE))
    actor = Actor.system(launch.partner_id, Kind.PARTNER)
    if wanted is not before.choice:
        _take_back(session, delivery, launch)
        bind(session, actor)
        _refuse(session, actor, delivery, launch, wanted, visit)
    bind(session, actor)
    contact = audience_queries.find_contact_by_key(session, launch.partner_id, delivery.email_key)
    if contact is not None:
        if wanted not in (Choice.NONE, Choice.NOBODY):
            audience_services.consent_again(session, actor, contact, source=f"{SOURCE}, delivery {delivery.id}")
        if contact.no_tracking != no_tracking:
            audience_services.edit_contact(session, actor, contact.id, no_tracking=no_tracking)
    settle_unknown(session, [delivery.id], DeliveryStatus.SENT, answer="The reader chose what to get, by its link.")
    session.flush()
    count_soon(session, launch)
    bind(session, None)
    return read(session, token)


def _take_back(session: Session, delivery: Delivery, launch: Launch) -> None:
    """Lift what the reader refused before, in every scope."""
    key = delivery.email_key
    bind(session, Actor.system(launch.partner_id, Kind.PARTNER))
    audience_services.lift_own_refusal(session, scope=Scope.PARTNER, partner_id=launch.partner_id, email_key=key)
    bind(session, Actor.system(launch.vendor_id, Kind.VENDOR))
    audience_services.lift_own_refusal(session, scope=Scope.VENDOR, vendor_id=launch.vendor_id, email_key=key)
    with elevated(session, "a reader takes back what they refused everywhere"):
        audience_services.lift_own_refusal(session, scope=Scope.PLATFORM, email_key=key)


def _refuse(
    session: Session, actor: Actor, delivery: Delivery, launch: Launch, wanted: Choice, visit: Visit
) -> None:
    key = delivery.email_key
    if wanted in PAUSES:
        audience_services.suppress(
            session, actor, partner_id=launch.partner_id, email_key=key, reason=SuppressionReason.PAUSED, source=SOURCE,
            until=clock.now() + PAUSES[wanted],
        )  # fmt: skip
    elif wanted is Choice.NOT_VENDOR:
        vendor = Actor.system(launch.vendor_id, Kind.VENDOR)
        bind(session, vendor)
        audience_services.suppress(
            session, vendor, partner_id=None, vendor_id=launch.vendor_id, scope=Scope.VENDOR, email_key=key,
            reason=SuppressionReason.UNSUBSCRIBED, source=SOURCE,
        )  # fmt: skip
    elif wanted in (Choice.NONE, Choice.NOBODY):
        tracking.unsubscribe_delivery(session, delivery, launch, visit, source=SOURCE)
    if wanted is Choice.NOBODY:
        with elevated(session, "a reader refuses all mail of this service"):
            audience_services.suppress(
                session, actor, partner_id=None, scope=Scope.PLATFORM, email_key=key,
                reason=SuppressionReason.UNSUBSCRIBED, source=SOURCE,
            )  # fmt: skip
