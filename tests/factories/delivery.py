"""Launches in any state, made through the same services as users'."""

from __future__ import annotations

import base64
import hashlib
import secrets
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from sqlalchemy import insert

from tcma import clock
from tcma.access import Actor, Kind
from tcma.assets import services as asset_services
from tcma.audience import services as audience_services
from tcma.audience.models import Consent, Contact, ContactList, ListMember
from tcma.audience.states import ConsentBasis
from tcma.campaigns import launches, starter
from tcma.campaigns import services as campaign_services
from tcma.campaigns.models import Campaign, Launch
from tcma.config import Settings, settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import planning, services
from tcma.storage import storage
from tests.factories.cast import Cast

LOGO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkaPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def use_sink(url: str, *, lanes: int | None = None) -> Settings:
    """Send to `url` from now on; the settings as they were, for `use_settings` to put back."""
    before = settings()
    changed = before.model_copy(update={"smtp_url": url, **({"delivery_lanes": lanes} if lanes else {})})
    use_settings(changed)
    return before


def make_brand(actor: Actor) -> None:
    """A brand profile from which nothing is missing."""
    with unit_of_work(actor) as session:
        brand = asset_services.save_brand(
            session, actor, name="Acme IT", legal_name="Acme IT GmbH", postal_address="Hafenstraße 12\n20457 Hamburg",
            country="DE", phone="+49 40 123456", email="hello@acme.example", website="https://acme.example",
            color="#0c5e73", sender_name="Acme IT", reply_to="hello@acme.example",
        )  # fmt: skip
        # The reading of pictures is proved elsewhere; here it would cost a process each time.
        brand.logo_key, brand.logo_sha256 = f"brands/{brand.partner_id}.png", hashlib.sha256(LOGO).hexdigest()
        storage().put(brand.logo_key, LOGO, content_type="image/png")


def make_campaign(actor: Actor, *, starter_key: str | None = None, name: str | None = None) -> Campaign:
    """A published starter campaign of `actor`'s vendor, for all its partners."""
    key = starter_key or starter.starters()[0].key
    with unit_of_work(actor) as session:
        campaign = campaign_services.create_from_starter(session, actor, key)
        if name:
            campaign_services.save_draft(session, actor, campaign.id, name=name)
        campaign_services.publish_campaign(session, actor, campaign.id, partner_ids=None)
    return campaign


def make_contacts(actor: Actor, count: int, *, name: str = "Customers", domain: str | None = None) -> ContactList:
    """A list of `count` people with consent: p0@…, p1@…; written in bulk, as an import would."""
    place = domain or f"{secrets.token_hex(4)}.example"
    now = clock.now()
    with unit_of_work(actor) as session:
        made = audience_services.create_list(session, actor, name=f"{name} {place}")
        people = [
            {
                "partner_id": actor.organization_id, "email": f"p{n}@{place}",
                "email_key": audience_services.key_of(f"p{n}@{place}"), "first_name": f"Person{n}",
                "last_name": "Müller", "company": f"Company {n}",
            }
            for n in range(count)
        ]  # fmt: skip
        if not people:
            return made
        contact_ids = session.scalars(insert(Contact).returning(Contact.id, sort_by_parameter_order=True), people).all()
        consent = {
            "partner_id": actor.organization_id, "basis": ConsentBasis.OPT_IN, "source": "our fair",
            "wording_version": "manual-1", "at": now,
        }  # fmt: skip
        session.execute(insert(Consent), [{**consent, "contact_id": one} for one in contact_ids])
        member = {"partner_id": actor.organization_id, "list_id": made.id, "added_at": now}
        session.execute(insert(ListMember), [{**member, "contact_id": one} for one in contact_ids])
    return made


def make_draft(
    cast: Cast,
    *,
    contacts: int = 3,
    actor: Actor | None = None,
    campaign: Campaign | None = None,
    name: str | None = None,
) -> Launch:
    """A draft that passes every check: brand, texts and `contacts` people are there."""
    partner = actor or cast.partner_marketer
    make_brand(partner)
    chosen = campaign or make_campaign(cast.vendor_marketer)
    people = make_contacts(partner, contacts)
    with unit_of_work(partner) as session:
        launch = launches.create_launch(session, partner, chosen.id, name=name)
        launches.save_audience(session, partner, launch.id, lists=[people.id], exclude_lists=[])
    return launch


def make_started(
    cast: Cast, *, contacts: int = 3, actor: Actor | None = None, campaign: Campaign | None = None
) -> Launch:
    """A launch that is planned and sending; nothing has left yet."""
    partner = actor or cast.partner_marketer
    launch = make_draft(cast, contacts=contacts, actor=partner, campaign=campaign)
    with unit_of_work(partner) as session:
        services.start_launch(session, partner, launch.id)
    plan(launch)
    return launch


def plan(launch: Launch) -> None:
    """What the task `tcma.delivery.plan` does."""
    system = system_of(launch)
    with unit_of_work(system) as session:
        planning.plan_launch(session, system, launch.id)


def system_of(launch: Launch) -> Actor:
    """The service, acting for the launch's partner."""
    return Actor.system(launch.partner_id, Kind.PARTNER)


def later(minutes: float) -> AbstractContextManager[datetime]:
    """Hold the clock so many minutes ahead."""
    return clock.at(clock.now() + timedelta(minutes=minutes))
