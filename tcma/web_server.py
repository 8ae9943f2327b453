"""The web part: granian serving the application."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
from collections.abc import Callable
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tcma.config import settings
from tcma.parts import end_with_parent

MOST_WORKERS = 4
KILL_AFTER_SECONDS = 20


def run() -> None:
    """Serve until SIGTERM or Ctrl-C; requests that run are finished first, for 20 seconds at most.

    X-Forwarded-* headers are read by the application, and only with TCMA_TRUSTED_PROXIES.
    """
    _import_all()
    serve("tcma:create_app")


def serve(target: str) -> None:
    """Serve the WSGI application that `module:factory` makes, with the server's settings."""
    conf = settings()
    workers = conf.web_workers or min(MOST_WORKERS, os.cpu_count() or 1)
    server = Granian(
        target,
        address=conf.host,
        port=conf.port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=conf.web_threads,
        backlog=2048,
        # More than waits in the threads waits here, and is answered in order.
        backpressure=max(64, conf.web_threads * 8),
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_AFTER_SECONDS,
    )
    server.serve(target_loader=_load)


def _import_all() -> None:
    """Import what the application is made of, once: server processes are forks and share it.

    Only imports: the application itself, with its connections, is made in each process.
    """
    from tcma import web

    for room in web.ROOMS:
        for part in ("routes", "api"):
            name = f"tcma.{room}.{part}"
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)


def _load(target: str) -> Callable[..., Any]:
    """The application, in a fresh server process that ends on a signal while it loads, or with its parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    end_with_parent()
    module, _, factory = target.partition(":")
    app: Callable[..., Any] = getattr(importlib.import_module(module), factory)()
    return app
