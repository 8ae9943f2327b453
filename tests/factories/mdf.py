"""A programme with money in it, and requests in any state, made through the same services as users'."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from tcma import clock
from tcma.access import Actor
from tcma.db import unit_of_work
from tcma.mdf import programmes, requests
from tcma.mdf.models import Fund, Programme, Request
from tcma.money import Money
from tests.factories.cast import Cast


def eur(amount: int) -> Money:
    """Whole euros."""
    return Money.of(amount, "EUR")


@dataclass
class FundedProgramme:
    """An open programme (50 %, cap 10,000), its fund (20,000) and the day on which allocations expire."""

    programme: Programme
    fund: Fund
    types: dict[str, UUID]
    expires_on: date


def make_programme(
    actor: Actor, *, name: str = "Growth fund", opened: bool = True, types: tuple[str, ...] = ("email", "seminar"),
    **fields: Any,
) -> Programme:  # fmt: skip
    """A programme of `actor`'s vendor in EUR over the present year and the next."""
    today = clock.today()
    values: dict[str, Any] = {
        "currency": "EUR", "share_percent": 50, "cap": eur(10_000), "begins_on": date(today.year, 1, 1),
        "ends_on": date(today.year + 1, 12, 31), **fields,
    }  # fmt: skip
    with unit_of_work(actor) as session:
        programme = programmes.create_programme(session, actor, name=name, **values)
        for code in types:
            programmes.add_activity_type(session, actor, programme.id, code=code)
        if opened:
            programmes.open_programme(session, actor, programme.id)
        _ = programme.activity_types
    return programme


def make_money(
    cast: Cast, *, budget: int = 20_000, allocated: int = 5_000, partners: tuple[UUID, ...] | None = None, **fields: Any
) -> FundedProgramme:
    """An open programme of the cast's vendor with a fund, and `allocated` euros for each partner (the cast's)."""
    programme = make_programme(cast.vendor_admin, **fields)
    today = clock.today()
    expires_on = today + timedelta(days=90)
    with unit_of_work(cast.finance) as session:
        fund = programmes.create_fund(
            session, cast.finance, programme_id=programme.id, name="This year", budget=eur(budget),
            begins_on=date(today.year, 1, 1), ends_on=today + timedelta(days=180),
        )  # fmt: skip
        for partner_id in partners or (cast.partner_id,):
            programmes.allocate(
                session, cast.finance, fund_id=fund.id, partner_id=partner_id, amount=eur(allocated),
                expires_on=expires_on,
            )  # fmt: skip
    types = {one.code: one.id for one in programme.activity_types}
    return FundedProgramme(programme=programme, fund=fund, types=types, expires_on=expires_on)


def an_activity(
    money: FundedProgramme, *, requested: int = 1_000, code: str = "email", **fields: Any
) -> dict[str, Any]:
    """One activity for `create_request`: it costs twice what is requested and begins in two weeks."""
    begins = clock.today() + timedelta(days=14)
    return {
        "activity_type_id": money.types[code], "title": "Autumn mailing", "starts_on": begins,
        "ends_on": begins + timedelta(days=7), "cost": eur(requested * 2), "requested": eur(requested), **fields,
    }  # fmt: skip


def make_request(
    cast: Cast, money: FundedProgramme, *, state: str = "submitted", requested: int = 1_000, by: Actor | None = None,
    activities: list[dict[str, Any]] | None = None, title: str = "Autumn push",
) -> Request:  # fmt: skip
    """A request of the cast's partner in a state: draft, submitted, returned, approved, rejected or withdrawn."""
    partner, vendor = by or cast.partner_marketer, cast.channel_manager
    with unit_of_work(partner) as session:
        request = requests.create_request(
            session, partner, programme_id=money.programme.id, title=title, purpose="More customers",
            activities=activities or [an_activity(money, requested=requested)],
        )  # fmt: skip
        if state != "draft":
            requests.submit_request(session, partner, request.id)
        if state == "withdrawn":
            requests.withdraw_request(session, partner, request.id)
    if state in ("returned", "approved", "rejected"):
        with unit_of_work(vendor) as session:
            if state == "approved":
                requests.approve_request(session, vendor, request.id)
            elif state == "returned":
                requests.return_request(session, vendor, request.id, reason="Please say how many people it reaches.")
            else:
                requests.reject_request(session, vendor, request.id, reason="We do not pay for this.")
    return request
