"""DKIM signatures of our own, verified by dkimpy over the mails that a real server took, keys from a real DNS."""

from __future__ import annotations

import email
import email.policy
import re
import threading
from collections.abc import Callable, Iterator

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from dkim.canonicalization import Relaxed
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from tcma import clock, outbox
from tcma.config import settings, use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, mails, preflight, queries, senders, senders_checking, services, signing
from tcma.delivery.dns_lookup import DnsResolver
from tcma.delivery.message import CrlfBytes, MessageShape
from tcma.delivery.senders_keys import KeyUnreadable, private_key, resealed
from tcma.delivery.senders_states import KeyStatus
from tcma.delivery.signing import Signer
from tcma.errors import IllegalTransition, Invalid
from tcma.mail import post
from tests.dns_server import DnsServer
from tests.factories.cast import Cast
from tests.factories.delivery import make_draft, make_started, system_of, use_sink
from tests.factories.senders import check, find, keys_of, make_verified, new_domain, publish, use_dns
from tests.sinks import SmtpSink

MUST_BE_SIGNED = {
    "from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post", "list-id",
    "feedback-id", "mime-version", "content-type",
}  # fmt: skip


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


@pytest.fixture(scope="module")
def signer() -> Signer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Signer(domain="acme.example", selector="s1", key=key)


def asking(server: DnsServer) -> Callable[..., bytes | None]:
    """How dkimpy asks for keys."""
    resolver = DnsResolver(server.address)

    def txt(name: bytes, timeout: float = 5) -> bytes | None:
        found = resolver.txt(name.decode().rstrip("."))
        return found[0].encode() if found else None

    return txt


def verified(server: DnsServer, data: bytes) -> bool:
    return bool(dkim.verify(data, dnsfunc=asking(server)))


def tag(data: bytes, name: str) -> str:
    head = email.message_from_bytes(data, policy=email.policy.compat32)["DKIM-Signature"]
    found = re.search(rf"(?:^|;)\s*{name}=([^;]*)", head)
    assert found
    return re.sub(r"\s", "", found[1])


# -- launches -----------------------------------------------------------------------------------------


def test_mail_of_a_launch_verifies_as_the_partners_domain(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    sender_id = make_verified(names, cast.partner_admin)
    address = find(cast.partner_admin, sender_id).address
    launch = make_started(cast, contacts=3)
    engine.run_lane(launch.partner_id, launch.id)
    assert len(sink.accepted) == 3
    for one in sink.accepted:
        assert verified(names, one.data)
        assert tag(one.data, "d") == address.partition("@")[2]
        signed = tag(one.data, "h").split(":")
        assert set(signed) >= MUST_BE_SIGNED
        assert signed.count("from") == 2
        mail = email.message_from_bytes(one.data, policy=email.policy.default)
        assert mail.defects == []
        assert all(len(line) <= 998 for line in one.data.split(b"\r\n"))
        assert all("=?" not in value for name, value in mail.items() if name.startswith("List-"))


def test_mail_via_the_platform_is_signed_with_the_platforms_key(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=1)
    domain = f"platform-{new_domain()}"
    before = settings()
    use_settings(before.model_copy(update={"platform_sender": f"mail@{domain}"}))
    sign_for_platform(names, cast, domain)
    other = make_draft(cast, contacts=1)
    with unit_of_work(cast.partner_marketer) as session:
        services.send_test(session, cast.partner_marketer, other.id, address="me@acme.example")
        post(
            session, "welcome", organization_id=cast.partner_id, to_address="new@acme.example",
            data={"url": "https://app.example/there"},
        )  # fmt: skip
    outbox.send_due()
    use_settings(before)
    assert len(sink.accepted) >= 2
    for one in sink.accepted:
        assert verified(names, one.data)
        assert tag(one.data, "d") == domain
    sink.accepted.clear()
    # That one froze an address of another domain, of which there is no key here: its relay signs.
    engine.run_lane(launch.partner_id, launch.id)
    assert b"DKIM-Signature" not in sink.accepted[0].data


def sign_for_platform(names: DnsServer, cast: Cast, domain: str) -> None:
    with unit_of_work(cast.operator) as session:
        key = senders.new_platform_key(session, cast.operator)
    names.texts[f"{key.selector}._domainkey.{domain}"] = [f"v=DKIM1; k=rsa; p={key.public_key}"]
    names.texts[f"_dmarc.{domain}"] = ["v=DMARC1; p=none"]
    senders_checking.check_domain(cast.operator, key.domain_id)


def test_a_mail_shown_again_shows_no_signature_of_today(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    make_verified(names, cast.partner_admin)
    launch = make_started(cast, contacts=1)
    with unit_of_work(system_of(launch)) as session:
        row = queries.list_deliveries(session, system_of(launch), launch.id)[0]
        shown = mails.mail_as_sent(session, system_of(launch), launch.id, row.id)
    assert "List-Id" in shown.headers
    assert "DKIM-Signature" not in shown.headers


# -- changing the key ---------------------------------------------------------------------------------


def test_a_new_key_signs_only_once_its_record_is_seen(names: DnsServer, sink: SmtpSink, cast: Cast) -> None:
    actor = cast.partner_admin
    sender_id = make_verified(names, actor)
    (old,) = keys_of(actor, sender_id)
    launch = make_started(cast, contacts=2)

    def selector_now() -> str:
        with unit_of_work(system_of(launch)) as session:
            found = signing.signer_for(session, launch)
        assert found is not None
        return found.selector

    with unit_of_work(actor) as session:
        new = senders.new_key(session, actor, sender_id)
        with pytest.raises(IllegalTransition, match="waits for its record"):
            senders.new_key(session, actor, sender_id)
    check(actor, sender_id)
    assert selector_now() == old.selector
    publish(names, actor, sender_id, "dkim")
    check(actor, sender_id)
    assert selector_now() == new.selector
    old, new = keys_of(actor, sender_id)
    assert (old.status, old.private_key, new.status) == (KeyStatus.RETIRED, None, KeyStatus.ACTIVE)
    engine.run_lane(launch.partner_id, launch.id)
    assert {(tag(one.data, "s"), verified(names, one.data)) for one in sink.accepted} == {(new.selector, True)}


def test_a_lost_old_record_does_not_matter_once_the_new_key_signs(names: DnsServer, cast: Cast) -> None:
    actor = cast.partner_admin
    sender_id = make_verified(names, actor)
    (old,) = keys_of(actor, sender_id)
    with unit_of_work(actor) as session:
        senders.new_key(session, actor, sender_id)
    publish(names, actor, sender_id, "dkim")
    del names.texts[f"{old.selector}._domainkey.{find(actor, sender_id).domain.name}"]
    assert str(check(actor, sender_id).status) == "verified"


def test_keys_move_under_the_newest_secret_and_are_lost_with_all_of_them(names: DnsServer, cast: Cast) -> None:
    actor = cast.partner_admin
    sender_id = make_verified(names, actor)
    launch = make_draft(cast)
    (key,) = keys_of(actor, sender_id)
    sealed = key.private_key
    assert sealed is not None
    assert resealed(sealed) == sealed
    before = settings()
    both = before.model_copy(update={"secret_key": f"a-new-secret,{before.secret_key}"})
    both.__dict__.pop("secrets", None)
    use_settings(both)
    assert private_key(key).key_size == 2048
    check(actor, sender_id)
    (key,) = keys_of(actor, sender_id)
    assert key.private_key != sealed
    only_old = before.model_copy(update={"secret_key": "quite-another"})
    only_old.__dict__.pop("secrets", None)
    use_settings(only_old)
    with pytest.raises(KeyUnreadable, match="TCMA_SECRET_KEY"):
        private_key(key)
    with unit_of_work(cast.partner_marketer) as session:
        (said,) = [one for one in preflight.preflight(session, cast.partner_marketer, launch.id) if one.code == "sender"]
    assert (said.verdict, "TCMA_SECRET_KEY" in said.detail) == ("fail", True)
    assert resealed(key.private_key or b"") == key.private_key
    use_settings(before)


# -- the signature itself -----------------------------------------------------------------------------


def published(signer: Signer) -> Callable[..., bytes]:
    import base64

    from cryptography.hazmat.primitives import serialization

    public = signer._key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return lambda name, timeout=5: b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def message(html: str = "<p>Hello</p>", text: str = "Hello", **values: str) -> CrlfBytes:
    shape = MessageShape(
        from_name="Jörg Müller & Söhne GmbH, Hamburg", from_address="a@acme.example", reply_to="b@acme.example",
        list_id="a.b.acme.example", feedback_id="a:b:c:d", message_id_domain="acme.example",
    )  # fmt: skip
    given = {"subject": "Ein Grüß Gott " * 9, "to_name": "Zoë", **values}
    return shape.fill(
        to_address="zoe@example.com", html=html, text=text, message_id="d1.x",
        unsubscribe_url="https://t.example/u/abcdef", **given,
    )  # fmt: skip


@given(
    lines=st.lists(st.text(alphabet=st.sampled_from(" \tabé.=\\"), max_size=30), max_size=12),
    subject=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=200),
)
def test_every_message_that_we_make_verifies(signer: Signer, lines: list[str], subject: str) -> None:
    signed = signer.sign(message(html="\r\n".join(lines), text="\n".join(lines), subject=subject))
    assert type(signed) is CrlfBytes
    assert dkim.verify(signed, dnsfunc=published(signer))


@given(body=st.lists(st.sampled_from([b" ", b"\t", b"a", b"\r\n", b"  \r\n", b"        ", b"b\t \tc"]), max_size=40))
def test_bodies_are_relaxed_as_the_reference_does_it(body: list[bytes]) -> None:
    whole = b"".join(body)
    assert signing.relaxed_body(whole) == Relaxed.canonicalize_body(whole + (b"" if whole.endswith(b"\r\n") or not whole else b"\r\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello", b"Hallo"),
        (b"List-Unsubscribe: <https://t.example", b"List-Unsubscribe: <https://e.example"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"Feedback-ID: a:b", b"Feedback-ID: x:b"),
        (b"\r\nDate:", b"\r\nFrom: other@example.com\r\nDate:"),
        (b"\r\nDate:", b"\r\nSubject: Buy\r\nDate:"),
        (b"zoe@example.com", b"eve@example.com"),
    ],
)
def test_what_is_changed_on_the_way_no_longer_verifies(signer: Signer, old: bytes, new: bytes) -> None:
    signed = signer.sign(message())
    changed = signed.replace(old, new, 1)
    assert changed != signed
    assert dkim.verify(signed, dnsfunc=published(signer))
    assert not dkim.verify(changed, dnsfunc=published(signer))


def test_spaces_that_a_relay_adds_do_no_harm(signer: Signer) -> None:
    signed = signer.sign(message())
    touched = signed.replace(b"MIME-Version: 1.0", b"MIME-VERSION:  1.0 ").replace(b"Hello\r\n", b"Hello  \r\n") + b"\r\n"
    assert dkim.verify(touched, dnsfunc=published(signer))


@pytest.mark.parametrize("wrong", [b"From: a@b.example\r\n", b"To: a@b.example\r\n\r\nHello\r\n"])
def test_what_is_no_message_is_refused(signer: Signer, wrong: bytes) -> None:
    with pytest.raises(Invalid):
        signer.sign(wrong)


def test_several_threads_sign_at_once(signer: Signer) -> None:
    faults: list[int] = []

    def work(number: int) -> None:
        for turn in range(10):
            signed = signer.sign(message(text=f"{number} {turn}", subject=f"Hello {number} {turn}"))
            if not dkim.verify(signed, dnsfunc=published(signer)):
                faults.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_the_signature_says_when_it_was_made(signer: Signer) -> None:
    with clock.at(clock.now()) as moment:
        assert tag(signer.sign(message()), "t") == str(int(moment.timestamp()))
