"""What delivery does when something happens in an earlier room, and what sweeps find."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tcma import clock, events
from tcma.accounts.models import Partnership
from tcma.audience import services as audience_services
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns import services as campaign_services
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, planning, queries, recovery, services
from tcma.delivery.models import Delivery
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tcma.errors import Forbidden
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_campaign, make_draft, make_started, system_of, use_sink
from tests.sinks import SmtpSink


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def totals_of(launch: Launch) -> Totals:
    with unit_of_work(system_of(launch)) as session:
        return queries.totals(session, launch.id)


def status_of(launch: Launch) -> LaunchStatus:
    with unit_of_work(system_of(launch)) as session:
        found = campaign_queries.get_launch(session, system_of(launch), launch.id)
        session.refresh(found)
        return found.status


def test_a_suppressed_contact_leaves_every_pending_launch(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    with unit_of_work(cast.partner_marketer) as session:
        row = queries.list_deliveries(session, cast.partner_marketer, launch.id)[0]
        audience_services.suppress_contact(session, cast.partner_marketer, row.contact_id)
    assert totals_of(launch) == Totals(planned=3, pending=2, suppressed=1)


def test_erasure_leaves_the_count_and_takes_the_address(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=2)
    engine.run_lane(launch.partner_id, launch.id)
    with unit_of_work(cast.partner_marketer) as session:
        row = queries.list_deliveries(session, cast.partner_marketer, launch.id)[0]
        audience_services.erase_contact(session, cast.partner_marketer, row.contact_id)
        number = row.id
    assert totals_of(launch) == Totals(planned=2, sent=2)
    with unit_of_work(system_of(launch)) as session:
        found = session.scalars(select(Delivery).where(Delivery.id == number)).one()
        session.refresh(found)
        assert found.address == ""
        assert found.email_key != b""


def test_a_recalled_campaign_stops_what_is_under_way(sink: SmtpSink, cast: Cast) -> None:
    campaign = make_campaign(cast.vendor_marketer)
    draft = make_draft(cast, campaign=campaign)
    sending = make_started(cast, contacts=2, campaign=campaign)
    with unit_of_work(cast.vendor_admin) as session:
        campaign_services.recall_campaign(session, cast.vendor_admin, campaign.id, reason="The price was wrong.")
    assert status_of(draft) is LaunchStatus.CANCELLED
    assert status_of(sending) is LaunchStatus.PAUSED
    engine.run_lane(sending.partner_id, sending.id)
    assert sink.accepted == []
    with pytest.raises(Forbidden, match="taken this campaign back"), unit_of_work(cast.partner_marketer) as session:
        services.resume_launch(session, cast.partner_marketer, sending.id)


def test_a_suspended_partnership_pauses_its_launches_only(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=2)
    with unit_of_work(cast.vendor_admin) as session:
        found = session.scalars(select(Partnership).where(Partnership.partner_id == launch.partner_id)).first()
        assert found is not None
        events.publish(session, cast.vendor_admin, events.PartnershipSuspended(launch.vendor_id, launch.partner_id))
    assert status_of(launch) is LaunchStatus.PAUSED


def test_the_sweep_starts_what_is_due_and_only_then(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=2)
    with unit_of_work(cast.partner_marketer) as session:
        services.schedule_launch(session, cast.partner_marketer, launch.id, at=clock.now() + timedelta(minutes=30))
    mine = (launch.partner_id, launch.id)
    with unit_of_work(None) as session:
        assert mine not in recovery.due_work(session)["start"]
    with later(31):
        with unit_of_work(None) as session:
            assert mine in recovery.due_work(session)["start"]
        with unit_of_work(system_of(launch)) as session:
            services.start_scheduled(session, system_of(launch), launch.id)
        with unit_of_work(None) as session:
            assert mine in recovery.due_work(session)["plan"]
        with unit_of_work(system_of(launch)) as session:
            planning.plan_launch(session, system_of(launch), launch.id)
        with unit_of_work(None) as session:
            assert mine in recovery.due_work(session)["send"]
        engine.run_lane(launch.partner_id, launch.id)
    assert status_of(launch) is LaunchStatus.FINISHED


def test_a_scheduled_launch_that_fails_its_checks_is_a_draft_again(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=1)
    actor = cast.partner_marketer
    with unit_of_work(actor) as session:
        services.schedule_launch(session, actor, launch.id, at=clock.now() + timedelta(minutes=30))
    with unit_of_work(actor) as session:
        found = campaign_queries.get_launch(session, actor, launch.id)
        found.audience = {"lists": [], "exclude_lists": []}
    with later(31), unit_of_work(system_of(launch)) as session:
        services.start_scheduled(session, system_of(launch), launch.id)
    assert status_of(launch) is LaunchStatus.DRAFT


def test_an_expired_lease_without_a_journal_is_unknown(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    with unit_of_work(system_of(launch)) as session:
        row = queries.list_deliveries(session, system_of(launch), launch.id)[0]
        row.status, row.worker = DeliveryStatus.SENDING, "another-machine.1"
        row.lease_until = clock.now() + timedelta(minutes=10)
    recovery.recover()
    assert totals_of(launch).sending == 1, "its machine may come back and knows better"
    with later(60):
        assert recovery.recover() >= 1
    assert totals_of(launch) == Totals(planned=3, pending=2, unknown=1)
