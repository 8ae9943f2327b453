"""Spam checks of a form answer without third parties: a hidden field, the time it took, and what it says. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

QUICKEST_SECONDS = 3
_LINK = re.compile(r"https?://|www\.|\[url", re.IGNORECASE)
_MARKUP = re.compile(r"<\s*a\b|<\s*script|\bhref\s*=", re.IGNORECASE)


def reasons(answers: Mapping[str, str], *, trap: str, seconds: float | None) -> list[str]:
    """Why an answer looks like spam; none means it is taken. `trap` is the hidden field, `seconds` since the page."""
    found = []
    if trap:
        found.append("filled_the_hidden_field")
    if seconds is not None and seconds < QUICKEST_SECONDS:
        found.append("too_quick")
    said = " ".join(answers.values())
    if len(_LINK.findall(said)) > 2:
        found.append("many_links")
    if _MARKUP.search(said):
        found.append("markup")
    if _LINK.search(answers.get("name", "")):
        found.append("link_as_name")
    return found
