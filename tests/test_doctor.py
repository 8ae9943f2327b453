"""`tcma doctor` finds what is wrong and says what to do; nothing it checks is pretended."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from tcma import clock, doctor
from tcma.cli import main
from tcma.config import Settings, use_settings
from tcma.doctor import Row, State
from tcma.migrate import upgrade
from tcma.postgres import EmbeddedPostgres
from tests.sinks import SmtpSink

HTTPS = {"public_url": "https://app.example.com", "tracking_url": "https://go.example.net"}


@pytest.fixture
def conf(test_settings: Settings, tmp_path: Path) -> Settings:
    return test_settings.model_copy(update={"data_dir": tmp_path, "broker_url": None})


@pytest.fixture(scope="module")
def spoilt(cluster: EmbeddedPostgres) -> Iterator[str]:
    """The name of a migrated database that tests may spoil."""
    name = f"spoilt_{uuid4().hex[:8]}"
    cluster.create_database(name)
    upgrade(cluster.url("tcma_owner", database=name))
    yield name
    cluster.drop_database(name)


def found(rows: list[Row], part: str) -> Row:
    (row,) = [row for row in rows if row.part == part]
    return row


def test_every_row_that_is_not_fine_says_what_to_do(conf: Settings) -> None:
    rows = doctor.examine(conf)
    assert {row.part for row in rows} >= {
        "origins", "secrets", "disk", "fonts", "storage", "mail", "database", "clock", "database role",
        "migrations", "tenant rules", "broker", "workers",
    }  # fmt: skip
    assert [row for row in rows if row.state is not State.OK and not row.mend] == []


def test_the_database_of_the_tests_is_as_it_should_be(conf: Settings) -> None:
    rows = doctor.examine(conf)
    for part in ("database", "clock", "database role", "migrations", "tenant rules", "broker"):
        assert found(rows, part).state is State.OK, found(rows, part)


@pytest.mark.parametrize(
    ("role", "words"), [("postgres", "is a superuser and bypasses"), ("tcma_owner", "owns tables")]
)
def test_a_role_above_the_rules_fails(conf: Settings, cluster: EmbeddedPostgres, role: str, words: str) -> None:
    url = cluster.url(role, database="checks")
    row = found(doctor.examine(conf.model_copy(update={"database_url": url})), "database role")
    assert row.state is State.FAIL
    assert words in row.found
    assert "tcma_app" in row.mend


def test_a_table_without_forced_rules_is_named(conf: Settings, cluster: EmbeddedPostgres, spoilt: str) -> None:
    engine = create_engine(cluster.url("tcma_owner", database=spoilt))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE contacts NO FORCE ROW LEVEL SECURITY"))
    here = conf.model_copy(update={"database_url": cluster.url("tcma_app", database=spoilt)})
    row = found(doctor.examine(here), "tenant rules")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE contacts FORCE ROW LEVEL SECURITY"))
    engine.dispose()
    assert row.state is State.FAIL
    assert "contacts" in row.found


def test_a_database_without_tables_is_told_to_migrate(conf: Settings, cluster: EmbeddedPostgres) -> None:
    name = f"empty_{uuid4().hex[:8]}"
    cluster.create_database(name)
    rows = doctor.examine(conf.model_copy(update={"database_url": cluster.url("tcma_app", database=name)}))
    cluster.drop_database(name)
    for part in ("migrations", "tenant rules", "broker", "workers", "sweeps"):
        assert found(rows, part).state is State.FAIL
        assert "tcma migrate" in found(rows, part).mend


def test_silent_workers_are_named_until_each_queue_has_one(
    conf: Settings, cluster: EmbeddedPostgres, spoilt: str
) -> None:
    here = conf.model_copy(update={"database_url": cluster.url("tcma_app", database=spoilt)})
    engine = create_engine(str(here.database_url))
    beat = text(
        "INSERT INTO heartbeats (name, part, host, pid, version, beat_at) VALUES (:part, :part, 'h', 1, '0', :now)"
    )
    with engine.begin() as connection:
        connection.execute(beat, {"part": "worker:default,tracking", "now": clock.now()})
        connection.execute(beat, {"part": "scheduler", "now": clock.now()})
    row = found(doctor.examine(here), "workers")
    assert row.state is State.FAIL
    assert row.found == "Silent: a worker for delivery."
    with engine.begin() as connection:
        connection.execute(beat, {"part": "worker:delivery", "now": clock.now()})
    engine.dispose()
    assert found(doctor.examine(here), "workers").state is State.OK


def test_a_database_that_does_not_answer_is_one_row(conf: Settings) -> None:
    nowhere = conf.model_copy(update={"database_url": "postgresql://tcma_app:secret@127.0.0.1:9/tcma"})
    rows = doctor.examine(nowhere)
    row = found(rows, "database")
    assert row.state is State.FAIL
    assert "secret" not in json.dumps([row.found, row.mend])
    assert not [other for other in rows if other.part in ("migrations", "tenant rules", "workers")]


def test_mail_is_greeted_for_real(conf: Settings) -> None:
    with SmtpSink() as sink:
        here = conf.model_copy(update={"smtp_url": sink.url})
        assert doctor.check_mail(here).state is State.OK
    row = doctor.check_mail(here)
    assert row.state is State.FAIL
    assert "TCMA_SMTP_URL" in row.mend


def test_a_mail_server_in_trouble_is_told_with_its_words_and_the_next_try(
    conf: Settings, cluster: EmbeddedPostgres, spoilt: str
) -> None:
    here = conf.model_copy(update={"database_url": cluster.url("tcma_app", database=spoilt)})
    assert found(doctor.examine(here), "sending").state is State.OK
    until = clock.now() + timedelta(minutes=5)
    engine = create_engine(str(here.database_url))
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO provider_breakers VALUES ('smtp.example:25', 1, :until, '421 closed for now', :until)"),
            {"until": until},
        )
    row = found(doctor.examine(here), "sending")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM provider_breakers"))
    engine.dispose()
    assert row.state is State.WARN
    assert "421 closed for now" in row.found
    assert f"Next try at {until:%H:%M} UTC" in row.found


def test_a_broker_that_does_not_answer_fails(conf: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        row = found(doctor.examine(conf.model_copy(update={"broker_url": url})), "broker")
    assert row.state is State.FAIL
    assert "TCMA_BROKER_URL" in row.mend


def test_production_wants_secrets_and_encryption(conf: Settings) -> None:
    bare = conf.model_copy(update={**HTTPS, "secret_key": None, "suppression_key": None})
    assert found(list(doctor.check_origins(bare)), "origins").state is State.OK
    assert doctor.check_secrets(bare).found == "Not set: TCMA_SECRET_KEY, TCMA_SUPPRESSION_KEY."
    weak = bare.model_copy(update={"secret_key": "short", "suppression_key": "x" * 64})
    assert doctor.check_secrets(weak).state is State.WARN
    good = bare.model_copy(update={"secret_key": "k" * 64, "suppression_key": "x" * 64})
    assert doctor.check_secrets(good).state is State.OK
    plain = bare.model_copy(update={"public_url": "http://app.example.com"})
    assert found(list(doctor.check_origins(plain)), "origins").state is State.FAIL


def test_one_origin_for_app_and_links_fails(conf: Settings) -> None:
    same = conf.model_copy(update={"public_url": "https://app.example.com", "tracking_url": "https://app.example.com"})
    assert found(list(doctor.check_origins(same)), "origins").state is State.FAIL


def test_a_key_that_others_can_read_fails(conf: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("k")
    (tmp_path / "secret.key").chmod(0o644)
    row = doctor.check_data_folder(conf)
    assert row.state is State.FAIL
    assert "secret.key" in row.found


def test_a_folder_that_cannot_be_written_fails(conf: Settings) -> None:
    row = doctor.check_storage(conf.model_copy(update={"storage_url": "file:///proc/files"}))
    assert row.state is State.FAIL


def test_the_command_exits_with_1_and_prints_rows(conf: Settings) -> None:
    use_settings(conf)
    try:
        answer = CliRunner().invoke(main, ["doctor", "--json"])
        words = CliRunner().invoke(main, ["doctor"])
    finally:
        use_settings(None)
    rows = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert {"part", "state", "found", "mend"} == set(rows[0])
    assert "→ Check TCMA_SMTP_URL" in words.stdout


def test_doctor_says_whose_address_mail_is_from_and_who_signs(conf: Settings) -> None:
    row = found(doctor.examine(conf.model_copy(update={"platform_sender": "mail@relay-signs.example"})), "sender")
    assert (row.state, "left to the mail relay" in row.found) == (State.OK, True)
    row = found(doctor.examine(conf.model_copy(update=HTTPS)), "sender")
    assert (row.state, "TCMA_PLATFORM_SENDER" in row.mend) == (State.FAIL, True)


def test_doctor_says_that_the_records_of_our_own_address_are_missing(
    conf: Settings, cluster: EmbeddedPostgres, spoilt: str
) -> None:
    statement = text(
        "INSERT INTO sending_domains (id, created_at, name, findings, lost_at)"
        " VALUES (:id, now(), :name, '[]', :lost)"
    )
    engine = create_engine(cluster.url("postgres", database=spoilt))
    with engine.begin() as connection:
        connection.execute(statement, {"id": uuid4(), "name": "new.example", "lost": None})
        connection.execute(statement, {"id": uuid4(), "name": "gone.example", "lost": clock.now()})
    engine.dispose()
    url = cluster.url("tcma_app", database=spoilt)
    for name, words in (("new.example", "not seen yet"), ("gone.example", "are gone")):
        changes = {"database_url": url, "platform_sender": f"mail@{name}"}
        row = found(doctor.examine(conf.model_copy(update=changes)), "sender")
        assert (row.state, words in row.found) == (State.WARN, True)
