"""Tables of the message broker, for where the database is the broker."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The file never changes once released.
    op.execute((Path(__file__).parents[1] / "broker.sql").read_text())
