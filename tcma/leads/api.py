"""The API of leads: the partner works them, the vendor sees shared ones and counts of all."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import g
from flask_smorest import Blueprint

from tcma.access import Permission
from tcma.db import db, unit_of_work
from tcma.errors import Invalid
from tcma.leads import queries, services
from tcma.leads import schemas as shapes
from tcma.leads.models import Lead
from tcma.leads.states import LeadStatus
from tcma.money import Money

blp = Blueprint("api_leads", __name__, url_prefix="/leads", description="Leads")
blueprints = [blp]


@blp.get("")
@blp.arguments(shapes.LeadPageIn, location="query")
@blp.response(200, shapes.LeadPage)
def list_leads(given: dict[str, Any]) -> dict[str, Any]:
    """Leads, newest first."""
    g.actor.require(Permission.LEAD_READ)
    wanted = given.pop("status")
    if wanted and wanted not in list(LeadStatus):
        raise Invalid({"status": f"Use one of {', '.join(LeadStatus)}."})
    status = LeadStatus(wanted) if wanted else None
    found = queries.list_leads(db.session, g.actor, status=status, launch_id=given.pop("launch"), **given)
    return {"items": found, "next": str(found[-1].id) if len(found) == given["limit"] else None}


@blp.get("/counts")
@blp.arguments(shapes.LeadPageIn(only=("launch",)), location="query")
@blp.response(200, shapes.CountsOut)
def count_leads(given: dict[str, Any]) -> Any:
    """Counts that both parties may see, of one launch or of all."""
    g.actor.require(Permission.LEAD_READ)
    if given["launch"] is None:
        return queries.summed(db.session, g.actor)
    return queries.launch_counts(db.session, [given["launch"]]).get(given["launch"]) or dict.fromkeys(
        ("views", "answers", "leads", "accepted", "won", "lost", "overdue"), 0
    )


@blp.get("/<uuid:lead_id>")
@blp.response(200, shapes.LeadOut)
def read_lead(lead_id: UUID) -> Lead:
    """One lead."""
    g.actor.require(Permission.LEAD_READ)
    return queries.get_lead(db.session, g.actor, lead_id)


@blp.post("/<uuid:lead_id>/accept")
@blp.response(200, shapes.LeadOut)
def accept_lead(lead_id: UUID) -> Lead:
    """Take it on."""
    with unit_of_work(g.actor) as session:
        return services.accept_lead(session, g.actor, lead_id)


@blp.post("/<uuid:lead_id>/reject")
@blp.arguments(shapes.RejectIn)
@blp.response(200, shapes.LeadOut)
def reject_lead(given: dict[str, Any], lead_id: UUID) -> Lead:
    """Turn it down, with a reason."""
    with unit_of_work(g.actor) as session:
        return services.reject_lead(session, g.actor, lead_id, **given)


@blp.post("/<uuid:lead_id>/work")
@blp.response(200, shapes.LeadOut)
def work_lead(lead_id: UUID) -> Lead:
    """Begin or take up work."""
    with unit_of_work(g.actor) as session:
        return services.work_lead(session, g.actor, lead_id)


@blp.post("/<uuid:lead_id>/win")
@blp.arguments(shapes.WinIn)
@blp.response(200, shapes.LeadOut)
def win_lead(given: dict[str, str], lead_id: UUID) -> Lead:
    """Won, with the amount."""
    with unit_of_work(g.actor) as session:
        return services.win_lead(session, g.actor, lead_id, amount=Money.parse(given["amount"], given["currency"]))


@blp.post("/<uuid:lead_id>/lose")
@blp.arguments(shapes.LoseIn)
@blp.response(200, shapes.LeadOut)
def lose_lead(given: dict[str, str], lead_id: UUID) -> Lead:
    """Lost, with why."""
    with unit_of_work(g.actor) as session:
        return services.lose_lead(session, g.actor, lead_id, **given)


@blp.post("/<uuid:lead_id>/share")
@blp.response(200, shapes.LeadOut)
def share_lead(lead_id: UUID) -> Lead:
    """Let the vendor see it."""
    with unit_of_work(g.actor) as session:
        return services.share_lead(session, g.actor, lead_id)


@blp.post("/<uuid:lead_id>/revoke")
@blp.response(200, shapes.LeadOut)
def revoke_share(lead_id: UUID) -> Lead:
    """Take the sharing back; counts stay."""
    with unit_of_work(g.actor) as session:
        return services.revoke_share(session, g.actor, lead_id)
