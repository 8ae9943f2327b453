"""The whole service for browser tests: its parts as processes on a database of their own, and a mail server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tcma.config import REPO
from tcma.migrate import upgrade
from tcma.postgres import EmbeddedPostgres
from tests.sinks import SmtpSink

Found = TypeVar("Found")
PARTS = ("web", "worker", "scheduler")


@dataclass
class Instance:
    """A running service. `origin` serves the app, `tracking` links and landing pages; mail ends in `sink`."""

    origin: str
    tracking: str
    sink: SmtpSink
    folder: Path
    environment: dict[str, str]
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def seed(self, what: str) -> dict[str, Any]:
        """What `tests.e2e.seed` made, by name."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.e2e.seed", what], env=self.environment, cwd=REPO,
            capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"seeding {what!r} failed:\n{done.stderr[-4000:]}")
        made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return made

    def log(self, part: str) -> str:
        """What the part said so far, its last lines."""
        return (self.folder / f"{part}.log").read_text(errors="replace")[-6000:]


def wait_for(what: str, found: Callable[[], Found | None], *, seconds: float = 30) -> Found:
    """Ask until `found` gives something; fails with `what` once the time is up."""
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, f"{what} did not happen within {seconds:.0f} seconds"
        time.sleep(0.1)
    return value


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(cluster: EmbeddedPostgres, folder: Path, *, database: str) -> Iterator[Instance]:
    """Migrate a fresh `database`, start every part on it, and end all of them afterwards."""
    cluster.create_database(database)
    owner = cluster.url("tcma_owner", database=database)
    upgrade(owner)
    port = _free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TCMA_")}
    with SmtpSink() as sink:
        environment = kept | {
            "TCMA_DATA_DIR": str(folder / "data"),
            "TCMA_DATABASE_URL": cluster.url("tcma_app", database=database),
            "TCMA_MIGRATION_URL": owner,
            "TCMA_SECRET_KEY": "for-tests-only",
            "TCMA_SUPPRESSION_KEY": "for-tests-only-too",
            "TCMA_SMTP_URL": sink.url,
            "TCMA_PORT": str(port),
            "TCMA_WEB_WORKERS": "1",
            "PYTHONPATH": str(REPO),
        }
        instance = Instance(f"http://localhost:{port}", f"http://127.0.0.1:{port}", sink, folder, environment)
        try:
            for part in PARTS:
                with (folder / f"{part}.log").open("wb") as log:
                    instance.parts[part] = subprocess.Popen(
                        [sys.executable, "-m", "tcma.cli", part], env=environment, cwd=folder,
                        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    )  # fmt: skip
            wait_for("/readyz of the web part", lambda: _ready(instance), seconds=150)
            yield instance
        finally:
            _end(instance)


def _ready(instance: Instance) -> bool:
    for name, part in instance.parts.items():
        assert part.poll() is None, f"{name} ended by itself:\n{instance.log(name)}"
    try:
        return httpx.get(f"{instance.tracking}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _end(instance: Instance) -> None:
    for part in instance.parts.values():
        part.send_signal(signal.SIGTERM)
    for part in instance.parts.values():
        try:
            part.wait(timeout=20)
        except subprocess.TimeoutExpired:
            part.kill()
            part.wait(timeout=10)
