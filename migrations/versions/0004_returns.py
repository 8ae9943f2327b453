"""What comes back: stored webhooks, bounces and complaints."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

POLICIES = [
    'GRANT SELECT, INSERT, UPDATE, DELETE ON return_counts TO tcma_app, tcma_system',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON returns TO tcma_app, tcma_system',
    'ALTER TABLE returns ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE returns FORCE ROW LEVEL SECURITY',
    'CREATE POLICY tenant ON returns TO tcma_app USING (false) WITH CHECK (false)',
    'CREATE POLICY system ON returns TO tcma_system USING (true) WITH CHECK (true)',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON domain_counts TO tcma_app, tcma_system',
    'ALTER TABLE domain_counts ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE domain_counts FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON domain_counts TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON domain_counts TO tcma_system USING (true) WITH CHECK (true)',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON domain_days TO tcma_app, tcma_system',
    'ALTER TABLE domain_days ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE domain_days FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON domain_days TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON domain_days TO tcma_system USING (true) WITH CHECK (true)',
    'GRANT SELECT, INSERT ON launch_alarms TO tcma_app, tcma_system',
    'ALTER TABLE launch_alarms ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE launch_alarms FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON launch_alarms TO tcma_app USING (vendor_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid) OR partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (vendor_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid) OR partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON launch_alarms TO tcma_system USING (true) WITH CHECK (true)',
    'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON launch_alarms FOR EACH ROW EXECUTE FUNCTION refuse_change()',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON touched_launches TO tcma_app, tcma_system',
    'ALTER TABLE touched_launches ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE touched_launches FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON touched_launches TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON touched_launches TO tcma_system USING (true) WITH CHECK (true)',
]
REASONS = ("unsubscribed", "bounced", "complained", "manual", "erased", "paused")


def upgrade() -> None:
    create_tables()
    for statement in POLICIES:
        op.execute(sa.text(statement.replace(":", "\\:")))
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tcma_app, tcma_system")
    # A reader may pause mail for a while: one more reason why an address is left alone.
    op.execute("ALTER TABLE suppressions DROP CONSTRAINT ck_suppressions_suppressionreason")
    op.create_check_constraint(
        op.f("ck_suppressions_suppressionreason"), "suppressions", sa.column("reason").in_(REASONS)
    )


def create_tables() -> None:
    op.create_table('return_counts',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('count', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('source', 'outcome', name=op.f('pk_return_counts'))
    )
    op.create_table('returns',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('envelope', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('processed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('delivery_id', sa.BigInteger(), nullable=True),
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_returns')),
    sa.UniqueConstraint('source', 'key', name=op.f('uq_returns_source_key'))
    )
    op.create_index('ix_returns_bodies', 'returns', ['received_at'], unique=False, postgresql_where=sa.text("body <> ''::bytea"))
    op.create_index('ix_returns_delivery', 'returns', ['delivery_id'], unique=False, postgresql_where=sa.text('delivery_id IS NOT NULL'))
    op.create_index('ix_returns_due', 'returns', ['due_at'], unique=False, postgresql_where=sa.text('processed_at IS NULL'))
    op.create_table('domain_counts',
    sa.Column('launch_id', sa.Uuid(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('counted_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['partner_id', 'launch_id'], ['launches.partner_id', 'launches.id'], name=op.f('fk_domain_counts_partner_id_launch_id')),
    sa.PrimaryKeyConstraint('launch_id', name=op.f('pk_domain_counts'))
    )
    op.create_table('domain_days',
    sa.Column('launch_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('domain', sa.Text(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('sender', sa.Text(), nullable=False),
    sa.Column('sent', sa.Integer(), nullable=False),
    sa.Column('failed', sa.Integer(), nullable=False),
    sa.Column('bounced', sa.Integer(), nullable=False),
    sa.Column('complained', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['partner_id', 'launch_id'], ['launches.partner_id', 'launches.id'], name=op.f('fk_domain_days_partner_id_launch_id')),
    sa.PrimaryKeyConstraint('launch_id', 'day', 'domain', name=op.f('pk_domain_days'))
    )
    op.create_index('ix_domain_days_read', 'domain_days', ['partner_id', 'day', 'sender'], unique=False)
    op.create_table('launch_alarms',
    sa.Column('vendor_id', sa.Uuid(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('launch_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Enum('bounces', 'complaints', 'about_us', name='alarmkind', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('counted', sa.Integer(), nullable=False),
    sa.Column('attempted', sa.Integer(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.ForeignKeyConstraint(['vendor_id', 'partner_id', 'launch_id'], ['launches.vendor_id', 'launches.partner_id', 'launches.id'], name=op.f('fk_launch_alarms_vendor_id_partner_id_launch_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_launch_alarms'))
    )
    op.create_index(op.f('ix_launch_alarms_launch_id_id'), 'launch_alarms', ['launch_id', 'id'], unique=False)
    op.create_index(op.f('ix_launch_alarms_vendor_id'), 'launch_alarms', ['vendor_id'], unique=False)
    op.create_table('touched_launches',
    sa.Column('launch_id', sa.Uuid(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['partner_id', 'launch_id'], ['launches.partner_id', 'launches.id'], name=op.f('fk_touched_launches_partner_id_launch_id')),
    sa.PrimaryKeyConstraint('launch_id', name=op.f('pk_touched_launches'))
    )
