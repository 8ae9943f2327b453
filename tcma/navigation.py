"""What stands beside every page: at most six entries a role, the organizations, what needs me."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask, g, request, url_for
from flask_babel import lazy_gettext as _l

from tcma.access import Actor, Kind, Permission, Role
from tcma.db import db


@dataclass(frozen=True)
class Entry:
    label: Any
    endpoint: str
    icon: str
    room: str


HOME = Entry(_l("Home"), "insights.home", "home", "insights")
PARTNER = (
    HOME,
    Entry(_l("Catalogue"), "campaigns.catalogue", "layout-grid", "catalogue"),
    Entry(_l("Launches"), "delivery.launches", "send", "launches"),
    Entry(_l("Contacts"), "audience.contacts", "users", "contacts"),
    Entry(_l("Leads"), "leads.inbox", "flame", "leads"),
    Entry(_l("Funds"), "mdf.funds", "coins", "funds"),
)
VENDOR_MARKETER = (
    HOME,
    Entry(_l("Campaigns"), "campaigns.campaigns", "speakerphone", "campaigns"),
    Entry(_l("Kits"), "assets.kits", "package", "kits"),
    Entry(_l("Partners"), "accounts.partners", "building-community", "partners"),
    Entry(_l("Leads"), "leads.inbox", "flame", "leads"),
    Entry(_l("Funds"), "mdf.funds", "coins", "funds"),
)
CHANNEL_MANAGER = (
    HOME,
    Entry(_l("Funnel"), "insights.funnel", "filter", "funnel"),
    Entry(_l("Partners"), "accounts.partners", "building-community", "partners"),
    Entry(_l("Requests"), "mdf.requests", "clipboard-list", "requests"),
    Entry(_l("Leads"), "leads.inbox", "flame", "leads"),
    Entry(_l("Campaigns"), "campaigns.campaigns", "speakerphone", "campaigns"),
)
FINANCE = (
    HOME,
    Entry(_l("Desk"), "mdf.desk", "inbox", "desk"),
    Entry(_l("Funds"), "mdf.funds", "coins", "funds"),
    Entry(_l("Payments"), "mdf.payments", "credit-card", "payments"),
    Entry(_l("Requests"), "mdf.requests", "clipboard-list", "requests"),
    Entry(_l("Audit"), "mdf.audit", "history", "audit"),
)
OPERATOR = (Entry(_l("Service"), "service.parts", "heart-rate-monitor", "service"),)


def entries_for(actor: Actor) -> tuple[Entry, ...]:
    """The side entries of the actor's foremost role."""
    if actor.kind is Kind.PARTNER:
        return PARTNER
    if actor.kind is Kind.PLATFORM:
        return OPERATOR
    if actor.roles and actor.roles <= {Role.FINANCE}:
        return FINANCE
    if actor.roles and actor.roles <= {Role.CHANNEL_MANAGER, Role.FINANCE}:
        return CHANNEL_MANAGER
    return VENDOR_MARKETER


def _needs_me() -> int:
    """How many things wait for the actor: the number at the bell. Counted where a page shows it, once a request."""
    if "needs_me" not in g:
        from tcma.insights import home  # the shell's other half, like the templates' values below

        g.needs_me = len(home.needs_of(db.session, g.actor))
    return int(g.needs_me)


def add_navigation(app: Flask) -> None:
    @app.context_processor
    def beside_the_page() -> dict[str, Any]:
        from tcma.web import template_globals  # the shell's other half

        values = template_globals()
        actor: Actor | None = g.get("actor")
        if actor is None:
            return {**values, "nav": [], "organizations": [], "needs_me": 0, "Permission": Permission}
        nav = [
            {
                "label": entry.label,
                "href": url_for(entry.endpoint),
                "icon": entry.icon,
                "active": g.get("nav_at", "") == entry.room or request.endpoint == entry.endpoint,
                "count": 0,
            }
            for entry in entries_for(actor)
            if entry.endpoint in app.view_functions
        ]
        return {
            **values,
            "nav": nav,
            "organizations": g.get("organizations", []),
            "needs_me": _needs_me,
            "Permission": Permission,
        }
