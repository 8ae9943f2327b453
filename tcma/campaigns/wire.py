"""HTML as it travels: what is the same for every reader is bytes already, and lines are short enough for SMTP.

Such a body needs no transfer encoding (RFC 2045 §2.7): ASCII, CRLF, no NUL, lines of at most 998 octets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tcma.campaigns.language import Program

LONGEST_LINE: Final = 998
"""RFC 5322 §2.1.1: octets without the CRLF."""

RESERVED: Final = b"=_"
"""No boundary of ours is without it, so a body without it holds none (RFC 2046 §5.1.1)."""

_UNUSUAL: Final = re.compile(rb"=_|[\r\n\0]")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Octets that travel as they are; `head` and `tail` are how many stand before the first and behind the last line
    end (`head` all of them where there is none)."""

    data: bytes
    has_line_end: bool
    head: int
    tail: int


class WireProgram:
    """A `Program` whose own text is ready to travel; only readers' values are encoded each time."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._known = {text: piece for text in program.constants() if (piece := _piece(text)) is not None}

    def pieces(self, values: Mapping[str, Any]) -> list[bytes] | None:
        """The body in pieces, the last of which ends a line; None where these values do not travel as they are."""
        found: list[bytes] = []
        line = 0
        for text in self._program.parts(values):
            piece = self._known.get(text)
            if piece is None:
                data = text.encode("ascii", "xmlcharrefreplace")
                if not _UNUSUAL.search(data):
                    line += len(data)
                    found.append(data)
                    continue
                piece = _piece(text)
                if piece is None:
                    return None
            line += piece.head
            if line > LONGEST_LINE:
                return None
            if piece.has_line_end:
                line = piece.tail
            found.append(piece.data)
        if line:
            found.append(b"\r\n")
        return found if line <= LONGEST_LINE else None


def _piece(text: str) -> _Piece | None:
    """None for text that cannot travel as it is."""
    data = text.encode("ascii", "xmlcharrefreplace")
    if RESERVED in data or b"\0" in data:
        return None
    if b"\n" not in data and b"\r" not in data:
        return _Piece(data, False, len(data), 0)
    lines = data.split(b"\r\n")
    if any(len(one) > LONGEST_LINE or b"\n" in one or b"\r" in one for one in lines):
        return None
    return _Piece(data, True, len(lines[0]), len(lines[-1]))
