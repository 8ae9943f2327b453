"""A launch sent by worker processes, against Postfix' load generator to the same sink.

    python -m benchmarks.launch [--contacts 10000] [--processes 2] [--connections 3] [--rounds 5]

Each worker process runs one lane over a few connections: claim, compose for each contact with five tracked links,
journal, send, record. `smtp-source` hands over as many messages of the same size from as many connections, makes
nothing and keeps no record. Where Postfix' tools cannot be had, a plain-socket sender of one of these mails' bytes
takes its place, and a sink of ours theirs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from flask import Flask

from benchmarks.postfix import Tools, smtp_sink, smtp_source, tools
from tcma import create_app
from tcma.access import Actor, Kind
from tcma.audience.models import ContactList
from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns import services as campaign_services
from tcma.campaigns.models import Campaign, Launch
from tcma.config import REPO, Settings, settings
from tcma.db import db, unit_of_work
from tcma.delivery import engine, queries, services
from tcma.delivery.composing import Composer
from tcma.migrate import upgrade
from tcma.parts import keep_what_is_loaded
from tcma.postgres import EmbeddedPostgres, start_throwaway
from tests.factories.cast import Cast, make_cast
from tests.factories.delivery import make_brand, make_contacts, plan, use_sink

GOAL = 0.6
MAIL = Path(__file__).with_name("mail.mjml")


@contextmanager
def sink(*, latency: float = 0) -> Iterator[int]:
    """A sink process; gives its port."""
    command = [sys.executable, "benchmarks/sink.py", "--latency", str(latency)]
    process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)
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
        keep_what_is_loaded()
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.process_time()
        sent, more = 0, True
        while more:
            report = engine.run_lane(partner_id, launch_id, seconds=60)
            sent, more = sent + report.sent, report.more
    memory = _peak_memory()
    print(
        json.dumps({"sent": sent, "memory_mb": memory, "cpu_ms": round((time.process_time() - began) * 1000)}),
        flush=True,
    )


def _peak_memory() -> int:
    """MB at the most since this program began; what getrusage says includes the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def send_launch(
    folder: Path, partner_id: UUID, launch_id: UUID, *, processes: int
) -> tuple[float, list[dict[str, int]]]:
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
    said = [_last_words(one) for one in running]
    seconds = time.perf_counter() - began
    for one in running:
        one.communicate(timeout=60)
    return seconds, said


def _last_words(process: subprocess.Popen[str]) -> dict[str, int]:
    """What a process says when its work is done; how long Python then takes to end is not measured."""
    assert process.stdout is not None
    said: dict[str, int] = json.loads(process.stdout.readline())
    return said


def send_plainly(port: int, data: bytes, *, messages: int, processes: int, connections: int) -> float:
    """Messages a second of as many plain senders with as many connections."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data.replace(b"\r\n.", b"\r\n.."))
        file.flush()
        command = [sys.executable, "benchmarks/plain_sender.py", str(port), "--connections", str(connections), "--file", file.name]
        command += ["--messages", str(messages // processes), "--wait"]
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
        for one in running:
            _last_words(one)
        seconds = time.perf_counter() - began
        for one in running:
            one.communicate(timeout=60)
        return messages / seconds


@dataclass
class Scene:
    """A service with people to write to, on a throwaway server; each `launch` is a new one to all of them."""

    app: Flask
    server: EmbeddedPostgres
    folder: Path
    cast: Cast
    people: ContactList
    campaign: Campaign
    contacts: int
    processes: int
    connections: int
    """Of each process."""

    def send_to(self, url: str) -> None:
        """Send to another server from now on."""
        use_sink(url)
        (self.folder / "settings.json").write_text(settings().model_dump_json())

    def launch(self) -> Launch:
        """A launch that is planned and sending; nothing has left yet."""
        with self.app.app_context():
            made = self.start()
            plan(made)
            return made

    def start(self) -> Launch:
        """A launch that waits for its planning; call it within the application's context."""
        actor = self.cast.partner_marketer
        with unit_of_work(actor) as session:
            made = launches.create_launch(session, actor, self.campaign.id)
            launches.save_audience(session, actor, made.id, lists=[self.people.id], exclude_lists=[])
        with unit_of_work(actor) as session:
            services.start_launch(session, actor, made.id)
        return made

    def sample(self, launch_id: UUID) -> bytes:
        """One of its mails as bytes."""
        system = Actor.system(self.cast.partner_marketer.organization_id, Kind.PARTNER)
        with self.app.app_context(), unit_of_work(system) as session:
            row = queries.list_deliveries(session, system, launch_id, limit=1)[0]
            contact = {"email": row.address, "first_name": "Person0", "full_name": "Person0 Müller"}
            launch = campaign_queries.get_launch(session, system, launch_id)
            return bytes(Composer.of_launch(session, launch).message(row.id, row.address, contact))

    def send(self) -> tuple[float, list[dict[str, int]], UUID]:
        """Seconds for a whole launch, what the workers say of themselves, and which launch."""
        made = self.launch()
        partner_id, launch_id = made.partner_id, made.id
        seconds, said = send_launch(self.folder, partner_id, launch_id, processes=self.processes)
        system = Actor.system(partner_id, Kind.PARTNER)
        with self.app.app_context():
            with unit_of_work(system) as session:
                counted = queries.totals(session, launch_id)
            db.engine.dispose()
        assert counted.holds
        assert counted.sent == self.contacts == sum(one["sent"] for one in said), counted
        return seconds, said, launch_id


def make_campaign(actor: Actor) -> Campaign:
    """The mail of this benchmark, published to all partners."""
    with unit_of_work(actor) as session:
        made = campaign_services.create_campaign(
            session, actor, name="Four evenings", subject="Four evenings for {{ contact.company }}",
            mjml=MAIL.read_text(),
        )  # fmt: skip
        campaign_services.publish_campaign(session, actor, made.id, partner_ids=None)
    return made


@contextmanager
def scene(port: int, *, contacts: int, processes: int, connections: int = 1) -> Iterator[Scene]:
    """A service on a throwaway server that sends to `port`."""
    folder = Path(tempfile.mkdtemp(prefix="tcma-bench-"))
    server = start_throwaway(folder / "pg")
    try:
        server.create_database("bench")
        owner = server.url("tcma_owner", database="bench")
        upgrade(owner)
        conf = Settings(
            _env_file=None, data_dir=folder / "data", database_url=server.url("tcma_app", database="bench"),
            migration_url=owner, secret_key="bench", suppression_key="bench", smtp_url=f"smtp://127.0.0.1:{port}",
            broker_url="memory://", delivery_lanes=processes, delivery_connections=connections,
        )  # fmt: skip
        (folder / "settings.json").write_text(conf.model_dump_json())
        app = create_app(conf)
        with app.app_context():
            cast = make_cast(app)
            print(f"making {contacts} contacts …", file=sys.stderr)
            make_brand(cast.partner_marketer)
            campaign = make_campaign(cast.vendor_marketer)
            people = make_contacts(cast.partner_marketer, contacts)
        yield Scene(app, server, folder, cast, people, campaign, contacts, processes, connections)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def receiver(found: Tools | None) -> Iterator[int]:
    """Postfix' sink, or ours; gives its port."""
    with smtp_sink(found) if found else sink() as port:
        yield port


def measure_rate(*, contacts: int, processes: int, connections: int, rounds: int) -> list[dict[str, Any]]:
    """As fast as it goes: our rate against the peer's, in turns, and the median of the turns' ratios."""
    found = tools()
    ours, peers, ratios, memory = [], [], [], 0
    with receiver(found) as port, scene(port, contacts=contacts, processes=processes, connections=connections) as stage:
        for turn in range(1, rounds + 1):
            seconds, said, launch_id = stage.send()
            data = stage.sample(launch_id)
            lines = processes * connections
            if found:
                peer = smtp_source(found, port, size=len(data), messages=contacts, connections=lines)
            else:
                peer = send_plainly(port, data, messages=contacts, processes=processes, connections=connections)
            ours.append(contacts / seconds)
            peers.append(peer)
            ratios.append(ours[-1] / peer)
            memory = max(memory, *(one["memory_mb"] for one in said))
            cpu = sum(one["cpu_ms"] for one in said) * 1000 / contacts
            print(
                f"turn {turn}: {ours[-1]:,.0f} of {peer:,.0f} mails/s ({ratios[-1]:.3f}); "
                f"{cpu:.0f} microseconds of CPU a mail in the workers", file=sys.stderr,
            )  # fmt: skip
    about = f"{contacts} mails of {len(data) // 1000} KB, {processes} processes x {connections} connections"
    return [
        {"name": f"send a launch ({about})", "value": round(median(ours), 1), "unit": "mails/s",
         "peer": "Postfix smtp-source" if found else "plain sender of the same bytes",
         "peer_value": round(median(peers), 1), "ratio": round(median(ratios), 3), "goal": f">= {GOAL}",
         "spread": [round(min(ratios), 3), round(max(ratios), 3)]},
        {"name": f"memory of a sending process ({contacts} mails)", "value": memory, "unit": "MB", "peer": "",
         "peer_value": None, "ratio": None, "goal": "<= 300"},
    ]  # fmt: skip


def measure_latency(*, milliseconds: int, contacts: int, processes: int, connections: int) -> dict[str, Any]:
    """A far server: our rate against connections ÷ latency, which no sender of one mail at a time can pass."""
    with (
        sink(latency=milliseconds / 1000) as port,
        scene(port, contacts=contacts, processes=processes, connections=connections) as stage,
    ):
        seconds, said, _ = stage.send()
    rate, memory = contacts / seconds, max(one["memory_mb"] for one in said)
    limit = processes * connections * 1000 / milliseconds
    about = f"{contacts} mails, {processes} processes of {memory} MB x {connections} connections"
    return {
        "name": f"send to a server {milliseconds} ms away ({about})", "value": round(rate, 1), "unit": "mails/s",
        "peer": "connections / latency", "peer_value": round(limit, 1), "ratio": round(rate / limit, 3),
        "goal": ">= 0.9",
    }  # fmt: skip


def run(
    *, contacts: int = 10_000, many: int = 100_000, processes: int = 2, connections: int = 3, rounds: int = 5
) -> list[dict[str, Any]]:
    """The rows of this benchmark, each measured on a throwaway server of its own."""
    shape = {"processes": processes, "connections": connections}
    rows = measure_rate(contacts=contacts, rounds=rounds, **shape)
    if many:
        rows += measure_rate(contacts=many, rounds=min(rounds, 3), **shape)
    for milliseconds in (5, 20):
        # As many connections as bring the limit to the same rate: the way is what is measured, not the processor.
        far = {"processes": processes, "connections": connections * milliseconds // 5}
        for mails in (contacts, many):
            if mails:
                rows.append(measure_latency(milliseconds=milliseconds, contacts=mails, **far))
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), UUID(sys.argv[3]), UUID(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--connections", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    for row in measure_rate(**vars(parser.parse_args())):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
