"""Setting a few lines of text into a rectangle that they must not leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

LEADING = 1.28
BASELINE = 0.98  # of the font size, from the top of a line: room for capitals with accents above
SEPARATOR = " · "

# Width of a text at a font size, in the caller's unit: (text, bold, size) -> width.
Measure = Callable[[str, bool, float], float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `scale` is its size relative to the block's."""

    text: str
    bold: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """Lines broken to fit, at the block's font `size`; `height` is that of the whole block."""

    lines: tuple[Line, ...]
    size: float
    height: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Font sizes to try: from `largest` to `comfortable` unbroken, then down to `smallest` with breaks."""

    largest: float
    comfortable: float
    smallest: float

    def unbroken(self) -> Iterator[float]:
        return _steps(self.largest, min(self.comfortable, self.largest))

    def broken(self) -> Iterator[float]:
        return _steps(min(self.comfortable, self.largest), self.smallest)


def fit(
    forms: Sequence[Sequence[Line]], *, width: float, height: float, sizes: Sizes, measure: Measure
) -> Fitted | None:
    """The largest setting of one of `forms` (the same text, roomier first) within `width` × `height`.

    Shrinks to a comfortable size first, then breaks lines at blanks and shrinks on to the smallest; words are
    broken only where that still does not do. None where nothing does: nothing is cut off or overflows.
    """

    def within(fitted: Fitted) -> bool:
        widths = (measure(line.text, line.bold, fitted.size * line.scale) for line in fitted.lines)
        return fitted.height <= height and all(wide <= width for wide in widths)

    for size in sizes.unbroken():
        for lines in forms:
            if within(fitted := _stacked(lines, size)):
                return fitted
    for inside_words in (False, True):
        for size in sizes.broken():
            for lines in forms:
                broken = _broken(lines, size, width, measure, inside_words=inside_words)
                if within(fitted := _stacked(broken, size)):
                    return fitted
    return None


def _steps(first: float, last: float) -> Iterator[float]:
    count = 24
    for step in range(count + 1):
        yield first + (last - first) * step / count


def _stacked(lines: Sequence[Line], size: float) -> Fitted:
    return Fitted(tuple(lines), size, sum(size * line.scale * LEADING for line in lines))


def _broken(lines: Sequence[Line], size: float, width: float, measure: Measure, *, inside_words: bool) -> list[Line]:
    done: list[Line] = []
    for line in lines:

        def fits(text: str, line: Line = line) -> bool:
            return measure(text, line.bold, size * line.scale) <= width

        done.extend(Line(text, line.bold, line.scale) for text in _wrapped(line.text, fits, inside_words))
    return done


def _wrapped(text: str, fits: Callable[[str], bool], inside_words: bool) -> Iterator[str]:
    """Break at blanks, and on request inside a word that alone is too wide."""
    current = ""
    for word in text.split(" "):
        longer = f"{current} {word}" if current else word
        if fits(longer):
            current = longer
            continue
        if current:
            yield current.removesuffix(SEPARATOR.rstrip()).rstrip()
        current = "" if word == SEPARATOR.strip() else word
        while inside_words and current and not fits(current):
            part = max((end for end in range(1, len(current)) if fits(current[:end])), default=1)
            yield current[:part]
            current = current[part:]
    if current:
        yield current
