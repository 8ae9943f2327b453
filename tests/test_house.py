"""The house itself: tenancy in the database, the guard on every route, migrations that agree with models."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from tcma.config import Settings
from tcma.db import bind, db, policies
from tcma.migrate import include_object
from tcma.tables import metadata, tenancies
from tcma.web import PUBLIC_ENDPOINTS
from tests.factories.cast import Cast


def test_models_and_migrations_agree(test_settings: Settings) -> None:
    engine = create_engine(test_settings.migration_url or "")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": include_object})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_every_table_declares_a_tenancy() -> None:
    assert set(tenancies()) == {table.name for table in metadata.sorted_tables}


def test_the_database_holds_the_declared_policies(test_settings: Settings) -> None:
    """Each policy is made anew from the models on a copy of its table and compared as the database spells it."""
    engine = create_engine(test_settings.migration_url or "")
    read = text("SELECT policyname, coalesce(qual, ''), roles::text FROM pg_policies WHERE schemaname = 'public' AND tablename = :t ORDER BY 1")
    forced = text("SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = CAST(:t AS regclass)")
    with engine.connect() as connection:
        for table, tenancy in tenancies().items():
            held = list(connection.execute(read, {"t": table}))
            if tenancy.kind == "global":
                assert held == [], table
                continue
            assert connection.scalar(forced, {"t": table}), table
            transaction = connection.begin_nested()
            for name, *_ in held:
                connection.execute(text(f"DROP POLICY {name} ON {table}"))
            for statement in policies(table, tenancy):
                connection.execute(text(statement.replace(":", "\\:")))
            assert list(connection.execute(read, {"t": table})) == held, table
            transaction.rollback()
    engine.dispose()


# Everybody may read the platform's own rows in them, which are of no tenant.
PLATFORM_ROWS = {"sending_domains", "dkim_keys"}


def test_without_an_actor_only_global_tables_have_rows(app: Flask, cast: Cast, session: Session) -> None:
    bind(session, None)
    for table, tenancy in tenancies().items():
        if table in PLATFORM_ROWS:
            assert session.scalar(text(f"SELECT count(*) FROM {table} WHERE partner_id IS NOT NULL")) == 0, table
        elif tenancy.kind != "global" and table != "suppressions":
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table


@pytest.mark.parametrize("mutation", ["UPDATE {t} SET {c} = {c}", "DELETE FROM {t}"])
def test_append_only_tables_refuse_change_even_to_the_owner(test_settings: Settings, mutation: str, cast: Cast) -> None:
    engine = create_engine(test_settings.migration_url or "")
    with engine.connect() as connection:
        statement = mutation.format(t="audit_events", c="action")
        with pytest.raises(Exception, match="append-only"):
            connection.execute(text(statement))
    engine.dispose()


def test_every_route_but_the_public_ones_refuses_a_stranger(app: Flask) -> None:
    browser = app.test_client()
    for number, rule in enumerate(app.url_map.iter_rules()):
        # Each asks from a host of its own, or the limit of keyless requests would answer for the later ones.
        host = {"REMOTE_ADDR": f"10.1.{number // 250}.{number % 250}"}
        if rule.endpoint in PUBLIC_ENDPOINTS:
            continue
        values = {name: _sample(converter) for name, converter in rule._converters.items()}
        url = app.url_map.bind("localhost").build(rule.endpoint, values, method=next(iter(rule.methods or {"GET"})))
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            response = browser.open(url, method=method, base_url="http://localhost:8000", environ_base=host)
            assert response.status_code in (302, 401, 403, 404, 405), (rule, method, response.status_code)
            if response.status_code == 302:
                assert "/sign-in" in response.headers["Location"], (rule, method)


def _sample(converter: object) -> object:
    kind = type(converter).__name__
    if kind == "AnyConverter":
        return sorted(converter.items)[0]  # type: ignore[attr-defined]
    if kind == "UUIDConverter":
        return "01900000-0000-7000-8000-000000000000"
    return 1 if kind == "IntegerConverter" else "sample"


def test_the_app_role_is_neither_owner_nor_above_the_rules(session: Session) -> None:
    row = session.execute(
        text("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user")
    ).one()
    assert tuple(row) == (False, False, False)
    assert session.scalar(text("SELECT current_user")) == "tcma_app"
    assert db.engine.dialect.name == "postgresql"
