"""The quick way of a tracked link: in front of the application, for what this process knows already.

A hit that is answered here is on disk before its answer, as any other. Whatever is not plain (a token that is not
genuine, a delivery that is not remembered, another origin, a full disk) is left to the application, which says what is
wrong, or finds the delivery and remembers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from werkzeug.urls import iri_to_uri

from tcma.delivery import tracking
from tcma.delivery.spool import SpoolError

Environ = dict[str, Any]
Start = Callable[..., Any]
Wsgi = Callable[[Environ, Start], Iterable[bytes]]
PREFIX = "/r/"
FRESH = {"Cache-Control": "no-store, max-age=0", "Referrer-Policy": "no-referrer"}
"""Of every answer to a hit: it is asked for anew each time, and where it leads learns nothing of the link."""

_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "0"),
    *FRESH.items(),
    # There is nothing in the answer that could do anything.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
_HSTS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
_uri = lru_cache(maxsize=4096)(iri_to_uri)


class Redirects:
    """WSGI: answers remembered links, and hands everything else to `application`."""

    def __init__(self, application: Wsgi) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(PREFIX) and environ["REQUEST_METHOD"] == "GET" and not environ.get("QUERY_STRING"):
            headers = _answer(environ, path[len(PREFIX) :])
            if headers is not None:
                start_response("302 FOUND", headers)
                return []
        return self._application(environ, start_response)


def _answer(environ: Environ, token: str) -> list[tuple[str, str]] | None:
    """The headers that lead on, with the hit on disk; None where the application must look."""
    scheme = environ["wsgi.url_scheme"]
    try:
        found = tracking.follow_remembered(
            token,
            (scheme, environ.get("HTTP_HOST", "")),
            environ.get("REMOTE_ADDR") or "",
            environ.get("HTTP_USER_AGENT", ""),
        )
    except SpoolError:
        return None  # the application tries again, and answers that it cannot
    if found is None:
        return None
    address, who, name = found
    # An answer is called as its hit is, so that who asks about one finds the other.
    headers = [("Location", _uri(address) + who), *_HEADERS, ("X-Request-ID", name)]
    if scheme == "https":
        headers.append(_HSTS)
    return headers
