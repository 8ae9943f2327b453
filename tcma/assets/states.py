"""States of kits."""

from __future__ import annotations

from enum import StrEnum


class KitStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    RECALLED = "recalled"
    ARCHIVED = "archived"


KIT_MOVES = {
    KitStatus.DRAFT: frozenset({KitStatus.PUBLISHED, KitStatus.ARCHIVED}),
    KitStatus.PUBLISHED: frozenset({KitStatus.RECALLED, KitStatus.ARCHIVED}),
    KitStatus.RECALLED: frozenset({KitStatus.PUBLISHED, KitStatus.ARCHIVED}),
    KitStatus.ARCHIVED: frozenset({KitStatus.DRAFT}),
}


class AssetKind(StrEnum):
    PDF = "pdf"
    IMAGE = "image"
