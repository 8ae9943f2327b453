"""Links of a mail: what an author may write in an href, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote

from tcma.campaigns.addresses import BadAddress, normal_address
from tcma.campaigns.language import Refusal, inspect, results
from tcma.campaigns.tree import Part, Placeholder, Statement, Text
from tcma.campaigns.vocabulary import COLOUR_FIELDS, Dialect, FieldName

_START_OF_WEB: Final = re.compile(r"^https?://[^/?#\s]+[/?#]", re.IGNORECASE)
_STAND_IN: Final = "x"


class HrefKind(Enum):
    """Tracked goes through our counter; direct (mail, phone) and anchors stay; none is no link at all."""

    TRACKED = "tracked"
    DIRECT = "direct"
    ANCHOR = "anchor"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Href:
    """An author's href. `destination` is template text: for DIRECT with its scheme, for ANCHOR as written."""

    kind: HrefKind
    destination: str
    fields: frozenset[FieldName] = frozenset()


def read_href(parts: Sequence[Part], *, dialect: Dialect) -> Href:
    """What an href means; raises Refusal when it may not stand in a mail.

    A placeholder at the very start must hold a whole address; later ones are percent-encoded, so that a value
    such as `A&B` stays one parameter.
    """
    if any(isinstance(part, Statement) for part in parts):
        raise Refusal("A block stands inside an address.", "Put it around the whole link, or use {{ a if b else c }}.")
    parts = _trimmed(parts)
    if not parts:
        return Href(HrefKind.NONE, "")
    fields = _fields(parts, dialect=dialect)
    first = parts[0]
    if isinstance(first, Placeholder):
        _check_address_placeholder(first, dialect=dialect)
        _check_form("https://example.com/", parts[1:])
        return Href(HrefKind.TRACKED, first.source + _encoded(parts[1:], "urlpart"), fields)
    assert isinstance(first, Text)
    if first.value.startswith("#"):
        if len(parts) > 1 or not re.fullmatch(r"#[A-Za-z0-9_-]{0,60}", first.value):
            raise Refusal("This is not an address.", "Start it with https://.")
        return Href(HrefKind.ANCHOR, first.value)
    scheme = first.value.split(":", 1)[0].lower()
    if scheme in ("mailto", "tel"):
        return _direct(scheme, parts, fields=fields)
    if len(parts) > 1 and not _START_OF_WEB.match(first.value):
        raise Refusal(
            "A placeholder stands where the domain should be.",
            "Write the domain out, or use a slot of kind link alone, like {{ slot.button_link }}.",
        )
    _check_form("", parts)
    if len(parts) == 1:
        return Href(HrefKind.TRACKED, protect(normal_address(first.value)), fields)
    return Href(HrefKind.TRACKED, protect(first.value) + _encoded(parts[1:], "urlpart"), fields)


def shared(share_url: str, href: Href, parts: Sequence[Part]) -> str:
    """The destination of a share button: the network's page with our address as its parameter."""
    inner = "".join(
        quote(part.value.strip(), safe="") if isinstance(part, Text) else _piped(part, "urlpart")
        for part in _trimmed(parts)
    )
    return share_url.replace("[[URL]]", inner) if href.kind is HrefKind.TRACKED else href.destination


def check_image(parts: Sequence[Part], *, dialect: Dialect) -> set[FieldName]:
    """The fields that a picture's address reads; raises Refusal unless it is one web address."""
    if any(isinstance(part, Statement) for part in parts):
        raise Refusal("A block stands inside an address.", "Put it around the whole picture.")
    parts = _trimmed(parts)
    if not parts:
        return set()
    if isinstance(parts[0], Placeholder):
        usage = inspect(parts[0].source, dialect=dialect)
        if len(parts) > 1 or usage.only is None or usage.only not in dialect.images:
            raise Refusal(
                "A picture's address can be only a whole placeholder for a picture.",
                "Use {{ brand.logo_url }} or a slot of kind link.",
            )
        return usage.fields
    if len(parts) > 1:
        raise Refusal("A placeholder stands inside a picture's address.", "Write the address out.")
    assert isinstance(parts[0], Text)
    if re.match(r"\s*(?:data|cid):", parts[0].value, re.IGNORECASE):
        raise Refusal("A picture cannot be written into the address.", "Put it on the web and link to it.")
    try:
        normal_address(parts[0].value, schemes=("https", "http"))
    except BadAddress as error:
        raise Refusal(str(error)) from None
    return set()


def is_colour(part: Part, *, dialect: Dialect) -> bool:
    """Whether a placeholder is one of the brand's colours and nothing else."""
    return isinstance(part, Placeholder) and inspect(part.source, dialect=dialect).only in COLOUR_FIELDS


def protect(text: str) -> str:
    """Literal text as template text: braces that would open a placeholder print themselves."""
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)


def _trimmed(parts: Sequence[Part]) -> list[Part]:
    kept: list[Part] = []
    for part in parts:
        before = kept[-1] if kept else None
        if isinstance(part, Text) and isinstance(before, Text):
            kept[-1] = Text(before.value + part.value, before.offset)
        else:
            kept.append(part)
    if kept and isinstance(kept[0], Text):
        kept[0] = Text(kept[0].value.lstrip(), kept[0].offset)
    if kept and isinstance(kept[-1], Text):
        kept[-1] = Text(kept[-1].value.rstrip(), kept[-1].offset)
    return [part for part in kept if not isinstance(part, Text) or part.value]


def _fields(parts: Sequence[Part], *, dialect: Dialect) -> frozenset[FieldName]:
    found: set[FieldName] = set()
    for part in parts:
        if isinstance(part, Placeholder):
            fields = inspect(part.source, dialect=dialect).fields
            for root, name in sorted(fields):
                if root == "contact":
                    raise Refusal(
                        f"{{{{ contact.{name} }}}} cannot stand in an address.",
                        "Leave it out: each click already tells whose it was.",
                    )
            if fields & dialect.blocks:
                raise Refusal("Formatted text cannot stand in an address.", "Use a slot of kind link.")
            found |= fields
    return frozenset(found)


def _check_address_placeholder(part: Placeholder, *, dialect: Dialect) -> None:
    fields, constants = results(part.source)
    for name in sorted(fields):
        if not dialect.is_address(name):
            known = ", ".join(sorted(f"{root}.{one}" for root, one in dialect.addresses))
            raise Refusal(
                f"{'.'.join(name)} is not an address.",
                f"Start with https://, or use one of: {known}." if known else "Start with https://.",
            )
    for constant in sorted(filter(None, constants)):
        _check_form(constant, ())


def _check_form(start: str, parts: Sequence[Part]) -> None:
    whole = start + "".join(part.value if isinstance(part, Text) else _STAND_IN for part in parts)
    try:
        normal_address(whole)
    except BadAddress as error:
        raise Refusal(str(error)) from None


def _direct(scheme: str, parts: Sequence[Part], *, fields: frozenset[FieldName]) -> Href:
    whole = ""
    for part in parts:
        if isinstance(part, Text):
            whole += part.value
        elif "?" in whole:
            whole += _STAND_IN
        else:
            whole += "x@example.com" if scheme == "mailto" else "123456"
    try:
        normal = normal_address(whole)
    except BadAddress as error:
        raise Refusal(str(error)) from None
    if len(parts) == 1:
        return Href(HrefKind.DIRECT, protect(normal), fields)
    piped = "mailpart" if scheme == "mailto" else "phonepart"
    return Href(HrefKind.DIRECT, _encoded(parts, piped), fields)


def _encoded(parts: Sequence[Part], pipe: str) -> str:
    return "".join(protect(part.value) if isinstance(part, Text) else _piped(part, pipe) for part in parts)


def _piped(part: Part, pipe: str) -> str:
    assert isinstance(part, Placeholder)
    inner = part.source[2:-2].strip("-+ \t\r\n")
    return f"{{{{ ({inner})|{pipe} }}}}"
