"""Where an embedded cluster lives, as whom it runs, and folders that are safe to share a machine with others.

For a data folder D: as an ordinary user D/pg; as root /var/lib/tcma/<hash of D>/, for PostgreSQL refuses to
run as root, and the unprivileged user it then runs as must not need D or its parents opened.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tcma.postgres_programs import unprivileged_user

ROOT_HOME = Path("/var/lib/tcma")
SOCKET_NAME = ".s.PGSQL.5432"
# A socket's address holds 108 bytes with its closing zero (unix(7), sun_path).
SOCKET_PATH_LIMIT = 107
ABANDONED_AFTER = 3600.0


class PostgresError(Exception):
    """The embedded database cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Place:
    """Where a cluster lives and as whom it runs; `uid` and `gid` are None for the present user."""

    home: Path
    socket_dir: Path
    uid: int | None
    gid: int | None

    @property
    def pgdata(self) -> Path:
        return self.home / "pg"

    @property
    def startup_log(self) -> Path:
        return self.home / "pg-start.log"


def find_place(data_dir: Path, *, for_tests: bool = False) -> Place:
    """Where the cluster of `data_dir` lives: the same answer for every process of the same user."""
    mine = data_dir / "pg"
    if os.geteuid() != 0:
        return Place(data_dir, _socket_dir(mine, data_dir), None, None)
    if (mine / "PG_VERSION").exists() and mine.stat().st_uid != 0:
        # Made by an ordinary user, now used by root: it goes on running as its owner.
        owner = mine.stat()
        return Place(data_dir, _socket_dir(mine, data_dir), owner.st_uid, owner.st_gid)
    home = Path(f"/tmp/tcma-{_short_hash(data_dir)}") if for_tests else ROOT_HOME / _short_hash(data_dir)  # noqa: S108 - claimed safely by make_folder
    if (home / "pg").exists():
        owner = (home / "pg").stat()
        return Place(home, home / "s", owner.st_uid, owner.st_gid)
    uid, gid = unprivileged_user()
    return Place(home, home / "s", uid, gid)


def claim_home(data_dir: Path, place: Place) -> None:
    """Make the home of a cluster that runs as another user; follow a data folder that was moved.

    Raises PostgresError for a copied data folder: its database was not copied with it.
    """
    if place.uid is None:
        place.home.mkdir(parents=True, exist_ok=True)
        return
    note = data_dir / "pg.home"
    former = Path(note.read_text().strip()) if note.exists() else place.home
    if former != place.home and (former / "pg").exists():
        was_for = Path((former / "for").read_text().strip())
        if was_for.exists():
            raise PostgresError(
                f"{data_dir} is a copy of {was_for}, whose database lives in {former} and was not copied. "
                f"Delete {note} and {data_dir / 'pg.key'} to begin with an empty database, "
                "or move data with pg_dump: see docs/operator.md, Backup."
            )
        os.rename(former, place.home)
    else:
        make_folder(place.home, mode=0o711)
    (place.home / "for").write_text(f"{data_dir}\n")
    note.write_text(f"{place.home}\n")


def was_emptied(data_dir: Path, place: Place) -> bool:
    """Whether someone deleted what was in `data_dir`, but its cluster lives elsewhere and is still there."""
    notes = (data_dir / "pg.home", data_dir / "pg.key")
    return place.home != data_dir and place.pgdata.exists() and not any(note.exists() for note in notes)


def set_aside(place: Place) -> Path:
    """Rename a home whose data folder was emptied; a database is never deleted by us. Returns the new path."""
    former = place.home.with_name(f"{place.home.name}-left-{time.time_ns()}")
    os.rename(place.home, former)
    return former


def clear_abandoned() -> None:
    """Delete throw-away clusters that root left behind when its tests were killed, an hour ago or earlier."""
    for note in Path("/tmp").glob("tcma-*/for"):  # noqa: S108 - only folders of our own are looked at
        home = note.parent
        with suppress(OSError):
            ours = home.lstat().st_uid == os.geteuid() and not home.is_symlink()
            old = time.time() - note.stat().st_mtime > ABANDONED_AFTER
            if ours and old and not _is_running(home / "pg"):
                shutil.rmtree(home, ignore_errors=True)


def _is_running(pgdata: Path) -> bool:
    try:
        return bool(psutil.pid_exists(int((pgdata / "postmaster.pid").read_text().splitlines()[0])))
    except (OSError, ValueError, IndexError):
        return False


def _socket_dir(preferred: Path, data_dir: Path) -> Path:
    """`preferred` if a socket's address fits into it, else a short folder of our own under /tmp.

    A comma or a control character would be taken for the end of the path by libpq or the server's settings.
    """
    text = str(preferred)
    fits = len(os.fsencode(preferred / SOCKET_NAME)) <= SOCKET_PATH_LIMIT
    if fits and "," not in text and text.isprintable():
        return preferred
    owner = data_dir.stat().st_uid if data_dir.exists() else os.geteuid()
    return Path(f"/tmp/tcma-{owner}-{_short_hash(data_dir)}")  # noqa: S108 - claimed safely by make_folder


def _short_hash(data_dir: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:12]


def make_folder(path: Path, *, mode: int, uid: int | None = None, gid: int | None = None) -> None:
    """Make `path`, or accept it if it is a folder of the right owner: /tmp belongs to everybody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.geteuid() if uid is None else uid
    try:
        path.mkdir(mode=mode)
        if uid is not None and gid is not None:
            os.chown(path, uid, gid)
    except FileExistsError:
        found = path.lstat()
        if not os.path.isdir(path) or os.path.islink(path) or found.st_uid != wanted:
            raise PostgresError(f"{path} belongs to someone else. Remove it, then start again.") from None
    os.chmod(path, mode)
