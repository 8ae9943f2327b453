"""The API of launches from their start on: checks, start to cancel, totals, deliveries and mails as sent."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, g
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from tcma.access import Permission
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.db import db, unit_of_work
from tcma.delivery import mails, pacing, preflight, queries, returns_api, senders_api, services
from tcma.delivery import schemas as shapes
from tcma.delivery.models import TestMail
from tcma.delivery.windows import Window
from tcma.idempotency import answer_once

blp = Blueprint("api_delivery", __name__, url_prefix="/launches", description="Launches from their start on")
blueprints = [blp, senders_api.blp, returns_api.blp]


@blp.get("/<uuid:launch_id>/preflight")
@blp.response(200, shapes.PreflightOut)
def read_preflight(launch_id: UUID) -> dict[str, Any]:
    """Every check before the start, with how to mend what fails."""
    g.actor.require(Permission.LAUNCH_READ)
    verdicts = preflight.preflight(db.session, g.actor, launch_id)
    return {"items": verdicts, "ok": not preflight.blocking(verdicts)}


@blp.post("/<uuid:launch_id>/test")
@blp.arguments(shapes.TestIn)
@blp.response(201, shapes.TestOut)
def send_test(given: dict[str, Any], launch_id: UUID) -> TestMail:
    """Send the mail as it is now to one address; it counts nowhere."""
    with unit_of_work(g.actor) as session:
        return services.send_test(session, g.actor, launch_id, **given)


@blp.post("/<uuid:launch_id>/start")
@blp.response(202, shapes.LaunchOut)
def start_launch(launch_id: UUID) -> Response:
    """Start now. Asked twice it starts once. Takes an Idempotency-Key."""
    return _moved(lambda session: services.start_launch(session, g.actor, launch_id), 202)


@blp.post("/<uuid:launch_id>/sender")
@blp.arguments(senders_api.SenderChoiceIn)
@blp.response(200, shapes.LaunchOut)
def choose_sender(given: dict[str, Any], launch_id: UUID) -> Response:
    """Before the start: whom the mail is from."""
    return _moved(lambda session: services.choose_sender(session, g.actor, launch_id, sender=given["sender"]), 200)


@blp.post("/<uuid:launch_id>/schedule")
@blp.arguments(shapes.ScheduleIn)
@blp.response(200, shapes.LaunchOut)
def schedule_launch(given: dict[str, Any], launch_id: UUID) -> Response:
    """Start at a time to come."""
    return _moved(lambda session: services.schedule_launch(session, g.actor, launch_id, at=given["at"]), 200)


@blp.put("/<uuid:launch_id>/pace")
@blp.arguments(shapes.PaceIn)
@blp.response(200, shapes.LaunchOut)
def save_pace(given: dict[str, Any], launch_id: UUID) -> Launch:
    """Before the start: the hours in which mail may arrive, by each recipient's clock, and when it is too late."""
    days = frozenset(given["days"])
    window = Window(given["since"], given["until"], days) if given["since"] and given["until"] else None
    with unit_of_work(g.actor) as session:
        return pacing.save_pace(session, g.actor, launch_id, window=window, late_hours=given["late_hours"])


@blp.post("/<uuid:launch_id>/unschedule")
@blp.response(200, shapes.LaunchOut)
def unschedule_launch(launch_id: UUID) -> Response:
    """Make it a draft again."""
    return _moved(lambda session: services.unschedule_launch(session, g.actor, launch_id), 200)


@blp.post("/<uuid:launch_id>/pause")
@blp.response(200, shapes.LaunchOut)
def pause_launch(launch_id: UUID) -> Response:
    """Hand over nothing more until it is resumed."""
    return _moved(lambda session: services.pause_launch(session, g.actor, launch_id), 200)


@blp.post("/<uuid:launch_id>/resume")
@blp.response(200, shapes.LaunchOut)
def resume_launch(launch_id: UUID) -> Response:
    """Go on where it was paused."""
    return _moved(lambda session: services.resume_launch(session, g.actor, launch_id), 200)


@blp.post("/<uuid:launch_id>/cancel")
@blp.arguments(shapes.CancelIn)
@blp.response(200, shapes.LaunchOut)
def cancel_launch(given: dict[str, Any], launch_id: UUID) -> Response:
    """End it for good: what is pending is skipped."""
    return _moved(lambda session: services.cancel_launch(session, g.actor, launch_id, reason=given["reason"]), 200)


def _moved(work: Callable[[Session], Launch], status: int) -> Response:
    return answer_once(lambda session: (shapes.plain(shapes.LaunchOut(), work(session)), status))


@blp.get("/<uuid:launch_id>/totals")
@blp.response(200, shapes.TotalsOut)
def read_totals(launch_id: UUID) -> dict[str, Any]:
    """Where the messages are and what came back: the partner's and the vendor's view."""
    g.actor.require(Permission.LAUNCH_READ)
    launch = campaign_queries.get_launch(db.session, g.actor, launch_id)
    counted = queries.shown_totals(db.session, g.actor, launch)
    back = queries.results(db.session, [launch.id]).get(launch.id, {})
    names = ("clicks", "clickers", "opened", "machine_clicks", "unsubscribed", "bounced", "complained")
    return {**counted.as_dict(), "holds": counted.holds, **{name: back.get(name, 0) for name in names}}


@blp.get("/<uuid:launch_id>/deliveries")
@blp.arguments(shapes.DeliveriesIn, location="query")
@blp.response(200, shapes.DeliveriesOut)
def list_deliveries(given: dict[str, Any], launch_id: UUID) -> dict[str, Any]:
    """One row a message, by id. The partner's own launches only."""
    g.actor.require(Permission.LAUNCH_READ)
    found = queries.list_deliveries(db.session, g.actor, launch_id, **given)
    return {"items": found, "next": str(found[-1].id) if len(found) == given["limit"] else None}


@blp.get("/<uuid:launch_id>/deliveries/<int:delivery_id>/mail")
@blp.response(200, shapes.MailOut)
def read_mail(launch_id: UUID, delivery_id: int) -> mails.MailAsSent:
    """The mail of one delivery, made again from what the launch froze."""
    g.actor.require(Permission.LAUNCH_READ)
    return mails.mail_as_sent(db.session, g.actor, launch_id, delivery_id)
