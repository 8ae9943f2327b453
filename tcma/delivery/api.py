"""The API of launches from their start on: checks, start to cancel, totals, deliveries and mails as sent."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from flask import Response, g
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Permission
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import db, unit_of_work
from tcma.delivery import live, mails, marks, pacing, preflight, queries, reasons, returns_api, senders_api, services
from tcma.delivery import schemas as shapes
from tcma.delivery.models import TestMail
from tcma.delivery.windows import Window
from tcma.idempotency import answer_once

blp = Blueprint("api_delivery", __name__, url_prefix="/launches", description="Launches from their start on")
blueprints = [blp, senders_api.blp, returns_api.blp]
P = ParamSpec("P")
R = TypeVar("R")


def _owners(view: Callable[P, R]) -> Callable[P, R]:
    """Whose launch it is comes before what was sent along: a vendor is told 403, not what to mend."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        services.require_own(db.session, g.actor, cast(UUID, kwargs["launch_id"]))
        return view(*args, **kwargs)

    return checked


@blp.get("/<uuid:launch_id>/preflight")
@blp.response(200, shapes.PreflightOut)
def read_preflight(launch_id: UUID) -> dict[str, Any]:
    """Every check before the start, with how to mend what fails."""
    g.actor.require(Permission.LAUNCH_READ)
    verdicts = preflight.preflight(db.session, g.actor, launch_id)
    launch = campaign_queries.get_launch(db.session, g.actor, launch_id)
    people = marks.sendable(db.session, launch)
    mine = launch.partner_id == g.actor.organization_id
    mark = marks.mark_of(db.session, launch, people=people) if mine else ""
    return {"items": verdicts, "ok": not preflight.blocking(verdicts), "sendable": people, "mark": mark}


@blp.post("/<uuid:launch_id>/test")
@_owners
@blp.arguments(shapes.TestIn)
@blp.response(201, shapes.TestOut)
def send_test(given: dict[str, Any], launch_id: UUID) -> TestMail:
    """Send the mail as it is now to one address; it counts nowhere."""
    with unit_of_work(g.actor) as session:
        return services.send_test(session, g.actor, launch_id, **given)


@blp.post("/<uuid:launch_id>/start")
@_owners
@blp.arguments(shapes.StartIn)
@blp.response(202, shapes.LaunchOut)
def start_launch(given: dict[str, Any], launch_id: UUID) -> Response:
    """Start now. Asked twice it starts once. Takes an Idempotency-Key."""
    return _moved(lambda session: services.start_launch(session, g.actor, launch_id, mark=given["mark"]), 202)


@blp.post("/<uuid:launch_id>/sender")
@_owners
@blp.arguments(senders_api.SenderChoiceIn)
@blp.response(200, shapes.LaunchOut)
def choose_sender(given: dict[str, Any], launch_id: UUID) -> Response:
    """Before the start: whom the mail is from."""
    return _moved(lambda session: services.choose_sender(session, g.actor, launch_id, sender=given["sender"]), 200)


@blp.post("/<uuid:launch_id>/schedule")
@_owners
@blp.arguments(shapes.ScheduleIn)
@blp.response(200, shapes.LaunchOut)
def schedule_launch(given: dict[str, Any], launch_id: UUID) -> Response:
    """Start at a time to come."""
    return _moved(lambda session: services.schedule_launch(session, g.actor, launch_id, **given), 200)


@blp.put("/<uuid:launch_id>/pace")
@_owners
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
@_owners
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
    """Where the messages are and what came back: the partner's and the vendor's view. Some seconds old at most."""
    g.actor.require(Permission.LAUNCH_READ)
    launch = campaign_queries.get_launch(db.session, g.actor, launch_id)
    mine = launch.partner_id == g.actor.organization_id
    seen = live.look(db.session, launch) if mine else live.Look(
        clock.now(), queries.shown_totals(db.session, g.actor, launch)
    )
    breaker = live.resting(db.session) if mine and launch.status is LaunchStatus.SENDING else None
    back = queries.results(db.session, [launch.id]).get(launch.id, {})
    names = ("clicks", "clickers", "opened", "machine_clicks", "unsubscribed", "bounced", "complained")
    return {
        **seen.totals.as_dict(), "holds": seen.totals.holds, **{name: back.get(name, 0) for name in names},
        "remaining": seen.remaining, "rate": seen.rate, "waiting": seen.waits,
        "reasons": [
            {"status": status, "reason": reason, "words": reasons.words(reason), "count": number}
            for status, reason, number in seen.reasons
        ],
        "provider_rests_until": breaker.open_until if breaker else None,
    }  # fmt: skip


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
