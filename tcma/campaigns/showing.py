"""How drafts, versions and starters look: rendered for a person who looks, before anybody launches. Services layer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from tcma.access import Actor, Permission
from tcma.accounts.models import Organization
from tcma.assets import queries as asset_queries
from tcma.campaigns import markup, personalise, queries, services, slots, starter
from tcma.campaigns.launches import SAMPLE_CONTACT
from tcma.campaigns.markup import CompiledEmail
from tcma.campaigns.models import Campaign, CampaignVersion
from tcma.campaigns.personalise import Rendered
from tcma.config import settings
from tcma.errors import NotFound

SAMPLE_BRAND = {
    "name": "Sample Partner", "legal_name": "Sample Partner Ltd", "postal_address": "12 Harbour Street\n20457 Hamburg",
    "color": "#14375e", "accent_color": "#f2a65a", "phone": "+49 40 123456", "email": "hello@partner.example",
    "website": "https://partner.example", "logo_url": "",
}  # fmt: skip
_USED = re.compile(r"\bslot\.([a-z][a-z0-9_]*)")


def _launch(session: Session, name: str, vendor_id: UUID) -> dict[str, str]:
    vendor = session.get(Organization, vendor_id)
    return {
        "name": name,
        "vendor_name": vendor.name if vendor else "",
        "landing_url": f"{settings().tracking_origin}/p/preview",
    }


def brand_of(session: Session, partner_id: UUID | None) -> dict[str, str]:
    """The brand to look at a campaign in: a partner's, filled up from the sample where it has gaps, or the sample."""
    if partner_id is None:
        return dict(SAMPLE_BRAND)
    found = asset_queries.brand_values(session, partner_id)
    return {**SAMPLE_BRAND, **{name: value for name, value in found.items() if value}}


def draft(session: Session, actor: Actor, campaign_id: UUID, *, partner_id: UUID | None = None) -> Rendered:
    """The draft as a sample contact of the partner would get it. Raises NotFound, MarkupError."""
    actor.require(Permission.CAMPAIGN_READ)
    campaign = queries.get_campaign(session, actor, campaign_id)
    if campaign.vendor_id != actor.organization_id:
        raise NotFound()
    source = (campaign.mjml, campaign.subject or campaign.name, campaign.preheader)
    compiled = markup.compile_email(
        source[0], slots=slots.parse_slots(campaign.slots), subject=source[1], preheader=source[2]
    )
    return personalise.preview(
        compiled, slots={}, brand=brand_of(session, partner_id),
        launch=_launch(session, campaign.name, campaign.vendor_id), contact=SAMPLE_CONTACT,
    )  # fmt: skip


def version(session: Session, actor: Actor, version_id: UUID) -> Rendered:
    """A published version in the sample brand. Raises NotFound."""
    actor.require(Permission.CAMPAIGN_READ)
    found = queries.get_version(session, version_id)
    if found.vendor_id != actor.organization_id:
        raise NotFound()
    return _rendered(session, found, dict(SAMPLE_BRAND))


def catalogued(session: Session, actor: Actor, campaign_id: UUID) -> Rendered:
    """What a partner may launch, in its own brand. Raises NotFound."""
    actor.require(Permission.CAMPAIGN_READ)
    campaign = queries.get_catalogued(session, actor, campaign_id)
    found = queries.current_version(session, campaign)
    return _rendered(session, found, brand_of(session, actor.organization_id))


def _rendered(session: Session, found: CampaignVersion, brand: dict[str, str]) -> Rendered:
    compiled = CompiledEmail.from_json(found.email.compiled)
    launch = _launch(session, found.name, found.vendor_id)
    return personalise.preview(compiled, slots={}, brand=brand, launch=launch, contact=SAMPLE_CONTACT)


@lru_cache(maxsize=64)
def _compiled_starter(key: str) -> CompiledEmail:
    one = next((one for one in starter.starters() if one.key == key), None)
    if one is None:
        raise NotFound("There is no starter campaign of that name.")
    return markup.compile_email(one.mjml, slots=one.slots, subject=one.subject, preheader=one.preheader)


def starter_mail(key: str, *, brand: Mapping[str, str] | None = None, vendor_name: str = "") -> Rendered:
    """A starter campaign in a brand, or in the sample one. Raises NotFound."""
    launch = {
        "name": "Sample", "vendor_name": vendor_name or "Your company",
        "landing_url": f"{settings().tracking_origin}/p/preview",
    }  # fmt: skip
    return personalise.preview(
        _compiled_starter(key), slots={}, brand=brand or SAMPLE_BRAND, launch=launch, contact=SAMPLE_CONTACT
    )


def landing(campaign: Campaign | CampaignVersion, *, values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The landing page's texts with the slots' defaults (or `values`) filled in."""
    filled = {**{one.name: one.default for one in slots.parse_slots(campaign.slots)}, **(values or {})}
    content = dict(campaign.landing)
    for name in ("headline", "intro", "button", "thank_you"):
        content[name] = re.sub(
            r"\{\{\s*slot\.(\w+)\s*\}\}", lambda found: str(filled.get(found[1], "")), str(content.get(name, ""))
        )
    return content


def undeclared_slots(campaign: Campaign) -> list[str]:
    """Names that subject, preheader or source use as `slot.x` and that no slot has, in their order."""
    text = "\n".join((campaign.subject, campaign.preheader, campaign.mjml))
    declared = {one["name"] for one in campaign.slots}
    return [name for name in dict.fromkeys(_USED.findall(text)) if name not in declared]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a difference: `kind` is added, removed, same or place."""

    kind: str
    text: str


def differences(older: CampaignVersion | None, newer: CampaignVersion) -> list[DiffLine]:
    """What changed in subject, preheader, source and slots from one version to the next, with three lines around."""
    kinds = {"+": "added", "-": "removed", " ": "same", "@": "place"}
    before = _as_lines(older) if older else []
    lines = difflib.unified_diff(before, _as_lines(newer), lineterm="", n=3)
    return [DiffLine(kinds[line[0]], line[1:] if line[0] != "@" else line) for line in list(lines)[2:] if line]


def _as_lines(found: CampaignVersion) -> list[str]:
    email = found.email
    head = [f"subject: {email.subject}", f"preheader: {email.preheader}"]
    declared = [
        f"slot {one.name}: {one.label}, {one.kind}, {one.min_length} to {one.max_length}, default “{one.default}”"
        for one in slots.parse_slots(found.slots)
    ]
    texts = [f"landing {name}: {value}" for name, value in sorted(found.landing.items())]
    return [*head, *declared, *texts, *email.mjml.splitlines()]


def problems(campaign: Campaign) -> list[markup.Problem]:
    """As `services.check_draft`, with a missing subject line among them."""
    found = list(services.check_draft(campaign))
    if not campaign.subject:
        missing = markup.Problem(0, 0, "There is no subject line.", "Write the one that recipients will see.", part="subject")
        found.insert(0, missing)
    return found
