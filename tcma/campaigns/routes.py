"""Pages of campaigns: authoring for vendors, the catalogue for partners. `blueprints` is what the shell registers."""

from __future__ import annotations

from tcma.campaigns import authoring_pages, catalogue_pages, publishing_pages
from tcma.campaigns.blueprint import bp

blueprints = [bp]

__all__ = ["authoring_pages", "blueprints", "catalogue_pages", "publishing_pages"]
