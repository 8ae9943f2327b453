"""Tables of the message broker, and the revision readable for /readyz and `tcma doctor`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parents[1] / "broker.sql").read_text())
    op.execute("GRANT SELECT ON alembic_version TO tcma_app")
