"""Every page that a person of each role can reach: it answers, fits a phone, and nothing in it complains."""

from __future__ import annotations

import re
from collections import deque
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tcma.config import REPO
from tests.e2e.conftest import Desk, Seat
from tests.e2e.instance import Instance

ROLES = (
    "operator", "vendor_admin", "vendor_marketer", "channel_manager", "finance", "partner_admin", "partner_marketer",
)  # fmt: skip
PER_ROLE, PHONE = 32, 360
# Pages that stand further from home than the walk goes.
FAR = {"partner_admin": ("/brand/senders",)}
# Whatever is a file is fetched by other tests; here a page must come.
FILES = re.compile(r"(/download|/original|/yours|/thumbnail|/export\.\w+|\.csv|\.json|\.png|/file|/content)$|format=")
AXE = REPO / "node_modules" / "axe-core" / "axe.min.js"
# Rules of WCAG 2.2 AA; pages inside frames are mails as they were written and have tests of their own.
AXE_RUN = """
() => axe.run(document, {iframes: false, resultTypes: ['violations']}).then(found =>
  found.violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')))
"""
NUMBERS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/|$)")


@pytest.fixture(scope="module")
def people(live: Instance) -> dict[str, str]:
    found: dict[str, str] = live.seed("looking")["people"]
    return found


@pytest.fixture(scope="module")
def examined() -> set[str]:
    return set()


def _links(page: Page) -> list[str]:
    """Paths of this page's links to our own pages, in their order."""
    found: list[str] = page.eval_on_selector_all(
        "a[href]", "links => links.filter(a => !a.hasAttribute('download')).map(a => a.href)"
    )
    origin = page.evaluate("location.origin")
    paths = [url[len(origin) :].partition("#")[0] or "/" for url in found if url.startswith(origin)]
    return [path for path in dict.fromkeys(paths) if not FILES.search(path)]


def _kind(path: str) -> str:
    """The same for all pages of one shape: ids and the values of filters do not count."""
    parts = urlsplit(path)
    names = sorted(one.partition("=")[0] + ("=" + one.partition("=")[2] if one.startswith("tab=") else "") for one in parts.query.split("&"))
    return f"{NUMBERS.sub('*', parts.path)}?{'&'.join(names)}"


def _axe(desk: Desk, path: str) -> list[str]:
    """What a screen reader or a weak eye would stumble over, in light and in dark."""
    if not AXE.exists():
        return []
    faults = []
    for scheme in ("light", "dark"):
        desk.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        desk.page.wait_for_function("s => document.documentElement.dataset.bsTheme === s", arg=scheme)
        desk.page.evaluate(AXE.read_text())
        faults += [f"{path} in {scheme}: {one}" for one in desk.page.evaluate(AXE_RUN)]
    desk.page.emulate_media(color_scheme="light")
    return list(dict.fromkeys(faults))


def _faults(desk: Desk, path: str) -> list[str]:
    """What is wrong with the page at `path`."""
    page = desk.page
    answer = page.goto(desk.instance.origin + path)
    page.wait_for_load_state("load")
    faults = [f"answered {answer.status if answer else 'nothing'}"] if answer is None or answer.status >= 400 else []
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > PHONE:
        widest = page.evaluate(
            "w => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > w + 1)"
            ".slice(0, 3).map(e => e.tagName + '.' + e.className)", PHONE
        )  # fmt: skip
        faults.append(f"is {width} pixels wide on a phone: {widest}")
    if not page.title().strip() or page.locator("h1").count() != 1:
        faults.append(f"has the title {page.title()!r} and {page.locator('h1').count()} main headings")
    return [f"{path} {fault}" for fault in faults]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("role", ROLES)
def test_every_page_that_a_role_reaches_is_whole(
    seat: Seat, people: dict[str, str], role: str, examined: set[str]
) -> None:
    faults: list[str] = []
    with seat(people[role], width=PHONE) as desk:
        begin = ("/", *FAR.get(role, ()))
        waiting, known = deque((path, int(path != "/")) for path in begin), {_kind(path) for path in begin}
        visited = 0
        while waiting and visited < PER_ROLE:
            path, depth = waiting.popleft()
            visited += 1
            faults += _faults(desk, path)
            # Pages of one shape that several roles reach are looked through once.
            if _kind(path) == "/?" or _kind(path) not in examined:
                examined.add(_kind(path))
                faults += _axe(desk, path)
            if depth < 2:
                fresh = [link for link in _links(desk.page) if _kind(link) not in known]
                for link in fresh:
                    if _kind(link) not in known:
                        known.add(_kind(link))
                        waiting.append((link, depth + 1))
        faults += desk.complaints
        desk.complaints.clear()
    assert visited > 5
    assert faults == []
