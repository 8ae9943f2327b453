"""How a lead's score is made: a few parts, each with its points and its words. Pure.

Points follow what the field uses (facts/channel-marketing, scoring): a form answer counts far more than a click, and
opens count nothing here, for machines open mail too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLICK_POINTS = 10
MOST_CLICK_POINTS = 30
ANSWER_POINTS = 50
DETAIL_POINTS = {"phone": 15, "company": 5, "message": 10}
HOT = 75
WARM = 40


@dataclass(frozen=True)
class Part:
    """One reason for points."""

    code: str
    words: str
    points: int

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "words": self.words, "points": self.points}


def score(*, clicks: int, answers: Mapping[str, str] | None) -> tuple[int, list[Part]]:
    """(total, parts) from people's clicks and the form's answers."""
    parts: list[Part] = []
    if clicks:
        times = "once" if clicks == 1 else f"{clicks} times"
        parts.append(Part("clicks", f"Followed a link {times}", min(clicks * CLICK_POINTS, MOST_CLICK_POINTS)))
    if answers:
        parts.append(Part("answer", "Answered the form", ANSWER_POINTS))
        for name, points in DETAIL_POINTS.items():
            if answers.get(name, "").strip():
                parts.append(Part(name, f"Left a {name}" if name != "company" else "Named the company", points))
    return sum(part.points for part in parts), parts


def warmth(total: int) -> str:
    """One of hot, warm and cool."""
    return "hot" if total >= HOT else "warm" if total >= WARM else "cool"
