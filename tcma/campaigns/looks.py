"""A mail on a light and on a dark screen, whatever screen the person has who looks at its preview."""

from __future__ import annotations

import re

# How a mail asks for the reader's look; in a frame the switch above it decides, not the looker's own device.
_ASKS_DARK = re.compile(r"\(\s*prefers-color-scheme\s*:\s*dark\s*\)")
_TAKES_BOTH = re.compile(r"(color-scheme\s*:\s*|name=\"(?:supported-)?color-schemes?\"\s+content=\")light dark\b")


def in_look(html: str, *, dark: bool) -> str:
    """The document as a reader with a light or a dark screen sees it."""
    asked = _ASKS_DARK.sub("(min-width: 0)" if dark else "(max-width: 0)", html)
    return _TAKES_BOTH.sub(r"\g<1>dark" if dark else r"\g<1>light", asked)
