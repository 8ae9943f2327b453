"""A statement says what the record says: forgery shows, and what comes later changes nothing."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from tcma.access import Actor
from tcma.db import bind, db, elevated, unit_of_work
from tcma.delivery.models import Delivery
from tcma.errors import Forbidden, IllegalTransition, NotFound
from tcma.mdf import queries_claims as queries
from tcma.mdf import statement
from tcma.mdf.models import Statement
from tests.factories.cast import Cast
from tests.factories.claims import click, finish, make_claim
from tests.factories.delivery import make_draft, make_started


def seal(cast: Cast, launch_id: UUID | None) -> Statement:
    with unit_of_work(cast.partner_marketer) as session:
        return statement.seal_statement(session, cast.partner_marketer, launch_id)  # type: ignore[arg-type]


def verify(actor: Actor, statement_id: UUID) -> statement.Verification:
    with unit_of_work(actor) as session:
        return statement.verify_statement(session, actor, statement_id)


def test_both_parties_recompute_it(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast, contacts=4)
        finish(launch)
        with unit_of_work(cast.partner_marketer) as session:
            mails = session.scalars(select(Delivery).where(Delivery.launch_id == launch.id)).all()
            click(session, launch, mails[:2])
        made = seal(cast, launch.id)
        assert (made.edition, made.figures["deliveries"]["sent"], made.figures["people"]) == (1, 4, 2)
        for actor in (cast.partner_admin, cast.finance):
            found = verify(actor, made.id)
            assert (found.ok, found.recomputed_sha256, found.differences) == (True, made.sha256, ())


def test_late_events_change_no_sealed_statement_and_make_a_new_edition(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast, contacts=3)
        finish(launch)
        first = seal(cast, launch.id)
        assert seal(cast, launch.id).id == first.id
        with unit_of_work(cast.partner_marketer) as session:
            mails = session.scalars(select(Delivery).where(Delivery.launch_id == launch.id)).all()
            click(session, launch, mails)
        assert verify(cast.finance, first.id).ok
        second = seal(cast, launch.id)
        assert (second.edition, second.figures["people"], first.figures["people"]) == (2, 3, 0)
        assert verify(cast.finance, second.id).ok


def test_mails_that_leave_later_change_no_statement(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast, contacts=3)
        made = seal(cast, launch.id)
        assert (made.figures["deliveries"]["sent"], made.figures["deliveries"]["open"]) == (0, 3)
        finish(launch)
        assert verify(cast.finance, made.id).ok


def test_a_forged_statement_is_found_out(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast, contacts=3)
        finish(launch)
        made = seal(cast, launch.id)
        with unit_of_work(cast.partner_marketer) as session:
            honest = session.get_one(Statement, made.id)
            figures = {**honest.figures, "deliveries": {**honest.figures["deliveries"], "sent": 3000}}
            forged = Statement(
                vendor_id=honest.vendor_id, partner_id=honest.partner_id, launch_id=honest.launch_id, edition=2,
                cut=honest.cut, classification_version=1, figures=figures, sha256=honest.sha256, seal=honest.seal,
                sealed_at=honest.sealed_at,
            )  # fmt: skip
            session.add(forged)
        found = verify(cast.finance, forged.id)
        assert not found.ok
        assert found.differences[0].startswith("The hash does not fit")
        assert any("the statement says 3000, the record says 3" in one for one in found.differences)
        assert any("not this service's" in one for one in found.differences)


def test_a_launch_that_sent_nothing_has_none(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_draft(cast)
        with pytest.raises(IllegalTransition, match="has not been sent"):
            seal(cast, launch.id)


def test_only_the_parties_see_it(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="draft")
        with unit_of_work(cast.finance) as session:
            found = queries.statement_of_activity(session, story.activity_id)
            assert found is not None
            statement_id = found.id
        for actor in (cast.rival, cast.other_vendor_admin):
            with pytest.raises(NotFound):
                verify(actor, statement_id)
        with pytest.raises(Forbidden), unit_of_work(cast.finance) as session:
            statement.seal_statement(session, cast.finance, story.launch_id)  # type: ignore[arg-type]


def test_a_vendor_never_reads_the_rows_behind_it(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast)
        finish(launch)
        made = seal(cast, launch.id)
        bind(db.session, cast.finance)
        assert statement.verify_statement(db.session, cast.finance, made.id).ok
        assert db.session.scalars(select(Delivery).where(Delivery.launch_id == launch.id)).all() == []
        with elevated(db.session, "a test compares"):
            assert len(db.session.scalars(select(Delivery).where(Delivery.launch_id == launch.id)).all()) == 3
