"""The audit trail: sealed into a chain, and a later change shows."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from sqlalchemy import create_engine, text

from tcma import audit, clock
from tcma.config import Settings
from tcma.db import unit_of_work
from tcma.service_tasks import seal_audit
from tests.factories.cast import Cast


def test_rows_are_sealed_once_they_have_settled(app: Flask, cast: Cast) -> None:
    with app.app_context():
        with unit_of_work(cast.operator) as session:
            assert audit.seal(session, cast.operator.organization_id) is None
        with clock.at(clock.now() + timedelta(hours=1)):
            seal_audit()
            seal_audit()
        with unit_of_work(cast.operator) as session:
            assert audit.broken_links(session, cast.operator.organization_id) == []
            assert session.scalar(text("SELECT count(*) FROM audit_seals")) == 1


def test_a_row_changed_behind_our_back_breaks_its_link(app: Flask, cast: Cast, test_settings: Settings) -> None:
    with app.app_context():
        with clock.at(clock.now() + timedelta(hours=1)):
            seal_audit()
        engine = create_engine(test_settings.migration_url or "")
        with engine.begin() as owner:
            owner.execute(text("ALTER TABLE audit_events DISABLE TRIGGER append_only"))
            owner.execute(
                text("UPDATE audit_events SET action = 'forged' WHERE organization_id = :o"), {"o": cast.operator.organization_id}
            )
            owner.execute(text("ALTER TABLE audit_events ENABLE TRIGGER append_only"))
        engine.dispose()
        with unit_of_work(cast.operator) as session:
            assert audit.broken_links(session, cast.operator.organization_id) == [1]
