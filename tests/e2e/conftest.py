"""A browser, a running service, and a page that is not allowed to complain."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tcma.config import REPO
from tcma.postgres import EmbeddedPostgres
from tests.e2e.instance import Instance, running
from tests.factories.cast import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# A reader's browser says what it is; one that says it is headless counts as a machine.
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.e2e)
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))
        elif not (REPO / "static" / "vendor" / "htmx.min.js").exists():
            item.add_marker(pytest.mark.skip(reason="static/vendor is not set up: run `make setup`"))


@pytest.fixture(scope="session")
def live(cluster: EmbeddedPostgres) -> Iterator[Instance]:
    """The service with all its parts, once for all browser tests."""
    folder = Path(tempfile.mkdtemp(prefix="tcma-live-"))
    with running(cluster, folder, database="live") as instance:
        yield instance
    shutil.rmtree(folder, ignore_errors=True)


# Of one module: while Playwright runs, its event loop would stand in the way of other tests of this process.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


@dataclass
class Desk:
    """One person's browser: a window, the words of complaint so far, and how to sign in."""

    instance: Instance
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.instance.origin + path)
        return self.page

    def sign_in(self, address: str) -> Page:
        """Through the form, as people do."""
        page = self.open("/sign-in")
        page.get_by_label("Email address").fill(address)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page).not_to_have_url(re.compile("/sign-in"))
        return page


class Seat(Protocol):
    def __call__(self, address: str | None = None, *, width: int = 1280) -> AbstractContextManager[Desk]: ...


@pytest.fixture
def seat(live: Instance, browser: Browser) -> Seat:
    """Opens a fresh browser, signed in if an address is given; at its end no page may have complained."""

    @contextmanager
    def opener(address: str | None = None, *, width: int = 1280) -> Iterator[Desk]:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, user_agent=AGENT, locale="en-GB", accept_downloads=True
        )
        context.set_default_timeout(15_000)
        desk = Desk(live, context, context.new_page())
        context.on("weberror", lambda error: desk.complaints.append(f"{error.page and error.page.url}: {error.error}"))
        context.on(
            "console",
            lambda said: desk.complaints.append(f"{said.page and said.page.url}: {said.text}") if said.type == "error" else None,
        )  # fmt: skip
        try:
            if address:
                desk.sign_in(address)
            yield desk
            assert desk.complaints == []
        finally:
            context.close()

    return opener
