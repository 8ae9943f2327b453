"""Pictures of assets and logos for pages: made once in a limited child, then kept in storage."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from tcma.access import Actor, Kind, Permission
from tcma.assets import documents, images, queries, services, sniff
from tcma.assets.models import AssetVersion
from tcma.db import elevated
from tcma.errors import NotFound
from tcma.storage import content_key, storage

MOST_PAGES = 20
PAGE_WIDTH = 1000


def thumbnail(session: Session, actor: Actor, version_id: UUID) -> bytes:
    """The small picture of a version, WebP. Raises NotFound."""
    actor.require(Permission.KIT_READ)
    return storage().read(queries.get_version(session, actor, version_id).thumbnail_key)


def page_picture(session: Session, actor: Actor, version_id: UUID, page: int) -> bytes:
    """One page of a version, WebP, 1,000 px wide, for zones to be drawn on. Raises NotFound beyond the first 20."""
    actor.require(Permission.KIT_READ)
    version = queries.get_version(session, actor, version_id)
    if not 1 <= page <= min(version.pages, MOST_PAGES):
        raise NotFound("There is no picture of this page. Zones on later pages are set by their numbers.")
    key = _page_key(version, page)
    if not storage().exists(key):
        _draw_pages(version)
    return storage().read(key)


def _page_key(version: AssetVersion, page: int) -> str:
    return content_key(f"assets/{version.vendor_id}/pages", version.sha256, f"-{page}.webp")


def _draw_pages(version: AssetVersion) -> None:
    original = storage().read(version.storage_key)
    kind = sniff.sniff(original)
    if kind is sniff.Kind.PDF:
        pages = documents.page_previews(original, width=PAGE_WIDTH, as_="webp", most=MOST_PAGES)
        drawn = [(one.page, one.data) for one in pages]
    else:
        drawn = [(1, images.shrunk(original, kind, width=PAGE_WIDTH, as_="webp"))]
    for number, data in drawn:
        storage().put(_page_key(version, number), data, content_type="image/webp")


def cobranded_picture(session: Session, actor: Actor, version_id: UUID) -> bytes:
    """The first page in the partner's brand, WebP; looking is no download. Raises NotFound, Invalid."""
    actor.require(Permission.COBRAND_MAKE)
    actor.require_kind(Kind.PARTNER)
    version = queries.get_version(session, actor, version_id)
    made = services.cobranded_file(session, actor, version)
    key = f"{made.storage_key}.webp"
    if not storage().exists(key):
        data = storage().read(made.storage_key)
        small = documents.thumbnail(data, sniff.sniff(data), width=640)
        storage().put(key, small, content_type="image/webp")
    return storage().read(key)


def original(session: Session, actor: Actor, version_id: UUID) -> tuple[AssetVersion, bytes]:
    """The file as the vendor uploaded it; counted where a partner takes it. Raises NotFound."""
    actor.require(Permission.KIT_READ)
    version = queries.get_version(session, actor, version_id)
    if actor.is_partner:
        services.record_download(session, actor, version, cobranded=False)
    return version, storage().read(version.storage_key)


def own_logo(session: Session, actor: Actor, *, dark: bool) -> bytes:
    """The actor's own logo, or its variant for dark grounds, PNG. Raises NotFound."""
    brand = queries.find_brand(session, actor.organization_id)
    key = (brand.logo_dark_key if dark else brand.logo_key) if brand else None
    if not key:
        raise NotFound("There is no logo yet. Upload one on the brand page.")
    return storage().read(key)


def public_logo(session: Session, partner_id: UUID, mark: str) -> bytes:
    """A logo as mails show it, by the first 12 hex digits of its hash; any other mark is NotFound."""
    with elevated(session, "logos in mails are public"):
        brand = queries.find_brand(session, partner_id)
    if brand is None or not brand.logo_key or (brand.logo_sha256 or "")[:12] != mark or len(mark) != 12:
        raise NotFound()
    return storage().read(brand.logo_key)
