"""Commits and approvals by several connections at once on one fund: is the arithmetic right, and how fast?

    python -m benchmarks.ledger [--operations 10000] [--threads 4] [--approvals 5]

Every thread opens its own transactions: most post a commitment to the ledger, each hundredth part (`--approvals`)
is a whole approval of a request by its service. More is asked than there is, so that the end shows whether the
fund was overdrawn. The peer is the same number of the same rows inserted without lock, check or balance.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from uuid import UUID

from flask import Flask
from sqlalchemy import create_engine, text

from tcma import clock, create_app, ids
from tcma.config import Settings
from tcma.db import unit_of_work
from tcma.errors import Invalid
from tcma.mdf import ledger, requests
from tcma.mdf.balances import AccountKey
from tcma.mdf.ledger_check import check_ledger
from tcma.mdf.models import Fund
from tcma.mdf.states import AccountKind
from tcma.migrate import upgrade
from tcma.money import Money
from tcma.postgres import EmbeddedPostgres, start_throwaway
from tests.factories.cast import Cast, make_cast
from tests.factories.mdf import eur, make_money, make_request

SIZE = Money.of(1, "EUR")


def commit_one(cast: Cast, fund_id: UUID) -> bool:
    """One commitment of one euro; False where the allocation refused it."""
    try:
        with unit_of_work(cast.finance) as session:
            fund = session.get_one(Fund, fund_id)
            source = ids.new_id()
            legs = ledger.transfer(
                AccountKey(AccountKind.ALLOCATED, cast.partner_id),
                AccountKey(AccountKind.COMMITTED, cast.partner_id, None),
                SIZE,
            )
            ledger.post(
                session, cast.finance, fund=fund, event="committed", source_type="benchmark", source_id=source,
                partner_id=cast.partner_id, legs=legs,
            )  # fmt: skip
        return True
    except Invalid:
        return False


def approve_one(cast: Cast, request_id: UUID) -> bool:
    try:
        with unit_of_work(cast.channel_manager) as session:
            requests.approve_request(session, cast.channel_manager, request_id)
        return True
    except Invalid:
        return False


def work(app: Flask, cast: Cast, fund_id: UUID, jobs: list[UUID | None], outcomes: list[tuple[bool, bool]]) -> None:
    """Do each job in a transaction of its own: None is a commitment, an id the approval of that request."""
    with app.app_context():
        for job in jobs:
            done = commit_one(cast, fund_id) if job is None else approve_one(cast, job)
            outcomes.append((job is not None, done))


def insert_plainly(owner: str, cast: Cast, fund: Fund, operations: int) -> float:
    """Seconds for the rows of `operations` postings, one transaction each, by one connection."""
    engine = create_engine(owner)
    row = {"v": cast.vendor_id, "p": cast.partner_id, "f": fund.id, "now": clock.now()}
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE plain_t (LIKE ledger_transactions)"))
        connection.execute(text("CREATE TABLE plain_e (LIKE ledger_entries INCLUDING IDENTITY)"))
        account = connection.execute(text("SELECT id FROM ledger_accounts LIMIT 1")).scalar_one()
    began = time.perf_counter()
    with engine.connect() as connection:
        for _ in range(operations):
            with connection.begin():
                values = {**row, "t": ids.new_id(), "a": account}
                connection.execute(
                    text(
                        "INSERT INTO plain_t (id, vendor_id, partner_id, fund_id, source_type, source_id, event, memo, at)"
                        " VALUES (:t, :v, :p, :f, 'x', :t, 'x', '', :now)"
                    ),
                    values,
                )
                for side in ("debit", "credit"):
                    connection.execute(
                        text(
                            "INSERT INTO plain_e (vendor_id, partner_id, transaction_id, account_id, side,"
                            " amount_minor, currency) VALUES (:v, :p, :t, :a, :side, 1, 'EUR')"
                        ),
                        {**values, "side": side},
                    )
    seconds = time.perf_counter() - began
    engine.dispose()
    return seconds


def measure(
    server: EmbeddedPostgres, data: Path, *, operations: int, threads: int, approvals: int
) -> dict[str, object]:
    """The row of this benchmark; `value` is operations a second, and `holds` whether every sum was right."""
    server.create_database("bench")
    owner = server.url("tcma_owner", database="bench")
    upgrade(owner)
    app = create_app(
        Settings(
            _env_file=None, data_dir=data, database_url=server.url("tcma_app", database="bench"), migration_url=owner,
            secret_key="bench", suppression_key="bench", broker_url="memory://",
        )
    )  # fmt: skip
    asked = operations * approvals // 100
    with app.app_context():
        cast = make_cast(app)
        # Nine in ten of what is asked for is there.
        money = make_money(cast, budget=operations, allocated=operations * 9 // 10, cap=eur(10 * operations))
        fund_id = money.fund.id
        jobs: list[UUID | None] = [None] * (operations - asked)
        step = max(1, operations // max(1, asked))
        for number in range(asked):
            jobs.insert(number * step, make_request(cast, money, requested=1).id)
        fund = money.fund
    outcomes: list[list[tuple[bool, bool]]] = [[] for _ in range(threads)]
    hands = [
        threading.Thread(target=work, args=(app, cast, fund_id, jobs[number::threads], outcomes[number]))
        for number in range(threads)
    ]
    began = time.perf_counter()
    for hand in hands:
        hand.start()
    while any(hand.is_alive() for hand in hands):
        time.sleep(1)
        done = sum(map(len, outcomes))
        print(f"\r{done}/{operations} in {time.perf_counter() - began:.0f} s", end="", file=sys.stderr)
    seconds = time.perf_counter() - began
    print(file=sys.stderr)
    done = [one for each in outcomes for one in each]
    kept = sum(ok for _, ok in done)
    with app.app_context(), unit_of_work(cast.finance) as session:
        held = ledger.balances(session, fund_id)
        holds = (
            len(done) == operations
            and held[AccountKind.COMMITTED] == kept * SIZE
            and held[AccountKind.ALLOCATED] + held[AccountKind.COMMITTED] == eur(operations * 9 // 10)
            and held[AccountKind.ALLOCATED].minor >= 0
            and Money.total(held.values(), "EUR") == eur(0)
            and check_ledger(session, fund_id) == []
        )
    sample = min(operations, 2000)
    plain = sample / insert_plainly(owner, cast, fund, sample)
    rate = operations / seconds
    return {
        "name": "ledger", "value": round(rate, 1), "unit": "operations/s", "peer": "the same rows, plainly inserted",
        "peer_value": round(plain, 1), "ratio": round(rate / plain, 3), "goal": "arithmetic holds", "holds": holds,
        "operations": operations, "approvals": asked, "threads": threads, "kept": kept, "refused": operations - kept,
    }  # fmt: skip


def run(*, operations: int = 10_000, threads: int = 4, approvals: int = 5) -> dict[str, object]:
    """Measure on a throwaway server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="tcma-bench-"))
    server = start_throwaway(folder / "pg")
    try:
        return measure(server, folder / "data", operations=operations, threads=threads, approvals=approvals)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=min(4, 2 * (os.cpu_count() or 1)))
    parser.add_argument("--approvals", type=int, default=5, help="of a hundred operations")
    given = parser.parse_args()
    row = run(operations=given.operations, threads=given.threads, approvals=given.approvals)
    print(json.dumps(row))
    sys.exit(0 if row["holds"] else 1)


if __name__ == "__main__":
    main()
