"""Writes a tree that passed the gate as MJML for the compiler, with a token for whatever must stay as it is.

The compiler and the CSS inliner read and write HTML several times. A token is a plain word, which no such
pass changes; a block (`{% if %}`) is a comment, because that may stand between rows of a table. At the end
each token gives way to what it stands for.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from mjml.elements.mj_social_element import defaultSocialNetworks

from tcma.campaigns import rules
from tcma.campaigns.addresses import normal_address
from tcma.campaigns.language import Refusal, inspect
from tcma.campaigns.links import Href, HrefKind, protect, shared
from tcma.campaigns.tree import Attribute, Element, Part, Placeholder, Statement, Text
from tcma.campaigns.vocabulary import Dialect

BUILT_IN_FONTS: Final = ("Open Sans", "Droid Sans", "Lato", "Roboto", "Ubuntu")


class Tokens:
    """Hands out words that occur nowhere in the source, and puts back what they stand for."""

    def __init__(self, source: str) -> None:
        seed = source
        while True:
            self.prefix = "tk" + sha256(seed.encode("utf-8", "replace")).hexdigest()[:12] + "n"
            if self.prefix not in source:
                break
            seed += "."
        self._pattern = re.compile(rf"<!--{self.prefix}([0-9]+)z-->|{self.prefix}([0-9]+)z")
        self._meanings: list[str] = []

    def add(self, meaning: str) -> str:
        """A token for a piece of template text."""
        self._meanings.append(meaning)
        return f"{self.prefix}{len(self._meanings) - 1}z"

    def numbers(self, text: str) -> list[int]:
        """The numbers of the tokens in a text, in their order, without repeats."""
        return list(dict.fromkeys(int(found[1] or found[2]) for found in self._pattern.finditer(text)))

    def number(self, token: str) -> int:
        """The number of one token."""
        return int(token[len(self.prefix) : -1])

    def restore(self, text: str, *, instead: dict[int, str] | None = None) -> str:
        """The text with each token's meaning, or what `instead` has for its number."""
        given = instead or {}

        def meaning(found: re.Match[str]) -> str:
            number = int(found[1] or found[2])
            return given.get(number, self._meanings[number])

        return self._pattern.sub(meaning, text)

    def is_statement(self, number: int) -> bool:
        """Whether a token stands for a block's tag."""
        return self._meanings[number].startswith("{%")

    def block_word(self, comment: str) -> str:
        """The first word of the block that a comment's text stands for, or ""."""
        found = re.fullmatch(rf"{self.prefix}([0-9]+)z", comment)
        word = re.match(r"\{%[-+]?\s*([a-z]+)", self._meanings[int(found[1])]) if found else None
        return word[1] if word else ""


@dataclass
class LinkToken:
    """A tracked link: its token's number, where it leads, and what the reader sees of it."""

    number: int
    destination: str
    label: str


@dataclass
class Emitted:
    """MJML for the compiler, and what has to be done after it.

    `direct` has the bare address after `mailto:` and `tel:` by token number. `title` and `preview`
    are template text for HTML.
    """

    mjml: str
    links: list[LinkToken] = field(default_factory=list)
    fonts: dict[str, str] = field(default_factory=dict)
    direct: dict[int, str] = field(default_factory=dict)
    title: str = ""
    preview: str = ""
    width: str = "600px"
    lang: str = "en"
    has_dark_rules: bool = False


class Emitter:
    """Writes one mail. `hrefs` is what the gate made of each href."""

    def __init__(self, tokens: Tokens, *, hrefs: dict[int, Href], dialect: Dialect) -> None:
        self.tokens = tokens
        self.hrefs = hrefs
        self.dialect = dialect
        self.result = Emitted("")

    def emit(self, root: Element, *, title: str, preheader: str) -> Emitted:
        """The whole mail; a mail without a title takes `title`, and `preheader` goes before its own.

        Both are template text for HTML, as `html_template` makes it.
        """
        result = self.result
        lang = root.get("lang")
        result.lang = lang.text if lang is not None and lang.text else "en"
        direction = root.get("dir")
        head = next((child for child in root.elements() if child.name == "mj-head"), None)
        body = next(child for child in root.elements() if child.name == "mj-body")
        width = body.get("width")
        result.width = width.text if width is not None and width.text else "600px"
        inner = self._head(head, title=title, preheader=preheader)
        result.mjml = (
            f'<mjml lang="{result.lang}" dir="{direction.text if direction else "auto"}">'
            f"<mj-head>{inner}</mj-head>{self._component(body)}</mjml>"
        )
        return result

    def alone(self, body: Element, child: Element) -> str:
        """The body with one child only, to find the one on which the compiler stops."""
        return f"<mj-body{self._attributes(body)}>{self._component(child)}</mj-body>"

    # -- head ------------------------------------------------------------------------------------------

    def _head(self, head: Element | None, *, title: str, preheader: str) -> str:
        children = list(head.elements()) if head is not None else []
        written = {name: [child for child in children if child.name == name] for name in rules.HEAD_CHILDREN}
        result = self.result
        result.title = _last(written["mj-title"]) or title
        result.preview = preheader or _last(written["mj-preview"])
        parts = [self._defaults(written["mj-attributes"])]
        parts += [self._component(child) for child in written["mj-breakpoint"][-1:]]
        parts += self._fonts(written["mj-font"])
        if result.title:
            parts.append(f"<mj-title>{self.tokens.add(result.title)}</mj-title>")
        if result.preview:
            parts.append(f"<mj-preview>{self.tokens.add(result.preview)}</mj-preview>")
        parts += [self._style(child) for child in written["mj-style"]]
        return "".join(parts)

    def _defaults(self, elements: list[Element]) -> str:
        """All mj-attributes as one, each tag and class once: the compiler refuses what is defined twice."""
        merged: dict[tuple[str, str], dict[str, Attribute]] = {}
        for element in elements:
            for child in element.elements():
                named = child.get("name") if child.name == "mj-class" else None
                key = (child.name, named.text if named is not None else "")
                kept = merged.setdefault(key, {})
                kept |= {one.name: one for one in child.attributes if one is not named}
        if not merged:
            return ""
        tags = []
        for (name, class_name), attributes in merged.items():
            holder = Element(name, list(attributes.values()), 0)
            label = f' name="{_twice(class_name)}"' if name == "mj-class" else ""
            tags.append(f"<{name}{label}{self._attributes(holder)} />")
        return f"<mj-attributes>{''.join(tags)}</mj-attributes>"

    def _fonts(self, elements: list[Element]) -> list[str]:
        fonts: dict[str, str] = {}
        for element in elements:
            name, href = element.get("name"), element.get("href")
            if name is not None and href is not None and name.text.strip() and href.text.strip():
                fonts[name.text.strip()] = normal_address(href.text)
        self.result.fonts = fonts
        # The compiler knows five fonts already and refuses to hear of them again, but it reads a name as a
        # pattern; so one letter in brackets makes another name for the same font.
        return [
            f'<mj-font name="{f"[{name[0]}]{name[1:]}" if name in BUILT_IN_FONTS else name}" href="{_once(href)}" />'
            for name, href in fonts.items()
        ]

    def _style(self, element: Element) -> str:
        css = "".join(
            part.value if isinstance(part, Text) else self.tokens.add(part.source)
            for part in element.children
            if isinstance(part, Text | Placeholder)
        )
        self.result.has_dark_rules |= "prefers-color-scheme" in css
        inline = element.get("inline")
        attribute = ' inline="inline"' if inline is not None and inline.text == "inline" else ""
        return f"<mj-style{attribute}>{html.escape(css, quote=False)}</mj-style>"

    # -- body ------------------------------------------------------------------------------------------

    def _component(self, element: Element) -> str:
        inner = []
        for child in element.children:
            if isinstance(child, Element):
                is_component = child.name in rules.components()
                inner.append(self._component(child) if is_component else self._html(child))
            elif isinstance(child, Statement):
                inner.append(f"<!--{self.tokens.add(child.source)}-->")
            elif element.name in rules.HOLDS_HTML:
                inner.append(self._inline(child))
        content = _with_body(element, "".join(inner))
        return f"<{element.name}{self._attributes(element)}>{content}</{element.name}>"

    def _html(self, element: Element) -> str:
        start = f"<{element.name}{self._attributes(element)}>"
        if element.name in ("br", "hr", "img", "wbr", "col"):
            return start
        inner = []
        for child in element.children:
            if isinstance(child, Element):
                inner.append(self._html(child))
            elif isinstance(child, Statement):
                inner.append(f"<!--{self.tokens.add(child.source)}-->")
            else:
                inner.append(self._inline(child))
        return f"{start}{_with_body(element, ''.join(inner))}</{element.name}>"

    def _inline(self, part: Text | Placeholder) -> str:
        if isinstance(part, Text):
            return html.escape(part.value, quote=False)
        return self.tokens.add(part.source)

    def _attributes(self, element: Element) -> str:
        written: list[str] = []
        for attribute in element.attributes:
            if element.name == "mjml" or attribute.name == "base-url":
                continue
            value = self._value(element, attribute)
            if value is not None:
                written.append(f' {attribute.name}="{value}"')
        if element.name == "mj-hero":
            written += _hero_sizes(element)
        if element.name == "mj-social-element" and element.get("alt") is None and not self._visible(element).strip():
            # Otherwise a reader without pictures would see nothing of it.
            name = element.get("name")
            written.append(f' alt="{_twice(name.text.split("-")[0].capitalize() if name is not None else "")}"')
        if element.name == "mj-body" and element.get("background-color") is None:
            # Declared as fit for dark mode, the mail must not let the program choose its background.
            written.append(' background-color="#ffffff"')
        return "".join(written)

    def _value(self, element: Element, attribute: Attribute) -> str | None:
        # The compiler decodes a component's attributes once and writes them as they then are.
        encode = _twice if element.name.startswith("mj") else _once
        href = self.hrefs.get(id(attribute))
        if href is not None:
            return self._href(element, attribute, href)
        if element.name == "mj-social-element" and attribute.name == "name":
            plain = f"{attribute.text}-noshare"
            return _twice(plain if plain in defaultSocialNetworks else attribute.text)
        if attribute.name in rules.IMAGE and attribute.is_plain and attribute.text.strip():
            return encode(normal_address(attribute.text))
        return "".join(
            encode(part.value) if isinstance(part, Text) else self.tokens.add(part.source) for part in attribute.parts
        )

    def _href(self, element: Element, attribute: Attribute, href: Href) -> str | None:
        if href.kind is HrefKind.NONE:
            return None
        if href.kind is HrefKind.ANCHOR:
            return href.destination
        if href.kind is HrefKind.DIRECT:
            scheme, rest = href.destination.split(":", 1)
            # Only & needs escaping: an address with quotes or angle brackets did not pass the gate.
            token = self.tokens.add(rest.replace("&", "&amp;"))
            self.result.direct[self.tokens.number(token)] = rest.split("?", 1)[0]
            return f"{scheme}:{token}"
        destination = href.destination
        if element.name == "mj-social-element":
            name = element.get("name")
            network = defaultSocialNetworks.get(name.text if name is not None else "", {})
            if "share-url" in network:
                destination = shared(network["share-url"], href, attribute.parts)
        token = self.tokens.add("")
        self.result.links.append(LinkToken(self.tokens.number(token), destination, self._label(element)))
        return token

    def _label(self, element: Element) -> str:
        """What a reader sees of a link, or failing that its picture's text, its network or its tag."""
        words = " ".join(self._visible(element).split())
        if not words:
            for inner in element.walk():
                alt = inner.get("alt")
                if alt is not None and alt.text.strip():
                    words = " ".join(self._pieces_label(alt.parts).split())
                    break
        name = element.get("name")
        return (words or (name.text if name is not None else "") or f"Link in {element.name}")[:120]

    def _visible(self, element: Element) -> str:
        found = []
        for child in element.children:
            if isinstance(child, Element):
                found.append(" " if child.name == "br" else self._visible(child))
            else:
                found.append(self._pieces_label((child,)))
        return "".join(found)

    def _pieces_label(self, parts: tuple[Part, ...]) -> str:
        words = []
        for part in parts:
            if isinstance(part, Text):
                words.append(part.value)
            elif isinstance(part, Placeholder):
                words.append(self._named(part))
        return "".join(words)

    def _named(self, part: Placeholder) -> str:
        try:
            fields = sorted(inspect(part.source, dialect=self.dialect).fields)
        except Refusal:
            return ""
        return next((self.dialect.labels.get(one, " ".join(one).replace("_", " ")) for one in fields), "")


def html_template(parts: Iterable[Part | Element]) -> str:
    """Template text for HTML in which what is ours is escaped, quotes too, and spaces are single."""
    written = "".join(
        protect(html.escape(re.sub(r"\s+", " ", part.value))) if isinstance(part, Text) else part.source
        for part in parts
        if not isinstance(part, Element)
    )
    return written.strip()


def _last(elements: list[Element]) -> str:
    return html_template(elements[-1].children) if elements else ""


def _with_body(element: Element, content: str) -> str:
    """The rows of a table inside a tbody. Where the author wrote none, HTML implies one before the first row,
    which would then begin inside a block and end outside of it."""
    is_table = element.name in ("mj-table", "table")
    if is_table and not any(child.name in ("tbody", "thead", "tfoot") for child in element.elements()):
        return f"<tbody>{content}</tbody>"
    return content


def _once(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _twice(value: str) -> str:
    return _once(_once(value))


def _hero_sizes(element: Element) -> list[str]:
    """The sizes without which the compiler stops on a hero."""
    height = element.get("height")
    usable = height is not None and re.fullmatch(r"[1-9][0-9]{0,3}px", height.text)
    sizes = {"background-width": "600px", "background-height": height.text if usable and height else "400px"}
    return [f' {name}="{value}"' for name, value in sizes.items() if element.get(name) is None]
