"""What the benchmarks count and print; how fast anything is, is not tested here."""

from __future__ import annotations

from collections import Counter

from benchmarks.__main__ import BENCHMARKS, table
from benchmarks.clicks import compare
from benchmarks.kills import judged
from tcma.delivery.states import DeliveryStatus


def test_hits_are_compared_one_by_one() -> None:
    assert compare(["a", "b", "c"], ["a", "b", "b", "unanswered"]) == {"lost": 1, "twice": 1}
    assert compare(["a"], ["a", "unanswered"]) == {"lost": 0, "twice": 0}


def test_a_mail_is_lost_only_where_nothing_is_said_of_it() -> None:
    rows = {
        "a@x.example": DeliveryStatus.SENT, "b@x.example": DeliveryStatus.UNKNOWN, "c@x.example": DeliveryStatus.SENT,
        "d@x.example": DeliveryStatus.SENT,
    }  # fmt: skip
    assert judged(Counter({"a@x.example": 1, "c@x.example": 2}), rows) == {"twice": 1, "lost": 1, "unknown": 1}


def test_the_table_shows_ratio_goal_and_spread() -> None:
    printed = table([{"name": "clicks", "value": 1234.5, "unit": "hits/s", "ratio": 0.6, "spread": [0.5, 0.75]}])
    assert printed.splitlines()[1].split("  ")[0] == "clicks"
    assert "1,234.5" in printed
    assert "0.5 to 0.75" in printed


def test_the_benchmarks_run_in_the_order_of_the_table() -> None:
    assert list(BENCHMARKS) == ["startup", "launch", "kills", "clicks", "planning", "imports", "ledger", "pages"]
