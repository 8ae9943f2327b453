# mypy: disable-error-code="untyped-decorator"
"""The API of programmes, funds and requests: the same services as the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, g
from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import Schema
from sqlalchemy.orm import Session

from tcma.access import Permission
from tcma.db import db, unit_of_work
from tcma.idempotency import answer_once
from tcma.mdf import api_claims, ledger, programmes, queries, requests
from tcma.mdf import schemas as s
from tcma.mdf.models import Activity as ActivityRow
from tcma.mdf.models import ActivityType, Allocation, Fund, Programme, Request
from tcma.mdf.schemas_claims import plain

programmes_api = Blueprint("api_programmes", __name__, url_prefix="/programmes", description="MDF programmes")
funds_api = Blueprint("api_funds", __name__, url_prefix="/funds", description="Funds, allocations, balances")
requests_api = Blueprint("api_requests", __name__, url_prefix="/requests", description="Requests for money")
activities_api = Blueprint("api_activities", __name__, url_prefix="/activities", description="Approved activities")
blueprints = [programmes_api, funds_api, requests_api, activities_api, *api_claims.blueprints]


@programmes_api.route("")
class Programmes(MethodView):
    @programmes_api.response(200, s.ProgrammePageSchema)
    def get(self) -> dict[str, Any]:
        """Programmes that the key may see."""
        g.actor.require(Permission.PROGRAMME_READ)
        return {"items": queries.list_programmes(db.session, g.actor), "next": None}

    @programmes_api.arguments(s.ProgrammeSchema)
    @programmes_api.response(201, s.ProgrammeSchema)
    def post(self, given: dict[str, Any]) -> Programme:
        """Make a draft programme, with what it pays for."""
        types = given.pop("activity_types")
        with unit_of_work(g.actor) as session:
            made = programmes.create_programme(session, g.actor, **given)
            for one in types:
                programmes.add_activity_type(session, g.actor, made.id, **one)
            return queries.get_programme(session, g.actor, made.id)


@programmes_api.route("/<uuid:programme_id>")
class OneProgramme(MethodView):
    @programmes_api.response(200, s.ProgrammeSchema)
    def get(self, programme_id: UUID) -> Programme:
        """One programme with its activity types."""
        g.actor.require(Permission.PROGRAMME_READ)
        return queries.get_programme(db.session, g.actor, programme_id)

    @programmes_api.arguments(s.ProgrammeChangeSchema)
    @programmes_api.response(200, s.ProgrammeSchema)
    def patch(self, given: dict[str, Any], programme_id: UUID) -> Programme:
        """Change a programme; an open one gets the next version of its rules."""
        with unit_of_work(g.actor) as session:
            programmes.save_programme(session, g.actor, programme_id, **given)
            return queries.get_programme(session, g.actor, programme_id)


@programmes_api.route("/<uuid:programme_id>/activity-types", methods=["POST"])
@programmes_api.arguments(s.ActivityTypeSchema)
@programmes_api.response(201, s.ActivityTypeSchema)
def add_activity_type(given: dict[str, Any], programme_id: UUID) -> ActivityType:
    """Pay for one more kind of work."""
    with unit_of_work(g.actor) as session:
        return programmes.add_activity_type(session, g.actor, programme_id, **given)


@programmes_api.route("/<uuid:programme_id>/open", methods=["POST"])
@programmes_api.response(200, s.ProgrammeSchema)
def open_programme(programme_id: UUID) -> Programme:
    """Let partners see it and ask."""
    with unit_of_work(g.actor) as session:
        return programmes.open_programme(session, g.actor, programme_id)


@programmes_api.route("/<uuid:programme_id>/close", methods=["POST"])
@programmes_api.response(200, s.ProgrammeSchema)
def close_programme(programme_id: UUID) -> Programme:
    """Take no more requests."""
    with unit_of_work(g.actor) as session:
        return programmes.close_programme(session, g.actor, programme_id)


@funds_api.route("")
class Funds(MethodView):
    @funds_api.arguments(s.FundListQuery, location="query")
    @funds_api.response(200, s.FundPageSchema)
    def get(self, given: dict[str, Any]) -> dict[str, Any]:
        """Funds: a vendor's own, or those with an allocation for the partner."""
        g.actor.require(Permission.PROGRAMME_READ)
        return {"items": queries.list_funds(db.session, g.actor, **given), "next": None}

    @funds_api.arguments(s.FundSchema)
    @funds_api.response(201, s.FundSchema)
    def post(self, given: dict[str, Any]) -> Response:
        """Make a fund with its budget. Honours Idempotency-Key."""
        return _booked(s.FundSchema(), lambda session: programmes.create_fund(session, g.actor, **given))


@funds_api.route("/<uuid:fund_id>/allocations")
class Allocations(MethodView):
    @funds_api.response(200, s.AllocationPageSchema)
    def get(self, fund_id: UUID) -> dict[str, Any]:
        """Who has a part of the fund; a partner sees its own."""
        g.actor.require(Permission.PROGRAMME_READ)
        queries.get_fund(db.session, g.actor, fund_id)
        return {"items": queries.list_allocations(db.session, g.actor, fund_id=fund_id), "next": None}

    @funds_api.arguments(s.AllocationSchema)
    @funds_api.response(201, s.AllocationSchema)
    def post(self, given: dict[str, Any], fund_id: UUID) -> Response:
        """Give a partner a part, or add to it. Honours Idempotency-Key."""
        return _booked(
            s.AllocationSchema(), lambda session: programmes.allocate(session, g.actor, fund_id=fund_id, **given)
        )


def _booked(schema: Schema, work: Callable[[Session], Fund | Allocation]) -> Response:
    """What was booked, once however often the same POST is repeated."""
    return answer_once(lambda session: (plain(schema, work(session)), 201))


@funds_api.route("/<uuid:fund_id>/balances", methods=["GET"])
@funds_api.arguments(s.BalancesQuery, location="query")
@funds_api.response(200, s.BalancesSchema)
def balances(given: dict[str, Any], fund_id: UUID) -> dict[str, Any]:
    """Where the fund's money is, in all or for one partner; a partner sees its own part."""
    g.actor.require(Permission.PROGRAMME_READ)
    queries.get_fund(db.session, g.actor, fund_id)
    partner_id = g.actor.organization_id if g.actor.is_partner else given["partner_id"]
    found = ledger.balances(db.session, fund_id, partner_id)
    return {"fund_id": fund_id, "partner_id": partner_id, **{str(kind): amount for kind, amount in found.items()}}


@requests_api.route("")
class Requests(MethodView):
    @requests_api.arguments(s.RequestListQuery, location="query")
    @requests_api.response(200, s.RequestPageSchema)
    def get(self, given: dict[str, Any]) -> dict[str, Any]:
        """One page of requests, the newest first; `next` goes into `after`."""
        g.actor.require(Permission.REQUEST_READ)
        rows, more = queries.list_requests(
            db.session, g.actor, status=given.get("status"), search=given["q"], programme_id=given["programme_id"],
            partner_id=given["partner_id"], after=given["after"], limit=given["limit"],
        )  # fmt: skip
        return {"items": rows, "next": str(rows[-1].id) if more else None}

    @requests_api.arguments(s.RequestSchema)
    @requests_api.response(201, s.RequestShownSchema)
    def post(self, given: dict[str, Any]) -> Request:
        """Write a draft request."""
        with unit_of_work(g.actor) as session:
            return requests.create_request(session, g.actor, **given)


@requests_api.route("/<uuid:request_id>")
class OneRequest(MethodView):
    @requests_api.response(200, s.RequestShownSchema)
    def get(self, request_id: UUID) -> Request:
        """One request with its activities."""
        g.actor.require(Permission.REQUEST_READ)
        return queries.get_request(db.session, g.actor, request_id)

    @requests_api.arguments(s.RequestChangeSchema)
    @requests_api.response(200, s.RequestShownSchema)
    def put(self, given: dict[str, Any], request_id: UUID) -> Request:
        """Change a draft or a returned request."""
        return _do(requests.save_request, request_id, given)


def _do(verb: Callable[..., Request], request_id: UUID, given: dict[str, Any]) -> Request:
    with unit_of_work(g.actor) as session:
        verb(session, g.actor, request_id, **given)
        return queries.get_request(session, g.actor, request_id)


@requests_api.route("/<uuid:request_id>/submit", methods=["POST"])
@requests_api.arguments(s.DecisionSchema)
@requests_api.response(200, s.RequestShownSchema)
def submit(given: dict[str, Any], request_id: UUID) -> Request:
    """Ask for the money: every rule must hold."""
    return _do(requests.submit_request, request_id, given)


@requests_api.route("/<uuid:request_id>/approve", methods=["POST"])
@requests_api.arguments(s.DecisionSchema)
@requests_api.response(200, s.RequestShownSchema)
def approve(given: dict[str, Any], request_id: UUID) -> Request:
    """Reserve the money."""
    return _do(requests.approve_request, request_id, given)


@requests_api.route("/<uuid:request_id>/return", methods=["POST"])
@requests_api.arguments(s.ReasonSchema)
@requests_api.response(200, s.RequestShownSchema)
def give_back(given: dict[str, Any], request_id: UUID) -> Request:
    """Give it back to be changed."""
    return _do(requests.return_request, request_id, given)


@requests_api.route("/<uuid:request_id>/reject", methods=["POST"])
@requests_api.arguments(s.ReasonSchema)
@requests_api.response(200, s.RequestShownSchema)
def reject(given: dict[str, Any], request_id: UUID) -> Request:
    """Say no for good."""
    return _do(requests.reject_request, request_id, given)


@requests_api.route("/<uuid:request_id>/withdraw", methods=["POST"])
@requests_api.arguments(s.DecisionSchema)
@requests_api.response(200, s.RequestShownSchema)
def withdraw(given: dict[str, Any], request_id: UUID) -> Request:
    """Take it back; what was reserved is free again."""
    return _do(requests.withdraw_request, request_id, given)


@activities_api.route("/<uuid:activity_id>/launch", methods=["POST"])
@activities_api.arguments(s.LinkLaunchSchema)
@activities_api.response(200, s.ActivityShownSchema)
def link_launch(given: dict[str, Any], activity_id: UUID) -> ActivityRow:
    """Say which launch carried an approved activity out."""
    with unit_of_work(g.actor) as session:
        return requests.link_launch(session, g.actor, activity_id, given["launch_id"])
