"""Which service of a later room answers which event of an earlier one; see `tcma.events`."""

from __future__ import annotations

from tcma import events
from tcma.assets import services as assets
from tcma.campaigns import services as campaigns
from tcma.delivery import reactions as delivery
from tcma.events import subscribe
from tcma.leads import services as leads


def wire() -> None:
    """Subscribe every handler. Calling it twice is once."""
    subscribe(events.PartnershipActivated, assets.grant_new_partner)
    subscribe(events.PartnershipActivated, campaigns.grant_new_partner)
    subscribe(events.ContactClicked, leads.score_click)
    subscribe(events.ContactErased, leads.erase_lead)
    subscribe(events.ContactSuppressed, delivery.suppress_pending)
    subscribe(events.ContactErased, delivery.scrub_address)
    subscribe(events.CampaignRecalled, delivery.stop_recalled)
    subscribe(events.PartnershipSuspended, delivery.pause_suspended)
