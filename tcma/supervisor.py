"""`tcma up`: every part on this machine, begun in order, watched, and ended in reverse.

Order: embedded database, migrations, mailbox, worker, scheduler, web. Parts end with the supervisor, however
it ends; only PostgreSQL goes on if it is killed, and the next start takes it over.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import psutil

from tcma.config import REPO, Settings, settings
from tcma.errors import DomainError
from tcma.part_process import PartProcess, PartState, end_leftover, http_answers
from tcma.postgres import EmbeddedPostgres
from tcma.postgres_place import PostgresError

WATCH_SECONDS = 0.1
REMIND_SECONDS = 15
# A part that fails this often before it was ever ready will not mend itself.
MOST_FAILED_STARTS = 3
# Nothing is stopped before what sends it work.
STOP_STAGES = (("demo",), ("web",), ("scheduler",), ("delivery", "worker"), ("mailbox", "inbound"))
COLOURS = (36, 33, 35, 32, 34, 31)


class CannotRun(DomainError):
    """The service cannot be started; the message says what to do."""


class Supervisor:
    """The life of all parts on one machine. `run` returns the exit code."""

    def __init__(self, conf: Settings, *, output: TextIO | None = None) -> None:
        self.conf = conf
        self.parts: list[PartProcess] = []
        self.embedded: EmbeddedPostgres | None = None
        self._output = output or sys.stdout
        self._colours = self._output.isatty()
        self._print_lock = threading.Lock()
        self._signals = 0

    def run(self) -> int:
        """Start everything, watch over it until a signal, end everything.

        Raises CannotRun where it cannot start; what had been started is ended first.
        """
        self.conf.data_dir.mkdir(parents=True, exist_ok=True)
        with self._alone(), self._signals_handled():
            self._end_leftovers()
            self._check_ports()
            try:
                self._start()
                if not self._stopping():
                    self._announce()
                while not self._stopping():
                    self._watch()
            finally:
                self._stop()
        return 0

    # -- starting

    def _start(self) -> None:
        begun = time.monotonic()
        if not self.conf.database_url:
            self._start_database()
        if self._stopping():
            return
        self._run_once(self._part("migrate", ["migrate"], once=True), limit_seconds=900)
        names = [part.name for part in self._add_parts()]
        said = time.monotonic()
        while not self._stopping() and (waiting := [part.name for part in self.parts if not part.is_ready]):
            self._watch()
            self._give_up_on_failing_parts()
            if time.monotonic() - said > REMIND_SECONDS:
                said = time.monotonic()
                self._say(f"Still waiting for {', '.join(waiting)}.")
        if not self._stopping():
            self._say(f"{', '.join(names)} ready after {time.monotonic() - begun:.1f} s.")

    def _start_database(self) -> None:
        self.embedded = EmbeddedPostgres(self.conf.data_dir)
        if not (self.embedded.place.pgdata / "PG_VERSION").exists():
            self._say(f"Making the database in {self.embedded.place.pgdata} (first start only).")
        fresh = self.embedded.start()
        if self.embedded.set_aside:
            self._say(f"The data folder had been emptied; its former database is kept in {self.embedded.set_aside}.")
        if not fresh:
            self._say("The database of an earlier run was still running and is taken over.")

    def _part(self, name: str, arguments: list[str], **options: Any) -> PartProcess:
        environment = {"TCMA_DATA_DIR": str(self.conf.data_dir)}
        return PartProcess(
            name, arguments, say=self._say, print_line=self._print_part, environment=environment, **options
        )

    def _add_parts(self) -> list[PartProcess]:
        conf = self.conf
        if not conf.smtp_url and not conf.ses_region:
            self.parts.append(self._part("mailbox", ["mailbox"]))
        elif conf.return_domain:
            self.parts.append(self._part("inbound", ["inbound"]))
        # Deliveries have a worker of their own: a long launch holds up nothing else.
        self.parts.append(self._part("worker", ["worker", "--queues=default,tracking"]))
        self.parts.append(self._part("delivery", ["worker", "--queues=delivery"]))
        self.parts.append(self._part("scheduler", ["scheduler"]))
        serves = partial(http_answers, conf.host, conf.port, "/readyz")
        self.parts.append(self._part("web", ["web"], probe=serves))
        for part in self.parts:
            part.begin()
        self._write_running()
        return self.parts

    def _run_once(self, part: PartProcess, *, limit_seconds: float) -> None:
        """Run `part` to its end; raises CannotRun if it fails."""
        part.limit_seconds = limit_seconds
        part.begin()
        while part.state is not PartState.ENDED:
            if self._stopping():
                part.end(hurry=self._hurried)
                return
            part.watch()
            time.sleep(0.02)
        if part.exit_code != 0:
            raise CannotRun(f"`tcma {' '.join(part.arguments)}` failed; its last lines above say why.")

    def _give_up_on_failing_parts(self) -> None:
        for part in self.parts:
            if part.failed_starts >= MOST_FAILED_STARTS:
                raise CannotRun(
                    f"{part.name} failed {part.failed_starts} times before it was ready; its lines above "
                    "say why. `tcma doctor` checks every setting."
                )

    def _check_ports(self) -> None:
        wanted = [("web server", self.conf.host, self.conf.port, "tcma up --port")]
        if not self.conf.smtp_url and not self.conf.ses_region:
            wanted.append(("mailbox", "127.0.0.1", self.conf.mailbox_smtp_port, "TCMA_MAILBOX_PORT="))
        elif self.conf.return_domain:
            wanted.append(("mail that comes back", self.conf.inbound_host, self.conf.inbound_port, "TCMA_INBOUND_PORT="))
        for what, host, port, how in wanted:
            problem = port_problem(host, port)
            if problem:
                other = how + ("" if how.endswith("=") else " ") + str(port + 1 if port < 65535 else port - 1)
                raise CannotRun(
                    f"Port {port} on {host} cannot be used for the {what}: {problem}. "
                    f"Stop the program that uses it, or choose another port, such as {other}"
                )

    # -- watching

    def _watch(self) -> None:
        before = [part.pid for part in self.parts]
        for part in self.parts:
            part.watch()
        if self.embedded and self.embedded.pid() is None and not self._stopping():
            self._say("The database ended. It is started again.")
            with suppress(PostgresError):
                self.embedded.start(timeout=30)
        if before != [part.pid for part in self.parts]:
            self._write_running()
        for part in [part for part in self.parts if part.state is PartState.ENDED]:
            self.parts.remove(part)
            if part.exit_code == 0:
                self._say(f"{part.name} is done.")
            else:
                self._say(f"{part.name} failed (code {part.exit_code}); its lines above say why.")
        time.sleep(WATCH_SECONDS)

    def _announce(self) -> None:
        conf = self.conf
        rows = [("App", conf.public_origin)]
        if not conf.smtp_url and not conf.ses_region:
            smtp = f"SMTP on 127.0.0.1:{conf.mailbox_smtp_port}"
            rows.append(("Mailbox", f"{conf.public_origin}/mailbox ({smtp})"))
        elif conf.return_domain:
            rows.append(("Returns", f"SMTP on {conf.inbound_host}:{conf.inbound_port} for {conf.return_domain}"))
        rows.append(("API", f"{conf.public_origin}/api/v1/openapi.json"))
        rows.append(("Docs", str(REPO / "docs")))
        rows.append(("Data", str(conf.data_dir)))
        if self.embedded and self.embedded.place.home != conf.data_dir:
            rows.append(("Database", str(self.embedded.place.home)))
        rows.append(("Stop", "Ctrl-C"))
        lines = [f"  {key:<9} {value}" for key, value in rows]
        self._say("\n".join(["", f"{conf.platform_name} is running.", *lines, ""]))
        if conf.demo:
            # In a process of its own and after everything is ready, so that it is in nobody's way.
            demo = self._part("demo", ["demo"], once=True, end_seconds=5, limit_seconds=float("inf"))
            self.parts.append(demo)
            demo.begin()

    # -- stopping

    def _stop(self) -> None:
        if self.parts or self.embedded:
            self._say("Stopping.")
        for stage in STOP_STAGES:
            stopping = [part for part in self.parts if part.name in stage]
            for part in stopping:
                part.ask_to_end()
            for part in stopping:
                part.end(hurry=self._hurried)
        if self.embedded and self.embedded.pid() is not None:
            self.embedded.stop()
        (self.conf.data_dir / "running.json").unlink(missing_ok=True)
        if self.parts or self.embedded:
            self._say("Everything has stopped.")

    def _stopping(self) -> bool:
        return self._signals > 0

    def _hurried(self) -> bool:
        return self._signals > 1

    @contextmanager
    def _signals_handled(self) -> Iterator[None]:
        def note(number: int, frame: object) -> None:
            self._signals += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        former = [signal.signal(number, note) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, former, strict=True):
                signal.signal(number, handler)

    # -- one at a time

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the data folder's lock; it ends with the process, so that none is left behind."""
        with open(self.conf.data_dir / "up.lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                known = read_running(self.conf.data_dir) or {}
                where = f" at {known['url']} (process {known['pid']})" if known else ""
                raise CannotRun(
                    f"`tcma up` is already running for {self.conf.data_dir}{where}. Stop that one first, "
                    "or set TCMA_DATA_DIR to another folder and choose another port."
                ) from None
            yield

    def _end_leftovers(self) -> None:
        """End parts of a supervisor that was killed and that have not ended by themselves yet."""
        known = read_running(self.conf.data_dir) or {}
        for name, one in known.get("parts", {}).items():
            if end_leftover(one["pid"], one["started"]):
                self._say(f"Ended {name} of an earlier run.")

    def _write_running(self) -> None:
        """Write what runs where, for `tcma doctor`, `tcma tour` and the next start."""
        conf = self.conf
        content = {
            "pid": os.getpid(),
            "url": conf.public_origin,
            "tracking_url": conf.tracking_origin,
            "smtp_url": None if conf.smtp_url else conf.mail_url,
            "demo": conf.demo,
            "parts": {part.name: _mark(part.pid) for part in self.parts if part.pid and _mark(part.pid)},
        }
        fresh = conf.data_dir / "running.json.new"
        fresh.write_text(json.dumps(content, indent=2) + "\n")
        fresh.replace(conf.data_dir / "running.json")

    # -- words

    def _say(self, text: str) -> None:
        self._write(text)

    def _print_part(self, name: str, line: str) -> None:
        prefix = f"{name:<9} |"
        if self._colours:
            prefix = f"\x1b[{COLOURS[sum(name.encode()) % len(COLOURS)]}m{prefix}\x1b[0m"
        self._write(f"{prefix} {line}")

    def _write(self, text: str) -> None:
        # Whoever read our output may be gone (`tcma up | head`); the service goes on.
        with self._print_lock, suppress(OSError, ValueError):
            print(text, file=self._output, flush=True)


def _mark(pid: int) -> dict[str, float] | None:
    with suppress(psutil.NoSuchProcess):
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    return None


def read_running(data_dir: Path) -> dict[str, Any] | None:
    """What `tcma up` last wrote about itself, or None; it may be from a run that was killed."""
    try:
        found: dict[str, Any] = json.loads((data_dir / "running.json").read_text())
    except (OSError, ValueError):
        return None
    return found


def port_problem(host: str, port: int) -> str | None:
    """Why nothing can listen on `host`:`port`, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen(1)
        except PermissionError:
            return "ports below 1024 need more rights"
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def run() -> int:
    """`tcma up` with the process's settings; returns the exit code."""
    return Supervisor(settings()).run()
