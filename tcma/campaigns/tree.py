"""The tree of a piece of MJML, in which each thing knows where it stands."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from tcma.campaigns.problems import Problem, Severity


@dataclass(frozen=True, slots=True)
class Text:
    """Characters as a reader sees them: entities are already decoded."""

    value: str
    offset: int


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{{ … }}`. `source` is the whole, with its braces and with entities decoded."""

    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class Statement:
    """`{% … %}`; `word` is its first word."""

    source: str
    word: str
    offset: int


Part = Text | Placeholder | Statement


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute; `parts` make up its value."""

    name: str
    parts: tuple[Part, ...]
    offset: int

    @property
    def text(self) -> str:
        """The value with its placeholders as written."""
        return "".join(part.value if isinstance(part, Text) else part.source for part in self.parts)

    @property
    def is_plain(self) -> bool:
        """Whether the value has no placeholder in it."""
        return all(isinstance(part, Text) for part in self.parts)


@dataclass(slots=True)
class Element:
    """A tag with what it holds. `parent` is None for the root."""

    name: str
    attributes: list[Attribute]
    offset: int
    parent: Element | None = None
    children: list[Element | Part] = field(default_factory=list)

    def get(self, name: str) -> Attribute | None:
        """The attribute of that name, if there is one."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def elements(self) -> Iterator[Element]:
        """The child elements, without text."""
        return (child for child in self.children if isinstance(child, Element))

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in the order of the source."""
        yield self
        for child in self.elements():
            yield from child.walk()


class Places:
    """Turns offsets into lines and columns, both from 1."""

    def __init__(self, source: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]

    def of(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass
class Document:
    """What was read: the root (None where there is none) and what was wrong."""

    root: Element | None
    places: Places
    problems: list[Problem]

    def refuse(self, offset: int, what: str, mend: str = "") -> None:
        """Note an error at an offset."""
        self._note(offset, what, mend, Severity.ERROR)

    def warn(self, offset: int, what: str, mend: str = "") -> None:
        """Note a warning at an offset."""
        self._note(offset, what, mend, Severity.WARNING)

    def _note(self, offset: int, what: str, mend: str, severity: Severity) -> None:
        line, column = self.places.of(offset)
        self.problems.append(Problem(line=line, column=column, what=what, mend=mend, severity=severity))
