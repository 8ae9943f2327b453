"""`tcma up` with its real parts: ordered, watched, restarted, and ended however it is asked to."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tcma.config import REPO
from tcma.part_process import PartProcess, PartState
from tcma.postgres import EmbeddedPostgres
from tcma.supervisor import port_problem, read_running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_for(what: Callable[[], Any], *, seconds: float = PATIENCE) -> Any:
    """Ask until there is an answer; fails if there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := what():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing after {seconds:.0f} s")


class Service:
    """One `tcma up` on a data folder and a free port, its output in a file."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port, self.smtp_port = free_port(), free_port()
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TCMA_")}
        return {**kept, "TCMA_DATA_DIR": str(self.data_dir), "TCMA_MAILBOX_PORT": str(self.smtp_port)}

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tcma.cli", *arguments], env=self.environment, cwd=REPO, stdout=log, stderr=log
            )

    def start(self) -> None:
        before = self.said().count("is running.")
        process = self.process = self.command("up", "--port", str(self.port))
        wait_for(lambda: process.poll() is not None or self.said().count("is running.") > before)
        assert process.poll() is None, self.said()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=90)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def parts(self) -> dict[str, int]:
        running = read_running(self.data_dir) or {"parts": {}}
        return {name: one["pid"] for name, one in running["parts"].items()}

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def clear_away(service: Service) -> None:
    if service.process and service.process.poll() is None:
        service.stop()
    embedded = EmbeddedPostgres(service.data_dir)
    embedded.stop()
    if embedded.place.home != service.data_dir:
        shutil.rmtree(embedded.place.home, ignore_errors=True)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    yield service
    clear_away(service)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that the tests of this module leave running."""
    service = Service(tmp_path_factory.mktemp("running") / "data")
    service.start()
    yield service
    clear_away(service)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_everything_starts_serves_and_stops_in_reverse(service: Service) -> None:
    service.start()
    assert service.get("/readyz") == 200
    assert list(service.parts()) == ["mailbox", "worker", "delivery", "scheduler", "web"]
    with smtplib.SMTP("127.0.0.1", service.smtp_port) as client:
        client.sendmail("a@sender.example", ["b@reader.example"], b"Subject: Hello\r\n\r\nHow are you?\r\n")
    (mail,) = (service.data_dir / "mailbox" / "new").iterdir()
    head = set(mail.read_bytes().split(b"\r\n")[:3])
    assert head == {b"Return-Path: <a@sender.example>", b"Delivered-To: b@reader.example", b"Subject: Hello"}
    pids = service.parts()
    database = EmbeddedPostgres(service.data_dir).pid()
    assert database is not None
    assert service.stop() == 0
    assert not any(alive(pid) for pid in [*pids.values(), database])
    assert not (service.data_dir / "running.json").exists()
    assert "\x1b" not in service.said()
    assert "killed" not in service.said()


def test_scheduler_and_workers_do_their_round(running: Service) -> None:
    url = EmbeddedPostgres(running.data_dir).app_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        wait_for(lambda: connection.execute("SELECT 1 FROM sweeps WHERE name = 'tcma.service.tidy'").fetchone())
        connection.execute("INSERT INTO broker.kombu_message (visible, payload, version) VALUES (false, '', 1)")
        connection.execute("UPDATE sweeps SET next_run_at = now() WHERE name = 'tcma.service.tidy'")
        wait_for(lambda: not connection.execute("SELECT 1 FROM broker.kombu_message WHERE payload = ''").fetchone())
        parts = {row[0] for row in connection.execute("SELECT part FROM heartbeats")}
        assert parts == {"worker:default,tracking", "worker:delivery", "scheduler"}
    checked = subprocess.run(
        [sys.executable, "-m", "tcma.cli", "doctor", "--json"], cwd=REPO, capture_output=True, text=True, check=False,
        env={**running.environment, "TCMA_PORT": str(running.port)},
    )  # fmt: skip
    rows = json.loads(checked.stdout)
    assert [row for row in rows if row["state"] == "fail"] == []


def test_killed_parts_come_back_and_it_is_said(running: Service) -> None:
    before = running.parts()
    for name in ("worker", "web", "scheduler"):
        os.kill(before[name], signal.SIGKILL)

    def restarted() -> bool:
        now = running.parts()
        return all(now.get(name, before[name]) != before[name] for name in ("worker", "web", "scheduler"))

    wait_for(restarted)
    wait_for(lambda: running.get("/readyz") == 200)
    assert {name: running.parts()[name] for name in ("mailbox", "delivery")} == {
        name: before[name] for name in ("mailbox", "delivery")
    }
    assert "worker was killed by SIGKILL. It is started again in 1 s." in running.said()


def test_killed_database_comes_back_and_the_service_with_it(running: Service) -> None:
    pid = EmbeddedPostgres(running.data_dir).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: EmbeddedPostgres(running.data_dir).pid() not in (None, pid))
    wait_for(lambda: running.get("/readyz") == 200)
    assert "The database ended. It is started again." in running.said()


def test_killed_supervisor_takes_its_parts_along_and_the_next_start_goes_on(service: Service) -> None:
    service.start()
    parts = service.parts()
    database = EmbeddedPostgres(service.data_dir).pid()
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    wait_for(lambda: not any(alive(pid) for pid in parts.values()), seconds=40)
    assert EmbeddedPostgres(service.data_dir).pid() == database
    service.start()
    assert service.get("/readyz") == 200
    assert EmbeddedPostgres(service.data_dir).pid() == database
    assert "is taken over" in service.said()


def test_second_start_on_the_same_folder_is_refused(running: Service) -> None:
    other = subprocess.run(
        [sys.executable, "-m", "tcma.cli", "up", "--port", str(free_port())], env=running.environment, cwd=REPO,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert other.returncode == 1
    assert f"already running for {running.data_dir} at http://localhost:{running.port}" in other.stderr
    assert running.get("/readyz") == 200


def test_taken_port_is_named_with_what_to_do(service: Service) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service.port))
        taken.listen()
        refused = service.command("up", "--port", str(service.port))
        assert refused.wait(timeout=60) == 1
    assert f"Port {service.port} on 127.0.0.1 cannot be used for the web server" in service.said()
    assert f"tcma up --port {service.port + 1}" in service.said()
    assert not (service.data_dir / "pg.key").exists()


def test_port_is_taken_also_by_a_server_that_shares_it() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "in use" in str(port_problem("127.0.0.1", taken.getsockname()[1]))


def test_part_that_never_ends_is_killed_with_its_children(tmp_path: Path) -> None:
    """A part is given its time, then its whole process group is gone."""
    said: list[str] = []
    part = PartProcess(
        "mailbox", ["mailbox"], say=said.append, print_line=lambda name, line: said.append(line), end_seconds=0.5,
        environment={"TCMA_DATA_DIR": str(tmp_path), "TCMA_MAILBOX_PORT": str(free_port())},
    )  # fmt: skip
    part.begin()

    def ready() -> bool:
        part.watch()
        return part.state is PartState.READY

    wait_for(ready, seconds=30)
    pid = part.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # it cannot answer SIGTERM
    part.end()
    assert not alive(pid)
    assert said == ["mailbox did not end in time and is killed."]


def test_failing_part_waits_longer_each_time(tmp_path: Path) -> None:
    said: list[str] = []
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        part = PartProcess(
            "mailbox", ["mailbox"], say=said.append, print_line=lambda name, line: None,
            environment={"TCMA_DATA_DIR": str(tmp_path), "TCMA_MAILBOX_PORT": str(port)},
        )  # fmt: skip
        part.begin()

        def failed_twice() -> bool:
            part.watch()
            return part.failed_starts == 2

        wait_for(failed_twice, seconds=30)
        part.end()
    waits = [int(found) for line in said for found in re.findall(r"again in (\d+) s", line)]
    assert waits == [1, 2]
