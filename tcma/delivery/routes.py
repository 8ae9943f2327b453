"""Pages of delivery."""

from __future__ import annotations

from tcma.delivery import routes_public

bp = routes_public.bp
blueprints = [bp]
