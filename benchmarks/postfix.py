"""Postfix' own load tools, smtp-source and smtp-sink: the peers of sending.

They are taken from the path, or from Debian's package: fetched and unpacked into .make/postfix without installing
anything, so no mail server starts. Without both, a plain-socket sender and a sink of ours stand in.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tcma.config import REPO

FOLDER = REPO / ".make" / "postfix"
# What the tools load that a small machine may lack.
PACKAGES = ("postfix", "libicu72", "libdb5.3", "libssl3")
_PLACES = "/usr/sbin:/usr/lib/postfix/sbin"


@dataclass(frozen=True)
class Tools:
    """Where the two programs are, and what they need in their environment."""

    source: str
    sink: str
    environment: dict[str, str]

    def works(self) -> bool:
        """Whether the loader finds all that they need: asked for nothing, they name themselves in their complaint."""
        for program in (self.source, self.sink):
            said = subprocess.run([program, "-?"], capture_output=True, text=True, env=self.environment, timeout=20)
            if "usage:" not in said.stderr + said.stdout:
                return False
        return True


def tools() -> Tools | None:
    """The tools of this machine, or those of the package; None where neither can be had."""
    installed = _found(os.environ.get("PATH", "") + ":" + _PLACES, dict(os.environ))
    if installed is not None and installed.works():
        return installed
    libraries = ":".join(str(one) for one in (FOLDER / "usr/lib/postfix", *FOLDER.glob("usr/lib/*-linux-gnu")))
    if not FOLDER.exists():
        _unpack()
    unpacked = _found(str(FOLDER / "usr/sbin"), {**os.environ, "LD_LIBRARY_PATH": libraries})
    return unpacked if unpacked is not None and unpacked.works() else None


def _found(path: str, environment: dict[str, str]) -> Tools | None:
    source, sink = shutil.which("smtp-source", path=path), shutil.which("smtp-sink", path=path)
    return Tools(source, sink, environment) if source and sink else None


def _unpack() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return
    print("fetching Postfix' load tools …", file=sys.stderr)
    fresh = FOLDER.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for package in PACKAGES:
        # One that this release does not have may not be needed either; whether the tools work is tried.
        subprocess.run(["apt-get", "download", "-q", package], cwd=fresh, capture_output=True, timeout=300)
    for archive in fresh.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive.name, "."], cwd=fresh, check=True, timeout=120)
        archive.unlink()
    fresh.rename(FOLDER)


@contextmanager
def smtp_sink(found: Tools) -> Iterator[int]:
    """Postfix' sink on a free port."""
    port = _free_port()
    command = [found.sink, f"127.0.0.1:{port}", "1000"]
    if os.geteuid() == 0:
        command[1:1] = ["-u", pwd.getpwnam("nobody").pw_name]
    process = subprocess.Popen(command, env=found.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def smtp_source(found: Tools, port: int, *, size: int, messages: int, connections: int) -> float:
    """Messages a second of Postfix' load generator: `size` octets each, over as many connections that stay open."""
    command = [found.source, "-d", "-N", "-s", str(connections), "-m", str(messages), "-l", str(size)]
    began = time.perf_counter()
    subprocess.run(
        [*command, f"inet:127.0.0.1:{port}"], check=True, env=found.environment, capture_output=True, timeout=900
    )
    return messages / (time.perf_counter() - began)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("smtp-sink did not start")
