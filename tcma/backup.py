"""Dump and restore of the embedded database, with the programs that came with it.

A dump is PostgreSQL's custom format, so any server's `pg_restore` reads it too. Messages of the broker are left
out: what they asked for are rows, and the sweeps find them.
"""

from __future__ import annotations

import os
from pathlib import Path

import psycopg

from tcma import postgres_programs as programs
from tcma.config import Settings
from tcma.postgres import DATABASE, SUPERUSER, EmbeddedPostgres
from tcma.postgres_place import PostgresError

HOURS = 3600.0


def dump(conf: Settings, file: Path) -> None:
    """Write the running embedded database to `file`, whole or not at all. Raises PostgresError."""
    embedded = _embedded(conf)
    if embedded.pid() is None:
        raise PostgresError("The database does not run. Start it with `tcma up`, then dump.")
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(handle)
    try:
        _client(
            embedded, "pg_dump", "--format=custom", "--exclude-table-data=broker.kombu_message", f"--file={fresh}", DATABASE
        )
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def restore(conf: Settings, file: Path) -> None:
    """Fill the embedded database from `file`; it must be empty, and is running only meanwhile.

    Raises PostgresError; what a failed restore left is removed with the data folder's database.
    """
    embedded = _embedded(conf)
    started = embedded.start()
    try:
        if not started or not _is_empty(embedded):
            raise PostgresError(
                f"The database in {embedded.place.home} is not empty or in use. Stop `tcma up`, and restore into "
                "an empty data folder: set TCMA_DATA_DIR."
            )
        _client(
            embedded, "pg_restore", "--clean", "--if-exists", "--exit-on-error", "--single-transaction",
            f"--dbname={DATABASE}", str(file),
        )  # fmt: skip
    finally:
        if started:
            embedded.stop()


def _embedded(conf: Settings) -> EmbeddedPostgres:
    if conf.database_url:
        raise PostgresError("TCMA_DATABASE_URL names a server of your own: use its pg_dump and pg_restore.")
    return EmbeddedPostgres(conf.data_dir)


def _is_empty(embedded: EmbeddedPostgres) -> bool:
    with psycopg.connect(embedded.superuser_url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    return row == (0,)


def _client(embedded: EmbeddedPostgres, program: str, *arguments: str) -> None:
    secrets = {
        "PGHOST": str(embedded.place.socket_dir), "PGUSER": SUPERUSER, "PGPASSWORD": embedded.password(SUPERUSER),
    }  # fmt: skip
    path = embedded.bin_dir / program
    done = programs.run(path, *arguments, uid=None, gid=None, timeout=HOURS, environment=secrets)
    if done.returncode != 0:
        raise PostgresError(f"{program} failed: {done.stderr.strip()[-600:]}")
