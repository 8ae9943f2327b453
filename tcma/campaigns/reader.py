"""Reads MJML into a tree and finds placeholders wherever they are.

Components (`mj-…`) follow XML's rules; what stands inside text components follows HTML's, so `<br>` needs no
end. Nothing is executed, included or fetched here, and no entity is expanded but HTML's own characters.
"""

from __future__ import annotations

import html
import re
from difflib import get_close_matches
from typing import Final

from tcma.campaigns.language import MAX_EXPRESSION, MAX_NESTING, close_match
from tcma.campaigns.tree import Attribute, Document, Element, Part, Placeholder, Places, Statement, Text

MAX_SOURCE: Final = 256 * 1024
MAX_DEPTH: Final = 30
MAX_ELEMENTS: Final = 4000
# The compiler needs milliseconds for each component.
MAX_COMPONENTS: Final = 600
MAX_ATTRIBUTES: Final = 60
MAX_PROBLEMS: Final = 40
VOID: Final = frozenset(("br", "hr", "img", "wbr", "col", "area", "input", "link", "meta", "source"))
STATEMENTS: Final = ("if", "elif", "else", "endif", "for", "endfor")

_TAG_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9:._-]*")
_ATTRIBUTE_NAME: Final = re.compile(r"[^\s=<>\"'/{}]+")
_SPACE: Final = re.compile(r"\s+")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9A-Fa-f]{1,8};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_SPECIAL: Final = re.compile(r"<|\{[{%#]")
_ODD: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_OURS: Final = "Use ours, such as {{ contact.first_name }}, or remove it."


def read(source: str) -> Document:
    """The tree of a source, with every mistake in its form. Never raises."""
    document = Document(root=None, places=Places(source), problems=[])
    size = len(source.encode("utf-8", "replace"))
    if size > MAX_SOURCE:
        document.refuse(0, f"The source has {size // 1024} KB; {MAX_SOURCE // 1024} fit.", "Shorten it.")
        return document
    odd = _ODD.search(source)
    if odd:
        document.refuse(odd.start(), "There is a character here that cannot be shown.", "Remove it.")
        return document
    if not source.strip():
        document.refuse(0, "The mail is empty.", "Start with <mjml><mj-body> … </mj-body></mjml>.")
        return document
    _Reader(source, document).read()
    return document


def decode(text: str) -> str:
    """Characters for HTML's entities. Only those that end in `;`, so that `&copy=1` in an address stays."""
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def split_text(source: str, document: Document, *, base: int = 0) -> tuple[Part, ...]:
    """Parts of a text without tags, such as a subject; mistakes go to `document`."""
    odd = _ODD.search(source)
    if odd:
        document.refuse(odd.start(), "There is a character here that cannot be shown.", "Remove it.")
        return ()
    reader = _Reader(source, document, is_markup=False)
    parts: list[Part] = []
    while reader.at < len(source):
        found = reader.construct_or_text(until=None)
        if isinstance(found, Statement):
            reader.track_block(found)
        if found is not None:
            parts.append(found)
    reader.close_blocks(None)
    return tuple(parts)


class _Stop(Exception):
    """Reading on would only repeat the same mistake."""


class _Reader:
    def __init__(self, source: str, document: Document, *, is_markup: bool = True) -> None:
        self.source = source
        self.is_markup = is_markup
        self.document = document
        self.at = 1 if source.startswith("\ufeff") else 0
        self.open: list[Element] = []
        self.blocks: list[tuple[Statement, Element | None]] = []
        self.count = 0
        self.components = 0

    def read(self) -> None:
        try:
            while self.at < len(self.source):
                if len(self.document.problems) >= MAX_PROBLEMS:
                    return
                self._next()
            for element in self.open:
                self._unclosed(element)
            if self.document.root is None:
                self.document.refuse(0, "There is no <mjml> here.", "Put the mail inside <mjml> … </mjml>.")
        except _Stop:
            return

    def _next(self) -> None:
        source, at = self.source, self.at
        if self.open and self.open[-1].name == "mj-style" and not source.startswith("</", at):
            self._style()
        elif source.startswith("<!--", at):
            self._comment()
        elif source.startswith("<!", at):
            self._declaration()
        elif source.startswith("<?", at):
            self._instruction()
        elif source.startswith("</", at):
            self._end_tag()
        elif source.startswith("<", at):
            self._start_tag()
        else:
            self._content()

    # -- text and placeholders -------------------------------------------------------------------------

    def _content(self) -> None:
        start = self.at
        part = self.construct_or_text(until="<")
        if part is None:
            return
        if not self.open:
            if not isinstance(part, Text) or part.value.strip():
                self.document.refuse(start, "There is text outside of <mjml>.", "Move it inside or remove it.")
                raise _Stop
            return
        if isinstance(part, Statement):
            self.track_block(part)
        self.open[-1].children.append(part)

    def construct_or_text(self, *, until: str | None) -> Part | None:
        """The next placeholder, statement or run of text from here, or None for a comment of the language."""
        source, start = self.source, self.at
        if source.startswith(("{{", "{%", "{#"), start):
            return self._construct()
        found = _SPECIAL.search(source, start)
        while found and found[0] == "<" and until is None:
            found = _SPECIAL.search(source, found.end())
        self.at = found.start() if found else len(source)
        text = source[start : self.at]
        return Text(decode(text) if self.is_markup else text, start)

    def _construct(self) -> Part | None:
        source, start = self.source, self.at
        opening = source[start : start + 2]
        closing = {"{{": "}}", "{%": "%}", "{#": "#}"}[opening]
        end = self._construct_end(start + 2, closing=closing, quotes=opening != "{#")
        if end < 0:
            self.document.refuse(start, f"The {opening} here is never closed.", f"Write {closing} after it.")
            self.at = start + 2
            return None
        self.at = end + 2
        if opening == "{#":
            return None
        text = decode(source[start : self.at])
        if len(text) > MAX_EXPRESSION:
            self.document.refuse(start, "This placeholder is too long.", "Make it shorter.")
            return None
        if opening == "{{":
            if source.startswith("{{{", start):
                self.document.refuse(start, f"{source[start : self.at + 1]} is another program's placeholder.", _OURS)
                self.at += source.startswith("}", self.at)
                return None
            return Placeholder(text, start)
        word = re.match(r"[A-Za-z_]*", text[2:-2].strip("-+ \t\r\n"))
        return Statement(text, word[0] if word else "", start)

    def _construct_end(self, at: int, *, closing: str, quotes: bool) -> int:
        """Where the closing braces stand; those inside a quoted text do not count."""
        source = self.source
        limit = min(len(source), at + 4 * MAX_EXPRESSION)
        plain = source.find(closing, at)
        quote = ""
        while quotes and at < limit:
            char = source[at]
            if quote:
                quote = "" if char == quote else quote
            elif char in "\"'":
                quote = char
            elif source.startswith(closing, at):
                return at
            at += 1
        return plain

    def track_block(self, statement: Statement) -> None:
        """Blocks must open and close inside one element, or the mail would be torn when one is left out."""
        word, here = statement.word, self.open[-1] if self.open else None
        if word not in STATEMENTS:
            mend = close_match(word, STATEMENTS) or "Use if, elif, else, endif, for or endfor."
            self.document.refuse(statement.offset, f"{{% {word} %}} is not part of the language.", mend)
            return
        if word in ("if", "for"):
            self.blocks.append((statement, here))
            if len(self.blocks) > MAX_NESTING:
                mend = f"Nest at most {MAX_NESTING}."
                self.document.refuse(statement.offset, "Blocks are nested too deeply.", mend)
            return
        opened = "for" if word == "endfor" else "if"
        if not self.blocks or self.blocks[-1][0].word != opened:
            self.document.refuse(
                statement.offset, f"{{% {word} %}} has no {{% {opened} %}} before it.", "Add or remove it."
            )
            return
        begin, parent = self.blocks[-1]
        if parent is not here:
            line = self.document.places.of(begin.offset)[0]
            self.document.refuse(
                statement.offset,
                f"{{% {word} %}} stands in another element than its {{% {opened} %}} in line {line}.",
                "Put both around the same whole elements.",
            )
        if word.startswith("end"):
            self.blocks.pop()

    def close_blocks(self, element: Element | None) -> None:
        """Refuse what was opened in an element (None: a line of text) and not closed there."""
        while self.blocks and self.blocks[-1][1] is element:
            statement = self.blocks.pop()[0]
            word = statement.word
            where = f" inside <{element.name}>" if element is not None else ""
            before = f" before </{element.name}>" if element is not None else ""
            self.document.refuse(
                statement.offset, f"{{% {word} %}} is not closed{where}.", f"Write {{% end{word} %}}{before}."
            )

    # -- what is not a tag -----------------------------------------------------------------------------

    def _comment(self) -> None:
        end = self.source.find("-->", self.at + 4)
        if end < 0:
            self.document.refuse(self.at, "This comment is never closed.", "Write --> after it.")
            raise _Stop
        if re.match(r"\s*\[if\b", self.source[self.at + 4 : end]):
            self.document.warn(
                self.at, "A comment for Outlook is left out.", "The compiled mail has its own where needed."
            )
        self.at = end + 3

    def _declaration(self) -> None:
        what = "A DOCTYPE or entity declaration" if self.source[self.at + 2] != "[" else "A CDATA block"
        self.document.refuse(self.at, f"{what} is not allowed.", "Remove it.")
        raise _Stop

    def _instruction(self) -> None:
        end = self.source.find("?>", self.at)
        xml = re.match(r"<\?xml\s[^<>]*\?>", self.source[self.at : self.at + 200])
        if end < 0 or not xml or self.document.root is not None or self.open:
            self.document.refuse(self.at, "Instructions such as <? … ?> are not allowed.", "Remove it.")
            raise _Stop
        self.at = end + 2

    def _style(self) -> None:
        element, start = self.open[-1], self.at
        found = re.compile(r"</\s*mj-style", re.IGNORECASE).search(self.source, start)
        end = found.start() if found else len(self.source)
        while self.at < end:
            brace = self.source.find("{{", self.at, end)
            if brace < 0:
                element.children.append(Text(self.source[self.at : end], self.at))
                self.at = end
            elif brace > self.at:
                element.children.append(Text(self.source[self.at : brace], self.at))
                self.at = brace
            else:
                part = self._construct()
                if part is not None:
                    element.children.append(part)

    # -- tags ------------------------------------------------------------------------------------------

    def _end_tag(self) -> None:
        start = self.at
        found = re.compile(r"</\s*([A-Za-z][A-Za-z0-9:._-]*)\s*>").match(self.source, start)
        if not found:
            self.document.refuse(start, "This end tag is not complete.", "Write it like </mj-text>.")
            raise _Stop
        self.at = found.end()
        name = found[1].lower()
        names = [element.name for element in self.open]
        if name in VOID and not (names and names[-1] == name):
            self.document.refuse(start, f"</{name}> is not needed.", f"Write <{name}> alone.")
            return
        meant = get_close_matches(name, names[-1:], n=1, cutoff=0.8)
        if name not in names and meant:
            self.document.refuse(start, f"</{name}> closes nothing.", f"Did you mean </{meant[0]}>?")
            name = meant[0]
        if name not in names:
            mend = (
                f"The last open tag is <{names[-1]}>, from line {self.document.places.of(self.open[-1].offset)[0]}."
                if names
                else "Remove it."
            )
            self.document.refuse(start, f"</{name}> closes nothing.", mend)
            return
        while self.open:
            element = self.open.pop()
            self.close_blocks(element)
            if element.name == name:
                return
            self._unclosed(element, before=name)

    def _unclosed(self, element: Element, *, before: str = "") -> None:
        mend = f"Write </{element.name}> " + (f"before </{before}>." if before else "after its content.")
        self.document.refuse(element.offset, f"<{element.name}> is never closed.", mend)

    def _start_tag(self) -> None:
        start = self.at
        found = _TAG_NAME.match(self.source, start + 1)
        if not found:
            self.document.refuse(start, "A < stands alone here.", "Write &lt; if you mean the sign.")
            self.at += 1
            return
        self.at = found.end()
        element = Element(found[0].lower(), [], start, parent=self.open[-1] if self.open else None)
        closed = self._attributes(element)
        self._count(element)
        if not self.open:
            self._set_root(element)
        else:
            self.open[-1].children.append(element)
        if closed or element.name in VOID:
            return
        self.open.append(element)
        if len(self.open) > MAX_DEPTH:
            self.document.refuse(
                start, f"Tags are nested more than {MAX_DEPTH} deep.", "Take some of the outer ones away."
            )
            raise _Stop

    def _count(self, element: Element) -> None:
        self.count += 1
        self.components += element.name.startswith("mj")
        for count, most, what in (
            (self.count, MAX_ELEMENTS, "tags"),
            (self.components, MAX_COMPONENTS, "components"),
        ):
            if count > most:
                mend = "Make the mail shorter."
                self.document.refuse(element.offset, f"There are more than {most} {what}.", mend)
                raise _Stop

    def _set_root(self, element: Element) -> None:
        if self.document.root is not None:
            self.document.refuse(element.offset, "Something follows after </mjml>.", "Remove it.")
            raise _Stop
        if element.name != "mjml":
            self.document.refuse(element.offset, f"The mail starts with <{element.name}>.", "Start it with <mjml>.")
            raise _Stop
        self.document.root = element

    def _attributes(self, element: Element) -> bool:
        """Read up to the end of the start tag; whether it closed itself."""
        source = self.source
        while True:
            space = _SPACE.match(source, self.at)
            self.at = space.end() if space else self.at
            if source.startswith("/>", self.at):
                self.at += 2
                return True
            if source.startswith(">", self.at):
                self.at += 1
                return False
            if self.at >= len(source) or source.startswith("<", self.at):
                self.document.refuse(element.offset, f"The tag <{element.name} is not complete.", "Write > at its end.")
                raise _Stop
            if source.startswith(("{{", "{%", "{#"), self.at):
                self.document.refuse(
                    self.at,
                    "A placeholder stands between attributes.",
                    "Put it inside the quotes of an attribute, or put {% if %} around the whole tag.",
                )
                raise _Stop
            self._attribute(element)

    def _attribute(self, element: Element) -> None:
        source, start = self.source, self.at
        found = _ATTRIBUTE_NAME.match(source, start)
        if not found:
            self.document.refuse(start, f"<{element.name}> has a stray {source[start]}.", "Remove it.")
            self.at += 1
            return
        name = found[0].lower()
        self.at = found.end()
        equals = re.compile(r"\s*=\s*").match(source, self.at)
        parts: tuple[Part, ...] = ()
        if equals:
            self.at = equals.end()
            parts = self._value(element, name, start)
        elif element.name.startswith("mj"):
            self.document.refuse(start, f"The attribute {name} has no value.", f'Write {name}="…".')
        if element.get(name) is not None:
            self.document.refuse(start, f"<{element.name}> has {name} twice.", "Remove one of them.")
            return
        if len(element.attributes) >= MAX_ATTRIBUTES:
            self.document.refuse(start, f"<{element.name}> has too many attributes.", "Remove some.")
            raise _Stop
        element.attributes.append(Attribute(name, parts, start))

    def _value(self, element: Element, name: str, start: int) -> tuple[Part, ...]:
        source = self.source
        quote = source[self.at : self.at + 1]
        if quote not in ("'", '"') or not quote:
            self.document.refuse(start, f"The value of {name} has no quotes.", f'Write {name}="…".')
            bare = re.compile(r"[^\s>]*").match(source, self.at)
            self.at = bare.end() if bare else self.at
            return ()
        self.at += 1
        parts: list[Part] = []
        stop = re.compile(rf"{quote}|<|\{{[{{%#]")
        while True:
            found = stop.search(source, self.at)
            if not found or found[0] == "<":
                line = self.document.places.of(start)[0]
                self.document.refuse(
                    start,
                    f"The value of {name} in <{element.name}> has no closing quote.",
                    f"Write {quote} after it in line {line}, or &lt; for a < in it.",
                )
                raise _Stop
            if found.start() > self.at:
                parts.append(Text(decode(source[self.at : found.start()]), self.at))
                self.at = found.start()
            if found[0] == quote:
                self.at += 1
                return tuple(parts)
            part = self._construct()
            if part is not None:
                parts.append(part)
