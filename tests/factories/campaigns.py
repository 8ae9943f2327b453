"""Campaigns of the cast's vendor, made through the same services as users'."""

from __future__ import annotations

from uuid import UUID

from tcma.access import Actor
from tcma.campaigns import services, starter
from tcma.campaigns.models import Campaign
from tcma.db import unit_of_work


def make_campaign(
    actor: Actor, *, starter_key: str | None = None, name: str | None = None, published: bool = True,
    partner_ids: list[UUID] | None = None,
) -> Campaign:  # fmt: skip
    """A starter campaign of `actor`'s vendor, published to `partner_ids` (None: to all its partners)."""
    key = starter_key or starter.starters()[0].key
    with unit_of_work(actor) as session:
        campaign = services.create_from_starter(session, actor, key)
        if name:
            services.save_draft(session, actor, campaign.id, name=name)
        if published:
            services.publish_campaign(session, actor, campaign.id, partner_ids=partner_ids)
    return campaign
