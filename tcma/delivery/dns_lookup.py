"""Asking the DNS: records as text, and a clear line between “there is none” and “nobody answers”."""

from __future__ import annotations

import time
from typing import Any, Protocol

import dns.exception
import dns.name
import dns.resolver

from tcma.config import server_address, settings
from tcma.errors import Invalid

PATIENCE = 6.0
"""Seconds for one question over all servers."""

BUDGET = 20.0
"""Seconds for all questions of one resolver: somebody waits for the page."""


class DnsTrouble(Exception):
    """No server gave an answer, so nothing is known: neither that a record is there nor that it is not."""


class Resolver(Protocol):
    def txt(self, name: str) -> list[str]:
        """The TXT records at `name`, each with its strings joined (RFC 7208 §3.3); none for none.

        Raises DnsTrouble.
        """
        ...

    def cname(self, name: str) -> str:
        """Where `name` leads, in lower case and without the last dot; empty where it is no alias. Raises DnsTrouble."""
        ...

    def mx(self, name: str) -> list[str]:
        """The mail servers of `name`, in the form of `cname`; none for none. Raises DnsTrouble."""
        ...


class DnsResolver:
    """Asks `server` ("address" or "address:port"), or the system's servers."""

    def __init__(self, server: str | None = None) -> None:
        self._resolver = dns.resolver.Resolver(configure=server is None)
        if server is not None:
            address, port = server_address(server)
            self._resolver.nameservers = [address]
            self._resolver.port = port
        self._resolver.timeout = PATIENCE / 3
        self._left = BUDGET

    def txt(self, name: str) -> list[str]:
        return sorted(_text(b"".join(row.strings)) for row in self._ask(name, "TXT"))

    def cname(self, name: str) -> str:
        return next((_host(row.target) for row in self._ask(name, "CNAME")), "")

    def mx(self, name: str) -> list[str]:
        # “.” stands for: takes no mail (RFC 7505).
        return sorted(filter(None, (_host(row.exchange) for row in self._ask(name, "MX"))))

    def _ask(self, name: str, kind: str) -> list[Any]:
        if self._left <= 0:
            raise DnsTrouble(f"The name servers are too slow; {name} was not asked for.")
        started = time.monotonic()
        try:
            lifetime = min(PATIENCE, self._left)
            answer = self._resolver.resolve(f"{name}.", kind, raise_on_no_answer=False, lifetime=lifetime)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            raise DnsTrouble(f"The name servers gave no answer for {name}.") from None
        finally:
            self._left -= time.monotonic() - started
        return list(answer.rrset or [])


def _host(name: dns.name.Name) -> str:
    return _text(name.to_text().encode()).rstrip(".").lower()


def _text(raw: bytes) -> str:
    """A record as people and the database can read it: what cannot be printed becomes a mark."""
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in text)


def resolver() -> Resolver:
    """The resolver that TCMA_DNS_SERVER names, else the system's."""
    try:
        return DnsResolver(settings().dns_server)
    except dns.resolver.NoResolverConfiguration:
        raise Invalid("This machine has no name server. Set TCMA_DNS_SERVER, such as 9.9.9.9.") from None
