"""Human, machine or unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tcma.delivery.classify import Hit, classify
from tcma.delivery.states import EventClass, EventKind

SENT = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/17 Safari/604.1"


def hit(
    number: int = 1, *, after: float = 600, agent: str = CHROME, method: str = "GET", kind: EventKind = EventKind.CLICK,
    link: int | None = 1,
) -> Hit:  # fmt: skip
    return Hit(number, kind, SENT + timedelta(seconds=after), SENT, agent, method, link)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (hit(), EventClass.HUMAN),
        (hit(agent=PHONE, after=30), EventClass.HUMAN),
        (hit(after=6), EventClass.HUMAN),
        (hit(after=3), EventClass.UNKNOWN),
        (hit(after=1, agent="Mozilla/4.0 (compatible; ms-office)"), EventClass.MACHINE),
        (hit(method="HEAD"), EventClass.MACHINE),
        (hit(agent=""), EventClass.UNKNOWN),
        (hit(agent="", after=1), EventClass.MACHINE),
        (hit(agent="python-requests/2.31"), EventClass.MACHINE),
        (hit(agent="Mozilla/5.0 (compatible; Mimecast)"), EventClass.MACHINE),
        (hit(agent="Mozilla/5.0 (X11) HeadlessChrome/130"), EventClass.MACHINE),
        (hit(kind=EventKind.OPEN, agent="Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"), EventClass.MACHINE),
        (hit(kind=EventKind.OPEN, agent="Mozilla/5.0"), EventClass.MACHINE),
        (hit(kind=EventKind.UNSUBSCRIBE, agent="", after=0), EventClass.HUMAN),
    ],
)  # fmt: skip
def test_one_event_is_judged(one: Hit, wanted: EventClass) -> None:
    assert classify([one])[one.id].verdict is wanted


def test_following_every_link_at_once_is_a_machine() -> None:
    hits = [hit(number, after=600 + number, link=number) for number in range(1, 5)]
    assert {one.verdict for one in classify(hits).values()} == {EventClass.MACHINE}


def test_following_two_links_or_the_same_link_often_is_a_person() -> None:
    assert {one.verdict for one in classify([hit(1, link=1), hit(2, link=2)]).values()} == {EventClass.HUMAN}
    assert {one.verdict for one in classify([hit(n, link=1) for n in range(9)]).values()} == {EventClass.HUMAN}


def test_a_person_who_reads_slowly_follows_every_link() -> None:
    hits = [hit(number, after=600 + 30 * number, link=number) for number in range(1, 6)]
    assert {one.verdict for one in classify(hits).values()} == {EventClass.HUMAN}


def test_the_order_of_events_does_not_matter() -> None:
    hits = [hit(number, after=600 + number, link=number) for number in range(1, 6)]
    assert classify(hits) == classify(hits[::-1])


def test_each_verdict_names_its_reasons() -> None:
    assert classify([hit(method="HEAD", after=1)])[1].reasons == ["at_once", "browser", "head_request"]
