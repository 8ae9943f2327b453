"""Workers by fork from one process that has imported everything, so that a hundred can die within a minute.

python -m tests.faults.zygote SETTINGS.json PARTNER LAUNCH

Each line on standard input asks for one more worker; its process id is the answer.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from uuid import UUID

from flask import Flask
from sqlalchemy.exc import OperationalError

from tcma import create_app
from tcma.access import Actor, Kind
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.states import LaunchStatus
from tcma.config import Settings
from tcma.db import unit_of_work
from tcma.delivery import engine, recovery

stopping = False


def _stop(number: int, frame: object) -> None:
    global stopping
    stopping = True


def work(app: Flask, partner_id: UUID, launch_id: UUID) -> None:
    """As a worker of the service does: recover, send, and again, also after the database was away."""
    actor = Actor.system(partner_id, Kind.PARTNER)
    until = time.monotonic() + 240
    while not stopping and time.monotonic() < until:
        try:
            with app.app_context():
                recovery.recover()
                engine.run_lane(partner_id, launch_id, seconds=5, stop=lambda: stopping)
                with unit_of_work(actor) as session:
                    launch = campaign_queries.get_launch(session, actor, launch_id)
                    session.refresh(launch, ["status"])
                    if launch.status is LaunchStatus.FINISHED:
                        return
        except OperationalError:
            # The sweeps of the service ask again in the same way.
            time.sleep(0.3)
        time.sleep(0.05)


def main() -> None:
    conf = Settings.model_validate_json(Path(sys.argv[1]).read_text())
    app = create_app(conf)
    # The children are reaped by the system.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, _stop)
            code = 1
            try:
                work(app, UUID(sys.argv[2]), UUID(sys.argv[3]))
                code = 0
            finally:
                os._exit(code)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
