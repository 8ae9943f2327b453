"""How many contacts a partner has, and how many are on each list, kept beside the rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

POLICIES = [
    "GRANT SELECT, INSERT, UPDATE, DELETE ON audience_counts TO tcma_app, tcma_system",
    "ALTER TABLE audience_counts ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE audience_counts FORCE ROW LEVEL SECURITY",
    "CREATE POLICY tenant ON audience_counts TO tcma_app USING (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)) WITH CHECK (partner_id = (SELECT NULLIF(current_setting('tcma.org', true), '')::uuid))",
    "CREATE POLICY system ON audience_counts TO tcma_system USING (true) WITH CHECK (true)",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tcma_app, tcma_system",
]
# Each statement adds one row for what it changed, so that writers never wait for each other.
TRIGGERS = [
    """
    CREATE FUNCTION count_contacts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO audience_counts (partner_id, number)
            SELECT partner_id, count(*) FROM after_rows WHERE erased_at IS NULL GROUP BY partner_id;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO audience_counts (partner_id, number)
            SELECT partner_id, -count(*) FROM before_rows WHERE erased_at IS NULL GROUP BY partner_id;
        ELSE
            INSERT INTO audience_counts (partner_id, number)
            SELECT partner_id, sum(number) FROM (
                SELECT partner_id, count(*) AS number FROM after_rows WHERE erased_at IS NULL GROUP BY partner_id
                UNION ALL
                SELECT partner_id, -count(*) FROM before_rows WHERE erased_at IS NULL GROUP BY partner_id
            ) AS changed GROUP BY partner_id HAVING sum(number) <> 0;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION count_list_members() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO audience_counts (partner_id, list_id, number)
            SELECT partner_id, list_id, count(*) FROM after_rows GROUP BY partner_id, list_id;
        ELSE
            INSERT INTO audience_counts (partner_id, list_id, number)
            SELECT partner_id, list_id, -count(*) FROM before_rows GROUP BY partner_id, list_id;
        END IF;
        RETURN NULL;
    END $$
    """,
    "ALTER FUNCTION count_contacts() OWNER TO tcma_system",
    "ALTER FUNCTION count_list_members() OWNER TO tcma_system",
    """
    CREATE TRIGGER count_inserted AFTER INSERT ON contacts REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_contacts()
    """,
    """
    CREATE TRIGGER count_updated AFTER UPDATE ON contacts REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_contacts()
    """,
    """
    CREATE TRIGGER count_deleted AFTER DELETE ON contacts REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_contacts()
    """,
    """
    CREATE TRIGGER count_inserted AFTER INSERT ON list_members REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_list_members()
    """,
    """
    CREATE TRIGGER count_deleted AFTER DELETE ON list_members REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_list_members()
    """,
]
COUNTED = [
    "LOCK TABLE contacts, list_members IN SHARE ROW EXCLUSIVE MODE",
    # The owner of the tables is held by their policies; this role sees every tenant's rows.
    "SET LOCAL ROLE tcma_system",
    "INSERT INTO audience_counts (partner_id, number) "
    "SELECT partner_id, count(*) FROM contacts WHERE erased_at IS NULL GROUP BY partner_id",
    "INSERT INTO audience_counts (partner_id, list_id, number) "
    "SELECT partner_id, list_id, count(*) FROM list_members GROUP BY partner_id, list_id",
    "RESET ROLE",
]


def upgrade() -> None:
    op.create_table(
        "audience_counts",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("list_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audience_counts")),
    )
    op.create_index(
        op.f("ix_audience_counts_partner_id_list_id"), "audience_counts", ["partner_id", "list_id"], unique=False
    )
    for statement in POLICIES + TRIGGERS + COUNTED:
        op.execute(sa.text(statement.replace(":", "\\:")))
