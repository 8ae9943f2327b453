"""/metrics says how sending goes, over all tenants and without naming one."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tcma import clock
from tcma.config import use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, pacing, planning
from tcma.delivery.places import journal_folder
from tests.factories.cast import Cast
from tests.factories.delivery import make_started, system_of, use_sink
from tests.sinks import SmtpSink


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def read(client: FlaskClient) -> tuple[str, dict[str, float]]:
    page = client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"}).text
    return page, {name: float(value) for name, value in re.findall(r"^(tcma_\S+) (\S+)$", page, re.MULTILINE)}


def test_deliveries_lanes_delay_breakers_and_journals_are_measured(
    client: FlaskClient, cast: Cast, sink: SmtpSink
) -> None:
    _, before = read(client)
    launch = make_started(cast, contacts=4)
    waiting = make_started(cast, contacts=3)
    engine.run_lane(launch.partner_id, launch.id)
    dead = journal_folder() / "dead.journal"
    journal_folder().mkdir(parents=True, exist_ok=True)
    dead.write_bytes(b"")
    os.utime(dead, (time.time() - 600, time.time() - 600))
    with unit_of_work(system_of(waiting)) as session:
        planning.count_totals(session, waiting)
        pacing.note_trouble(session, "smtp.example:25", "421 busy")
    with clock.at(clock.now() + timedelta(minutes=10)):
        _, later = read(client)
    page, now = read(client)
    dead.unlink()
    with unit_of_work(system_of(waiting)) as session:
        pacing.note_health(session, "smtp.example:25")
    for status, more in (("sent", 4), ("pending", 3)):
        name = f'tcma_deliveries{{status="{status}"}}'
        assert now[name] - before[name] == more
    assert later["tcma_delivery_overdue_seconds"] >= 599
    assert now["tcma_delivery_lanes"] == 0
    assert now['tcma_provider_breaker_open{provider="smtp.example:25"}'] == 1
    assert later['tcma_provider_breaker_open{provider="smtp.example:25"}'] == 0
    assert now["tcma_delivery_journals_waiting"] - before["tcma_delivery_journals_waiting"] == 1
    for private in (cast.partner_marketer.organization_name, str(launch.partner_id), str(launch.id)):
        assert private not in page
