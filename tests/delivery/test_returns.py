"""What comes back through SES and through the generic webhook, over real HTTP: events, suppressions, unknown, pauses."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from secrets import token_hex

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tcma import clock
from tcma.access import Actor, Kind
from tcma.audience import queries as audience_queries
from tcma.audience.models import Suppression
from tcma.audience.states import SuppressionReason, SuppressionScope
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings, use_settings
from tcma.db import db, elevated, unit_of_work
from tcma.delivery import engine, queries, returns, returns_health, services, sns
from tcma.delivery.models import Delivery, Event, LaunchTotals
from tcma.delivery.models_returns import LaunchAlarm, Return
from tcma.delivery.returns_hooks import CERTIFICATES
from tcma.delivery.states import AlarmKind, DeliveryStatus, EventKind
from tcma.records import OutboxMail
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_started, system_of, use_sink
from tests.factories.returns import (
    RETURNS,
    TOPIC,
    Amazon,
    deliveries_of,
    return_path,
    ses,
    ses_bounce,
    ses_complaint,
)
from tests.sinks import SmtpSink

SECRET = b"a secret of the relay, long enough"


class Post:
    """Sends posts of SNS and of another relay to the application, then has them processed."""

    def __init__(self, client: FlaskClient) -> None:
        self.amazon = Amazon()
        self.client = client

    def ses(self, message: dict[str, object], **options: str) -> dict[str, object]:
        post = self.amazon.post(message, **options)
        self.again(post)
        return post

    def again(self, post: dict[str, object]) -> None:
        db.session.expunge_all()  # what a test holds stays readable whatever is rolled back
        answer = self.client.post("/hooks/ses", data=json.dumps(post), content_type="text/plain", base_url=settings().public_origin)
        assert answer.status_code == 200
        returns.process_due()

    def relay(self, body: object, *, key: str = "", secret: bytes = SECRET, moment: int | None = None) -> int:
        raw, key = json.dumps(body).encode(), key or f"msg_{token_hex(8)}"
        stamp = str(moment or round(clock.now().timestamp()))
        signature = base64.b64encode(hmac.digest(secret, f"{key}.{stamp}.".encode() + raw, "sha256")).decode()
        db.session.expunge_all()
        answer = self.client.post(
            "/hooks/bounces", data=raw, content_type="application/json", base_url=settings().public_origin,
            headers={"webhook-id": key, "webhook-timestamp": stamp, "webhook-signature": f"v1,AAAA v1,{signature}"},
        )  # fmt: skip
        returns.process_due()
        return answer.status_code


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        secret = "whsec_" + base64.b64encode(SECRET).decode()
        changes = {"sns_topics": TOPIC, "return_domain": RETURNS, "bounce_webhook_secret": f"whsec_{'A' * 32},{secret}"}
        use_settings(settings().model_copy(update=changes))
        with app.app_context():
            yield server
        use_settings(before)


@pytest.fixture
def post(app: Flask, sink: SmtpSink, client: FlaskClient) -> Iterator[Post]:
    made = Post(client)
    app.extensions[CERTIFICATES] = sns.Certificates(made.amazon.fetch)
    yield made
    app.extensions.pop(CERTIFICATES)


def sent_launch(cast: Cast, *, contacts: int = 3) -> Launch:
    launch = make_started(cast, contacts=contacts)
    engine.run_lane(launch.partner_id, launch.id)
    return launch


def page_of(cast: Cast, actor: Actor, path: str) -> str:
    with cast.app.app_context():  # a request takes over the context that it finds, with who was signed in there
        return cast.client(actor).get(path).get_data(as_text=True)


def set_status(row: Delivery, status: DeliveryStatus, **values: object) -> None:
    with unit_of_work(Actor.system(row.partner_id, Kind.PARTNER)) as session:
        found = session.scalars(select(Delivery).where(Delivery.id == row.id)).one()
        for name, value in {"status": status, **values}.items():
            setattr(found, name, value)


def events_of(launch: Launch, kind: EventKind) -> list[Event]:
    with unit_of_work(system_of(launch)) as session:
        return list(session.scalars(select(Event).where(Event.launch_id == launch.id, Event.kind == kind)))


def totals_of(launch: Launch) -> LaunchTotals:
    with unit_of_work(system_of(launch)) as session:
        row = session.scalars(select(LaunchTotals).where(LaunchTotals.launch_id == launch.id)).one()
        session.refresh(row)
        assert row.planned == row.pending + row.sending + row.sent + row.failed + row.suppressed + row.skipped + row.unknown
        assert queries.totals(session, launch.id).holds
        return row


def refusals(row: Delivery) -> list[tuple[SuppressionScope, SuppressionReason]]:
    with unit_of_work(None) as session, elevated(session, "a test looks at all refusals"):
        found = session.scalars(select(Suppression).where(Suppression.email_key == row.email_key))
        return sorted((one.scope, one.reason) for one in found)


def status_of(launch: Launch) -> LaunchStatus:
    with unit_of_work(system_of(launch)) as session:
        found = campaign_queries.get_launch(session, system_of(launch), launch.id)
        session.refresh(found)
        return found.status


def last_return() -> Return:
    with unit_of_work(None) as session, elevated(session, "a test looks at what was stored"):
        found = session.scalars(select(Return).order_by(Return.id.desc()).limit(1)).one()
        session.refresh(found)
        return found


@pytest.mark.parametrize("key", ["eventType", "notificationType"])
@pytest.mark.parametrize("by", ["header", "tag"])
def test_a_hard_bounce_counts_once_and_suppresses_at_the_partner(post: Post, cast: Cast, key: str, by: str) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    sent = post.ses(ses_bounce(row, key=key, by=by))
    post.again(sent)
    post.ses(ses_bounce(row, key=key, by=by))
    assert len(events_of(launch, EventKind.BOUNCE)) == 1
    assert totals_of(launch).bounced == 1
    assert refusals(row) == [(SuppressionScope.PARTNER, SuppressionReason.BOUNCED)]
    assert deliveries_of(launch)[0].status is DeliveryStatus.SENT


def test_a_suppression_says_who_when_and_why(post: Post, cast: Cast) -> None:
    row = deliveries_of(sent_launch(cast))[0]
    post.ses(ses_bounce(row))
    with unit_of_work(cast.partner_marketer) as session:
        held = audience_queries.suppression_of(session, row.partner_id, row.email_key)
        assert held is not None
        assert held.source == f"hard bounce 5.1.1, delivery {row.id}, by ses"
        assert (held.created_by, held.until) == (None, None)
        assert abs(clock.now() - held.created_at) < timedelta(minutes=1)


def test_a_tag_is_believed_for_its_own_recipient_only(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    rows = deliveries_of(launch)
    post.ses(ses_bounce(rows[0], by="tag", recipient="somebody@else.example"))
    assert last_return().outcome == "unmatched"
    assert (refusals(rows[0]), events_of(launch, EventKind.BOUNCE)) == ([], [])


def test_a_full_mailbox_suppresses_at_the_third_time_and_for_thirty_days(post: Post, cast: Cast) -> None:
    first = sent_launch(cast, contacts=1)
    row = deliveries_of(first)[0]
    post.ses(ses_bounce(row, status="5.2.2", kind="Transient", detail="MailboxFull"))
    assert refusals(row) == []
    more = []
    for _ in range(2):
        launch = sent_launch(cast, contacts=1)
        other = deliveries_of(launch)[0]
        set_status(other, DeliveryStatus.SENT, email_key=row.email_key)
        post.ses(ses_bounce(deliveries_of(launch)[0], status="5.2.2", kind="Transient", detail="MailboxFull"))
        more.append(refusals(row))
    assert more == [[], [(SuppressionScope.PARTNER, SuppressionReason.BOUNCED)]]
    with unit_of_work(cast.partner_marketer) as session:
        held = audience_queries.suppression_of(session, row.partner_id, row.email_key)
        assert held is not None
        assert held.until is not None
        assert timedelta(days=29) < held.until - clock.now() <= timedelta(days=30)
    with later(31 * 24 * 60), unit_of_work(cast.partner_marketer) as session:
        assert audience_queries.suppression_of(session, row.partner_id, row.email_key) is None


def test_an_out_of_office_answer_through_ses_is_no_bounce(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    message = ses_bounce(deliveries_of(launch)[0], status="", kind="Transient")
    post.ses(message)
    assert events_of(launch, EventKind.BOUNCE) == []


def test_a_complaint_suppresses_at_the_partner_and_at_the_vendor_for_good(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    sent = post.ses(ses_complaint(row))
    post.again(sent)
    complained = SuppressionReason.COMPLAINED
    assert refusals(row) == [(SuppressionScope.PARTNER, complained), (SuppressionScope.VENDOR, complained)]
    assert totals_of(launch).complained == 1


def test_who_is_on_the_providers_list_did_not_complain_about_this_mail(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    post.ses(ses_complaint(row, detail="OnAccountSuppressionList"))
    assert totals_of(launch).complained == 0
    assert refusals(row) == [(SuppressionScope.PARTNER, SuppressionReason.COMPLAINED)]


@pytest.mark.parametrize("first", ["delivery", "bounce"])
def test_delivery_and_bounce_may_come_in_any_order(post: Post, cast: Cast, first: str) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    messages = [ses("Delivery", row, smtpResponse="250 2.0.0 OK"), ses_bounce(row)]
    for message in messages if first == "delivery" else messages[::-1]:
        post.ses(message)
    assert deliveries_of(launch)[0].status is DeliveryStatus.SENT
    assert totals_of(launch).bounced == 1


@pytest.mark.parametrize(
    ("kind", "status"),
    [("Delivery", DeliveryStatus.SENT), ("Send", DeliveryStatus.SENT), ("Bounce", DeliveryStatus.FAILED),
     ("Complaint", DeliveryStatus.SENT), ("Reject", DeliveryStatus.FAILED), ("DeliveryDelay", DeliveryStatus.UNKNOWN)],
)  # fmt: skip
def test_an_unknown_delivery_is_settled_by_what_comes_back(
    post: Post, cast: Cast, kind: str, status: DeliveryStatus
) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    set_status(row, DeliveryStatus.UNKNOWN)
    message = {"Bounce": ses_bounce, "Complaint": ses_complaint}.get(kind, lambda one: ses(kind, one))(row)
    post.ses(message)
    assert [one.status for one in deliveries_of(launch)] == [status, DeliveryStatus.SENT, DeliveryStatus.SENT]
    if status is not DeliveryStatus.UNKNOWN:
        assert totals_of(launch).unknown == 0


def test_an_arrival_told_before_the_worker_is_known_to_be_dead_settles_it_later(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    set_status(row, DeliveryStatus.SENDING, worker="gone.1", lease_until=clock.now())
    post.ses(ses("Delivery", row))
    assert (last_return().processed_at, deliveries_of(launch)[0].status) == (None, DeliveryStatus.SENDING)
    set_status(row, DeliveryStatus.UNKNOWN, worker=None, lease_until=None)
    with later(2):
        returns.process_due()
    assert deliveries_of(launch)[0].status is DeliveryStatus.SENT
    assert last_return().outcome == "delivered"


@pytest.mark.parametrize(("kind", "status"), [("bounce", DeliveryStatus.FAILED), ("complaint", DeliveryStatus.SENT)])
def test_what_came_back_before_a_delivery_was_unknown_settles_it(
    post: Post, cast: Cast, kind: str, status: DeliveryStatus
) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    set_status(row, DeliveryStatus.SENDING, worker="gone.1", lease_until=clock.now())
    post.ses({"bounce": ses_bounce, "complaint": ses_complaint}[kind](row))
    assert deliveries_of(launch)[0].status is DeliveryStatus.SENDING
    set_status(row, DeliveryStatus.UNKNOWN, worker=None, lease_until=None)
    returns_health.note_refusals()
    returns_health.recount()
    assert deliveries_of(launch)[0].status is status
    assert totals_of(launch).unknown == 0


def test_a_notification_that_names_no_delivery_is_kept_and_changes_nothing(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    message = ses_bounce(row)
    message["mail"] = {**message["mail"], "headers": [{"name": "List-Unsubscribe", "value": "<https://t.example/u/AAAA>"}]}
    post.ses(message)
    assert last_return().outcome == "unmatched"
    assert (refusals(row), events_of(launch, EventKind.BOUNCE)) == ([], [])


def test_what_cannot_be_read_is_kept_with_its_error(post: Post) -> None:
    post.ses({"something": "else"})
    found = last_return()
    assert (found.outcome, found.error) == ("unreadable", "The message is no notification of SES.")


def test_zero_bytes_and_broken_words_of_a_server_do_no_harm(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    message = ses_bounce(row)
    message["bounce"]["bouncedRecipients"][0]["diagnosticCode"] = "smtp; 550 5.1.1 \0 \ud800 <script>alert(1)</script>"
    post.ses(message)
    page = page_of(cast, cast.partner_marketer, f"/launches/{launch.id}/deliveries/{row.id}")
    assert "the address does not work" in page
    assert "<script>alert(1)" not in page


@pytest.fixture
def sns_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Amazon's API as a real HTTP server, and the deeds that it was asked for."""
    asked: list[str] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append(body)
            answer = (
                b'<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ConfirmSubscriptionResult>'
                b"<SubscriptionArn>arn:aws:sns:eu-central-1:123456789012:ses-events:1</SubscriptionArn>"
                b"</ConfirmSubscriptionResult></ConfirmSubscriptionResponse>"
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_subscription_is_confirmed_by_the_api_and_never_by_its_link(post: Post, sns_server: list[str]) -> None:
    post.ses({}, kind="SubscriptionConfirmation")
    assert len(sns_server) == 1
    assert "Action=ConfirmSubscription" in sns_server[0]
    assert f"Token={'a' * 40}" in sns_server[0]
    assert last_return().processed_at is not None
    assert len(post.amazon.fetched) == 1, "nothing but the certificate was fetched"


# -- pauses -------------------------------------------------------------------------------------------------


def running(cast: Cast, *, contacts: int = 40, sent: int = 30) -> tuple[Launch, list[Delivery]]:
    """A launch of which `sent` mails are out and the rest waits."""
    launch = make_started(cast, contacts=contacts)
    for row in deliveries_of(launch)[:sent]:
        set_status(row, DeliveryStatus.SENT, settled_at=clock.now())
    return launch, deliveries_of(launch)


def mails_to(*organization_ids: object) -> list[OutboxMail]:
    with unit_of_work(None) as session, elevated(session, "a test looks at the outbox"):
        found = session.scalars(select(OutboxMail).where(OutboxMail.organization_id.in_(organization_ids)))
        return [one for one in found if one.template == "launch_paused"]


def test_too_many_bounces_pause_the_launch_and_tell_the_people_concerned(post: Post, cast: Cast) -> None:
    launch, rows = running(cast)
    for row in rows[:2]:
        post.ses(ses_bounce(row))
    assert status_of(launch) is LaunchStatus.SENDING, "two are no pattern"
    post.ses(ses_bounce(rows[2]))
    assert status_of(launch) is LaunchStatus.PAUSED
    told = mails_to(launch.partner_id, launch.vendor_id)
    assert {one.to_address for one in told} == {
        cast.partner_admin.email, cast.partner_marketer.email, cast.channel_manager.email,
    }  # fmt: skip
    assert all("10.0 %" in one.data["reason"] and one.data["mend"] for one in told)
    for viewer in (cast.partner_marketer, cast.channel_manager):
        page = page_of(cast, viewer, f"/launches/{launch.id}")
        assert "The service paused this launch" in page
        assert "Many mails came back: 10.0 %" in page


def test_after_a_resume_only_what_is_new_counts(post: Post, cast: Cast) -> None:
    launch, rows = running(cast)
    for row in rows[:3]:
        post.ses(ses_bounce(row))
    assert status_of(launch) is LaunchStatus.PAUSED
    with unit_of_work(cast.partner_marketer) as session:
        services.resume_launch(session, cast.partner_marketer, launch.id)
    post.ses(ses_bounce(rows[3]))
    assert status_of(launch) is LaunchStatus.SENDING
    assert len(mails_to(launch.partner_id)) == 2


def test_two_complaints_pause_the_launch_and_one_does_not(post: Post, cast: Cast) -> None:
    launch, rows = running(cast)
    post.ses(ses_complaint(rows[0]))
    assert status_of(launch) is LaunchStatus.SENDING
    post.ses(ses_complaint(rows[1]))
    assert status_of(launch) is LaunchStatus.PAUSED


def test_a_small_launch_is_not_stopped_by_a_few_wrong_addresses(post: Post, cast: Cast) -> None:
    launch, rows = running(cast, contacts=20, sent=19)
    for row in rows[:4]:
        post.ses(ses_bounce(row))
    assert status_of(launch) is LaunchStatus.SENDING


def test_a_refusal_about_us_pauses_at_once_and_suppresses_nobody(post: Post, cast: Cast) -> None:
    launch, rows = running(cast, contacts=5, sent=2)
    post.ses(ses_bounce(rows[0], status="5.7.26"))
    assert status_of(launch) is LaunchStatus.PAUSED
    assert refusals(rows[0]) == []
    with unit_of_work(system_of(launch)) as session:
        alarm = session.scalars(select(LaunchAlarm).where(LaunchAlarm.launch_id == launch.id)).one()
        assert alarm.kind is AlarmKind.ABOUT_US
        assert "5.7.26" in alarm.detail


def test_a_refusal_while_sending_is_treated_like_a_bounce(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=4)
    rows = deliveries_of(launch)
    sink.manners.rcpt[rows[0].address] = "550 5.1.1 no such user"
    sink.manners.rcpt[rows[1].address] = "552 5.2.2 mailbox full"
    engine.run_lane(launch.partner_id, launch.id)
    assert returns_health.note_refusals() >= 2
    returns_health.note_refusals()
    returns.process_due()
    assert [refusals(one) for one in rows] == [[(SuppressionScope.PARTNER, SuppressionReason.BOUNCED)], [], [], []]
    assert len(events_of(launch, EventKind.BOUNCE)) == 2
    assert totals_of(launch).bounced == 2


# -- the webhook of another relay ----------------------------------------------------------------------------


def test_a_signed_event_of_another_relay_counts_once(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    rows = deliveries_of(launch)
    body = {"events": [
        {"type": "bounce", "return_path": return_path(rows[0]), "status": "5.1.1"},
        {"type": "complaint", "return_path": return_path(rows[1])},
    ]}  # fmt: skip
    key = f"msg_{token_hex(8)}"
    assert [post.relay(body, key=key), post.relay(body, key=key)] == [200, 200]
    assert (totals_of(launch).bounced, totals_of(launch).complained) == (1, 1)
    assert last_return().outcome == "complaint,hard"


def test_a_forged_event_is_refused_and_a_forged_return_path_changes_nothing(post: Post, cast: Cast) -> None:
    launch = sent_launch(cast)
    rows = deliveries_of(launch)
    body = {"type": "bounce", "return_path": return_path(rows[0]), "status": "5.1.1"}
    assert post.relay(body, secret=b"another secret, just as long as it") == 403
    assert post.relay(body, moment=round(clock.now().timestamp()) - 400) == 403
    real = return_path(rows[0])
    for number, forged in enumerate((real[:-20] + "aa" + real[-18:], "b-aaaaaaaaaaaaaaaaaaaa@returns.example.com", real[:12], "")):
        assert post.relay({**body, "return_path": forged}, key=f"forged_{number}_{token_hex(8)}") == 200
    assert events_of(launch, EventKind.BOUNCE) == []
    assert refusals(rows[0]) == []


@pytest.mark.parametrize("body", [[], {"events": []}, {"type": "other"}, {"events": [1]}, "x"])
def test_an_event_that_is_none_is_kept_with_its_error(post: Post, body: object) -> None:
    assert post.relay(body) == 200
    assert last_return().outcome == "unreadable"


def test_without_a_secret_there_is_no_such_page(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        assert client.post("/hooks/bounces", data="{}", base_url=settings().public_origin).status_code == 404


# -- the rows themselves ----------------------------------------------------------------------------------------


def test_a_failure_of_ours_is_tried_again_and_loses_nothing(
    post: Post, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = sent_launch(cast)
    row = deliveries_of(launch)[0]
    with monkeypatch.context() as broken:
        broken.setattr(returns, "delivery_of", lambda text: 1 // 0)
        post.ses(ses_bounce(row))
    assert last_return().processed_at is None
    assert "ZeroDivisionError" in (last_return().error or "")
    returns.process_due()
    assert totals_of(launch).bounced == 0, "not before its time"
    with later(2):
        returns.process_due()
    assert totals_of(launch).bounced == 1


def test_bodies_go_after_a_month_and_with_an_erasure(post: Post, cast: Cast) -> None:
    from tcma.audience import services as audience_services

    launch = sent_launch(cast)
    rows = deliveries_of(launch)
    post.ses(ses_bounce(rows[0]))
    assert last_return().delivery_id == rows[0].id
    with unit_of_work(cast.partner_marketer) as session:
        audience_services.erase_contact(session, cast.partner_marketer, rows[0].contact_id)
    assert last_return().body == b""
    post.ses(ses_bounce(rows[1]))
    assert last_return().body != b""
    with later(31 * 24 * 60):
        assert returns.forget_bodies() >= 1
    assert (last_return().body, last_return().outcome) == (b"", "hard")


def test_no_tenant_sees_what_is_stored(post: Post, cast: Cast) -> None:
    post.ses({"eventType": "Send", "mail": {}})
    for actor in (cast.partner_admin, cast.vendor_admin, cast.operator):
        with unit_of_work(actor) as session:
            assert session.scalars(select(Return)).all() == []


def test_metrics_count_what_came_back_by_kind(post: Post, cast: Cast, client: FlaskClient) -> None:
    row = deliveries_of(sent_launch(cast))[0]
    post.ses(ses_bounce(row))
    client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    page = client.get("/metrics", base_url=settings().public_origin).get_data(as_text=True)
    line = next(one for one in page.splitlines() if one.startswith('tcma_returns_total{outcome="hard",source="ses"}'))
    assert float(line.rpartition(" ")[2]) >= 1
    assert "tcma_returns_waiting " in page
