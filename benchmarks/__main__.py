"""Measure, print the table, and write benchmarks/results.json.

python -m benchmarks [--only NAME]
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

from benchmarks import launch, ledger, startup
from tcma import clock

RESULTS = Path(__file__).with_name("results.json")
COLUMNS = ("name", "value", "unit", "peer", "peer_value", "ratio", "goal")


def _ledger() -> list[dict[str, Any]]:
    return [dict(ledger.run())]


BENCHMARKS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "startup": startup.run,
    "launch": launch.run,
    "ledger": _ledger,
}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    cells = [COLUMNS, *(tuple(_shown(row.get(name)) for name in COLUMNS) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the service against its peers.")
    parser.add_argument("--only", choices=sorted(BENCHMARKS), help="one benchmark instead of all")
    only = parser.parse_args().only
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    done: list[dict[str, Any]] = []
    for name, measure in BENCHMARKS.items():
        if only is None or only == name:
            print(f"== {name}", file=sys.stderr)
            done += [{"benchmark": name, **row} for row in measure()]
    measured = {row["benchmark"] for row in done}
    rows = [row for row in kept if row.get("benchmark") not in measured] + done
    machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}, {platform.machine()}"
    RESULTS.write_text(
        json.dumps({"machine": machine, "measured_at": clock.now().isoformat(), "rows": rows}, indent=1) + "\n"
    )
    print(table(done))


if __name__ == "__main__":
    main()
