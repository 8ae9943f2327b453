"""A worker's journal: what it was about to hand over, and what came of it, kept outside the database.

One record goes in just before the final dot and one after the answer, so that whoever finds the journal of a
killed worker knows of each delivery whether it was never attempted, is settled, or may have been sent. The
promise is: no record before the dot, no dot on the wire.

What survives what. A record is one `os.write` and sits in the page cache when it returns: the death of the
process, by whatever signal, loses none. A machine that loses power may lose the last records, and a delivery
would look unattempted that is not; so the journal names the boot it was written in, and a journal of an
earlier boot is unreadable, which makes its whole lease unknown. With `sync=True` each record waits for the
disk (milliseconds each) and the journal stays readable after a power cut. Where the machine has no boot id
(not Linux), only `sync` protects against a power cut.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tcma.delivery.reply import Reply, ReplyKind, Stage

SUFFIX = ".journal"
RECORD = 128
"""Bytes a record; all have the same length, so a torn one cannot hide another."""

COMPACT_AT = 1 << 20
"""Bytes after which a checkpoint rewrites the file though deliveries are in flight."""

_MAGIC = b"TCMAJ1"
_HEADER = struct.Struct("<6sB36s81s")
_ENTRY = struct.Struct("<BqBBHBHHB105s")
_DOT_ENTRY = struct.Struct("<Bq115x")
_CHECKSUM = struct.Struct("<I")
_DOT, _OUTCOME = 1, 2
_KINDS = tuple(ReplyKind)
_STAGES = tuple(Stage)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_STAGE_NUMBERS = {stage: number for number, stage in enumerate(_STAGES)}
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class JournalError(Exception):
    """A journal cannot be opened or written; no mail may be sent without it."""


class JournalUnreadable(JournalError):
    """What is in this journal cannot be trusted: each delivery of its worker's lease is unknown."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """The final dot may have left, and no answer is recorded: the delivery is unknown."""


Entry = Reply | Attempted


class Journal:
    """The open journal of one live worker; safe for its threads. Held by `flock` until `close` or death."""

    def __init__(self, path: Path, handle: int, *, worker_id: str, sync: bool) -> None:
        self.path = path
        self.worker_id = worker_id
        self._handle = handle
        self._sync = sync
        self._size = os.fstat(handle).st_size
        self._lock = threading.Lock()
        self._live: dict[int, bytes] = {}

    @classmethod
    def open(cls, folder: Path, worker_id: str, *, sync: bool = False) -> Journal:
        """Make the journal of `worker_id`, a name that no other live or dead worker of this machine has.

        Raises JournalError where the name is held by a live worker, or a dead one's journal waits to be
        settled.
        """
        if not _NAME.fullmatch(worker_id):
            raise JournalError(f"{worker_id!r} is no name for a worker. Use letters, digits, dots and dashes.")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (worker_id + SUFFIX)
        try:
            handle, _ = _place(path, _header(worker_id, sync=sync), sync=sync, replace=False)
        except (FileExistsError, BlockingIOError):
            raise JournalError(f"There is a journal {path.name} already. Take another name.") from None
        return cls(path, handle, worker_id=worker_id, sync=sync)

    def dot(self, delivery_id: int) -> None:
        """Record that the final dot of this delivery is about to leave. If this raises, it must not leave."""
        self._append(delivery_id, _DOT_ENTRY.pack(_DOT, delivery_id))

    def outcome(self, delivery_id: int, reply: Reply) -> None:
        """Record the verdict; long texts are cut. Raises OSError; then it reads as attempted."""
        text = reply.text.encode("utf-8", "replace")[:105]
        kind, stage = _KIND_NUMBERS[reply.kind], _STAGE_NUMBERS[reply.stage]
        status = _status(reply.enhanced) if reply.enhanced else (0, 0, 0)
        content = _ENTRY.pack(_OUTCOME, delivery_id, kind, stage, reply.code or 0, *status, len(text), text)
        self._append(delivery_id, content)

    def checkpoint(self, recorded: Iterable[int]) -> None:
        """Forget the outcomes of `recorded`, which the database now has for good.

        Deliveries with a dot and no outcome stay whatever is given. The file is emptied when nothing is left
        in it, and rewritten without what is forgotten when it has grown past COMPACT_AT.
        """
        with self._lock:
            for delivery_id in recorded:
                record = self._live.get(delivery_id)
                if record is not None and record[0] == _OUTCOME:
                    del self._live[delivery_id]
            if not self._live and self._size > RECORD:
                os.ftruncate(self._handle, RECORD)
                self._size = RECORD
            elif self._size > COMPACT_AT and len(self._live) * RECORD * 2 < self._size:
                self._rewrite()

    def close(self, *, keep: bool = False) -> None:
        """Let go of the journal. The file goes too if nothing is left in it, else it waits to be settled.

        With `keep` it waits in any case: for a worker that ends while rows are still leased to it.
        """
        with self._lock:
            if self._handle < 0:
                return
            if not self._live and not keep:
                self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1

    def _append(self, delivery_id: int, content: bytes) -> None:
        record = content + _CHECKSUM.pack(zlib.crc32(content))
        with self._lock:
            if self._handle < 0:
                raise JournalError(f"The journal {self.path.name} is closed.")
            try:
                _write(self._handle, record, sync=self._sync)
            except OSError:
                # A piece of a record must not stay in the middle of the file.
                os.ftruncate(self._handle, self._size)
                raise
            self._size += RECORD
            self._live[delivery_id] = record

    def _rewrite(self) -> None:
        content = b"".join([_header(self.worker_id, sync=self._sync), *self._live.values()])
        handle, self._size = _place(self.path, content, sync=self._sync, replace=True)
        os.close(self._handle)
        self._handle = handle


class AbandonedJournal:
    """The journal of a dead worker, held while it is settled so that nobody else settles it too."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.worker_id = path.name.removesuffix(SUFFIX)
        self._handle = handle

    def entries(self) -> dict[int, Entry]:
        """What became of each delivery named in it; a delivery that is not named was never attempted.

        Raises JournalUnreadable: then each delivery leased to `worker_id` is unknown.
        """
        return _parsed(os.pread(self._handle, os.fstat(self._handle).st_size, 0), name=self.path.name)

    def discard(self) -> None:
        """Remove the file, once the database has all of it."""
        self.path.unlink(missing_ok=True)
        _fresh_name(self.path).unlink(missing_ok=True)


def abandoned_journals(folder: Path) -> Iterator[AbandonedJournal]:
    """The journals in `folder` whose worker is gone, each held until the next is asked for."""
    for path in sorted(folder.glob("*" + SUFFIX)):
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if _lock(handle, path):
                yield AbandonedJournal(path, handle)
        finally:
            os.close(handle)


def read_journal(path: Path) -> dict[int, Entry]:
    """The last entry of each delivery in `path`, without holding it. Raises JournalUnreadable."""
    return _parsed(path.read_bytes(), name=path.name)


def _parsed(data: bytes, *, name: str) -> dict[int, Entry]:
    header = _checked(data[:RECORD])
    if header is None:
        raise JournalUnreadable(f"The journal {name} has no valid beginning.")
    magic, sync, boot, _ = _HEADER.unpack(header)
    if magic != _MAGIC:
        raise JournalUnreadable(f"The journal {name} is of another kind.")
    boot, present = boot.rstrip(b"\0"), _boot()
    if not sync and boot != present:
        raise JournalUnreadable(f"The machine was restarted since the journal {name} was written.")
    entries: dict[int, Entry] = {}
    # What is left after the last whole record was torn while it was written, and its dot never left.
    for start in range(RECORD, len(data) - RECORD + 1, RECORD):
        content = _checked(data[start : start + RECORD])
        if content is None:
            if sync and boot != present and start + 2 * RECORD > len(data):
                break  # the power was cut while this one was on its way to the disk
            raise JournalUnreadable(f"The journal {name} is damaged at byte {start}.")
        delivery_id, entry = _entry(content, name=name)
        entries[delivery_id] = entry
    return entries


def _entry(content: bytes, *, name: str) -> tuple[int, Entry]:
    phase, delivery_id, kind, stage, code, major, subject, detail, length, text = _ENTRY.unpack(content)
    if phase == _DOT:
        return delivery_id, Attempted()
    if phase != _OUTCOME or kind >= len(_KINDS) or stage >= len(_STAGES):
        raise JournalUnreadable(f"The journal {name} holds a record of another kind.")
    return delivery_id, Reply(
        _KINDS[kind],
        code or None,
        f"{major}.{subject}.{detail}" if major else None,
        text[:length].decode("utf-8", "ignore"),
        _STAGES[stage],
    )


@lru_cache(maxsize=256)
def _status(enhanced: str) -> tuple[int, int, int]:
    """The three numbers of an RFC 3463 status; zeros for anything else. Servers use few of them."""
    found = _ENHANCED.fullmatch(enhanced)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def _header(worker_id: str, *, sync: bool) -> bytes:
    return _with_checksum(_HEADER.pack(_MAGIC, sync, _boot(), worker_id.encode()))


def _with_checksum(content: bytes) -> bytes:
    return content + _CHECKSUM.pack(zlib.crc32(content))


def _checked(record: bytes) -> bytes | None:
    """The record's content, or None if its checksum is wrong."""
    if len(record) != RECORD or zlib.crc32(record[:-4]) != _CHECKSUM.unpack(record[-4:])[0]:
        return None
    return record[:-4]


def _boot() -> bytes:
    try:
        return _BOOT_ID.read_bytes().strip()[:36]
    except FileNotFoundError:
        return b""


def _fresh_name(path: Path) -> Path:
    return path.with_suffix(".new")


def _place(path: Path, content: bytes, *, sync: bool, replace: bool) -> tuple[int, int]:
    """(handle, size) of `content` at `path`, locked before anyone can find it there."""
    fresh = _fresh_name(path)
    handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(handle, content, sync=sync)
        if replace:
            os.rename(fresh, path)
        else:
            os.link(fresh, path)
            os.unlink(fresh)
        if sync:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException:
        os.close(handle)
        raise
    return handle, len(content)


def _lock(handle: int, path: Path) -> bool:
    """Take the lock if it is free and `path` still names this very file."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def _write(handle: int, content: bytes, *, sync: bool) -> None:
    if os.write(handle, content) != len(content):
        raise OSError("The disk took only a part of a journal record. Free some space.")
    if sync:
        os.fdatasync(handle)
