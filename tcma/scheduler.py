"""The clock of the service: each second, messages for the sweeps that are due. It does none of their work."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Sequence

import structlog
from apscheduler.schedulers.blocking import BlockingScheduler
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from tcma import clock, sweeps
from tcma.config import settings
from tcma.logs import configure_logs
from tcma.parts import heartbeat, log_to_stderr, say_ready
from tcma.postgres import database_urls
from tcma.sweeps import Sweep
from tcma.worker import new_celery, task_modules

log = structlog.get_logger(__name__)

TICK_SECONDS = 1


def all_sweeps() -> list[Sweep]:
    """The sweeps that the task modules name; raises ValueError if two modules name the same."""
    modules = [importlib.import_module(name) for name in task_modules()]
    found: list[Sweep] = [sweep for module in modules for sweep in getattr(module, "SWEEPS", ())]
    names = [sweep.task for sweep in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"named by two task modules: {', '.join(sorted(twice))}")
    return found


def tick(engine: Engine, celery: Celery, known: Sequence[Sweep]) -> list[Sweep]:
    """Send a message for each sweep that is due, and return those sent; a failure is tried again."""
    now = clock.now()
    try:
        with engine.begin() as connection:
            due = sweeps.take_due(connection, known, now=now)
        return [sweep for sweep in due if _send(engine, celery, sweep)]
    except SQLAlchemyError as error:
        log.warning("tick_failed", error=type(error).__name__)
        return []


def _send(engine: Engine, celery: Celery, sweep: Sweep) -> bool:
    try:
        # An old message of the same sweep has nothing to add: without a worker they would pile up.
        expires = max(sweep.every_seconds, 10)
        celery.send_task(sweep.task, queue=sweep.queue, expires=expires, retry=False, ignore_result=True)
    except (OperationalError, SQLAlchemyError, OSError) as error:
        log.warning("sweep_not_sent", sweep=sweep.task, error=type(error).__name__)
        with engine.begin() as connection:
            sweeps.put_back(connection, sweep, now=clock.now())
        return False
    return True


def run() -> None:
    """Tick until SIGTERM or Ctrl-C."""
    conf = settings()
    configure_logs(conf.log_format)
    log_to_stderr()
    engine = create_engine(database_urls(conf).app, pool_size=2, max_overflow=0, pool_pre_ping=True)
    celery = new_celery(conf)
    known = all_sweeps()
    with engine.begin() as connection:
        sweeps.register(connection, known, now=clock.now())
    scheduler = BlockingScheduler(timezone="UTC")
    scheduler.add_job(
        tick, "interval", (engine, celery, known), seconds=TICK_SECONDS, coalesce=True, max_instances=1
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.shutdown(wait=True))
    with heartbeat(engine, "scheduler"):
        tick(engine, celery, known)
        say_ready()
        scheduler.start()
