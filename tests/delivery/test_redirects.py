"""The quick way of tracked links: it answers as the application does, keeps the hit first, and knows its limits."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from flask import Flask

from tcma.config import settings
from tcma.db import unit_of_work
from tcma.delivery import queries, tokens, tracking
from tcma.delivery.destinations import BLOCK, Destinations, Links
from tcma.delivery.spool import Spool, SpoolError
from tests.factories.cast import Cast
from tests.factories.delivery import make_started, system_of

LINKS = Links.of({1: "https://vendor.example/one", 2: "https://here.example/p/x?a=1"}, "https://here.example/p/x")


def test_an_id_that_is_not_there_yet_is_not_taken_for_its_neighbours() -> None:
    remembered, touch = Destinations(), uuid4()
    remembered.remember(0, [(4, touch), (5, touch), (7, touch)], {touch: LINKS})
    assert [number for number in range(BLOCK * 2) if remembered.find(number)] == [4, 5, 7]


def test_neighbours_of_two_launches_keep_their_own_links() -> None:
    remembered, one, two = Destinations(), uuid4(), uuid4()
    other = Links.of({1: "https://other.example/"}, "")
    remembered.remember(0, [(4, one), (5, two), (6, one)], {one: LINKS, two: other})
    assert [remembered.find(number) for number in (4, 5, 6)] == [LINKS, other, LINKS]


def test_what_is_remembered_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered, touch = Destinations(), uuid4()
    monkeypatch.setattr("tcma.delivery.destinations.KEPT_SECONDS", -1.0)
    remembered.remember(0, [(4, touch)], {touch: LINKS})
    assert remembered.find(4) is None


def test_only_the_launchs_own_page_is_told_who_came() -> None:
    own = "https://here.example/p/x"
    assert Links.of({1: own, 2: f"{own}#form", 3: f"{own}y", 4: f"{own}?a#b", 5: "https://else.example/"}, own).homes == {1, 2, 4}


@pytest.fixture
def paths(app: Flask, cast: Cast) -> Iterator[list[str]]:
    """The paths of the links of one delivery."""
    with app.app_context():
        launch = make_started(cast, contacts=1)
        with unit_of_work(system_of(launch)) as session:
            row = queries.list_deliveries(session, system_of(launch), launch.id, limit=1)[0]
        key = settings().derived_keys("tracking")[0]
        tracking.load_hits()
        yield [f"/r/{tokens.click_token(row.id, number, key=key)}" for number in (1, 2)]
        tracking.load_hits()


def test_the_second_answer_asks_no_database_and_is_the_same(app: Flask, paths: list[str]) -> None:
    base = settings().tracking_origin
    first = [app.test_client().get(path, base_url=base) for path in paths]
    assert [one.status_code for one in first] == [302, 302]
    quick = app.wsgi_app
    inner = quick._application  # type: ignore[attr-defined]
    quick._application = None  # type: ignore[attr-defined]
    try:
        again = [app.test_client().get(path, base_url=base) for path in paths]
    finally:
        quick._application = inner  # type: ignore[attr-defined]
    assert [one.headers["Location"] for one in again] == [one.headers["Location"] for one in first]
    # It looks at no cookie, so it need not say that it depends on one.
    assert {name for name, _ in again[0].headers} == {name for name, _ in first[0].headers} - {"Vary"}
    assert tracking.load_hits() == 4


def test_the_other_origin_and_forged_tokens_are_left_to_the_application(app: Flask, paths: list[str]) -> None:
    app.test_client().get(paths[0], base_url=settings().tracking_origin)
    assert app.test_client().get(paths[0], base_url=settings().public_origin).status_code == 404
    assert app.test_client().get(paths[0][:-1], base_url=settings().tracking_origin).status_code == 404
    assert tracking.load_hits() == 1


def test_a_hit_that_cannot_be_kept_is_not_answered(
    app: Flask, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = settings().tracking_origin
    app.test_client().get(paths[0], base_url=base)

    def full(self: Spool, line: bytes) -> None:
        raise SpoolError("The disk is full: the hit could not be kept.")

    monkeypatch.setattr(Spool, "append_line", full)
    assert app.test_client().get(paths[0], base_url=base).status_code == 503
