"""Counts that read many rows, kept by this process for a while: as long as they are dear, and never where they are cheap.

A count that takes a second is found anew after COST_SHARE seconds; what takes less than CHEAP seconds is always found
anew. A key names everything that is known to change the answer, so that whoever changes it sees the new one at once.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")

CHEAP = 0.02
COST_SHARE = 20
_REMEMBERED = 500

_kept: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()
_lock = threading.Lock()


def lately(key: Hashable, find: Callable[[], T], *, anew: bool = False) -> T:
    """What `find` said last under `key`, or says now; `anew` asks it in any case."""
    if not anew:
        with _lock:
            kept = _kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return cast(T, kept[1])
    began = time.monotonic()
    value = find()
    cost = time.monotonic() - began
    with _lock:
        _kept.pop(key, None)
        if cost > CHEAP:
            _kept[key] = (time.monotonic() + COST_SHARE * cost, value)
            while len(_kept) > _REMEMBERED:
                _kept.popitem(last=False)
    return value
