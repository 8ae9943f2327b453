"""Messages and sweeps: the database as broker, for a role that makes no tables."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from flask import Flask
from kombu.exceptions import OperationalError
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tcma import scheduler, sweeps
from tcma.config import Settings
from tcma.sweeps import Sweep
from tcma.worker import QUEUES, close_connections, new_celery

# kombu's models use a loader strategy that SQLAlchemy will remove; the lock files hold both still.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def engine(test_settings: Settings) -> Engine:
    return create_engine(str(test_settings.database_url))


@pytest.fixture
def celery(test_settings: Settings) -> Iterator[Celery]:
    """Sends through the database, as the service does without TCMA_BROKER_URL."""
    celery = new_celery(test_settings.model_copy(update={"broker_url": None}))
    yield celery
    close_connections(celery)


def messages(session: Session, task: str) -> list[tuple[str, dict[str, object]]]:
    rows = session.execute(
        text(
            "SELECT queue.name, payload FROM broker.kombu_message JOIN broker.kombu_queue queue ON queue.id = queue_id"
            " WHERE payload LIKE :task ORDER BY kombu_message.id"
        ),
        {"task": f"%{task}%"},
    )
    return [(queue, json.loads(payload)) for queue, payload in rows]


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_is_sent_to_its_queue_as_json(celery: Celery, session: Session, queue: str) -> None:
    task = f"tests.{queue}.{id(celery)}"
    celery.send_task(task, args=["organization", None], queue=queue)
    ((name, payload),) = messages(session, task)
    assert name == queue
    assert payload["content-type"] == "application/json"


def test_an_unknown_queue_is_refused(celery: Celery) -> None:
    with pytest.raises(Exception, match="nowhere"):
        celery.send_task("tests.lost", queue="nowhere")


def test_a_due_sweep_is_given_to_one_scheduler_only(engine: Engine) -> None:
    mine = [Sweep(f"tests.one.{id(engine)}", every_seconds=60)]
    with engine.begin() as connection:
        sweeps.register(connection, mine, now=NOON)
    start = threading.Barrier(6)
    taken: list[list[Sweep]] = []

    def take() -> None:
        start.wait()
        with engine.begin() as connection:
            taken.append(sweeps.take_due(connection, mine, now=NOON))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [[], [], [], [], [], mine]
    engine.dispose()


def test_a_sweep_is_due_again_after_its_interval(engine: Engine) -> None:
    mine = [Sweep(f"tests.again.{id(engine)}", every_seconds=60)]
    with engine.begin() as connection:
        sweeps.register(connection, mine, now=NOON)
        assert sweeps.take_due(connection, mine, now=NOON) == mine
        assert sweeps.take_due(connection, mine, now=NOON + timedelta(seconds=59)) == []
        assert sweeps.take_due(connection, mine, now=NOON + timedelta(seconds=60)) == mine
    engine.dispose()


def test_a_changed_interval_is_taken_over(engine: Engine) -> None:
    name = f"tests.interval.{id(engine)}"
    with engine.begin() as connection:
        sweeps.register(connection, [Sweep(name, every_seconds=60)], now=NOON)
        sweeps.register(connection, [Sweep(name, every_seconds=5)], now=NOON)
        found = connection.execute(text("SELECT every_seconds FROM sweeps WHERE name = :name"), {"name": name}).scalars()
        assert list(found) == [5]
    engine.dispose()


def test_a_tick_sends_what_is_due_with_an_end(app: Flask, engine: Engine, celery: Celery, session: Session) -> None:
    mine = [Sweep(f"tests.tick.{id(engine)}", every_seconds=30, queue="tracking")]
    with engine.begin() as connection:
        sweeps.register(connection, mine, now=NOON)
    assert scheduler.tick(engine, celery, mine) == mine
    assert scheduler.tick(engine, celery, mine) == []
    ((queue, payload),) = messages(session, mine[0].task)
    headers = payload["headers"]
    assert queue == "tracking"
    assert isinstance(headers, dict)
    assert headers["expires"]
    engine.dispose()


def test_a_sweep_whose_message_was_not_sent_is_due_again_soon(
    engine: Engine, test_settings: Settings, session: Session
) -> None:
    """The broker is a port where nobody listens: the failure is real."""
    mine = [Sweep(f"tests.unsent.{id(engine)}", every_seconds=3600)]
    deaf = new_celery(test_settings.model_copy(update={"broker_url": "redis://127.0.0.1:9/0"}))
    with engine.begin() as connection:
        sweeps.register(connection, mine, now=NOON)
    assert scheduler.tick(engine, deaf, mine) == []
    at, moment = session.execute(
        text("SELECT next_run_at, last_run_at FROM sweeps WHERE name = :name"), {"name": mine[0].task}
    ).one()
    assert at - moment < timedelta(seconds=30)
    with pytest.raises(OperationalError):
        deaf.send_task("tests.deaf", retry=False)
    engine.dispose()


def test_no_two_modules_name_the_same_sweep_and_each_task_exists(app: Flask) -> None:
    known = scheduler.all_sweeps()
    tasks = app.extensions["celery"].tasks
    assert {sweep.task for sweep in known} <= set(tasks)
    assert {sweep.queue for sweep in known} <= set(QUEUES)
    assert "tcma.service.tidy" in {sweep.task for sweep in known}
