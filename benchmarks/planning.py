"""A launch planned by the service, against the same rows by a plain INSERT … SELECT of the superuser.

    python -m benchmarks.planning [--contacts 1000000] [--rounds 3]

The service reads the lists, asks for each contact whether it may be written to, obeys row-level security, counts the
totals and hands out the sending, all in one transaction. The plain statement does nothing of that. Each begins with an
empty table of deliveries.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.launch import Scene, scene
from benchmarks.sizes import bytes_a_row, superuser
from tcma.campaigns.models import Launch
from tests.factories.delivery import plan

GOAL = 0.6
CONTACTS = """
WITH made AS (
    INSERT INTO contacts (partner_id, email, email_key, first_name, last_name, company, job_title, phone, city, country,
                          language, no_tracking, created_at, updated_at)
    SELECT %(partner)s, 'p' || n || '@bench.example', sha256(convert_to('p' || n, 'UTF8')), 'Person' || n, 'Müller',
           'Company ' || n, '', '', 'Hamburg', 'DE', '', false, now(), now()
    FROM generate_series(1, %(count)s) AS n
    RETURNING id
), consented AS (
    INSERT INTO consents (partner_id, contact_id, purpose, basis, source, wording_version, at, withdrawn)
    SELECT %(partner)s, id, 'marketing', 'opt_in', 'our fair', 'manual-1', now(), false FROM made
)
INSERT INTO list_members (partner_id, list_id, contact_id, added_at) SELECT %(partner)s, %(list)s, id, now() FROM made
"""
SUPPRESSED = """
INSERT INTO suppressions (scope, partner_id, email_key, reason, source, created_at)
SELECT 'partner', partner_id, email_key, 'unsubscribed', 'benchmark', now()
FROM contacts WHERE id % 50 = 0
"""
PLAIN = """
INSERT INTO deliveries (launch_id, partner_id, launch_touch_id, contact_id, email_key, address, status, reason, attempts,
                        due_at, planned_at, settled_at)
SELECT %(launch)s, %(partner)s, %(touch)s, id, email_key, email, 'pending', NULL, 0, now(), now(), NULL FROM contacts
WHERE partner_id = %(partner)s
"""


def make_people(connection: psycopg.Connection[Any], *, partner_id: UUID, list_id: UUID, count: int) -> None:
    """Contacts with consent on a list; every fiftieth is suppressed."""
    connection.execute(CONTACTS, {"partner": partner_id, "list": list_id, "count": count})
    connection.execute(SUPPRESSED)
    connection.execute("VACUUM ANALYZE contacts, consents, list_members, suppressions")


def planned(stage: Scene, launch: Launch) -> float:
    """Rows a second of the service."""
    with stage.app.app_context():
        began = time.perf_counter()
        plan(launch)
        return time.perf_counter() - began


def plainly(connection: psycopg.Connection[Any], launch: Launch) -> float:
    """Seconds of the plain statement, for the touch of a launch that was planned."""
    connection.execute("TRUNCATE deliveries")
    touch = connection.execute("SELECT id FROM launch_touches WHERE launch_id = %s", [launch.id]).fetchone()
    assert touch is not None
    given = {"launch": launch.id, "partner": launch.partner_id, "touch": touch[0]}
    connection.execute("CHECKPOINT")
    began = time.perf_counter()
    connection.execute(PLAIN, given)
    return time.perf_counter() - began


def run(*, contacts: int = 1_000_000, rounds: int = 3) -> list[dict[str, Any]]:
    """The rows of this benchmark, measured on a throwaway server of its own."""
    ours, peers, ratios, size = [], [], [], 0
    with scene(9, contacts=0, processes=3) as stage, superuser(stage.server) as connection:
        partner_id = stage.cast.partner_marketer.organization_id
        print(f"making {contacts} contacts in the database …", file=sys.stderr)
        make_people(connection, partner_id=partner_id, list_id=stage.people.id, count=contacts)
        for turn in range(1, rounds + 1):
            with stage.app.app_context():
                launch = stage.start()
            connection.execute("TRUNCATE deliveries")
            connection.execute("CHECKPOINT")
            ours.append(contacts / planned(stage, launch))
            made = _status(connection)
            assert made == {"pending": contacts - contacts // 50, "suppressed": contacts // 50}, made
            size = bytes_a_row(connection, "deliveries")
            peers.append(contacts / plainly(connection, launch))
            ratios.append(ours[-1] / peers[-1])
            print(f"turn {turn}: {ours[-1]:,.0f} of {peers[-1]:,.0f} rows/s ({ratios[-1]:.3f})", file=sys.stderr)
    return [
        {"name": f"plan a launch ({contacts} contacts)", "value": round(median(ours), 1), "unit": "rows/s",
         "peer": "plain INSERT … SELECT of the superuser", "peer_value": round(median(peers), 1),
         "ratio": round(median(ratios), 3), "goal": f">= {GOAL}",
         "spread": [round(min(ratios), 3), round(max(ratios), 3)]},
        {"name": "a planned delivery with its indexes", "value": size, "unit": "bytes", "peer": "", "peer_value": None,
         "ratio": None, "goal": ""},
    ]  # fmt: skip


def _status(connection: psycopg.Connection[Any]) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute("SELECT status, count(*) FROM deliveries GROUP BY 1")}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for row in run(contacts=given.contacts, rounds=given.rounds):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
