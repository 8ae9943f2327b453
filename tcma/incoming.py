"""Text that comes in: characters that no stored text can hold are refused before any room sees them.

PostgreSQL keeps no NUL in text or JSON, and a half of a surrogate pair has no UTF-8. Files are not text and pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from flask import request

from tcma.errors import DomainError, NotFound

DEEPEST = 50  # levels of JSON; the deepest of ours has six
_UNKEPT = re.compile("[\0\ud800-\udfff]")
# Written in JSON both come as escapes; two halves of a pair look the same, so a body with any is read to be sure.
_ESCAPED = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


class UnkeptCharacter(DomainError):
    """A text with a character that cannot be kept."""

    status = 400
    title = "Please check the text"
    default = "The text holds a character that cannot be kept (such as a zero byte). Take it out and send again."


class TooDeep(DomainError):
    """JSON nested more deeply than any of ours, and than the reader's stack may hold."""

    status = 400
    title = "Please check the request"
    default = f"The JSON is nested more than {DEEPEST} levels deep. Send it as the API document describes it."


def refuse_unkept_characters() -> None:
    """Raise UnkeptCharacter for a NUL or half a surrogate pair in the query, the form or the JSON of this request.

    In the path it is NotFound: nothing can have such an address.
    """
    if _UNKEPT.search(request.path):
        raise NotFound()
    if any(_UNKEPT.search(one) for one in _texts()):
        raise UnkeptCharacter()


def _texts() -> Iterator[str]:
    for fields in (request.args, request.form):
        for name, values in fields.lists():
            yield name
            yield from values
    if request.is_json:
        yield from _texts_of_json(request.get_data(cache=True))


def _texts_of_json(body: bytes) -> Iterator[str]:
    if not _ESCAPED.search(body) and body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    try:
        yield from _inside(json.loads(body), 0)
    except RecursionError:
        raise TooDeep() from None
    except ValueError:
        return  # whoever reads it will say so


def _inside(value: object, depth: int) -> Iterable[str]:
    if depth > DEEPEST:
        raise TooDeep()
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _inside(one, depth + 1)
        case dict():
            for name, one in value.items():
                yield name
                yield from _inside(one, depth + 1)
