"""Columns that contacts are searched by: an index on an expression does not serve under row-level security."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # One statement, so that the table is written once.
    op.execute(
        "ALTER TABLE contacts "
        "ADD COLUMN lower_email text NOT NULL GENERATED ALWAYS AS (lower(email)) STORED, "
        "ADD COLUMN lower_last_name text NOT NULL GENERATED ALWAYS AS (lower(last_name)) STORED, "
        "ADD COLUMN lower_company text NOT NULL GENERATED ALWAYS AS (lower(company)) STORED"
    )
    for old in ("email", "name", "company"):
        op.drop_index(f"ix_contacts_search_{old}", "contacts")
    for name in ("lower_email", "lower_last_name", "lower_company"):
        op.create_index(
            f"ix_contacts_{name}", "contacts", ["partner_id", name], postgresql_ops={name: "text_pattern_ops"}
        )
