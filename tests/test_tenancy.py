"""Row-level security: queries without any WHERE see and change what the tenancy of each table declares."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from tcma.access import Actor
from tcma.db import bind, db, elevated
from tcma.tables import metadata, tenancies
from tests.factories.cast import Cast
from tests.factories.objects import make_all

ROLES = [
    "operator", "vendor_admin", "channel_manager", "finance", "other_vendor_admin", "partner_admin", "partner_marketer",
    "rival",
]  # fmt: skip
# Tables whose rows are read under another rule than their kind alone says are compared by their declaration.
OWNERS = {"vendor-private": "vendor_id", "partner-private": "partner_id"}


def keys_of(table: str) -> str:
    columns = [column.name for column in metadata.tables[table].primary_key]
    return "ROW(" + ", ".join(columns) + ")::text"


NESTED = {"assets", "asset_versions", "touches", "lead_activities"}


def visible(session: Session, table: str) -> set[str]:
    return set(session.scalars(text(f"SELECT {keys_of(table)} FROM {table}")))


def declared(session: Session, table: str, condition: str) -> set[str]:
    """What the declaration says, asked as the role that sees everything."""
    with elevated(session, "a test compares with all rows"):
        return set(
            session.scalars(text(f"SELECT {keys_of(table)} FROM {table} WHERE {condition.replace(':', chr(92) + ':')}"))
        )


@pytest.fixture(scope="module")
def peopled(app: Flask) -> Cast:
    """A cast with one object of each kind that a room's factories know."""
    from tests.factories.cast import make_cast

    with app.app_context():
        cast = make_cast(app)
        make_all(cast)
    return cast


@pytest.mark.parametrize("name", ROLES)
def test_each_sees_what_is_declared_and_nothing_else(app: Flask, peopled: Cast, name: str) -> None:
    actor: Actor = peopled.people[name]
    with app.app_context():
        session = db.session
        bind(session, actor)
        for table, tenancy in tenancies().items():
            if tenancy.kind == "global":
                continue
            condition = " OR ".join(f"({one})" for one in (tenancy.rows, tenancy.reads) if one)
            seen, allowed = visible(session, table), declared(session, table, condition)
            # Their policies ask another table, which is itself under its policy: they may show less, never more.
            assert seen <= allowed if table in NESTED else seen == allowed, (name, table)
        session.rollback()


@pytest.mark.parametrize("name", ROLES)
def test_private_and_shared_rows_name_the_reader(app: Flask, peopled: Cast, name: str) -> None:
    """The same by plain columns, without the SQL of the policies."""
    actor: Actor = peopled.people[name]
    with app.app_context():
        session = db.session
        bind(session, actor)
        for table, tenancy in tenancies().items():
            columns = metadata.tables[table].columns
            if tenancy.reads or tenancy.kind == "global":
                continue
            names = (
                ["vendor_id", "partner_id"]
                if tenancy.kind == "shared"
                else [OWNERS.get(tenancy.kind, "organization_id")]
            )
            if tenancy.kind == "organization-private" and "other_id" in columns:
                names.append("other_id")
            if not all(one in columns for one in names):
                continue
            rows = session.execute(text(f"SELECT {', '.join(names)} FROM {table}"))
            for row in rows:
                assert actor.organization_id in row, (name, table)
        session.rollback()


@pytest.mark.parametrize("name", ROLES)
def test_a_change_without_where_touches_own_rows_only(app: Flask, peopled: Cast, name: str) -> None:
    actor: Actor = peopled.people[name]
    with app.app_context():
        session = db.session
        bind(session, actor)
        for table, tenancy in tenancies().items():
            if tenancy.kind == "global" or tenancy.append_only:
                continue
            column = next(iter(metadata.tables[table].primary_key)).name
            own = declared(session, table, tenancy.rows or "false")
            moved = session.execute(text(f"UPDATE {table} SET {column} = {column}"))
            assert moved.rowcount == len(own), (name, table)  # type: ignore[attr-defined]
        session.rollback()


def test_a_row_for_someone_else_cannot_be_written(app: Flask, peopled: Cast) -> None:
    statement = text(
        "INSERT INTO partnerships (id, created_at, vendor_id, partner_id, status, tier, territory)"
        " VALUES (gen_random_uuid(), now(), :vendor, :partner, 'active', 'Gold', '')"
    )
    values = {"vendor": peopled.other_vendor_admin.organization_id, "partner": peopled.rival_id}
    with app.app_context():
        bind(db.session, peopled.partner_admin)
        with pytest.raises(Exception, match="row-level security"):
            db.session.execute(statement, values)
        db.session.rollback()
