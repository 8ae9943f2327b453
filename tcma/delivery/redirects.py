"""The quick way of a tracked link: in front of the application, for what this process knows already.

A hit that is answered here is on disk before its answer, as any other. Whatever is not plain (a token that is not
genuine, a delivery that is not remembered, another origin, a full disk) is left to the application, which says what is
wrong, or finds the delivery and remembers it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from werkzeug.urls import iri_to_uri

from tcma.config import settings
from tcma.delivery import tracking
from tcma.delivery.spool import SpoolError
from tcma.delivery.tracking import Visit

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
_uri = lru_cache(maxsize=4096)(iri_to_uri)


class Redirects:
    """WSGI: answers remembered links, and hands everything else to `application`."""

    def __init__(self, application: Wsgi) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(PREFIX) and environ["REQUEST_METHOD"] == "GET" and not environ.get("QUERY_STRING"):
            destination = _destination(environ, path[len(PREFIX) :])
            if destination is not None:
                name = f"{random.getrandbits(64):016x}"
                headers = [("Location", destination), *_HEADERS, ("X-Request-ID", name)]
                if environ["wsgi.url_scheme"] == "https":
                    headers.append(("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))
                start_response("302 FOUND", headers)
                return [b""]
        return self._application(environ, start_response)


def _destination(environ: Environ, token: str) -> str | None:
    """Where the link leads, with the hit on disk; None where the application must look."""
    if f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}" != settings().tracking_origin:
        return None
    visit = Visit(environ.get("REMOTE_ADDR") or "", environ.get("HTTP_USER_AGENT", ""), "GET")
    try:
        found = tracking.follow_remembered(token, visit)
    except SpoolError:
        return None  # the application tries again, and answers that it cannot
    return _uri(found[0]) + found[1] if found else None
