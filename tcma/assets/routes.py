"""Pages of assets: kits, their assets, and the brand profile. `blueprints` is what the shell registers."""

from __future__ import annotations

from tcma.assets import asset_pages, brand_pages, kit_pages
from tcma.assets.blueprint import bp

blueprints = [bp]

__all__ = ["asset_pages", "blueprints", "brand_pages", "kit_pages"]
