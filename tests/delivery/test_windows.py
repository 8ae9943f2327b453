"""Windows: open or not, in the recipient's own time, through changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma.delivery.windows import Window, zone_of
from tcma.errors import Invalid

OFFICE = Window(time(8), time(18), frozenset({1, 2, 3, 4, 5}))
BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        (utc(2026, 11, 23, 9), utc(2026, 11, 23, 9)),  # Monday 10:00 there
        (utc(2026, 11, 23, 6, 59), utc(2026, 11, 23, 7)),  # a minute too early
        (utc(2026, 11, 23, 17), utc(2026, 11, 24, 7)),  # just closed
        (utc(2026, 11, 21, 9), utc(2026, 11, 23, 7)),  # Saturday
        (utc(2026, 3, 28, 12), utc(2026, 3, 30, 6)),  # over the change to summer time
    ],
)
def test_mail_waits_for_the_next_opening(moment: datetime, opens: datetime) -> None:
    assert OFFICE.next_open(moment, BERLIN) == opens


@given(
    moment=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    days=st.sets(st.integers(1, 7), min_size=1),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_what_opens_is_open_soon_and_stays_the_answer(moment: datetime, days: set[int], zone: str) -> None:
    window = Window(time(9), time(17, 30), frozenset(days))
    there = ZoneInfo(zone)
    opens = window.next_open(moment, there)
    local = opens.astimezone(there)
    assert moment <= opens <= moment + timedelta(days=8)
    assert local.isoweekday() in days
    assert time(9) <= local.time() < time(17, 30)
    assert window.next_open(opens, there) == opens


@pytest.mark.parametrize(
    ("country", "home", "zone"),
    [
        ("DE", "UTC", "Europe/Berlin"),
        ("us", "America/Chicago", "America/Chicago"),
        ("US", "Europe/Berlin", "America/New_York"),
        ("", "Europe/Vienna", "Europe/Vienna"),
        ("ZZ", "Europe/Vienna", "Europe/Vienna"),
    ],
)
def test_a_contact_lives_in_its_countrys_zone(country: str, home: str, zone: str) -> None:
    assert zone_of(country, home=home).key == zone


@pytest.mark.parametrize("window", [Window(time(9), time(9), frozenset({1})), Window(time(9), time(10), frozenset())])
def test_a_window_that_never_opens_is_refused(window: Window) -> None:
    with pytest.raises(Invalid):
        window.check()


def test_a_window_survives_being_kept() -> None:
    assert Window.from_json(OFFICE.as_json()) == OFFICE
    assert Window.from_json(None) is None
    assert Window.from_json({"late_hours": 4}) is None
