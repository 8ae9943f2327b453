"""Nudging a partner who went quiet, by mail, at most once in a while."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Permission, Role
from tcma.accounts import queries as account_queries
from tcma.accounts import services as account_services
from tcma.errors import IllegalTransition, Invalid
from tcma.insights.funnel import NOT_AGAIN_BEFORE
from tcma.insights.models import Nudge

NEXT_STEP = {
    "invited": "Sign in and accept the terms.",
    "signed_in": "Choose a campaign and launch it; it takes five minutes.",
    "launched": "See who clicked, and launch the next campaign.",
    "leads": "Answer your leads, and claim what the launch cost.",
    "claim": "Plan the next activity.",
}


def nudge_partner(session: Session, actor: Actor, partner_id: UUID, *, step: str, message: str = "") -> Nudge:
    """Remind a partner of its next step by mail; once a week at most. Raises Invalid, IllegalTransition, NotFound."""
    actor.require(Permission.PARTNER_NUDGE)
    partnership = account_queries.get_partnership(session, actor, partner_id, lock=True)
    if step not in NEXT_STEP:
        raise Invalid({"step": "Choose one of the steps of the funnel."})
    last = session.scalar(
        select(Nudge)
        .where(Nudge.vendor_id == actor.organization_id, Nudge.partner_id == partner_id)
        .order_by(Nudge.created_at.desc())
        .limit(1)
    )
    now = clock.now()
    if last is not None and last.created_at > now - NOT_AGAIN_BEFORE:
        raise IllegalTransition(
            f"This partner was reminded on {last.created_at:%Y-%m-%d}. Wait until {last.created_at + NOT_AGAIN_BEFORE:%Y-%m-%d}; "
            "more mail makes nobody faster."
        )
    nudge = Nudge(
        vendor_id=actor.organization_id, partner_id=partner_id, step=step, message=message.strip()[:500], sent_by=actor.user_id
    )
    session.add(nudge)
    session.flush()
    told = account_services.tell(
        session, partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "nudge",
        data={"vendor": partnership.vendor.name, "message": nudge.message, "step": NEXT_STEP[step], "path": "/"},
        once_key=f"nudge:{nudge.id}",
    )  # fmt: skip
    if not told:
        raise Invalid({"": "This partner has nobody who could be reminded yet. Send the invitation again instead."})
    audit.record(session, actor, "partner.nudge", nudge, after={"step": step})
    return nudge
