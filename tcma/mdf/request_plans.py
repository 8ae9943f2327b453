"""The plan in a request: its activities read from what was typed, and the fund that would pay for them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.campaigns.models import CampaignVersion
from tcma.errors import Invalid, NotFound
from tcma.mdf import ledger, queries
from tcma.mdf.models import Activity, Fund, Programme, Request
from tcma.mdf.states import AccountKind
from tcma.money import Money

_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that people mistake for another


def plan_title(title: str) -> str:
    """The title without blanks around it, or Invalid."""
    if not title.strip():
        raise Invalid({"title": "Give the request a title, such as “Autumn webinar”."})
    return title.strip()


def new_number() -> str:
    """A number that people can read out; drawn by chance, so that it tells nobody how many others ask."""
    drawn = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"R-{drawn[:4]}-{drawn[4:]}"


def plan_activities(
    session: Session, actor: Actor, programme: Programme, given: Sequence[Mapping[str, Any]]
) -> list[Activity]:
    """New activities, not yet in the session; raises Invalid with fields such as “activities-0-cost”."""
    wrong: dict[str, str] = {}
    made = []
    types = {one.id: one for one in programme.activity_types}
    for index, values in enumerate(given):
        faults = _faults(values, types, programme)
        version_id = values.get("campaign_version_id")
        if version_id and _version_of(session, programme, version_id) is None:
            faults["campaign_version_id"] = "This campaign is not offered to you. Choose one from the list."
        wrong.update({f"activities-{index}-{field}": words for field, words in faults.items()})
        if not faults:
            made.append(
                Activity(
                    vendor_id=programme.vendor_id, partner_id=actor.organization_id, currency=programme.currency,
                    activity_type_id=values["activity_type_id"], title=str(values["title"]).strip(),
                    starts_on=values["starts_on"], ends_on=values["ends_on"], cost_minor=values["cost"].minor,
                    requested_minor=values["requested"].minor, campaign_version_id=version_id,
                    expected_reach=values.get("expected_reach"),
                )
            )  # fmt: skip
    if wrong:
        raise Invalid(wrong)
    return made


def _faults(values: Mapping[str, Any], types: Mapping[UUID, object], programme: Programme) -> dict[str, str]:
    faults: dict[str, str] = {}
    if values.get("activity_type_id") not in types:
        faults["activity_type_id"] = "This programme does not pay for that. Choose a type from the list."
    if not str(values.get("title") or "").strip():
        faults["title"] = "Give the activity a title."
    starts_on, ends_on = values.get("starts_on"), values.get("ends_on")
    for field, day in (("starts_on", starts_on), ("ends_on", ends_on)):
        if not isinstance(day, date):
            faults[field] = "Choose a day."
    if isinstance(starts_on, date) and isinstance(ends_on, date) and ends_on < starts_on:
        faults["ends_on"] = f"The end ({ends_on}) is before the beginning ({starts_on}). Choose a later day."
    for field in ("cost", "requested"):
        amount = values.get(field)
        if not isinstance(amount, Money) or amount.currency != programme.currency or amount.minor <= 0:
            faults[field] = f"Enter an amount above zero in {programme.currency}."
    cost, requested = values.get("cost"), values.get("requested")
    if not {"cost", "requested"} & faults.keys() and requested > cost:  # type: ignore[operator]
        faults["requested"] = f"You ask for {requested}, more than the cost of {cost}. Ask for less."
    reach = values.get("expected_reach")
    if reach is not None and reach < 0:
        faults["expected_reach"] = "Enter how many people it will reach, or leave it empty."
    return faults


def put_activities(session: Session, request: Request, made: Sequence[Activity]) -> None:
    """Make `made` the activities of the request."""
    for one in made:
        one.request_id = request.id
        session.add(one)
    session.flush()
    session.expire(request, ["activities"])


def choose_fund(session: Session, actor: Actor, programme: Programme, asked: Money, fund_id: UUID | None) -> Fund:
    """The fund that pays: the given one, else the first to expire that holds enough, else the fullest."""
    funds = {fund.id: fund for fund in queries.list_funds(session, actor, programme_id=programme.id)}
    today = clock.today(programme.zone)
    allocations = queries.list_allocations(session, actor, programme_id=programme.id)
    open_ids = [one.fund_id for one in allocations if one.expires_on >= today and one.fund_id in funds]
    if fund_id is not None:
        if fund_id not in funds:
            raise NotFound()
        return funds[fund_id]
    if not open_ids:
        raise Invalid(
            {"programme_id": "No money of this programme is allocated to you now. Ask the vendor's channel manager."}
        )
    held = ledger.balances_by_fund(session, list(funds.values()), partner_id=actor.organization_id)
    free = {one: held[one][AccountKind.ALLOCATED] for one in open_ids}
    chosen = next((one for one in open_ids if free[one] >= asked), max(open_ids, key=lambda one: free[one].minor))
    return funds[chosen]


def _version_of(session: Session, programme: Programme, version_id: UUID) -> CampaignVersion | None:
    return session.scalar(
        select(CampaignVersion).where(
            CampaignVersion.id == version_id, CampaignVersion.vendor_id == programme.vendor_id
        )
    )
