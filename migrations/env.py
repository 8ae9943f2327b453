"""Alembic environment: runs as the owner role, over a connection or URL given by `tcma.migrate`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from tcma.migrate import include_object
from tcma.tables import metadata

config = context.config


def run() -> None:
    engine = create_engine(config.attributes["url"])
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, include_object=include_object)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
