"""The text part of a mail: a template of its own, derived once from the compiled HTML.

Turning HTML into text is slow, so it happens here and not for each recipient: placeholders are tokens while
the text is laid out, and become placeholders again afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from inscriptis import Inscriptis
from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.model.config import ParserConfig
from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types
from lxml import html as lxml_html

from tcma.campaigns.emit import Tokens
from tcma.campaigns.links import protect

# An element of lxml's, which ships no types.
Node = Any

_CONFIG: Final = ParserConfig(css=STRICT_CSS_PROFILE, display_links=False, display_images=False)
_BLANK: Final = re.compile(r"\n{3,}")
_DECORATION: Final = re.compile(r"\bmj-(?:accordion-ico|carousel-thumbnail)\b")
_HIDDEN: Final = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)


def text_template(body: str, *, tokens: Tokens, direct: Mapping[int, str]) -> str:
    """Template text for the text part of a compiled body that still has its tokens."""
    blocks = re.compile(rf"<!--({tokens.prefix}[0-9]+z)-->")
    tree = _parse(blocks.sub(r"\1", body))
    if tree is None:
        return ""
    _flatten(tree, tokens=tokens, direct=direct)
    laid_out = Inscriptis(tree, _CONFIG).get_text()
    lines = [line.strip() if not line.strip().startswith("* ") else line.rstrip() for line in laid_out.split("\n")]
    text = protect("\n".join(lines))
    text = _join_blocks(text, tokens=tokens)
    restored = tokens.restore(text, instead=dict(direct))
    return _BLANK.sub("\n\n", restored).strip()


def plain(value: str) -> str:
    """The text of a formatted slot value, for the text part."""
    tree = _parse(value)
    if tree is None:
        return ""
    for link in list(tree.iter("a")):
        href = link.get("href") or ""
        shown = (link.text_content() or "").strip()
        if href and href not in (shown, f"mailto:{shown}", f"tel:{shown}"):
            _append(link, f" <{href.removeprefix('mailto:').removeprefix('tel:')}>")
    laid_out = Inscriptis(tree, _CONFIG).get_text()
    return _BLANK.sub("\n\n", "\n".join(line.rstrip() for line in laid_out.split("\n"))).strip()


def _parse(markup: str) -> Node | None:
    if not markup.strip():
        return None
    parser = lxml_html.HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8", no_network=True)
    try:
        found: Node = lxml_html.fromstring(f"<div>{markup}</div>".encode(), parser=parser)
    except etree.ParserError:
        return None
    return found


def _flatten(tree: Node, *, tokens: Tokens, direct: Mapping[int, str]) -> None:
    """Layout tables become plain blocks, links show where they lead, pictures their text."""
    for element in list(tree.iter()):
        if not isinstance(element.tag, str) or element.getparent() is None:
            continue
        if (
            _HIDDEN.search(element.get("style") or "")
            or element.tag in ("input", "style")
            or _DECORATION.search(element.get("class") or "")
        ):
            element.drop_tree()
        elif element.tag == "img":
            _replace(element, (element.get("alt") or "").strip())
    links = list(tree.iter("a"))
    named = {link.get("href") for link in links if (link.text_content() or "").strip()}
    for link in links:
        # An icon beside a named link to the same place would only repeat the address.
        if (link.text_content() or "").strip() or link.get("href") not in named:
            _show_link(link, tokens=tokens, direct=direct)
    for table in list(tree.iter("table")):
        parts = [table, *_own_parts(table)]
        if _is_layout(table):
            for part in parts:
                part.tag = "p" if part.tag == "tr" else "div"
        elif _has_blocks(parts):
            _lay_out_rows(parts)


def _is_layout(table: Node) -> bool:
    # A real table of an author's stands in mj-table, which says nothing of its role.
    return bool(table.get("role") == "presentation" or table.get("class") == "mj-accordion")


def _has_blocks(parts: list[Node]) -> bool:
    """Whether a block's tag stands between the rows or cells of a table."""
    cells = ("td", "th")
    return any(
        (part.tag not in cells and (part.text or "").strip()) or (place and (part.tail or "").strip())
        for place, part in enumerate(parts)
    )


def _lay_out_rows(parts: list[Node]) -> None:
    """A table whose rows come and go has no fixed columns: each row becomes a line, its cells parted by –."""
    for part in parts:
        if part.tag not in ("td", "th"):
            part.tag = "div"
            continue
        part.tag = "span"
        if part.getnext() is not None:
            for inner in part.iter("div", "p"):
                inner.tag = "span"
            part.tail = " – " + (part.tail or "").strip()


def _own_parts(table: Node) -> list[Node]:
    found: list[Node] = []
    waiting = list(table)
    while waiting:
        part = waiting.pop()
        if part.tag in ("tbody", "thead", "tfoot", "tr", "td", "th"):
            found.append(part)
            waiting += list(part)
    return found


def _show_link(link: Node, *, tokens: Tokens, direct: Mapping[int, str]) -> None:
    href = link.get("href") or ""
    shown = " ".join((link.text_content() or "").split())
    if href.startswith("#") or not href:
        return
    target = re.sub(r"^(?:mailto|tel):", "", href)
    if target == shown or (href != target and shown and _says(target, shown, tokens=tokens, direct=direct)):
        return
    if not shown:
        _append(link, target)
    elif _stands_alone(link):
        _append(link, f": {target}")
    else:
        _append(link, f" <{target}>")


def _says(target: str, shown: str, *, tokens: Tokens, direct: Mapping[int, str]) -> bool:
    """Whether a link to a mail address or phone already shows it."""

    def meaning(text: str) -> str:
        return re.sub(r"[^a-z0-9@.]", "", tokens.restore(text, instead=dict(direct)))

    return meaning(target).replace("mailpart", "").replace("phonepart", "") in meaning(shown)


def _stands_alone(link: Node) -> bool:
    """Whether a link is all there is in its block, as a button is."""
    parent = link.getparent()
    if parent is None or parent.tag not in ("td", "div", "p"):
        return False
    return " ".join(parent.text_content().split()) == " ".join(link.text_content().split())


def _append(element: Node, text: str) -> None:
    children = list(element)
    if children:
        children[-1].tail = (children[-1].tail or "").rstrip() + text
    else:
        element.text = (element.text or "").rstrip() + text


def _replace(element: Node, text: str) -> None:
    tail = element.tail or ""
    element.tail = text + tail
    element.drop_tree()


def _join_blocks(text: str, *, tokens: Tokens) -> str:
    """A line that holds only blocks' tags would leave an empty line behind: it joins the next one."""
    lines: list[str] = []
    held = ""
    only = re.compile(rf"^(?:{tokens.prefix}[0-9]+z\s*)+$")
    for line in text.split("\n"):
        if only.match(line.strip()) and all(map(tokens.is_statement, tokens.numbers(line))):
            held += re.sub(r"\s+", "", line)
        else:
            lines.append(held + line)
            held = ""
    if held:
        lines.append(held)
    return "\n".join(lines)
