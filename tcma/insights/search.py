"""Searching everything that one may see, a few rows of each kind; each list page searches its own in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from tcma.access import Actor, Permission
from tcma.accounts import queries as account_queries
from tcma.assets import queries as asset_queries
from tcma.audience import queries as audience_queries
from tcma.campaigns import queries as campaign_queries
from tcma.leads import queries as lead_queries
from tcma.mdf import queries as mdf_queries
from tcma.mdf.models import Request

SHOWN = 6


@dataclass(frozen=True)
class Found:
    """One thing: what it is called, what stands beside it, and its page as an endpoint with values."""

    title: str
    text: str
    endpoint: str
    values: dict[str, object]


@dataclass(frozen=True)
class Group:
    """Things of one kind, `SHOWN` at most, and the list that has them all."""

    kind: str
    rows: list[Found]
    endpoint: str


def find_everything(session: Session, actor: Actor, wanted: str) -> list[Group]:
    """Groups with something in them; nothing for an empty search or for the service's operators."""
    words = wanted.replace("\0", "").strip()
    if not words or not (actor.is_partner or actor.is_vendor):
        return []
    groups = [
        *(_partner_groups(session, actor, words) if actor.is_partner else _vendor_groups(session, actor, words)),
        _kits(session, actor, words),
        _leads(session, actor, words),
        _requests(session, actor, words),
    ]
    return [one for one in groups if one.rows]


def _partner_groups(session: Session, actor: Actor, words: str) -> list[Group]:
    campaigns = campaign_queries.list_catalogue(session, actor, search=words, limit=SHOWN)
    launches = campaign_queries.list_launches(session, actor, search=words, limit=SHOWN)
    contacts = []
    if actor.may(Permission.CONTACT_READ):
        contacts = audience_queries.list_contacts(session, actor, search=words, limit=SHOWN)
    return [
        Group("launches", [Found(one.name, "", "delivery.launch", {"launch_id": one.id}) for one in launches], "delivery.launches"),
        Group(
            "campaigns",
            [Found(one.name, one.goal, "campaigns.catalogued", {"campaign_id": one.id}) for one in campaigns],
            "campaigns.catalogue",
        ),
        Group(
            "contacts",
            [
                Found(
                    one.full_name or one.email or "", " · ".join(filter(None, (one.email if one.full_name else "", one.company))),
                    "audience.contact", {"contact_id": one.id},
                )
                for one in contacts
            ],
            "audience.contacts",
        ),
    ]


def _vendor_groups(session: Session, actor: Actor, words: str) -> list[Group]:
    campaigns = campaign_queries.list_campaigns(session, actor, search=words, limit=SHOWN)
    partners = account_queries.find_partners(session, actor, words, limit=SHOWN)
    return [
        Group(
            "partners",
            [Found(one.name, "", "accounts.partner", {"partner_id": one.partner_id}) for one in partners],
            "accounts.partners",
        ),
        Group(
            "campaigns",
            [Found(one.name, one.goal, "campaigns.campaign", {"campaign_id": one.id}) for one in campaigns],
            "campaigns.campaigns",
        ),
    ]


def _kits(session: Session, actor: Actor, words: str) -> Group:
    rows = asset_queries.list_kits(session, actor, search=words, limit=SHOWN)
    return Group("kits", [Found(one.name, one.description, "assets.kit", {"kit_id": one.id}) for one in rows], "assets.kits")


def _leads(session: Session, actor: Actor, words: str) -> Group:
    rows = lead_queries.list_leads(session, actor, search=words, limit=SHOWN) if actor.may(Permission.LEAD_READ) else []
    return Group(
        "leads",
        [Found(one.name or one.email or "", one.company or "", "leads_pages.lead", {"lead_id": one.id}) for one in rows],
        "leads.inbox",
    )


def _requests(session: Session, actor: Actor, words: str) -> Group:
    rows: Sequence[Request] = ()
    if actor.may(Permission.REQUEST_READ):
        rows, _more = mdf_queries.list_requests(session, actor, search=words, limit=SHOWN)
    return Group(
        "requests",
        [Found(one.title, one.number, "mdf.request_page", {"request_id": one.id}) for one in rows],
        "mdf.requests",
    )
