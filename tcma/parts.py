"""What the running parts (web, worker, scheduler, mailbox) have in common: sign of life, readiness, end.

A part started by `tcma up` says when it is ready through a pipe, and ends when the supervisor is gone.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

import tcma
from tcma import clock

log = structlog.get_logger(__name__)

READY_FD = "TCMA_READY_FD"
SUPERVISOR_PID = "TCMA_SUPERVISOR_PID"
BEAT_SECONDS = 15
PR_SET_PDEATHSIG = 1

_BEAT = text(
    "INSERT INTO heartbeats (name, part, host, pid, version, beat_at)"
    " VALUES (:name, :part, :host, :pid, :version, :now)"
    " ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at"
)
_GONE = text("DELETE FROM heartbeats WHERE name = :name")


def end_with_supervisor() -> None:
    """Be asked to end (SIGTERM) when the supervisor that started us is killed; elsewhere nothing happens."""
    supervisor = os.environ.get(SUPERVISOR_PID)
    if not supervisor:
        return
    end_with_parent()
    if os.getppid() != int(supervisor):
        raise SystemExit("The supervisor ended while this part began.")


def end_with_parent() -> None:
    """Have the kernel send SIGTERM when the thread that started this process ends (Linux, prctl(2))."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def tell_where_on_signal() -> None:
    """On SIGUSR1 write to stderr where each thread is: for a part that seems stuck."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def keep_what_is_loaded() -> None:
    """Have the garbage collector leave alone what is there now: half a million objects of the libraries, which it would
    look through again and again while mails are made."""
    gc.collect()
    gc.freeze()


def say_ready() -> None:
    """Tell the supervisor, if there is one, that this part works from now on."""
    keep_what_is_loaded()
    descriptor = os.environ.pop(READY_FD, "")
    if descriptor:
        with os.fdopen(int(descriptor), "wb") as pipe:
            pipe.write(b"ready")


def log_to_stderr() -> None:
    """Send warnings of libraries to stderr, one a line; our own events go through `tcma.logs`."""
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format=form)


@contextmanager
def heartbeat(engine: Engine, part: str) -> Iterator[None]:
    """Say each 15 seconds that `part` lives (table heartbeats), and take the row away at an orderly end."""
    host, stop = socket.gethostname(), threading.Event()
    row = {"name": f"{part}@{host}:{os.getpid()}", "part": part, "host": host, "pid": os.getpid()}
    row["version"] = tcma.__version__

    def beat() -> None:
        while True:
            _write(engine, row)
            if stop.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
        try:
            with engine.begin() as connection:
                connection.execute(_GONE, {"name": row["name"]})
        except SQLAlchemyError:
            log.info("heartbeat_not_removed", part=part)


def _write(engine: Engine, row: dict[str, object]) -> None:
    try:
        with engine.begin() as connection:
            connection.execute(_BEAT, {**row, "now": clock.now()})
    except SQLAlchemyError as error:
        # Without the database nothing else works either; the next beat tries again.
        log.warning("heartbeat_failed", error=type(error).__name__)
