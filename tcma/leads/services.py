"""Use cases of leads: an answer becomes a lead, the partner works it, and shares it with its vendor."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import audit, buckets, clock, events, ids
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import services as account_services
from tcma.accounts.models import Organization
from tcma.audience import queries as audience_queries
from tcma.audience.addresses import AddressRefused, email_key, normalise
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.db import bind, elevated
from tcma.delivery import queries as delivery_queries
from tcma.delivery import tokens
from tcma.delivery.models import Delivery, Event
from tcma.delivery.states import EventKind
from tcma.errors import Invalid, NotFound, RateLimited
from tcma.leads import queries, scoring, spam
from tcma.leads.models import FormAnswer, Lead, LeadActivity, LeadTotals
from tcma.leads.states import LeadStatus, RejectReason
from tcma.money import Money

ACCEPT_WITHIN = timedelta(hours=48)
FORM_BY_HOST = buckets.Limit("landing-form", burst=10, seconds=600)
ANSWER_LIMITS = {"name": 120, "email": 254, "company": 120, "phone": 40, "message": 3000}


def open_landing_page(session: Session, landing_key: str) -> tuple[Launch, Actor]:
    """The launch of a public landing page, with the session bound to its partner. Raises NotFound."""
    if "\0" in landing_key:
        raise NotFound("This page is not there.")
    with elevated(session, "a landing page's address names its tenant"):
        launch = campaign_queries.find_launch_by_landing_key(session, landing_key)
    if launch is None or launch.status in (LaunchStatus.DRAFT, LaunchStatus.CANCELLED):
        raise NotFound("This page is not there any more.")
    actor = Actor.system(launch.partner_id, Kind.PARTNER)
    bind(session, actor)
    return launch, actor


def delivery_of_token(session: Session, launch: Launch, token: str | None) -> Delivery | None:
    """The delivery that a visitor came from, if the token is ours and of this launch."""
    data = tokens.read_token(token, purpose=tokens.Purpose.LANDING, keys=settings().derived_keys("tracking")) if token else None
    if data is None:
        return None
    found = delivery_queries.find_delivery(session, data.delivery_id)
    return found if found is not None and found.launch_id == launch.id else None


def capture_answer(
    session: Session, landing_key: str, *, answers: Mapping[str, str], token: str | None, remote_address: str,
    once_key: str, trap: str = "", seconds: float | None = None,
) -> FormAnswer:  # fmt: skip
    """Store a form answer and, unless it is spam, make or enrich the lead. The same `once_key` is one answer.

    Raises NotFound, RateLimited, Invalid(field → message).
    """
    launch, actor = open_landing_page(session, landing_key)
    known = session.scalar(select(FormAnswer).where(FormAnswer.once_key == once_key, FormAnswer.launch_id == launch.id))
    if known is not None:
        return known
    clean = _clean_answers(answers)
    if not buckets.take(session, FORM_BY_HOST, f"{launch.id}:{remote_address}"):
        raise RateLimited("That were many answers from your network. Please wait a few minutes and send again.", retry_after=60)
    delivery = delivery_of_token(session, launch, token)
    found = spam.reasons(clean, trap=trap, seconds=seconds)
    row = FormAnswer(
        partner_id=launch.partner_id, launch_id=launch.id, delivery_id=delivery.id if delivery else None, answers=clean,
        verdict="spam" if found else "taken", reasons=found, once_key=once_key,
        address_hash=hmac.new(settings().derived_keys("form-address")[0], remote_address.encode(), hashlib.sha256).digest(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    if not found:
        row.lead_id = _lead_of_answer(session, actor, launch, clean, delivery).id
    count_lead_totals(session, launch)
    return row


def _clean_answers(answers: Mapping[str, str]) -> dict[str, str]:
    clean = {name: str(answers.get(name) or "").replace("\0", "").strip() for name in ANSWER_LIMITS}
    wrong = {
        name: f"{len(clean[name])} characters; {limit} fit." for name, limit in ANSWER_LIMITS.items() if len(clean[name]) > limit
    }
    if not clean["email"]:
        wrong["email"] = "Please leave an email address, so that we can answer you."
    else:
        try:
            clean["email"] = normalise(clean["email"]).address
        except AddressRefused as error:
            wrong["email"] = error.reason.message
    if wrong:
        raise Invalid(wrong)
    return {name: value for name, value in clean.items() if value}


def _lead_of_answer(
    session: Session, actor: Actor, launch: Launch, answers: dict[str, str], delivery: Delivery | None
) -> Lead:
    key = email_key(answers["email"], secret=settings().suppression_secret)
    lead = queries.find_lead_by_key(session, launch.id, key, lock=True)
    fresh = lead is None
    if lead is None:
        contact = audience_queries.find_contact_by_key(session, launch.partner_id, key)
        lead = _new_lead(
            session, launch, key=key, email=answers["email"], contact_id=contact.id if contact else None, source="form"
        )
    lead.name = answers.get("name") or lead.name
    lead.company = answers.get("company") or lead.company
    lead.phone = answers.get("phone") or lead.phone
    lead.answers = {**lead.answers, **answers}
    lead.delivery_id = lead.delivery_id or (delivery.id if delivery else None)
    _rescore(session, lead)
    _note(session, lead, "answer", "Answered the form.")
    if fresh:
        _announce(session, launch, lead)
    return lead


def _new_lead(session: Session, launch: Launch, *, key: bytes, email: str, contact_id: int | None, source: str) -> Lead:
    now = clock.now()
    row = {
        "id": ids.new_id(), "created_at": now, "updated_at": now, "vendor_id": launch.vendor_id,
        "partner_id": launch.partner_id, "launch_id": launch.id, "contact_id": contact_id, "email": email,
        "email_key": key, "answers": {}, "score_parts": [], "source": source, "accept_by": now + ACCEPT_WITHIN,
        "name": "", "company": "", "phone": "", "next_step": "", "status": LeadStatus.NEW, "score": 0, "row_version": 1,
    }  # fmt: skip
    session.execute(insert(Lead).values(row).on_conflict_do_nothing(index_elements=["launch_id", "email_key"]))
    found = queries.find_lead_by_key(session, launch.id, key, lock=True)
    assert found is not None
    return found


def _rescore(session: Session, lead: Lead) -> None:
    clicks = queries.human_clicks(session, lead.launch_id, lead.delivery_id) if lead.delivery_id else 0
    total, parts = scoring.score(clicks=clicks, answers=lead.answers or None)
    lead.score, lead.score_parts = total, [part.to_json() for part in parts]


def _note(session: Session, lead: Lead, kind: str, text: str, *, actor: Actor | None = None) -> None:
    session.add(
        LeadActivity(
            partner_id=lead.partner_id, lead_id=lead.id, kind=kind, text=text, at=clock.now(),
            by_name=actor.name if actor and not actor.is_system else "", user_id=actor.user_id if actor else None,
        )
    )  # fmt: skip


def _announce(session: Session, launch: Launch, lead: Lead) -> None:
    """Tell the partner's people by mail; the mail names the launch, never the person."""
    account_services.tell(
        session, launch.partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "lead_new",
        data={"launch": launch.name, "path": f"/leads/{lead.id}", "hours": int(ACCEPT_WITHIN.total_seconds() // 3600)},
        once_key=f"lead-new:{lead.id}",
    )  # fmt: skip


def score_click(session: Session, actor: Actor, happened: events.ContactClicked) -> None:
    """A person's click makes a contact a lead of that launch, or adds to its score."""
    launch = session.get(Launch, happened.launch_id)
    delivery = delivery_queries.find_delivery(session, happened.delivery_id)
    contact = audience_queries.contact_values(session, happened.partner_id, [happened.contact_id])
    if launch is None or delivery is None or happened.contact_id not in contact:
        return
    person = contact[happened.contact_id]
    lead = queries.find_lead_by_key(session, launch.id, delivery.email_key, lock=True)
    if lead is None:
        lead = _new_lead(
            session, launch, key=delivery.email_key, email=person["email"], contact_id=happened.contact_id, source="click"
        )
        lead.name, lead.company = person["full_name"], person["company"]
        _note(session, lead, "click", "Followed a link in the mail.")
    lead.delivery_id = lead.delivery_id or delivery.id
    _rescore(session, lead)
    session.flush()
    count_lead_totals(session, launch)


def _worked(session: Session, actor: Actor, lead_id: UUID) -> Lead:
    actor.require(Permission.LEAD_WORK)
    return queries.get_lead(session, actor, lead_id, lock=True)


def _moved(session: Session, actor: Actor, lead: Lead, kind: str, text: str) -> Lead:
    _note(session, lead, kind, text, actor=actor)
    session.flush()
    launch = session.get(Launch, lead.launch_id)
    if launch is not None:
        count_lead_totals(session, launch)
    return lead


def accept_lead(session: Session, actor: Actor, lead_id: UUID) -> Lead:
    lead = _worked(session, actor, lead_id)
    lead.accept(by=actor, at=clock.now())
    lead.owner_id = lead.owner_id or actor.user_id
    return _moved(session, actor, lead, "accepted", "Accepted.")


def reject_lead(session: Session, actor: Actor, lead_id: UUID, *, reason: RejectReason | None, words: str = "") -> Lead:
    """Raises Invalid without a reason: a rejected lead without one helps nobody."""
    if reason is None:
        raise Invalid({"reason": "Choose why, so that the next campaign does better."})
    if reason is RejectReason.OTHER and not words.strip():
        raise Invalid({"words": "Say in a few words why."})
    lead = _worked(session, actor, lead_id)
    lead.reject(by=actor, reason=reason, words=words.strip())
    said = f" {words.strip()[:300]}" if words.strip() else ""
    return _moved(session, actor, lead, "rejected", f"Rejected: {reason.replace('_', ' ')}.{said}")


def work_lead(session: Session, actor: Actor, lead_id: UUID) -> Lead:
    lead = _worked(session, actor, lead_id)
    lead.work(by=actor)
    return _moved(session, actor, lead, "working", "Work began.")


def win_lead(session: Session, actor: Actor, lead_id: UUID, *, amount: Money) -> Lead:
    lead = _worked(session, actor, lead_id)
    lead.win(by=actor, amount_minor=amount.minor, currency=amount.currency, at=clock.now())
    return _moved(session, actor, lead, "won", f"Won: {amount.format()}.")


def lose_lead(session: Session, actor: Actor, lead_id: UUID, *, reason: str) -> Lead:
    if not reason.strip():
        raise Invalid({"reason": "Say why it was lost, in a few words."})
    lead = _worked(session, actor, lead_id)
    lead.lose(by=actor, reason=reason.strip()[:300], at=clock.now())
    return _moved(session, actor, lead, "lost", f"Lost: {reason.strip()[:300]}")


def plan_next_step(session: Session, actor: Actor, lead_id: UUID, *, next_step: str) -> Lead:
    lead = _worked(session, actor, lead_id)
    lead.next_step = next_step.strip()[:300]
    return _moved(session, actor, lead, "next_step", f"Next step: {lead.next_step}" if lead.next_step else "No next step.")


def add_note(session: Session, actor: Actor, lead_id: UUID, *, text: str) -> Lead:
    if not text.strip():
        raise Invalid({"text": "Write something first."})
    lead = _worked(session, actor, lead_id)
    return _moved(session, actor, lead, "note", text.strip()[:2000])


def share_lead(session: Session, actor: Actor, lead_id: UUID) -> Lead:
    """Let the vendor see this lead, until it is revoked."""
    actor.require(Permission.LEAD_SHARE)
    lead = queries.get_lead(session, actor, lead_id, lock=True)
    if lead.shared_at is None or lead.revoked_at is not None:
        lead.shared_at, lead.shared_by, lead.revoked_at = clock.now(), actor.user_id, None
        audit.record(session, actor, "lead.share", lead)
        _note(session, lead, "shared", "Shared with the vendor.", actor=actor)
    session.flush()
    return lead


def revoke_share(session: Session, actor: Actor, lead_id: UUID) -> Lead:
    """The vendor sees it no longer; counts stay."""
    actor.require(Permission.LEAD_SHARE)
    lead = queries.get_lead(session, actor, lead_id, lock=True)
    if lead.shared_at is not None and lead.revoked_at is None:
        lead.revoked_at = clock.now()
        audit.record(session, actor, "lead.revoke", lead)
        _note(session, lead, "revoked", "No longer shared with the vendor.", actor=actor)
    session.flush()
    return lead


def count_lead_totals(session: Session, launch: Launch) -> None:
    """Count the launch's leads anew into what both parties may see."""
    vendor = session.get(Organization, launch.vendor_id)
    currency = vendor.currency if vendor else "EUR"
    status = Lead.status
    row = session.execute(
        select(
            func.count(),
            func.count().filter(status.in_([LeadStatus.ACCEPTED, LeadStatus.WORKING, LeadStatus.WON, LeadStatus.LOST])),
            func.count().filter(status == LeadStatus.WON),
            func.count().filter(status == LeadStatus.LOST),
            func.coalesce(func.sum(Lead.amount_minor).filter(status == LeadStatus.WON, Lead.currency == currency), 0),
            func.count().filter(status == LeadStatus.NEW, Lead.accept_by < clock.now()),
        ).where(Lead.launch_id == launch.id)
    ).one()
    answers = session.scalar(
        select(func.count()).select_from(FormAnswer).where(FormAnswer.launch_id == launch.id, FormAnswer.verdict == "taken")
    )
    views = session.scalar(
        select(func.count()).select_from(Event).where(Event.launch_id == launch.id, Event.kind == EventKind.LANDING_VIEW)
    )
    values = {
        "launch_id": launch.id, "vendor_id": launch.vendor_id, "partner_id": launch.partner_id, "views": views or 0,
        "answers": answers or 0, "leads": row[0], "accepted": row[1], "won": row[2], "lost": row[3],
        "won_minor": int(row[4] or 0), "overdue": row[5], "currency": currency, "counted_at": clock.now(),
    }  # fmt: skip
    statement = insert(LeadTotals).values(values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["launch_id"],
            set_={name: statement.excluded[name] for name in values if name != "launch_id"},
        ),
        execution_options={"synchronize_session": False},
    )


def erase_lead(session: Session, actor: Actor, happened: events.ContactErased) -> None:
    """An erased contact's leads lose name, address and answers; counts stay true."""
    found = session.scalars(
        select(Lead).where(Lead.partner_id == happened.partner_id, Lead.email_key == happened.email_key)
    )
    for lead in found:
        lead.email = lead.name = lead.company = lead.phone = lead.next_step = ""
        lead.answers, lead.erased_at = {}, clock.now()
        for row in session.scalars(select(FormAnswer).where(FormAnswer.lead_id == lead.id)):
            row.answers = {}
        for activity in queries.timeline(session, lead):
            activity.text = ""
    session.flush()


def overdue_launches(session: Session) -> list[tuple[UUID, UUID]]:
    """(partner, launch) with leads that nobody answered in time, over all tenants."""
    with elevated(session, "a sweep finds leads past their time"):
        rows = session.execute(
            select(Lead.partner_id, Lead.launch_id)
            .where(Lead.status == LeadStatus.NEW, Lead.accept_by < clock.now())
            .distinct()
        )
        return [(row[0], row[1]) for row in rows]


def remind_overdue(session: Session, actor: Actor, launch_id: UUID) -> None:
    """Tell the partner's people once of each launch's late leads, and count them for both sides."""
    launch = campaign_queries.get_launch(session, actor, launch_id)
    late = queries.list_leads(session, actor, launch_id=launch_id, overdue=True, limit=1)
    if late:
        account_services.tell(
            session, launch.partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "lead_overdue",
            data={"launch": launch.name, "path": f"/leads?launch={launch.id}&overdue=1"},
            once_key=f"lead-overdue:{launch.id}:{late[0].id}",
        )  # fmt: skip
    count_lead_totals(session, launch)
