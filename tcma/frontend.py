"""Puts third-party browser code where our pages load it: `python -m tcma.frontend`, at set-up.

From node_modules (npm, by lock file) to static/vendor: whole files, and one SVG sprite of the icons
that our pages use. Nothing of it is committed.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tcma.config import REPO

FILES = {
    "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "tabler.min.js": "@tabler/core/dist/js/tabler.min.js",
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "echarts.min.js": "echarts/dist/echarts.min.js",
}
ICONS = "@tabler/icons/icons/outline"
# A map that is not served would be asked for in vain by each open developer console.
_SOURCE_MAP = re.compile(rb"\n?(/\*# sourceMappingURL=[^*]*\*/|//# sourceMappingURL=\S*)\s*$")
_ICON_CALL = re.compile(r"""\bicon\(\s*['"]([a-z0-9-]+)['"]""")
_SVG_BODY = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_BOUNDS = re.compile(r'\s*<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>')


class FrontendError(Exception):
    """Something that set-up needs is missing; the message says what to do."""


def install(*, modules: Path = REPO / "node_modules", static: Path = REPO / "static") -> list[str]:
    """Fill static/vendor; returns the names of its files. Raises FrontendError if node_modules lacks one."""
    target = static / "vendor"
    fresh = static / ".vendor.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, source in FILES.items():
        content = _read(modules / source)
        (fresh / name).write_bytes(_SOURCE_MAP.sub(b"", content))
    (fresh / "icons.svg").write_text(sprite(icon_names(), folder=modules / ICONS))
    target.mkdir(exist_ok=True)
    for path in fresh.iterdir():
        path.replace(target / path.name)  # one by one, so that a running service never misses a file
    fresh.rmdir()
    return sorted([*FILES, "icons.svg"])


def icon_names() -> set[str]:
    """Names of the icons that static/icons.txt lists or a template draws."""
    names = set((REPO / "static" / "icons.txt").read_text().split())
    for template in (REPO / "tcma").rglob("templates/**/*.html"):
        names.update(_ICON_CALL.findall(template.read_text()))
    return names


def sprite(names: set[str], *, folder: Path) -> str:
    """One SVG with a symbol `tabler-<name>` for each icon; the look (stroke, size) comes from our CSS."""
    if unknown := sorted(name for name in names if not (folder / f"{name}.svg").exists()):
        raise FrontendError(f"No such icon: {', '.join(unknown)}. Correct the name where it is used.")
    symbols = []
    for name in sorted(names):
        body = _SVG_BODY.search((folder / f"{name}.svg").read_text())
        drawing = _BOUNDS.sub("", body.group(1)).strip() if body else ""
        symbols.append(f'<symbol id="tabler-{name}" viewBox="0 0 24 24">{drawing}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FrontendError(f"{path} cannot be read ({error.strerror}). Run `make setup`.") from error


if __name__ == "__main__":
    try:
        install()
    except FrontendError as error:
        sys.exit(str(error))
