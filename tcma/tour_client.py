"""Speaking to an instance as several people: one key each, problems told in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx


class TourFailed(Exception):
    """A link of the chain did not hold; the message says which and what the instance answered."""


class Instance:
    """One running instance. `call` speaks with a key; `visit` is a stranger's browser without one."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=60, headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) tcma-tour"})

    def close(self) -> None:
        self._http.close()

    def call(self, key: str, method: str, path: str, *, raw: bool = False, **options: Any) -> Any:
        """One API call; JSON back, or bytes with `raw`. Raises TourFailed for anything but success."""
        try:
            answer = self._http.request(
                method, f"{self.url}/api/v1{path}", headers={"Authorization": f"Bearer {key}"}, **options
            )
        except httpx.HTTPError as error:
            raise TourFailed(f"{method} {path}: the instance does not answer ({type(error).__name__}).") from None
        if answer.is_success:
            return answer.content if raw else (answer.json() if answer.content else None)
        raise TourFailed(f"{method} {path} answered {answer.status_code}: {_problem(answer)}")

    def visit(self, method: str, url: str, **options: Any) -> httpx.Response:
        """What a reader's browser does with a link of a mail: no key, no cookies, no redirects followed."""
        try:
            return self._http.request(method, url, follow_redirects=False, **options)
        except httpx.HTTPError as error:
            raise TourFailed(f"{method} {url}: no answer ({type(error).__name__}).") from None

    def wait(self, what: str, found: Callable[[], Any], *, seconds: float, each: float = 0.4) -> Any:
        """Ask `found` again and again until it answers something, or fail after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            value = found()
            if value:
                return value
            if time.monotonic() > until:
                raise TourFailed(f"{what} did not happen within {seconds:.0f} seconds. Is the worker running?")
            time.sleep(each)


def _problem(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:300]
    told = [str(body.get("detail") or body.get("title") or "")]
    told += [f"{field}: {words}" for field, words in (body.get("errors") or {}).items() if str(words) not in told[0]]
    return " ".join(told)[:800]
