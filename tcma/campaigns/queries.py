"""Reads of campaigns and launches, scoped to the session's tenant."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from tcma import clock
from tcma.access import Actor
from tcma.campaigns.models import Campaign, CampaignGrant, CampaignVersion, Launch, Touch
from tcma.campaigns.states import CampaignStatus, LaunchStatus
from tcma.errors import NotFound


def get_campaign(session: Session, actor: Actor, campaign_id: UUID, *, lock: bool = False) -> Campaign:
    """A campaign that the actor's organization owns, or is entitled to and that is published."""
    statement = select(Campaign).where(Campaign.id == campaign_id)
    if actor.is_vendor:
        statement = statement.where(Campaign.vendor_id == actor.organization_id)
    else:
        statement = statement.where(Campaign.status != CampaignStatus.DRAFT)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_campaigns(
    session: Session, actor: Actor, *, status: CampaignStatus | None = None, search: str = "",
    before: UUID | None = None, limit: int = 50,
) -> list[Campaign]:  # fmt: skip
    """The vendor's campaigns, newest first; `before` pages on by id."""
    statement = select(Campaign).where(Campaign.vendor_id == actor.organization_id)
    if status is not None:
        statement = statement.where(Campaign.status == status)
    if search.strip():
        statement = statement.where(Campaign.name.icontains(search.strip(), autoescape=True))
    if before is not None:
        statement = statement.where(Campaign.id < before)
    return list(session.scalars(statement.order_by(Campaign.id.desc()).limit(limit)))


def _catalogue(actor: Actor) -> Select[Campaign]:
    today = clock.today(actor.timezone)
    return (
        select(Campaign)
        .join(CampaignGrant, CampaignGrant.campaign_id == Campaign.id)
        .where(
            CampaignGrant.partner_id == actor.organization_id,
            Campaign.status == CampaignStatus.PUBLISHED,
            or_(Campaign.begins_on.is_(None), Campaign.begins_on <= today),
            or_(Campaign.ends_on.is_(None), Campaign.ends_on >= today),
        )
    )


def get_catalogued(session: Session, actor: Actor, campaign_id: UUID) -> Campaign:
    """A campaign that this partner may launch now, or NotFound: recalled, ended and others' campaigns alike."""
    found = session.scalar(_catalogue(actor).where(Campaign.id == campaign_id))
    if found is None:
        raise NotFound("This campaign is not in your catalogue any more. Choose another one there.")
    return found


def list_catalogue(
    session: Session, actor: Actor, *, vendor_id: UUID | None = None, search: str = "", limit: int = 60
) -> list[Campaign]:
    """Campaigns that this partner may launch now: granted, published, within their dates."""
    statement = _catalogue(actor).order_by(Campaign.published_at.desc()).limit(limit)
    if vendor_id is not None:
        statement = statement.where(Campaign.vendor_id == vendor_id)
    if search.strip():
        wanted = search.strip()
        statement = statement.where(
            or_(Campaign.name.icontains(wanted, autoescape=True), Campaign.summary.icontains(wanted, autoescape=True))
        )
    return list(session.scalars(statement))


def get_version(session: Session, version_id: UUID) -> CampaignVersion:
    """A campaign version with its touches, or NotFound."""
    found = session.scalar(
        select(CampaignVersion).options(selectinload(CampaignVersion.touches)).where(CampaignVersion.id == version_id)
    )
    if found is None:
        raise NotFound()
    return found


def current_version(session: Session, campaign: Campaign) -> CampaignVersion:
    if campaign.current_version_id is None:
        raise NotFound("This campaign has not been published yet.")
    return get_version(session, campaign.current_version_id)


def list_versions(session: Session, actor: Actor, campaign_id: UUID) -> list[CampaignVersion]:
    statement = (
        select(CampaignVersion)
        .where(CampaignVersion.campaign_id == campaign_id)
        .order_by(CampaignVersion.number.desc())
    )
    return list(session.scalars(statement))


def email_touch(session: Session, version_id: UUID) -> Touch:
    """The email touch of a version."""
    return get_version(session, version_id).email


def count_campaigns(session: Session, actor: Actor) -> dict[CampaignStatus, int]:
    """The vendor's campaigns by status."""
    statement = (
        select(Campaign.status, func.count())
        .where(Campaign.vendor_id == actor.organization_id)
        .group_by(Campaign.status)
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def grant_counts(session: Session, campaign_ids: list[UUID]) -> dict[UUID, int]:
    """For each campaign, to how many partners it is open."""
    statement = (
        select(CampaignGrant.campaign_id, func.count())
        .where(CampaignGrant.campaign_id.in_(campaign_ids))
        .group_by(CampaignGrant.campaign_id)
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def granted_partner_ids(session: Session, campaign_id: UUID) -> set[UUID]:
    return set(session.scalars(select(CampaignGrant.partner_id).where(CampaignGrant.campaign_id == campaign_id)))


def launch_counts(session: Session, campaign_ids: list[UUID]) -> dict[UUID, dict[str, int]]:
    """For each campaign: how many launches, and by how many partners, in any state but draft or cancelled."""
    statement = (
        select(Launch.campaign_id, func.count(), func.count(Launch.partner_id.distinct()))
        .where(
            Launch.campaign_id.in_(campaign_ids),
            Launch.status.not_in([LaunchStatus.DRAFT, LaunchStatus.CANCELLED]),
        )
        .group_by(Launch.campaign_id)
    )
    return {row[0]: {"launches": row[1], "partners": row[2]} for row in session.execute(statement)}


def _launches(actor: Actor) -> Select[Launch]:
    mine = Launch.partner_id if actor.is_partner else Launch.vendor_id
    return select(Launch).where(mine == actor.organization_id)


def get_launch(session: Session, actor: Actor, launch_id: UUID, *, lock: bool = False) -> Launch:
    """A launch of the actor's organization (a vendor sees its partners' headers), or NotFound."""
    statement = _launches(actor).where(Launch.id == launch_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    else:
        statement = statement.options(joinedload(Launch.campaign), joinedload(Launch.version))
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_launches(
    session: Session, actor: Actor, *, status: LaunchStatus | None = None, search: str = "",
    campaign_id: UUID | None = None, before: UUID | None = None, limit: int = 50,
) -> list[Launch]:  # fmt: skip
    """Launches, newest first; `before` pages on by id."""
    statement = _launches(actor).options(joinedload(Launch.campaign))
    if status is not None:
        statement = statement.where(Launch.status == status)
    if search.strip():
        statement = statement.where(Launch.name.icontains(search.strip(), autoescape=True))
    if campaign_id is not None:
        statement = statement.where(Launch.campaign_id == campaign_id)
    if before is not None:
        statement = statement.where(Launch.id < before)
    return list(session.scalars(statement.order_by(Launch.id.desc()).limit(limit)))


def find_launch_by_landing_key(session: Session, landing_key: str) -> Launch | None:
    """For the public landing page: call it elevated, it names its tenant."""
    return session.scalar(select(Launch).where(Launch.landing_key == landing_key))
