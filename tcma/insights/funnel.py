"""The funnel of a vendor's partners: invited → signed in → launched → leads → claim. Counts only, partner by partner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.accounts import queries as account_queries
from tcma.accounts.models import Partnership
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.delivery.models import LaunchTotals
from tcma.insights.models import Nudge
from tcma.leads.models import LeadTotals
from tcma.mdf.models import Claim
from tcma.mdf.states import ClaimStatus

STEPS = ("invited", "signed_in", "launched", "leads", "claim")
QUIET_AFTER = timedelta(days=30)
NOT_AGAIN_BEFORE = timedelta(days=7)


@dataclass(frozen=True)
class PartnerRow:
    """How far one partner has come, with the counts a vendor may see."""

    partnership: Partnership
    launches: int
    sent: int
    clickers: int
    leads: int
    won: int
    claims: int
    nudged_at: datetime | None

    @property
    def partner_id(self) -> UUID:
        return self.partnership.partner_id

    @property
    def reached(self) -> int:
        """The number of the furthest step, 0 to 4."""
        if self.claims:
            return 4
        if self.leads:
            return 3
        if self.launches:
            return 2
        return 1 if self.partnership.first_signed_in_at else 0

    @property
    def step(self) -> str:
        return STEPS[self.reached]

    @property
    def nudged_lately(self) -> bool:
        """Reminded so recently that more mail would make nobody faster."""
        return self.nudged_at is not None and self.nudged_at > clock.now() - NOT_AGAIN_BEFORE

    @property
    def quiet(self) -> bool:
        """Nothing heard for a month, though the partnership is open."""
        seen = self.partnership.last_active_at or self.partnership.first_signed_in_at or self.partnership.invited_at
        return self.partnership.status in ("active", "invited") and (seen is None or seen < clock.now() - QUIET_AFTER)


def partner_rows(session: Session, actor: Actor) -> list[PartnerRow]:
    """One row a partner, those least far first."""
    vendor_id = actor.organization_id
    launches = _by_partner(
        session,
        select(Launch.partner_id, func.count())
        .where(Launch.vendor_id == vendor_id, Launch.status.not_in([LaunchStatus.DRAFT, LaunchStatus.CANCELLED]))
        .group_by(Launch.partner_id),
    )
    sent = _by_partner(
        session,
        select(LaunchTotals.partner_id, func.sum(LaunchTotals.sent), func.sum(LaunchTotals.clickers))
        .where(LaunchTotals.vendor_id == vendor_id)
        .group_by(LaunchTotals.partner_id),
    )
    leads = _by_partner(
        session,
        select(LeadTotals.partner_id, func.sum(LeadTotals.leads), func.sum(LeadTotals.won))
        .where(LeadTotals.vendor_id == vendor_id)
        .group_by(LeadTotals.partner_id),
    )
    claims = _by_partner(
        session,
        select(Claim.partner_id, func.count())
        .where(Claim.vendor_id == vendor_id, Claim.status.not_in([ClaimStatus.DRAFT, ClaimStatus.WITHDRAWN]))
        .group_by(Claim.partner_id),
    )
    nudged = {
        row[0]: row[1]
        for row in session.execute(
            select(Nudge.partner_id, func.max(Nudge.created_at)).where(Nudge.vendor_id == vendor_id).group_by(Nudge.partner_id)
        )
    }
    none = (0, 0)
    rows = [
        PartnerRow(
            partnership=one, launches=launches.get(one.partner_id, none)[0], sent=sent.get(one.partner_id, none)[0],
            clickers=sent.get(one.partner_id, none)[1], leads=leads.get(one.partner_id, none)[0],
            won=leads.get(one.partner_id, none)[1], claims=claims.get(one.partner_id, none)[0],
            nudged_at=nudged.get(one.partner_id),
        )
        for one in account_queries.list_partnerships(session, actor)
        if one.status not in ("ended", "declined")
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row.reached, row.partnership.partner.name))


def steps_of(rows: list[PartnerRow]) -> list[tuple[str, int]]:
    """(step, how many partners came at least that far)."""
    return [(name, sum(1 for row in rows if row.reached >= place)) for place, name in enumerate(STEPS)]


def _by_partner(session: Session, statement: object) -> dict[UUID, tuple[int, int]]:
    found: dict[UUID, tuple[int, int]] = {}
    for row in session.execute(statement):  # type: ignore[call-overload]
        values = [int(value or 0) for value in row[1:]]
        found[row[0]] = (values[0], values[1] if len(values) > 1 else 0)
    return found
