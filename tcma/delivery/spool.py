"""The tracking spool: a hit is on this machine's disk before it is answered, and in the database once, later.

Each web process appends lines of JSON to a segment file of its own, which it holds by `flock`. A loader reads
the segments, writes rows and (segment name, offset) in one transaction, and removes a segment that is
finished and loaded to its end. Segment names are never used again, so (name, offset) tells for ever what was
loaded; after a crash between commit and removal the loader finds the offset and loads nothing twice.

A line is one `os.write` and sits in the page cache when `append` returns, so that killing the process loses
none. The last line of a killed process may be torn; its hit was never answered, and nobody loads it. A power
cut may lose the last seconds before it, unless `sync` waits for the disk with each hit.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIX = ".spool"
SEGMENT_LIMIT = 8 << 20
"""Bytes after which a process begins its next segment."""

BATCH_LIMIT = 1 << 20
"""Bytes that `Segment.read` takes at a time unless told otherwise, so that memory stays flat."""

_LOADER_LOCK = "loader.lock"
_pid = os.getpid()


def _is_another_process() -> None:
    global _pid
    _pid = os.getpid()


# So that no hit need ask the kernel whether it is in a forked child.
os.register_at_fork(after_in_child=_is_another_process)


class SpoolError(Exception):
    """A hit cannot be kept; it must not be answered as if it were."""


class Spool:
    """This process's end of the spool in `folder`; safe for threads. A forked child goes on with a segment of its own.

    Nothing is created before the first hit, so processes may be forked from one that holds a Spool.
    """

    def __init__(self, folder: Path, *, segment_limit: int = SEGMENT_LIMIT, sync: bool = False) -> None:
        self.folder = folder
        self._segment_limit = segment_limit
        self._sync = sync
        self._lock = threading.Lock()
        self._owner = 0
        self._handle = -1
        self._size = 0
        self._sequence = 0
        self._writer = ""

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep one hit, a flat dictionary of JSON values. Raises SpoolError where the disk does not take it."""
        self.append_line(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def append_line(self, line: bytes) -> None:
        """Keep one hit that is written out: one JSON object in one line, with the LF at its end. Raises SpoolError."""
        with self._lock:
            try:
                if self._owner != _pid:
                    self._begin_in_this_process()
                elif self._size >= self._segment_limit:
                    self._next_segment()
                written = os.write(self._handle, line)
                if written != len(line):
                    # A piece of a line must not stay for the next one to be glued to.
                    os.ftruncate(self._handle, self._size)
                    raise SpoolError("The disk is full: the hit could not be kept.")
                if self._sync:
                    os.fdatasync(self._handle)
            except OSError as error:
                raise SpoolError(f"The hit could not be kept: {error.strerror}.") from error
            self._size += len(line)

    def segments(self) -> list[Segment]:
        """All segments in the folder, of every process, in the order of their names."""
        return segments(self.folder)

    def close(self) -> None:
        """Let go of the present segment, so that a loader can finish it; a later hit begins another."""
        with self._lock:
            if self._owner == _pid:
                os.close(self._handle)
            self._owner, self._handle = 0, -1

    def _begin_in_this_process(self) -> None:
        if self._handle >= 0:
            # Inherited by fork. Closing our copy leaves the parent's lock in place.
            os.close(self._handle)
            self._handle, self._owner = -1, 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._writer = f"{_pid}-{secrets.token_hex(8)}"
        self._sequence = 0
        self._next_segment()
        self._owner = _pid

    def _next_segment(self) -> None:
        """Open the next file under a name of its own; its lock is ours before the name ends in SUFFIX."""
        name = f"{self._writer}-{self._sequence:06d}"
        fresh = self.folder / (name + ".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(fresh, self.folder / (name + SUFFIX))
        except BaseException:
            os.close(handle)
            raise
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._size = handle, 0
        self._sequence += 1


@dataclass(frozen=True, slots=True)
class Batch:
    """What one `Segment.read` found. `damaged` counts lines that are no JSON; they are passed over."""

    records: list[dict[str, Any]]
    next_offset: int
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file; `name` is unique for ever and is what the database remembers."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    def read(self, offset: int = 0, *, limit: int = BATCH_LIMIT) -> Batch:
        """The whole lines from `offset` bytes on, `limit` bytes of them or one line, whichever is more.

        Works while its process is still writing. `next_offset` is where to go on; it equals `offset` when
        there is nothing whole. Raises FileNotFoundError once the segment is removed.
        """
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(limit)
            if len(data) == limit and not data.endswith(b"\n"):
                data += file.readline()
        data = data[: data.rfind(b"\n") + 1]
        records: list[dict[str, Any]] = []
        damaged = 0
        for line in data.split(b"\n")[:-1]:
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if isinstance(record, dict):
                records.append(record)
            else:
                damaged += 1
        return Batch(records, offset + len(data), damaged)

    def remove_if_done(self, offset: int) -> bool:
        """Remove the file if its process is finished with it and every whole line lies before `offset`.

        Call it after the commit that recorded `offset`. False leaves all as it was.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rest = os.pread(handle, os.fstat(handle).st_size, offset)
            if b"\n" in rest:
                return False
            self.path.unlink()
        except BlockingIOError:
            return False
        finally:
            os.close(handle)
        return True


def segments(folder: Path) -> list[Segment]:
    """All segments in `folder`, of live and dead processes, in the order of their names."""
    return [Segment(path) for path in sorted(folder.glob("*" + SUFFIX))]


@contextmanager
def loading(folder: Path) -> Iterator[bool]:
    """Hold the loader's lock of `folder`: False where another loader has it, which then does the work."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / _LOADER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
