"""A contact file imported by the service, against COPY of the same file into a table without anything.

    python -m benchmarks.imports [--contacts 100000]

The service checks and mends each row, finds duplicates, writes contact, list and consent, and remembers its place. Each
import runs in a process of its own, so that its memory is known: once for a quarter of the rows, once for all.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.launch import Scene, scene
from benchmarks.sizes import superuser
from tcma import create_app
from tcma.access import Actor, Kind
from tcma.audience import imports, queries
from tcma.audience.states import ConsentBasis, ImportStatus
from tcma.config import REPO, Settings
from tcma.db import unit_of_work

GOAL = 0.25
HEAD = ("Email", "First name", "Last name", "Company", "Job title", "Phone", "City", "Country")


def write_file(path: Path, *, contacts: int, domain: str) -> None:
    """A file of `contacts` people."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(HEAD)
        for n in range(contacts):
            out.writerow(
                (f"p{n}@{domain}", f"Person{n}", "Müller", f"Company {n // 3}", "Head of IT", f"+4940{1000000 + n}",
                 "Hamburg", "DE")
            )  # fmt: skip


def work(settings_file: Path, partner_id: UUID, import_id: UUID) -> None:
    """One worker process: the import job, and what it took."""
    app = create_app(Settings.model_validate_json(settings_file.read_text()))
    with app.app_context():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        began = time.perf_counter()
        imports.run_import(Actor.system(partner_id, Kind.PARTNER), import_id)
        seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "memory_mb": memory, "before_mb": before}))


def imported(stage: Scene, path: Path, *, contacts: int) -> dict[str, float]:
    """Seconds and memory of one import; raises AssertionError where a contact is missing."""
    actor = stage.cast.partner_marketer
    with stage.app.app_context():
        with unit_of_work(actor) as session:
            row = imports.create_import(session, actor, filename=path.name, path=path)
        with unit_of_work(actor) as session:
            imports.queue_import(
                session, actor, row.id, mapping=row.mapping, basis=ConsentBasis.OPT_IN, basis_source="our fair",
                list_name=path.stem,
            )  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.imports", "--work", str(stage.folder / "settings.json")]
        told = subprocess.run(
            [*command, str(row.partner_id), str(row.id)], cwd=REPO, check=True, stdout=subprocess.PIPE, text=True,
            timeout=600,
        )  # fmt: skip
        with unit_of_work(actor) as session:
            found = queries.get_import(session, actor, row.id)
            session.refresh(found)
            assert found.status is ImportStatus.FINISHED, found.error
            assert found.created_count == contacts, (found.created_count, found.refused_count)
    said: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    print(f"{contacts} rows in {said['seconds']:.1f} s, {said['memory_mb']} MB", file=sys.stderr)
    return said


def copied(connection: psycopg.Connection[Any], path: Path) -> float:
    """Seconds of COPY."""
    columns = ", ".join(f"c{n} text" for n in range(len(HEAD)))
    connection.execute(f"CREATE TABLE plain ({columns})")
    began = time.perf_counter()
    statement = "COPY plain FROM STDIN (FORMAT csv, HEADER)"
    with connection.cursor() as cursor, path.open("rb") as file, cursor.copy(statement) as copy:
        while data := file.read(1 << 18):
            copy.write(data)
    seconds = time.perf_counter() - began
    connection.execute("DROP TABLE plain")
    return seconds


def run(*, contacts: int = 100_000) -> list[dict[str, Any]]:
    """The rows of this benchmark, measured on a throwaway server of its own."""
    with scene(9, contacts=0, processes=1) as stage, superuser(stage.server) as connection:
        small, large = stage.folder / "quarter.csv", stage.folder / "whole.csv"
        write_file(small, contacts=contacts // 4, domain="quarter.example")
        write_file(large, contacts=contacts, domain="whole.example")
        quarter = imported(stage, small, contacts=contacts // 4)
        whole = imported(stage, large, contacts=contacts)
        copied(connection, large)
        seconds = copied(connection, large)
    ours, peer = contacts / whole["seconds"], contacts / seconds
    return [
        {"name": f"import contacts ({contacts} rows)", "value": round(ours, 1), "unit": "rows/s",
         "peer": "COPY of the same file into a plain table", "peer_value": round(peer, 1),
         "ratio": round(ours / peer, 3), "goal": f">= {GOAL}"},
        {"name": f"memory of an import of {contacts}", "value": whole["memory_mb"], "unit": "MB",
         "peer": f"of {contacts // 4}", "peer_value": quarter["memory_mb"],
         "ratio": round(whole["memory_mb"] / quarter["memory_mb"], 3), "goal": "<= 1.1"},
    ]  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), UUID(sys.argv[3]), UUID(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contacts", type=int, default=100_000)
    for row in run(contacts=parser.parse_args().contacts):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
