"""How fast, how often and when: limits hold over lanes, and nothing that waits is lost or spends an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from tcma import clock
from tcma.audience.models import Contact
from tcma.campaigns import launches
from tcma.campaigns.models import Launch
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, pacing, preflight, queries, services
from tcma.delivery.claiming import Desk
from tcma.delivery.models import Delivery
from tcma.delivery.models_pacing import ProviderBreaker
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tcma.delivery.windows import Window
from tcma.errors import Forbidden, IllegalTransition, Invalid
from tests.factories.cast import Cast
from tests.factories.delivery import make_contacts, make_draft, make_started, plan, system_of
from tests.sinks import Manners, SmtpSink

MONDAY = datetime(2026, 11, 23, 20, tzinfo=UTC)
OFFICE = Window(time(8), time(18), frozenset({1, 2, 3, 4, 5}))


def totals_of(launch: Launch) -> Totals:
    with unit_of_work(system_of(launch)) as session:
        return queries.totals(session, launch.id)


def rows_of(launch: Launch) -> list[Delivery]:
    with unit_of_work(system_of(launch)) as session:
        return list(
            session.scalars(
                select(Delivery).where(Delivery.launch_id == launch.id).order_by(Delivery.contact_id),
                execution_options={"populate_existing": True},
            )
        )


def run(launch: Launch) -> engine.LaneReport:
    return engine.run_lane(launch.partner_id, launch.id, seconds=30)


def start(cast: Cast, launch: Launch) -> None:
    with unit_of_work(cast.partner_marketer) as session:
        services.start_launch(session, cast.partner_marketer, launch.id)
    plan(launch)


def test_a_receiving_domain_gets_no_more_than_its_share(sink: SmtpSink, cast: Cast) -> None:
    use_settings(settings().model_copy(update={"domain_limits": {"*": 60}}))
    with clock.at(MONDAY):
        launch = make_started(cast, contacts=25)
        assert run(launch).sent == 10
        waiting = [one for one in rows_of(launch) if one.status is DeliveryStatus.PENDING]
        assert {one.attempts for one in waiting} == {0}
        assert min(one.due_at for one in waiting) > MONDAY
    with clock.at(MONDAY + timedelta(seconds=11)):
        assert run(launch).sent == 10
    with clock.at(MONDAY + timedelta(minutes=1)):
        assert run(launch).sent == 5
    assert totals_of(launch) == Totals(planned=25, sent=25)


def test_one_sender_keeps_its_rate_over_all_its_launches(sink: SmtpSink, cast: Cast) -> None:
    use_settings(settings().model_copy(update={"sender_limit": 60}))
    with clock.at(MONDAY):
        first, second = make_started(cast, contacts=8), make_started(cast, contacts=8)
        assert (run(first).sent, run(second).sent) == (8, 2)


def test_mail_arrives_in_the_recipients_hours(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=3)
    actor = cast.partner_marketer
    with unit_of_work(actor) as session:
        mine = session.scalars(
            select(Contact.id).where(Contact.partner_id == actor.organization_id).order_by(Contact.id)
        ).all()
        for contact_id, country in zip(mine, ("DE", "US", "JP"), strict=True):
            session.execute(update(Contact).where(Contact.id == contact_id).values(country=country))
        pacing.save_pace(session, actor, launch.id, window=OFFICE, late_hours=None)
    with clock.at(MONDAY):
        # 21:00 in Berlin, 15:00 in New York, 05:00 on Tuesday in Tokyo.
        start(cast, launch)
        assert run(launch).sent == 1
        assert [one.due_at for one in rows_of(launch)] == [
            datetime(2026, 11, 24, 7, tzinfo=UTC), MONDAY, datetime(2026, 11, 23, 23, tzinfo=UTC),
        ]  # fmt: skip
    with clock.at(MONDAY + timedelta(hours=4)):
        assert run(launch).sent == 1
    # A service that slept until the evening waits for the morning after.
    with clock.at(MONDAY + timedelta(hours=24)):
        assert run(launch).sent == 0
        assert rows_of(launch)[0].due_at == datetime(2026, 11, 25, 7, tzinfo=UTC)
    with clock.at(MONDAY + timedelta(hours=36)):
        assert run(launch).sent == 1
    assert totals_of(launch) == Totals(planned=3, sent=3)


def test_what_is_late_is_left_out_and_said_so(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=2)
    with unit_of_work(cast.partner_marketer) as session:
        pacing.save_pace(session, cast.partner_marketer, launch.id, window=None, late_hours=6)
    with clock.at(MONDAY):
        start(cast, launch)
    with clock.at(MONDAY + timedelta(hours=7)):
        assert run(launch).sent == 0
    assert totals_of(launch) == Totals(planned=2, skipped=2)
    assert {one.reason for one in rows_of(launch)} == {"late"}


def test_nobody_gets_more_than_the_partner_allows_over_its_campaigns(sink: SmtpSink, cast: Cast) -> None:
    actor = cast.partner_marketer
    with unit_of_work(actor) as session:
        pacing.save_cap(session, actor, mails=1, days=7)
    with clock.at(MONDAY):
        first = make_started(cast, contacts=2)
        others = make_contacts(actor, 1, name="Others")
        with unit_of_work(actor) as session:
            again = launches.create_launch(session, actor, first.campaign_id)
            lists = session.get_one(Launch, first.id).audience["lists"]
            chosen = [*(UUID(one) for one in lists), others.id]
            launches.save_audience(session, actor, again.id, lists=chosen, exclude_lists=[])
            enough = [one for one in preflight.preflight(session, actor, again.id) if one.code == "audience"]
        assert "2 had as many mails lately as you allow" in enough[0].detail
        start(cast, again)
        # What is pending counts too: two launches at once write once.
        assert totals_of(again) == Totals(planned=3, pending=1, skipped=2)
        assert {one.reason for one in rows_of(again)} == {"capped", None}
        run(first)
    with clock.at(MONDAY + timedelta(days=8)):
        with unit_of_work(actor) as session:
            third = launches.create_launch(session, actor, first.campaign_id)
            launches.save_audience(session, actor, third.id, lists=[UUID(one) for one in lists], exclude_lists=[])
        start(cast, third)
        assert totals_of(third) == Totals(planned=2, pending=2)


def test_a_provider_in_trouble_rests_for_all_lanes_and_longer_each_time(sink: SmtpSink, cast: Cast) -> None:
    with clock.at(MONDAY):
        launch = make_started(cast, contacts=3)
        sink.manners.banner = "421 4.3.2 closed for now"
        assert run(launch).sent == 0
        with unit_of_work(system_of(launch)) as session:
            first = pacing.shut_until(session, pacing.provider_name())
        assert first == MONDAY + pacing.FIRST_PAUSE
        # Another lane does not even try.
        tried = sink.connections
        assert run(launch).sent == 0
        assert sink.connections == tried
    with clock.at(MONDAY + timedelta(seconds=31)):
        assert run(launch).sent == 0
        with unit_of_work(system_of(launch)) as session:
            again = pacing.shut_until(session, pacing.provider_name())
        assert again == clock.now() + 2 * pacing.FIRST_PAUSE
    sink.manners.banner = Manners().banner
    with clock.at(MONDAY + timedelta(minutes=3)):
        assert run(launch).sent == 3
        with unit_of_work(system_of(launch)) as session:
            assert session.get(ProviderBreaker, pacing.provider_name(), populate_existing=True) is None
    assert {one.attempts for one in rows_of(launch)} == {1}


def test_a_lane_more_than_the_server_takes_opens_no_breaker(sink: SmtpSink, cast: Cast) -> None:
    with clock.at(MONDAY):
        elsewhere = make_started(cast, contacts=2)
        busy = Desk(system_of(elsewhere), elsewhere.id, "another.lane")
        held, _ = busy.claim()
        assert len(held) == 2
        launch = make_started(cast, contacts=3)
        sink.manners.banner = "421 4.7.0 too many connections"
        assert run(launch).sent == 0
        assert totals_of(launch) == Totals(planned=3, pending=3)
        with unit_of_work(system_of(launch)) as session:
            assert pacing.shut_until(session, pacing.provider_name()) is None
    # Whoever held those rows is gone, and nobody is let in any more.
    with clock.at(MONDAY + busy.lease + timedelta(seconds=1)):
        assert run(launch).sent == 0
        with unit_of_work(system_of(launch)) as session:
            assert pacing.shut_until(session, pacing.provider_name()) is not None
    assert {one.attempts for one in rows_of(launch)} == {0}
    busy.record([], release=held)


def test_only_the_partner_and_only_before_the_start_sets_the_hours(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=1)
    with pytest.raises(Forbidden), unit_of_work(cast.vendor_marketer) as session:
        pacing.save_pace(session, cast.vendor_marketer, launch.id, window=OFFICE, late_hours=None)
    with pytest.raises(Invalid), unit_of_work(cast.partner_marketer) as session:
        pacing.save_pace(session, cast.partner_marketer, launch.id, window=None, late_hours=100_000)
    start(cast, launch)
    with pytest.raises(IllegalTransition), unit_of_work(cast.partner_marketer) as session:
        pacing.save_pace(session, cast.partner_marketer, launch.id, window=OFFICE, late_hours=None)
