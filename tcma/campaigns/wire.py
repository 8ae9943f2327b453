"""Bodies as they travel: what is the same for every reader is bytes already, and only readers' values are encoded.

HTML needs no transfer encoding (RFC 2045 §2.7): ASCII with character references, CRLF, no NUL, lines of at most 998
octets. Text goes the same way where it is ASCII, and else line by line as quoted-printable. Whatever does not fit
these rules goes the slow way (`tcma.delivery.message`), for that one reader or, where it is the program's own text,
for all.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, AnyStr, Final, Generic, cast

from markupsafe import escape

from tcma.campaigns.program import Program, Shape, Shapes, Values, template_of

LONGEST_LINE: Final = 998
"""RFC 5322 §2.1.1: octets without the CRLF."""

RESERVED: Final = b"=_"
"""No boundary of ours is without it, so a body without it holds none (RFC 2046 §5.1.1)."""

_DOT: Final = re.compile(rb"\n\.")
_UNUSUAL: Final = re.compile(rb"=_|[\r\n\0]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9/:.\n_~?#%+,;@-]*")
"""Nothing to escape, nothing to encode, no `=_`."""


@dataclass(frozen=True, slots=True)
class Body:
    """A part's body with CRLF behind each line, and its transfer encoding.

    `has_dots` tells that a line may begin with a dot, which SMTP wants doubled.
    """

    encoding: bytes
    data: bytes
    has_dots: bool


class WireHtml:
    """A program for HTML whose own text is ready to travel."""

    def __init__(self, program: Program) -> None:
        self._shapes = Shapes(program, _ready_html)

    def body(self, values: Values) -> Body | None:
        """The HTML for these values; None where they do not travel as they are."""
        ready, values = self._shapes.of(values)
        return ready.body(values) if ready is not None else None


class WireText:
    """A program for plain text whose own text is ready to travel.

    Empty lines at the top and more than one between two paragraphs are left out: blocks that are not there leave them.
    """

    def __init__(self, program: Program) -> None:
        self._shapes = Shapes(program, _ready_text)

    def body(self, values: Values) -> Body | None:
        """The text for these values; None where they do not travel as they are."""
        ways, values = self._shapes.of(values)
        for way in ways:
            found = way.body(values)
            if found is not None:
                return found
        return None


def quoted_line(line: bytes) -> bytes:
    """A line as quoted-printable (RFC 2045 §6.7), its soft line breaks as CRLF."""
    # Soft line breaks take the style of those in the input, of which there are none.
    return binascii.b2a_qp(line, istext=True).replace(b"\n", b"\r\n")


def tidy(text: str) -> str:
    """Text without empty lines at its top, and with one at the most between two others."""
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.lstrip("\n")


# -- HTML ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ReadyHtml:
    """A shape of HTML. `in_order` puts the octets of `addresses` and then `others` into the gaps of `template`."""

    template: bytes
    addresses: tuple[str, ...]
    others: tuple[str, ...]
    in_order: Callable[[Any], Any]
    lines: tuple[tuple[int, tuple[int, ...]], ...]
    """Of each line with gaps: its own octets, and which values stand in it."""
    longest: int
    """Octets of the longest such line, and how many values stand in the one with the most."""
    most: int
    has_dots: bool

    def body(self, values: Values) -> Body | None:
        found = _addresses([values[key] for key in self.addresses])
        found += [_octets(values[key]) for key in self.others]
        if None in found:
            return None
        octets = cast("list[bytes]", found)
        return Body(b"7bit", self.template % self.in_order(octets), self.has_dots) if self._fits(octets) else None

    def _fits(self, found: list[bytes]) -> bool:
        """Whether no line grows too long; first as it can be told at a glance."""
        if not found or max(map(len, found)) * self.most + self.longest <= LONGEST_LINE:
            return True
        return all(own + sum([len(found[place]) for place in places]) <= LONGEST_LINE for own, places in self.lines)


def _ready_html(shape: Shape) -> _ReadyHtml | None:
    """None for a shape whose own text cannot travel as it is."""
    texts = [text.encode("ascii", "xmlcharrefreplace") for text in shape.texts]
    if not texts[-1].endswith(b"\r\n"):
        texts[-1] += b"\r\n"
    if any(RESERVED in text or b"\0" in text for text in texts):
        return None
    keys = tuple(dict.fromkeys(shape.keys))
    addresses = tuple(key for key in keys if key.startswith("link__") or key.endswith("_url"))
    others = tuple(key for key in keys if key not in addresses)
    places = {key: place for place, key in enumerate((*addresses, *others))}
    order = tuple(places[key] for key in shape.keys)
    lines = _lines(texts, order, b"\r\n")
    if any(b"\n" in part or b"\r" in part or len(part) > LONGEST_LINE for line in lines for part in line.texts):
        return None
    filled = [line for line in lines if line.gaps]
    return _ReadyHtml(
        template=b"%b".join([text.replace(b"%", b"%%") for text in texts]),
        addresses=addresses,
        others=others,
        in_order=_getter(order),
        lines=tuple((line.size, tuple(line.gaps)) for line in filled),
        longest=max((line.size for line in lines), default=0),
        most=max((len(line.gaps) for line in lines), default=0),
        has_dots=any(line.texts[0].startswith(b".") or (line.gaps and not line.texts[0]) for line in lines),
    )


def _getter(places: Sequence[Any]) -> Callable[[Any], Any]:
    """What these places hold, in a form that `%` takes."""
    return itemgetter(*places) if places else lambda _: ()


def _addresses(values: list[str]) -> list[bytes | None]:
    """The octets of web addresses, which seldom hold anything that must be written in another way."""
    together = "\n".join(values)
    if _PLAIN.fullmatch(together):
        found: list[bytes | None] = [*together.encode().split(b"\n")]
        if len(found) == len(values):
            return found
    return [_octets(value) for value in values]


def _octets(value: Any) -> bytes | None:
    """A value in HTML; None where it may not stand in a body that travels as it is."""
    data = escape(value).encode("ascii", "xmlcharrefreplace")
    return None if _UNUSUAL.search(data) else data


# -- Text ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ReadyText:
    """A shape of text: `template` takes the octets of each line with gaps, which are made of `lines`."""

    template: bytes
    lines: tuple[tuple[str, Callable[[Any], Any]], ...]
    never_empty: tuple[str, ...]
    """Keys that stand alone in a line: where they are empty, lines have to go."""
    is_quoted: bool

    def body(self, values: Values) -> Body | None:
        for key in self.never_empty:
            if not values[key]:
                return None
        encode = _filled_quoted if self.is_quoted else _filled_clear
        found = [encode(template % gaps(values)) for template, gaps in self.lines]
        if None in found:
            return None
        encoding = b"quoted-printable" if self.is_quoted else b"7bit"
        data = self.template % tuple(found)
        # Looked for in what was made: a soft line break may come before any dot.
        return Body(encoding, data, data.startswith(b".") or _DOT.search(data) is not None)


def _ready_text(shape: Shape) -> tuple[_ReadyText, ...]:
    """The ways in which a shape may travel, best first; none where its own text needs another encoding."""
    own = "".join(shape.texts)
    try:
        extra = len(own.encode()) - len(own)
    except UnicodeEncodeError:
        return ()
    # As in `tcma.delivery.message`: then base64 is shorter.
    if extra * 6 > len(own) or "\0" in own or RESERVED.decode() in own:
        return ()
    lines = _tidied(_lines([_LINE_END.sub("\n", text) for text in shape.texts], shape.keys, "\n"))
    if not lines:
        return ()
    is_clear = not extra and all(line.size <= LONGEST_LINE for line in lines)
    return (_text_as(lines, quoted=False), _text_as(lines, quoted=True)) if is_clear else (_text_as(lines, quoted=True),)


def _text_as(lines: list[_Line[str]], *, quoted: bool) -> _ReadyText:
    encode = quoted_line if quoted else bytes
    fixed = [b"%b" if line.gaps else encode(line.texts[0].encode()).replace(b"%", b"%%") for line in lines]
    return _ReadyText(
        template=b"".join([line + b"\r\n" for line in fixed]),
        lines=tuple((template_of(line.texts), _getter(line.gaps)) for line in lines if line.gaps),
        never_empty=tuple({key for line in lines if not line.size for key in line.gaps}),
        is_quoted=quoted,
    )


def _tidied(lines: list[_Line[str]]) -> list[_Line[str]]:
    """As `tidy`, and without what is no line: the nothing behind the last line end."""
    kept: list[_Line[str]] = []
    for line in lines[:-1] if lines[-1].is_empty else lines:
        if not line.is_empty or (kept and not kept[-1].is_empty):
            kept.append(line)
    return kept


def _filled_quoted(line: str) -> bytes | None:
    if line.isascii() and line.isprintable():
        # Most are links: such a line is its own quoted-printable, and to see that is cheaper than to encode it.
        if len(line) <= _QUOTED_LINE and "=" not in line and line[-1:] != " " and line != ".":
            return line.encode()
    elif _UNUSUAL_LINE.search(line):
        return None
    return quoted_line(line.encode())


def _filled_clear(line: str) -> bytes | None:
    if not line.isascii() or len(line) > LONGEST_LINE or _UNUSUAL_LINE.search(line):
        return None
    return line.encode()


_QUOTED_LINE: Final = 76
_LINE_END: Final = re.compile("\r\n?")
_UNUSUAL_LINE: Final = re.compile("=_|[\r\n\0\ud800-\udfff]")


# -- Lines --------------------------------------------------------------------------------------------


class _Line(Generic[AnyStr]):
    """One line of a shape: `texts`, and between each two a gap."""

    def __init__(self, first: AnyStr) -> None:
        self.texts: list[AnyStr] = [first]
        self.gaps: list[Any] = []

    @property
    def size(self) -> int:
        """Its own characters or octets."""
        return sum(map(len, self.texts))

    @property
    def is_empty(self) -> bool:
        return not self.gaps and not self.texts[0]


def _lines(texts: Sequence[AnyStr], gaps: Sequence[Any], end: AnyStr) -> list[_Line[AnyStr]]:
    """`texts` with a gap between each two, cut into lines."""
    lines: list[_Line[AnyStr]] = []
    for place, text in enumerate(texts):
        parts = text.split(end)
        if lines:
            lines[-1].gaps.append(gaps[place - 1])
            lines[-1].texts.append(parts.pop(0))
        lines += [_Line(part) for part in parts]
    return lines
