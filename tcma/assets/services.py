"""Use cases of assets: a vendor's kits, a partner's brand profile, co-branded files."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import PurePath
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import audit, clock, events, ids
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import queries as account_queries
from tcma.accounts import services as account_services
from tcma.accounts.states import PartnershipStatus
from tcma.assets import cobrand, documents, images, queries, sniff
from tcma.assets.models import Asset, AssetDownload, AssetVersion, BrandProfile, CobrandedFile, Kit, KitGrant
from tcma.assets.states import AssetKind, KitStatus
from tcma.assets.zones import BrandKit, zones_from
from tcma.errors import Invalid
from tcma.storage import content_key, storage

BRAND_LIMITS = {
    "name": 80, "legal_name": 120, "postal_address": 300, "country": 2, "phone": 40, "email": 254, "website": 200,
    "privacy_url": 300, "color": 7, "accent_color": 7, "sender_name": 60, "reply_to": 254,
}  # fmt: skip
MAX_ASSETS = 100


def create_kit(
    session: Session, actor: Actor, *, name: str, description: str = "", begins_on: date | None = None,
    ends_on: date | None = None,
) -> Kit:  # fmt: skip
    """A new draft kit of this vendor."""
    actor.require(Permission.KIT_MANAGE)
    actor.require_kind(Kind.VENDOR)
    kit = Kit(vendor_id=actor.organization_id)
    _fill_kit(kit, name=name, description=description, begins_on=begins_on, ends_on=ends_on)
    session.add(kit)
    session.flush()
    audit.record(session, actor, "kit.create", kit)
    return kit


def edit_kit(session: Session, actor: Actor, kit_id: UUID, **fields: Any) -> Kit:
    actor.require(Permission.KIT_MANAGE)
    kit = queries.get_kit(session, actor, kit_id, lock=True)
    present = {name: getattr(kit, name) for name in ("name", "description", "begins_on", "ends_on")}
    _fill_kit(kit, **{**present, **fields})
    audit.record(session, actor, "kit.edit", kit)
    return kit


def _fill_kit(kit: Kit, *, name: str, description: str, begins_on: date | None, ends_on: date | None) -> None:
    wrong: dict[str, str] = {}
    if not 1 <= len(name.strip()) <= 120:
        wrong["name"] = "Give the kit a name of 1 to 120 characters."
    if begins_on and ends_on and ends_on < begins_on:
        wrong["ends_on"] = f"It ends on {ends_on}, before it begins on {begins_on}. Swap or change them."
    if wrong:
        raise Invalid(wrong)
    kit.name, kit.description = name.strip(), description.strip()[:2000]
    kit.begins_on, kit.ends_on = begins_on, ends_on


def add_asset(
    session: Session, actor: Actor, kit_id: UUID, *, filename: str, data: bytes, zones: list[dict[str, Any]] | None = None,
    name: str = "",
) -> Asset:  # fmt: skip
    """Put a file into a kit. What it is, its bytes tell; raises Invalid with what is wrong and how to mend it."""
    actor.require(Permission.KIT_MANAGE)
    kit = queries.get_kit(session, actor, kit_id, lock=True)
    if len(kit.assets) >= MAX_ASSETS:
        raise Invalid({"file": f"A kit holds at most {MAX_ASSETS} assets. Make a second kit."})
    kind = sniff.sniff(data)
    title = (name or PurePath(filename).stem).strip()[:120] or "Asset"
    asset = Asset(
        vendor_id=kit.vendor_id, kit_id=kit.id, name=title, position=len(kit.assets) + 1,
        kind=AssetKind.PDF if kind is sniff.Kind.PDF else AssetKind.IMAGE,
    )  # fmt: skip
    session.add(asset)
    session.flush()
    _add_version(session, actor, asset, filename=filename, data=data, zones=zones or [])
    audit.record(session, actor, "asset.add", asset, after={"kit": kit.id})
    return asset


def replace_asset(
    session: Session, actor: Actor, asset_id: UUID, *, filename: str, data: bytes, zones: list[dict[str, Any]] | None = None
) -> Asset:
    """A new version of an asset; earlier ones stay as they were. Without `zones` the last version's are kept."""
    actor.require(Permission.KIT_MANAGE)
    asset = queries.get_asset(session, actor, asset_id)
    kept = asset.current.zones if zones is None else zones
    _add_version(session, actor, asset, filename=filename, data=data, zones=kept)
    audit.record(session, actor, "asset.replace", asset, after={"version": asset.current.number})
    return asset


def set_zones(session: Session, actor: Actor, asset_id: UUID, zones: list[dict[str, Any]]) -> Asset:
    """Declare where a partner's brand goes: a new version of the same file."""
    actor.require(Permission.KIT_MANAGE)
    asset = queries.get_asset(session, actor, asset_id)
    old = asset.current
    checked = zones_from(zones, pages=old.pages)
    version = AssetVersion(
        vendor_id=asset.vendor_id, asset_id=asset.id, number=old.number + 1, filename=old.filename,
        content_type=old.content_type, size=old.size, sha256=old.sha256, storage_key=old.storage_key,
        thumbnail_key=old.thumbnail_key, pages=old.pages, width=old.width, height=old.height,
        zones=[zone.as_json() for zone in checked], created_by=actor.user_id,
    )  # fmt: skip
    asset.versions.append(version)
    session.flush()
    audit.record(session, actor, "asset.zones", asset, after={"version": version.number, "zones": len(checked)})
    return asset


def _add_version(session: Session, actor: Actor, asset: Asset, *, filename: str, data: bytes, zones: list[dict[str, Any]]) -> None:
    kind = sniff.sniff(data)
    if kind is sniff.Kind.PDF:
        document = documents.read_pdf(data)
        clean, pages = document.data, len(document.pages)
        width, height = (round(side) for side in document.pages[0])
    else:
        picture = images.read_picture(data)
        clean, pages, width, height = picture.data, 1, picture.width, picture.height
    checked = zones_from(zones, pages=pages)
    digest = hashlib.sha256(clean).hexdigest()
    small = documents.thumbnail(clean, kind, width=640)
    prefix = f"assets/{asset.vendor_id}"
    key, small_key = content_key(prefix, digest, kind.suffix), content_key(f"{prefix}/thumbnails", digest, ".webp")
    storage().put(key, clean, content_type=kind.media_type)
    storage().put(small_key, small, content_type="image/webp")
    number = 1 + (session.scalar(select(func.max(AssetVersion.number)).where(AssetVersion.asset_id == asset.id)) or 0)
    session.add(
        AssetVersion(
            vendor_id=asset.vendor_id, asset_id=asset.id, number=number, filename=PurePath(filename).name[:200],
            content_type=kind.media_type, size=len(clean), sha256=digest, storage_key=key, thumbnail_key=small_key,
            pages=pages, width=width, height=height, zones=[zone.as_json() for zone in checked],
            created_by=actor.user_id,
        )
    )  # fmt: skip
    session.flush()
    session.refresh(asset, ["versions"])


def remove_asset(session: Session, actor: Actor, asset_id: UUID) -> None:
    """Take an asset out of its kit; partners lose it, versions stay for the record."""
    actor.require(Permission.KIT_MANAGE)
    asset = queries.get_asset(session, actor, asset_id)
    asset.removed_at = clock.now()
    audit.record(session, actor, "asset.remove", asset)


def publish_kit(session: Session, actor: Actor, kit_id: UUID, *, partner_ids: list[UUID] | None) -> Kit:
    """Open the kit to partners (None: all active ones, also those to come). Raises Invalid for an empty kit."""
    actor.require(Permission.KIT_MANAGE)
    kit = queries.get_kit(session, actor, kit_id, lock=True)
    if not [asset for asset in kit.assets if asset.removed_at is None]:
        raise Invalid({"": "This kit has no assets yet. Upload at least one file, then publish."})
    active = {
        one.partner_id for one in account_queries.list_partnerships(session, actor, status=PartnershipStatus.ACTIVE)
    }
    chosen = active if partner_ids is None else set(partner_ids)
    if chosen - active:
        raise Invalid({"partners": "One of the chosen partners is not active with you. Choose active ones."})
    if partner_ids is not None and not chosen:
        raise Invalid({"partners": "Choose at least one partner, or all of them."})
    if kit.status is not KitStatus.PUBLISHED:
        kit.publish(by=actor, at=clock.now())
    kit.for_all_partners = partner_ids is None
    had = queries.granted_partner_ids(session, kit.id)
    if had - chosen:
        session.execute(delete(KitGrant).where(KitGrant.kit_id == kit.id, KitGrant.partner_id.in_(had - chosen)))
    _grant(session, kit, chosen - had)
    session.flush()
    for partner_id in chosen - had:
        account_services.tell(
            session, partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "kit_published",
            data={"kit": kit.name, "vendor": actor.organization_name, "path": f"/kits/{kit.id}"},
            once_key=f"kit-published:{kit.id}:{partner_id}",
        )  # fmt: skip
    return kit


def _grant(session: Session, kit: Kit, partner_ids: set[UUID]) -> None:
    session.add_all(KitGrant(kit_id=kit.id, partner_id=one, vendor_id=kit.vendor_id) for one in partner_ids)


def grant_new_partner(session: Session, actor: Actor, happened: events.PartnershipActivated) -> None:
    """A partner that became active gets every published kit that is for all partners."""
    for kit in session.scalars(
        select(Kit).where(
            Kit.vendor_id == happened.vendor_id, Kit.status == KitStatus.PUBLISHED, Kit.for_all_partners
        )
    ):
        if happened.partner_id not in queries.granted_partner_ids(session, kit.id):
            _grant(session, kit, {happened.partner_id})
    session.flush()


def recall_kit(session: Session, actor: Actor, kit_id: UUID, *, reason: str) -> Kit:
    actor.require(Permission.KIT_MANAGE)
    if not reason.strip():
        raise Invalid({"reason": "Say why, so that partners understand."})
    kit = queries.get_kit(session, actor, kit_id, lock=True)
    kit.recall(by=actor, reason=reason.strip())
    return kit


def archive_kit(session: Session, actor: Actor, kit_id: UUID) -> Kit:
    actor.require(Permission.KIT_MANAGE)
    kit = queries.get_kit(session, actor, kit_id, lock=True)
    kit.archive(by=actor)
    return kit


def reopen_kit(session: Session, actor: Actor, kit_id: UUID) -> Kit:
    """Take an archived kit out again, as a draft."""
    actor.require(Permission.KIT_MANAGE)
    kit = queries.get_kit(session, actor, kit_id, lock=True)
    kit.reopen(by=actor)
    return kit


def _own_brand(session: Session, actor: Actor) -> BrandProfile:
    actor.require(Permission.BRAND_MANAGE)
    actor.require_kind(Kind.PARTNER)
    session.execute(
        insert(BrandProfile)
        .values(
            partner_id=actor.organization_id, updated_at=clock.now(), color="#1f4e8c", accent_color="#f2a33a",
            **{name: "" for name in BRAND_LIMITS if name not in ("color", "accent_color")},
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    brand = session.get(BrandProfile, actor.organization_id, with_for_update=True, populate_existing=True)
    assert brand is not None
    return brand


def save_brand(session: Session, actor: Actor, **fields: str) -> BrandProfile:
    """Set the given fields of this partner's brand profile; raises Invalid(field → message)."""
    brand = _own_brand(session, actor)
    wrong: dict[str, str] = {}
    for name, value in fields.items():
        if name not in BRAND_LIMITS:
            wrong[name] = "The brand profile has no such field."
            continue
        try:
            setattr(brand, name, _brand_field(name, value or ""))
        except Invalid as error:
            wrong[name] = error.message
    if wrong:
        raise Invalid(wrong)
    brand.updated_at = clock.now()
    session.flush()
    _mark_complete(session, actor)
    audit.record(session, actor, "brand.edit", brand, after={"fields": " ".join(sorted(fields))})
    return brand


def _brand_field(name: str, value: str) -> str:
    value = value.strip() if name == "postal_address" else " ".join(value.split())
    limit = BRAND_LIMITS[name]
    if len(value) > limit:
        raise Invalid(f"{len(value)} characters; {limit} fit. Shorten it by {len(value) - limit}.")
    if name in ("color", "accent_color"):
        digits = value.removeprefix("#")
        if len(digits) != 6 or any(char not in "0123456789abcdefABCDEF" for char in digits):
            raise Invalid("Write the colour as six hex digits, such as #1f4e8c.")
        return f"#{digits.lower()}"
    if name in ("email", "reply_to") and value:
        return account_services.clean_address(value, field=name)
    if name in ("website", "privacy_url") and value:
        value = value if "://" in value else f"https://{value}"
        if not value.startswith(("https://", "http://")) or " " in value or "." not in value.partition("://")[2]:
            raise Invalid("Write a web address such as https://www.example.com.")
    return value


def set_logo(session: Session, actor: Actor, *, filename: str, data: bytes) -> BrandProfile:
    """Take a logo: decoded in a limited child, trimmed and re-encoded, so that only its pixels survive."""
    return take_logo(session, actor, data=data)[0]


def take_logo(session: Session, actor: Actor, *, data: bytes) -> tuple[BrandProfile, images.Logo]:
    """As `set_logo`, with what was found in the picture: suggested colours, and advice how it could be better."""
    brand = _own_brand(session, actor)
    logo = images.read_logo(data)
    digest = hashlib.sha256(logo.png).hexdigest()
    prefix = f"brands/{actor.organization_id}"
    brand.logo_key, brand.logo_dark_key = content_key(prefix, digest, ".png"), content_key(f"{prefix}/dark", digest, ".png")
    storage().put(brand.logo_key, logo.png, content_type="image/png")
    storage().put(brand.logo_dark_key, logo.dark_png, content_type="image/png")
    brand.logo_sha256, brand.logo_width, brand.logo_height = digest, logo.width, logo.height
    brand.updated_at = clock.now()
    session.flush()
    _mark_complete(session, actor)
    audit.record(session, actor, "brand.logo", brand, after={"sha256": digest})
    return brand, logo


def _mark_complete(session: Session, actor: Actor) -> None:
    """The profile step of the partner's way in is done once a launch would have all it needs."""
    if queries.brand_gaps(queries.brand_values(session, actor.organization_id)):
        return
    for partnership in account_queries.list_partnerships(session, actor):
        partnership.profile_completed_at = partnership.profile_completed_at or clock.now()


def brand_kit(brand: BrandProfile) -> BrandKit:
    """What of the profile goes into files."""
    store = storage()
    return BrandKit(
        name=brand.name or brand.legal_name, legal_name=brand.legal_name,
        logo_png=store.read(brand.logo_key) if brand.logo_key else None,
        logo_dark_png=store.read(brand.logo_dark_key) if brand.logo_dark_key else None,
        color=brand.color, postal_address=brand.postal_address, phone=brand.phone, email=brand.email,
        website=brand.website,
    )  # fmt: skip


def cobranded(session: Session, actor: Actor, asset_version_id: UUID) -> CobrandedFile:
    """The asset in the partner's brand, made once and kept by what went into it. Raises NotFound, Invalid."""
    actor.require(Permission.COBRAND_MAKE)
    actor.require_kind(Kind.PARTNER)
    version = queries.get_version(session, actor, asset_version_id)
    found = cobranded_file(session, actor, version)
    record_download(session, actor, version, cobranded=bool(version.zones))
    return found


def record_download(session: Session, actor: Actor, version: AssetVersion, *, cobranded: bool) -> None:
    """Count one download by a partner, for the vendor to see."""
    session.add(
        AssetDownload(
            vendor_id=version.vendor_id, partner_id=actor.organization_id, asset_version_id=version.id,
            user_id=actor.user_id, cobranded=cobranded,
        )
    )  # fmt: skip
    session.flush()


def cobranded_file(session: Session, actor: Actor, version: AssetVersion) -> CobrandedFile:
    """The cached co-branded file of a version that the partner may see, made if it is not there; not a download."""
    brand = queries.find_brand(session, actor.organization_id)
    if brand is None or not (brand.name or brand.legal_name):
        raise Invalid({"": "Your brand profile is empty, so there is nothing to put on the asset. Fill it in first."})
    look = brand_kit(brand)
    zones = zones_from(version.zones, pages=version.pages)
    key = cobrand.cobrand_key(version.sha256, zones, look)
    found = session.scalar(
        select(CobrandedFile).where(
            CobrandedFile.partner_id == actor.organization_id, CobrandedFile.content_key == key
        )
    )
    return found or _make_cobranded(session, actor, version, key, look)


def _make_cobranded(session: Session, actor: Actor, version: AssetVersion, key: str, look: BrandKit) -> CobrandedFile:
    store = storage()
    original = store.read(version.storage_key)
    zones = zones_from(version.zones, pages=version.pages)
    kind = sniff.sniff(original)
    if not zones:
        made = original
    elif kind is sniff.Kind.PDF:
        made = cobrand.cobrand_pdf(original, zones, look)
    else:
        made = cobrand.cobrand_image(original, kind, zones, look)
    storage_key = f"cobranded/{actor.organization_id}/{key}{kind.suffix}"
    store.put(storage_key, made, content_type=kind.media_type)
    row = {
        "id": ids.new_id(), "created_at": clock.now(), "partner_id": actor.organization_id,
        "asset_version_id": version.id, "content_key": key, "storage_key": storage_key,
        "content_type": kind.media_type, "size": len(made),
    }  # fmt: skip
    # Two people may ask at once; the file is the same, so the first row stays.
    session.execute(insert(CobrandedFile).values(row).on_conflict_do_nothing())
    found = session.scalar(
        select(CobrandedFile).where(
            CobrandedFile.partner_id == actor.organization_id, CobrandedFile.content_key == key
        )
    )
    assert found is not None
    return found


