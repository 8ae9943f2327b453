"""Hostile files are read in a child that can take little time, little memory and no secret."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tcma import limits
from tcma.assets.images import check_size
from tcma.errors import Invalid, RateLimited
from tcma.limits import limited


def test_plain_data_goes_in_and_comes_out() -> None:
    assert limited(divmod, 7, 2) == (3, 1)
    assert limited(dict, {"a": [1, 2.5, None, True, b"\0", "ä", {1}]}) == {"a": [1, 2.5, None, True, b"\0", "ä", {1}]}


def test_a_refusal_comes_through_as_it_was_raised() -> None:
    with pytest.raises(Invalid, match="50,000 × 100 pixels") as refused:
        limited(check_size, 50_000, 100)
    assert set(refused.value.fields) == {""}


def test_a_reading_that_takes_too_much_processor_time_is_stopped() -> None:
    with pytest.raises(Invalid, match="takes more than 1 seconds"):
        limited(sum, range(10**12), seconds=1)


def test_a_reading_that_hangs_is_stopped_by_the_clock() -> None:
    begun = time.monotonic()
    with pytest.raises(Invalid, match="takes more than 1 seconds"):
        limited(time.sleep, 60, seconds=1)
    assert time.monotonic() - begun < 20


def test_a_reading_that_takes_too_much_memory_is_stopped() -> None:
    with pytest.raises(Invalid, match="more than 256 MB of memory"):
        limited(bytes, 2**31, memory_mb=256)


def test_a_reader_that_crashes_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Invalid, match="cannot be read"):
        limited(os.abort)
    assert "signal 6" in caplog.text


def test_an_unforeseen_error_is_logged_and_told_kindly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Invalid) as refused:
        limited(int, "no number")
    assert "invalid literal" in caplog.text
    assert "invalid literal" not in refused.value.message


def test_only_plain_data_is_accepted_from_the_child(caplog: pytest.LogCaptureFixture) -> None:
    """A parser taken over by a file could answer with a pickle that runs something here."""
    with caplog.at_level(logging.WARNING), pytest.raises(Invalid):
        limited(object)
    assert "not plain data" in caplog.text


def test_the_child_sees_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCMA_SECRET_KEY", "secret")
    assert limited(os.getenv, "TCMA_SECRET_KEY") is None
    assert limited(os.getcwd) == "/"


def test_a_large_answer_comes_through() -> None:
    assert len(limited(bytes, 20_000_000)) == 20_000_000


def test_many_threads_may_read_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: limited(divmod, number, 3), range(16)))
    assert answers == [divmod(number, 3) for number in range(16)]


def test_a_burst_beyond_all_turns_is_asked_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TURN_SECONDS", 0.01)
    taken = 0
    try:
        while limits._turns.acquire(blocking=False):
            taken += 1
        with pytest.raises(RateLimited, match="try again in a minute"):
            limited(divmod, 7, 2)
    finally:
        for _ in range(taken):
            limits._turns.release()
    assert limited(divmod, 7, 2) == (3, 1)


def test_a_reader_that_cannot_start_is_our_fault_and_no_refusal() -> None:
    def local() -> None:
        """Not to be found by name in another process."""

    with pytest.raises(RuntimeError, match="cannot start"):
        limited(local)
