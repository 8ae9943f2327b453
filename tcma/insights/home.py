"""What needs me now, by role: each with its clock and the one place where it is done; and the figures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind, Permission
from tcma.accounts import onboarding
from tcma.accounts import queries as account_queries
from tcma.accounts.states import PartnershipStatus
from tcma.assets import queries as asset_queries
from tcma.audience import queries as audience_queries
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import CampaignStatus, LaunchStatus
from tcma.delivery import queries as delivery_queries
from tcma.insights import funnel
from tcma.leads import queries as lead_queries
from tcma.leads.states import LeadStatus
from tcma.mdf import balances as money_balances
from tcma.mdf import queries as mdf_queries
from tcma.mdf.models import Claim, PaymentBatch, Request
from tcma.mdf.states import AccountKind, BatchStatus, ClaimStatus, RequestStatus
from tcma.money import Money


@dataclass(frozen=True)
class Need:
    """One thing that waits for this person. `kind` chooses words and icon; `href` is where it is done."""

    kind: str
    subject: str
    href: str
    due: datetime | None = None
    text: str = ""

    @property
    def late(self) -> bool:
        return self.due is not None and self.due < clock.now()


@dataclass(frozen=True)
class Figure:
    """One number with the page that lists what it counts."""

    key: str
    value: int | Money
    href: str


def _by_clock(needs: list[Need]) -> list[Need]:
    return sorted(needs, key=lambda one: (one.due is None, one.due or clock.now()))


def partner_needs(session: Session, actor: Actor) -> list[Need]:
    """A partner marketer's: first steps, leads with clocks, drafts to go on with, what finance returned."""
    needs: list[Need] = []
    for partnership in account_queries.list_partnerships(session, actor):
        if partnership.status in (PartnershipStatus.INVITED, PartnershipStatus.APPLYING, PartnershipStatus.ACTIVE):
            step = next((one for one in onboarding.steps(session, actor, partnership) if not one.done), None)
            if step is not None:
                needs.append(Need("step", step.label, step.href, text=partnership.vendor.name))
    gaps = asset_queries.brand_gaps(asset_queries.brand_values(session, actor.organization_id))
    if gaps:
        needs.append(Need("brand", ", ".join(gaps), "/brand"))
    for lead in lead_queries.list_leads(session, actor, status=LeadStatus.NEW, limit=20):
        needs.append(
            Need("lead", lead.name or lead.email, f"/leads/{lead.id}", due=lead.accept_by, text=lead.launch.name if lead.launch else "")
        )
    for status, kind in ((LaunchStatus.DRAFT, "draft"), (LaunchStatus.PAUSED, "paused")):
        needs += [
            Need(kind, launch.name, f"/launches/{launch.id}")
            for launch in campaign_queries.list_launches(session, actor, status=status, limit=3)
        ]
    returned = session.scalars(
        select(Claim).where(Claim.partner_id == actor.organization_id, Claim.status == ClaimStatus.RETURNED).limit(5)
    )
    needs += [Need("claim_returned", one.number, f"/claims/{one.id}", text=one.decision_reason) for one in returned]
    asked = session.scalars(
        select(Request).where(Request.partner_id == actor.organization_id, Request.status == RequestStatus.RETURNED).limit(5)
    )
    needs += [Need("request_returned", one.number, f"/requests/{one.id}", text=one.decision_reason) for one in asked]
    return _by_clock(needs)


def vendor_needs(session: Session, actor: Actor) -> list[Need]:
    """A vendor's people, each by what their role may do."""
    needs: list[Need] = []
    if actor.may(Permission.CAMPAIGN_MANAGE):
        needs += [
            Need("campaign_draft", one.name, f"/campaigns/{one.id}")
            for one in campaign_queries.list_campaigns(session, actor, status=CampaignStatus.DRAFT, limit=3)
        ]
    if actor.may(Permission.PARTNER_MANAGE):
        needs += [
            Need("applying", one.partner.name, f"/partners/{one.partner_id}", due=one.applied_at)
            for one in account_queries.list_partnerships(session, actor, status=PartnershipStatus.APPLYING)
        ]
    if actor.may(Permission.REQUEST_APPROVE):
        waiting = session.scalars(
            select(Request)
            .where(Request.vendor_id == actor.organization_id, Request.status == RequestStatus.SUBMITTED)
            .order_by(Request.due_at)
            .limit(10)
        )
        needs += [Need("request", f"{one.number} · {one.title}", f"/requests/{one.id}", due=one.due_at) for one in waiting]
    if actor.may(Permission.CLAIM_APPROVE):
        waiting_claims = session.scalars(
            select(Claim)
            .where(Claim.vendor_id == actor.organization_id, Claim.status == ClaimStatus.SUBMITTED)
            .order_by(Claim.due_at)
            .limit(10)
        )
        needs += [Need("claim", one.number, f"/desk?claim={one.id}", due=one.due_at, text=one.claimed.format()) for one in waiting_claims]
        batches = session.scalars(
            select(PaymentBatch).where(
                PaymentBatch.vendor_id == actor.organization_id, PaymentBatch.status == BatchStatus.DRAFT,
                PaymentBatch.made_by != actor.user_id,
            )
        )  # fmt: skip
        needs += [Need("batch", one.number, "/payments", text=Money(one.total_minor, one.currency).format()) for one in batches]
    if actor.may(Permission.PARTNER_NUDGE) and not actor.may(Permission.CLAIM_APPROVE):
        needs += [
            Need("quiet", row.partnership.partner.name, f"/funnel?{urlencode({'q': row.partnership.partner.name})}", text=row.step)
            for row in funnel.partner_rows(session, actor, quiet=True, limit=3)
        ]
    return _by_clock(needs)


def needs_of(session: Session, actor: Actor) -> list[Need]:
    """What waits for this person, whoever it is; operators see no tenant's work, so nothing waits for them here."""
    if actor.kind is Kind.PLATFORM:
        return []
    return partner_needs(session, actor) if actor.is_partner else vendor_needs(session, actor)


def partner_figures(session: Session, actor: Actor) -> list[Figure]:
    """Contacts, mails sent, leads, won, and the money that may be asked for."""
    counts = lead_queries.summed(session, actor)
    figures = [
        Figure("contacts", audience_queries.count_contacts(session, actor), "/contacts"),
        Figure("leads", counts["leads"], "/leads"),
        Figure("won", counts["won"], "/leads?view=list&state=won"),
    ]
    return figures + [
        Figure("available", one, "/funds") for one in available_money(session, actor).values() if one.minor > 0
    ][:1]


def available_money(session: Session, actor: Actor) -> dict[str, Money]:
    """What the actor's organization has left, by currency: a partner's allocations, a vendor's budgets."""
    kind = AccountKind.ALLOCATED if actor.is_partner else AccountKind.BUDGET
    found: dict[str, Money] = {}
    for fund in mdf_queries.list_funds(session, actor):
        partner_id = actor.organization_id if actor.is_partner else None
        held = money_balances.balances(session, fund.id, partner_id)[kind]
        found[held.currency] = found.get(held.currency, Money.zero(held.currency)) + held
    return found


def launch_results(session: Session, actor: Actor, *, limit: int = 6) -> list[dict[str, Any]]:
    """The last launches that began, oldest first: name, sent, people who clicked, leads."""
    mine = Launch.partner_id if actor.is_partner else Launch.vendor_id
    launches = list(
        session.scalars(
            select(Launch)
            .where(mine == actor.organization_id, Launch.started_at.is_not(None))
            .order_by(Launch.started_at.desc())
            .limit(limit)
        )
    )
    ids = [one.id for one in launches]
    back, leads = delivery_queries.results(session, ids), lead_queries.launch_counts(session, ids)
    return [
        {
            "id": one.id, "name": one.name, "status": one.status, "started_at": one.started_at,
            "sent": back.get(one.id, {}).get("sent", 0), "clickers": back.get(one.id, {}).get("clickers", 0),
            "leads": leads[one.id].leads if one.id in leads else 0,
        }
        for one in reversed(launches)
    ]  # fmt: skip


def fund_flow(session: Session, actor: Actor) -> tuple[str, list[tuple[str, Money]]]:
    """(currency, amounts by ledger account) over all of the vendor's funds in its foremost currency."""
    funds = mdf_queries.list_funds(session, actor)
    if not funds:
        return "EUR", []
    currency = funds[0].currency
    order = (AccountKind.BUDGET, AccountKind.ALLOCATED, AccountKind.COMMITTED, AccountKind.CLAIMED, AccountKind.PAYABLE, AccountKind.CASH, AccountKind.EXPIRED)  # fmt: skip
    summed = {kind: Money.zero(currency) for kind in order}
    for fund in funds:
        if fund.currency == currency:
            held = money_balances.balances(session, fund.id)
            for kind in order:
                summed[kind] = summed[kind] + held[kind]
    return currency, [(str(kind), summed[kind]) for kind in order]
