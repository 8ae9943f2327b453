"""A service with something of everything, and the same service filled by SQL until it is a large one.

`furnish` makes a few rows of each kind through the services; `fill` copies them for a thousand partners, and gives one
of them most of the contacts and deliveries. What the product rolls up, it rolls up here too, with its own code.
"""

from __future__ import annotations

import sys
import time
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from sqlalchemy import select

from benchmarks.launch import Scene
from tcma.access import Actor, Kind
from tcma.campaigns.models import Launch
from tcma.db import db, elevated, unit_of_work
from tcma.delivery import deliverability, planning
from tcma.delivery.queries import CLASSIFICATION_VERSION
from tcma.leads import services as lead_services
from tcma.mdf import programmes
from tests.factories.accounts import invite_partner, publish_terms
from tests.factories.assets import make_kit, make_logo
from tests.factories.claims import finish, make_batch, make_claim
from tests.factories.delivery import make_draft, make_started
from tests.factories.mdf import eur, make_money, make_request
from tests.factories.senders import make_sender

PARTNERS = 1_000
BIG_SHARE = 0.8
"""Of all contacts, with one partner; the others share the rest evenly."""
AUDIT_ROWS = 300_000
AUDIT_A_CONTACT = 0.3

# A row again, with some of its columns changed.
COPY: dict[str, LiteralString] = {
    "organizations": """
        INSERT INTO organizations SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', p.partner_id, 'name', 'Partner ' || p.n, 'slug', 'partner-' || p.n))).*
        FROM organizations o, crowd p WHERE o.id = %(partner)s""",
    "partnerships": """
        INSERT INTO partnerships SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', gen_random_uuid(), 'partner_id', p.partner_id, 'last_active_at', now() - p.n * interval '1 hour'))).*
        FROM partnerships o, crowd p WHERE o.partner_id = %(partner)s AND o.vendor_id = %(vendor)s""",
    "campaign_grants": """
        INSERT INTO campaign_grants SELECT (jsonb_populate_record(o, jsonb_build_object('partner_id', p.partner_id))).*
        FROM campaign_grants o, crowd p WHERE o.partner_id = %(partner)s AND o.vendor_id = %(vendor)s""",
    "kit_grants": """
        INSERT INTO kit_grants SELECT (jsonb_populate_record(o, jsonb_build_object('partner_id', p.partner_id))).*
        FROM kit_grants o, crowd p WHERE o.partner_id = %(partner)s AND o.vendor_id = %(vendor)s""",
    "lists": """
        INSERT INTO lists SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', p.list_id, 'partner_id', p.partner_id, 'name', 'Everybody'))).*
        FROM lists o, everyone p WHERE o.id = %(list)s""",
    "launches": """
        INSERT INTO launches SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', m.launch_id, 'partner_id', m.partner_id, 'name', 'Launch ' || m.n, 'status', m.status,
            'landing_key', left(md5(m.launch_id::text), 20), 'started_at', now() - m.n * interval '1 minute',
            'audience', jsonb_build_object('lists', jsonb_build_array(m.list_id), 'exclude_lists', '[]'::jsonb)))).*
        FROM launches o, made m WHERE o.id = %(launch)s""",
    "launch_touches": """
        INSERT INTO launch_touches SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', m.touch_id, 'launch_id', m.launch_id, 'partner_id', m.partner_id))).*
        FROM launch_touches o, made m WHERE o.launch_id = %(launch)s""",
    "requests": """
        INSERT INTO requests SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', p.request_id, 'partner_id', p.partner_id, 'number', 'R-' || p.n))).*
        FROM requests o, crowd p WHERE o.id = %(request)s""",
    "activities": """
        INSERT INTO activities SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', p.activity_id, 'request_id', p.request_id, 'partner_id', p.partner_id))).*
        FROM activities o, crowd p WHERE o.request_id = %(request)s""",
    "claims": """
        INSERT INTO claims SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', p.claim_id, 'request_id', p.request_id, 'partner_id', p.partner_id, 'number', 'C-' || p.n))).*
        FROM claims o, crowd p WHERE o.id = %(claim)s""",
    "claim_lines": """
        INSERT INTO claim_lines SELECT (jsonb_populate_record(o, jsonb_build_object(
            'id', gen_random_uuid(), 'claim_id', p.claim_id, 'activity_id', p.activity_id,
            'partner_id', p.partner_id))).*
        FROM claim_lines o, crowd p WHERE o.claim_id = %(claim)s""",
}  # fmt: skip
CONTACTS = """
INSERT INTO contacts (partner_id, email, email_key, first_name, last_name, company, job_title, phone, city, country,
                      language, no_tracking, created_at, updated_at)
SELECT partner_id, 'p' || k || '@place' || k %% 40 || '.example', sha256(convert_to(partner_id || '/' || k, 'UTF8')),
       'Person' || k, 'Name' || k %% 5000, 'Company ' || k %% 20000, '', '', 'Hamburg', 'DE', '', false, now(), now()
FROM everyone, generate_series(1, contacts) AS k
"""
WITH_CONTACTS: tuple[LiteralString, ...] = (
    """INSERT INTO consents (partner_id, contact_id, purpose, basis, source, wording_version, at, withdrawn)
       SELECT partner_id, id, 'marketing', 'opt_in', 'our fair', 'manual-1', now(), false
       FROM contacts JOIN everyone USING (partner_id) WHERE NOT EXISTS (
           SELECT 1 FROM consents c WHERE c.partner_id = contacts.partner_id AND c.contact_id = contacts.id)""",
    """INSERT INTO list_members (partner_id, list_id, contact_id, added_at)
       SELECT partner_id, list_id, id, now() FROM contacts JOIN everyone USING (partner_id)""",
    """INSERT INTO suppressions (scope, partner_id, email_key, reason, source, created_at)
       SELECT 'partner', partner_id, email_key, 'unsubscribed', 'benchmark', now()
       FROM contacts JOIN everyone USING (partner_id) WHERE id % 50 = 0 ON CONFLICT DO NOTHING""",
)
# The triggers that keep these counts are off while the rows are made.
COUNTS: tuple[LiteralString, ...] = (
    "DELETE FROM audience_counts USING everyone e WHERE e.partner_id = audience_counts.partner_id",
    """INSERT INTO audience_counts (partner_id, number)
       SELECT partner_id, count(*) FROM contacts JOIN everyone USING (partner_id) GROUP BY 1""",
    """INSERT INTO audience_counts (partner_id, list_id, number)
       SELECT partner_id, m.list_id, count(*) FROM list_members m JOIN everyone e USING (partner_id) GROUP BY 1, 2""",
)
# Of a hundred two are left out, two are refused and one is unknown; of a launch that is sending a tenth waits.
DELIVERIES = """
INSERT INTO deliveries (launch_id, partner_id, launch_touch_id, contact_id, email_key, address, status, reason, attempts,
                        due_at, planned_at, code, response, settled_at)
SELECT launch_id, partner_id, touch_id, id, email_key, email, state,
       CASE state WHEN 'suppressed' THEN 'suppressed_partner' WHEN 'failed' THEN '5.1.1' END, 1, now(), now(),
       CASE state WHEN 'failed' THEN 550 WHEN 'sent' THEN 250 END, CASE state WHEN 'sent' THEN '250 OK' END,
       CASE WHEN state <> 'pending' THEN now() - (id % 20) * interval '1 day' END
FROM (
    SELECT m.*, c.id, c.email_key, c.email,
           CASE WHEN c.id % 100 < 2 THEN 'suppressed' WHEN c.id % 100 < 4 THEN 'failed' WHEN c.id % 100 = 4 THEN 'unknown'
                WHEN m.status = 'sending' AND c.id % 10 = 5 THEN 'pending' ELSE 'sent' END AS state,
           row_number() OVER (PARTITION BY m.launch_id) AS place
    FROM made m JOIN contacts c USING (partner_id)
) AS planned WHERE place <= wanted
"""
EVENTS = """
INSERT INTO events (partner_id, launch_id, delivery_id, contact_id, kind, at, link_number, address, agent, method, detail,
                    source, source_key, batch_id)
SELECT partner_id, launch_id, d.id, contact_id, kind, now() - (d.id % 20) * interval '1 day', 1, '192.0.2.1',
       'Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0 Safari/537.36', 'GET',
       CASE kind WHEN 'bounce' THEN '{"kind": "soft"}'::jsonb ELSE '{}' END, 'crowd', kind || d.id, 1
FROM deliveries d JOIN made USING (launch_id, partner_id),
     LATERAL (VALUES ('open', 4), ('click', 10), ('landing_view', 50), ('bounce', 200)) AS share (kind, one_of)
WHERE d.status = 'sent' AND d.id % one_of = 0
"""
CLASSIFICATIONS = """
INSERT INTO classifications (event_id, version, partner_id, launch_id, verdict, score, reasons)
SELECT id, %(version)s, partner_id, launch_id, CASE WHEN id %% 3 = 0 THEN 'machine' ELSE 'human' END, 1, '{}'
FROM events WHERE source = 'crowd' AND kind IN ('open', 'click')
"""
LEADS = """
INSERT INTO leads (id, created_at, vendor_id, partner_id, launch_id, contact_id, delivery_id, email, email_key, name,
                   company, phone, answers, source, status, score, score_parts, accept_by, next_step, shared_at, updated_at,
                   row_version)
SELECT gen_random_uuid(), now() - d.id %% 500 * interval '1 hour', l.vendor_id, d.partner_id, d.launch_id, c.id, d.id,
       c.email, d.email_key, c.first_name || ' ' || c.last_name, c.company, '', '{}', 'form',
       (ARRAY['new', 'accepted', 'working', 'won', 'lost', 'rejected'])[1 + d.id %% 6], 40, '[]', now() + interval '1 day',
       '', CASE WHEN d.id %% 2 = 0 THEN now() END, now(), 1
FROM deliveries d JOIN launches l ON l.id = d.launch_id JOIN contacts c ON c.id = d.contact_id
WHERE d.status = 'sent' AND d.id %% %(one_of)s = 0
ON CONFLICT DO NOTHING
"""
ACTIVITIES = """
INSERT INTO lead_activities (partner_id, lead_id, at, kind, text, by_name)
SELECT partner_id, id, created_at, 'note', 'Called, will call again.', 'Piet Partner'
FROM leads, generate_series(1, 3)
"""
AUDIT = """
INSERT INTO audit_events (organization_id, other_id, at, actor_organization_id, actor_kind, action, object_type, object_id,
                          request_id)
SELECT %(partner)s, %(vendor)s, now() - n * interval '1 minute', %(partner)s, 'service', 'launch.send', 'launches',
       gen_random_uuid(), '' FROM generate_series(1, %(count)s) AS n
"""


def furnish(stage: Scene) -> None:
    """A few rows of every kind, so that pages have something to show."""
    cast = stage.cast
    publish_terms(cast.vendor_admin)
    invite_partner(cast.vendor_admin)
    make_logo(cast.partner_marketer)
    make_sender(cast.partner_admin)
    make_kit(cast.vendor_marketer)
    money = make_money(cast, budget=9_000_000, allocated=20_000)
    make_draft(cast, name="A draft of autumn", campaign=stage.campaign)
    make_started(cast, campaign=stage.campaign)
    sent = make_started(cast, campaign=stage.campaign)
    finish(sent)
    make_batch(make_claim(cast, state="approved", money=money))
    make_request(cast, money)
    make_claim(cast, state="submitted", launch=sent, money=money)
    db.session.rollback()


def roll_up(launches: list[tuple[UUID, UUID]]) -> None:
    """Totals, leads' totals and days by domain of these (partner, launch), as the sweeps would make them."""
    for partner_id, launch_id in launches:
        with unit_of_work(Actor.system(partner_id, Kind.PARTNER)) as session:
            launch = session.get_one(Launch, launch_id)
            planning.count_totals(session, launch)
            lead_services.count_lead_totals(session, launch)
            session.flush()
            deliverability.count_launch(session, launch)
        db.session.expunge_all()


def make_leads(connection: psycopg.Connection[Any], *, one_of: int) -> None:
    """A lead from one of so many sent deliveries."""
    connection.execute(LEADS, {"one_of": one_of})
    connection.execute(ACTIVITIES)


def plan_crowd(
    connection: psycopg.Connection[Any], *, partner_id: UUID, partners: int, contacts: int, deliveries: int
) -> None:
    """Who will be there, in tables that last as long as the connection: `crowd` are the other partners, `everyone` all
    with their contacts, `made` the launches."""
    big, small = int(contacts * BIG_SHARE), int(contacts * (1 - BIG_SHARE)) // max(1, partners - 2)
    connection.execute(
        """CREATE TEMP TABLE crowd AS SELECT n, gen_random_uuid() AS partner_id, gen_random_uuid() AS request_id,
           gen_random_uuid() AS activity_id, gen_random_uuid() AS claim_id FROM generate_series(1, %s) AS n""",
        [partners - 2],
    )
    connection.execute(
        """CREATE TEMP TABLE everyone AS SELECT partner_id, n, gen_random_uuid() AS list_id, %s AS contacts FROM crowd
           UNION ALL SELECT %s, 0, gen_random_uuid(), %s""",
        [small, partner_id, big],
    )
    connection.execute(
        """CREATE TEMP TABLE made AS SELECT partner_id, list_id, n, gen_random_uuid() AS launch_id,
           gen_random_uuid() AS touch_id, 'finished' AS status, contacts AS wanted FROM everyone WHERE n > 0""",
    )
    left, number = deliveries - small * (partners - 2), 0
    while left > 0:
        connection.execute(
            """INSERT INTO made SELECT partner_id, list_id, %s, gen_random_uuid(), gen_random_uuid(), %s, %s
               FROM everyone WHERE n = 0""",
            [-number, "finished" if number else "sending", min(left, big)],
        )
        left, number = left - big, number + 1
    for name in ("crowd", "everyone", "made"):
        connection.execute(f"ANALYZE {name}")  # type: ignore[arg-type]


def fill(
    stage: Scene, connection: psycopg.Connection[Any], *, partners: int, contacts: int, deliveries: int
) -> None:
    """Copy what `furnish` made until it is a large service."""
    cast = stage.cast
    began = time.perf_counter()

    def told(what: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {what}", file=sys.stderr)

    def one(statement: LiteralString, *values: object) -> Any:
        found = connection.execute(statement, values).fetchone()
        assert found is not None, statement
        return found[0]

    partner_id, vendor_id = cast.partner_id, cast.vendor_id
    given = {
        "partner": partner_id, "vendor": vendor_id, "version": CLASSIFICATION_VERSION,
        "list": one("SELECT id FROM lists WHERE partner_id = %s LIMIT 1", partner_id),
        "launch": one("SELECT id FROM launches WHERE partner_id = %s AND status = 'finished' LIMIT 1", partner_id),
        "request": one("SELECT id FROM requests WHERE partner_id = %s AND status = 'submitted' LIMIT 1", partner_id),
        "claim": one("SELECT id FROM claims WHERE partner_id = %s AND status = 'submitted' LIMIT 1", partner_id),
        "count": min(AUDIT_ROWS, int(contacts * AUDIT_A_CONTACT)),
    }  # fmt: skip
    # The rows are copies of rows that were checked; checking each foreign key again would take most of the time.
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET work_mem = '256MB'")
    plan_crowd(connection, partner_id=partner_id, partners=partners, contacts=contacts, deliveries=deliveries)
    for table, statement in COPY.items():
        connection.execute(statement, given)
        told(f"copied {table}")
    connection.execute(CONTACTS, given)
    told("contacts")
    for statement in WITH_CONTACTS + COUNTS:
        connection.execute(statement)
    connection.execute(
        "UPDATE launches SET audience = jsonb_build_object('lists', jsonb_build_array(list_id), 'exclude_lists', "
        "'[]'::jsonb) FROM everyone e WHERE e.partner_id = launches.partner_id AND launches.status = 'draft' AND e.n = 0"
    )
    told("consents, lists, suppressions")
    connection.execute(DELIVERIES)
    told("deliveries")
    connection.execute(EVENTS)
    connection.execute(CLASSIFICATIONS, given)
    told("events and their classes")
    connection.execute("ANALYZE deliveries, events, contacts")
    make_leads(connection, one_of=500)
    connection.execute(AUDIT, given)
    connection.execute("VACUUM ANALYZE")
    told("leads and audit rows")
    launches = [(row[0], row[1]) for row in connection.execute("SELECT partner_id, launch_id FROM made")]
    with stage.app.app_context():
        roll_up(launches)
        told(f"rolled up {len(launches)} launches")
        with unit_of_work(cast.finance) as session:
            fund_id = one("SELECT fund_id FROM allocations WHERE partner_id = %s LIMIT 1", partner_id)
            expires_on = one("SELECT expires_on FROM allocations WHERE partner_id = %s LIMIT 1", partner_id)
            for (other,) in connection.execute("SELECT partner_id FROM crowd").fetchall():
                programmes.allocate(
                    session, cast.finance, fund_id=fund_id, partner_id=other, amount=eur(1_000), expires_on=expires_on
                )
        db.session.expunge_all()
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
    told("all is there")


def launches_of(partner_id: UUID) -> list[tuple[UUID, UUID]]:
    """(partner, launch) of all that began."""
    with elevated(db.session, "a benchmark rolls up what it made"):
        found = db.session.execute(
            select(Launch.partner_id, Launch.id).where(Launch.partner_id == partner_id, Launch.started_at.is_not(None))
        ).all()
    db.session.rollback()
    return [(row[0], row[1]) for row in found]
