"""A dump of the embedded database restores into an empty folder, with owners and rights."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tcma import backup, migrate
from tcma.config import Settings
from tcma.postgres import EmbeddedPostgres
from tcma.postgres_place import PostgresError


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def clear_away(cluster: EmbeddedPostgres) -> None:
    cluster.stop()
    shutil.rmtree(cluster.place.home, ignore_errors=True)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    cluster = EmbeddedPostgres(tmp_path / "source")
    cluster.start()
    migrate.upgrade(cluster.owner_url)
    with connect(cluster.app_url) as app:
        app.execute("INSERT INTO sweeps (name, every_seconds, next_run_at) VALUES ('kept', 60, '2026-01-01Z')")
        app.execute("INSERT INTO broker.kombu_message (visible, payload, version) VALUES (true, 'left out', 1)")
    yield cluster
    clear_away(cluster)


def test_a_dump_restores_with_its_owners_and_rights(source: EmbeddedPostgres, tmp_path: Path) -> None:
    file = tmp_path / "tcma.dump"
    backup.dump(Settings(data_dir=source.data_dir, database_url=None), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(os.listdir(tmp_path)) == {"source", "tcma.dump"}
    conf = Settings(data_dir=tmp_path / "target", database_url=None)
    target = EmbeddedPostgres(conf.data_dir)
    try:
        backup.restore(conf, file)
        assert target.pid() is None
        target.start()
        assert migrate.current(target.owner_url) == migrate.heads()
        with connect(target.app_url) as app:
            assert app.execute("SELECT every_seconds FROM sweeps WHERE name = 'kept'").fetchone() == (60,)
            assert app.execute("SELECT count(*) FROM broker.kombu_message").fetchone() == (0,)
            app.execute("INSERT INTO broker.kombu_message (visible, payload, version) VALUES (true, 'new', 1)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("DROP TABLE sweeps")
        rules = (
            "SELECT relname, relowner::regrole::text, relrowsecurity, relforcerowsecurity, relacl::text"
            " FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
        )
        with connect(source.superuser_url) as before, connect(target.superuser_url) as after:
            assert after.execute(rules).fetchall() == before.execute(rules).fetchall()
        target.stop()
        with pytest.raises(PostgresError, match="not empty"):
            backup.restore(conf, file)
        assert target.pid() is None
    finally:
        clear_away(target)


def test_a_broken_dump_leaves_the_database_empty(tmp_path: Path) -> None:
    file = tmp_path / "broken.dump"
    file.write_bytes(b"PGDMP but no more")
    conf = Settings(data_dir=tmp_path / "target", database_url=None)
    target = EmbeddedPostgres(conf.data_dir)
    try:
        with pytest.raises(PostgresError, match="pg_restore failed"):
            backup.restore(conf, file)
        target.start()
        with connect(target.superuser_url) as connection:
            assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    finally:
        clear_away(target)


def test_a_database_that_does_not_run_is_not_dumped(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="tcma up"):
        backup.dump(Settings(data_dir=tmp_path, database_url=None), tmp_path / "out.dump")
    assert not (tmp_path / "out.dump").exists()


def test_a_server_of_ones_own_has_its_own_programs(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="server of your own"):
        backup.dump(Settings(data_dir=tmp_path, database_url="postgresql://a@b/c"), tmp_path / "out.dump")
