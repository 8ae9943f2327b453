"""How long `tcma up` takes until it can serve, when its data folder is there already.

python -m benchmarks.startup
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tcma.config import REPO


def seconds_to_ready(folder: Path, port: int) -> float:
    """Start everything in one, wait for /readyz, and stop it again."""
    environment = {**os.environ, "TCMA_DATA_DIR": str(folder), "TCMA_LOG_FORMAT": "text"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tcma.cli", "up", "--port", str(port)], cwd=REPO, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while time.perf_counter() - began < 120:
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - began
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise TimeoutError("the service was not ready within two minutes")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def run() -> list[dict[str, Any]]:
    """The first start makes the database, the second is measured."""
    folder = Path(tempfile.mkdtemp(prefix="tcma-up-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        first = seconds_to_ready(folder, port)
        second = seconds_to_ready(folder, port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [
        {"name": "tcma up until /readyz, second start", "value": round(second, 2), "unit": "s", "peer": "first start",
         "peer_value": round(first, 2), "ratio": round(second / first, 3), "goal": "<= 10"}
    ]  # fmt: skip


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
