"""Workers killed in the middle of a launch: nobody gets a mail twice, and nobody is forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Barrier, Thread

import pytest
from flask import Flask
from sqlalchemy import select

from tcma.audit import AuditEvent
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import queries, services
from tcma.delivery.models import Delivery
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tests.factories.cast import Cast
from tests.factories.delivery import make_draft, make_started, plan, system_of, use_sink
from tests.sinks import SmtpSink

REPO = Path(__file__).resolve().parents[2]
CONTACTS = 2000
KILLS = 3
WORKERS = 2

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


class Workers:
    """Worker processes of one launch; each runs one lane, so one connection."""

    def __init__(self, launch: Launch, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tests.faults.worker_process", str(folder / "settings.json")]
        self._command += [str(launch.partner_id), str(launch.id)]
        (folder / "settings.json").write_text(settings().model_dump_json())
        self._running: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        made = subprocess.Popen(self._command, cwd=REPO, stdout=subprocess.PIPE, text=True)
        self._running.append(made)

    def wait_ready(self) -> None:
        for one in self._running:
            if one.stdout and not one.stdout.closed:
                assert one.stdout.readline() == "ready\n"
                one.stdout.close()

    def kill_one(self) -> None:
        victim = self._running.pop(0)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait(timeout=10)
        if victim.stdout:
            victim.stdout.close()

    def wait(self, seconds: float) -> None:
        for one in self._running:
            assert one.wait(timeout=seconds) == 0

    def end(self) -> None:
        for one in self._running:
            if one.poll() is None:
                one.kill()
            one.wait(timeout=10)
            if one.stdout:
                one.stdout.close()


def wait_until_more(sink: SmtpSink, than: int) -> None:
    deadline = time.monotonic() + 90
    while len(sink.accepted) <= than:
        assert time.monotonic() < deadline, "nothing leaves any more"
        time.sleep(0.005)


def test_kill_9_sends_nothing_twice_and_loses_nothing(app: Flask, cast: Cast, tmp_path: Path) -> None:
    log = tmp_path / "sink.log"
    with SmtpSink(log=log) as sink, app.app_context():
        sink.manners.delay = 0.001
        before = use_sink(sink.url)
        launch = make_started(cast, contacts=CONTACTS)
        launch_id, system = launch.id, system_of(launch)
        workers = Workers(launch, tmp_path)
        try:
            for _ in range(WORKERS):
                workers.start()
            workers.wait_ready()
            for kill in range(1, KILLS + 1):
                wait_until_more(sink, kill * CONTACTS // (KILLS + 3))
                workers.kill_one()
                workers.start()
            workers.wait_ready()
            workers.wait(120)
        finally:
            workers.end()
            use_settings(before)
        taken = Counter(line.split("\t")[0] for line in log.read_text().splitlines())
        with unit_of_work(system) as session:
            counted = queries.totals(session, launch_id)
            unknown = set(
                session.scalars(
                    select(Delivery.address).where(
                        Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.UNKNOWN
                    )
                )
            )
            every = set(session.scalars(select(Delivery.address).where(Delivery.launch_id == launch_id)))
            found = campaign_queries.get_launch(session, system, launch_id)
            session.refresh(found)
            status = found.status
    assert [address for address, times in taken.items() if times > 1] == []
    assert every - set(taken) <= unknown, "lost: neither in the sink's log nor unknown"
    assert len(unknown) <= KILLS * settings().delivery_connections
    assert counted == Totals(planned=CONTACTS, sent=CONTACTS - len(unknown), unknown=len(unknown))
    assert status is LaunchStatus.FINISHED


def test_start_pressed_by_two_at_once_starts_once(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_draft(cast, contacts=3)
        launch_id = launch.id
    gate, results = Barrier(2), []

    def press() -> None:
        with app.app_context():
            gate.wait()
            with unit_of_work(cast.partner_marketer) as session:
                results.append(services.start_launch(session, cast.partner_marketer, launch_id).status)

    threads = [Thread(target=press) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(timeout=30)
    assert results == [LaunchStatus.PLANNING, LaunchStatus.PLANNING]
    with app.app_context():
        plan(launch)
        plan(launch)
        with unit_of_work(system_of(launch)) as session:
            assert queries.totals(session, launch_id).planned == 3
            starts = session.scalars(
                select(AuditEvent).where(AuditEvent.object_id == str(launch_id), AuditEvent.action == "launch.start")
            ).all()
            assert len(starts) == 1


def test_a_pause_in_the_middle_stops_within_a_second_or_two(app: Flask, cast: Cast, tmp_path: Path) -> None:
    with SmtpSink() as sink, app.app_context():
        sink.manners.delay = 0.01
        before = use_sink(sink.url)
        launch = make_started(cast, contacts=600)
        launch_id, system = launch.id, system_of(launch)
        workers = Workers(launch, tmp_path)
        try:
            workers.start()
            workers.wait_ready()
            wait_until_more(sink, 20)
            with unit_of_work(cast.partner_marketer) as session:
                services.pause_launch(session, cast.partner_marketer, launch_id)
            deadline = time.monotonic() + 10
            while True:
                with unit_of_work(system) as session:
                    counted = queries.totals(session, launch_id)
                if counted.sending == 0:
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert counted.sent == len(sink.accepted)
            assert counted.pending == 600 - counted.sent > 0
            with unit_of_work(cast.partner_marketer) as session:
                services.resume_launch(session, cast.partner_marketer, launch_id)
            workers.wait(120)
        finally:
            workers.end()
            use_settings(before)
        assert len({one.recipient for one in sink.accepted}) == len(sink.accepted) == 600
