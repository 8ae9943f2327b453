"""/healthz (alive), /readyz (can serve), /metrics."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, abort, g, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from tcma import doctor, styleguide
from tcma.access import Permission
from tcma.config import settings
from tcma.db import db
from tcma.migrate import heads
from tcma.records import Heartbeat, Sweep

bp = Blueprint("service", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Alive: answers without touching anything."""
    return Response("ok\n", mimetype="text/plain")


@bp.get("/readyz")
def readyz() -> Response:
    """Can serve: the database answers and is at the newest revision."""
    try:
        found = set(db.session.scalars(text("SELECT version_num FROM alembic_version")))
    except SQLAlchemyError:
        return Response("the database does not answer\n", status=503, mimetype="text/plain")
    if found != heads():
        return Response("migrations are due: run `tcma migrate`\n", status=503, mimetype="text/plain")
    return Response("ready\n", mimetype="text/plain")


@bp.get("/service")
def parts() -> str:
    """For operators: each part, its state, what to do; the queues and who is alive."""
    g.actor.require(Permission.SERVICE_OPERATE)
    beats = list(db.session.scalars(select(Heartbeat).order_by(Heartbeat.part)))
    sweeps = list(db.session.scalars(select(Sweep).order_by(Sweep.name)))
    waiting = db.session.scalar(text("SELECT count(*) FROM broker.kombu_message WHERE visible"))
    return render_template("service.html", checks=doctor.examine(settings()), beats=beats, sweeps=sweeps, waiting=waiting)


@bp.get("/styleguide")
def style_guide() -> str:
    """Every component of our pages, for those who build them; in the demo only."""
    if not settings().demo:
        abort(404)
    return render_template("styleguide.html", **styleguide.example_context())


@bp.get("/metrics")
def metrics() -> Response:
    """Prometheus text, for loopback or with TCMA_METRICS_TOKEN as bearer."""
    token = settings().metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    local = request.remote_addr in ("127.0.0.1", "::1") and not settings().trusted_proxies
    if not (local or (token and hmac.compare_digest(token.encode(), given.encode()))):
        abort(404)
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
