"""Pages of funds, allocations and ledger entries; the other pages of mdf stand in the modules beside this one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from wtforms.fields.choices import SelectChoice

from tcma import clock, ids
from tcma.access import Permission
from tcma.accounts import queries as accounts_queries
from tcma.csvfile import Cell
from tcma.db import db, unit_of_work
from tcma.errors import Invalid
from tcma.mdf import ledger, programmes, queries, routes_claims, routes_payments, routes_programmes, routes_requests
from tcma.mdf.blueprint import bp
from tcma.mdf.forms import AllocateForm, BudgetForm, FundForm, put_faults, read_money
from tcma.mdf.ledger_models import LedgerEntry
from tcma.mdf.models import Fund
from tcma.mdf.pages import Page, beside, csv_answer, has, int_arg, kind_words, ledger_link, locale, uuid_arg
from tcma.mdf.queries import EntryFilter
from tcma.mdf.states import AccountKind, ProgrammeStatus, RequestStatus, Side
from tcma.money import Money

blueprints = [bp]
__all__ = ["blueprints", "routes_claims", "routes_payments", "routes_programmes", "routes_requests"]

# Where money of a fund can be, in the order in which it moves.
FLOW = (
    AccountKind.BUDGET, AccountKind.ALLOCATED, AccountKind.COMMITTED, AccountKind.CLAIMED, AccountKind.PAYABLE,
    AccountKind.CASH, AccountKind.EXPIRED,
)  # fmt: skip


@bp.get("/funds")
def funds() -> Page:
    g.actor.require(Permission.PROGRAMME_READ)
    return _partner_funds() if g.actor.is_partner else _vendor_funds()


def _partner_funds() -> Page:
    actor, session = g.actor, db.session
    shown = queries.list_funds(session, actor)
    held = ledger.balances_by_fund(session, shown, partner_id=actor.organization_id)
    allocations = {one.fund_id: one for one in queries.list_allocations(session, actor)}
    vendors = queries.names_of(session, [fund.vendor_id for fund in shown])
    rows: list[dict[str, Any]] = [
        {
            "fund": fund, "vendor": vendors.get(fund.vendor_id, ""), "allocation": allocations[fund.id],
            "today": clock.today(fund.programme.zone), "available": held[fund.id][AccountKind.ALLOCATED],
            "parts": _parts(fund, held[fund.id], FLOW[1:], partner_id=actor.organization_id),
            "whole": sum(held[fund.id][kind].minor for kind in FLOW[1:]),
        }
        for fund in shown if fund.id in allocations
    ]  # fmt: skip
    rows.sort(key=lambda row: row["allocation"].expires_on)
    latest, _more = queries.list_requests(session, actor, limit=5)
    return render_template(
        "mdf/funds_partner.html", rows=rows, latest=latest, counts=queries.count_requests(session, actor),
        programmes=queries.list_programmes(session, actor, status=ProgrammeStatus.ACTIVE),
        claims_url=url_for("mdf.claims") if has("mdf.claims") else None,
    )  # fmt: skip


def _vendor_funds() -> Page:
    actor, session = g.actor, db.session
    shown = queries.list_funds(session, actor)
    if words := request.args.get("q", "").strip().lower():
        shown = [one for one in shown if words in one.name.lower() or words in one.programme.name.lower()]
    held = ledger.balances_by_fund(session, shown)
    if request.args.get("format") == "csv":
        header = ["fund", "programme", "currency", "first day", "last day", "budget", *(str(kind) for kind in FLOW)]
        return csv_answer("funds", header, (_fund_cells(fund, held[fund.id]) for fund in shown))
    waiting = queries.count_requests(session, actor).get(RequestStatus.SUBMITTED, 0)
    return render_template(
        "mdf/funds.html", funds=shown, held=held, flow=FLOW, words=kind_words(), link=ledger_link,
        plots=_flow_plots(shown, held), waiting=waiting, AccountKind=AccountKind,
    )  # fmt: skip


def _fund_cells(fund: Fund, held: dict[AccountKind, Money]) -> list[Cell]:
    whole = -held[AccountKind.CONTROL]
    return [
        fund.name, fund.programme.name, fund.currency, fund.begins_on, fund.ends_on, whole,
        *(held[kind] for kind in FLOW),
    ]  # fmt: skip


def _flow_plots(shown: list[Fund], held: dict[UUID, dict[AccountKind, Money]]) -> dict[str, dict[str, Any]]:
    """By currency: a bar for each fund, cut where its money is. Amounts in major units, six parts at most."""
    words, plots = kind_words(), {}
    parts: list[tuple[tuple[AccountKind, ...], str]] = [
        ((kind,), words[kind]) for kind in FLOW if kind not in (AccountKind.CLAIMED, AccountKind.PAYABLE)
    ]
    parts.insert(3, ((AccountKind.CLAIMED, AccountKind.PAYABLE), _("Claimed and to be paid")))
    for currency in sorted({fund.currency for fund in shown}):
        of_it = [fund for fund in shown if fund.currency == currency][:12]
        plots[currency] = {
            "x": [fund.name for fund in of_it],
            "series": [
                {
                    "name": label,
                    "data": [
                        float(Money.total([held[fund.id][kind] for kind in kinds], currency).decimal) for fund in of_it
                    ],
                }
                for kinds, label in parts
            ],
        }
    return plots


def _parts(
    fund: Fund, held: dict[AccountKind, Money], kinds: tuple[AccountKind, ...], *, partner_id: UUID | None = None
) -> list[dict[str, Any]]:
    """The parts of a share bar, each linking to its entries."""
    words = kind_words()
    return [
        {
            "label": words[kind], "value": held[kind].minor, "text": held[kind].format(locale()),
            "href": ledger_link(kind, fund=fund.id, partner=partner_id), "tone": number,
        }
        for number, kind in enumerate(kinds, start=1)
    ]  # fmt: skip


@bp.route("/funds/new", methods=["GET", "POST"])
def fund_new() -> Page:
    g.actor.require(Permission.FUND_MANAGE)
    choices = [one for one in queries.list_programmes(db.session, g.actor) if one.status is not ProgrammeStatus.CLOSED]
    form = FundForm(
        data={"programme_id": uuid_arg("programme"), "once": ids.new_id()} if request.method == "GET" else None
    )
    form.programme_id.choices = [SelectChoice(one.id, f"{one.name} ({one.currency})") for one in choices]
    if form.validate_on_submit():
        currency = next(one.currency for one in choices if one.id == form.programme_id.data)
        budget = read_money(form.budget, currency, locale=locale())
        if budget is not None:
            try:
                with unit_of_work(g.actor) as session:
                    fund = programmes.create_fund(
                        session, g.actor, programme_id=form.programme_id.data, name=form.name.data, budget=budget,
                        begins_on=form.begins_on.data, ends_on=form.ends_on.data, once=_once(form.once.data),
                    )  # fmt: skip
                flash(_("The fund is there. Now give partners their part."), "success")
                return redirect(url_for("mdf.fund", fund_id=fund.id), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    page = render_template("mdf/fund_new.html", form=form, programmes=choices)
    return page, 422 if form.errors else 200


@bp.route("/funds/<uuid:fund_id>", methods=["GET"])
def fund(fund_id: UUID) -> Page:
    g.actor.require(Permission.PROGRAMME_READ)
    if g.actor.is_partner:
        return redirect(url_for("mdf.ledger_entries", fund=fund_id))
    return _fund_page(fund_id)


@bp.post("/funds/<uuid:fund_id>/allocations")
def fund_allocate(fund_id: UUID) -> Page:
    g.actor.require(Permission.FUND_MANAGE)
    found = queries.get_fund(db.session, g.actor, fund_id)
    form = AllocateForm()
    form.partner_id.choices = _partner_choices()
    if form.validate_on_submit():
        amount = read_money(form.amount, found.currency, locale=locale())
        if amount is not None:
            try:
                with unit_of_work(g.actor) as session:
                    programmes.allocate(
                        session, g.actor, fund_id=fund_id, partner_id=form.partner_id.data, amount=amount,
                        expires_on=form.expires_on.data, once=_once(form.once.data),
                    )  # fmt: skip
                flash(_("%(amount)s allocated.", amount=amount.format(locale())), "success")
                return redirect(url_for("mdf.fund", fund_id=fund_id), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    return _fund_page(fund_id, allocate=form)


@bp.post("/funds/<uuid:fund_id>/budget")
def fund_add_budget(fund_id: UUID) -> Page:
    g.actor.require(Permission.FUND_MANAGE)
    found = queries.get_fund(db.session, g.actor, fund_id)
    form = BudgetForm()
    if form.validate_on_submit():
        amount = read_money(form.amount, found.currency, locale=locale())
        if amount is not None:
            try:
                with unit_of_work(g.actor) as session:
                    programmes.add_budget(session, g.actor, fund_id, amount=amount, once=_once(form.once.data))
                flash(_("%(amount)s added to the budget.", amount=amount.format(locale())), "success")
                return redirect(url_for("mdf.fund", fund_id=fund_id), 303)
            except Invalid as wrong:
                put_faults(form, wrong)
    return _fund_page(fund_id, add_budget=form)


def _once(given: str | None) -> UUID | None:
    """The mark of one showing of a form: sent twice, it acts once."""
    try:
        return UUID(given or "")
    except ValueError:
        return None


def _partner_choices() -> list[SelectChoice]:
    active = accounts_queries.active_partners(db.session, g.actor)
    return [SelectChoice(one.partner_id, f"{one.name} ({one.tier})") for one in active]


def _fund_page(fund_id: UUID, *, allocate: AllocateForm | None = None, add_budget: BudgetForm | None = None) -> Page:
    session, actor = db.session, g.actor
    found = queries.get_fund(session, actor, fund_id)
    held = ledger.balances(session, fund_id)
    after = uuid_arg("after")
    rows = queries.list_allocations(session, actor, fund_id=fund_id, after=after, limit=queries.PAGE + 1)
    allocations = rows[: queries.PAGE]
    partner_ids = [one.partner_id for one in allocations]
    refused = bool((allocate and allocate.errors) or (add_budget and add_budget.errors))
    if allocate is None:
        allocate = AllocateForm(formdata=None, data={"once": ids.new_id(), "expires_on": found.ends_on})
        allocate.partner_id.choices = _partner_choices()
    page = render_template(
        "mdf/fund.html", fund=found, held=held, flow=FLOW, words=kind_words(), link=ledger_link,
        parts=_parts(found, held, FLOW[1:]), whole=-held[AccountKind.CONTROL], allocations=allocations,
        by_partner=ledger.balances_by_partner(session, found, partner_ids), nothing=Money.zero(found.currency),
        names=queries.names_of(session, partner_ids), allocate=allocate,
        newer=url_for("mdf.fund", fund_id=fund_id) if after else None,
        older=url_for("mdf.fund", fund_id=fund_id, after=allocations[-1].id) if len(rows) > queries.PAGE else None,
        add_budget=add_budget or BudgetForm(formdata=None, data={"once": ids.new_id()}), AccountKind=AccountKind,
        today=clock.today(found.programme.zone),
    )  # fmt: skip
    return page, 422 if refused else 200


@bp.get("/ledger")
def ledger_entries() -> Page:
    g.actor.require(Permission.PROGRAMME_READ)
    if request.args.get("kind") and request.args["kind"] not in set(AccountKind):
        abort(404)
    kind = AccountKind(request.args["kind"]) if request.args.get("kind") else None
    wanted = EntryFilter(
        fund_id=uuid_arg("fund"), kind=kind, partner_id=uuid_arg("partner"), source_id=uuid_arg("source"),
        source_type=request.args.get("type") or None, ref_id=uuid_arg("ref"), search=request.args.get("q", ""),
    )  # fmt: skip
    session, actor = db.session, g.actor
    if request.args.get("format") == "csv":
        header = ["entry", "at", "event", "memo", "account", "partner", "currency", "in", "out", "source", "source id"]
        return csv_answer("ledger", header, _entry_cells(wanted))
    rows, more = queries.list_entries(session, actor, wanted, after=int_arg("after"), before=int_arg("before"))
    found_fund = queries.get_fund(session, actor, wanted.fund_id) if wanted.fund_id else None
    names = queries.names_of(session, [*(row.partner_id for row in rows if row.partner_id), *_given(wanted)])
    kinds = [one for one in AccountKind if one not in (AccountKind.CONTROL, AccountKind.RECEIVABLE)]
    totals = [
        (Money(debited - credited, currency), Money(debited, currency), Money(credited, currency))
        for currency, debited, credited in queries.entry_totals(session, actor, wanted)
    ]
    return render_template(
        "mdf/ledger.html", rows=rows, words=kind_words(), kinds=kinds, totals=totals, names=names, wanted=wanted,
        fund=found_fund, source_link=_source_link, Side=Side, Money=Money, **beside(rows, more),
    )  # fmt: skip


def _given(wanted: EntryFilter) -> list[UUID]:
    return [wanted.partner_id] if wanted.partner_id else []


def _entry_cells(wanted: EntryFilter) -> Iterator[list[Cell]]:
    """Every matching entry, page by page, so that a long ledger needs no long memory."""
    after: int | None = None
    while True:
        rows, more = queries.list_entries(db.session, g.actor, wanted, after=after, limit=500)
        names = queries.names_of(db.session, [row.partner_id for row in rows if row.partner_id])
        for row in rows:
            amount = Money(row.amount_minor, row.currency)
            came = row.side is Side.DEBIT
            yield [
                row.id, row.transaction.at, row.transaction.event.partition(":")[0], row.transaction.memo,
                str(row.account.kind), names.get(row.partner_id) if row.partner_id else None, row.currency,
                amount if came else None, None if came else amount, row.transaction.source_type,
                row.transaction.source_id,
            ]  # fmt: skip
        if not more:
            return
        after = rows[-1].id


def _source_link(entry: LedgerEntry) -> str | None:
    """The page of what caused an entry."""
    source = entry.transaction
    if source.source_type == "request":
        return url_for("mdf.request_page", request_id=source.source_id)
    if source.source_type in ("fund", "allocation") and g.actor.is_vendor:
        return url_for("mdf.fund", fund_id=source.fund_id)
    if source.source_type == "claim" and has("mdf.claim"):
        return url_for("mdf.claim", claim_id=source.source_id)
    return None
