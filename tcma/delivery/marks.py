"""What a person saw before pressing Send: a mark that the form carries and the start compares.

A mark is the number of people who would get the mail and a short digest of each thing that was shown. It protects
against surprise, not against forgery: whoever changes it only asks to start something else of their own.
"""

from __future__ import annotations

import hashlib
import json
import re

from sqlalchemy.orm import Session

from tcma.assets import queries as asset_queries
from tcma.campaigns.models import Launch
from tcma.delivery import senders_choice
from tcma.delivery.reach import reach_of
from tcma.errors import Stale

PARTS = {
    "audience": "The audience", "slots": "The texts", "sender": "The sender", "pace": "The hours of the day",
    "version": "The version of the campaign",
}  # fmt: skip
_MARK = re.compile(r"(\d{1,12})((?:-[0-9a-f]{12}){5})")


def sendable(session: Session, launch: Launch) -> int:
    """How many people would get the mail if it started now: neither refused nor capped."""
    return reach_of(session, launch, anew=True).sendable


def mark_of(session: Session, launch: Launch, *, people: int | None = None) -> str:
    """The mark of a launch as it is; `people` is `sendable` where the caller has counted it already."""
    brand = launch.brand or asset_queries.brand_values(session, launch.partner_id)
    sender = dict(senders_choice.sender_of_launch(session, launch, brand))
    # Nobody is shown it, and a look at the DNS changes it.
    sender.pop("return_domain", None)
    shown = (launch.audience, launch.slots, sender, launch.pace, launch.campaign_version_id)
    number = sendable(session, launch) if people is None else people
    return "-".join([str(number), *map(_digest, shown)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def with_texts_of(seen: str, now: str) -> str:
    """The mark `seen` with the texts of `now`: who saves texts has seen those, and nothing else that changed."""
    if not (_MARK.fullmatch(seen) and _MARK.fullmatch(now)):
        return seen
    parts, place = seen.split("-"), 1 + list(PARTS).index("slots")
    parts[place] = now.split("-")[place]
    return "-".join(parts)


def require_seen(session: Session, launch: Launch, seen: str, *, again: str) -> None:
    """That the launch is as it was when `seen` was shown. Raises Stale, which says what changed; `again`: what to do."""
    now = mark_of(session, launch)
    if now == seen:
        return
    found = _MARK.fullmatch(seen)
    if found is None:
        raise Stale(f"It cannot be told what you saw when you decided. Look again and {again}.")
    before, after = seen.split("-"), now.split("-")
    changed = [words for words, old, new in zip(PARTS.values(), before[1:], after[1:], strict=True) if old != new]
    said = [f"{words} changed since you looked." for words in changed]
    if before[0] != after[0]:
        said = [f"The audience changed since you looked: {int(before[0]):,} → {int(after[0]):,}.",
                *(one for one in said if not one.startswith(PARTS["audience"]))]  # fmt: skip
    raise Stale(f"{' '.join(said)} Look again and {again}.")
