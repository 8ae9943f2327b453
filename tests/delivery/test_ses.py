"""Amazon SES: over HTTP against moto, and against a server of ours that misbehaves as SES may."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from flask import Flask
from moto.server import ThreadedMotoServer
from sqlalchemy import select

from tcma import doctor, outbox
from tcma.campaigns.models import Launch
from tcma.config import Settings, settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, senders, services, ses
from tcma.delivery.models import Delivery
from tcma.delivery.reply import Envelope, Outgoing, Reply, ReplyKind, Stage
from tcma.delivery.senders_states import SenderStatus
from tcma.delivery.ses import SesTarget, SesTransport
from tcma.delivery.smtp import SmtpConnection
from tcma.delivery.smtp_target import SmtpRefused, SmtpUnavailable
from tcma.delivery.transport import Transport, transport_for
from tcma.errors import Invalid
from tcma.mail import post
from tests.dns_server import DnsServer
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_draft, make_started, system_of
from tests.factories.senders import check, find, findings, keys_of, make_sender, publish, use_dns

MAIL = b"Message-ID: <d42.abc@tcma.example>\r\nFrom: n@acme.example\r\nTo: a@b.example\r\nSubject: hi\r\n\r\nh\xc3\xa9llo\r\n"


@dataclass
class Told:
    """One request as it came."""

    method: str
    path: str
    body: dict[str, Any]


@dataclass
class FakeSes:
    """Answers requests of the SES v2 API by `script`, one entry each, then with `ok`.

    An entry is (status, code, words), "hang up" (after the request was read), or "silence".
    """

    script: list[tuple[int, str, str] | str] = field(default_factory=list)
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [one.body for one in self.told if one.path == "/v2/email/outbound-emails"]

    def answer(self, one: Told) -> tuple[int, dict[str, Any], str]:
        """(status, body, error type)"""
        name = one.path.removeprefix("/v2/email/identities/").partition("/")[0]
        if one.path == "/v2/email/account":
            return 200, self.account, ""
        if one.path == "/v2/email/identities":
            key = one.body["DkimSigningAttributes"]["DomainSigningSelector"]
            self.identities[one.body["EmailIdentity"]] = _identity(key, verified=False)
            return 200, self.identities[one.body["EmailIdentity"]], ""
        if one.path.endswith("/dkim/signing"):
            assert one.body["SigningAttributesOrigin"] == "EXTERNAL"
            self.identities[name] = _identity(one.body["SigningAttributes"]["DomainSigningSelector"], verified=True)
            return 200, {}, ""
        if one.path.startswith("/v2/email/identities/"):
            found = self.identities.get(name)
            return (200, found, "") if found else (404, {"message": "no such identity"}, "NotFoundException")
        return 200, {"MessageId": f"ses-{len(self.sent)}"}, ""


def _identity(selector: str, *, verified: bool) -> dict[str, Any]:
    return {"VerifiedForSendingStatus": verified, "DkimAttributes": {"Tokens": [selector], "Status": "PENDING"}}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def amazon(credentials: None) -> Iterator[FakeSes]:
    fake = FakeSes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            one = Told(self.command, self.path, json.loads(raw) if raw else {})
            fake.told.append(one)
            entry = fake.script.pop(0) if fake.script else None
            if entry == "hang up":
                self.close_connection = True
                return
            if entry == "silence":
                fake.done.wait(10)
                self.close_connection = True
                return
            if isinstance(entry, tuple):
                status, kind, words = entry
                body: dict[str, Any] = {"message": words}
            else:
                status, body, kind = fake.answer(one)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if kind:
                self.send_header("x-amzn-ErrorType", kind)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = handle_one

        def log_message(self, *args: object) -> None:
            """The test's own assertions say what happened."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    fake.done.set()
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def conf_of(url: str, **changes: object) -> Settings:
    return Settings(_env_file=None, ses_region="eu-central-1", ses_endpoint=url, **changes)


def opened(url: str, *, tags: dict[str, str] | None = None, seconds: float = 5.0, **changes: object) -> SesTransport:
    target = SesTarget(connect_timeout=2.0, answer_timeout=seconds)
    transport = SesTransport(conf_of(url, **changes), tags=tags or {}, target=target)
    transport.connect()
    return transport


def send(transport: Transport, recipient: str = "a@b.example", data: bytes = MAIL) -> tuple[Reply, int]:
    """(reply, how often `before_dot` was called)"""
    dots: list[None] = []
    reply = transport.send(Outgoing(Envelope("back@tcma.example", recipient), data, lambda: dots.append(None)))
    return reply, len(dots)


# -- moto ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_mail_goes_out_through_ses_and_its_id_is_kept(credentials: None, moto: str) -> None:
    api = boto3.client("sesv2", region_name="eu-central-1", endpoint_url=moto)
    api.create_email_identity(EmailIdentity="acme.example")
    api.close()
    transport = opened(moto, tags={"launch": "x"})
    assert transport.is_open
    for _ in range(3):
        reply, dots = send(transport)
        assert (reply.kind, reply.code, dots) == (ReplyKind.SENT, 250, 1)
        assert len(reply.text) > 20
    transport.close()
    assert not transport.is_open


def test_a_sender_that_ses_does_not_know_is_refused_by_it(credentials: None, moto: str) -> None:
    transport = opened(moto)
    reply, _ = send(transport, data=MAIL.replace(b"n@acme.example", b"n@nobody.example"))
    transport.close()
    assert (reply.kind, reply.code) == (ReplyKind.FAILED, 554)
    assert "MessageRejected" in reply.text


def test_a_new_domain_is_registered_with_our_key_and_waits_for_ses(credentials: None, moto: str) -> None:
    found = ses.register_domain(conf_of(moto), "fresh.example", selector="tcma-1", private_key="QUJD")
    assert (found.verdict, found.code) == ("fail", "ses")
    assert "Check again" in found.mend


# -- what goes over the wire --------------------------------------------------------------------------


def test_a_mail_carries_its_tags_and_configuration_set_and_its_bytes_as_they_are(amazon: FakeSes) -> None:
    transport = opened(amazon.url, tags={"launch": "l 1", "partner": "p1"}, ses_configuration_set="events")
    reply, _ = send(transport, "zoe@müller.example")
    transport.close()
    assert (reply.kind, reply.text) == (ReplyKind.SENT, "ses-1")
    (body,) = amazon.sent
    assert body["Destination"] == {"ToAddresses": ["zoe@xn--mller-kva.example"]}
    assert base64.b64decode(body["Content"]["Raw"]["Data"]) == MAIL
    assert body["ConfigurationSetName"] == "events"
    assert {one["Name"]: one["Value"] for one in body["EmailTags"]} == {
        "launch": "l-1", "partner": "p1", "delivery": "42",
    }  # fmt: skip


def test_a_mail_without_number_has_no_delivery_tag(amazon: FakeSes) -> None:
    transport = opened(amazon.url)
    send(transport, data=MAIL.replace(b"<d42.", b"<t42.") + b"Message-ID: <d9.x@y>\r\n")
    transport.close()
    assert "EmailTags" not in amazon.sent[0]
    assert "ConfigurationSetName" not in amazon.sent[0]


@pytest.mark.parametrize(("address", "status"), [("jösé@b.example", "5.6.7"), ("nobody", "5.1.3")])
def test_an_address_that_ses_cannot_take_is_refused_before_anything_is_asked(
    amazon: FakeSes, address: str, status: str
) -> None:
    transport = opened(amazon.url)
    reply, dots = send(transport, address)
    transport.close()
    assert (reply.kind, reply.enhanced, dots, amazon.told) == (ReplyKind.FAILED, status, 0, [])


# -- trouble ------------------------------------------------------------------------------------------


def test_throttling_is_waited_out_and_the_mail_goes_once(amazon: FakeSes) -> None:
    amazon.script = [(429, "TooManyRequestsException", "Maximum sending rate exceeded.")] * 2
    transport = opened(amazon.url)
    reply, dots = send(transport)
    transport.close()
    assert (reply.kind, dots, len(amazon.sent)) == (ReplyKind.SENT, 1, 3)


def test_throttling_that_lasts_defers_without_spending_a_try_and_rests(
    amazon: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcma.delivery.ses._WAITS", (0.01, 0.01))
    amazon.script = [(400, "ThrottlingException", "Rate exceeded")] * 3
    transport = opened(amazon.url)
    reply, _ = send(transport)
    assert (reply.kind, reply.code, reply.spends_attempt) == (ReplyKind.DEFERRED, 454, False)
    assert not transport.is_open
    with pytest.raises(SmtpUnavailable, match="send less"):
        transport.connect()
    assert len(amazon.sent) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "spends", "is_open"),
    [
        ((400, "MessageRejected", "Virus found"), ReplyKind.FAILED, True, True),
        ((400, "BadRequestException", "Bad header"), ReplyKind.FAILED, True, True),
        ((400, "MessageRejected", "Email address is not verified."), ReplyKind.DEFERRED, False, False),
        ((400, "MailFromDomainNotVerifiedException", "no"), ReplyKind.DEFERRED, False, False),
        ((400, "AccountSuspendedException", "no"), ReplyKind.DEFERRED, False, False),
        ((400, "SendingPausedException", "no"), ReplyKind.DEFERRED, False, False),
        ((404, "NotFoundException", "Configuration set missing"), ReplyKind.DEFERRED, False, False),
        ((403, "AccessDeniedException", "no"), ReplyKind.DEFERRED, False, False),
        ((403, "ExpiredTokenException", "no"), ReplyKind.DEFERRED, False, False),
        ((503, "ServiceUnavailable", "busy"), ReplyKind.DEFERRED, False, False),
        ((500, "InternalFailure", "oops"), ReplyKind.UNKNOWN, True, True),
        ((504, "GatewayTimeout", "oops"), ReplyKind.UNKNOWN, True, True),
    ],
)
def test_each_answer_has_its_verdict_and_is_asked_for_once(
    amazon: FakeSes, answer: tuple[int, str, str], kind: ReplyKind, spends: bool, is_open: bool
) -> None:
    amazon.script = [answer]
    transport = opened(amazon.url)
    reply, _ = send(transport)
    assert (reply.kind, reply.spends_attempt, transport.is_open) == (kind, spends, is_open)
    assert answer[1] in reply.text
    transport.close()
    assert len(amazon.sent) == 1


@pytest.mark.parametrize("manner", ["hang up", "silence"])
def test_an_answer_that_never_comes_makes_the_mail_unknown_and_is_not_asked_again(amazon: FakeSes, manner: str) -> None:
    amazon.script = [manner]
    transport = opened(amazon.url, seconds=0.5)
    reply, dots = send(transport)
    assert (reply.kind, reply.stage, dots) == (ReplyKind.UNKNOWN, Stage.DOT, 1)
    assert not transport.is_open
    amazon.done.set()
    assert len(amazon.sent) == 1
    transport.connect()
    assert send(transport)[0].kind is ReplyKind.SENT
    transport.close()


def test_a_service_that_is_not_there_defers_without_spending_a_try(credentials: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    transport = opened(f"http://127.0.0.1:{port}")
    reply, _ = send(transport)
    assert (reply.kind, reply.stage, reply.spends_attempt) == (ReplyKind.DEFERRED, Stage.CONNECT, False)


def test_missing_credentials_defer_and_send_nothing(
    amazon: FakeSes, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    transport = opened(amazon.url)
    reply, _ = send(transport)
    assert (reply.kind, reply.spends_attempt, amazon.told) == (ReplyKind.DEFERRED, False, [])


def test_a_region_that_cannot_be_is_refused_at_connect(credentials: None) -> None:
    transport = SesTransport(Settings(_env_file=None, ses_region="not a region"), tags={})
    with pytest.raises(SmtpRefused, match="Amazon SES cannot be used"):
        transport.connect()


def test_nothing_is_sent_before_connect(amazon: FakeSes) -> None:
    transport = SesTransport(conf_of(amazon.url), tags={})
    reply, dots = send(transport)
    assert (reply.kind, reply.stage, dots) == (ReplyKind.DEFERRED, Stage.CONNECT, 0)


def test_an_error_at_the_last_moment_sends_nothing(amazon: FakeSes) -> None:
    transport = opened(amazon.url)

    def fail() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        transport.send(Outgoing(Envelope("x@y.example", "a@b.example"), MAIL, before_dot=fail))
    transport.close()
    assert amazon.told == []


def test_a_transaction_ends_within_the_time_that_a_lease_allows_for(amazon: FakeSes) -> None:
    amazon.script = [(429, "TooManyRequestsException", "slow down"), "silence"]
    transport = opened(amazon.url, seconds=0.5)
    started = time.monotonic()
    assert send(transport)[0].kind is ReplyKind.UNKNOWN
    assert time.monotonic() - started < transport.target.longest_transaction


# -- the choice ---------------------------------------------------------------------------------------


def test_the_settings_choose_the_transport() -> None:
    smtp: Transport = transport_for(Settings(_env_file=None, smtp_url="smtp://mx.example"))
    assert isinstance(smtp, SmtpConnection)
    assert smtp.target.longest_transaction == 180
    assert isinstance(transport_for(Settings(_env_file=None, port=8000)), SmtpConnection)
    both = transport_for(Settings(_env_file=None, smtp_url="smtp://mx.example", ses_region="eu-central-1"))
    assert isinstance(both, SesTransport)
    with pytest.raises(Invalid):
        transport_for(Settings(_env_file=None, smtp_url="http://mx.example"))


@pytest.fixture
def through_ses(app: Flask, amazon: FakeSes) -> Iterator[FakeSes]:
    before = settings()
    use_settings(before.model_copy(update={"ses_region": "eu-central-1", "ses_endpoint": amazon.url}))
    with app.app_context():
        yield amazon
    use_settings(before)


def test_test_mails_and_notifications_go_through_ses(through_ses: FakeSes, cast: Cast) -> None:
    launch = make_draft(cast)
    with unit_of_work(cast.partner_marketer) as session:
        made = services.send_test(session, cast.partner_marketer, launch.id, address="me@acme.example")
        post(
            session, "welcome", organization_id=cast.partner_id, to_address="new@acme.example",
            data={"url": "https://app.example/there"},
        )  # fmt: skip
    assert made.response == "ses-1"
    outbox.send_due()
    tags = [{one["Name"]: one["Value"] for one in body["EmailTags"]} for body in through_ses.sent]
    assert tags[0] == {"launch": str(launch.id), "partner": str(cast.partner_id)}
    assert {"stream": "notifications"} in tags[1:]
    assert all(b"DKIM-Signature" not in base64.b64decode(one["Content"]["Raw"]["Data"]) for one in through_ses.sent)


# -- domains ------------------------------------------------------------------------------------------


def test_a_sender_is_verified_once_ses_accepts_the_domain_with_our_key(through_ses: FakeSes, cast: Cast) -> None:
    actor = cast.partner_admin
    with DnsServer() as names:
        before = use_dns(names)
        sender_id = make_sender(actor)
        check(actor, sender_id)
        assert through_ses.told == []
        publish(names, actor, sender_id)
        assert check(actor, sender_id).status is SenderStatus.PENDING
        assert findings(actor, sender_id)["ses"]["verdict"] == "warn"
        domain = find(actor, sender_id).domain.name
        given = next(one.body for one in through_ses.told if one.path == "/v2/email/identities")
        assert given["DkimSigningAttributes"]["DomainSigningSelector"] == keys_of(actor, sender_id)[0].selector
        through_ses.identities[domain]["VerifiedForSendingStatus"] = True
        assert check(actor, sender_id).status is SenderStatus.VERIFIED
        with unit_of_work(actor) as session:
            senders.new_key(session, actor, sender_id)
        publish(names, actor, sender_id, "dkim")
        assert check(actor, sender_id).status is SenderStatus.VERIFIED
        newest = keys_of(actor, sender_id)[-1].selector
        assert through_ses.identities[domain]["DkimAttributes"]["Tokens"] == [newest]
        # SES looks at a new key for a while, and the launches that run go on meanwhile.
        through_ses.identities[domain]["VerifiedForSendingStatus"] = False
        assert check(actor, sender_id).status is SenderStatus.VERIFIED
        through_ses.script = [(403, "AccessDeniedException", "no")]
        assert check(actor, sender_id).status is SenderStatus.VERIFIED
        assert findings(actor, sender_id)["ses"]["verdict"] == "unsure"
        through_ses.identities[domain]["DkimAttributes"]["Status"] = "FAILED"
        assert check(actor, sender_id).status is SenderStatus.LAPSED
        use_settings(before)


# -- doctor -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "state", "words"),
    [
        ({"SendingEnabled": True, "ProductionAccessEnabled": True, "SendQuota": {"MaxSendRate": 14.0}}, "ok", "14 mails"),
        ({"SendingEnabled": True, "ProductionAccessEnabled": False}, "warn", "0 mails"),
        ({"SendingEnabled": False}, "fail", "paused"),
    ],
)
def test_doctor_says_how_the_account_stands(amazon: FakeSes, account: dict[str, Any], state: str, words: str) -> None:
    amazon.account = account
    row = doctor.check_mail(conf_of(amazon.url))
    assert (str(row.state), words in row.found, bool(row.mend)) == (state, True, state != "ok")


def test_doctor_says_what_ses_refuses_and_that_two_ways_are_one_too_many(amazon: FakeSes) -> None:
    amazon.script = [(403, "AccessDeniedException", "not for you")]
    row = doctor.check_mail(conf_of(amazon.url))
    assert (row.state, "not for you" in row.found) == (doctor.State.FAIL, True)
    assert doctor.check_mail(conf_of(amazon.url, smtp_url="smtp://mx.example")).state is doctor.State.WARN


# -- launches -----------------------------------------------------------------------------------------


def states_of(launch: Launch) -> list[tuple[str, int, str | None]]:
    """(status, attempts, response) of each delivery, in the order of their ids."""
    with unit_of_work(system_of(launch)) as session:
        rows = session.scalars(select(Delivery).where(Delivery.launch_id == launch.id).order_by(Delivery.id))
        found = []
        for one in rows:
            session.refresh(one)
            found.append((str(one.status), one.attempts, one.response))
    return found


def test_a_launch_goes_out_through_ses_with_its_tags(through_ses: FakeSes, cast: Cast) -> None:
    launch = make_started(cast, contacts=5)
    engine.run_lane(launch.partner_id, launch.id)
    assert {(status, response) for status, _, response in states_of(launch)} == {
        ("sent", f"ses-{number}") for number in range(1, 6)
    }
    tags = [{one["Name"]: one["Value"] for one in body["EmailTags"]} for body in through_ses.sent]
    assert {one["launch"] for one in tags} == {str(launch.id)}
    assert {one["partner"] for one in tags} == {str(launch.partner_id)}
    assert len({one["delivery"] for one in tags}) == 5


def test_a_throttled_launch_waits_without_spending_tries(
    through_ses: FakeSes, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcma.delivery.ses._WAITS", (0.01,))
    through_ses.script = [(429, "TooManyRequestsException", "slow down")] * 4
    launch = make_started(cast, contacts=3)
    engine.run_lane(launch.partner_id, launch.id)
    assert [(status, attempts) for status, attempts, _ in states_of(launch)] == [("pending", 0)] * 3
    through_ses.script.clear()
    with later(2):
        engine.run_lane(launch.partner_id, launch.id)
    assert [status for status, _, _ in states_of(launch)] == ["sent"] * 3


def test_a_lost_answer_makes_one_delivery_unknown_and_the_others_go(through_ses: FakeSes, cast: Cast) -> None:
    through_ses.script = ["hang up"]
    launch = make_started(cast, contacts=4)
    engine.run_lane(launch.partner_id, launch.id)
    assert sorted(status for status, _, _ in states_of(launch)) == ["sent", "sent", "sent", "unknown"]
    assert len(through_ses.sent) == 4


def test_several_requests_are_under_way_at_once_and_each_mail_is_asked_for_once(
    through_ses: FakeSes, cast: Cast
) -> None:
    use_settings(settings().model_copy(update={"delivery_connections": 3}))
    # The first is not answered: the others go on meanwhile, and it alone is unknown.
    through_ses.script = ["silence"]
    launch = make_started(cast, contacts=80)

    def look() -> bool:
        if len(through_ses.sent) >= 80:
            through_ses.done.set()
        return False

    engine.run_lane(launch.partner_id, launch.id, stop=look)
    assert Counter(status for status, _, _ in states_of(launch)) == {"sent": 79, "unknown": 1}
    asked = Counter(one["Destination"]["ToAddresses"][0] for one in through_ses.sent)
    assert (len(asked), max(asked.values())) == (80, 1)


def test_a_connection_that_is_told_to_rest_leaves_the_rest_to_the_others_and_nothing_behind(
    through_ses: FakeSes, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses, "_WAITS", ())
    use_settings(settings().model_copy(update={"delivery_connections": 2}))
    launch = make_started(cast, contacts=80)
    pipes, throttled = _pipes(), threading.Event()

    def look() -> bool:
        if len(through_ses.sent) >= 30 and not throttled.is_set():
            throttled.set()
            through_ses.script = [(429, "TooManyRequestsException", "slow down")]
        return False

    engine.run_lane(launch.partner_id, launch.id, stop=look)
    assert Counter(status for status, _, _ in states_of(launch)) == {"sent": 79, "pending": 1}
    assert _pipes() == pipes
    assert not [one.name for one in threading.enumerate() if one.name.startswith("ses")]


def _pipes() -> int:
    """How many ends of pipes this process has open."""
    there = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            there += os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
    return there
