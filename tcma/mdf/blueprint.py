"""The blueprint of all pages of mdf, and where in the side bar each of them stands."""

from __future__ import annotations

from flask import Blueprint, g, request

bp = Blueprint("mdf", __name__, template_folder="templates")

# The first prefix that fits the endpoint names the side entry of a vendor; a partner has one entry for all.
_ENTRIES = (
    ("mdf.request", "requests"), ("mdf.desk", "desk"), ("mdf.claim", "desk"), ("mdf.proof", "desk"),
    ("mdf.statement", "desk"), ("mdf.payment", "payments"), ("mdf.batch", "payments"), ("mdf.audit", "audit"),
)  # fmt: skip


@bp.before_request
def stand_in_the_side_bar() -> None:
    endpoint = request.endpoint or ""
    entry = next((name for prefix, name in _ENTRIES if endpoint.startswith(prefix)), "funds")
    g.nav_at = "funds" if g.actor is not None and g.actor.is_partner else entry
