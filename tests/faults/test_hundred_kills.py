"""Faults spread over whole launches. Each ends with the sink's own log: nothing twice, nothing lost, all counted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from celery import current_app
from flask import Flask
from sqlalchemy import select

from tcma import create_app
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import REPO, Settings, settings, use_settings
from tcma.db import db, unit_of_work
from tcma.delivery import queries
from tcma.delivery.models import Delivery
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tcma.migrate import upgrade
from tcma.postgres import start_throwaway
from tests.factories.cast import Cast, make_cast
from tests.factories.delivery import make_started, system_of, use_sink
from tests.sinks import SmtpSink

WORKERS = 3

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@dataclass
class Workers:
    """Forked workers of one launch, each with as many connections as the settings say."""

    launch: Launch
    folder: Path
    alive: list[int] = field(default_factory=list)

    def __enter__(self) -> Workers:
        (self.folder / "settings.json").write_text(settings().model_dump_json())
        command = [sys.executable, "-m", "tests.faults.zygote", str(self.folder / "settings.json")]
        self._mother = subprocess.Popen(
            [*command, str(self.launch.partner_id), str(self.launch.id)],
            cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._says() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._mother.stdin is not None
        self._mother.stdin.close()
        self._mother.wait(timeout=20)
        assert self._mother.stdout is not None
        self._mother.stdout.close()

    def _says(self) -> str:
        assert self._mother.stdout is not None
        return self._mother.stdout.readline().strip()

    def start(self) -> None:
        assert self._mother.stdin is not None
        self._mother.stdin.write("one\n")
        self._mother.stdin.flush()
        self.alive.append(int(self._says()))

    def end_one(self, number: int = signal.SIGKILL) -> None:
        """End the oldest worker that still lives."""
        while self.alive:
            pid = self.alive.pop(0)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                return


@contextmanager
def sink_process(log: Path) -> Iterator[str]:
    """A fast sink in a process of its own that writes down each mail before it answers; gives its address."""
    command = [sys.executable, "benchmarks/sink.py", "--log", str(log)]
    process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"smtp://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def wait_until(holds: Callable[[], bool], *, what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} seconds: {what}"
        time.sleep(0.01)


def is_finished(launch: Launch) -> bool:
    with unit_of_work(system_of(launch)) as session:
        found = campaign_queries.get_launch(session, system_of(launch), launch.id)
        session.refresh(found, ["status"])
        return found.status is LaunchStatus.FINISHED


def lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def judge(launch: Launch, taken: Counter[str], *, planned: int, unknown_at_most: int) -> Totals:
    """What must hold whatever happened: by the receiver's own log and by our rows."""
    with unit_of_work(system_of(launch)) as session:
        counted = queries.totals(session, launch.id)
        rows = session.execute(select(Delivery.address, Delivery.status).where(Delivery.launch_id == launch.id)).all()
    by_status = {status: {row[0] for row in rows if row[1] is status} for status in DeliveryStatus}
    assert [address for address, times in taken.items() if times > 1] == [], "sent twice"
    assert {row[0] for row in rows} - set(taken) <= by_status[DeliveryStatus.UNKNOWN] | by_status[DeliveryStatus.FAILED]
    assert by_status[DeliveryStatus.SENT] <= set(taken), "said to be sent, and never arrived"
    assert counted.unknown <= unknown_at_most
    assert counted.holds
    assert counted.planned == planned
    assert (counted.pending, counted.sending) == (0, 0)
    return counted


def test_a_hundred_kills_over_a_launch_of_twenty_thousand(app: Flask, cast: Cast, tmp_path: Path) -> None:
    contacts, kills, log = 20_000, 100, tmp_path / "sink.log"
    chance = random.Random(7)
    with sink_process(log) as url, app.app_context():
        before = use_sink(url)
        launch = make_started(cast, contacts=contacts)
        try:
            with Workers(launch, tmp_path) as workers:
                for _ in range(WORKERS):
                    workers.start()
                for kill in range(1, kills + 1):
                    mark = kill * contacts // (kills + 10) - chance.randrange(100)
                    wait_until(lambda mark=mark: lines(log) >= mark, what=f"{mark} mails")  # type: ignore[misc]
                    chance.shuffle(workers.alive)
                    workers.end_one()
                    workers.start()
                    if kill % 10 == 0:
                        with unit_of_work(system_of(launch)) as session:
                            assert queries.totals(session, launch.id).holds
                wait_until(lambda: is_finished(launch), what="the end of the launch")
        finally:
            use_settings(before)
        taken = Counter(line.split("\t")[0] for line in log.read_text().splitlines())
        in_doubt = kills * settings().delivery_connections
        counted = judge(launch, taken, planned=contacts, unknown_at_most=in_doubt)
    assert counted.failed == 0
    assert counted.sent >= contacts - in_doubt


def test_a_worker_that_is_asked_to_end_leaves_nothing_unknown(app: Flask, cast: Cast, tmp_path: Path) -> None:
    contacts, log = 3_000, tmp_path / "sink.log"
    with sink_process(log) as url, app.app_context():
        before = use_sink(url)
        launch = make_started(cast, contacts=contacts)
        try:
            with Workers(launch, tmp_path) as workers:
                for _ in range(WORKERS):
                    workers.start()
                for turn in range(1, 6):
                    wait_until(lambda turn=turn: lines(log) >= turn * 400, what="mails leave")  # type: ignore[misc]
                    workers.end_one(signal.SIGTERM)
                    workers.start()
                wait_until(lambda: is_finished(launch), what="the end of the launch")
        finally:
            use_settings(before)
        taken = Counter(line.split("\t")[0] for line in log.read_text().splitlines())
        judge(launch, taken, planned=contacts, unknown_at_most=0)


def test_a_server_with_bad_manners_loses_nothing(app: Flask, cast: Cast, tmp_path: Path) -> None:
    """It answers 421, 451 and 452, hangs up before the final dot, and after it without a word."""
    contacts = 600
    log = tmp_path / "sink.log"
    with SmtpSink(log=log) as sink, app.app_context():
        before = use_sink(sink.url)
        launch = make_started(cast, contacts=contacts)
        with unit_of_work(system_of(launch)) as session:
            people = list(session.scalars(select(Delivery.address).where(Delivery.launch_id == launch.id)))
        chance = random.Random(11)
        chance.shuffle(people)
        manners = sink.manners
        manners.refuse_times = 1
        manners.rcpt = dict.fromkeys(people[:20], "451 4.7.1 try again") | dict.fromkeys(people[20:40], "452 4.2.2 full")
        manners.dot = dict.fromkeys(people[40:50], "451 4.3.0 try again") | {people[50]: "554 5.7.1 no"}
        manners.goodbye_after = 40
        manners.cut_in_message = set(people[60:70])
        taken_unsaid, dropped = set(people[70:80]), set(people[80:90])
        manners.cut_after_dot, manners.cut_unlogged = taken_unsaid, dropped
        try:
            with Workers(launch, tmp_path) as workers:
                for _ in range(WORKERS):
                    workers.start()

                def all_tried() -> bool:
                    # What was refused for now is due later than a test can wait for.
                    with unit_of_work(system_of(launch)) as session:
                        session.execute(
                            Delivery.__table__.update()  # type: ignore[attr-defined]
                            .where(Delivery.launch_id == launch.id, Delivery.status == DeliveryStatus.PENDING)
                            .values(due_at=launch.created_at)
                        )
                    manners.cut_in_message = set()
                    return is_finished(launch)

                wait_until(lambda: len(sink.accepted) > contacts * 0.8, what="most mails")
                wait_until(all_tried, what="the end of the launch")
        finally:
            use_settings(before)
        taken = Counter(line.split("\t")[0] for line in log.read_text().splitlines())
        counted = judge(launch, taken, planned=contacts, unknown_at_most=len(taken_unsaid | dropped))
        assert counted.unknown == 20, "each drop after the dot is unknown, and nothing else is"
        assert counted.failed == 1


def test_a_database_that_restarts_loses_nothing(tmp_path: Path) -> None:
    contacts, log = 4_000, tmp_path / "sink.log"
    server = start_throwaway(tmp_path / "pg")
    before = None
    tasks = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        server.create_database("restarted")
        owner = server.url("tcma_owner", database="restarted")
        upgrade(owner)
        with sink_process(log) as url:
            conf = Settings(
                _env_file=None, data_dir=tmp_path / "data", database_url=server.url("tcma_app", database="restarted"),
                migration_url=owner, secret_key="restart", suppression_key="restart", smtp_url=url,
                broker_url="memory://",
            )  # fmt: skip
            before = settings()
            app = create_app(conf)
            with app.app_context():
                launch = make_started(make_cast(app), contacts=contacts)
                with Workers(launch, tmp_path) as workers:
                    for _ in range(WORKERS):
                        workers.start()
                    for turn in (1, 2):
                        wait_until(lambda turn=turn: lines(log) >= turn * 1_000, what="mails leave")  # type: ignore[misc]
                        db.session.close()
                        db.engine.dispose()
                        server.stop()
                        server.start()
                    wait_until(lambda: is_finished(launch), what="the end of the launch")
                taken = Counter(line.split("\t")[0] for line in log.read_text().splitlines())
                judge(launch, taken, planned=contacts, unknown_at_most=0)
                db.session.close()
                db.engine.dispose()
    finally:
        if before is not None:
            use_settings(before)
        # The application of this test is gone; tasks of others work for theirs.
        tasks.set_current()
        tasks.set_default()
        server.remove()
