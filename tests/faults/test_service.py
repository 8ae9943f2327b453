"""The whole service with two workers and two schedulers, its broker emptied and a worker ended in the middle."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tcma.postgres import EmbeddedPostgres
from tests.e2e.instance import Instance, running, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def more(instance: Instance, part: str) -> subprocess.Popen[bytes]:
    """One more of a part, as on a second host that shares the database."""
    with (instance.folder / f"{part}-2.log").open("wb") as log:
        made = subprocess.Popen(
            [sys.executable, "-m", "tcma.cli", part],
            env={**instance.environment, "TCMA_DATA_DIR": str(instance.folder / "second")},
            cwd=instance.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    instance.parts[f"{part}-2"] = made
    return made


def test_two_of_each_and_an_empty_broker_lose_nothing_and_send_nothing_twice(cluster: EmbeddedPostgres) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tcma-service-"))
    try:
        with running(cluster, folder, database="service") as instance:
            more(instance, "worker")
            more(instance, "scheduler")
            instance.sink.manners.delay = 0.004
            made = instance.seed("sending")
            owner = create_engine(instance.environment["TCMA_MIGRATION_URL"])

            def arrived(number: int) -> Any:
                return len(instance.sink.accepted) >= number

            wait_for("the first mails", lambda: arrived(100), seconds=60)
            with owner.begin() as connection:
                connection.execute(text("DELETE FROM broker.kombu_message"))
            wait_for("mails after the broker was emptied", lambda: arrived(500), seconds=60)
            first = instance.parts["worker"]
            first.send_signal(signal.SIGTERM)
            first.wait(timeout=60)
            with owner.begin() as connection:
                connection.execute(text("DELETE FROM broker.kombu_message"))
            wait_for("all mails", lambda: arrived(made["ids"]["contacts"]), seconds=120)

            def finished() -> Any:
                with cluster._connect("service") as connection:
                    return connection.execute("SELECT count(*) FROM launches WHERE status = 'finished'").fetchone() == (1,)

            wait_for("the end of the launch", finished, seconds=60)
            with cluster._connect("service") as connection:
                rows = connection.execute("SELECT status, count(*) FROM deliveries GROUP BY status").fetchall()
                starts = connection.execute(
                    "SELECT count(*) FROM audit_events WHERE action IN ('launch.start', 'launch.finish') GROUP BY action"
                ).fetchall()
            owner.dispose()
            taken = Counter(mail.recipient for mail in instance.sink.accepted)
            del instance.parts["worker"]
        assert rows == [("sent", made["ids"]["contacts"])]
        assert [address for address, times in taken.items() if times > 1] == []
        assert starts == [(1,), (1,)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
