"""The fastest SMTP sink that Python allows: one process, and a message is one search for a dot.

    python benchmarks/sink.py [--port 0] [--latency 0.02] [--log FILE] [--no-pipelining]

Prints `listening PORT`, and on SIGTERM or SIGINT one JSON line with what it took. `--latency` is seconds
before each batch of answers, as a long way would make; `--log` appends `recipient TAB message id` of each
message before it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import selectors
import signal
import socket
import time
from pathlib import Path

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>\r\n]*)>", re.IGNORECASE | re.MULTILINE)


class Totals:
    """What all connections took together."""

    def __init__(self, *, latency: float, log: Path | None, pipelining: bool) -> None:
        self.latency = latency
        self.pipelining = pipelining
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
        self.messages = self.octets = self.connections = 0
        self.first = self.last = 0.0

    def took(self, count: int, octets: int) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.messages += count
        self.octets += octets

    def as_json(self) -> str:
        seconds = self.last - self.first
        return json.dumps({
            "messages": self.messages,
            "bytes": self.octets,
            "connections": self.connections,
            "seconds": round(seconds, 4),
            "per_second": round(self.messages / seconds, 1) if seconds else None,
        })  # fmt: skip


class Session(asyncio.Protocol):
    """One client. Says yes to everything."""

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        self.buffer = bytearray()
        self.searched = 0
        self.in_message = False
        self.recipient = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.totals.connections += 1
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        answers: list[bytes] = []
        while self._message(answers) if self.in_message else self._command(answers):
            pass
        if not answers:
            return
        answer = b"".join(answers)
        if self.totals.latency:
            asyncio.get_running_loop().call_later(self.totals.latency, self.transport.write, answer)
        else:
            self.transport.write(answer)
        if answer.endswith(b"bye\r\n"):
            self.transport.close()

    def _message(self, answers: list[bytes]) -> bool:
        end = self.buffer.find(b"\r\n.\r\n", self.searched)
        if end < 0:
            self.searched = max(0, len(self.buffer) - 4)
            return False
        if self.totals.log is not None:
            found = _MESSAGE_ID.search(self.buffer, 0, end)
            os.write(self.totals.log, self.recipient + b"\t" + (found[1] if found else b"") + b"\n")
        self.totals.took(1, end + 2)
        del self.buffer[: end + 5]
        self.searched = 0
        self.in_message = False
        answers.append(b"250 2.0.0 ok\r\n")
        return True

    def _command(self, answers: list[bytes]) -> bool:
        end = self.buffer.find(b"\n")
        if end < 0:
            return False
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        verb = line[:4].upper()
        if verb == b"DATA":
            self.in_message = True
            answers.append(b"354 go\r\n")
        elif verb == b"EHLO":
            answers.append(
                b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n" if self.totals.pipelining else b"250 sink\r\n"
            )
        elif verb == b"QUIT":
            answers.append(b"221 bye\r\n")
        else:
            if verb == b"RCPT":
                self.recipient = line[line.find(b"<") + 1 : line.rfind(b">")]
            answers.append(b"250 ok\r\n")
        return True


async def serve(totals: Totals, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    server = await loop.create_server(lambda: Session(totals), "127.0.0.1", port, backlog=1024)
    print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()
    print(totals.as_json(), flush=True)


def _exact_loop() -> asyncio.AbstractEventLoop:
    """A loop that keeps times to the microsecond: epoll and poll round up to the next millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> None:
    parser = argparse.ArgumentParser(description="A fast SMTP sink.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each batch of answers")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--no-pipelining", action="store_true")
    given = parser.parse_args()
    totals = Totals(latency=given.latency, log=given.log, pipelining=not given.no_pipelining)
    with asyncio.Runner(loop_factory=_exact_loop if given.latency else None) as runner:
        runner.run(serve(totals, given.port))


if __name__ == "__main__":
    main()
