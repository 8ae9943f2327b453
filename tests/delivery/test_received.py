"""Mails as an independent server took them: every reader of them finds what it looks for."""

from __future__ import annotations

import email
import email.policy
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr

import pytest
from inscriptis import get_text
from sqlalchemy import select

from tcma.audience.models import Contact
from tcma.campaigns import starter
from tcma.db import unit_of_work
from tcma.delivery import engine
from tests.factories.cast import Cast
from tests.factories.delivery import make_campaign, make_started
from tests.sinks import SmtpSink

NAMES = (
    ("Ana", "O'Brien-Šimić"), ("李", "小龍"), ("Ørjan", "«Bø», Jr."), ("=?utf-8?q?x?=", "Test"), ("{{ 7*7 }}", "<b>&"),
    ("", ""), ("Zoë" * 30, "Ünal" * 20), ("محمد", "الأمين"),
)  # fmt: skip


@pytest.fixture(params=[one.key for one in starter.starters()])
def received(sink: SmtpSink, cast: Cast, request: pytest.FixtureRequest) -> list[tuple[bytes, EmailMessage]]:
    """One mail for each of NAMES, of one starter campaign."""
    actor = cast.partner_marketer
    launch = make_started(
        cast, contacts=len(NAMES), campaign=make_campaign(cast.vendor_marketer, starter_key=request.param)
    )
    with unit_of_work(actor) as session:
        people = session.scalars(select(Contact).where(Contact.partner_id == actor.organization_id).order_by(Contact.id))
        for person, (first, last) in zip(people, NAMES, strict=True):
            person.first_name, person.last_name = first, last
    assert engine.run_lane(launch.partner_id, launch.id, seconds=30).sent == len(NAMES)
    return [
        (mail.data, email.message_from_bytes(mail.data, policy=email.policy.default))  # type: ignore[misc]
        for mail in sink.accepted
    ]


def test_each_mail_parses_without_a_defect_and_keeps_to_the_limits(received: list[tuple[bytes, EmailMessage]]) -> None:
    for raw, mail in received:
        assert [part.defects for part in mail.walk() if part.defects] == []
        assert [header.defects for header in mail.values() if getattr(header, "defects", ())] == []
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
        head = raw.split(b"\r\n\r\n", 1)[0]
        assert max(map(len, head.split(b"\r\n"))) <= 998
        assert not [line for line in re.sub(rb"\r\n[ \t]", b" ", head).split(b"\r\n") if line[:5].lower() == b"list-" and b"=?" in line]
        assert len(raw) < 100 * 1024


def test_names_arrive_as_they_are_and_never_as_a_template(received: list[tuple[bytes, EmailMessage]]) -> None:
    # The new parser of the standard library leaves a space between adjacent encoded words of a name, which
    # RFC 2047 §6.2 says is not displayed; the old one does not.
    old = [email.message_from_bytes(raw)["To"] for raw, _ in received]
    shown = [
        str(make_header(decode_header(one.rpartition("<")[0].strip()))) if one.startswith("=?") else parseaddr(one)[0]
        for one in old
    ]
    assert shown == [f"{first} {last}".strip() for first, last in NAMES]
    for _, mail in received:
        html = mail.get_body(("html",)).get_content()
        assert "<b>&" not in html.replace("&lt;b&gt;&amp;", "")


def test_text_and_html_say_the_same(received: list[tuple[bytes, EmailMessage]]) -> None:
    def words(content: str) -> set[str]:
        return set(re.findall(r"[^\W\d_]{4,}", re.sub(r"https?://\S+", " ", content)))

    for _, mail in received:
        text = words(mail.get_body(("plain",)).get_content())
        html = words(get_text(mail.get_body(("html",)).get_content()))
        assert len(text) > 40
        # Words of one part that the other lacks: words in pictures' place, and case changed for looks.
        assert len({one.lower() for one in html} - {one.lower() for one in text}) <= 0.05 * len(html), html - text
        assert len({one.lower() for one in text} - {one.lower() for one in html}) <= 0.1 * len(text), text - html
