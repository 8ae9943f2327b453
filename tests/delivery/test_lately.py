"""Counts over many rows: which are kept for a while, and what has them found anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tcma.audience import services as audience_services
from tcma.audience.models import ContactList
from tcma.campaigns.models import Launch
from tcma.db import db, unit_of_work
from tcma.delivery import lately, planning, queries, reach
from tests.factories.audience import make_contact
from tests.factories.cast import Cast
from tests.factories.claims import finish
from tests.factories.delivery import make_draft, make_started


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every count counts as one that takes long."""
    monkeypatch.setattr(lately, "CHEAP", 0)
    monkeypatch.setattr(lately, "COST_SHARE", 1e9)
    lately._kept.clear()
    yield
    lately._kept.clear()


def test_a_cheap_count_is_always_found_anew() -> None:
    found = iter(range(10))
    assert [lately.lately("cheap", lambda: next(found)) for _ in range(2)] == [0, 1]


def test_a_dear_count_is_kept_under_its_key(dear: None) -> None:
    found = iter(range(10))
    assert [lately.lately(key, lambda: next(found)) for key in ("a", "a", "b", "a")] == [0, 0, 1, 0]
    assert lately.lately("a", lambda: next(found), anew=True) == 2
    assert lately.lately("a", lambda: next(found)) == 2


def test_a_contact_that_comes_is_in_the_reach_at_once(app: Flask, cast: Cast, dear: None) -> None:
    actor = cast.partner_marketer
    with app.app_context():
        launch = make_draft(cast, contacts=3)
        with unit_of_work(actor) as session:
            assert reach.reach_of(session, session.get_one(Launch, launch.id)).sendable == 3
        one = make_contact(actor)
        with unit_of_work(actor) as session:
            people = session.get_one(ContactList, launch.audience["lists"][0])
            audience_services.add_to_list(session, actor, people.id, [one.id])
        with unit_of_work(actor) as session:
            assert reach.reach_of(session, session.get_one(Launch, launch.id)).total == 4
        with unit_of_work(cast.rival) as session:
            assert reach.reach_of(session, launch).total == 0


def test_a_large_launch_that_is_over_shows_its_shared_counts(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        launch = make_started(cast, contacts=3)
        finish(launch)
        with unit_of_work(cast.partner_marketer):
            found = db.session.get_one(Launch, launch.id)
            assert queries.own_totals(db.session, found).sent == 3
            monkeypatch.setattr(queries, "COUNTED_AT_ONCE", 2)
            assert queries.own_totals(db.session, found).pending == 3
            planning.count_totals(db.session, found)
            assert queries.own_totals(db.session, found).sent == 3
