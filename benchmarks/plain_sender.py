"""The plain-socket sender of ready-made bytes: the limit that a real sender is measured against.

    python benchmarks/plain_sender.py PORT [--messages 20000] [--connections 2] [--size 20000] [--file FILE]
    [--chain] [--wait]

MAIL, RCPT and DATA in one write, message and dot in one write, no look at the answers but their last line's
code. `--chain` lets the next message's commands ride behind the dot. Connections are threads. Prints one JSON
line.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"


def run(port: int, *, data: bytes, messages: int, connections: int, chain: bool = False) -> float:
    """Messages a second for `messages` copies of `data` over `connections`; raises on any refusal."""
    share = messages // connections
    sockets = [_connect(port) for _ in range(connections)]
    failures: list[BaseException] = []

    def work(connection: socket.socket, number: int) -> None:
        try:
            _send(connection, number, data=data, messages=share, chain=chain)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(each, number)) for number, each in enumerate(sockets)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for each in sockets:
        each.close()
    if failures:
        raise failures[0]
    return share * connections / seconds


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.recv(1024)
    connection.sendall(b"EHLO bench\r\n")
    connection.recv(4096)
    # Blocking without a timeout: no poll before each call.
    connection.settimeout(None)
    return connection


def _send(connection: socket.socket, number: int, *, data: bytes, messages: int, chain: bool) -> None:
    ended = data + b".\r\n"
    waiting = False
    for index in range(messages):
        commands = b"MAIL FROM:<b@x.example>\r\nRCPT TO:<r%d.%d@x.example>\r\nDATA\r\n" % (number, index)
        if not waiting:
            connection.sendall(commands)
            _expect(connection, b"354", replies=3)
        if chain and index + 1 < messages:
            following = b"MAIL FROM:<b@x.example>\r\nRCPT TO:<r%d.%d@x.example>\r\nDATA\r\n" % (
                number,
                index + 1,
            )
            connection.sendall(ended + following)
            _expect(connection, b"354", replies=4)
            waiting = True
        else:
            connection.sendall(ended)
            _expect(connection, b"250", replies=1)
            waiting = False


def _expect(connection: socket.socket, code: bytes, *, replies: int) -> None:
    got = connection.recv(4096)
    while got.count(b"\n") < replies:
        more = connection.recv(4096)
        if not more:
            raise ConnectionError("the sink hung up")
        got += more
    if not got.split(b"\r\n")[replies - 1].startswith(code):
        raise ConnectionError(f"the sink answered {got!r}")


def sample(size: int) -> bytes:
    """A message of about `size` octets with lines of 100."""
    line = b"<td style=padding:0>" + b"x" * 73 + b"</td>\r\n"
    return b"Message-ID: <a@x.example>\r\nSubject: sample\r\n\r\n" + line * (size // len(line))


def main() -> None:
    parser = argparse.ArgumentParser(description="A plain pipelined sender.")
    parser.add_argument("port", type=int)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--file", type=Path, help="a message to send, CRLF and dot-stuffed")
    parser.add_argument("--chain", action="store_true", help="let the next commands ride behind the dot")
    parser.add_argument("--wait", action="store_true", help="say `ready` and begin at a line on standard input")
    given = parser.parse_args()
    data = given.file.read_bytes() if given.file else sample(given.size)
    if given.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    rate = run(given.port, data=data, messages=given.messages, connections=given.connections, chain=given.chain)
    print(json.dumps({"per_second": round(rate, 1), "connections": given.connections, "bytes": len(data)}), flush=True)


if __name__ == "__main__":
    main()
