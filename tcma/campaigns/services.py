"""Authoring and publishing campaigns: the vendor's use cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from tcma import audit, clock, events
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import queries as account_queries
from tcma.accounts import services as account_services
from tcma.accounts.states import PartnershipStatus
from tcma.campaigns import landing, markup, queries, slots, starter
from tcma.campaigns.models import Campaign, CampaignGrant, CampaignVersion, Touch
from tcma.campaigns.states import CampaignStatus, TouchKind
from tcma.errors import Invalid, Stale

TEXT_FIELDS = {"name": 120, "goal": 160, "summary": 600, "subject": 200, "preheader": 200}


def create_campaign(session: Session, actor: Actor, *, name: str, **fields: Any) -> Campaign:
    """A new draft of this vendor. Fields as in `save_draft`. Raises Forbidden, Invalid."""
    actor.require(Permission.CAMPAIGN_MANAGE)
    actor.require_kind(Kind.VENDOR)
    campaign = Campaign(
        vendor_id=actor.organization_id, name="", slots=[], landing=landing.DEFAULT, created_by=actor.user_id
    )
    _fill(campaign, {"name": name, **fields})
    session.add(campaign)
    session.flush()
    audit.record(session, actor, "campaign.create", campaign, after={"status": campaign.status})
    return campaign


def create_from_starter(session: Session, actor: Actor, starter_name: str) -> Campaign:
    """A draft from a campaign that ships with the product."""
    chosen = next((one for one in starter.starters() if one.key == starter_name), None)
    if chosen is None:
        raise Invalid({"starter": "There is no starter campaign of that name. Choose one from the list."})
    return create_campaign(
        session, actor, name=chosen.name, goal=chosen.goal, summary=chosen.summary, subject=chosen.subject,
        preheader=chosen.preheader, mjml=chosen.mjml, slots=slots.to_json(chosen.slots),
        landing=dict(chosen.landing),
    )  # fmt: skip


def part_mark(campaign: Campaign, fields: Iterable[str]) -> str:
    """What these fields of a draft hold now, in 16 hexadecimal digits."""
    held = json.dumps({name: getattr(campaign, name) for name in sorted(fields)}, sort_keys=True, default=str)
    return hashlib.sha256(held.encode()).hexdigest()[:16]


def save_draft(
    session: Session, actor: Actor, campaign_id: UUID, *, seen: str | None = None, **fields: Any
) -> Campaign:
    """Change the draft: name, goal, summary, effort_minutes, begins_on, ends_on, subject, preheader, mjml, slots, landing.

    What does not compile yet may be saved; `check_draft` says what to mend before publishing. `seen` is the `part_mark`
    of these fields that the author began with. Raises Stale where they have changed since, Invalid, Forbidden.
    """
    actor.require(Permission.CAMPAIGN_MANAGE)
    campaign = queries.get_campaign(session, actor, campaign_id, lock=True)
    if seen and seen != part_mark(campaign, fields):
        raise Stale()
    _fill(campaign, fields)
    session.flush()
    audit.record(session, actor, "campaign.edit", campaign, after={"fields": " ".join(sorted(fields))})
    return campaign


def _fill(campaign: Campaign, fields: dict[str, Any]) -> None:
    wrong: dict[str, str] = {}
    for name, limit in TEXT_FIELDS.items():
        if name in fields:
            value = str(fields[name] or "").strip()
            if len(value) > limit:
                wrong[name] = f"{len(value)} characters; {limit} fit. Shorten it by {len(value) - limit}."
            setattr(campaign, name, value)
    if "name" in fields and not campaign.name:
        wrong["name"] = "Give the campaign a name."
    for name in ("begins_on", "ends_on"):
        if name in fields:
            setattr(campaign, name, fields[name])
    if campaign.begins_on and campaign.ends_on and campaign.ends_on < campaign.begins_on:
        wrong["ends_on"] = f"It ends on {campaign.ends_on}, before it begins on {campaign.begins_on}. Swap or change them."
    if "effort_minutes" in fields:
        campaign.effort_minutes = max(1, min(480, int(fields["effort_minutes"] or 10)))
    if "activity_type" in fields:
        campaign.activity_type = str(fields["activity_type"])
    if "mjml" in fields:
        campaign.mjml = str(fields["mjml"] or "")
    if "slots" in fields:
        campaign.slots = slots.to_json(slots.parse_slots(fields["slots"]))
    if "landing" in fields:
        campaign.landing = landing.clean(fields["landing"])
    if wrong:
        raise Invalid(wrong)


def check_draft(campaign: Campaign) -> list[markup.Problem]:
    """All that stands between the draft and publishing, errors and warnings, with lines and how to mend."""
    return markup.check(
        campaign.mjml, slots=slots.parse_slots(campaign.slots), subject=campaign.subject or None, preheader=campaign.preheader
    )


def compile_draft(campaign: Campaign) -> markup.CompiledEmail:
    """The compiled email of the draft, or MarkupError with every problem."""
    return markup.compile_email(
        campaign.mjml, slots=slots.parse_slots(campaign.slots), subject=campaign.subject, preheader=campaign.preheader
    )


def draft_mark(campaign: Campaign) -> str:
    """Tells one state of the draft from another, and from the same draft once it is published."""
    content = [
        campaign.name, campaign.goal, campaign.summary, campaign.subject, campaign.preheader, campaign.mjml,
        campaign.slots, campaign.landing, str(campaign.current_version_id),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def publish_campaign(
    session: Session, actor: Actor, campaign_id: UUID, *, partner_ids: list[UUID] | None, note: str = "", shown: str = ""
) -> CampaignVersion:
    """Freeze the draft as the next version and entitle partners (None: all active ones).

    `shown` is the `draft_mark` of what the person looked at: what a colleague changed or published since is Stale.
    Raises Forbidden, NotFound, Invalid, MarkupError, IllegalTransition, Stale; nothing changes then. Launches that
    began on an earlier version keep it.
    """
    actor.require(Permission.CAMPAIGN_PUBLISH)
    campaign = queries.get_campaign(session, actor, campaign_id, lock=True)
    if shown and shown != draft_mark(campaign):
        raise Stale("The campaign was changed or published since you opened this page. Reload it, and look again.")
    if not campaign.subject:
        raise Invalid({"subject": "Write the subject line that recipients will see."})
    compiled = compile_draft(campaign)
    chosen = _entitled(session, actor, partner_ids)
    content = {
        "subject": campaign.subject, "preheader": campaign.preheader, "email": compiled.sha256,
        "slots": campaign.slots, "landing": campaign.landing,
    }  # fmt: skip
    number = 1 + (
        session.scalar(select(func.max(CampaignVersion.number)).where(CampaignVersion.campaign_id == campaign.id)) or 0
    )
    version = CampaignVersion(
        vendor_id=campaign.vendor_id, campaign_id=campaign.id, number=number, name=campaign.name, goal=campaign.goal,
        summary=campaign.summary, slots=campaign.slots, landing=campaign.landing, note=note.strip(),
        content_sha256=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        published_at=clock.now(), published_by=actor.user_id,
    )  # fmt: skip
    session.add(version)
    session.flush()
    session.add_all(
        [
            Touch(
                vendor_id=campaign.vendor_id, campaign_version_id=version.id, position=1, kind=TouchKind.EMAIL,
                subject=campaign.subject, preheader=campaign.preheader, mjml=campaign.mjml, compiled=compiled.to_json(),
            ),
            Touch(
                vendor_id=campaign.vendor_id, campaign_version_id=version.id, position=2, kind=TouchKind.LANDING_PAGE,
                compiled={},
            ),
        ]
    )  # fmt: skip
    campaign.publish(by=actor, version=version, at=clock.now())
    campaign.for_all_partners = partner_ids is None
    new = _grant(session, campaign, chosen, replace=partner_ids is not None)
    session.flush()
    for partner_id in new:
        account_services.tell(
            session, partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "campaign_published",
            data={"campaign": campaign.name, "vendor": actor.organization_name, "goal": campaign.goal,
                  "path": f"/catalogue/{campaign.id}"},
            once_key=f"campaign-published:{campaign.id}:{partner_id}",
        )  # fmt: skip
    return version


def _entitled(session: Session, actor: Actor, partner_ids: list[UUID] | None) -> set[UUID]:
    active = {
        one.partner_id
        for one in account_queries.list_partnerships(session, actor, status=PartnershipStatus.ACTIVE)
    }
    if partner_ids is None:
        return active
    unknown = set(partner_ids) - active
    if unknown:
        raise Invalid({"partners": f"{len(unknown)} of the chosen partners are not active with you. Choose active ones."})
    if not partner_ids:
        raise Invalid({"partners": "Choose at least one partner, or all of them."})
    return set(partner_ids)


def _grant(session: Session, campaign: Campaign, chosen: set[UUID], *, replace: bool) -> set[UUID]:
    """Entitle `chosen`; with `replace` nobody else keeps it. Those newly entitled."""
    had = queries.granted_partner_ids(session, campaign.id)
    if replace and had - chosen:
        session.execute(
            delete(CampaignGrant).where(
                CampaignGrant.campaign_id == campaign.id, CampaignGrant.partner_id.in_(had - chosen)
            )
        )
    session.add_all(
        CampaignGrant(campaign_id=campaign.id, partner_id=partner_id, vendor_id=campaign.vendor_id)
        for partner_id in chosen - had
    )
    return chosen - had


def grant_new_partner(session: Session, actor: Actor, happened: events.PartnershipActivated) -> None:
    """A partner that became active gets every published campaign that is for all partners."""
    published = session.scalars(
        select(Campaign).where(
            Campaign.vendor_id == happened.vendor_id,
            Campaign.status == CampaignStatus.PUBLISHED,
            Campaign.for_all_partners,
        )
    )
    for campaign in published:
        _grant(session, campaign, {happened.partner_id}, replace=False)


def recall_campaign(session: Session, actor: Actor, campaign_id: UUID, *, reason: str) -> Campaign:
    """Take a campaign back: nobody starts it any more, launches under way are told to later rooms."""
    actor.require(Permission.CAMPAIGN_PUBLISH)
    if not reason.strip():
        raise Invalid({"reason": "Say why, so that partners understand."})
    campaign = queries.get_campaign(session, actor, campaign_id, lock=True)
    campaign.recall(by=actor, reason=reason.strip())
    session.flush()
    events.publish(session, actor, events.CampaignRecalled(campaign.vendor_id, campaign.id))
    return campaign


def archive_campaign(session: Session, actor: Actor, campaign_id: UUID) -> Campaign:
    actor.require(Permission.CAMPAIGN_MANAGE)
    campaign = queries.get_campaign(session, actor, campaign_id, lock=True)
    campaign.archive(by=actor)
    return campaign


def reopen_campaign(session: Session, actor: Actor, campaign_id: UUID) -> Campaign:
    """Take an archived campaign out again, as a draft."""
    actor.require(Permission.CAMPAIGN_MANAGE)
    campaign = queries.get_campaign(session, actor, campaign_id, lock=True)
    campaign.reopen(by=actor)
    return campaign


def has_ended(campaign: Campaign, today: date) -> bool:
    return bool(campaign.ends_on and campaign.ends_on < today)
