"""The funnel of a vendor's partners: invited → signed in → launched → leads → claim. Counts only, partner by partner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CTE, case, func, or_, select, tuple_
from sqlalchemy.orm import Session, joinedload

from tcma import clock
from tcma.access import Actor
from tcma.accounts.models import Organization, Partnership
from tcma.accounts.states import PartnershipStatus
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
PAGE = 50
_GONE = (PartnershipStatus.ENDED, PartnershipStatus.DECLINED)
_OPEN = (PartnershipStatus.ACTIVE, PartnershipStatus.INVITED)


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
    reached: int
    """The number of the furthest step, 0 to 4."""

    @property
    def partner_id(self) -> UUID:
        return self.partnership.partner_id

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
        return self.partnership.status in _OPEN and (seen is None or seen < clock.now() - QUIET_AFTER)


def partner_rows(
    session: Session, actor: Actor, *, search: str = "", step: str = "", quiet: bool = False, after: UUID | None = None,
    limit: int | None = None,
) -> list[PartnerRow]:  # fmt: skip
    """One row a partner, those least far first; `after` is the partner whose row stood last on the page before."""
    came = _progress(actor.organization_id)
    statement = (
        select(Partnership, came)
        .join(came, came.c.partnership_id == Partnership.id)
        .options(joinedload(Partnership.partner))
        .order_by(came.c.reached, came.c.name, came.c.partner_id)
        .limit(limit)
    )
    if search.strip():
        statement = statement.where(came.c.name.icontains(search.strip(), autoescape=True))
    if step in STEPS:
        statement = statement.where(came.c.reached == STEPS.index(step))
    if quiet:
        seen = func.coalesce(Partnership.last_active_at, Partnership.first_signed_in_at, Partnership.invited_at)
        statement = statement.where(Partnership.status.in_(_OPEN), or_(seen.is_(None), seen < clock.now() - QUIET_AFTER))
    if after is not None:
        last = came.alias("last")
        statement = statement.join(last, last.c.partner_id == after).where(
            tuple_(came.c.reached, came.c.name, came.c.partner_id) > tuple_(last.c.reached, last.c.name, last.c.partner_id)
        )
    return [
        PartnerRow(
            partnership=row[0], launches=row.launches, sent=int(row.sent), clickers=int(row.clickers), leads=int(row.leads),
            won=int(row.won), claims=row.claims, nudged_at=row.nudged_at, reached=row.reached,
        )
        for row in session.execute(statement)
    ]  # fmt: skip


def counts_by_step(session: Session, actor: Actor) -> dict[str, int]:
    """How many partners stand at each step, all of them together."""
    came = _progress(actor.organization_id)
    found = {row[0]: row[1] for row in session.execute(select(came.c.reached, func.count()).group_by(came.c.reached))}
    return {name: found.get(place, 0) for place, name in enumerate(STEPS)}


def steps_of(counts: dict[str, int]) -> list[tuple[str, int]]:
    """(step, how many partners came at least that far)."""
    return [(name, sum(counts[later] for later in STEPS[place:])) for place, name in enumerate(STEPS)]


def _progress(vendor_id: UUID) -> CTE:
    """How far each partner has come: its counts, and the number of the furthest step."""
    launches = (
        select(Launch.partner_id, func.count().label("launches"))
        .where(Launch.vendor_id == vendor_id, Launch.status.not_in([LaunchStatus.DRAFT, LaunchStatus.CANCELLED]))
        .group_by(Launch.partner_id)
        .subquery()
    )
    sent = (
        select(LaunchTotals.partner_id, func.sum(LaunchTotals.sent).label("sent"), func.sum(LaunchTotals.clickers).label("clickers"))
        .where(LaunchTotals.vendor_id == vendor_id)
        .group_by(LaunchTotals.partner_id)
        .subquery()
    )
    leads = (
        select(LeadTotals.partner_id, func.sum(LeadTotals.leads).label("leads"), func.sum(LeadTotals.won).label("won"))
        .where(LeadTotals.vendor_id == vendor_id)
        .group_by(LeadTotals.partner_id)
        .subquery()
    )
    claims = (
        select(Claim.partner_id, func.count().label("claims"))
        .where(Claim.vendor_id == vendor_id, Claim.status.not_in([ClaimStatus.DRAFT, ClaimStatus.WITHDRAWN]))
        .group_by(Claim.partner_id)
        .subquery()
    )
    nudged = (
        select(Nudge.partner_id, func.max(Nudge.created_at).label("nudged_at"))
        .where(Nudge.vendor_id == vendor_id)
        .group_by(Nudge.partner_id)
        .subquery()
    )
    counted = {
        "launches": launches.c.launches, "sent": sent.c.sent, "clickers": sent.c.clickers, "leads": leads.c.leads,
        "won": leads.c.won, "claims": claims.c.claims,
    }  # fmt: skip
    reached = case(
        (counted["claims"] > 0, 4), (counted["leads"] > 0, 3), (counted["launches"] > 0, 2),
        (Partnership.first_signed_in_at.is_not(None), 1), else_=0,
    )  # fmt: skip
    statement = (
        select(
            Partnership.id.label("partnership_id"), Partnership.partner_id, Organization.name, reached.label("reached"),
            *(func.coalesce(column, 0).label(name) for name, column in counted.items()), nudged.c.nudged_at,
        )
        .join(Organization, Organization.id == Partnership.partner_id)
        .where(Partnership.vendor_id == vendor_id, Partnership.status.not_in(_GONE))
    )  # fmt: skip
    for one in (launches, sent, leads, claims, nudged):
        statement = statement.outerjoin(one, one.c.partner_id == Partnership.partner_id)
    return statement.cte("came")
