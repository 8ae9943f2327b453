"""Migrations go up from every released state, and what was there stays as it was."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Enum

from tcma.migrate import alembic_config, current, heads, upgrade
from tcma.postgres import EmbeddedPostgres
from tcma.tables import metadata

RELEASED = ("0002",)
"""The revisions at which a version was released; each stays here for good."""

_COLUMNS = """
SELECT c.table_name, c.column_name, c.data_type, c.character_maximum_length FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
  AND table_name <> 'alembic_version' AND table_name !~ '_p[0-9]+$' ORDER BY 1, c.ordinal_position
"""
_PLAIN: dict[str, Any] = {
    "uuid": "0198c0de-0000-7000-8000-000000000001", "text": "kept", "character varying": "kept", "integer": 1,
    "bigint": 1, "smallint": 1, "numeric": "0.5", "double precision": 0.5, "boolean": False, "jsonb": json.dumps({"a": 1}),
    "timestamp with time zone": "2026-11-22T10:00:00Z", "date": "2026-11-22", "bytea": b"kept", "ARRAY": [],
    "time without time zone": "08:00",
}  # fmt: skip


def _value(table: str, column: str, kind: str, length: int | None) -> Any:
    known = metadata.tables.get(table)
    declared = known.c[column].type if known is not None and column in known.c else None
    if isinstance(declared, Enum) and declared.enums:
        return declared.enums[0]
    if column == "currency":
        return "EUR"
    plain = _PLAIN[kind]
    return plain[:length] if isinstance(plain, str) and length and kind == "character varying" else plain


def _fill(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """One row in each table that takes a plain one, without asking its neighbours; its content by table."""
    connection.execute("SET session_replication_role = replica")
    tables: dict[str, dict[str, Any]] = {}
    for table, column, kind, length in connection.execute(_COLUMNS).fetchall():
        tables.setdefault(table, {})[column] = _value(table, column, kind, length)
    kept: dict[str, dict[str, Any]] = {}
    for table, values in tables.items():
        statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING to_jsonb({})").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)), sql.Identifier(table),
        )  # fmt: skip
        try:
            with connection.transaction():
                row = connection.execute(statement, list(values.values())).fetchone()
        except psycopg.errors.CheckViolation:
            continue
        assert row is not None
        kept[table] = row[0]
    assert len(kept) >= 0.9 * len(tables), set(tables) - set(kept)
    return kept


@pytest.mark.parametrize("release", RELEASED)
def test_what_a_release_kept_is_still_there_after_the_upgrade(cluster: EmbeddedPostgres, release: str) -> None:
    name = f"from_{release}"
    cluster.create_database(name)
    owner = cluster.url("tcma_owner", database=name)
    upgrade(owner, release)
    with cluster._connect(name) as connection:
        kept = _fill(connection)
    upgrade(owner)
    assert current(owner) == heads()
    with cluster._connect(name) as connection:
        for table, before in kept.items():
            found = connection.execute(sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(table))).fetchall()
            # A migration may add rows and columns; it takes and changes none.
            assert any(before.items() <= row[0].items() for row in found), table
    cluster.drop_database(name)


def test_migrations_are_one_line_without_branches() -> None:
    script = ScriptDirectory.from_config(alembic_config(""))
    assert len(script.get_heads()) == 1
    assert all(not revision.is_branch_point for revision in script.walk_revisions())
    assert set(RELEASED) <= {revision.revision for revision in script.walk_revisions()}
