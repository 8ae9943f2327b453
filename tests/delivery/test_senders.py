"""Sending identities: who may, what follows from what the DNS says, and what a launch is from."""

from __future__ import annotations

import email
import email.policy
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tcma import clock
from tcma.access import Actor
from tcma.audit import AuditEvent
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, marks, preflight, senders, senders_checking, services
from tcma.delivery.models_senders import SendingDomain
from tcma.delivery.senders_states import SENDER_MOVES, KeyStatus, SenderStatus
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tcma.records import OutboxMail
from tests.dns_server import DnsServer
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_draft, make_started, plan, system_of, use_sink
from tests.factories.returns import RETURNS, deliveries_of, return_path
from tests.factories.senders import (
    check,
    domain_of,
    find,
    findings,
    keys_of,
    make_sender,
    make_verified,
    new_domain,
    publish,
    use_dns,
    wanted,
)
from tests.sinks import SmtpSink

APP = "http://localhost:8000"


@pytest.fixture
def names(app: Flask) -> Iterator[DnsServer]:
    with DnsServer() as server:
        before = use_dns(server)
        with app.app_context():
            yield server
        use_settings(before)


@pytest.fixture
def sink(names: DnsServer) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        yield server
        use_settings(before)


def mails_of(sink: SmtpSink) -> list[EmailMessage]:
    return [email.message_from_bytes(one.data, policy=email.policy.default) for one in sink.accepted]


def launch_now(launch: Launch) -> Launch:
    with unit_of_work(system_of(launch)) as session:
        found = campaign_queries.get_launch(session, system_of(launch), launch.id)
        session.refresh(found)
        return found


# -- adding -------------------------------------------------------------------------------------------


def test_a_new_sender_waits_for_its_domain_and_has_a_key_to_publish(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    row = find(cast.partner_admin, sender_id)
    assert (row.status, row.is_default, row.domain.verified_at) == (SenderStatus.PENDING, False, None)
    (key,) = keys_of(cast.partner_admin, sender_id)
    assert key.status is KeyStatus.PENDING
    assert key.private_key is not None
    assert b"PRIVATE" not in key.private_key
    record = wanted(cast.partner_admin, sender_id)["dkim"]
    assert record.host == f"{key.selector}._domainkey.{row.domain.name}"
    assert record.value == f"v=DKIM1; k=rsa; p={key.public_key}"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nobody", "not an email address"),
        ("a@gmail.com", "mail provider"),
        ("a@tcma.example", "service's own domain"),
        ("a@x.tcma.example", "service's own domain"),
        ("jösé@acme.example", "plain letters"),
    ],
)
def test_an_address_that_cannot_be_a_sender_is_refused_with_the_reason(
    names: DnsServer, cast: Cast, address: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        make_sender(cast.partner_admin, address=address)
    assert list(caught.value.fields) == ["address"]


@pytest.mark.parametrize("name", ["", "x" * 81, "bank@other.example", "a\x07b"])
def test_a_name_that_would_mislead_is_refused(names: DnsServer, cast: Cast, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        make_sender(cast.partner_admin, name=name)
    assert list(caught.value.fields) == ["name"]


def test_a_domain_in_another_script_is_kept_as_it_travels(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin, address="news@MÜLLER-technik.example")
    assert find(cast.partner_admin, sender_id).address == "news@xn--mller-technik-wob.example"


def test_the_same_address_is_added_once_but_again_after_it_was_retired(names: DnsServer, cast: Cast) -> None:
    address = f"news@{new_domain()}"
    first = make_sender(cast.partner_admin, address=address)
    with pytest.raises(Invalid, match="already"):
        make_sender(cast.partner_admin, address=address.upper().replace("NEWS", "news"))
    with unit_of_work(cast.partner_admin) as session:
        senders.retire_sender(session, cast.partner_admin, first)
    second = make_sender(cast.partner_admin, address=address)
    assert domain_of(cast.partner_admin, second).id == domain_of(cast.partner_admin, first).id


def test_two_partners_on_one_domain_have_keys_of_their_own(names: DnsServer, cast: Cast) -> None:
    domain = new_domain()
    mine = make_verified(names, cast.partner_admin, address=f"a@{domain}")
    theirs = make_sender(cast.rival, address=f"b@{domain}")
    assert find(cast.partner_admin, mine).status is SenderStatus.VERIFIED
    assert check(cast.rival, theirs).status is SenderStatus.PENDING
    assert keys_of(cast.partner_admin, mine)[0].selector != keys_of(cast.rival, theirs)[0].selector


def test_two_who_add_the_same_address_at_once_make_one_sender(app: Flask, names: DnsServer, cast: Cast) -> None:
    address = f"news@{new_domain()}"
    made: list[UUID] = []
    refused: list[str] = []

    def add() -> None:
        with app.app_context():
            try:
                made.append(make_sender(cast.partner_admin, address=address))
            except Invalid as error:
                refused.append(error.message)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(made), len(refused)) == (1, 3)
    assert set(refused) == {"This address is a sender already."}


def test_two_who_choose_the_default_at_once_leave_one(app: Flask, names: DnsServer, cast: Cast) -> None:
    chosen = [make_verified(names, cast.partner_admin) for _ in range(3)]
    faults: list[BaseException] = []

    def choose(sender_id: UUID) -> None:
        with app.app_context():
            for _ in range(5):
                try:
                    with unit_of_work(cast.partner_admin) as session:
                        senders.make_default(session, cast.partner_admin, sender_id)
                    check(cast.partner_admin, sender_id)
                except Exception as error:
                    faults.append(error)

    threads = [threading.Thread(target=choose, args=(one,)) for one in chosen]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    assert [find(cast.partner_admin, one).is_default for one in chosen].count(True) == 1


# -- who may ------------------------------------------------------------------------------------------


def test_marketers_read_and_administrators_change(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    assert find(cast.partner_marketer, sender_id).id == sender_id
    with pytest.raises(Forbidden):
        make_sender(cast.partner_marketer)
    with unit_of_work(cast.partner_marketer) as session, pytest.raises(Forbidden):
        senders.retire_sender(session, cast.partner_marketer, sender_id)


@pytest.mark.parametrize("name", ["rival"])
def test_rival_partner_gets_404(names: DnsServer, cast: Cast, name: str) -> None:
    sender_id = make_sender(cast.partner_admin)
    domain_id = domain_of(cast.partner_admin, sender_id).id
    with unit_of_work(cast.rival) as session, pytest.raises(NotFound):
        senders.get_sender(session, cast.rival, sender_id)
    with pytest.raises(NotFound):
        senders_checking.check_domain(cast.rival, domain_id)


def test_vendors_have_no_senders(names: DnsServer, cast: Cast) -> None:
    with unit_of_work(cast.vendor_admin) as session, pytest.raises(Forbidden):
        senders.list_senders(session, cast.vendor_admin)


def test_a_tenant_cannot_write_the_platforms_domain(names: DnsServer, cast: Cast) -> None:
    with unit_of_work(cast.operator) as session:
        senders.new_platform_key(session, cast.operator)
    with unit_of_work(cast.partner_admin) as session:
        domain = senders.platform_domain(session)
        assert domain is not None
        domain_id = domain.id
    with pytest.raises(NotFound):
        senders_checking.check_domain(cast.partner_admin, domain_id)
    with unit_of_work(cast.partner_admin) as session, pytest.raises(Forbidden):
        senders.new_platform_key(session, cast.partner_admin)


# -- the check ----------------------------------------------------------------------------------------


def test_records_that_stand_verify_the_sender_and_make_it_the_default(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    publish(names, cast.partner_admin, sender_id)
    row = check(cast.partner_admin, sender_id)
    assert (row.status, row.is_default) == (SenderStatus.VERIFIED, True)
    assert row.verified_at is not None
    assert {one["code"]: one["verdict"] for one in row.domain.findings} == {"dkim": "pass", "dmarc": "pass", "spf": "pass"}
    assert row.domain.next_check_at == row.domain.checked_at + timedelta(days=1)
    assert keys_of(cast.partner_admin, sender_id)[0].status is KeyStatus.ACTIVE


@pytest.mark.parametrize(("codes", "code"), [(("dmarc", "spf"), "dkim"), (("dkim", "spf"), "dmarc")])
def test_without_a_needed_record_nothing_is_verified(
    names: DnsServer, cast: Cast, codes: tuple[str, ...], code: str
) -> None:
    sender_id = make_sender(cast.partner_admin)
    publish(names, cast.partner_admin, sender_id, *codes)
    assert check(cast.partner_admin, sender_id).status is SenderStatus.PENDING
    assert findings(cast.partner_admin, sender_id)[code]["verdict"] == "fail"
    assert findings(cast.partner_admin, sender_id)[code]["mend"]


def test_an_spf_record_is_advised_and_not_needed(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    publish(names, cast.partner_admin, sender_id, "dkim", "dmarc")
    assert check(cast.partner_admin, sender_id).status is SenderStatus.VERIFIED
    assert findings(cast.partner_admin, sender_id)["spf"]["verdict"] == "warn"


def test_a_second_sender_of_a_verified_domain_is_verified_at_once(names: DnsServer, cast: Cast) -> None:
    first = make_verified(names, cast.partner_admin)
    domain = domain_of(cast.partner_admin, first).name
    second = make_sender(cast.partner_admin, address=f"sales@{domain}")
    assert find(cast.partner_admin, second).status is SenderStatus.VERIFIED
    assert not find(cast.partner_admin, second).is_default


def test_records_that_are_gone_lapse_the_sender_and_bring_it_back(names: DnsServer, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    record = wanted(cast.partner_admin, sender_id)["dkim"]
    del names.texts[record.host]
    row = check(cast.partner_admin, sender_id)
    assert (row.status, row.is_default, row.verified_at) == (SenderStatus.LAPSED, True, None)
    assert row.domain.lost_at is not None
    names.texts[record.host] = [record.value]
    row = check(cast.partner_admin, sender_id)
    assert (row.status, row.domain.lost_at) == (SenderStatus.VERIFIED, None)


def test_a_name_server_in_trouble_changes_nothing(names: DnsServer, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    names.broken.add(wanted(cast.partner_admin, sender_id)["dkim"].host)
    assert check(cast.partner_admin, sender_id).status is SenderStatus.VERIFIED
    assert findings(cast.partner_admin, sender_id)["dkim"]["verdict"] == "unsure"


def test_the_sweep_looks_daily_and_tells_the_administrators_once(names: DnsServer, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    domain = domain_of(cast.partner_admin, sender_id)
    names.texts.clear()
    asked = len(names.asked)
    senders_checking.check_due()
    assert domain.name not in {one.partition("_domainkey.")[2] for one in names.asked[asked:]}
    for hours in (25, 26):
        with later(hours * 60):
            senders_checking.check_due()
    assert find(cast.partner_admin, sender_id).status is SenderStatus.LAPSED
    with unit_of_work(cast.partner_admin) as session:
        posted = session.scalars(select(OutboxMail).where(OutboxMail.template == "sender_lapsed")).all()
    assert len(posted) == 1
    assert posted[0].data["domain"] == domain.name
    assert "no TXT record" in posted[0].data["reason"]


def test_a_domain_that_is_never_set_up_is_forgotten_after_a_while(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    with later(61 * 24 * 60):
        assert check(cast.partner_admin, sender_id).status is SenderStatus.PENDING
    assert domain_of(cast.partner_admin, sender_id).next_check_at is None


def test_every_move_is_in_the_audit_trail(names: DnsServer, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    names.texts.clear()
    check(cast.partner_admin, sender_id)
    with unit_of_work(cast.partner_admin) as session:
        senders.retire_sender(session, cast.partner_admin, sender_id)
        rows = session.scalars(select(AuditEvent).where(AuditEvent.object_id == str(sender_id)).order_by(AuditEvent.id))
        assert [one.action for one in rows] == ["sender.add", "sender.verify", "sender.lapse", "sender.retire"]


VERBS = {"verify": SenderStatus.VERIFIED, "lapse": SenderStatus.LAPSED, "retire": SenderStatus.RETIRED}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", SenderStatus)
def test_a_sender_moves_only_as_its_table_says(names: DnsServer, cast: Cast, state: SenderStatus, verb: str) -> None:
    sender_id = make_sender(cast.partner_admin)
    path: dict[SenderStatus, list[str]] = {
        SenderStatus.PENDING: [], SenderStatus.VERIFIED: ["verify"], SenderStatus.LAPSED: ["verify", "lapse"],
        SenderStatus.RETIRED: ["retire"],
    }  # fmt: skip
    values = {"verify": {"at": clock.now()}, "lapse": {"reason": "gone"}, "retire": {}}
    with unit_of_work(cast.partner_admin) as session:
        row = senders.get_sender(session, cast.partner_admin, sender_id)
        for step in path[state]:
            getattr(row, step)(by=cast.partner_admin, **values[step])
        if VERBS[verb] in SENDER_MOVES[state]:
            getattr(row, verb)(by=cast.partner_admin, **values[verb])
            assert row.status is VERBS[verb]
        else:
            with pytest.raises(IllegalTransition):
                getattr(row, verb)(by=cast.partner_admin, **values[verb])
            assert row.status is state


# -- the default --------------------------------------------------------------------------------------


def test_only_a_verified_sender_becomes_the_default_and_only_one_is(names: DnsServer, cast: Cast) -> None:
    first, waiting = make_verified(names, cast.partner_admin), make_sender(cast.partner_admin)
    second = make_verified(names, cast.partner_admin)
    with unit_of_work(cast.partner_admin) as session, pytest.raises(IllegalTransition):
        senders.make_default(session, cast.partner_admin, waiting)
    with unit_of_work(cast.partner_admin) as session:
        senders.make_default(session, cast.partner_admin, second)
    assert [find(cast.partner_admin, one).is_default for one in (first, waiting, second)] == [False, False, True]
    with unit_of_work(cast.partner_admin) as session:
        senders.retire_sender(session, cast.partner_admin, second)
    assert find(cast.partner_admin, first).is_default


# -- what a launch is from ----------------------------------------------------------------------------


def test_until_a_sender_is_verified_mail_is_from_the_partner_via_the_platform(sink: SmtpSink, cast: Cast) -> None:
    make_sender(cast.partner_admin)
    launch = make_started(cast, contacts=1)
    engine.run_lane(launch.partner_id, launch.id)
    (mail,) = mails_of(sink)
    assert mail["From"] == f"Acme IT via TCMA <{settings().platform_sender}>"
    assert mail["Reply-To"] == "hello@acme.example"
    assert launch_now(launch).sender == {
        "from_name": "Acme IT via TCMA", "from_address": settings().platform_sender, "reply_to": "hello@acme.example",
        "identity_id": None,
    }  # fmt: skip


def test_a_launch_is_from_the_default_sender_and_freezes_it(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin, name="Acme News")
    address = find(cast.partner_admin, sender_id).address
    launch = make_started(cast, contacts=2)
    with unit_of_work(cast.partner_admin) as session:
        senders.edit_sender(session, cast.partner_admin, sender_id, name="Another", reply_to="x@acme.example")
    engine.run_lane(launch.partner_id, launch.id)
    assert {(one["From"], one["Reply-To"]) for one in mails_of(sink)} == {(f"Acme News <{address}>", address)}
    assert all(one["Message-ID"].endswith("@tcma.example>") for one in mails_of(sink))
    sender = launch_now(launch).sender
    assert sender is not None
    assert sender["identity_id"] == str(sender_id)


def test_a_launch_may_choose_another_sender_or_the_platform(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    actor = cast.partner_marketer
    make_verified(names, cast.partner_admin)
    other = make_verified(names, cast.partner_admin, name="Acme Sales")
    waiting = make_sender(cast.partner_admin)
    launch = make_draft(cast)
    for wrong in (str(waiting), "what", str(launch.id)):
        with unit_of_work(actor) as session, pytest.raises(Invalid):
            services.choose_sender(session, actor, launch.id, sender=wrong)
    with unit_of_work(actor) as session:
        services.choose_sender(session, actor, launch.id, sender=str(other))
        services.send_test(session, actor, launch.id, address="me@acme.example")
        services.choose_sender(session, actor, launch.id, sender="platform")
        services.send_test(session, actor, launch.id, address="me@acme.example")
        services.choose_sender(session, actor, launch.id, sender=str(other))
        services.start_launch(session, actor, launch.id)
        with pytest.raises(IllegalTransition):
            services.choose_sender(session, actor, launch.id, sender="")
    assert [one["From"].partition(" <")[0] for one in mails_of(sink)] == ["Acme Sales", "Acme IT via TCMA"]
    sender = launch_now(launch).sender
    assert sender is not None
    assert sender["identity_id"] == str(other)


def test_a_chosen_sender_that_lapses_falls_back_and_says_so(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    actor = cast.partner_marketer
    sender_id = make_verified(names, cast.partner_admin)
    launch = make_draft(cast)
    with unit_of_work(actor) as session:
        services.choose_sender(session, actor, launch.id, sender=str(sender_id))
    names.texts.clear()
    check(cast.partner_admin, sender_id)
    with unit_of_work(actor) as session:
        (said,) = [one for one in preflight.preflight(session, actor, launch.id) if one.code == "sender"]
        assert said.verdict == "warn"
        assert "not verified any more" in said.detail
        assert settings().platform_sender in said.detail
        services.choose_sender(session, actor, launch.id, sender="")
        (said,) = [one for one in preflight.preflight(session, actor, launch.id) if one.code == "sender"]
        assert "cannot prove your mail" in said.detail
        services.start_launch(session, actor, launch.id)
    assert (launch_now(launch).sender or {})["from_address"] == settings().platform_sender


def test_a_running_launch_pauses_when_its_domain_lapses_and_goes_on_from_the_platform(
    names: DnsServer, sink: SmtpSink, cast: Cast
) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    launch = make_started(cast, contacts=2)
    names.texts.clear()
    check(cast.partner_admin, sender_id)
    assert launch_now(launch).status is LaunchStatus.PAUSED
    with unit_of_work(cast.partner_marketer) as session:
        services.resume_launch(session, cast.partner_marketer, launch.id)
    engine.run_lane(launch.partner_id, launch.id)
    assert {one["From"] for one in mails_of(sink)} == {f"Acme IT via TCMA <{settings().platform_sender}>"}
    page = cast.client(cast.partner_marketer).get(f"/launches/{launch.id}", base_url=APP).text
    assert "changed the sender" in page
    assert "cannot prove mail now" in page


def test_a_launch_via_the_platform_goes_on_whatever_a_domain_does(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=1)
    sender_id = make_verified(names, cast.partner_admin)
    names.texts.clear()
    check(cast.partner_admin, sender_id)
    assert launch_now(launch).status is LaunchStatus.SENDING


# -- the return path of one's own ---------------------------------------------------------------------


@pytest.fixture
def returns_here(names: DnsServer) -> Iterator[DnsServer]:
    """A platform to whose return domain mail comes back, with the records that its operator sets."""
    names.servers[RETURNS], names.texts[RETURNS] = ["mx.example.com"], ["v=spf1 ip4:192.0.2.1 -all"]
    before = settings()
    use_settings(before.model_copy(update={"return_domain": RETURNS}))
    yield names
    use_settings(before)


def domains_of_return_paths(sink: SmtpSink) -> set[str]:
    return {one.sender.partition("@")[2] for one in sink.accepted}


def test_mail_has_a_return_path_at_the_partners_domain_once_its_record_stands(
    returns_here: DnsServer, sink: SmtpSink, cast: Cast
) -> None:
    sender_id = make_verified(returns_here, cast.partner_admin)
    own = f"bounce.{domain_of(cast.partner_admin, sender_id).name}"
    launch = make_started(cast, contacts=2)
    engine.run_lane(launch.partner_id, launch.id)
    assert {one.sender for one in sink.accepted} == {return_path(one, domain=own) for one in deliveries_of(launch)}
    assert (launch_now(launch).sender or {})["return_domain"] == own
    assert all(f"@{RETURNS}>" in one["List-Unsubscribe"] for one in mails_of(sink))


def test_without_the_record_the_sender_is_verified_and_bounces_go_to_the_platform(
    returns_here: DnsServer, sink: SmtpSink, cast: Cast
) -> None:
    sender_id = make_sender(cast.partner_admin)
    publish(returns_here, cast.partner_admin, sender_id, "dkim", "dmarc", "spf")
    assert check(cast.partner_admin, sender_id).status is SenderStatus.VERIFIED
    assert findings(cast.partner_admin, sender_id)["return"]["verdict"] == "warn"
    launch = make_started(cast, contacts=1)
    engine.run_lane(launch.partner_id, launch.id)
    assert domains_of_return_paths(sink) == {RETURNS}
    assert "return_domain" not in (launch_now(launch).sender or {})


def test_a_launch_keeps_the_return_path_that_it_began_with(
    returns_here: DnsServer, sink: SmtpSink, cast: Cast
) -> None:
    sender_id = make_sender(cast.partner_admin)
    publish(returns_here, cast.partner_admin, sender_id, "dkim", "dmarc", "spf")
    check(cast.partner_admin, sender_id)
    launch = make_started(cast, contacts=1)
    publish(returns_here, cast.partner_admin, sender_id)
    check(cast.partner_admin, sender_id)
    assert domain_of(cast.partner_admin, sender_id).returns_to == RETURNS
    engine.run_lane(launch.partner_id, launch.id)
    assert domains_of_return_paths(sink) == {RETURNS}


def test_a_lost_return_record_sends_bounces_to_the_platform_and_stops_nothing(
    returns_here: DnsServer, sink: SmtpSink, cast: Cast
) -> None:
    sender_id = make_verified(returns_here, cast.partner_admin)
    launch = make_started(cast, contacts=2)
    returns_here.aliases.clear()
    with later(25 * 60):
        senders_checking.check_due()
    row = find(cast.partner_admin, sender_id)
    assert (row.status, row.domain.returns_to) == (SenderStatus.VERIFIED, None)
    assert launch_now(launch).status is LaunchStatus.SENDING
    engine.run_lane(launch.partner_id, launch.id)
    assert {one["From"] for one in mails_of(sink)} == {f"Acme IT <{row.address}>"}
    assert domains_of_return_paths(sink) == {RETURNS}
    with unit_of_work(cast.partner_admin) as session:
        assert session.scalars(select(OutboxMail).where(OutboxMail.template == "sender_lapsed")).all() == []
        changes = session.scalars(select(AuditEvent).where(AuditEvent.action == "sending_domain.return_path")).all()
        assert len([one for one in changes if one.object_id == str(row.domain_id)]) == 2


def test_a_name_server_in_trouble_takes_no_return_path_away(returns_here: DnsServer, cast: Cast) -> None:
    sender_id = make_verified(returns_here, cast.partner_admin)
    returns_here.broken.add(f"bounce.{domain_of(cast.partner_admin, sender_id).name}")
    assert check(cast.partner_admin, sender_id).domain.returns_to == RETURNS
    assert findings(cast.partner_admin, sender_id)["return"]["verdict"] == "unsure"


@pytest.mark.parametrize("change", [{"return_domain": "other.example.com"}, {"return_domain": None}])
def test_a_record_that_leads_to_a_former_return_domain_is_not_used(
    returns_here: DnsServer, sink: SmtpSink, cast: Cast, change: dict[str, str | None]
) -> None:
    make_verified(returns_here, cast.partner_admin)
    launch = make_started(cast, contacts=1)
    use_settings(settings().model_copy(update=change))
    engine.run_lane(launch.partner_id, launch.id)
    assert domains_of_return_paths(sink) == {change["return_domain"] or settings().platform_sender.partition("@")[2]}


def test_a_test_mail_has_the_return_path_of_the_launch(returns_here: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    sender_id = make_verified(returns_here, cast.partner_admin)
    launch = make_draft(cast)
    with unit_of_work(cast.partner_marketer) as session:
        services.send_test(session, cast.partner_marketer, launch.id, address="me@acme.example")
    assert domains_of_return_paths(sink) == {f"bounce.{domain_of(cast.partner_admin, sender_id).name}"}


def test_a_return_record_that_is_seen_meanwhile_stops_no_start(
    returns_here: DnsServer, sink: SmtpSink, cast: Cast
) -> None:
    sender_id = make_sender(cast.partner_admin)
    publish(returns_here, cast.partner_admin, sender_id, "dkim", "dmarc", "spf")
    check(cast.partner_admin, sender_id)
    launch = make_draft(cast)
    with unit_of_work(cast.partner_marketer) as session:
        before = marks.mark_of(session, campaign_queries.get_launch(session, cast.partner_marketer, launch.id))
    publish(returns_here, cast.partner_admin, sender_id)
    assert check(cast.partner_admin, sender_id).domain.returns_to == RETURNS
    with unit_of_work(cast.partner_marketer) as session:
        assert marks.mark_of(session, campaign_queries.get_launch(session, cast.partner_marketer, launch.id)) == before


@pytest.mark.parametrize("change", [{"return_domain": None}, {"ses_region": "eu-central-1"}])
def test_where_nothing_could_come_back_to_it_no_return_record_is_offered(
    returns_here: DnsServer, cast: Cast, change: dict[str, str | None]
) -> None:
    use_settings(settings().model_copy(update=change))
    sender_id = make_sender(cast.partner_admin)
    assert set(wanted(cast.partner_admin, sender_id)) == {"dkim", "dmarc", "spf"}
    page = cast.client(cast.partner_admin).get(f"/brand/senders/{sender_id}", base_url=APP).text
    assert "bounce." not in page


def test_a_domain_above_the_return_domain_needs_no_record_for_it(returns_here: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin, address=f"news@{RETURNS.partition('.')[2]}")
    assert "return" not in wanted(cast.partner_admin, sender_id)


def test_the_page_and_the_api_show_the_return_record_and_its_verdict(
    returns_here: DnsServer, client: FlaskClient, cast: Cast
) -> None:
    sender_id = make_verified(returns_here, cast.partner_admin)
    own = f"bounce.{domain_of(cast.partner_admin, sender_id).name}"
    root, keys = f"/api/v1/senders/{sender_id}", cast.key(cast.partner_admin)
    browser = cast.client(cast.partner_admin)
    page = browser.get(f"/brand/senders/{sender_id}", base_url=APP).text
    assert [own in page, RETURNS in page, "Optional" in page, f"Bounces go to {own}." in page] == [True] * 4
    shown = client.get(root, headers=keys, base_url=APP).json
    (record,) = [one for one in shown["records"] if one["code"] == "return"]
    assert (record["host"], record["type"], record["value"], record["needed"]) == (own, "CNAME", RETURNS, False)
    returns_here.aliases.clear()
    lost = client.post(f"{root}/check", headers=keys, base_url=APP).json
    (found,) = [one for one in lost["findings"] if one["code"] == "return"]
    assert (lost["status"], found["verdict"], found["host"]) == ("verified", "warn", own)
    page = browser.get(f"/brand/senders/{sender_id}", base_url=APP).text
    assert f"There is no CNAME record at {own}." in page
    assert "Until then bounces go to the service" in page


# -- pages --------------------------------------------------------------------------------------------


def test_an_administrator_sets_a_sender_up_in_the_browser(names: DnsServer, cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    page = browser.get("/brand", base_url=APP)
    assert "/brand/senders" in page.text
    listed = browser.get("/brand/senders", base_url=APP)
    assert "via TCMA" in listed.text
    refused = browser.post("/brand/senders", base_url=APP, data={"name": "Acme", "address": "a@gmail.com"})
    assert (refused.status_code, "belongs to a mail provider" in refused.text) == (422, True)
    address = f"news@{new_domain()}"
    both = browser.post("/brand/senders", base_url=APP, data={"name": "", "address": "no address"})
    assert [both.status_code, "Enter a name." in both.text, "This is not an email address" in both.text] == [422, True, True]
    made = browser.post("/brand/senders", base_url=APP, data={"name": "Acme", "address": address})
    assert made.status_code == 303
    root = made.headers["Location"]
    sender_id = UUID(root.rpartition("/")[2])
    page = browser.get(root, base_url=APP)
    for record in wanted(cast.partner_admin, sender_id).values():
        assert record.host in page.text
        assert record.value in page.text
    assert browser.post(f"{root}/check", base_url=APP).status_code == 303
    assert "There is no TXT record at" in browser.get(root, base_url=APP).text
    publish(names, cast.partner_admin, sender_id)
    browser.post(f"{root}/check", base_url=APP)
    done = browser.get(root, base_url=APP).text
    assert "Verified" in done
    assert "The record holds our key." in done
    saved = browser.post(f"{root}/edit", base_url=APP, data={"name": "Acme News", "reply_to": "not one"})
    assert saved.status_code == 422
    assert browser.post(f"{root}/edit", base_url=APP, data={"name": "Acme News"}).status_code == 303
    assert browser.post(f"{root}/default", base_url=APP).status_code == 303
    assert browser.post(f"{root}/key", base_url=APP).status_code == 303
    assert "A new key waits for its record" in browser.get(root, base_url=APP).text
    assert browser.post(f"{root}/retire", base_url=APP).status_code == 303
    assert address not in browser.get("/brand/senders", base_url=APP).text
    assert browser.post(f"{root}/check", base_url=APP).status_code == 409


def test_a_marketer_sees_the_page_without_its_buttons(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    browser = cast.client(cast.partner_marketer)
    page = browser.get(f"/brand/senders/{sender_id}", base_url=APP)
    assert page.status_code == 200
    assert "/check" not in page.text
    assert "/key" not in page.text
    assert browser.post(f"/brand/senders/{sender_id}/check", base_url=APP).status_code == 403


def test_the_page_says_since_when_and_what_is_gone(names: DnsServer, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    names.texts.clear()
    check(cast.partner_admin, sender_id)
    page = cast.client(cast.partner_admin).get(f"/brand/senders/{sender_id}", base_url=APP).text
    assert "cannot prove your mail any more" in page
    assert "There is no TXT record at" in page


def test_the_sender_is_chosen_on_the_page_of_the_launch(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    launch = make_draft(cast)
    browser = cast.client(cast.partner_marketer)
    root = f"/launches/{launch.id}"
    assert "Send from your own address" in browser.get(root, base_url=APP).text
    sender_id = make_verified(names, cast.partner_admin, name="Acme Sales")
    assert "Save the sender" in browser.get(root, base_url=APP).text
    assert browser.post(f"{root}/sender", base_url=APP, data={"sender": str(sender_id)}).status_code == 303
    assert browser.post(f"{root}/sender", base_url=APP, data={"sender": str(launch.id)}).status_code == 422
    assert f'value="{sender_id}"' in browser.get(root, base_url=APP).text
    assert browser.post(f"{root}/start", base_url=APP).status_code == 303
    plan(launch)
    assert (launch_now(launch).sender or {})["identity_id"] == str(sender_id)


def test_many_checks_are_slowed_down(names: DnsServer, cast: Cast) -> None:
    sender_id = make_sender(cast.partner_admin)
    browser = cast.client(cast.partner_admin)
    answers = [
        browser.post(f"/brand/senders/{sender_id}/check", base_url=APP).status_code
        for _ in range(senders.CHECKS.burst + 1)
    ]
    assert answers == [303] * senders.CHECKS.burst + [429]


# -- the API ------------------------------------------------------------------------------------------


def test_a_sender_over_the_api(names: DnsServer, client: FlaskClient, cast: Cast) -> None:
    keys = cast.key(cast.partner_admin)
    root = "/api/v1/senders"
    address = f"news@{new_domain()}"
    made = client.post(root, json={"name": "Acme", "address": address}, headers=keys, base_url=APP)
    assert made.status_code == 201
    assert (made.json["status"], made.json["domain"]) == ("pending", address.partition("@")[2])
    for record in made.json["records"]:
        names.texts[record["host"]] = [record["value"]]
    one = f"{root}/{made.json['id']}"
    checked = client.post(f"{one}/check", headers=keys, base_url=APP)
    assert (checked.json["status"], checked.json["is_default"]) == ("verified", True)
    assert {found["verdict"] for found in checked.json["findings"]} == {"pass"}
    changed = client.patch(one, json={"reply_to": "x@acme.example"}, headers=keys, base_url=APP)
    assert (changed.json["name"], changed.json["reply_to"]) == ("Acme", "x@acme.example")
    assert client.post(f"{one}/default", headers=keys, base_url=APP).status_code == 200
    rotated = client.post(f"{one}/key", headers=keys, base_url=APP)
    assert [found["code"] for found in rotated.json["records"]].count("dkim") == 2
    assert client.post(f"{one}/key", headers=keys, base_url=APP).status_code == 409
    listed = client.get(root, headers=keys, base_url=APP).json["items"]
    assert [found["address"] for found in listed] == [address]
    assert client.post(f"{one}/retire", headers=keys, base_url=APP).json["status"] == "retired"
    assert client.get(root, headers=keys, base_url=APP).json["items"] == []
    assert client.get(one, headers=cast.key(cast.rival), base_url=APP).status_code == 404
    assert client.get(root, headers=cast.key(cast.finance), base_url=APP).status_code == 403
    wrong = client.post(root, json={"name": "Acme", "address": "a@gmail.com"}, headers=keys, base_url=APP)
    assert wrong.status_code == 422
    paths = client.get("/api/v1/openapi.json", base_url=APP).json["paths"]
    assert {"/api/v1/senders", "/api/v1/senders/{sender_id}/check"} <= set(paths)


def test_a_launch_chooses_its_sender_over_the_api(
    names: DnsServer, sink: SmtpSink, client: FlaskClient, cast: Cast
) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    launch = make_draft(cast)
    keys = cast.key(cast.partner_marketer)
    root = f"/api/v1/launches/{launch.id}"
    for wrong in ("what", str(launch.id)):
        refused = client.post(f"{root}/sender", json={"sender": wrong}, headers=keys, base_url=APP)
        assert refused.status_code == 422
    chosen = client.post(f"{root}/sender", json={"sender": str(sender_id)}, headers=keys, base_url=APP)
    assert chosen.status_code == 200
    assert client.post(f"{root}/start", headers=keys, base_url=APP).status_code == 202
    assert (launch_now(launch).sender or {})["identity_id"] == str(sender_id)
    late = client.post(f"{root}/sender", json={"sender": ""}, headers=keys, base_url=APP)
    assert late.status_code == 409


# -- the platform's own domain ------------------------------------------------------------------------


@pytest.fixture
def own_platform(names: DnsServer) -> Iterator[str]:
    """A platform domain that no other test uses."""
    domain = f"platform-{new_domain()}"
    before = settings()
    use_settings(before.model_copy(update={"platform_sender": f"mail@{domain}"}))
    yield domain
    use_settings(before)


def test_the_operator_makes_a_key_and_every_tenant_signs_with_it(
    names: DnsServer, own_platform: str, cast: Cast
) -> None:
    browser = cast.client(cast.operator)
    assert "/service/sender" in browser.get("/service", base_url=APP).text
    assert "We do not sign" in browser.get("/service/sender", base_url=APP).text
    assert browser.post("/service/sender/check", base_url=APP).status_code == 422
    assert browser.post("/service/sender/key", base_url=APP).status_code == 303
    page = browser.get("/service/sender", base_url=APP).text
    domain = platform_row(cast.operator)
    record = f"{domain.keys[0].selector}._domainkey.{own_platform}"
    assert record in page
    names.texts[record] = [f"v=DKIM1; k=rsa; p={domain.keys[0].public_key}"]
    names.texts[f"_dmarc.{own_platform}"] = ["v=DMARC1; p=reject"]
    assert browser.post("/service/sender/check", base_url=APP).status_code == 303
    assert platform_row(cast.partner_marketer).verified_at is not None
    assert "Verified" in browser.get("/service/sender", base_url=APP).text


def test_the_platforms_domain_is_the_operators_business(names: DnsServer, cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    assert browser.get("/service/sender", base_url=APP).status_code == 403
    assert browser.post("/service/sender/key", base_url=APP).status_code == 403
    assert browser.post("/service/sender/check", base_url=APP).status_code == 403


def test_the_sweep_looks_at_the_platforms_domain_too(names: DnsServer, own_platform: str, cast: Cast) -> None:
    with unit_of_work(cast.operator) as session:
        senders.new_platform_key(session, cast.operator)
    while senders_checking.check_due():
        pass
    found = platform_row(cast.operator)
    assert found.checked_at is not None
    assert [one["verdict"] for one in found.findings] == ["fail", "fail", "warn"]


def platform_row(actor: Actor) -> SendingDomain:
    with unit_of_work(actor) as session:
        found = senders.platform_domain(session)
    assert found is not None
    return found


def test_a_domain_whose_check_fails_does_not_stop_the_sweep(names: DnsServer, cast: Cast) -> None:
    first, second = make_sender(cast.partner_admin), make_sender(cast.partner_admin)
    gone = domain_of(cast.partner_admin, first)
    with unit_of_work(cast.partner_admin) as session:
        for number, sender_id in enumerate((first, second)):
            row = senders.get_sender(session, cast.partner_admin, sender_id).domain
            row.next_check_at = clock.now() - timedelta(days=900 - number)
    names.broken |= {f"{key.selector}._domainkey.{gone.name}" for key in gone.keys}
    senders_checking.check_due()
    assert findings(cast.partner_admin, first)["dkim"]["verdict"] == "unsure"
    assert findings(cast.partner_admin, second)["dkim"]["verdict"] == "fail"
