"""Limits of sending: windows, caps, breakers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

POLICIES = [
    "GRANT SELECT, INSERT, UPDATE, DELETE ON provider_breakers TO tcma_app, tcma_system",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON sending_rules TO tcma_app, tcma_system",
    "ALTER TABLE sending_rules ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE sending_rules FORCE ROW LEVEL SECURITY",
    "CREATE POLICY tenant ON sending_rules TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    "CREATE POLICY system ON sending_rules TO tcma_system USING (true) WITH CHECK (true)",
]


def upgrade() -> None:
    op.create_table(
        "provider_breakers",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_breakers")),
    )
    op.create_table(
        "sending_rules",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("cap_mails", sa.Integer(), nullable=False),
        sa.Column("cap_days", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("cap_days BETWEEN 1 AND 365", name=op.f("ck_sending_rules_cap_days")),
        sa.CheckConstraint("cap_mails BETWEEN 1 AND 100", name=op.f("ck_sending_rules_cap_mails")),
        sa.ForeignKeyConstraint(["partner_id"], ["organizations.id"], name=op.f("fk_sending_rules_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sending_rules")),
        sa.UniqueConstraint("partner_id", name=op.f("uq_sending_rules_partner_id")),
    )
    op.add_column("launches", sa.Column("pace", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    for statement in POLICIES:
        op.execute(sa.text(statement.replace(":", "\\:")))
