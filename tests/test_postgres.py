"""The embedded database: safe, private, and whole after any kill."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from tcma.config import REPO, Settings
from tcma.postgres import EmbeddedPostgres, database_urls, psycopg_url, start_throwaway
from tcma.postgres_place import PostgresError, find_place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about running as root")


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    cluster = start_throwaway(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.remove()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A cluster as `tcma up` runs it: safe on disk, and left running by the process that started it."""
    durable = EmbeddedPostgres(tmp_path / "data")
    yield durable
    durable.stop()
    shutil.rmtree(durable.place.home)


def test_roles_are_neither_superuser_nor_above_row_level_security(cluster: EmbeddedPostgres) -> None:
    with connect(cluster.superuser_url) as connection:
        rows = connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb "
            "FROM pg_roles WHERE rolname LIKE 'tcma\\_%' ORDER BY 1"
        ).fetchall()
    assert rows == [
        ("tcma_app", True, False, False, False, False),
        ("tcma_owner", True, False, False, False, False),
        ("tcma_system", False, False, False, False, False),
    ]


def test_app_has_the_rights_of_system_only_where_it_asks(cluster: EmbeddedPostgres) -> None:
    with connect(cluster.owner_url) as owner:
        owner.execute("CREATE TABLE secrets (id int)")
        owner.execute("GRANT SELECT ON secrets TO tcma_system")
    with connect(cluster.app_url) as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT * FROM secrets")
        with app.transaction():
            app.execute("SET LOCAL ROLE tcma_system")
            assert app.execute("SELECT count(*) FROM secrets").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT * FROM secrets")


def test_app_makes_no_tables_but_temporary_ones(cluster: EmbeddedPostgres) -> None:
    with connect(cluster.app_url) as app:
        for schema in ("public", "broker"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(f"CREATE TABLE {schema}.mine (id int)")
        app.execute("CREATE TEMPORARY TABLE mine (id int)")
        assert app.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_owner_gives_a_function_to_system(cluster: EmbeddedPostgres) -> None:
    with connect(cluster.owner_url) as owner:
        owner.execute("CREATE FUNCTION who() RETURNS name LANGUAGE sql SECURITY DEFINER RETURN current_user")
        owner.execute("ALTER FUNCTION who() OWNER TO tcma_system")
    with connect(cluster.app_url) as app:
        assert app.execute("SELECT who()").fetchone() == ("tcma_system",)


def test_nobody_gets_in_without_a_password(cluster: EmbeddedPostgres) -> None:
    for role in ("postgres", "tcma_app", "tcma_owner"):
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(host=str(cluster.place.socket_dir), user=role, dbname="tcma")


def test_there_is_no_network_port(cluster: EmbeddedPostgres) -> None:
    pid = cluster.pid()
    assert pid is not None
    assert psutil.Process(pid).net_connections(kind="inet") == []


def test_key_and_data_are_for_the_owner_alone(cluster: EmbeddedPostgres) -> None:
    assert stat.S_IMODE((cluster.data_dir / "pg.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.place.pgdata.stat().st_mode) == 0o700


def test_a_second_start_adopts_the_running_server(cluster: EmbeddedPostgres) -> None:
    pid = cluster.pid()
    other = EmbeddedPostgres(cluster.data_dir, for_tests=True)
    assert other.start() is False
    assert other.pid() == pid


def test_starts_at_the_same_time_make_one_server(tmp_path: Path) -> None:
    clusters = [EmbeddedPostgres(tmp_path / "data", for_tests=True) for _ in range(4)]
    fresh: list[bool] = []
    threads = [threading.Thread(target=lambda c=c: fresh.append(c.start())) for c in clusters]
    # The server ends with the thread that started it, so the main thread keeps the first word.
    fresh.append(clusters[0].start())
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = {cluster.pid() for cluster in clusters}
    clusters[0].remove()
    assert sorted(fresh) == [False, False, False, False, True]
    assert len(pids) == 1
    assert None not in pids


@pytest.mark.faults
def test_killed_server_starts_again_with_everything_committed(durable: EmbeddedPostgres) -> None:
    durable.start()
    with connect(durable.owner_url) as owner:
        owner.execute("CREATE TABLE kept (id int)")
        owner.execute("INSERT INTO kept VALUES (7)")
    pid = durable.pid()
    assert pid is not None
    server = psutil.Process(pid)
    server.kill()
    server.wait(timeout=10)
    assert durable.pid() is None
    assert (durable.place.pgdata / "postmaster.pid").exists()
    assert durable.start() is True
    with connect(durable.owner_url) as owner:
        assert owner.execute("SELECT id FROM kept").fetchall() == [(7,)]


@pytest.mark.faults
def test_stale_pid_of_an_unrelated_process_does_not_stop_a_start(durable: EmbeddedPostgres) -> None:
    durable.ensure_initialised()
    stale = f"{os.getpid()}\n{durable.place.pgdata}\n1\n5432\n{durable.place.socket_dir}\n\n  1 1\nready\n"
    (durable.place.pgdata / "postmaster.pid").write_text(stale)
    assert durable.pid() is None
    assert durable.start() is True
    assert durable.pid() not in (None, os.getpid())


@pytest.mark.faults
def test_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    cluster = EmbeddedPostgres(tmp_path / "data", for_tests=True)
    half = cluster.place.home / "pg.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    cluster.start()
    try:
        with connect(cluster.app_url) as app:
            assert app.execute("SELECT current_user").fetchone() == ("tcma_app",)
        assert not half.exists()
    finally:
        cluster.remove()


@pytest.mark.faults
def test_throwaway_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time; from tcma.postgres import start_throwaway;"
        "c = start_throwaway(pathlib.Path(sys.argv[1])); print(c.pid(), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO)
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    with suppress(psutil.NoSuchProcess):
        server.wait(timeout=10)
    assert not server.is_running()
    EmbeddedPostgres(tmp_path, for_tests=True).remove()


def test_data_folders_do_not_share_a_server(tmp_path: Path, cluster: EmbeddedPostgres) -> None:
    other = start_throwaway(tmp_path / "other")
    try:
        assert other.pid() != cluster.pid()
        assert other.password("tcma_app") != cluster.password("tcma_app")
    finally:
        other.remove()


def test_path_too_long_for_a_socket_still_works(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60) / "a, b"
    cluster = start_throwaway(deep)
    try:
        with connect(cluster.app_url) as app:
            assert app.execute("SELECT 1").fetchone() == (1,)
        assert len(os.fsencode(cluster.place.socket_dir / ".s.PGSQL.5432")) <= 107
    finally:
        cluster.remove()


def test_create_database_has_the_same_rights(cluster: EmbeddedPostgres) -> None:
    cluster.create_database("tcma_gw0")
    with connect(cluster.url("tcma_owner", database="tcma_gw0")) as owner:
        owner.execute("CREATE TABLE things (id int)")
        owner.execute("GRANT SELECT ON things TO tcma_app")
    with connect(cluster.url("tcma_app", database="tcma_gw0")) as app:
        assert app.execute("SELECT count(*) FROM things").fetchone() == (0,)
    cluster.drop_database("tcma_gw0")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(cluster.url("tcma_app", database="tcma_gw0"))


def test_missing_key_is_an_error_and_no_fresh_password(tmp_path: Path) -> None:
    cluster = start_throwaway(tmp_path / "data")
    cluster.stop()
    (cluster.data_dir / "pg.key").unlink()
    with pytest.raises(PostgresError, match="key is missing"):
        cluster.start()
    assert not (cluster.data_dir / "pg.key").exists()
    cluster.remove()


def test_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    cluster = EmbeddedPostgres(tmp_path / "data", for_tests=True)
    cluster.ensure_initialised()
    (cluster.place.pgdata / "PG_VERSION").write_text("9\n")
    with pytest.raises(PostgresError, match="made by PostgreSQL 9"):
        cluster.start()
    cluster.remove()


@as_root
def test_no_folder_above_the_data_is_opened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    data = home / "var"
    data.mkdir(mode=0o700)
    cluster = start_throwaway(data)
    try:
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        pid = cluster.pid()
        assert pid is not None
        assert psutil.Process(pid).uids().real != 0
    finally:
        cluster.remove()


@as_root
def test_moved_data_folder_keeps_its_database_and_a_copy_is_refused(tmp_path: Path) -> None:
    first = start_throwaway(tmp_path / "first")
    with connect(first.owner_url) as owner:
        owner.execute("CREATE TABLE kept (id int)")
    first.stop()
    os.rename(tmp_path / "first", tmp_path / "moved")
    moved = start_throwaway(tmp_path / "moved")
    try:
        with connect(moved.owner_url) as owner:
            assert owner.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        subprocess.run(["cp", "-a", str(tmp_path / "moved"), str(tmp_path / "copy")], check=True)
        with pytest.raises(PostgresError, match="is a copy of"):
            start_throwaway(tmp_path / "copy")
    finally:
        moved.remove()


@as_root
def test_someone_elses_folder_in_tmp_is_refused(tmp_path: Path) -> None:
    home = find_place(tmp_path / "data", for_tests=True).home
    home.mkdir()
    os.chown(home, 12345, 12345)
    try:
        with pytest.raises(PostgresError, match="belongs to someone else"):
            start_throwaway(tmp_path / "data")
    finally:
        home.rmdir()


def test_database_urls_prefer_the_environment() -> None:
    given = Settings(database_url="postgres://a:b@db/tcma", migration_url="postgresql://o:p@db/tcma")
    assert database_urls(given) == ("postgresql+psycopg://a:b@db/tcma", "postgresql+psycopg://o:p@db/tcma")


def test_other_databases_are_refused_by_name() -> None:
    with pytest.raises(PostgresError, match="begins with mysql:"):
        psycopg_url("mysql://db/tcma")


def test_no_database_yet_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="tcma up"):
        database_urls(Settings(data_dir=tmp_path, database_url=None))


def test_secret_is_made_once_by_processes_that_start_together(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from tcma.config import kept_secret;"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()));"
        "print(kept_secret(pathlib.Path(sys.argv[1])).decode())"
    )
    at = str(time.time() + 1.5)
    command = [sys.executable, "-c", code, str(tmp_path / "secret"), at]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO) for _ in range(6)]
    answers = {process.communicate(timeout=30)[0].strip() for process in started}
    assert len(answers) == 1
    assert len(answers.pop()) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@as_root
def test_emptied_data_folder_begins_anew_and_the_former_database_is_kept(durable: EmbeddedPostgres) -> None:
    durable.start()
    with connect(durable.owner_url) as owner:
        owner.execute("CREATE TABLE former (id int)")
    shutil.rmtree(durable.data_dir)
    again = EmbeddedPostgres(durable.data_dir)
    again.start()
    assert again.set_aside is not None
    try:
        with connect(again.owner_url) as owner:
            assert owner.execute("SELECT to_regclass('former')").fetchone() == (None,)
        assert (again.set_aside / "pg" / "PG_VERSION").exists()
    finally:
        shutil.rmtree(again.set_aside)


@as_root
def test_cluster_left_by_killed_tests_is_cleared_after_an_hour(tmp_path: Path) -> None:
    homes = []
    for age in (60, 7200):
        home = find_place(tmp_path / f"left-{age}", for_tests=True).home
        (home / "pg").mkdir(parents=True)
        (home / "for").write_text("gone\n")
        os.utime(home / "for", (time.time() - age, time.time() - age))
        homes.append(home)
    start_throwaway(tmp_path / "data").remove()
    young, old = (home.exists() for home in homes)
    shutil.rmtree(homes[0])
    assert (young, old) == (True, False)
