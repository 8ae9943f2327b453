"""Kits, their assets and versions, and partners' brand profiles."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tcma import clock
from tcma.access import Actor
from tcma.assets.states import KIT_MOVES, AssetKind, KitStatus
from tcma.db import ORG, Base, BigKey, Created, UuidKey, granted, private, shared, state_type, tenant_key
from tcma.machine import Machine

_GRANTED = (
    "EXISTS (SELECT 1 FROM kit_grants g JOIN partnerships p ON p.vendor_id = g.vendor_id AND p.partner_id = g.partner_id "
    f"WHERE g.kit_id = {{table}}.{{column}} AND g.partner_id = {ORG} AND p.status = 'active')"
)


class Kit(UuidKey, Created, Machine, Base):
    """A set of assets that a vendor publishes to chosen partners."""

    __tablename__ = "kits"
    __tenancy__ = granted(
        "vendor_id", "status = 'published' AND " + _GRANTED.format(table="kits", column="id")
    )
    __table_args__ = (UniqueConstraint("vendor_id", "id"),)
    moves = KIT_MOVES
    noun = "kit"

    vendor_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    status: Mapped[KitStatus] = mapped_column(state_type(KitStatus), default=KitStatus.DRAFT)
    begins_on: Mapped[date | None]
    ends_on: Mapped[date | None]
    for_all_partners: Mapped[bool] = mapped_column(default=True)
    published_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)

    assets: Mapped[list[Asset]] = relationship(back_populates="kit", order_by="Asset.position")

    @property
    def present_assets(self) -> list[Asset]:
        """Those that have not been removed."""
        return [asset for asset in self.assets if asset.removed_at is None]

    def publish(self, *, by: Actor, at: datetime) -> None:
        self.move("publish", KitStatus.PUBLISHED, by=by)
        self.published_at = at

    def recall(self, *, by: Actor, reason: str) -> None:
        self.move("recall", KitStatus.RECALLED, by=by, reason=reason)

    def archive(self, *, by: Actor) -> None:
        self.move("archive", KitStatus.ARCHIVED, by=by)

    def reopen(self, *, by: Actor) -> None:
        self.move("reopen", KitStatus.DRAFT, by=by)


class KitGrant(Created, Base):
    """A partner to whom a kit is published."""

    __tablename__ = "kit_grants"
    __tenancy__ = granted("vendor_id", f"partner_id = {ORG}")
    __table_args__ = (tenant_key("vendor_id", "kit_id", "kits"), Index(None, "partner_id"))
    kit_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    vendor_id: Mapped[UUID]


class Asset(UuidKey, Created, Base):
    """One thing in a kit; its content is in its versions."""

    __tablename__ = "assets"
    __tenancy__ = granted("vendor_id", f"EXISTS (SELECT 1 FROM kits k WHERE k.id = assets.kit_id AND k.vendor_id <> {ORG})")
    __table_args__ = (UniqueConstraint("vendor_id", "id"), tenant_key("vendor_id", "kit_id", "kits"))
    vendor_id: Mapped[UUID]
    kit_id: Mapped[UUID]
    name: Mapped[str]
    kind: Mapped[AssetKind] = mapped_column(state_type(AssetKind))
    position: Mapped[int] = mapped_column(default=0)
    removed_at: Mapped[datetime | None]

    kit: Mapped[Kit] = relationship(back_populates="assets")
    versions: Mapped[list[AssetVersion]] = relationship(back_populates="asset", order_by="AssetVersion.number")

    @property
    def current(self) -> AssetVersion:
        return self.versions[-1]


class AssetVersion(UuidKey, Created, Base):
    """An immutable content of an asset. `zones` are relative to the page, 0..1 from its top left."""

    __tablename__ = "asset_versions"
    __tenancy__ = granted(
        "vendor_id",
        f"EXISTS (SELECT 1 FROM assets a WHERE a.id = asset_versions.asset_id AND a.vendor_id <> {ORG})",
        append_only=True,
    )
    __table_args__ = (UniqueConstraint("asset_id", "number"), tenant_key("vendor_id", "asset_id", "assets"))
    vendor_id: Mapped[UUID]
    asset_id: Mapped[UUID]
    number: Mapped[int]
    filename: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str]
    thumbnail_key: Mapped[str]
    pages: Mapped[int] = mapped_column(default=1)
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    zones: Mapped[list[Any]]
    created_by: Mapped[UUID | None]

    asset: Mapped[Asset] = relationship(back_populates="versions")


class BrandProfile(Base):
    """How a partner looks and signs: one for each partner, read by its vendors."""

    __tablename__ = "brand_profiles"
    __tenancy__ = granted(
        "partner_id",
        f"EXISTS (SELECT 1 FROM partnerships p WHERE p.partner_id = brand_profiles.partner_id AND p.vendor_id = {ORG})",
    )
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    legal_name: Mapped[str] = mapped_column(default="")
    postal_address: Mapped[str] = mapped_column(default="")
    country: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    website: Mapped[str] = mapped_column(default="")
    privacy_url: Mapped[str] = mapped_column(default="")
    color: Mapped[str] = mapped_column(String(7), default="#1f4e8c")
    accent_color: Mapped[str] = mapped_column(String(7), default="#f2a33a")
    sender_name: Mapped[str] = mapped_column(default="")
    reply_to: Mapped[str] = mapped_column(default="")
    logo_key: Mapped[str | None]
    logo_sha256: Mapped[str | None]
    logo_dark_key: Mapped[str | None]
    logo_width: Mapped[int | None]
    logo_height: Mapped[int | None]
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)

    @property
    def id(self) -> UUID:
        return self.partner_id


class CobrandedFile(UuidKey, Created, Base):
    """A cached co-branded file, found by the hash of all that went into it."""

    __tablename__ = "cobranded_files"
    __tenancy__ = private("partner_id")
    __table_args__ = (UniqueConstraint("partner_id", "content_key"),)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    asset_version_id: Mapped[UUID] = mapped_column(ForeignKey("asset_versions.id"))
    content_key: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)


class AssetDownload(BigKey, Base):
    """One download by a partner: usage that the vendor may count."""

    __tablename__ = "asset_downloads"
    __tenancy__ = shared(append_only=True)
    __table_args__ = (Index(None, "vendor_id", "asset_version_id"), Index(None, "partner_id"))
    vendor_id: Mapped[UUID]
    partner_id: Mapped[UUID]
    asset_version_id: Mapped[UUID] = mapped_column(ForeignKey("asset_versions.id"))
    user_id: Mapped[UUID | None]
    cobranded: Mapped[bool]
    at: Mapped[datetime] = mapped_column(default=clock.now)
