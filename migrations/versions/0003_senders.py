"""Sending identities: whose domain a mail is signed for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

POLICIES = [
    'GRANT SELECT, INSERT, UPDATE, DELETE ON sending_domains TO tcma_app, tcma_system',
    'ALTER TABLE sending_domains ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE sending_domains FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON sending_domains TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON sending_domains TO tcma_system USING (true) WITH CHECK (true)',
    'CREATE POLICY granted ON sending_domains FOR SELECT TO tcma_app USING (partner_id IS NULL)',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON dkim_keys TO tcma_app, tcma_system',
    'ALTER TABLE dkim_keys ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE dkim_keys FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON dkim_keys TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON dkim_keys TO tcma_system USING (true) WITH CHECK (true)',
    'CREATE POLICY granted ON dkim_keys FOR SELECT TO tcma_app USING (partner_id IS NULL)',
    'GRANT SELECT, INSERT, UPDATE, DELETE ON sending_identities TO tcma_app, tcma_system',
    'ALTER TABLE sending_identities ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE sending_identities FORCE ROW LEVEL SECURITY',
    "CREATE POLICY tenant ON sending_identities TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    'CREATE POLICY system ON sending_identities TO tcma_system USING (true) WITH CHECK (true)',
]


def upgrade() -> None:
    create_tables()
    for statement in POLICIES:
        op.execute(sa.text(statement.replace(":", "\\:")))


def create_tables() -> None:
    op.create_table('sending_domains',
    sa.Column('partner_id', sa.Uuid(), nullable=True),
    sa.Column('name', sa.String(length=253), nullable=False),
    sa.Column('findings', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('checked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('next_check_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('verified_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lost_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sending_domains')),
    sa.UniqueConstraint('partner_id', 'id', name=op.f('uq_sending_domains_partner_id_id')),
    sa.UniqueConstraint('partner_id', 'name', name=op.f('uq_sending_domains_partner_id_name'), postgresql_nulls_not_distinct=True)
    )
    op.create_index(op.f('ix_sending_domains_next_check_at'), 'sending_domains', ['next_check_at'], unique=False)
    op.create_table('dkim_keys',
    sa.Column('partner_id', sa.Uuid(), nullable=True),
    sa.Column('domain_id', sa.Uuid(), nullable=False),
    sa.Column('selector', sa.String(length=63), nullable=False),
    sa.Column('public_key', sa.Text(), nullable=False),
    sa.Column('private_key', sa.LargeBinary(), nullable=True),
    sa.Column('status', sa.Enum('pending', 'active', 'retired', name='keystatus', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('activated_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('retired_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['domain_id'], ['sending_domains.id'], name=op.f('fk_dkim_keys_domain_id')),
    sa.ForeignKeyConstraint(['partner_id', 'domain_id'], ['sending_domains.partner_id', 'sending_domains.id'], name=op.f('fk_dkim_keys_partner_id_domain_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dkim_keys')),
    sa.UniqueConstraint('domain_id', 'selector', name=op.f('uq_dkim_keys_domain_id_selector'))
    )
    op.create_index('uq_dkim_keys_active', 'dkim_keys', ['domain_id'], unique=True, postgresql_where=sa.text("status = 'active'"))
    op.create_index('uq_dkim_keys_pending', 'dkim_keys', ['domain_id'], unique=True, postgresql_where=sa.text("status = 'pending'"))
    op.create_table('sending_identities',
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('domain_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('address', sa.String(length=254), nullable=False),
    sa.Column('reply_to', sa.String(length=254), nullable=False),
    sa.Column('status', sa.Enum('pending', 'verified', 'lapsed', 'retired', name='senderstatus', native_enum=False, create_constraint=True, length=40), nullable=False),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('verified_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['domain_id'], ['sending_domains.id'], name=op.f('fk_sending_identities_domain_id')),
    sa.ForeignKeyConstraint(['partner_id', 'domain_id'], ['sending_domains.partner_id', 'sending_domains.id'], name=op.f('fk_sending_identities_partner_id_domain_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sending_identities'))
    )
    op.create_index(op.f('ix_sending_identities_domain_id'), 'sending_identities', ['domain_id'], unique=False)
    op.create_index('uq_sending_identities_address', 'sending_identities', ['partner_id', 'address'], unique=True, postgresql_where=sa.text("status <> 'retired'"))
    op.create_index('uq_sending_identities_default', 'sending_identities', ['partner_id'], unique=True, postgresql_where=sa.text('is_default'))
