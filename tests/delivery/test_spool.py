from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma.delivery.spool import Spool, SpoolError, loading, segments

_WRITER = """
import os, sys, threading
from pathlib import Path
from tcma.delivery.spool import Spool
spool = Spool(Path(sys.argv[1]), segment_limit=int(sys.argv[2]))
said = threading.Lock()
def write(name):
    number = 0
    while True:
        spool.append({"hit": f"{name}{number}"})
        with said:
            print(f"{name}{number}", flush=True)
        number += 1
for name in (f"{os.getpid()}{letter}" for letter in "abc"):
    threading.Thread(target=write, args=(name,), daemon=True).start()
threading.Event().wait()
"""


class Database:
    """Rows and offsets that change together or not at all, as one transaction would."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.offsets: dict[str, int] = {}

    def load(self, folder: Path, *, limit: int = 1 << 20, die_before_removing: bool = False) -> None:
        for segment in segments(folder):
            while True:
                offset = self.offsets.get(segment.name, 0)
                batch = segment.read(offset, limit=limit)
                if batch.next_offset == offset:
                    break
                self.rows, self.offsets = (
                    [*self.rows, *batch.records],
                    {**self.offsets, segment.name: batch.next_offset},
                )
            if not die_before_removing:
                segment.remove_if_done(self.offsets.get(segment.name, 0))


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    hits = [{"kind": "click", "id": number, "agent": "Zoë\n\r\u2028"} for number in range(100)]
    for hit in hits:
        spool.append(hit)
    (segment,) = spool.segments()
    assert segment.read().records == hits
    spool.close()


def test_nothing_is_made_before_the_first_hit(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.segments() == []
    spool.close()
    assert not (tmp_path / "spool").exists()


def test_a_live_segment_is_loaded_while_it_grows_and_never_removed(tmp_path: Path) -> None:
    spool, database = Spool(tmp_path), Database()
    for number in range(5):
        spool.append({"hit": number})
        database.load(tmp_path)
    assert database.rows == [{"hit": number} for number in range(5)]
    assert len(spool.segments()) == 1
    spool.close()
    database.load(tmp_path)
    assert spool.segments() == []
    assert len(database.rows) == 5


def test_a_loader_that_died_between_commit_and_removal_loads_nothing_twice(tmp_path: Path) -> None:
    spool, database = Spool(tmp_path), Database()
    spool.append({"hit": 1})
    spool.close()
    database.load(tmp_path, die_before_removing=True)
    database.load(tmp_path, die_before_removing=True)
    database.load(tmp_path)
    assert database.rows == [{"hit": 1}]
    assert spool.segments() == []


def test_a_segment_with_more_to_load_is_not_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append({"hit": 1})
    (segment,) = spool.segments()
    offset = segment.read().next_offset
    spool.append({"hit": 2})
    spool.close()
    assert not segment.remove_if_done(offset)
    assert segment.remove_if_done(segment.read(offset).next_offset)
    assert segment.remove_if_done(0)


def test_segments_are_rotated_by_size_under_names_that_never_come_again(tmp_path: Path) -> None:
    spool, database = Spool(tmp_path, segment_limit=100), Database()
    names: set[str] = set()
    for number in range(50):
        spool.append({"hit": number})
        names |= {segment.name for segment in spool.segments()}
        if number % 7 == 0:
            database.load(tmp_path)
    spool.close()
    spool.append({"hit": 50})
    database.load(tmp_path)
    assert sorted(row["hit"] for row in database.rows) == list(range(51))
    assert len(names) == 5
    assert database.offsets.keys() >= names
    spool.close()


@given(st.lists(st.text(max_size=50), max_size=30), st.integers(1, 200))
def test_reading_in_pieces_gives_every_hit_once_however_small_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, values: list[str], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool, database = Spool(folder), Database()
    for value in values:
        spool.append({"v": value})
    database.load(folder, limit=limit)
    spool.close()
    assert [row["v"] for row in database.rows] == values


@pytest.mark.parametrize("limit", [400, 8 << 20])
def test_a_killed_process_loses_no_hit_that_it_had_answered(tmp_path: Path, limit: int) -> None:
    database = Database()
    answered: list[str] = []
    for _ in range(3):
        command = [sys.executable, "-c", _WRITER, str(tmp_path), str(limit)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            round_answered = []
            for _ in range(300):
                round_answered.append(process.stdout.readline().strip())
            database.load(tmp_path)
            process.send_signal(signal.SIGKILL)
            round_answered += [line.strip() for line in process.stdout if line.endswith("\n")]
        answered += round_answered
    database.load(tmp_path)
    loaded = [row["hit"] for row in database.rows]
    assert segments(tmp_path) == []
    assert len(set(loaded)) == len(loaded)
    assert set(answered) <= set(loaded)
    assert len(loaded) <= len(answered) + 3 * 3


def test_a_torn_last_line_is_passed_over_and_its_segment_still_goes(tmp_path: Path) -> None:
    spool, database = Spool(tmp_path), Database()
    spool.append({"hit": 1})
    spool.close()
    (segment,) = spool.segments()
    with segment.path.open("ab") as file:
        file.write(b'{"hit": 2')
    database.load(tmp_path)
    assert database.rows == [{"hit": 1}]
    assert segments(tmp_path) == []


def test_a_damaged_line_is_counted_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append({"hit": 1})
    spool.close()
    (segment,) = spool.segments()
    with segment.path.open("ab") as file:
        file.write(b'\0\0\0\n[1]\n{"hit": 2}\n')
    batch = segment.read()
    assert (batch.records, batch.damaged) == ([{"hit": 1}, {"hit": 2}], 2)
    assert batch.next_offset == segment.path.stat().st_size


def test_threads_share_a_spool_without_mixing_lines(tmp_path: Path) -> None:
    spool, database = Spool(tmp_path, segment_limit=5000), Database()

    def write(name: str) -> None:
        for number in range(500):
            spool.append({"hit": f"{name}{number}", "filler": "x" * (number % 90)})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool.close()
    database.load(tmp_path)
    assert sorted(row["hit"] for row in database.rows) == sorted(f"{n}{i}" for n in "abcd" for i in range(500))


def test_a_forked_child_writes_its_own_segment_and_the_parents_stays_held(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from tcma.delivery.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.append({"who": "parent"})
child = os.fork()
if child == 0:
    spool.append({"who": "child"})
    os._exit(0)
os.waitpid(child, 0)
spool.append({"who": "parent"})
for segment in spool.segments():
    batch = segment.read()
    print([row["who"] for row in batch.records], segment.remove_if_done(batch.next_offset))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == ["['child'] True", "['parent', 'parent'] False"]


def test_a_full_disk_is_told_and_leaves_no_half_line(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from tcma.delivery.spool import Spool, SpoolError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]))
spool.append({"hit": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
for hit in (2, 3):
    try:
        spool.append({"hit": hit, "long": "x" * 30})
    except SpoolError as error:
        print(error)
spool.append({"h": 4})
print(spool.segments()[0].read().records)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    *errors, rows = done.stdout.splitlines()
    assert len(errors) == 2
    assert all("could not be kept" in error for error in errors)
    assert json.loads(rows.replace("'", '"')) == [{"hit": 1}, {"h": 4}]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool")
    with pytest.raises(SpoolError, match="could not be kept"):
        spool.append({"hit": 1})


def test_one_loader_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with loading(folder) as mine, loading(folder) as theirs:
        assert (mine, theirs) == (True, False)
    with loading(folder) as again:
        assert again
    assert os.listdir(folder) == ["loader.lock"]
    assert segments(folder) == []


@pytest.mark.parametrize("sync", [False, True])
def test_a_synced_spool_reads_the_same(tmp_path: Path, sync: bool) -> None:
    spool = Spool(tmp_path, sync=sync)
    spool.append({"hit": 1})
    spool.close()
    assert spool.segments()[0].read().records == [{"hit": 1}]
