"""A name server for tests: real answers over UDP on 127.0.0.1, from a dictionary that tests change as they go."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer:
    """Answers for TXT from `texts` (name without the last dot → values). Long values are split into strings of 255.

    `servers` holds the mail servers of names, `aliases` where a name leads: then the answer holds the CNAME and what is
    at its end, as from a resolver.

    `broken` names get SERVFAIL, as from a server in trouble. Every other name does not exist. `asked` holds each
    question's name, in order.
    """

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.servers: dict[str, list[str]] = {}
        self.aliases: dict[str, str] = {}
        self.broken: set[str] = set()
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> DnsServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"stop", self._socket.getsockname())
        self._thread.join(timeout=10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, client = self._socket.recvfrom(4096)
            if wire == b"stop":
                return
            self._socket.sendto(self._answer(dns.message.from_wire(wire)).to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        self.asked.append(name)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name in self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
            return answer
        while name in self.aliases:
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{self.aliases[name]}."))
            if question.rdtype == dns.rdatatype.CNAME:
                return answer
            name = self.aliases[name]
        kind = dns.rdatatype.to_text(question.rdtype)
        texts = [_quoted(value) for value in self.texts.get(name, [])]
        rows = {"TXT": texts, "MX": [f"10 {one}." for one in self.servers.get(name, [])]}.get(kind)
        if rows:
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *rows))
        elif name not in self.texts and name not in self.servers:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer


def _quoted(value: str) -> str:
    parts = [value[start : start + 255] for start in range(0, len(value), 255)]
    return " ".join('"{}"'.format(part.replace("\\", "\\\\").replace('"', '\\"')) for part in parts)
