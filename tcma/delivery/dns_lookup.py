"""Asking the DNS: TXT records as text, and a clear line between “there is none” and “nobody answers”."""

from __future__ import annotations

import time
from typing import Protocol

import dns.exception
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
        if self._left <= 0:
            raise DnsTrouble(f"The name servers are too slow; {name} was not asked for.")
        started = time.monotonic()
        try:
            lifetime = min(PATIENCE, self._left)
            answer = self._resolver.resolve(f"{name}.", "TXT", raise_on_no_answer=False, lifetime=lifetime)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            raise DnsTrouble(f"The name servers gave no answer for {name}.") from None
        finally:
            self._left -= time.monotonic() - started
        if answer.rrset is None:
            return []
        return sorted(_text(b"".join(row.strings)) for row in answer.rrset)


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
