"""Workers that are killed -9 a hundred times while they send one launch, judged by the receiver's own log.

    python -m benchmarks.kills [--contacts 20000] [--kills 100]

Each kill may leave one mail a connection unknown: the one whose end nobody saw.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from sqlalchemy import select

from benchmarks.launch import Scene, scene
from tcma.campaigns.models import Launch
from tcma.config import settings
from tcma.db import unit_of_work
from tcma.delivery.models import Delivery
from tcma.delivery.states import DeliveryStatus
from tests.factories.delivery import system_of
from tests.faults.test_hundred_kills import WORKERS, Workers, is_finished, lines, sink_process, wait_until


def kill_through(stage: Scene, launch: Launch, *, kills: int) -> None:
    """Send the launch, and kill one of the workers `kills` times, spread over the whole of it."""
    log, chance, contacts = stage.folder / "sink.log", random.Random(7), stage.contacts
    with Workers(launch, stage.folder) as workers:
        for _ in range(WORKERS):
            workers.start()
        for kill in range(1, kills + 1):
            mark = kill * contacts // (kills + 10) - chance.randrange(max(1, contacts // (2 * kills)))
            wait_until(lambda mark=mark: lines(log) >= mark, what=f"{mark} mails")  # type: ignore[misc]
            chance.shuffle(workers.alive)
            workers.end_one()
            workers.start()
            if kill % 10 == 0:
                print(f"{kill} kills, {lines(log)} mails", file=sys.stderr)
        wait_until(lambda: is_finished(launch), what="the end of the launch")


def judged(taken: Counter[str], rows: dict[str, DeliveryStatus]) -> dict[str, int]:
    """By the receiver's log and our rows: mails taken twice, mails lost, and deliveries that are unknown.

    Lost is an address that got nothing while we say neither `unknown` nor `failed` of it.
    """
    told = (DeliveryStatus.UNKNOWN, DeliveryStatus.FAILED)
    return {
        "twice": sum(1 for times in taken.values() if times > 1),
        "lost": sum(1 for address, status in rows.items() if address not in taken and status not in told),
        "unknown": sum(1 for status in rows.values() if status is DeliveryStatus.UNKNOWN),
    }


def run(*, contacts: int = 20_000, kills: int = 100) -> list[dict[str, Any]]:
    """The rows of this benchmark, measured on a throwaway server of its own."""
    # The workers are told of the sink's port before it is known where its log lies; the folder comes first.
    with scene(0, contacts=contacts, processes=WORKERS) as stage, sink_process(stage.folder / "sink.log") as url:
        stage.send_to(url)
        launch = stage.launch()
        with stage.app.app_context():
            began = time.perf_counter()
            kill_through(stage, launch, kills=kills)
            seconds = time.perf_counter() - began
            with unit_of_work(system_of(launch)) as session:
                found = session.execute(
                    select(Delivery.address, Delivery.status).where(Delivery.launch_id == launch.id)
                ).all()
        taken = Counter(line.split("\t")[0] for line in (stage.folder / "sink.log").read_text().splitlines())
    counted = judged(taken, {row[0]: row[1] for row in found})
    assert len(found) == contacts, len(found)
    print(f"{contacts} mails in {seconds:.1f} s in spite of {kills} kills: {counted}", file=sys.stderr)
    about = f"{kills} times kill -9 in a launch of {contacts}"
    limit = settings().delivery_connections * kills
    return [
        {"name": f"mails unknown after {about}", "value": counted["unknown"], "unit": "mails",
         "peer": "connections x kills", "peer_value": limit, "ratio": round(counted["unknown"] / limit, 3),
         "goal": "<= 1"},
        _none("mails sent twice", counted["twice"]),
        _none("mails lost without a word", counted["lost"]),
    ]  # fmt: skip


def _none(name: str, value: int) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "mails", "peer": "", "peer_value": None, "ratio": None, "goal": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=100)
    given = parser.parse_args()
    for row in run(contacts=given.contacts, kills=given.kills):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
