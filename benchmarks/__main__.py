"""Measure, print the table, and write benchmarks/results.json.

python -m benchmarks [--only NAME] [--quick]

`--quick` measures small numbers, to see that all runs; its figures are rough and are not written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import clicks, imports, kills, launch, ledger, pages, planning, startup
from tcma import clock

RESULTS = Path(__file__).with_name("results.json")
COLUMNS = ("name", "value", "unit", "peer", "peer_value", "ratio", "goal", "spread")


Rows = list[dict[str, Any]]


def _launch(*, quick: bool) -> Rows:
    return launch.run(contacts=2_000, many=0, rounds=1) if quick else launch.run()


def _kills(*, quick: bool) -> Rows:
    return kills.run(contacts=2_000, kills=10) if quick else kills.run()


def _clicks(*, quick: bool) -> Rows:
    return clicks.run(hits=4_000, contacts=2_000, rounds=1) if quick else clicks.run()


def _planning(*, quick: bool) -> Rows:
    return planning.run(contacts=20_000, rounds=1) if quick else planning.run()


def _imports(*, quick: bool) -> Rows:
    return imports.run(contacts=8_000) if quick else imports.run()


def _ledger(*, quick: bool) -> Rows:
    return [dict(ledger.run(operations=1_000) if quick else ledger.run())]


def _pages(*, quick: bool) -> Rows:
    return pages.run(partners=20, contacts=4_000, deliveries=6_000, rounds=3) if quick else pages.run()


BENCHMARKS: dict[str, Callable[..., Rows]] = {
    "startup": lambda *, quick: startup.run(),
    "launch": _launch,
    "kills": _kills,
    "clicks": _clicks,
    "planning": _planning,
    "imports": _imports,
    "ledger": _ledger,
    "pages": _pages,
}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    cells = [COLUMNS, *(tuple(_shown(row.get(name)) for name in COLUMNS) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(_shown(one) for one in value)
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the service against its peers.")
    parser.add_argument("--only", choices=sorted(BENCHMARKS), help="one benchmark instead of all")
    parser.add_argument("--quick", action="store_true", help="small numbers, rough figures, results.json stays")
    given = parser.parse_args()
    only, quick = given.only, given.quick
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    done: list[dict[str, Any]] = []
    for name, measure in BENCHMARKS.items():
        if only is None or only == name:
            print(f"== {name}", file=sys.stderr)
            done += [{"benchmark": name, **row} for row in measure(quick=quick)]
    if quick:
        print(table(done))
        return
    measured = {row["benchmark"] for row in done}
    rows = [row for row in kept if row.get("benchmark") not in measured] + done
    machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}, {platform.machine()}"
    RESULTS.write_text(
        json.dumps({"machine": machine, "measured_at": clock.now().isoformat(), "rows": rows}, indent=1) + "\n"
    )
    print(table(done))


if __name__ == "__main__":
    main()
