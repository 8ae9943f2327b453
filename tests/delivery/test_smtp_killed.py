"""Journal and connection together, with real kills: what the engine's promise of DESIGN section 6 rests on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tcma.delivery.journal import Attempted, abandoned_journals
from tcma.delivery.reply import ReplyKind
from tests.sinks import SmtpSink

_WORKER = """
import sys, threading
from pathlib import Path
from tcma.delivery.journal import Journal
from tcma.delivery.reply import Envelope, Outgoing
from tcma.delivery.smtp import SmtpConnection, SmtpTarget

folder, name, url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
shares = [[int(number) for number in share.split(",") if number] for share in sys.argv[4:]]
journal = Journal.open(folder, name)
print("ready", flush=True)

def work(share):
    connection = SmtpConnection(SmtpTarget.parse(url))
    connection.connect()
    for number, after in zip(share, [*share[1:], None]):
        upcoming = Envelope("b@x.example", f"r{after}@x.example") if after is not None else None
        data = f"Message-ID: <m{number}@x>\\r\\n\\r\\n".encode() + b"x" * 500 + b"\\r\\n"
        envelope = Envelope("b@x.example", f"r{number}@x.example")
        reply = connection.send(Outgoing(envelope, data, lambda: journal.dot(number), upcoming))
        journal.outcome(number, reply)

threads = [threading.Thread(target=work, args=(share,)) for share in shares]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
CONNECTIONS = 3


@pytest.mark.faults
def test_killed_workers_send_nothing_twice_and_lose_nothing_but_one_unknown_a_connection(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "journals"
    pending, unknown, sent = set(range(1500)), set[int](), set[int]()
    kills = 0
    with SmtpSink(log=log) as sink:
        while pending:
            todo = sorted(pending)
            shares = [",".join(map(str, todo[start::CONNECTIONS])) for start in range(CONNECTIONS)]
            taken = len(sink.accepted)
            command = [sys.executable, "-c", _WORKER, str(folder), f"w{kills}", sink.url, *shares]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
                while len(sink.accepted) < taken + 150 and worker.poll() is None:
                    time.sleep(0.001)
                worker.send_signal(signal.SIGKILL)
            kills += 1
            in_doubt = set()
            for journal in abandoned_journals(folder):
                for number, entry in journal.entries().items():
                    if isinstance(entry, Attempted):
                        in_doubt.add(number)
                    else:
                        assert entry.kind is ReplyKind.SENT
                        sent.add(number)
                journal.discard()
            assert len(in_doubt) <= CONNECTIONS
            unknown |= in_doubt
            pending -= sent | unknown
    arrived = Counter(line.partition("\t")[0] for line in log.read_text().splitlines())
    assert max(arrived.values()) == 1
    assert {f"r{number}@x.example" for number in sent} <= set(arrived)
    assert {f"r{number}@x.example" for number in range(1500)} - set(arrived) <= {
        f"r{number}@x.example" for number in unknown
    }
    assert sent | unknown == set(range(1500))
    assert not sent & unknown
    assert kills >= 5
