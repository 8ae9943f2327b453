"""Use cases of programmes, funds and allocations: the rules of the money, and the money itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit, clock, ids
from tcma.access import Actor, Kind, Permission
from tcma.accounts import queries as accounts_queries
from tcma.accounts.states import PartnershipStatus
from tcma.errors import IllegalTransition, Invalid
from tcma.mdf import ledger, queries
from tcma.mdf.activity_kinds import KINDS
from tcma.mdf.models import ActivityType, Allocation, Fund, Programme
from tcma.mdf.states import ProgrammeStatus, ProofKind
from tcma.money import Money, exponent

LONGEST_WAIT = 3650  # days; a longer claim or lead time is a slip of the finger


def create_programme(
    session: Session,
    actor: Actor,
    *,
    name: str,
    currency: str,
    share_percent: Decimal | int,
    cap: Money,
    begins_on: date,
    ends_on: date,
    zone: str = "UTC",
    claim_days: int = 30,
    lead_days: int = 0,
    guidelines: str = "",
    gl_code: str = "",
) -> Programme:
    """A draft programme. `cap` is the most that one partner gets from it in all. Raises Forbidden, Invalid."""
    actor.require(Permission.PROGRAMME_MANAGE)
    actor.require_kind(Kind.VENDOR)
    exponent(currency)
    programme = Programme(vendor_id=actor.organization_id, currency=currency, name="", cap_minor=0)
    values = _checked(
        currency, name=name, share_percent=share_percent, cap=cap, begins_on=begins_on, ends_on=ends_on, zone=zone,
        claim_days=claim_days, lead_days=lead_days, guidelines=guidelines, gl_code=gl_code,
    )  # fmt: skip
    for field, value in values.items():
        setattr(programme, field, value)
    session.add(programme)
    session.flush()
    audit.record(session, actor, "programme.create", programme, after=values)
    return programme


def save_programme(session: Session, actor: Actor, programme_id: UUID, **fields: Any) -> Programme:
    """Change some of the fields of `create_programme` but the currency.

    Once a programme is open each change makes the next version of its rules; a decision keeps the version that
    it was made under. Raises NotFound, Forbidden, Invalid, and IllegalTransition for a closed one.
    """
    actor.require(Permission.PROGRAMME_MANAGE)
    programme = queries.get_programme(session, actor, programme_id, lock=True)
    programme.require_status("edit", ProgrammeStatus.DRAFT, ProgrammeStatus.ACTIVE)
    present: dict[str, Any] = {
        "name": programme.name, "share_percent": programme.share_percent, "begins_on": programme.begins_on,
        "cap": Money(programme.cap_minor, programme.currency), "ends_on": programme.ends_on, "zone": programme.zone,
        "claim_days": programme.claim_days, "lead_days": programme.lead_days, "guidelines": programme.guidelines,
        "gl_code": programme.gl_code,
    }  # fmt: skip
    values = _checked(programme.currency, **{**present, **fields})
    before = {name: getattr(programme, name) for name in values}
    changed = {name: value for name, value in values.items() if before[name] != value}
    if not changed:
        return programme
    for name, value in changed.items():
        setattr(programme, name, value)
    _next_rules(programme)
    session.flush()
    audit.record(
        session, actor, "programme.edit", programme,
        before={name: before[name] for name in changed}, after={**changed, "rules": programme.rule_version},
    )  # fmt: skip
    return programme


def _next_rules(programme: Programme) -> None:
    if programme.status is not ProgrammeStatus.DRAFT:
        programme.rule_version += 1


def _checked(
    currency: str,
    *,
    name: str,
    share_percent: Decimal | int,
    cap: Money,
    begins_on: date,
    ends_on: date,
    zone: str,
    claim_days: int,
    lead_days: int,
    guidelines: str,
    gl_code: str,
) -> dict[str, Any]:
    """The columns of a programme with those values; raises Invalid with every fault at its field."""
    wrong: dict[str, str] = {}
    share = Decimal(share_percent)
    if not name.strip():
        wrong["name"] = "Give the programme a name that partners recognise."
    if not share.is_finite() or not 0 < share <= 100 or share != round(share, 2):
        wrong["share_percent"] = "Enter a share above 0 and up to 100 percent, with at most two decimals."
    if cap.currency != currency or cap.minor <= 0:
        wrong["cap"] = f"Enter an amount above zero in {currency}."
    if ends_on < begins_on:
        wrong["ends_on"] = f"The end ({ends_on}) is before the beginning ({begins_on}). Choose a later day."
    for field, days in (("claim_days", claim_days), ("lead_days", lead_days)):
        if not 0 <= days <= LONGEST_WAIT:
            wrong[field] = f"Enter a number of days from 0 to {LONGEST_WAIT}."
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        wrong["zone"] = f"“{zone[:40]}” is not a time zone. Use a name such as Europe/Berlin."
    if wrong:
        raise Invalid(wrong)
    return {
        "name": name.strip(), "share_percent": share, "cap_minor": cap.minor, "begins_on": begins_on,
        "ends_on": ends_on, "zone": zone, "claim_days": claim_days, "lead_days": lead_days,
        "guidelines": guidelines.strip(), "gl_code": gl_code.strip(),
    }  # fmt: skip


def add_activity_type(
    session: Session,
    actor: Actor,
    programme_id: UUID,
    *,
    code: str,
    name: str = "",
    cap: Money | None = None,
    required_evidence: Sequence[ProofKind | str] | None = None,
) -> ActivityType:
    """Have a programme pay for one more kind of work.

    A code of `activity_kinds.KINDS` brings its own name and evidence. `cap` is the most for one activity.
    Raises NotFound, Forbidden, IllegalTransition, Invalid.
    """
    actor.require(Permission.PROGRAMME_MANAGE)
    programme = queries.get_programme(session, actor, programme_id, lock=True)
    programme.require_status("edit", ProgrammeStatus.DRAFT, ProgrammeStatus.ACTIVE)
    known = KINDS.get(code)
    title = name.strip() or (known.name if known else "")
    evidence = list(known.evidence if known else ()) if required_evidence is None else list(required_evidence)
    wrong: dict[str, str] = {}
    if not code.strip():
        wrong["code"] = "Choose a kind of activity."
    if not title:
        wrong["name"] = "Give the activity type a name."
    if any(one.code == code for one in programme.activity_types):
        wrong["code"] = f"This programme already pays for “{title or code}”. Choose another kind."
    if unknown := [one for one in evidence if one not in set(ProofKind)]:
        wrong["required_evidence"] = f"“{unknown[0]}” is no kind of evidence. Use: {', '.join(ProofKind)}."
    if cap is not None and (cap.currency != programme.currency or cap.minor <= 0):
        wrong["cap"] = f"Enter an amount above zero in {programme.currency}, or leave it empty."
    if wrong:
        raise Invalid(wrong)
    activity_type = ActivityType(
        vendor_id=programme.vendor_id, programme_id=programme.id, code=code.strip(), name=title,
        cap_minor=cap.minor if cap else None, required_evidence=[str(one) for one in evidence],
        position=len(programme.activity_types),
    )  # fmt: skip
    session.add(activity_type)
    _next_rules(programme)
    session.flush()
    session.expire(programme, ["activity_types"])
    audit.record(session, actor, "programme.add_activity_type", programme, after={"code": activity_type.code})
    return activity_type


def remove_activity_type(session: Session, actor: Actor, activity_type_id: UUID, *, programme_id: UUID) -> None:
    """Take a kind of work out of a draft programme. Raises NotFound, Forbidden, IllegalTransition."""
    actor.require(Permission.PROGRAMME_MANAGE)
    programme = queries.get_programme(session, actor, programme_id, lock=True)
    programme.require_status("edit", ProgrammeStatus.DRAFT)
    found = next((one for one in programme.activity_types if one.id == activity_type_id), None)
    if found is None:
        return
    session.delete(found)
    session.flush()
    session.expire(programme, ["activity_types"])
    audit.record(session, actor, "programme.remove_activity_type", programme, before={"code": found.code})


def open_programme(session: Session, actor: Actor, programme_id: UUID) -> Programme:
    """Let partners see it and ask for its money. Raises NotFound, Forbidden, Invalid, IllegalTransition."""
    actor.require(Permission.PROGRAMME_MANAGE)
    programme = queries.get_programme(session, actor, programme_id, lock=True)
    if not programme.activity_types:
        raise Invalid("Say first what this programme pays for: add at least one activity type.")
    today = clock.today(programme.zone)
    if programme.ends_on < today:
        raise Invalid({"ends_on": f"It ended on {programme.ends_on} and today is {today}. Move its end, then open it."})
    programme.open(by=actor)
    session.flush()
    return programme


def close_programme(session: Session, actor: Actor, programme_id: UUID) -> Programme:
    """Take no more requests; what is approved goes on. Raises NotFound, Forbidden, IllegalTransition."""
    actor.require(Permission.PROGRAMME_MANAGE)
    programme = queries.get_programme(session, actor, programme_id, lock=True)
    programme.close(by=actor)
    session.flush()
    return programme


def create_fund(
    session: Session,
    actor: Actor,
    *,
    programme_id: UUID,
    name: str,
    budget: Money,
    begins_on: date,
    ends_on: date,
    once: UUID | None = None,
) -> Fund:
    """A fund of a programme with its budget, posted; the same `once` makes it once.

    Raises NotFound, Forbidden, Invalid, IllegalTransition.
    """
    actor.require(Permission.FUND_MANAGE)
    programme = queries.get_programme(session, actor, programme_id)
    if programme.status is ProgrammeStatus.CLOSED:
        raise IllegalTransition("This programme is closed, so it takes no new fund. Open it again, or choose another.")
    wrong: dict[str, str] = {}
    if not name.strip():
        wrong["name"] = "Give the fund a name, such as the quarter that it is for."
    if ends_on < begins_on:
        wrong["ends_on"] = f"The end ({ends_on}) is before the beginning ({begins_on}). Choose a later day."
    if message := _not_an_amount(budget, programme.currency):
        wrong["budget"] = message
    if wrong:
        raise Invalid(wrong)
    if once is not None:
        # Two presses of one form stand in line here; the second finds what the first has made.
        session.scalar(select(Programme.id).where(Programme.id == programme.id).with_for_update())
        if made := session.get(Fund, once):
            return made
    fund = Fund(
        id=once or ids.new_id(), vendor_id=programme.vendor_id, programme_id=programme.id, name=name.strip(),
        currency=programme.currency, begins_on=begins_on, ends_on=ends_on,
    )  # fmt: skip
    session.add(fund)
    session.flush()
    ledger.fund_budget(session, actor, fund, amount=budget)
    audit.record(session, actor, "fund.create", fund, after={"budget": budget.minor, "currency": budget.currency})
    return fund


def add_budget(session: Session, actor: Actor, fund_id: UUID, *, amount: Money, once: UUID | None = None) -> Fund:
    """Give a fund more money. The same `once` adds it once. Raises NotFound, Forbidden, Invalid."""
    actor.require(Permission.FUND_MANAGE)
    fund = queries.get_fund(session, actor, fund_id)
    if message := _not_an_amount(amount, fund.currency):
        raise Invalid({"amount": message})
    ledger.fund_budget(session, actor, fund, amount=amount, once=once)
    audit.record(session, actor, "fund.add_budget", fund, after={"amount": amount.minor})
    return fund


def allocate(
    session: Session,
    actor: Actor,
    *,
    fund_id: UUID,
    partner_id: UUID,
    amount: Money,
    expires_on: date,
    once: UUID | None = None,
) -> Allocation:
    """Give a partner a part of a fund, or add to it; the day it expires is set anew.

    The same `once` gives it once. Raises NotFound for no such fund or partnership, Forbidden, Invalid where the
    partner is not active, the day does not fit the fund, or the budget holds less.
    """
    actor.require(Permission.FUND_MANAGE)
    fund = queries.get_fund(session, actor, fund_id, lock=True)
    partnership = accounts_queries.get_partnership(session, actor, partner_id)
    today = clock.today(fund.programme.zone)
    wrong: dict[str, str] = {}
    if partnership.status is not PartnershipStatus.ACTIVE:
        wrong["partner_id"] = (
            f"{partnership.partner.name} is {partnership.status}, and only active partners are given money."
        )
    if not today <= expires_on <= fund.ends_on:
        wrong["expires_on"] = (
            f"Choose a day from today ({today}) to the fund's last day ({fund.ends_on}); {expires_on} is outside."
        )
    if message := _not_an_amount(amount, fund.currency):
        wrong["amount"] = message
    if wrong:
        raise Invalid(wrong)
    allocation = queries.find_allocation(session, fund_id=fund.id, partner_id=partner_id)
    if allocation is None:
        allocation = Allocation(vendor_id=fund.vendor_id, partner_id=partner_id, fund_id=fund.id, expires_on=expires_on)
        session.add(allocation)
    allocation.expires_on = expires_on
    session.flush()
    ledger.allocate(session, actor, fund, allocation, amount=amount, once=once)
    audit.record(session, actor, "allocation.add", allocation, after={"amount": amount.minor, "expires_on": expires_on})
    return allocation


def _not_an_amount(amount: Money, currency: str) -> str | None:
    if amount.currency != currency:
        return f"This is in {amount.currency}, but the programme pays in {currency}. Enter it in {currency}."
    return None if amount.minor > 0 else "Enter an amount above zero."
