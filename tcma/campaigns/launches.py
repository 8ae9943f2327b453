"""A partner's launch before it starts: made from a campaign, personalised, given an audience, previewed."""

from __future__ import annotations

import re
import secrets
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit
from tcma.access import Actor, Kind, Permission
from tcma.accounts import queries as account_queries
from tcma.accounts.models import Organization
from tcma.accounts.states import PartnershipStatus
from tcma.assets import queries as asset_queries
from tcma.audience import queries as audience_queries
from tcma.audience.models import ContactList
from tcma.campaigns import personalise, queries, slots
from tcma.campaigns.markup import CompiledEmail
from tcma.campaigns.models import CampaignVersion, Launch
from tcma.campaigns.personalise import Rendered, TouchTemplate
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound

_SLOT = re.compile(r"\{\{\s*slot\.(\w+)\s*\}\}")
SAMPLE_CONTACT = {
    "email": "alex.morgan@example.com", "first_name": "Alex", "last_name": "Morgan", "full_name": "Alex Morgan",
    "company": "Morgan & Sons", "job_title": "Managing Director", "city": "Utrecht", "country": "NL",
}  # fmt: skip


def create_launch(session: Session, actor: Actor, campaign_id: UUID, *, name: str | None = None) -> Launch:
    """A draft of the campaign's current version, with the slots' defaults. Raises NotFound, Forbidden."""
    actor.require(Permission.LAUNCH_MANAGE)
    actor.require_kind(Kind.PARTNER)
    campaign = queries.get_campaign(session, actor, campaign_id)
    partnership = account_queries.get_partnership(session, actor, campaign.vendor_id)
    if partnership.status is not PartnershipStatus.ACTIVE:
        raise Forbidden(
            f"Your partnership with {partnership.vendor.name} is {partnership.status}, so you cannot launch its campaigns. "
            f"Ask your channel manager at {partnership.vendor.name}."
        )
    version = queries.current_version(session, queries.get_catalogued(session, actor, campaign_id))
    launch = Launch(
        vendor_id=campaign.vendor_id, partner_id=actor.organization_id, campaign_id=campaign.id,
        campaign_version_id=version.id, name=(name or campaign.name).strip()[:120] or campaign.name,
        slots={slot.name: slot.default for slot in slots.parse_slots(version.slots)},
        audience={"lists": [], "exclude_lists": []}, landing_key=secrets.token_urlsafe(9),
    )  # fmt: skip
    session.add(launch)
    session.flush()
    audit.record(session, actor, "launch.create", launch, after={"campaign_version": version.number})
    return launch


def editable(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    """The launch, locked, while it is still a draft or scheduled; else IllegalTransition."""
    actor.require(Permission.LAUNCH_MANAGE)
    launch = queries.get_launch(session, actor, launch_id, lock=True)
    if launch.partner_id != actor.organization_id:
        raise Forbidden("Only the partner whose launch it is can change it.")
    if launch.status not in (LaunchStatus.DRAFT, LaunchStatus.SCHEDULED):
        raise IllegalTransition(
            f"This launch is {launch.status}: its content is frozen. Start a new launch to change it."
        )
    return launch


def save_slots(session: Session, actor: Actor, launch_id: UUID, values: dict[str, str]) -> Launch:
    """Set the partner's values; slots not named keep theirs. Raises Invalid(slot → message); shell cannot be reached."""
    launch = editable(session, actor, launch_id)
    version = queries.get_version(session, launch.campaign_version_id)
    defined = slots.parse_slots(version.slots)
    unknown = set(values) - {slot.name for slot in defined}
    if unknown:
        raise Invalid(
            dict.fromkeys(unknown, "This campaign has no such slot; the rest of it is the vendor's.")
        )
    launch.slots = slots.clean_values(defined, {**launch.slots, **values})
    session.flush()
    return launch


def save_audience(
    session: Session, actor: Actor, launch_id: UUID, *, lists: list[UUID], exclude_lists: list[UUID]
) -> Launch:
    """Choose whom to write to. Raises Invalid for lists that are not this partner's."""
    launch = editable(session, actor, launch_id)
    wanted = {*lists, *exclude_lists}
    known = set(
        session.scalars(
            select(ContactList.id).where(
                ContactList.partner_id == actor.organization_id, ContactList.id.in_(wanted)
            )
        )
    )
    if wanted - known:
        raise Invalid(
            {"lists": "One of these lists is not there any more. Reload the page and choose again."}
        )
    launch.audience = {
        "lists": [str(one) for one in lists],
        "exclude_lists": [str(one) for one in exclude_lists],
    }
    session.flush()
    return launch


def rename_launch(session: Session, actor: Actor, launch_id: UUID, name: str) -> Launch:
    launch = editable(session, actor, launch_id)
    if not name.strip() or len(name.strip()) > 120:
        raise Invalid({"name": "Give the launch a name of 1 to 120 characters."})
    launch.name = name.strip()
    return launch


def refresh_version(session: Session, actor: Actor, launch_id: UUID) -> Launch:
    """Move a draft to the campaign's newest version, keeping what still fits its slots."""
    launch = editable(session, actor, launch_id)
    campaign = queries.get_campaign(session, actor, launch.campaign_id)
    version = queries.current_version(session, campaign)
    defined = slots.parse_slots(version.slots)
    kept = {slot.name: launch.slots.get(slot.name, slot.default) for slot in defined}
    wrong = slots.problems(defined, kept)
    launch.slots = {slot.name: slot.default if slot.name in wrong else kept[slot.name] for slot in defined}
    launch.campaign_version_id = version.id
    audit.record(session, actor, "launch.refresh", launch, after={"campaign_version": version.number})
    return launch


def landing_url(launch: Launch) -> str:
    """The launch's landing page on the tracking origin."""
    return f"{settings().tracking_origin}/p/{launch.landing_key}"


def launch_values(session: Session, launch: Launch) -> dict[str, str]:
    """`launch.*` of the template language."""
    vendor = session.get(Organization, launch.vendor_id)
    return {
        "name": launch.name,
        "vendor_name": vendor.name if vendor else "",
        "landing_url": landing_url(launch),
    }


def live_brand(session: Session, launch: Launch) -> dict[str, str]:
    """The partner's brand profile as it is now."""
    return asset_queries.brand_values(session, launch.partner_id)


def touch_template(
    session: Session, launch: Launch, *, brand: dict[str, str] | None = None, for_sending: bool = False
) -> TouchTemplate:
    """The launch's email, ready to render: with the frozen brand once it has started, the present one before."""
    touch = queries.email_touch(session, launch.campaign_version_id)
    values = launch.brand or brand or asset_queries.brand_values(session, launch.partner_id)
    return TouchTemplate(
        CompiledEmail.from_json(touch.compiled), slots=dict(launch.slots), brand=values,
        launch=launch_values(session, launch), for_sending=for_sending,
    )  # fmt: skip


def preview(
    session: Session, actor: Actor, launch_id: UUID, *, contact_id: int | None = None,
    values: dict[str, str] | None = None,
) -> Rendered:  # fmt: skip
    """The mail as a named contact would get it, with `values` over the saved slots; vendors see a sample contact."""
    launch = queries.get_launch(session, actor, launch_id)
    contact: dict[str, Any] = dict(SAMPLE_CONTACT)
    if contact_id is not None and actor.organization_id == launch.partner_id:
        found = audience_queries.contact_values(session, launch.partner_id, [contact_id])
        if contact_id not in found:
            raise NotFound("This contact is not there any more. Choose another one.")
        contact = found[contact_id]
    version = queries.get_version(session, launch.campaign_version_id)
    return render(session, launch, version, contact=contact, values=values)


def render(
    session: Session, launch: Launch, version: CampaignVersion, *, contact: dict[str, Any],
    values: dict[str, str] | None = None,
) -> Rendered:  # fmt: skip
    """One rendering with real destinations, untracked."""
    brand = launch.brand or asset_queries.brand_values(session, launch.partner_id)
    context = launch_values(session, launch)
    filled = {**launch.slots, **(values or {})}
    compiled = CompiledEmail.from_json(version.email.compiled)
    return personalise.preview(compiled, slots=filled, brand=brand, launch=context, contact=contact)


def landing_content(launch: Launch, version: CampaignVersion) -> dict[str, Any]:
    """The texts and fields of the landing page; `{{ slot.x }}` in a text is filled with the partner's plain value."""
    content = dict(version.landing)
    for name in ("headline", "intro", "button", "thank_you"):
        # One pass: a value is data, so braces in it stay what they are.
        content[name] = _SLOT.sub(
            lambda found: str(launch.slots.get(found[1], "")), str(content.get(name, ""))
        )
    return content
