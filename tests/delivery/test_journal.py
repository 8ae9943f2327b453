from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma.delivery import journal as journals
from tcma.delivery.journal import (
    RECORD,
    Attempted,
    Journal,
    JournalError,
    JournalUnreadable,
    abandoned_journals,
    read_journal,
)
from tcma.delivery.reply import Reply, ReplyKind, Stage

SENT = Reply(ReplyKind.SENT, 250, "2.0.0", "queued as 7", Stage.DOT)
LATER = Reply(ReplyKind.DEFERRED, 451, "4.7.1", "greylisted", Stage.RCPT)

_KILLED_WORKER = """
import sys
from pathlib import Path
from tcma.delivery.journal import Journal
from tcma.delivery.reply import Reply, ReplyKind
journal = Journal.open(Path(sys.argv[1]), sys.argv[2], sync=sys.argv[3] == "sync")
number = 0
while True:
    number += 1
    journal.dot(number)
    print(number, flush=True)
    journal.outcome(number, Reply(ReplyKind.SENT, 250, "2.0.0", "ok"))
    print(-number, flush=True)
"""


def killed_worker(folder: Path, *, name: str = "gone", sync: bool = False, lines: int = 200) -> list[int]:
    """A worker killed in the middle of its writing; returns what it recorded, outcomes as negative."""
    command = [sys.executable, "-c", _KILLED_WORKER, str(folder), name, "sync" if sync else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout if line.endswith("\n")]
    return said


def test_each_delivery_reads_as_its_last_record(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.dot(1)
    journal.dot(2)
    journal.outcome(1, SENT)
    journal.outcome(3, LATER)
    journal.dot(4)
    journal.outcome(4, LATER)
    journal.dot(4)
    assert read_journal(journal.path) == {1: SENT, 2: Attempted(), 3: LATER, 4: Attempted()}
    journal.close()


_replies = st.builds(
    Reply,
    kind=st.sampled_from(ReplyKind),
    code=st.none() | st.integers(200, 599),
    enhanced=st.none() | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    stage=st.sampled_from(Stage),
)


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), _replies, max_size=5))
def test_any_reply_reads_back_as_it_was_but_for_the_end_of_a_long_text(
    tmp_path_factory: pytest.TempPathFactory, replies: dict[int, Reply]
) -> None:
    journal = Journal.open(tmp_path_factory.mktemp("journal"), "w1")
    for delivery_id, reply in replies.items():
        journal.outcome(delivery_id, reply)
    found = read_journal(journal.path)
    journal.close()
    assert found.keys() == replies.keys()
    for delivery_id, reply in replies.items():
        entry = found[delivery_id]
        assert isinstance(entry, Reply)
        assert (entry.kind, entry.code, entry.stage) == (reply.kind, reply.code, reply.stage)
        assert _plain(entry.enhanced) == _plain(reply.enhanced)
        assert reply.text.startswith(entry.text)
        assert entry.text == reply.text or len(entry.text.encode()) > 100


def _plain(enhanced: str | None) -> list[int] | None:
    return [int(part) for part in enhanced.split(".")] if enhanced else None


def test_a_status_of_another_shape_is_left_out_rather_than_losing_the_verdict(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.outcome(1, Reply(ReplyKind.SENT, 250, "odd", "ok"))
    assert read_journal(journal.path) == {1: Reply(ReplyKind.SENT, 250, None, "ok")}
    journal.close()


@pytest.mark.parametrize("sync", [False, True])
def test_a_killed_worker_leaves_every_record_that_it_had_written(tmp_path: Path, sync: bool) -> None:
    said = killed_worker(tmp_path, sync=sync)
    (journal,) = abandoned_journals(tmp_path)
    entries = read_journal(journal.path)
    for number in said:
        if number > 0:
            assert number in entries
        else:
            assert entries[-number] == Reply(ReplyKind.SENT, 250, "2.0.0", "ok")
    assert sum(isinstance(entry, Attempted) for entry in entries.values()) <= 1
    assert set(entries) <= set(range(1, max(said) + 2))


def test_a_live_workers_journal_is_not_abandoned_and_a_dead_ones_is(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "live")
    journal.dot(1)
    killed_worker(tmp_path, name="dead")
    assert [each.worker_id for each in abandoned_journals(tmp_path)] == ["dead"]
    journal.close()
    assert [each.worker_id for each in abandoned_journals(tmp_path)] == ["dead", "live"]


def test_a_journal_is_settled_by_one_at_a_time_and_gone_once_discarded(tmp_path: Path) -> None:
    killed_worker(tmp_path)
    for journal in abandoned_journals(tmp_path):
        assert journal.entries()
        assert list(abandoned_journals(tmp_path)) == []
        journal.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_was_replaced_under_the_settler_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    old = os.open(journal.path, os.O_RDWR)
    for number in range(journals.COMPACT_AT // RECORD):
        journal.outcome(number, SENT)
    journal.dot(-1)
    journal.checkpoint(range(journals.COMPACT_AT // RECORD))
    fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the old file is free, and nobody finds it by name
    assert list(abandoned_journals(tmp_path)) == []
    os.close(old)
    journal.close()


def test_two_workers_cannot_have_one_name(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    with pytest.raises(JournalError, match=r"w1\.journal already"):
        Journal.open(tmp_path, "w1")
    journal.dot(1)
    journal.close()
    with pytest.raises(JournalError, match=r"w1\.journal already"):
        Journal.open(tmp_path, "w1")
    assert read_journal(tmp_path / "w1.journal") == {1: Attempted()}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 81])
def test_a_workers_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError, match="no name for a worker"):
        Journal.open(tmp_path / "journals", name)


@pytest.mark.parametrize("cut", range(1, RECORD))
def test_a_torn_last_record_is_as_if_it_was_never_begun(tmp_path: Path, cut: int) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.dot(1)
    journal.outcome(1, SENT)
    journal.dot(2)
    journal.close()
    os.truncate(journal.path, 4 * RECORD - cut)
    assert read_journal(journal.path) == {1: SENT}


@pytest.mark.parametrize("position", [0, 5, 60, RECORD + 3, 2 * RECORD - 1, 3 * RECORD - 1])
def test_a_damaged_byte_makes_the_journal_unreadable(tmp_path: Path, position: int) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.dot(1)
    journal.outcome(1, SENT)
    journal.close()
    data = bytearray(journal.path.read_bytes())
    data[position] ^= 0x40
    journal.path.write_bytes(data)
    with pytest.raises(JournalUnreadable):
        read_journal(journal.path)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * RECORD, b"\0" * 10 * RECORD])
def test_what_is_no_journal_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w1.journal"
    path.write_bytes(content)
    with pytest.raises(JournalUnreadable):
        read_journal(path)
    for abandoned in abandoned_journals(tmp_path):
        with pytest.raises(JournalUnreadable):
            abandoned.entries()
        abandoned.discard()
    assert not path.exists()


def _in_another_boot(path: Path) -> None:
    """Rewrite the beginning of the journal as an earlier boot of this machine would have written it."""
    data = path.read_bytes()
    head = bytearray(data[: RECORD - 4])
    head[7:43] = b"00000000-0000-0000-0000-000000000000"
    path.write_bytes(journals._with_checksum(bytes(head)) + data[RECORD:])


def test_a_journal_from_before_a_restart_of_the_machine_is_unreadable_unless_it_was_synced(
    tmp_path: Path,
) -> None:
    for name, sync in (("cached", False), ("synced", True)):
        journal = Journal.open(tmp_path, name, sync=sync)
        journal.dot(1)
        journal.close()
        _in_another_boot(journal.path)
    with pytest.raises(JournalUnreadable, match="restarted"):
        read_journal(tmp_path / "cached.journal")
    assert read_journal(tmp_path / "synced.journal") == {1: Attempted()}


def test_a_power_cut_may_spoil_the_last_record_of_a_synced_journal_only(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1", sync=True)
    journal.dot(1)
    journal.dot(2)
    journal.close()
    _in_another_boot(journal.path)
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[: 2 * RECORD] + b"\0" * RECORD)
    assert read_journal(journal.path) == {1: Attempted()}
    journal.path.write_bytes(data[:RECORD] + b"\0" * RECORD + data[2 * RECORD :])
    with pytest.raises(JournalUnreadable, match="damaged"):
        read_journal(journal.path)


def test_a_checkpoint_empties_the_file_once_all_is_recorded(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    for number in range(10):
        journal.dot(number)
        journal.outcome(number, SENT)
    journal.checkpoint(range(10))
    assert journal.path.stat().st_size == RECORD
    journal.dot(11)
    assert read_journal(journal.path) == {11: Attempted()}
    journal.close()


def test_a_checkpoint_never_forgets_what_is_in_flight_or_not_recorded(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.dot(1)
    journal.dot(2)
    journal.outcome(2, SENT)
    journal.outcome(3, LATER)
    journal.checkpoint([1, 2])
    entries = read_journal(journal.path)
    assert (entries[1], entries[3]) == (Attempted(), LATER)
    journal.outcome(1, SENT)
    journal.checkpoint([1, 3])
    assert read_journal(journal.path) == {}
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_long_journal_is_rewritten_while_deliveries_are_in_flight(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.dot(-1)
    journal.outcome(-2, LATER)
    for number in range(journals.COMPACT_AT // RECORD):
        journal.outcome(number, SENT)
    journal.checkpoint(range(journals.COMPACT_AT // RECORD))
    assert journal.path.stat().st_size == 3 * RECORD
    assert list(abandoned_journals(tmp_path)) == []
    journal.outcome(-1, SENT)
    assert read_journal(journal.path) == {-1: SENT, -2: LATER}
    journal.close()
    assert [each.name for each in tmp_path.iterdir()] == ["w1.journal"]


def test_threads_share_a_journal_without_mixing_records(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")

    def work(first: int) -> None:
        for number in range(first, first + 500):
            journal.dot(number)
            journal.outcome(number, SENT)
            if number % 50 == 0:
                journal.checkpoint([number])

    threads = [threading.Thread(target=work, args=(first,)) for first in (1000, 2000, 3000, 4000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = read_journal(journal.path)
    recorded = {first + step for first in (1000, 2000, 3000, 4000) for step in range(0, 500, 50)}
    everything = {first + step for first in (1000, 2000, 3000, 4000) for step in range(500)}
    assert everything - recorded <= set(entries) <= everything
    assert set(entries.values()) == {SENT}
    journal.close()


def test_a_full_disk_lets_no_dot_leave_and_spoils_nothing(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from tcma.delivery.journal import Journal, RECORD, read_journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.open(Path(sys.argv[1]), "w1")
resource.setrlimit(resource.RLIMIT_FSIZE, (4 * RECORD - 50, 4 * RECORD - 50))
journal.dot(1); journal.dot(2)
try:
    journal.dot(3)
except OSError as error:
    print(type(error).__name__, sorted(read_journal(journal.path)), journal.path.stat().st_size)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"OSError [1, 2] {3 * RECORD}\n"


def test_a_worker_that_ends_with_rows_on_lease_leaves_its_journal_to_be_settled(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.close(keep=True)
    assert [(each.worker_id, each.entries()) for each in abandoned_journals(tmp_path)] == [("w1", {})]


def test_a_closed_journal_takes_no_more_records(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "w1")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.dot(1)
    assert list(tmp_path.iterdir()) == []
