"""Launches over the API, and what each role, tenant and state may do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LAUNCH_MOVES, LaunchStatus
from tcma.config import use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, planning, services
from tests.factories.cast import Cast
from tests.factories.delivery import make_draft, make_started, plan, system_of, use_sink
from tests.sinks import SmtpSink

APP = "http://localhost:8000"


class Api:
    """A client with a key."""

    def __init__(self, client: FlaskClient, headers: dict[str, str], launch_id: UUID) -> None:
        self._client, self._headers = client, headers
        self._root = f"/api/v1/launches/{launch_id}"

    def get(self, path: str) -> Any:
        return self._client.get(self._root + path, headers=self._headers, base_url=APP)

    def post(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        return self._client.post(self._root + path, json=body, headers={**self._headers, **headers}, base_url=APP)


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def test_a_launch_over_the_api(app: Flask, cast: Cast, client: FlaskClient, sink: SmtpSink) -> None:
    launch = make_draft(cast, contacts=3)
    launch_id = launch.id
    api = Api(client, cast.key(cast.partner_marketer), launch_id)
    checks = api.get("/preflight").json
    assert checks["ok"], checks
    assert {one["code"] for one in checks["items"]} >= {"campaign", "brand", "slots", "sender", "audience", "links"}
    assert api.post("/test", {"address": "me@acme.example"}).status_code == 201
    started = api.post("/start", **{"Idempotency-Key": "a-key-of-ours"})
    assert started.status_code == 202
    assert started.json["status"] == "planning"
    assert api.post("/start", **{"Idempotency-Key": "a-key-of-ours"}).json == started.json
    assert api.post("/start").status_code == 202
    plan(launch)
    engine.run_lane(launch.partner_id, launch.id)
    totals = api.get("/totals").json
    assert (totals["planned"], totals["sent"], totals["holds"]) == (3, 3, True)
    page = api.get("/deliveries?status=sent&limit=2").json
    assert len(page["items"]) == 2
    rest = api.get(f"/deliveries?status=sent&limit=2&after={page['next']}").json
    assert (len(rest["items"]), rest["next"]) == (1, None)
    mail = api.get(f"/deliveries/{page['items'][0]['id']}/mail").json
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["unsubscribe_url"] in mail["headers"]["List-Unsubscribe"]
    assert {link["url"] for link in mail["links"]} <= {part for part in mail["html"].split('"') if "/r/" in part}
    assert len(sink.accepted) == 4


def test_bad_input_is_refused_with_words(cast: Cast, client: FlaskClient, sink: SmtpSink) -> None:
    launch_id = make_draft(cast, contacts=0).id
    api = Api(client, cast.key(cast.partner_marketer), launch_id)
    refused = api.post("/start")
    assert refused.status_code == 422
    assert "Nobody is left to write to" in refused.text
    assert api.post("/test", {"address": "no address"}).status_code == 422
    assert api.post("/schedule", {"at": "2020-01-01T00:00:00Z"}).status_code == 422
    assert api.post("/schedule", {"at": "2030-01-01T00:00:00"}).status_code == 422


def test_a_rival_partner_and_another_vendor_get_404(cast: Cast, client: FlaskClient, sink: SmtpSink) -> None:
    launch_id = make_started(cast, contacts=1).id
    for stranger in (cast.rival, cast.other_vendor_admin):
        api = Api(client, cast.key(stranger), launch_id)
        for path in ("/preflight", "/totals", "/deliveries", "/deliveries/1/mail"):
            assert api.get(path).status_code in (403, 404), (stranger.name, path)
        assert api.get("/totals").status_code == 404
        for path in ("/start", "/pause", "/resume", "/cancel"):
            assert api.post(path, {}).status_code in (403, 404), (stranger.name, path)


def test_the_vendor_sees_totals_and_neither_deliveries_nor_verbs(
    cast: Cast, client: FlaskClient, sink: SmtpSink
) -> None:
    launch_id = make_started(cast, contacts=2).id
    api = Api(client, cast.key(cast.vendor_marketer), launch_id)
    assert api.get("/totals").json["planned"] == 2
    assert api.get("/deliveries").status_code == 404
    assert api.get("/deliveries/1/mail").status_code == 404
    assert api.post("/pause").status_code == 403


def in_state(cast: Cast, state: LaunchStatus) -> Launch:
    """A launch of the cast's partner in `state`, by the way that people take."""
    actor = cast.partner_marketer
    launch = make_draft(cast, contacts=1)
    system = system_of(launch)
    with unit_of_work(actor) as session:
        if state is LaunchStatus.SCHEDULED:
            services.schedule_launch(session, actor, launch.id, at=clock.now() + timedelta(days=1))
        elif state is LaunchStatus.CANCELLED:
            services.cancel_launch(session, actor, launch.id, reason="wrong list")
        elif state is not LaunchStatus.DRAFT:
            services.start_launch(session, actor, launch.id)
    if state in (LaunchStatus.SENDING, LaunchStatus.PAUSED, LaunchStatus.FINISHED):
        with unit_of_work(system) as session:
            planning.plan_launch(session, system, launch.id)
    if state is LaunchStatus.PAUSED:
        with unit_of_work(actor) as session:
            services.pause_launch(session, actor, launch.id)
    if state is LaunchStatus.FINISHED:
        engine.run_lane(launch.partner_id, launch.id)
    return launch


S = LaunchStatus
# verb → (state after it, states in which it is allowed, states in which it changes nothing and is no error)
VERBS: dict[str, tuple[LaunchStatus, set[LaunchStatus], set[LaunchStatus]]] = {
    "start": (S.PLANNING, {S.DRAFT, S.SCHEDULED}, {S.PLANNING, S.SENDING, S.FINISHED}),
    "schedule": (S.SCHEDULED, {S.DRAFT, S.SCHEDULED}, set()),
    "unschedule": (S.DRAFT, {S.SCHEDULED}, set()),
    "pause": (S.PAUSED, {S.SENDING}, {S.PAUSED}),
    "resume": (S.SENDING, {S.PAUSED}, {S.SENDING}),
    "cancel": (S.CANCELLED, {S.DRAFT, S.SCHEDULED, S.PLANNING, S.SENDING, S.PAUSED}, {S.CANCELLED}),
}


@pytest.mark.parametrize("state", list(LaunchStatus))
def test_each_verb_moves_a_launch_only_where_it_may(
    cast: Cast, client: FlaskClient, sink: SmtpSink, state: LaunchStatus
) -> None:
    headers = cast.key(cast.partner_marketer)
    for verb, (after, allowed, harmless) in VERBS.items():
        launch_id = in_state(cast, state).id
        body = {"at": (clock.now() + timedelta(days=2)).isoformat()} if verb == "schedule" else {}
        api = Api(client, headers, launch_id)
        answer = api.post(f"/{verb}", body)
        now = client.get(f"/api/v1/launches/{launch_id}", headers=headers, base_url=APP).json["status"]
        if state in allowed:
            assert answer.status_code in (200, 202), (verb, answer.text)
            assert now == after, verb
        elif state in harmless:
            assert answer.status_code in (200, 202), (verb, answer.text)
            assert now == state, verb
        else:
            assert answer.status_code == 409, (verb, answer.text)
            assert now == state, verb
    assert set(LAUNCH_MOVES) == set(LaunchStatus)
