"""Tracked links as `tcma web` answers them, against a bare redirect by the same server; and none lost when it is killed.

    python -m benchmarks.clicks [--hits 20000] [--contacts 10000] [--rounds 5]

Both are served by granian with the same settings and as many processes, and asked by the same plain client. Both are
up for the whole of it and asked in turns of short bursts, so that whatever else the machine does meets both alike. A
burst takes as long as the slowest client says, from its first request to its last answer. Each hit has a user agent of
its own, so that those that were answered can be compared with those that were loaded one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import select

from benchmarks.launch import Scene, scene
from benchmarks.sizes import bytes_a_row, superuser
from tcma.access import Actor, Kind
from tcma.campaigns.models import Launch
from tcma.config import REPO, settings
from tcma.db import unit_of_work
from tcma.delivery import tokens, tracking
from tcma.delivery.models import Delivery, LaunchTouch

GOAL = 0.6
CLIENTS = 4
CONNECTIONS = 2
"""Of each client: eight in all, more than the threads of two processes can work on at a time."""

BURSTS = 5
"""Of each server in a turn."""


def bare_redirect() -> Callable[..., Iterable[bytes]]:
    """A WSGI application that answers everything with one redirect."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("302 Found", [("Location", "https://vendor.example/offer"), ("Content-Length", "0")])
        return [b""]

    return answer


def _environment(stage: Scene, port: int) -> dict[str, str]:
    conf = json.loads((stage.folder / "settings.json").read_text())
    kept = ("data_dir", "database_url", "secret_key", "suppression_key", "smtp_url", "broker_url")
    given = {f"TCMA_{name.upper()}": str(conf[name]) for name in kept}
    return {**os.environ, **given, "TCMA_PORT": str(port), "TCMA_LOG_FORMAT": "text"}


@dataclass
class Web:
    """A web server in a process group of its own."""

    process: subprocess.Popen[bytes]
    port: int

    def kill(self) -> None:
        """kill -9 to the server and all its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def web(stage: Scene, target: str) -> Iterator[Web]:
    """`tcma web`, or the bare redirect under the same settings, answering."""
    port = free_port()
    command = {
        "tcma": [sys.executable, "-m", "tcma.cli", "web", "--port", str(port)],
        "bare": [sys.executable, "-c", "from tcma.web_server import serve; serve('benchmarks.clicks:bare_redirect')"],
    }[target]
    process = subprocess.Popen(command, cwd=REPO, env=_environment(stage, port), start_new_session=True)
    server = Web(process, port)
    try:
        wait_for(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def wait_for(server: Web) -> None:
    """Until the server answers, whatever it says."""
    opener = urllib.request.build_opener(_Stay)
    until = time.monotonic() + 60
    while True:
        try:
            opener.open(f"http://127.0.0.1:{server.port}/healthz", timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            if time.monotonic() > until or server.process.poll() is not None:
                raise
            time.sleep(0.05)


@dataclass
class Load:
    """Clients that are ready; `go` lets them begin, `end` waits for them."""

    running: list[subprocess.Popen[str]]
    folder: Path

    def go(self) -> None:
        for one in self.running:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()

    def end(self) -> tuple[float, list[str]]:
        """(seconds of the slowest client, the hits that were answered by their user agents).

        Raises where a client failed.
        """
        seconds = 0.0
        for one in self.running:
            said = one.communicate(timeout=300)[0]
            if one.returncode != 0:
                raise RuntimeError("a client of the tracked links failed")
            seconds = max(seconds, json.loads(said)["seconds"])
        return seconds, [
            line
            for place in range(len(self.running))
            for line in (self.folder / f"answered-{place}").read_text().split()
        ]


def ready_load(stage: Scene, port: int, *, hits: int, mark: str) -> Load:
    running = []
    for place in range(CLIENTS):
        command = [sys.executable, "benchmarks/clicker.py", str(port), "--file", str(stage.folder / "tokens")]
        command += ["--hits", str(hits // CLIENTS), "--connections", str(CONNECTIONS), "--mark", f"{mark}-{place}"]
        command += ["--answered", str(stage.folder / f"answered-{place}")]
        running.append(subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    return Load(running, stage.folder)


def burst(stage: Scene, server: Web, *, hits: int, mark: str) -> tuple[float, list[str]]:
    """(seconds, the hits that were answered)."""
    load = ready_load(stage, server.port, hits=hits, mark=mark)
    load.go()
    return load.end()


def rates(stage: Scene, *, hits: int, rounds: int) -> list[tuple[float, float]]:
    """(tracked links, bare redirects) answered a second, of each turn, by servers that were warmed by a few hits."""
    found = []
    with web(stage, "tcma") as ours, web(stage, "bare") as peer:
        for server in (ours, peer):
            burst(stage, server, hits=CLIENTS * CONNECTIONS * 20, mark="warm")
        for turn in range(1, rounds + 1):
            done, seconds = {ours.port: 0, peer.port: 0}, {ours.port: 0.0, peer.port: 0.0}
            for number in range(BURSTS):
                for server in (ours, peer) if number % 2 else (peer, ours):
                    took, answered = burst(stage, server, hits=hits // BURSTS, mark=f"{turn}-{number}")
                    done[server.port] += len(answered)
                    seconds[server.port] += took
            reached, bare = (done[one.port] / seconds[one.port] for one in (ours, peer))
            print(f"turn {turn}: {reached:,.0f} of {bare:,.0f} hits/s ({reached / bare:.3f})", file=sys.stderr)
            found.append((reached, bare))
    return found


def killed(stage: Scene, *, hits: int) -> list[str]:
    """The hits answered by a server that is killed -9 in the middle, and by the next one."""
    with web(stage, "tcma") as server:
        load = ready_load(stage, server.port, hits=hits, mark="killed")
        load.go()
        spooled = stage.folder / "data"
        before = _spooled(spooled)
        until = time.monotonic() + 120
        while _spooled(spooled) < before + hits // 3 * 150 and time.monotonic() < until:
            time.sleep(0.005)
        server.kill()
        answered = load.end()[1]
        print(f"killed after {len(answered)} answers", file=sys.stderr)
        assert len(answered) < hits, "the load was over before the server was killed"
    with web(stage, "tcma") as server:
        return answered + burst(stage, server, hits=hits // 4, mark="after")[1]


def _spooled(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*.spool"))


def write_tokens(stage: Scene, launch: Launch) -> None:
    """Signed tokens of every link of every delivery, in no order."""
    system = Actor.system(launch.partner_id, Kind.PARTNER)
    with unit_of_work(system) as session:
        touch = session.scalars(select(LaunchTouch).where(LaunchTouch.launch_id == launch.id)).one()
        delivery_ids = session.scalars(select(Delivery.id).where(Delivery.launch_id == launch.id)).all()
    key = settings().derived_keys("tracking")[0]
    made = {tokens.click_token(one, link["number"], key=key) for one in delivery_ids for link in touch.links}
    (stage.folder / "tokens").write_text("\n".join(made))


def compare(answered: list[str], loaded: Iterable[str]) -> dict[str, int]:
    """How many answered hits were never loaded (lost), and how many hits were loaded more than once (twice)."""
    times = Counter(loaded)
    return {
        "lost": sum(1 for one in answered if times[one] == 0),
        "twice": sum(1 for count in times.values() if count > 1),
    }


def run(*, hits: int = 20_000, contacts: int = 10_000, rounds: int = 5) -> list[dict[str, Any]]:
    """The rows of this benchmark, measured on a throwaway server of its own."""
    with scene(9, contacts=contacts, processes=1) as stage:
        launch = stage.launch()
        with stage.app.app_context():
            write_tokens(stage, launch)
        turns = rates(stage, hits=hits, rounds=rounds)
        # Only the rate of these was asked for; what is answered from here on is compared hit by hit.
        for one in (stage.folder / "data").rglob("*.spool"):
            one.unlink()
        answered = killed(stage, hits=hits)
        began = time.perf_counter()
        with stage.app.app_context():
            loaded = tracking.load_hits()
        seconds = time.perf_counter() - began
        with superuser(stage.server) as connection:
            found = compare(answered, (row[0] for row in connection.execute("SELECT agent FROM events")))
            size = bytes_a_row(connection, "events") + bytes_a_row(connection, "classifications")
        print(f"loaded {loaded} of {len(answered)} answered in {seconds:.1f} s", file=sys.stderr)
    ratios = [reached / peer for reached, peer in turns]
    about = f"{hits} hits, {CLIENTS * CONNECTIONS} connections"
    return [
        {"name": f"answer tracked links ({about})", "value": round(median(one for one, _ in turns), 1), "unit": "hits/s",
         "peer": "bare redirect by the same server", "peer_value": round(median(one for _, one in turns), 1),
         "ratio": round(median(ratios), 3), "goal": f">= {GOAL}",
         "spread": [round(min(ratios), 3), round(max(ratios), 3)]},
        _plain("answered hits lost, web killed -9 in the middle", found["lost"], "hits", "0"),
        _plain("hits loaded twice", found["twice"], "hits", "0"),
        _plain("load and judge hits", round(loaded / seconds, 1), "hits/s", ""),
        _plain("an event with its verdict and indexes", size, "bytes", ""),
    ]  # fmt: skip


def _plain(name: str, value: float, unit: str, goal: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": "", "peer_value": None, "ratio": None, "goal": goal}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hits", type=int, default=20_000)
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for row in run(hits=given.hits, contacts=given.contacts, rounds=given.rounds):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
