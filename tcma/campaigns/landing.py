"""The content of a landing page: a few texts with slots, and the fields of its form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tcma.errors import Invalid

TEXTS = {"headline": 140, "intro": 2000, "button": 40, "thank_you": 600}
FIELDS = ("name", "email", "company", "phone", "message")
DEFAULT: dict[str, Any] = {
    "headline": "Let us talk",
    "intro": "Tell us how we can reach you. A person answers within one working day.",
    "button": "Ask for a call",
    "thank_you": "Thank you. We will be in touch within one working day.",
    "fields": ["name", "email", "company", "phone", "message"],
}


def clean(given: Mapping[str, Any]) -> dict[str, Any]:
    """The landing content with every text within its limit, or Invalid(landing.FIELD → message)."""
    wrong: dict[str, str] = {}
    content: dict[str, Any] = {}
    for name, limit in TEXTS.items():
        value = str(given.get(name) or DEFAULT[name]).strip()
        if len(value) > limit:
            wrong[f"landing.{name}"] = (
                f"{len(value)} characters; {limit} fit. Shorten it by {len(value) - limit}."
            )
        content[name] = value
    asked = [str(one) for one in given.get("fields") or DEFAULT["fields"]]
    unknown = [one for one in asked if one not in FIELDS]
    if unknown:
        wrong["landing.fields"] = f"“{unknown[0]}” is not a field of the form. Use {', '.join(FIELDS)}."
    content["fields"] = [one for one in FIELDS if one in asked or one == "email"]
    if wrong:
        raise Invalid(wrong)
    return content
