"""Our MJML to HTML: the one place that calls the compiler, with what it gets wrong put right."""

from __future__ import annotations

import re
import warnings
from hashlib import sha256
from threading import Lock
from typing import Any, Final

from mjml import mjml_to_html
from mjml.core import Component

from tcma.campaigns.emit import BUILT_IN_FONTS, Emitted
from tcma.campaigns.rules import component_types

MAX_COMPILED: Final = 1024 * 1024

# The compiler registers components in a module-wide table each time it runs.
_LOCK: Final = Lock()
_RANDOM_ID: Final = re.compile(r"\bmj-carousel-([0-9a-f]{16})-|\bfor=\"([0-9a-f]{16})\"")
_FONT_BASE: Final = "https://fonts.googleapis.com/css?family="
_NO_FONTS: Final = re.compile(r'<!--\[if !mso\]><!-->\s*<style type="text/css">\s*</style>\s*<!--<!\[endif\]-->\s*')
_INDENT: Final = re.compile(r"[ \t]*\n[ \t\n]*")
_LAYOUT: Final = (
    "align", "vertical-align", "width", "height", "css-class", "container-background-color", "padding",
    "padding-top", "padding-right", "padding-bottom", "padding-left", "border", "background-color",
)  # fmt: skip


class CannotCompile(Exception):
    """The compiler gave up on MJML that passed the gate."""


class TooLarge(Exception):
    """The compiled mail is beyond MAX_COMPILED."""


def to_html(emitted: Emitted) -> str:
    """HTML for MJML of ours; the same MJML always gives the same HTML. Raises CannotCompile, TooLarge."""
    compiled = _steady(raw_html(emitted.mjml))
    compiled = _own_fonts(compiled, emitted.fonts)
    if len(compiled) > MAX_COMPILED:
        raise TooLarge
    return _INDENT.sub("\n", compiled)


def raw_html(mjml: str) -> str:
    """What the compiler makes of MJML; raises CannotCompile for whatever it raises."""
    with _LOCK, warnings.catch_warnings():
        # The parser below it guesses at what it is given, and warns; the gate already knows.
        warnings.simplefilter("ignore")
        try:
            return str(mjml_to_html(mjml, custom_components=_tolerant_components()).html)
        except Exception as error:
            # It has no errors of its own: a bad value may end in any exception of Python's.
            raise CannotCompile(f"{type(error).__name__}: {error}") from error


def _steady(compiled: str) -> str:
    """The HTML with numbers in the place of the compiler's random ids."""
    found = dict.fromkeys(one or other for one, other in _RANDOM_ID.findall(compiled))
    for number, random_id in enumerate(found):
        compiled = compiled.replace(random_id, sha256(str(number).encode()).hexdigest()[:16])
    return compiled


def _own_fonts(compiled: str, fonts: dict[str, str]) -> str:
    """The HTML with links to those fonts only that the author asked for with mj-font.

    By itself the compiler links to Google's as soon as one of five names stands anywhere in a list of fonts, as
    "Roboto" does in many that mean the system's own. That would tell a third party who opens the mail.
    """
    for name in BUILT_IN_FONTS:
        url = f"{_FONT_BASE}{name.replace(' ', '+')}:300,400,500,700"
        if fonts.get(name) != url:
            compiled = compiled.replace(f'<link href="{url}" rel="stylesheet" type="text/css">', "")
            compiled = compiled.replace(f"@import url({url});", "")
    return _NO_FONTS.sub("", compiled)


_TOLERANT: list[type[Component]] = []


def _tolerant_components() -> list[type[Component]]:
    """The compiler's components, for which a layout attribute that nobody declared is merely empty.

    As shipped, an mj-spacer or mj-social inside an mj-hero stops with an AssertionError.
    """
    if not _TOLERANT:
        _TOLERANT.extend(_tolerant(cls) for cls in component_types().values())
    return _TOLERANT


def _tolerant(cls: type[Component]) -> type[Component]:
    def allowed_attrs(_: type[Component]) -> dict[str, Any]:
        return dict.fromkeys(_LAYOUT, "string") | dict(cls.allowed_attrs())

    return type(cls.__name__, (cls,), {"allowed_attrs": classmethod(allowed_attrs)})
