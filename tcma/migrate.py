"""Migrations: up only, as the owner role, one at a time."""

from __future__ import annotations

import re
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tcma.config import REPO

_PARTITION = re.compile(r"_p\d+$")


def include_object(thing: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Leave partitions and the broker's schema out of comparisons between models and database."""
    table = thing if kind == "table" else getattr(thing, "table", None)
    if table is None:
        return True
    return table.schema in (None, "public") and not _PARTITION.search(table.name)


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(REPO / "migrations").replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` (owner role) up to `revision`; raises what alembic raises."""
    command.upgrade(alembic_config(url), revision)


def heads() -> set[str]:
    """The newest revisions in the code."""
    return set(ScriptDirectory.from_config(alembic_config("")).get_heads())


def current(url: str) -> set[str]:
    """The revisions that the database at `url` is at; empty for a new one."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return set(MigrationContext.configure(connection).get_current_heads())
    finally:
        engine.dispose()
