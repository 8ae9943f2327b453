"""A plain client of tracked links: one request at a time over each connection, which stays open.

    python benchmarks/clicker.py PORT --file TOKENS [--hits 5000] [--connections 2] [--mark 0] [--answered FILE]

Says `ready` and begins at a line on standard input. Each hit has a user agent of its own, `load/MARK-CONNECTION-NUMBER`;
`--answered` keeps those that were answered with 302. A connection that breaks ends its part: what it had asked for was
not answered. Prints one JSON line.
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


def click(port: int, tokens: list[bytes], *, hits: int, name: str, answered: list[str]) -> None:
    """One connection. Appends to `answered`; raises ConnectionError on any other answer than a redirect."""
    connection = socket.create_connection((HOST, port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host = f"{HOST}:{port}".encode()
    with connection:
        for number in range(hits):
            agent = f"load/{name}-{number}"
            connection.sendall(
                b"GET /r/%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n\r\n"
                % (tokens[number % len(tokens)], host, agent.encode())
            )
            got = connection.recv(4096)
            while got and b"\r\n\r\n" not in got:
                more = connection.recv(4096)
                if not more:
                    return
                got += more
            if not got:
                return
            if not got.startswith(b"HTTP/1.1 302 "):
                raise ConnectionError(f"the server answered {got[:200]!r}")
            answered.append(agent)


def run(port: int, tokens: list[bytes], *, hits: int, connections: int, mark: str) -> tuple[float, list[str]]:
    """(seconds, answered hits) of `hits` requests over `connections`; raises the first failure."""
    share = hits // connections
    answered: list[list[str]] = [[] for _ in range(connections)]
    failures: list[BaseException] = []

    def work(place: int) -> None:
        offset = place * len(tokens) // connections
        try:
            click(port, tokens[offset:] + tokens[:offset], hits=share, name=f"{mark}-{place}", answered=answered[place])
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server was killed: the part ends here, and the last hit was not answered
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - began, [one for part in answered for one in part]


def main() -> None:
    parser = argparse.ArgumentParser(description="A plain client of tracked links.")
    parser.add_argument("port", type=int)
    parser.add_argument("--file", type=Path, required=True, help="tokens, one a line")
    parser.add_argument("--hits", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--mark", default="0", help="part of each user agent")
    parser.add_argument("--answered", type=Path, help="where to write the user agents of answered hits")
    given = parser.parse_args()
    tokens = given.file.read_bytes().split()
    print("ready", flush=True)
    sys.stdin.readline()
    seconds, answered = run(given.port, tokens, hits=given.hits, connections=given.connections, mark=given.mark)
    if given.answered:
        given.answered.write_text("\n".join(answered))
    print(json.dumps({"seconds": round(seconds, 4), "answered": len(answered)}))


if __name__ == "__main__":
    main()
