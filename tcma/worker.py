"""The Celery application and the worker part.

Messages are JSON and small; whatever must happen is a row first. Without TCMA_BROKER_URL the database is the
broker, with kombu's tables in the schema `broker` (migrations/broker.sql).
"""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celery import Celery, Task
from celery.concurrency import get_implementation
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_ready
from kombu import pools
from kombu.entity import Queue
from kombu.transport.sqlalchemy import Channel
from sqlalchemy import create_engine

from tcma.config import Settings, settings
from tcma.parts import heartbeat, log_to_stderr, say_ready
from tcma.postgres import database_urls

if TYPE_CHECKING:
    from flask import Flask

QUEUES = ("default", "delivery", "tracking")
# Rooms with tasks, and the shell's own. A module that is not there yet has no tasks.
TASK_MODULES = (
    "tcma.accounts.tasks", "tcma.assets.tasks", "tcma.audience.tasks", "tcma.campaigns.tasks",
    "tcma.delivery.tasks", "tcma.leads.tasks", "tcma.mdf.tasks", "tcma.insights.tasks", "tcma.outbox",
    "tcma.service_tasks",
)  # fmt: skip


def broker_url(conf: Settings) -> str:
    """Celery's broker: TCMA_BROKER_URL, or the database through kombu's SQLAlchemy transport."""
    return conf.broker_url or f"sqla+{database_urls(conf).app}"


def new_celery(conf: Settings) -> Celery:
    """A Celery application that can send; tasks need `make_celery`."""
    celery = Celery("tcma", set_as_current=False)
    url = broker_url(conf)
    celery.conf.update(
        broker_url=url,
        broker_transport_options=_transport_options(url),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_default_queue="default",
        task_queues=[Queue(name) for name in QUEUES],  # type: ignore[no-untyped-call]
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_pool="threads",
        worker_concurrency=conf.worker_threads,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        timezone="UTC",
    )
    return celery


def _transport_options(url: str) -> dict[str, Any]:
    if url.startswith(("sqla+", "sqlalchemy+")):
        # These go to create_engine. The schema is put in front of each table, for a search path set at
        # connect would not outlive a connection pooler.
        translate = {"schema_translate_map": {None: "broker"}}
        return {"execution_options": translate, "pool_pre_ping": True, "pool_recycle": 1800}
    if url.startswith(("redis", "rediss")):
        # An unacknowledged message comes again after this long; rows see to it that it does nothing twice.
        return {"visibility_timeout": 6 * 3600}
    return {}


def make_celery(app: Flask) -> Celery:
    """The Celery application of `app`: each task runs in a fresh application context with its own session.

    It becomes the process's current one, and is `app.extensions["celery"]`. Sending needs only the names of
    tasks; the worker loads them.
    """

    class AppTask(Task):  # type: ignore[misc]
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return super().__call__(*args, **kwargs)

    celery = new_celery(settings())
    celery.Task = AppTask
    celery.set_current()
    celery.set_default()
    app.extensions["celery"] = celery
    return celery


def close_connections(celery: Celery) -> None:
    """Close what this process opened to brokers. `celery` sends no more afterwards."""
    celery.close()
    pools.reset()  # type: ignore[no-untyped-call]
    for engine, _ in Channel._engines.values():
        engine.dispose()


def task_modules() -> list[str]:
    """The task modules that exist."""
    return [name for name in TASK_MODULES if _exists(name)]


def _exists(name: str) -> bool:
    package = name.rpartition(".")[0]
    return importlib.util.find_spec(package) is not None and importlib.util.find_spec(name) is not None


def run(queues: Sequence[str], *, threads: int | None = None) -> None:
    """Work until SIGTERM or Ctrl-C: the tasks that run are finished, then the worker ends."""
    from tcma import create_app  # only the part that needs it pays for it

    celery: Celery = create_app().extensions["celery"]
    for module in task_modules():
        importlib.import_module(module)
    # Root is how a container runs; only JSON is accepted, so a message carries no code.
    warnings.simplefilter("ignore", SecurityWarning)
    setup_logging.connect(_leave_logging_alone)
    worker_ready.connect(_when_ready)
    log_to_stderr()
    name = "-".join(queues)
    engine = create_engine(database_urls(settings()).app, pool_size=1, max_overflow=0, pool_pre_ping=True)
    worker = celery.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        queues=list(queues),
        pool_cls=get_implementation("threads"),
        concurrency=threads or settings().worker_threads,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    with heartbeat(engine, f"worker:{','.join(queues)}"):
        worker.start()
    sys.exit(worker.exitcode)


def _leave_logging_alone(**_: Any) -> None:
    """Connected to setup_logging, this keeps Celery from replacing our handlers."""


def _when_ready(**_: Any) -> None:
    say_ready()
