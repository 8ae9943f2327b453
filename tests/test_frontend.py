"""Layouts, macros, colours and scripts: what pages may rely on, and what the content policy forbids."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, flash, g, render_template, render_template_string, request
from flask_babel import Babel
from flask_wtf import CSRFProtect
from jinja2.ext import babel_extract

from tcma import navigation, show, styleguide
from tcma.config import REPO

TEMPLATES = sorted(REPO.glob("tcma/templates/**/*.html")) + sorted(REPO.glob("tcma/*/templates/**/*.html"))
SCRIPTS = sorted((REPO / "static" / "js").glob("*.js"))
ICONS = (REPO / "static" / "icons.txt").read_text().split()
TABLER_ICONS = REPO / "node_modules" / "@tabler" / "icons" / "icons" / "outline"
UI = '{% import "ui.html" as ui %}'


def small_app() -> Flask:
    """The templates with everything the real application gives them, and without a database."""
    app = Flask("tcma", static_folder=str(REPO / "static"), template_folder=str(REPO / "tcma" / "templates"))
    app.config.update(SECRET_KEY=secrets.token_hex())
    Babel(app)
    CSRFProtect(app)
    show.add_filters(app)
    rows = [{"id": n, "name": name} for n, name in enumerate(["Spring", "Summer", "Autumn", "Winter"])]

    def nonce() -> str:
        if "nonce" not in g:
            g.nonce = secrets.token_urlsafe(12)
        return str(g.nonce)

    @app.context_processor
    def around() -> dict[str, Any]:
        organizations = [
            SimpleNamespace(id="1", name="Northwind Systems", kind="partner", current=True),
            SimpleNamespace(id="2", name="Brightline Networks", kind="vendor", current=False),
        ]
        entries = [("Home", "home"), ("Launches", "send"), ("Leads", "flame")]
        return {
            "actor": SimpleNamespace(organization_name="Northwind Systems", name="Ana Ferreira", email="a@b.example"),
            "organizations": organizations,
            "nav": [
                {"label": label, "href": "#", "icon": icon, "active": label == "Home", "count": 2}
                for label, icon in entries
            ],
            "needs_me": 3,
            "csp_nonce": nonce,
            "platform_name": "TCMA",
        }

    @app.after_request
    def policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            f"default-src 'self'; script-src 'self' 'nonce-{nonce()}'; style-src 'self' 'nonce-{nonce()}'; "
            "img-src 'self' data:; frame-src 'self'; object-src 'none'; base-uri 'none'"
        )
        return response

    @app.get("/styleguide")
    def guide() -> str:
        return render_template("styleguide.html", **styleguide.example_context())

    @app.get("/list")
    def searched() -> str:
        found = [row for row in rows if request.args.get("q", "").lower() in str(row["name"]).lower()]
        page = (
            '{% extends "layout.html" %}{% import "ui.html" as ui %}{% block title %}List{% endblock %}'
            '{% block content %}{% call ui.toolbar("rows", search="Name") %}'
            '{{ ui.chips("state", [("won", "Won")], "State") }}{% endcall %}'
            '{% call(row) ui.table("rows", [{"key": "name", "label": "Name"}], rows, "Rows") %}'
            '<td><a href="#row-{{ row.id }}" data-row-link>{{ row.name }}</a></td>{% endcall %}'
            '<button class="button" hx-post="/refused">Try</button>{% endblock %}'
        )
        return render_template_string(page, rows=found)

    @app.get("/job")
    def job() -> str:
        page = (
            '{% extends "layout.html" %}{% import "ui.html" as ui %}{% block title %}Job{% endblock %}'
            '{% block content %}{{ ui.progress("job", "Rows", 3, 9, poll_url="/job/state") }}{% endblock %}'
        )
        return render_template_string(page)

    @app.get("/job/state")
    def job_state() -> str:
        return render_template_string(UI + '{{ ui.progress("job", "Rows", 9, 9, state="finished") }}')

    @app.post("/refused")
    def refused() -> tuple[str, int]:
        return render_template("fragments/error.html", title="Changed meanwhile", message="Reload, then decide."), 409

    @app.post("/<path:anything>")
    def done(anything: str) -> str:
        flash(f"{anything} was done.", "success")
        return guide()

    return app


@pytest.fixture(scope="module")
def pages() -> Flask:
    return small_app()


def shown(pages: Flask, source: str, path: str = "/", **context: Any) -> str:
    with pages.test_request_context(path):
        return render_template_string(UI + source, **context)


class Reader(HTMLParser):
    """Collects every tag with its attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


@pytest.fixture(scope="module")
def guide(pages: Flask) -> Reader:
    answer = pages.test_client().get("/styleguide")
    assert answer.status_code == 200
    return Reader(answer.get_data(as_text=True))


# The content policy


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(REPO / "tcma")))
def test_template_keeps_the_content_policy(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"<[^>]*\sstyle\s*=", source), "style attributes are refused by the browser"
    assert not re.search(r"<[^>]*\son[a-z]+\s*=\s*[\"']", source), "handlers in attributes are refused"
    assert "hx-on" not in source
    assert "javascript:" not in source
    for tag in re.findall(r"<script[^>]*>", source):
        assert "nonce=" in tag or 'type="application/json"' in tag, f"{tag} needs the nonce"
    for tag in re.findall(r"<style[^>]*>", source):
        assert "nonce=" in tag, f"{tag} needs the nonce"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_makes_no_markup_from_strings(path: Path) -> None:
    source = path.read_text()
    for refused in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert refused not in source
    assert not re.search(r"setAttribute\(\s*[\"']style", source)


def test_page_has_no_style_attribute_and_no_handler(guide: Reader) -> None:
    names = {name for _, attrs in guide.tags for name in attrs}
    assert not {name for name in names if name == "style" or name.startswith("on")}


# Icons, states, words


def test_words_of_states_reach_the_translators() -> None:
    found: set[str] = set()
    for path in TEMPLATES:
        with path.open("rb") as file:
            found.update(str(words) for _, _, words, _ in babel_extract(file, ["_", "ngettext", "N_"], [], {}))
    assert {"Approved in part", "Skip to the content", "Nothing waits for you"} <= found


def used_icons() -> set[str]:
    found: set[str] = set()
    for path in TEMPLATES:
        source = path.read_text()
        found.update(re.findall(r"\bicon\(\s*[\"']([a-z0-9-]+)[\"']", source))
        found.update(re.findall(r"\bicon_name\s*=\s*[\"']([a-z0-9-]+)[\"']", source))
        found.update(re.findall(r"[\"']icon[\"']\s*:\s*[\"']([a-z0-9-]+)[\"']", source))
    states = (REPO / "tcma/templates/macros/states.html").read_text()
    found.update(re.findall(r"\('\w+', '([a-z0-9-]+)', N_\(", states))
    entries = [
        entry for value in vars(navigation).values() if isinstance(value, tuple)
        for entry in value if isinstance(entry, navigation.Entry)
    ]  # fmt: skip
    found.update(entry.icon for entry in entries)
    return found


def test_every_icon_in_use_is_in_the_sprite() -> None:
    assert used_icons() <= set(ICONS), "add these names to static/icons.txt and run `make setup`"


def test_list_of_icons_is_sorted_and_real() -> None:
    assert sorted(set(ICONS)) == ICONS
    assert not [name for name in ICONS if not (TABLER_ICONS / f"{name}.svg").exists()]


def known_states() -> set[str]:
    source = (REPO / "tcma/templates/macros/states.html").read_text()
    return set(re.findall(r"^  '(\w+)': \(", source, re.MULTILINE))


def status_values() -> list[tuple[str, str]]:
    found = []
    for path in sorted(REPO.glob("tcma/*/states.py")):
        for name, body in re.findall(r"class (\w+Status)\(StrEnum\):(.*?)(?=^\S|\Z)", path.read_text(), re.S | re.M):
            found += [(f"{path.parent.name}.{name}", value) for value in re.findall(r'= "(\w+)"', body)]
    return found


def test_every_status_has_words_colour_and_icon() -> None:
    values = status_values()
    assert values
    assert not [pair for pair in values if pair[1] not in known_states()]


def test_unknown_state_is_shown_in_plain_words(pages: Flask) -> None:
    assert "Not a fit" in shown(pages, "{{ ui.status_badge('not_a_fit') }}")


def test_catalogue_names_every_macro() -> None:
    names = re.findall(r"{% set (\w+) = ", (REPO / "tcma/templates/ui.html").read_text())
    text = (REPO / "docs/frontend.md").read_text()
    inner = {"state_words", "state_tone", "attributes", "STATES", "form_errors", "autosave_state"}
    assert not [name for name in names if name not in inner and name not in text]


# Colours


def tokens() -> dict[str, tuple[str, str]]:
    source = (REPO / "static/css/tokens.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", source)
    return {name: (light, dark) for name, light, dark in pairs}


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXT_PAIRS = [
    *((ink, paper) for ink in ("ink", "ink-2", "ink-3", "accent", "bad") for paper in ("ground", "surface", "hover")),
    *((tone, f"{tone}-soft") for tone in ("good", "warn", "bad", "info", "neutral", "accent")),
    ("on-accent", "accent"), ("on-accent", "accent-hover"), ("ink-2", "sunk"), ("ink-3", "sunk"),
    ("ink", "accent-soft"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "paper"), TEXT_PAIRS)
def test_words_can_be_read(ink: str, paper: str, scheme: int) -> None:
    found = tokens()
    assert contrast(found[ink][scheme], found[paper][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_edges_of_controls_can_be_seen(scheme: int) -> None:
    found = tokens()
    for paper in ("surface", "ground"):
        assert contrast(found["line-control"][scheme], found[paper][scheme]) >= 3


# Macros


def test_ids_are_unique_and_every_reference_has_its_target(guide: Reader) -> None:
    ids = Counter(guide.values("id"))
    assert not [one for one, times in ids.items() if times > 1]
    names = ("for", "aria-describedby", "aria-labelledby")
    wanted = {one for name in names for value in guide.values(name) for one in value.split()}
    assert wanted <= set(ids)


def test_every_frame_is_sandboxed_and_named(guide: Reader) -> None:
    frames = [attrs for tag, attrs in guide.tags if tag == "iframe"]
    assert frames
    assert all(attrs.get("sandbox") == "" and attrs.get("title") for attrs in frames)


def test_every_post_form_carries_the_token(guide: Reader) -> None:
    forms = sum(1 for tag, attrs in guide.tags if tag == "form" and attrs.get("method") == "post")
    assert guide.values("name").count("csrf_token") == forms > 10


def test_values_are_escaped(pages: Flask) -> None:
    page = shown(pages, "{{ ui.page_header(t) }}{{ ui.post_button(t, '#', confirm=t) }}", t='<b>"x"</b>')
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_here_changes_one_value_and_keeps_the_rest(pages: Flask) -> None:
    page = shown(pages, "{{ ui.here(sort='name', after=none) }}", path="/x?q=a%26b&state=won&state=lost&after=9")
    assert page.replace("&amp;", "&") == "/x?q=a%26b&state=won&state=lost&sort=name"


def test_here_never_leaves_this_site(pages: Flask) -> None:
    page = shown(pages, "{{ ui.here(sort='name') }}", path="/x?_external=1&_scheme=javascript&endpoint=y")
    assert page.startswith("/x?")


def test_accounting_bar_shows_every_part_and_fills_the_whole(pages: Flask) -> None:
    counts = {"sent": 5, "sending": 1, "pending": 2, "failed": 1, "suppressed": 0, "skipped": 0, "unknown": 1}
    page = shown(pages, "{{ ui.accounting_bar(c, 10, links={'failed': '/failed'}) }}", c=counts)
    widths = [float(value) for value in re.findall(r'segment-\w+" x="[\d.]+%" width="([\d.]+)%"', page)]
    assert sum(widths) == pytest.approx(100)
    assert all(f"key-{name}" in page for name in counts)
    assert 'href="/failed"' in page


def test_accounting_bar_of_nothing_planned_is_empty(pages: Flask) -> None:
    page = shown(pages, "{{ ui.accounting_bar({}, 0) }}")
    assert "<strong>0</strong> planned" in page


def test_progress_polls_until_the_job_has_ended(pages: Flask) -> None:
    running = shown(pages, "{{ ui.progress('p', 'Rows', 3, 9, poll_url='/p') }}")
    ended = shown(pages, "{{ ui.progress('p', 'Rows', 9, 9, state='finished') }}")
    assert 'hx-get="/p"' in running
    assert "hx-" not in ended
    assert "Finished" in ended


def test_errors_are_counted_and_tied_to_their_fields(pages: Flask) -> None:
    source = "{% call ui.form(f) %}{{ ui.field(f.name) }}{{ ui.money_field(f.amount, 'EUR') }}{% endcall %}"
    with pages.test_request_context("/"):
        page = render_template_string(UI + source, f=styleguide.example_context()["wrong"])
    assert "2 things to mend" in page
    assert 'href="#wrong-name"' in page
    inputs = {attrs["name"]: attrs for tag, attrs in Reader(page).tags if tag == "input" and "name" in attrs}
    for name in ("wrong-name", "wrong-amount"):
        assert inputs[name]["aria-invalid"] == "true"
        assert f"{name}-error" in str(inputs[name]["aria-describedby"])


def test_plot_has_its_figures_as_a_table(pages: Flask) -> None:
    data = {"x": ["Jan", "</script>"], "series": [{"name": "Leads", "data": [1, 2000]}]}
    page = shown(pages, "{{ ui.plot('p', 'Leads', data=d) }}", d=data)
    assert "2,000" in page
    assert page.count("</script>") == 1


@pytest.mark.parametrize("colour", ["red;} body{display:none", "#12345", "#12345g", "</style>", "url(x)1"])
def test_brand_colour_cannot_carry_a_rule(pages: Flask, colour: str) -> None:
    page = shown(pages, '{% from "macros/colours.html" import hex_colour %}{{ hex_colour(c, "#000000") }}', c=colour)
    assert page == "#000000"


def test_public_page_needs_no_script(pages: Flask) -> None:
    with pages.test_request_context("/"):
        page = render_template_string('{% extends "layout_public.html" %}', brand={"name": "N", "colour": "#7a2048"})
    assert "<script" not in page
    assert "--brand: #7a2048" in page


def test_error_page_says_what_and_gives_the_reference(pages: Flask) -> None:
    with pages.test_request_context("/"):
        page = render_template("error.html", status=409, title="Changed meanwhile", message="Reload.", request_id="r-1")
    assert all(words in page for words in ("Changed meanwhile", "Reload.", "r-1", "409"))
