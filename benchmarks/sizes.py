"""What rows take on disk, indexes and all partitions included: what docs/scale.md reckons with."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tcma.postgres import SUPERUSER, EmbeddedPostgres


def superuser(server: EmbeddedPostgres, *, database: str = "bench") -> psycopg.Connection[Any]:
    """A connection that no policy holds back; each statement commits by itself."""
    url = server.url(SUPERUSER, database=database).replace("postgresql+psycopg://", "postgresql://")
    return psycopg.connect(url, autocommit=True)


def bytes_a_row(connection: psycopg.Connection[Any], table: str) -> int:
    """Bytes of a row of `table` with its indexes, over all partitions; 0 for an empty table."""
    found = connection.execute(
        "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s) WHERE isleaf", [table]
    ).fetchone()
    # A table without partitions is no tree.
    whole = found[0] if found and found[0] is not None else None
    if whole is None:
        whole = connection.execute("SELECT pg_total_relation_size(%s)", [table]).fetchone()[0]  # type: ignore[index]
    rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return round(int(whole) / rows[0]) if rows and rows[0] else 0
