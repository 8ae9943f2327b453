"""Homes by role, the funnel, and the operator's page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as WerkzeugResponse

from tcma.access import Kind, Permission, Role
from tcma.accounts import queries as account_queries
from tcma.accounts.states import PartnershipStatus
from tcma.campaigns import queries as campaign_queries
from tcma.csvfile import write_csv
from tcma.db import db, unit_of_work
from tcma.errors import DomainError
from tcma.insights import funnel, home, search, services

bp = Blueprint("insights", __name__, template_folder="templates")
blueprints = [bp]


@bp.get("/", endpoint="home")
def home_page() -> str | WerkzeugResponse:
    """What needs me now; then one plot; then what happened last."""
    g.nav_at = "insights"
    if g.actor.kind is Kind.PLATFORM:
        return redirect(url_for("service.parts"))
    needs = home.needs_of(db.session, g.actor)
    g.needs_me = len(needs)
    if g.actor.is_partner:
        return _partner(needs)
    if g.actor.roles and g.actor.roles <= {Role.FINANCE}:
        return _finance(needs)
    return _vendor(needs)


def _partner(needs: list[home.Need]) -> str:
    results = home.launch_results(db.session, g.actor)
    launched = {one["id"] for one in results}
    recommended = campaign_queries.list_catalogue(db.session, g.actor, limit=3)
    partnerships = account_queries.list_partnerships(db.session, g.actor)
    vendors = {one.vendor_id: one.vendor for one in partnerships}
    halted = {one.vendor_id: one.vendor.name for one in partnerships if one.status is PartnershipStatus.SUSPENDED}
    recommended = [one for one in recommended if one.vendor_id not in halted]
    begun = next((one for one in needs if one.kind == "step"), None) if not results else None
    return render_template(
        "insights/partner.html", needs=needs, figures=home.partner_figures(db.session, g.actor), results=results,
        recommended=recommended, vendors=vendors, launched=launched, halted=list(halted.values()), begun=begun,
    )  # fmt: skip


def _vendor(needs: list[home.Need]) -> str:
    return render_template(
        "insights/vendor.html", needs=needs, steps=funnel.steps_of(funnel.counts_by_step(db.session, g.actor)),
        results=home.launch_results(db.session, g.actor),
    )  # fmt: skip


def _finance(needs: list[home.Need]) -> str:
    currency, flow = home.fund_flow(db.session, g.actor)
    return render_template("insights/finance.html", needs=needs, currency=currency, flow=flow)


@bp.get("/search", endpoint="search")
def search_page() -> str:
    """From the top of every page: a few of each kind that fit the words."""
    words = request.args.get("q", "").strip()[:100]
    return render_template("insights/search.html", words=words, groups=search.find_everything(db.session, g.actor, words))


@bp.get("/funnel", endpoint="funnel")
def funnel_page() -> str:
    """How far each partner has come."""
    g.nav_at = "funnel"
    g.actor.require_kind(Kind.VENDOR)
    g.actor.require(Permission.INSIGHT_READ)
    given = {name: request.args.get(name, "") for name in ("q", "step", "after")}
    try:
        after = UUID(given["after"])
    except ValueError:
        after = None
    found = funnel.partner_rows(
        db.session, g.actor, search=given["q"], step=given["step"], after=after, limit=funnel.PAGE + 1
    )
    rows, counts = found[: funnel.PAGE], funnel.counts_by_step(db.session, g.actor)
    kept: dict[str, Any] = {name: given[name] for name in ("q", "step") if given[name]}
    return render_template(
        "insights/funnel.html", rows=rows, counts=counts, steps=funnel.steps_of(counts), total=sum(counts.values()),
        next_step=services.NEXT_STEP, newer=url_for("insights.funnel", **kept) if after else None,
        older=url_for("insights.funnel", **kept, after=rows[-1].partner_id) if len(found) > funnel.PAGE else None,
    )  # fmt: skip


@bp.get("/funnel.csv")
def funnel_csv() -> Response:
    g.actor.require_kind(Kind.VENDOR)
    g.actor.require(Permission.INSIGHT_READ)
    header = ["partner", "tier", "status", "step", "launches", "sent", "people_clicked", "leads", "won", "claims"]
    rows: list[list[Any]] = [
        [row.partnership.partner.name, row.partnership.tier, str(row.partnership.status), row.step, row.launches, row.sent,
         row.clickers, row.leads, row.won, row.claims]
        for row in funnel.partner_rows(db.session, g.actor)
    ]  # fmt: skip
    answer = Response("".join(write_csv(rows, header)), mimetype="text/csv")
    answer.headers.set("Content-Disposition", "attachment", filename="funnel.csv")
    return answer


@bp.post("/partners/<uuid:partner_id>/nudge")
def nudge(partner_id: UUID) -> WerkzeugResponse:
    """Remind one partner by mail."""
    try:
        with unit_of_work(g.actor) as session:
            services.nudge_partner(
                session, g.actor, partner_id, step=request.form.get("step", ""), message=request.form.get("message", "")
            )
        flash(_("Reminded by mail."), "success")
    except DomainError as error:
        if error.status not in (409, 422):
            raise
        flash(error.message, "warning")
    return redirect(url_for("insights.funnel"), code=303)
