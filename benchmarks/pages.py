"""Every page of each role in a large service, against the same page where there is hardly anything.

    python -m benchmarks.pages [--partners 1000] [--contacts 1000000] [--deliveries 2000000] [--rounds 20]

The pages are found as people find them, by following links from home, and some are named: the largest launch, a second
page, a search. Both services answer in this process, in turns. Each statement of the large one is explained and timed.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from flask.testing import FlaskClient
from sqlalchemy import event

from benchmarks.crowd import fill, furnish, launches_of, make_leads, roll_up
from benchmarks.launch import Scene, scene
from benchmarks.sizes import superuser
from tcma.access import Actor
from tcma.config import Settings, use_settings
from tcma.db import db

GOAL = 2
SLOW_MS = 50
MANY_ROWS = 10_000
ROLES = ("partner_marketer", "partner_admin", "vendor_marketer", "channel_manager", "finance", "vendor_admin", "operator")
DEPTH = 2
PER_ROLE = 60
GROWING = re.compile(r"(deliveries|events|classifications|contacts|consents|suppressions|list_members|leads|lead_activities|audit_events)(_p?\d+)?$")
LINK = re.compile(r'<a\b[^>]*?\bhref="(/[^"#]*)')
# Whatever is a file, or makes something, is no page.
FILES = re.compile(r"(/download|/original|/yours|/thumbnail|/export\.\w+|\.csv|\.json|\.png|/file|/content)$|format=|sign-out")
NUMBERS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/|$)")


@dataclass
class Page:
    """One page of one role: where it stands in either service, and what was measured (milliseconds)."""

    role: str
    name: str
    empty: str
    full: str
    times: dict[str, list[float]] = field(default_factory=lambda: {"empty": [], "full": []})
    statements: int = 0
    growing: list[str] = field(default_factory=list)

    def p95(self, which: str) -> float:
        """The 95th percentile of what was measured."""
        ordered = sorted(self.times[which])
        return ordered[math.ceil(len(ordered) * 0.95) - 1]

    @property
    def ratio(self) -> float:
        return self.p95("full") / self.p95("empty")


def kind(path: str) -> str:
    """The same for all pages of one shape: ids and the values of filters do not count."""
    parts = urlsplit(path)
    names = sorted(one.partition("=")[0] for one in parts.query.split("&"))
    return NUMBERS.sub("*", parts.path) + ("?" + "&".join(names) if parts.query else "")


def crawl(browser: FlaskClient) -> dict[str, str]:
    """One path of each shape that is reached from home."""
    found, waiting = {"/": "/"}, deque([("/", 0)])
    reached: dict[str, str] = {}
    while waiting and len(reached) < PER_ROLE:
        path, depth = waiting.popleft()
        answer = browser.get(path)
        if answer.status_code != 200 or answer.mimetype != "text/html":
            continue
        reached[kind(path)] = path
        if depth < DEPTH:
            for link in LINK.findall(answer.get_data(as_text=True)):
                link = html.unescape(link)
                if not FILES.search(link) and kind(link) not in found:
                    found[kind(link)] = link
                    waiting.append((link, depth + 1))
    return reached


def named(connection: psycopg.Connection[Any], partner_id: UUID) -> dict[str, dict[str, str]]:
    """Pages by role that no link leads to, and pages of the largest things."""

    def one(statement: str, *values: object) -> Any:
        found = connection.execute(statement, values).fetchone()  # type: ignore[call-overload]
        assert found is not None, statement
        return found[0]

    largest = "SELECT l.id FROM launches l JOIN launch_totals t ON t.launch_id = l.id WHERE l.partner_id = %s AND l.status = %s ORDER BY planned DESC LIMIT 1"
    live, done = one(largest, partner_id, "sending"), one(largest, partner_id, "finished")
    draft = one("SELECT id FROM launches WHERE partner_id = %s AND status = 'draft' LIMIT 1", partner_id)
    middle = one("SELECT (min(id) + max(id)) / 2 FROM contacts WHERE partner_id = %s", partner_id)
    contact = one("SELECT id FROM contacts WHERE partner_id = %s AND id >= %s ORDER BY id LIMIT 1", partner_id, middle)
    delivery = one("SELECT id FROM deliveries WHERE launch_id = %s AND status = 'sent' ORDER BY id DESC LIMIT 1", done)
    lead = one("SELECT id FROM leads WHERE partner_id = %s LIMIT 1", partner_id)
    shared = one("SELECT id FROM leads WHERE partner_id = %s AND shared_at IS NOT NULL LIMIT 1", partner_id)
    whom = one("SELECT list_id FROM list_members WHERE partner_id = %s GROUP BY 1 ORDER BY count(*) DESC LIMIT 1", partner_id)
    last = one("SELECT id FROM leads WHERE partner_id = %s ORDER BY id DESC LIMIT 1", partner_id)
    partner = {
        "contacts": "/contacts", "contacts, second page": f"/contacts?after={middle}",
        "contacts, common search": "/contacts?q=name1", "contacts, rare search": "/contacts?q=zz",
        "contacts of a list": f"/contacts?list={whom}", "lists": "/lists", "imports": "/imports",
        "one contact": f"/contacts/{contact}", "change a contact": f"/contacts/{contact}/edit", "new contact": "/contacts/new",
        "launches": "/launches", "a launch before its start": f"/launches/{draft}", "preview": f"/launches/{draft}/preview",
        "a launch that sends": f"/launches/{live}", "its progress": f"/launches/{live}/progress",
        "a finished launch": f"/launches/{done}", "deliveries": f"/launches/{done}/deliveries",
        "deliveries, second page": f"/launches/{done}/deliveries?after={delivery // 2}",
        "deliveries that failed": f"/launches/{done}/deliveries?status=failed",
        "deliveries, search": f"/launches/{done}/deliveries?q=p7", "deliveries, rare search": f"/launches/{done}/deliveries?q=zz",
        "one delivery": f"/launches/{done}/deliveries/{delivery}", "its mail": f"/launches/{done}/deliveries/{delivery}/mail",
        "deliverability": "/deliverability", "leads": "/leads", "leads as a list": "/leads?view=list",
        "leads, search": "/leads?view=list&q=zz", "leads, second page": f"/leads?view=list&after={last}",
        "one lead": f"/leads/{lead}", "search": "/search?q=name1", "rare search": "/search?q=zz",
    }  # fmt: skip
    vendor = {
        "launches": "/launches", "a launch that sends": f"/launches/{live}", "a finished launch": f"/launches/{done}",
        "launches, search": "/launches?q=zz", "partners": "/partners", "partners, search": "/partners?q=zz",
        "one partner": f"/partners/{partner_id}", "leads": "/leads", "leads, search": "/leads?view=list&q=zz",
        "one lead": f"/leads/{shared}", "funnel": "/funnel", "search": "/search?q=partner",
    }  # fmt: skip
    return {
        "partner_marketer": partner, "partner_admin": {"sender": "/brand/senders"}, "vendor_marketer": vendor,
        "channel_manager": vendor, "finance": {"search": "/search?q=c-1", "audit": "/audit", "ledger": "/ledger"},
        "vendor_admin": {}, "operator": {"parts": "/service", "metrics": "/metrics"},
    }  # fmt: skip


@dataclass
class Service:
    """One of the two, with a browser for each role."""

    stage: Scene
    conf: Settings
    browsers: dict[str, FlaskClient]
    named: dict[str, dict[str, str]]

    def get(self, role: str, path: str) -> tuple[int, float]:
        """(status, milliseconds) of one page."""
        use_settings(self.conf)
        began = time.perf_counter()
        answer = self.browsers[role].get(path)
        answer.get_data()
        return answer.status_code, (time.perf_counter() - began) * 1000


def opened(stage: Scene, connection: psycopg.Connection[Any]) -> Service:
    """The service with everybody signed in."""
    conf = Settings.model_validate_json((stage.folder / "settings.json").read_text())
    use_settings(conf)
    people: dict[str, Actor] = {name: stage.cast.people[name] for name in ROLES}
    return Service(
        stage, conf, {name: stage.cast.client(one) for name, one in people.items()},
        named(connection, stage.cast.partner_id),
    )  # fmt: skip


def pages(empty: Service, full: Service) -> list[Page]:
    """All pages that both services have, each shape once an organization."""
    found: list[Page] = []
    seen: set[tuple[UUID, str]] = set()
    for role in ROLES:
        organization = full.stage.cast.people[role].organization_id
        by_service = []
        for one in (empty, full):
            use_settings(one.conf)
            by_service.append(crawl(one.browsers[role]))
        for name in full.named[role]:
            paths = (empty.named[role][name], full.named[role][name])
            statuses = [one.get(role, path)[0] for one, path in zip((empty, full), paths, strict=True)]
            if statuses != [200, 200]:
                print(f"left out: {role} {name} {paths[1]} {statuses}", file=sys.stderr)
                continue
            seen.add((organization, kind(paths[1])))
            found.append(Page(role, name, *paths))
        for shape, path in by_service[1].items():
            # Where an empty service has no such link (a second page), the page without its query stands for it.
            peer = by_service[0].get(shape) or by_service[0].get(shape.partition("?")[0])
            if (organization, shape) in seen and shape != "/":
                continue
            seen.add((organization, shape))
            if peer is None:
                print(f"left out: {role} {shape}: not in the empty service", file=sys.stderr)
            else:
                found.append(Page(role, shape, peer, path))
    return found


@contextmanager
def watched(service: Service, page: Page) -> Iterator[None]:
    """Explain and time each statement of the page; what grows with a table is noted."""
    with service.stage.app.app_context():
        engine = db.engine

    def before(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    def after(connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        spent = (time.perf_counter() - context.began) * 1000
        page.statements += 1
        if many or not statement.lstrip().upper().startswith(("SELECT", "WITH")):
            return
        with connection.connection.cursor() as cursor:
            cursor.execute("EXPLAIN (FORMAT JSON) " + statement, parameters)
            plan = cursor.fetchone()[0][0]["Plan"]
            whole = [name for name in scanned(plan) if _rows(cursor, name) > MANY_ROWS]
        why = [f"reads {name} from end to end" for name in dict.fromkeys(whole)]
        if spent > SLOW_MS:
            why.append(f"takes {spent:,.0f} ms")
        if why:
            page.growing.append(f"{', '.join(why)}: {' '.join(statement.split())}")

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)


def scanned(plan: dict[str, Any]) -> list[str]:
    """The growing tables that a plan reads without an index."""
    found = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" and GROWING.match(plan["Relation Name"]) else []
    return found + [name for one in plan.get("Plans", []) for name in scanned(one)]


def _rows(cursor: Any, table: str) -> int:
    cursor.execute("SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", [table])
    found = cursor.fetchone()
    return int(found[0]) if found else 0


def measure(empty: Service, full: Service, found: list[Page], *, rounds: int) -> None:
    """Each page in turns, after two requests that nobody counts; the statements in a request of their own."""
    for number, page in enumerate(found, 1):
        for _ in range(2):
            empty.get(page.role, page.empty)
            full.get(page.role, page.full)
        for _ in range(rounds):
            page.times["empty"].append(empty.get(page.role, page.empty)[1])
            page.times["full"].append(full.get(page.role, page.full)[1])
        with watched(full, page):
            full.get(page.role, page.full)
        if number % 20 == 0:
            print(f"{number} of {len(found)} pages", file=sys.stderr)


def tell(found: list[Page]) -> None:
    """The slowest pages, and the statements that grow."""
    for page in sorted(found, key=lambda one: one.ratio, reverse=True)[:25]:
        print(
            f"{page.ratio:7.2f}  {page.p95('empty'):7.1f} -> {page.p95('full'):8.1f} ms  {page.statements:3} statements  "
            f"{page.role}: {page.name}", file=sys.stderr,
        )  # fmt: skip
    for page in found:
        for one in page.growing:
            print(f"{page.role}: {page.name}: {one[:1500]}", file=sys.stderr)


def run(
    *, partners: int = 1_000, contacts: int = 1_000_000, deliveries: int = 2_000_000, rounds: int = 20
) -> list[dict[str, Any]]:
    """The rows of this benchmark, measured on two throwaway servers of its own."""
    with (
        scene(9, contacts=0, processes=1) as small, scene(9, contacts=0, processes=1) as large,
        superuser(small.server) as few, superuser(large.server) as many,
    ):  # fmt: skip
        for stage, connection in ((small, few), (large, many)):
            use_settings(Settings.model_validate_json((stage.folder / "settings.json").read_text()))
            with stage.app.app_context():
                furnish(stage)
                make_leads(connection, one_of=1)
                roll_up(launches_of(stage.cast.partner_id))
        fill(large, many, partners=partners, contacts=contacts, deliveries=deliveries)
        few.execute("VACUUM ANALYZE")
        empty, full = opened(small, few), opened(large, many)
        found = pages(empty, full)
        measure(empty, full, found, rounds=rounds)
        use_settings(None)
    tell(found)
    worst = max(found, key=lambda one: one.ratio)
    about = f"{partners} partners, {contacts} contacts, {deliveries} deliveries"
    growing = {one.partition(": ")[2] for page in found for one in page.growing}
    return [
        {"name": f"slowest of {len(found)} pages at {about}: {worst.role}, {worst.name}", "value": round(worst.p95("full"), 1),
         "unit": "ms (p95)", "peer": "the page with hardly any rows", "peer_value": round(worst.p95("empty"), 1),
         "ratio": round(worst.ratio, 2), "goal": f"<= {GOAL}"},
        {"name": "the page in the middle", "value": round(median(one.p95("full") for one in found), 1), "unit": "ms (p95)",
         "peer": "the page with hardly any rows", "peer_value": round(median(one.p95("empty") for one in found), 1),
         "ratio": round(median(one.ratio for one in found), 2), "goal": f"<= {GOAL}"},
        _plain("pages over twice the time", sum(one.ratio > GOAL for one in found), "pages"),
        _plain(f"queries that read a growing table from end to end, or take over {SLOW_MS} ms", len(growing), "queries"),
    ]  # fmt: skip


def _plain(name: str, value: int, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": "", "peer_value": None, "ratio": None, "goal": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--partners", type=int, default=1_000)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--deliveries", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    for row in run(**vars(parser.parse_args())):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
