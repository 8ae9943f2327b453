"""A launch sent by worker processes, against a plain sender of the same bytes to the same sink.

    python -m benchmarks.launch [--contacts 10000] [--processes 3]

Each worker process runs one lane over one connection: claim, compose for each contact, journal, send, record. The
plain sender hands the bytes of one of these mails over as often, from as many processes, and keeps no record.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from tcma import create_app
from tcma.config import REPO, Settings
from tcma.db import db, unit_of_work
from tcma.delivery import engine, queries
from tcma.delivery.composing import Composer
from tcma.migrate import upgrade
from tcma.postgres import start_throwaway
from tests.factories.cast import make_cast
from tests.factories.delivery import make_started, system_of

GOAL = 0.3


@contextmanager
def sink() -> Iterator[int]:
    """A sink process; gives its port."""
    process = subprocess.Popen([sys.executable, "benchmarks/sink.py"], cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().split()[1])
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def work(settings_file: Path, partner_id: UUID, launch_id: UUID) -> None:
    """One worker process: ready, go, and at the end what it did."""
    app = create_app(Settings.model_validate_json(settings_file.read_text()))
    with app.app_context():
        db.session.connection()
        db.session.rollback()
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.process_time()
        sent, more = 0, True
        while more:
            report = engine.run_lane(partner_id, launch_id, seconds=60)
            sent, more = sent + report.sent, report.more
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"sent": sent, "memory_mb": memory, "cpu_ms": round((time.process_time() - began) * 1000)}), flush=True)


def send_launch(folder: Path, partner_id: UUID, launch_id: UUID, *, processes: int) -> tuple[float, list[dict[str, int]]]:
    """(seconds from go to the last record, what each worker says)."""
    command = [sys.executable, "-m", "benchmarks.launch", "--work", str(folder / "settings.json")]
    command += [str(partner_id), str(launch_id)]
    running = [
        subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [json.loads(one.communicate(timeout=900)[0]) for one in running]
    return time.perf_counter() - began, said


def send_plainly(port: int, data: bytes, *, messages: int, processes: int) -> float:
    """Messages a second of as many plain senders."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data.replace(b"\r\n.", b"\r\n.."))
        file.flush()
        command = [sys.executable, "benchmarks/plain_sender.py", str(port), "--connections", "1", "--file", file.name]
        command += ["--messages", str(messages // processes)]
        began = time.perf_counter()
        running = [subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        rates = [json.loads(one.communicate(timeout=600)[0])["per_second"] for one in running]
        seconds = time.perf_counter() - began
    # Each measures itself without its start-up; together they cannot be faster than all they sent by the clock allows.
    return min(sum(rates), messages / max(0.001, seconds - 0.1))


def run(*, contacts: int = 10_000, processes: int = 3) -> list[dict[str, Any]]:
    """The rows of this benchmark, measured on a throwaway server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="tcma-bench-"))
    server = start_throwaway(folder / "pg")
    try:
        with sink() as port:
            return _measure(server, folder, port, contacts=contacts, processes=processes)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(server: Any, folder: Path, port: int, *, contacts: int, processes: int) -> list[dict[str, Any]]:
    server.create_database("bench")
    owner = server.url("tcma_owner", database="bench")
    upgrade(owner)
    conf = Settings(
        _env_file=None, data_dir=folder / "data", database_url=server.url("tcma_app", database="bench"),
        migration_url=owner, secret_key="bench", suppression_key="bench", smtp_url=f"smtp://127.0.0.1:{port}",
        broker_url="memory://", delivery_lanes=processes,
    )  # fmt: skip
    (folder / "settings.json").write_text(conf.model_dump_json())
    app = create_app(conf)
    with app.app_context():
        cast = make_cast(app)
        print(f"making {contacts} contacts …", file=sys.stderr)
        launch = make_started(cast, contacts=contacts)
        system = system_of(launch)
        with unit_of_work(system) as session:
            row = queries.list_deliveries(session, system, launch.id, limit=1)[0]
            contact = {"email": row.address, "first_name": "Person0", "full_name": "Person0 Müller"}
            data = bytes(Composer.of_launch(session, launch).message(row.id, row.address, contact))
        partner_id, launch_id = launch.partner_id, launch.id
    print(f"sending {contacts} mails of {len(data)} bytes from {processes} processes …", file=sys.stderr)
    seconds, said = send_launch(folder, partner_id, launch_id, processes=processes)
    with app.app_context():
        with unit_of_work(system) as session:
            counted = queries.totals(session, launch_id)
        db.engine.dispose()
    assert counted.holds
    assert counted.sent == contacts == sum(one["sent"] for one in said), counted
    peer = send_plainly(port, data, messages=contacts, processes=processes)
    rate = contacts / seconds
    per_mail = sum(one["cpu_ms"] for one in said) * 1000 / contacts
    print(f"{per_mail:.0f} microseconds of CPU a mail in the workers, {seconds:.1f} s in all", file=sys.stderr)
    about = f"{contacts} mails of {len(data) // 1000} KB, {processes} processes"
    return [
        {"name": f"send a launch ({about})", "value": round(rate, 1), "unit": "mails/s",
         "peer": "plain sender of the same bytes", "peer_value": round(peer, 1), "ratio": round(rate / peer, 3),
         "goal": f">= {GOAL}"},
        {"name": "memory of a sending process", "value": max(one["memory_mb"] for one in said), "unit": "MB", "peer": "",
         "peer_value": None, "ratio": None, "goal": "<= 300"},
    ]  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), UUID(sys.argv[3]), UUID(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=3)
    given = parser.parse_args()
    for row in run(contacts=given.contacts, processes=given.processes):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
