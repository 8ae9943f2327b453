"""A launch sent end to end to a real SMTP server."""

from __future__ import annotations

import email
import email.policy

from sqlalchemy import select

from tcma.audience import services as audience_services
from tcma.audience.models import Contact
from tcma.audience.states import SuppressionReason
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import use_settings
from tcma.db import bind, db, unit_of_work
from tcma.delivery import engine, queries, services
from tcma.delivery.composing import Composer
from tcma.delivery.models import Delivery
from tcma.delivery.queries import Totals
from tcma.delivery.states import DeliveryStatus
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_draft, make_started, plan, system_of, use_sink
from tests.sinks import Manners, SmtpSink


def totals_of(launch: Launch) -> Totals:
    with unit_of_work(system_of(launch)) as session:
        return queries.totals(session, launch.id)


def deliveries_of(launch: Launch) -> list[Delivery]:
    with unit_of_work(system_of(launch)) as session:
        found = list(session.scalars(select(Delivery).where(Delivery.launch_id == launch.id).order_by(Delivery.id)))
        for one in found:
            session.refresh(one)
    return found


def status_of(launch: Launch) -> LaunchStatus:
    with unit_of_work(system_of(launch)) as session:
        found = campaign_queries.get_launch(session, system_of(launch), launch.id)
        session.refresh(found)
        return found.status


def run(launch: Launch) -> engine.LaneReport:
    return engine.run_lane(launch.partner_id, launch.id, seconds=30)


def test_a_launch_goes_out_whole_and_is_finished(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=5)
    assert totals_of(launch) == Totals(planned=5, pending=5)
    assert run(launch).sent == 5
    counted = totals_of(launch)
    assert counted == Totals(planned=5, sent=5)
    assert counted.holds
    assert status_of(launch) is LaunchStatus.FINISHED
    assert sorted(one.recipient for one in sink.accepted) == sorted(one.address for one in deliveries_of(launch))


def test_the_mail_carries_what_receivers_ask_for(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=1)
    run(launch)
    raw = sink.accepted[0].data
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail.defects == []
    assert mail["List-Unsubscribe"].startswith("<http://127.0.0.1:8000/u/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"]
    assert mail["Feedback-ID"].count(":") == 3
    assert mail["Reply-To"] == "hello@acme.example"
    assert "via" in mail["From"]
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    assert "Hafenstraße 12" in text
    assert "Person0" in html
    assert "/r/" in html
    assert "/o/" in html
    assert "/u/" in html


def test_composing_a_delivery_again_gives_the_same_message_id(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=1)
    run(launch)
    sent = sink.accepted[0].message_id
    row = deliveries_of(launch)[0]
    with unit_of_work(system_of(launch)) as session:
        found = campaign_queries.get_launch(session, system_of(launch), launch.id)
        data = Composer.of_launch(session, found).message(row.id, row.address, {"email": row.address})
    assert sent.encode() in data


def test_refusals_are_rows_with_their_reason(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=3)
    actor = cast.partner_marketer
    with unit_of_work(actor) as session:
        first = session.scalars(select(Contact).where(Contact.partner_id == actor.organization_id)).first()
        assert first is not None
        audience_services.suppress_contact(session, actor, first.id)
        services.start_launch(session, actor, launch.id)
    plan(launch)
    assert totals_of(launch) == Totals(planned=3, pending=2, suppressed=1)
    run(launch)
    assert totals_of(launch) == Totals(planned=3, sent=2, suppressed=1)
    assert [one.reason for one in deliveries_of(launch) if one.status is DeliveryStatus.SUPPRESSED] == [
        "suppressed_partner"
    ]


def test_whoever_unsubscribes_between_planning_and_sending_gets_nothing(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    row = deliveries_of(launch)[1]
    with unit_of_work(cast.partner_marketer) as session:
        audience_services.suppress(
            session, cast.partner_marketer, partner_id=launch.partner_id, email_key=row.email_key,
            reason=SuppressionReason.UNSUBSCRIBED, source="one-click",
        )  # fmt: skip
    run(launch)
    assert row.address not in {one.recipient for one in sink.accepted}
    assert totals_of(launch) == Totals(planned=3, sent=2, suppressed=1)


def test_a_refusal_for_good_is_failed_with_its_code(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    bad = deliveries_of(launch)[0].address
    sink.manners.rcpt[bad] = "550 5.1.1 no such user"
    run(launch)
    failed = [one for one in deliveries_of(launch) if one.status is DeliveryStatus.FAILED]
    assert [(one.address, one.code, one.reason) for one in failed] == [(bad, 550, "5.1.1")]
    assert totals_of(launch) == Totals(planned=3, sent=2, failed=1)


def test_a_refusal_for_now_is_tried_again_later(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=2)
    slow = deliveries_of(launch)[0].address
    sink.manners.rcpt[slow] = "451 4.7.1 come back later"
    sink.manners.refuse_times = 1
    run(launch)
    assert totals_of(launch) == Totals(planned=2, sent=1, pending=1)
    assert status_of(launch) is LaunchStatus.SENDING
    run(launch)
    assert totals_of(launch).pending == 1, "not before its time"
    with later(5):
        run(launch)
    assert totals_of(launch) == Totals(planned=2, sent=2)
    assert status_of(launch) is LaunchStatus.FINISHED


def test_a_connection_lost_after_the_dot_is_unknown_and_never_sent_again(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=4)
    cut = deliveries_of(launch)[1].address
    sink.manners.cut_after_dot.add(cut)
    run(launch)
    with later(120):
        run(launch)
    assert totals_of(launch) == Totals(planned=4, sent=3, unknown=1)
    assert [one.recipient for one in sink.accepted].count(cut) == 1


def test_a_connection_lost_before_the_dot_is_tried_again(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    cut = deliveries_of(launch)[1].address
    sink.manners.data[cut] = "421 4.3.2 going down"
    sink.manners.refuse_times = 1
    run(launch)
    assert totals_of(launch).pending >= 1
    with later(10):
        run(launch)
    assert totals_of(launch) == Totals(planned=3, sent=3)


def test_a_provider_that_is_away_spends_no_attempt(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=2)
    before = use_sink("smtp://127.0.0.1:9?timeout=1")
    run(launch)
    use_settings(before)
    assert totals_of(launch) == Totals(planned=2, pending=2)
    assert {one.attempts for one in deliveries_of(launch)} == {0}
    with later(2):
        run(launch)
    assert totals_of(launch) == Totals(planned=2, sent=2)


def test_a_paused_launch_hands_over_nothing_until_it_is_resumed(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    with unit_of_work(cast.partner_marketer) as session:
        services.pause_launch(session, cast.partner_marketer, launch.id)
    run(launch)
    assert sink.accepted == []
    with unit_of_work(cast.partner_marketer) as session:
        services.resume_launch(session, cast.partner_marketer, launch.id)
    run(launch)
    assert totals_of(launch) == Totals(planned=3, sent=3)


def test_cancelling_skips_what_is_pending_and_keeps_the_sum(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    with unit_of_work(cast.partner_marketer) as session:
        services.cancel_launch(session, cast.partner_marketer, launch.id, reason="Wrong list.")
    run(launch)
    assert totals_of(launch) == Totals(planned=3, skipped=3)
    assert sink.accepted == []
    assert status_of(launch) is LaunchStatus.CANCELLED


def test_a_test_mail_stands_outside_the_accounting(sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast, contacts=1)
    with unit_of_work(cast.partner_marketer) as session:
        made = services.send_test(session, cast.partner_marketer, launch.id, address="me@acme.example")
    assert made.status == "sent"
    assert [one.recipient for one in sink.accepted] == ["me@acme.example"]
    assert b"[Test]" in sink.accepted[0].data
    assert totals_of(launch) == Totals()


def test_the_vendor_sees_the_totals_and_no_delivery(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    run(launch)
    bind(db.session, cast.vendor_marketer)
    seen = campaign_queries.get_launch(db.session, cast.vendor_marketer, launch.id)
    assert queries.shown_totals(db.session, cast.vendor_marketer, seen) == Totals(planned=3, sent=3)
    assert db.session.scalars(select(Delivery).where(Delivery.launch_id == launch.id)).all() == []


def test_goodbyes_of_the_server_lose_nothing(sink: SmtpSink, cast: Cast) -> None:
    sink.manners.goodbye_after = 2
    launch = make_started(cast, contacts=7)
    for minute in range(6):
        with later(minute):
            run(launch)
    assert totals_of(launch) == Totals(planned=7, sent=7)
    assert len({one.recipient for one in sink.accepted}) == len(sink.accepted) == 7


def test_manners_default_to_good(sink: SmtpSink) -> None:
    assert sink.manners == Manners()
