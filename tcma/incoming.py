"""Text that comes in: characters that no stored text can hold are refused before any room sees them.

PostgreSQL keeps no NUL in text or JSON, and a half of a surrogate pair has no UTF-8. Files are not text and pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from flask import request

from tcma.errors import DomainError

_UNKEPT = re.compile("[\0\ud800-\udfff]")
# Written in JSON both come as escapes; two halves of a pair look the same, so a body with any is read to be sure.
_ESCAPED = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


class UnkeptCharacter(DomainError):
    """A text with a character that cannot be kept."""

    status = 400
    title = "Please check the text"
    default = "The text holds a character that cannot be kept (such as a zero byte). Take it out and send again."


def refuse_unkept_characters() -> None:
    """Raise UnkeptCharacter for a NUL or half a surrogate pair in the address, the form or the JSON of this request."""
    if any(_UNKEPT.search(one) for one in _texts()):
        raise UnkeptCharacter()


def _texts() -> Iterator[str]:
    yield request.path
    for fields in (request.args, request.form):
        for name, values in fields.lists():
            yield name
            yield from values
    if request.is_json and _ESCAPED.search(body := request.get_data(cache=True)):
        try:
            yield from _inside(json.loads(body))
        except ValueError:
            return  # whoever reads it will say so
        except RecursionError:
            raise DomainError("The JSON is nested too deeply. Send it flatter.") from None


def _inside(value: object) -> Iterable[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _inside(one)
        case dict():
            for name, one in value.items():
                yield name
                yield from _inside(one)
