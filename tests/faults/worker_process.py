"""A worker as the service runs it, cut down to lanes and recovery: killed and started again by the test.

python -m tests.faults.worker_process SETTINGS.json PARTNER LAUNCH [SECONDS]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from uuid import UUID

from tcma import create_app
from tcma.access import Actor, Kind
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.states import LaunchStatus
from tcma.config import Settings
from tcma.db import unit_of_work
from tcma.delivery import engine, recovery


def main() -> None:
    conf = Settings.model_validate_json(Path(sys.argv[1]).read_text())
    partner_id, launch_id = UUID(sys.argv[2]), UUID(sys.argv[3])
    until = time.monotonic() + float(sys.argv[4] if len(sys.argv) > 4 else 60)
    app = create_app(conf)
    actor = Actor.system(partner_id, Kind.PARTNER)
    with app.app_context():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while time.monotonic() < until:
            recovery.recover()
            engine.run_lane(partner_id, launch_id, seconds=5)
            with unit_of_work(actor) as session:
                launch = campaign_queries.get_launch(session, actor, launch_id)
                session.refresh(launch, ["status"])
                status = launch.status
            if status is LaunchStatus.FINISHED:
                return
            time.sleep(0.1)


if __name__ == "__main__":
    main()
