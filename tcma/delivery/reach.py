"""How many people a launch would reach if it started now, and why the others are left out."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tcma.audience import queries as audience_queries
from tcma.campaigns.models import Launch
from tcma.delivery import pacing
from tcma.delivery.lately import lately


@dataclass(frozen=True, slots=True)
class Reach:
    """`total` are in the audience, of whom `capped` had enough mail lately; `refused` are the others left out, by why."""

    total: int
    sendable: int
    capped: int
    refused: dict[str, int]


def reach_of(session: Session, launch: Launch, *, anew: bool = False) -> Reach:
    """Counted now, or lately where counting takes long. Contacts or list members that come or go have it counted at once.

    Consent and refusals of a large audience may be a little older. `anew` counts in any case, as before a start.
    """
    partner_id, vendor_id, audience = launch.partner_id, launch.vendor_id, launch.audience

    def count() -> Reach:
        counts = audience_queries.audience_counts(session, partner_id, vendor_id, audience)
        capped = pacing.count_capped(session, launch)
        refused = {name: counts[name] for name in audience_queries.REFUSALS}
        return Reach(counts["total"], counts["sendable"] - capped, capped, refused)

    rules = pacing.sending_rules(session, partner_id)
    limits = (rules.cap_mails, rules.cap_days) if rules else None
    edition = audience_queries.audience_edition(session, partner_id)
    key = ("reach", session.info.get("tcma_org"), vendor_id, partner_id, json.dumps(audience, sort_keys=True), limits, edition)
    return lately(key, count, anew=anew)
