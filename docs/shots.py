"""Take the screenshots of the README from a running product with demo data: `make shots`.

Start it first with `make run`. Every picture is of a page as a person sees it after signing in through the form.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tcma.config import settings

FOLDER = Path(__file__).parent / "shots"
WIDE, PHONE = (1280, 860), (390, 844)


@dataclass(frozen=True)
class Shot:
    """One picture: who signs in, which page, at which size and in which look."""

    name: str
    person: str
    path: str
    size: tuple[int, int] = WIDE
    dark: bool = False
    link: str = ""


SHOTS = (
    Shot("partner-home", "hanna", "/"),
    Shot("partner-home-phone", "hanna", "/", PHONE),
    Shot("catalogue", "hanna", "/catalogue"),
    Shot("launches", "hanna", "/launches"),
    Shot("launch", "hanna", "/launches?state=finished", link="main a[href^='/launches/']"),
    Shot("contacts", "hanna", "/contacts"),
    Shot("leads", "hanna", "/leads"),
    Shot("partner-funds", "hanna", "/funds"),
    Shot("vendor-home", "vera", "/"),
    Shot("campaigns", "vera", "/campaigns"),
    Shot("campaign", "vera", "/campaigns", link="main a[href^='/campaigns/0']"),
    Shot("kits", "vera", "/kits"),
    Shot("funnel", "chiara", "/funnel"),
    Shot("desk", "felix", "/desk"),
    Shot("desk-dark", "felix", "/desk", dark=True),
    Shot("funds", "felix", "/funds"),
)


def sign_in(page: Page, url: str, person: dict[str, str]) -> None:
    """Through the form, as a person does."""
    page.goto(f"{url}/sign-in")
    page.fill("input[name=email]", person["email"])
    page.fill("input[name=password]", person["password"])
    page.click("form button[type=submit]:has-text('Sign in')")
    page.wait_for_load_state("networkidle")


def take(browser: Browser, url: str, people: dict[str, dict[str, str]], shot: Shot) -> None:
    context = browser.new_context(
        viewport={"width": shot.size[0], "height": shot.size[1]}, color_scheme="dark" if shot.dark else "light",
        locale="en-GB",
    )  # fmt: skip
    page = context.new_page()
    sign_in(page, url, people[shot.person])
    page.goto(f"{url}{shot.path}")
    if shot.link:
        page.locator(shot.link).first.click()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(900)
    page.screenshot(path=FOLDER / f"{shot.name}.png")
    context.close()
    print(f"{shot.name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=settings().public_origin)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    known = json.loads((settings().data_dir / "demo.json").read_text())
    people = {one["email"].partition("@")[0]: one for one in known}
    FOLDER.mkdir(exist_ok=True)
    chromium = os.environ.get("TCMA_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for shot in SHOTS:
            if not given.only or shot.name in given.only.split(","):
                take(browser, given.url.rstrip("/"), people, shot)
        browser.close()


if __name__ == "__main__":
    main()
