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

    Shrinks to a comfortable size first, breaks lines after, and shrinks on to the smallest. None where even
    that does not fit: nothing is cut off and nothing overflows.
    """
    for size in sizes.unbroken():
        for lines in forms:
            if all(measure(line.text, line.bold, size * line.scale) <= width for line in lines):
                fitted = _stacked(lines, size)
                if fitted.height <= height:
                    return fitted
    for size in sizes.broken():
        for lines in forms:
            fitted = _stacked(_broken(lines, size, width, measure), size)
            if fitted.height <= height:
                return fitted
    return None


def _steps(first: float, last: float) -> Iterator[float]:
    count = 24
    for step in range(count + 1):
        yield first + (last - first) * step / count


def _stacked(lines: Sequence[Line], size: float) -> Fitted:
    return Fitted(tuple(lines), size, sum(size * line.scale * LEADING for line in lines))


def _broken(lines: Sequence[Line], size: float, width: float, measure: Measure) -> list[Line]:
    done: list[Line] = []
    for line in lines:

        def fits(text: str, line: Line = line) -> bool:
            return measure(text, line.bold, size * line.scale) <= width

        done.extend(Line(text, line.bold, line.scale) for text in _wrapped(line.text, fits))
    return done


def _wrapped(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Break at blanks, and inside a word only where the word alone is too wide."""
    current = ""
    for word in text.split(" "):
        longer = f"{current} {word}" if current else word
        if fits(longer):
            current = longer
            continue
        if current:
            yield current.removesuffix(SEPARATOR.rstrip()).rstrip()
        current = "" if word == SEPARATOR.strip() else word
        while current and not fits(current):
            part = max((end for end in range(1, len(current)) if fits(current[:end])), default=1)
            yield current[:part]
            current = current[part:]
    if current:
        yield current
