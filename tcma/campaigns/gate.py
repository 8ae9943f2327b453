"""The gate: every tag, attribute, address and placeholder of an author's MJML must be one that we know.

All that passes is data to the compiler: nothing an author writes can run, load a file, or break out of the
place where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from typing import Final

from tcma.campaigns import rules
from tcma.campaigns.language import MAX_LOOP, Refusal, Usage, close_match, inspect, loop_targets
from tcma.campaigns.links import Href, HrefKind, check_image, is_colour, read_href
from tcma.campaigns.tree import Attribute, Document, Element, Part, Placeholder, Statement, Text
from tcma.campaigns.vocabulary import Dialect, FieldName

MAX_PLACEHOLDERS: Final = 400
_IN_LINK: Final = frozenset(("a", "mj-button", "mj-navbar-link", "mj-social-element"))
_FOREIGN: Final = re.compile(
    r"\*\|[^|*<>\n]{1,60}\|\*|%%[A-Za-z_][^%\n]{0,60}%%|\[\[[^\[\]\n]{1,60}\]\]|\$\{[^{}\n]{1,60}\}"
    r"|\{\$[^{}\n]{1,60}\}|%recipient\.[\w.]{1,40}%|%[A-Z][A-Z_]{2,40}%"
)
_MAYBE_FOREIGN: Final = re.compile(r"(?<!\{)\{[A-Za-z_][A-Za-z0-9_. ]{1,40}\}(?!\})")
_HANDLEBARS: Final = re.compile(r"^\{\{\s*[#/>^&!]")
_OURS: Final = "Use ours, such as {{ contact.first_name }}, or remove it."
_BARE: Final = re.compile(r"^\{%[-+]?\s*(?:else|endif|endfor)\s*[-+]?%\}$")


class Gate:
    """Looks through a document, notes problems in it, and learns what the emitter needs."""

    def __init__(self, document: Document, *, dialect: Dialect) -> None:
        self.document = document
        self.dialect = dialect
        self.fields: set[FieldName] = set()
        self.hrefs: dict[int, Href] = {}
        self._names: list[list[str]] = []
        self._rounds: list[int] = []
        self._inside: list[str] = []
        self._classes: set[str] = set()
        self._placeholders = 0

    def look(self) -> None:
        """Look through the whole document."""
        root = self.document.root
        if root is None:
            return
        self._classes = {
            attribute.text
            for element in root.walk()
            if element.name == "mj-class" and (attribute := element.get("name"))
        }
        if not any(child.name == "mj-body" for child in root.elements()):
            self.document.refuse(root.offset, "The mail has no body.", "Put <mj-body> … </mj-body> into <mjml>.")
        for once in ("mj-head", "mj-body"):
            for extra in [child for child in root.elements() if child.name == once][1:]:
                self.document.refuse(extra.offset, f"There is a second <{once}>.", "Merge the two.")
        self._component(root)

    def look_at_line(self, holder: Element) -> None:
        """Look at a line of text such as a subject, given as the children of an mj-title."""
        self._text_children(holder)

    # -- elements --------------------------------------------------------------------------------------

    def _component(self, element: Element) -> None:
        name = element.name
        self._attributes(element)
        if name in rules.HOLDS_HTML:
            with self._within(name):
                self._html_children(element)
        elif name in rules.HOLDS_TEXT:
            self._text_children(element)
        elif name == "mj-style":
            self._style(element)
        elif name == "mj-attributes":
            self._defaults(element)
        else:
            self._container(element)
        self._notices(element)

    def _container(self, element: Element) -> None:
        allowed = rules.CHILDREN.get(element.name, ())
        depth = len(self._names)
        for child in list(element.children):
            if isinstance(child, Element):
                self._child_component(element, child, allowed=allowed)
            elif isinstance(child, Statement):
                if element.name not in rules.TAKES_BLOCKS:
                    self.document.refuse(
                        child.offset, f"A block cannot stand in {element.name}.", "Put it further out or in."
                    )
                self._statement(child)
            elif isinstance(child, Placeholder) or child.value.strip():
                offset = child.offset + (len(child.value) - len(child.value.lstrip())
                                         if isinstance(child, Text) else 0)  # fmt: skip
                where = "nothing but its attributes" if element.name in rules.EMPTY else "no text of its own"
                self.document.refuse(offset, f"<{element.name}> takes {where}.", "Put the text into <mj-text>.")
        del self._names[depth:], self._rounds[depth:]

    def _child_component(self, parent: Element, child: Element, *, allowed: tuple[str, ...]) -> None:
        name = child.name
        if name == "mj-raw" and not _holds_something(child):
            # Many authors wrap their comments in one; comments are left out anyway.
            parent.children.remove(child)
            return
        if not self._is_known(child):
            return
        if name not in allowed:
            if name in rules.HTML_TAGS:
                mend = f"Put <{name}> into <mj-text>."
            else:
                homes = [home for home, inner in rules.CHILDREN.items() if name in inner]
                mend = f"Put it into <{'> or <'.join(homes)}>." if homes else "Put it elsewhere."
            self.document.refuse(child.offset, f"<{name}> cannot stand in <{parent.name}>.", mend)
            return
        self._component(child)

    def _is_known(self, element: Element) -> bool:
        name = element.name
        if name in rules.FORBIDDEN:
            self.document.refuse(element.offset, f"<{name}> is not allowed.", rules.FORBIDDEN[name])
            return False
        if name in rules.HTML_TAGS or name in rules.components() or name in ("mj-all", "mj-class"):
            return True
        known = rules.components() if name.startswith("mj") else rules.HTML_TAGS
        mend = close_match(name, known) or "Remove it or use another tag."
        self.document.refuse(element.offset, f"There is no <{name}>.", mend)
        return False

    def _html_children(self, element: Element) -> None:
        depth = len(self._names)
        for child in element.children:
            if isinstance(child, Element):
                if child.name in rules.components():
                    self.document.refuse(
                        child.offset,
                        f"<{child.name}> cannot stand in <{element.name}>.",
                        f"Close <{element.name}> first.",
                    )
                elif self._is_known(child):
                    self._html(child)
            elif isinstance(child, Statement):
                self._statement(child)
            else:
                self._words(child, formatted=True)
        del self._names[depth:], self._rounds[depth:]

    def _html(self, element: Element) -> None:
        name = element.name
        if name == "a" and _IN_LINK & set(self._inside):
            self.document.refuse(element.offset, "A link stands inside another link.", "Close the first one.")
        self._attributes(element)
        self._notices(element)
        with self._within(name):
            self._html_children(element)

    def _text_children(self, element: Element) -> None:
        for child in element.children:
            if isinstance(child, Element):
                self.document.refuse(child.offset, f"<{element.name}> takes no tags.", f"Remove <{child.name}>.")
            elif isinstance(child, Statement):
                self._statement(child)
            else:
                self._words(child, formatted=False)

    def _style(self, element: Element) -> None:
        css = ""
        for part in element.children:
            if isinstance(part, Text):
                css += part.value
            elif not isinstance(part, Element):
                css += "red"
                self._colour(part)
        problem = rules.css_problem(css, whole=True)
        if problem:
            self.document.refuse(element.offset, problem)

    def _defaults(self, element: Element) -> None:
        for child in element.children:
            if not isinstance(child, Element):
                if not isinstance(child, Text) or child.value.strip():
                    self.document.refuse(child.offset, "<mj-attributes> takes only tags.", "Remove the text.")
            elif child.name in rules.FORBIDDEN or not (
                child.name in rules.components() or child.name in ("mj-all", "mj-class")
            ):
                if self._is_known(child):
                    self.document.refuse(child.offset, f"<{child.name}> is not a component.", "Remove it.")
            else:
                if any(not isinstance(inner, Text) or inner.value.strip() for inner in child.children):
                    self.document.refuse(child.offset, f"<{child.name}> must be empty here.", "Write <… />.")
                if child.name == "mj-class" and child.get("name") is None:
                    self.document.refuse(child.offset, "This mj-class has no name.", 'Write name="…".')
                self._attributes(child)

    def _notices(self, element: Element) -> None:
        """What is allowed but not kind to the reader."""
        name = element.name
        alt, href = element.get("alt"), element.get("href")
        if name in ("mj-image", "mj-carousel-image", "img"):
            if element.get("src") is None:
                self.document.warn(element.offset, "This picture has no src, so nothing shows.", 'Add src="…".')
            if alt is None or (href is not None and not alt.text.strip()):
                self.document.warn(
                    element.offset,
                    "This picture has no alt text.",
                    'Say in alt="…" what it shows; many readers see no pictures.',
                )
        if name == "mj-button" and href is None and element.get("mj-class") is None:
            self.document.warn(element.offset, "This button leads nowhere.", 'Add href="…".')

    @contextmanager
    def _within(self, name: str) -> Iterator[None]:
        self._inside.append(name)
        yield
        self._inside.pop()

    # -- placeholders ----------------------------------------------------------------------------------

    @property
    def _scope(self) -> list[str]:
        return [name for names in self._names for name in names]

    def _statement(self, statement: Statement) -> None:
        word, source = statement.word, statement.source
        self._count(statement)
        if word in ("if", "for"):
            self._inspect(statement, source + f"{{% end{word} %}}")
        elif word == "elif":
            self._inspect(statement, "{% if true %}" + source + "{% endif %}")
        elif word in ("else", "endif", "endfor") and not _BARE.match(source):
            self.document.refuse(statement.offset, f"{source} has too much in it.", f"Write {{% {word} %}}.")
        if word == "for":
            self._open_loop(statement)
        elif word == "endfor" and self._names:
            self._names.pop()
            self._rounds.pop()

    def _open_loop(self, statement: Statement) -> None:
        names: list[str] = []
        rounds = 1
        # A for that does not parse has been told of already.
        with suppress(Refusal):
            names, rounds = loop_targets(statement.source + "{% endfor %}")
        self._names.append(names)
        self._rounds.append(max(1, rounds))
        if rounds <= MAX_LOOP < prod(self._rounds):
            mend = f"One inside the other may go round {MAX_LOOP} times in all."
            self.document.refuse(statement.offset, "This for goes round too often.", mend)

    def _inspect(self, part: Placeholder | Statement, source: str) -> Usage | None:
        if _HANDLEBARS.match(part.source):
            self.document.refuse(part.offset, f"{part.source} is another program's placeholder.", _OURS)
            return None
        try:
            usage = inspect(source, dialect=self.dialect, loop_names=self._scope)
        except Refusal as refusal:
            mend = refusal.mend
            if "unsub" in source.lower() or "opt_out" in source.lower():
                mend = "Remove it: every mail gets its own unsubscribe link at the end."
            self.document.refuse(part.offset, refusal.what, mend)
            return None
        self.fields |= usage.fields
        return usage

    def _count(self, part: Part) -> None:
        self._placeholders += 1
        if self._placeholders == MAX_PLACEHOLDERS + 1:
            self.document.refuse(part.offset, f"There are more than {MAX_PLACEHOLDERS} placeholders.", "Use fewer.")

    def _words(self, part: Text | Placeholder, *, formatted: bool) -> None:
        """Text that a reader sees. `formatted` is whether values with tags and line breaks may stand here."""
        if isinstance(part, Text):
            self._foreign(part)
            return
        self._count(part)
        usage = self._inspect(part, part.source)
        if usage is None:
            return
        if not formatted and usage.fields & self.dialect.blocks:
            self.document.refuse(
                part.offset, "A slot with several lines cannot stand here.", "Use a slot of kind text."
            )
        elif usage.fields & self.dialect.rich and _IN_LINK & set(self._inside):
            self.document.refuse(
                part.offset,
                "Formatted text cannot stand inside a link or button.",
                "Use a slot of kind text.",
            )

    def _foreign(self, text: Text) -> None:
        for found in _FOREIGN.finditer(text.value):
            self.document.refuse(self._place(text, found), f"{found[0]} is another program's placeholder.", _OURS)
        for found in _MAYBE_FOREIGN.finditer(text.value):
            self.document.warn(
                self._place(text, found),
                f"{found[0]} will show as written.",
                "Ours have two braces: {{ … }}.",
            )

    def _place(self, text: Text, found: re.Match[str]) -> int:
        # Decoding makes text shorter, so this may point a little too far left; the line is what counts.
        return text.offset + found.start()

    # -- attributes ------------------------------------------------------------------------------------

    def _attributes(self, element: Element) -> None:
        name = element.name
        if name in ("mj-all", "mj-class"):
            kinds = dict.fromkeys(rules.shared_attributes() | {"name"}, "string")
        elif name.startswith("mj"):
            kinds = rules.attribute_kinds(name)
        else:
            kinds = dict.fromkeys(rules.html_attributes(name), "string")
        for attribute in list(element.attributes):
            if attribute.name.startswith("on") or attribute.name in ("srcdoc", "formaction", "xlink:href"):
                self.document.refuse(
                    attribute.offset, f"{attribute.name} would run a script.", "Mail runs none. Remove it."
                )
            elif attribute.name not in kinds:
                element.attributes.remove(attribute)
                if not rules.QUIETLY_DROPPED.match(attribute.name):
                    mend = close_match(attribute.name, kinds) or "Remove it."
                    self.document.warn(attribute.offset, f"<{name}> has no {attribute.name}, so it does nothing.", mend)
            else:
                self._attribute(element, attribute, kind=kinds[attribute.name])

    def _attribute(self, element: Element, attribute: Attribute, *, kind: str) -> None:
        name = attribute.name
        for part in attribute.parts:
            if isinstance(part, Text):
                self._foreign(part)
                if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", part.value):
                    self.document.refuse(attribute.offset, f"{name} holds an invisible character.", "Remove it.")
        if name == "href" and element.name != "mj-font":
            self._href(element, attribute)
        elif name in rules.IMAGE:
            self._image(attribute)
        elif name in rules.WORDS:
            for part in attribute.parts:
                if isinstance(part, Statement):
                    self.document.refuse(part.offset, f"A block stands in {name}.", "Use {{ a if b else c }}.")
                elif isinstance(part, Placeholder):
                    self._words(part, formatted=False)
        elif name in rules.STYLE or "color" in name:
            self._coloured(attribute, kind=kind)
        elif not attribute.is_plain:
            self.document.refuse(attribute.offset, f"A placeholder cannot stand in {name}.", "Write the value out.")
        else:
            self._plain(element, attribute, kind=kind)

    def _href(self, element: Element, attribute: Attribute) -> None:
        parts = attribute.parts
        base = element.parent.get("base-url") if element.name == "mj-navbar-link" and element.parent else None
        if base is not None and base.is_plain:
            parts = (*base.parts, *parts)
        try:
            href = read_href(parts, dialect=self.dialect)
        except Refusal as refusal:
            mend = refusal.mend
            if self._scope and any(isinstance(part, Placeholder) for part in parts):
                mend = "Every reader's link must be the same, so write each link out instead of a for."
            if "unsub" in attribute.text.lower():
                mend = "Remove it: every mail gets its own unsubscribe link at the end."
            self.document.refuse(attribute.offset, refusal.what, mend)
            return
        self.fields |= href.fields
        self.hrefs[id(attribute)] = href
        if href.kind is HrefKind.NONE or (href.kind is HrefKind.ANCHOR and href.destination == "#"):
            self.document.warn(attribute.offset, "This link leads nowhere.", "Give it an address.")

    def _image(self, attribute: Attribute) -> None:
        try:
            self.fields |= check_image(attribute.parts, dialect=self.dialect)
        except Refusal as refusal:
            self.document.refuse(attribute.offset, refusal.what, refusal.mend)

    def _colour(self, part: Placeholder | Statement) -> None:
        self._count(part)
        try:
            allowed = is_colour(part, dialect=self.dialect)
        except Refusal as refusal:
            self.document.refuse(part.offset, refusal.what, refusal.mend)
            return
        if not allowed:
            self.document.refuse(
                part.offset, "Only a colour of the brand may stand here.", "Use {{ brand.color }} alone."
            )
        else:
            self.fields |= inspect(part.source, dialect=self.dialect).fields

    def _coloured(self, attribute: Attribute, *, kind: str) -> None:
        value = ""
        for part in attribute.parts:
            if isinstance(part, Text):
                value += part.value
            else:
                value += "red"
                self._colour(part)
        problem = rules.value_problem(attribute.name, value, kind=kind)
        if problem:
            self.document.refuse(attribute.offset, problem)

    def _plain(self, element: Element, attribute: Attribute, *, kind: str) -> None:
        name, value = attribute.name, attribute.text
        problem = rules.special_problem(element.name, name, value)
        if problem is None:
            problem = rules.value_problem(name, value, kind=kind)
        if problem:
            self.document.refuse(attribute.offset, problem)
            return
        warning = rules.value_warning(name, value, kind=kind)
        if warning:
            self.document.warn(attribute.offset, warning)
        if name == "mj-class":
            for one in value.split():
                if one not in self._classes:
                    mend = close_match(one, self._classes) or "Define it in <mj-attributes>."
                    self.document.warn(attribute.offset, f"There is no mj-class {one}.", mend)


def _holds_something(element: Element) -> bool:
    return any(not isinstance(child, Text) or bool(child.value.strip()) for child in element.children)
