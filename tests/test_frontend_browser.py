"""The components in a real browser, under the real content policy: they work, fit and can be used by all."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from tcma.config import REPO
from tests.test_frontend import small_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VENDOR = REPO / "static" / "vendor"
AXE = REPO / "node_modules" / "axe-core" / "axe.min.js"
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(not (VENDOR / "htmx.min.js").exists(), reason="static/vendor is not set up"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, small_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Opener]:
    """Opens a path; at the end no page may have complained, which includes breaches of the policy."""
    contexts, complaints = [], []

    def opener(path: str, *, width: int = 1280, scheme: str = "light", wary: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            bypass_csp=not wary,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert not [words for words in complaints if "status of 409" not in words]


def test_nothing_is_wider_than_the_screen(open_page: Opener) -> None:
    page = open_page("/styleguide")
    for width in (360, 600, 768, 1080, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(open_page: Opener, width: int, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed from npm")
    page = open_page("/styleguide", width=width, scheme=scheme, wary=False)
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        "axe.run(document, {iframes: false}).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    )
    assert found == []


def test_look_follows_the_system_until_one_is_chosen(open_page: Opener) -> None:
    page = open_page("/styleguide", scheme="dark")
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.locator(".me > summary").click()
    page.get_by_role("button", name="Light").first.click()
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-bs-theme", "light")


def test_deed_is_asked_for_once_and_going_back_does_nothing(open_page: Opener) -> None:
    page = open_page("/styleguide")
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nobody gets mail until you resume.")
    dialog.get_by_role("button", name="Go back").click()
    expect(dialog).to_be_hidden()
    assert page.evaluate("location.pathname") == "/styleguide"
    page.get_by_role("button", name="Pause").click()
    with page.expect_request(lambda request: request.method == "POST") as sent:
        dialog.get_by_role("button", name="Pause").click()
    assert "csrf_token" in (sent.value.post_data or "")
    expect(page.locator("#toasts")).to_contain_text("was done.")


def test_bar_and_side_stay_in_sight(open_page: Opener) -> None:
    page = open_page("/styleguide")
    page.evaluate("scrollTo(0, 4000)")
    expect(page.locator(".topbar")).to_be_in_viewport(ratio=1)
    expect(page.locator(".side")).to_be_in_viewport(ratio=1)


def test_long_job_refreshes_itself_and_then_rests(open_page: Opener) -> None:
    page = open_page("/job")
    expect(page.locator("#job")).to_contain_text("3 of 9")
    expect(page.locator("#job")).to_contain_text("Finished")
    assert page.locator("#job[hx-get]").count() == 0


def test_ticks_open_the_bulk_bar(open_page: Opener) -> None:
    page = open_page("/styleguide")
    bar = page.locator("[data-bulk-bar]")
    expect(bar).to_be_hidden()
    page.locator("input[name=ids]").first.check()
    expect(bar).to_contain_text("1 selected")
    page.locator("[data-bulk-all]").check()
    expect(bar).to_contain_text("4 selected")
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()


def test_search_as_one_types_keeps_the_focus_and_the_address(open_page: Opener) -> None:
    page = open_page("/list")
    box = page.get_by_role("searchbox", name="Name")
    box.press_sequentially("wint")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    expect(box).to_be_focused()
    page.wait_for_url("**/list?q=wint")
    expect(page.locator(".chips a").last).to_have_attribute("href", re.compile("q=wint"))
    box.fill("nobody")
    expect(page.locator("#rows")).to_contain_text("Nothing matches “nobody”")


def test_keys_walk_the_rows_and_can_be_turned_off(open_page: Opener) -> None:
    page = open_page("/list")
    rows = page.locator("[data-row-link]")
    page.keyboard.press("j")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/list#row-1")
    page.keyboard.press("?")
    page.get_by_role("switch").uncheck()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search everything")).not_to_be_focused()


def test_slash_goes_to_the_search(open_page: Opener) -> None:
    page = open_page("/list")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search everything")).to_be_focused()


def test_refused_request_is_told_in_a_notice_that_stays(open_page: Opener) -> None:
    page = open_page("/list")
    page.get_by_role("button", name="Try").click()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Changed meanwhile")
    notice.get_by_role("button", name="Close this notice").click()
    expect(notice).to_be_hidden()


def test_preview_shows_phone_dark_and_text(open_page: Opener) -> None:
    page = open_page("/styleguide")
    preview = page.locator("#mail-preview")
    frame = preview.locator("iframe")
    preview.get_by_role("button", name="Phone").click()
    expect(preview).to_have_attribute("data-width", "phone")
    expect(frame).to_have_css("max-width", "375px")
    preview.get_by_role("button", name="Dark").click()
    expect(frame).to_have_css("color-scheme", "dark")
    preview.get_by_role("button", name="Text").click()
    expect(frame).to_have_attribute("src", re.compile("txt$"))


def test_thumbnail_is_scaled_to_its_box(open_page: Opener) -> None:
    page = open_page("/styleguide")
    page.locator("[data-thumbnail]").first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('[data-thumbnail] iframe').style.transform !== ''")
    widths = page.evaluate(
        "(b => [b.clientWidth, b.firstChild.getBoundingClientRect().width])(document.querySelector('[data-thumbnail]'))"
    )
    assert widths[1] == pytest.approx(widths[0], abs=1)


def test_plot_is_drawn_within_the_policy(open_page: Opener) -> None:
    page = open_page("/styleguide")
    figure = page.locator("#plot-bars")
    figure.scroll_into_view_if_needed()
    expect(figure.locator("svg")).to_be_visible()
    expect(figure.locator("svg")).to_contain_text("Made it theirs")


def test_counter_counts_as_one_types(open_page: Opener) -> None:
    page = open_page("/styleguide")
    page.get_by_label("Opening words").fill("Grüße 👋")
    expect(page.locator("[data-count-for=message]")).to_have_text("7 of 280")


def test_chosen_column_stays_hidden_after_a_reload(open_page: Opener) -> None:
    page = open_page("/styleguide")
    page.locator("[data-columns-for] > summary").click()
    page.get_by_role("checkbox", name="Cost").uncheck()
    expect(page.get_by_role("columnheader", name="Cost")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("columnheader", name="Cost")).to_be_hidden()


def test_name_of_each_column_stands_on_the_cards_of_a_phone(open_page: Opener) -> None:
    page = open_page("/styleguide", width=360)
    cell = page.locator("#launch-list tbody tr").first.locator("td").nth(3)
    expect(cell).to_have_attribute("data-label", "Sent")
    words = page.evaluate("getComputedStyle(document.querySelectorAll('#launch-list td')[3], '::before').content")
    assert words == '"Sent"'


def test_preview_that_is_swapped_in_keeps_its_width_and_look(open_page: Opener) -> None:
    page = open_page("/styleguide")
    preview = page.locator("#mail-preview")
    preview.get_by_role("button", name="Phone").click()
    preview.get_by_role("button", name="Dark").click()
    page.evaluate(
        """() => {
          const old = document.getElementById("mail-preview");
          const fresh = old.cloneNode(true);
          Object.assign(fresh.dataset, { width: "desktop", scheme: "light" });
          old.replaceWith(fresh);
          document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: fresh } }));
        }"""
    )
    expect(preview).to_have_attribute("data-width", "phone")
    expect(preview).to_have_attribute("data-scheme", "dark")
    expect(preview.get_by_role("button", name="Phone")).to_have_attribute("aria-pressed", "true")


def test_formatted_text_is_written_as_it_looks_and_brings_nothing_foreign(open_page: Opener) -> None:
    page = open_page("/styleguide")
    page.evaluate(
        """() => {
          const field = document.createElement("textarea");
          Object.assign(field, { id: "note", name: "note" });
          field.value = '<p>Short &amp; <strong>free</strong></p><script>alert(1)</script><img src=x>';
          field.dataset.rich = "";
          const label = Object.assign(document.createElement("label"), { htmlFor: "note", textContent: "Your note" });
          const box = document.createElement("div");
          box.append(label, field);
          document.querySelector("main").prepend(box);
          document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: box } }));
        }"""
    )
    editor = page.get_by_role("textbox", name="Your note")
    expect(editor.locator("strong")).to_have_text("free")
    assert editor.locator("img, script").count() == 0
    editor.press("Control+End")
    editor.press_sequentially(" <now>")
    value = page.locator("#note").input_value()
    assert "Short &amp; <strong>free" in value
    assert "&lt;now&gt;" in value
    assert "<img" not in value
    assert "<script" not in value
