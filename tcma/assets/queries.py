"""Reads of kits, assets and brand profiles, scoped to the session's tenant."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from tcma import clock
from tcma.access import Actor
from tcma.assets.models import Asset, AssetDownload, AssetVersion, BrandProfile, Kit, KitGrant
from tcma.assets.states import KitStatus
from tcma.config import settings
from tcma.errors import NotFound

BRAND_TEXTS = (
    "name", "legal_name", "postal_address", "phone", "email", "website", "privacy_url", "color", "accent_color",
    "sender_name", "reply_to",
)  # fmt: skip
GAPS = {
    "legal_name": "legal name",
    "postal_address": "postal address",
    "logo_url": "logo",
    "reply_to": "reply address",
}


def find_brand(session: Session, partner_id: UUID) -> BrandProfile | None:
    """The partner's brand profile; readable by the partner and its vendors."""
    return session.get(BrandProfile, partner_id)


def logo_url(brand: BrandProfile) -> str:
    """The logo on the tracking origin, named by its content so that it may be cached for ever."""
    if not brand.logo_sha256:
        return ""
    return f"{settings().tracking_origin}/b/{brand.partner_id}/{brand.logo_sha256[:12]}.png"


def brand_values(session: Session, partner_id: UUID) -> dict[str, str]:
    """`brand.*` as plain strings, with logo_url, sender_name and reply_to; empty where not filled in."""
    brand = find_brand(session, partner_id)
    if brand is None:
        return dict.fromkeys((*BRAND_TEXTS, "logo_url"), "")
    values = {name: str(getattr(brand, name) or "") for name in BRAND_TEXTS}
    values["logo_url"] = logo_url(brand)
    values["reply_to"] = values["reply_to"] or values["email"]
    values["sender_name"] = values["sender_name"] or values["name"] or values["legal_name"]
    return values


def brand_gaps(values: dict[str, str]) -> list[str]:
    """What a launch still needs, in words."""
    return [words for name, words in GAPS.items() if not values.get(name)]


def get_kit(session: Session, actor: Actor, kit_id: UUID, *, lock: bool = False) -> Kit:
    """A kit of the vendor, or one that is published to the partner and open today; else NotFound."""
    statement = select(Kit).where(Kit.id == kit_id)
    if actor.is_vendor:
        statement = statement.where(Kit.vendor_id == actor.organization_id)
    else:
        statement = statement.where(*_open(actor))
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement.options(selectinload(Kit.assets).selectinload(Asset.versions)))
    if found is None:
        raise NotFound()
    return found


def _open(actor: Actor) -> tuple[ColumnElement[bool], ...]:
    today = clock.today(actor.timezone)
    return (
        Kit.status == KitStatus.PUBLISHED,
        exists().where(KitGrant.kit_id == Kit.id, KitGrant.partner_id == actor.organization_id),
        or_(Kit.begins_on.is_(None), Kit.begins_on <= today),
        or_(Kit.ends_on.is_(None), Kit.ends_on >= today),
    )


def list_kits(
    session: Session, actor: Actor, *, search: str = "", status: KitStatus | None = None, before: UUID | None = None,
    limit: int = 48,
) -> list[Kit]:  # fmt: skip
    """Kits, newest first; a partner's are those published to it and open today."""
    statement = select(Kit).options(selectinload(Kit.assets).selectinload(Asset.versions))
    if actor.is_vendor:
        statement = statement.where(Kit.vendor_id == actor.organization_id)
        if status is not None:
            statement = statement.where(Kit.status == status)
    else:
        statement = statement.where(*_open(actor))
    if search.strip():
        statement = statement.where(Kit.name.icontains(search.strip(), autoescape=True))
    if before is not None:
        statement = statement.where(Kit.id < before)
    return list(session.scalars(statement.order_by(Kit.id.desc()).limit(limit)))


def get_version(session: Session, actor: Actor, version_id: UUID) -> AssetVersion:
    """An asset version whose kit the actor may see; a withdrawn asset is gone for partners."""
    found = session.scalar(
        select(AssetVersion).options(joinedload(AssetVersion.asset)).where(AssetVersion.id == version_id)
    )
    if found is None or (found.asset.removed_at is not None and not actor.is_vendor):
        raise NotFound()
    get_kit(session, actor, found.asset.kit_id)
    return found


def get_asset(session: Session, actor: Actor, asset_id: UUID) -> Asset:
    found = session.scalar(select(Asset).options(selectinload(Asset.versions)).where(Asset.id == asset_id))
    if found is None or found.vendor_id != actor.organization_id:
        raise NotFound()
    return found


def granted_partner_ids(session: Session, kit_id: UUID) -> set[UUID]:
    return set(session.scalars(select(KitGrant.partner_id).where(KitGrant.kit_id == kit_id)))


def count_kits(session: Session, actor: Actor) -> dict[KitStatus, int]:
    """The vendor's kits by status."""
    statement = select(Kit.status, func.count()).where(Kit.vendor_id == actor.organization_id).group_by(Kit.status)
    return {row[0]: row[1] for row in session.execute(statement)}


def download_counts(session: Session, version_ids: list[UUID]) -> dict[UUID, int]:
    """Downloads by asset version, as far as the tenant may count them."""
    statement = (
        select(AssetDownload.asset_version_id, func.count())
        .where(AssetDownload.asset_version_id.in_(version_ids))
        .group_by(AssetDownload.asset_version_id)
    )
    return {row[0]: row[1] for row in session.execute(statement)}
