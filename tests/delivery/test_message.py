from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma import clock
from tcma.delivery.message import CrlfBytes, MessageShape, system_message, wire_address
from tcma.errors import Invalid

HTML = '<html><body><p style="color:red">Hello Anna</p>\n<a href="https://t.example/r/a">Go</a></body></html>\n'


def shape(**changes: Any) -> MessageShape:
    given_values: dict[str, Any] = {
        "from_name": "Nordlicht GmbH",
        "from_address": "hello@nordlicht.example",
        "reply_to": "sales@nordlicht.example",
        "list_id": "spring.nordlicht.example",
        "feedback_id": "spring:nordlicht:launch:tcma",
        "message_id_domain": "mail.tcma.example",
    }
    return MessageShape(**{**given_values, **changes})


def fill(made: MessageShape | None = None, **changes: Any) -> CrlfBytes:
    given_values: dict[str, Any] = {
        "to_name": "Anna Svensson",
        "to_address": "anna@example.com",
        "subject": "Your spring offer",
        "html": HTML,
        "text": "Hello Anna\n",
        "message_id": "d42.abc",
        "unsubscribe_url": "https://track.example.com/u/AAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "unsubscribe_mailto": "mailto:u-aaaaaaaa@mail.tcma.example",
    }
    return (made or shape()).fill(**{**given_values, **changes})


def parsed(raw: bytes) -> EmailMessage:
    """The mail as the standard library reads it, without a defect in any header or part."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
        for name, value in part.items():
            assert value.defects == (), (name, value)
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def display_name(raw: bytes, header: str) -> str:
    """The name before the address, decoded by RFC 2047 (`policy.default` of 3.11 parts adjacent words by spaces)."""
    written = email.message_from_bytes(raw, policy=email.policy.compat32)[header].replace("\r\n", "")
    phrase = written.rpartition(" <")[0]
    if phrase.startswith('"'):
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return str(make_header(decode_header(phrase)))


def test_a_message_has_every_header_that_bulk_senders_owe() -> None:
    with clock.at(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)):
        message = parsed(fill())
    assert message["From"] == "Nordlicht GmbH <hello@nordlicht.example>"
    assert message["To"] == "Anna Svensson <anna@example.com>"
    assert message["Reply-To"] == "sales@nordlicht.example"
    assert message["Date"] == "Wed, 04 Mar 2026 05:06:07 +0000"
    assert message["Message-ID"] == "<d42.abc@mail.tcma.example>"
    assert message["List-Id"] == "<spring.nordlicht.example>"
    assert message["List-Unsubscribe"] == (
        "<https://track.example.com/u/AAAAAAAAAAAAAAAAAAAAAAAAAAA>, <mailto:u-aaaaaaaa@mail.tcma.example>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Feedback-ID"] == "spring:nordlicht:launch:tcma"
    assert message["MIME-Version"] == "1.0"
    assert message["Return-Path"] is None


def test_the_text_part_comes_before_the_html_part() -> None:
    message = parsed(fill())
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_filling_twice_for_two_people_mixes_nothing() -> None:
    made = shape()
    first = parsed(fill(made, to_address="one@example.com", html="<p>one</p>"))
    second = parsed(fill(made, to_address="two@example.com", html="<p>two</p>"))
    assert (first["To"].addresses[0].addr_spec, body(first, "html").strip()) == (
        "one@example.com",
        "<p>one</p>",
    )
    assert (second["To"].addresses[0].addr_spec, body(second, "html").strip()) == (
        "two@example.com",
        "<p>two</p>",
    )


@pytest.mark.parametrize("length", [1, 70, 800])
def test_list_headers_are_never_encoded_words(length: int) -> None:
    raw = fill(unsubscribe_url="https://t.example/" + "a" * (length - 1))
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    listed = [line for line in head.split(b"\r\n") if line.lower().startswith(b"list-")]
    assert len(listed) == 3
    assert not any(b"=?" in line for line in listed)


def test_an_unsubscribe_address_that_is_no_uri_is_refused() -> None:
    for bad in (
        "",
        "javascript:alert(1)",
        "https://t.example/a b",
        "https://t.example/>x",
        "https://t.example/ü",
    ):
        with pytest.raises(Invalid):
            fill(unsubscribe_url=bad)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "Hi\r\nBcc: everyone@example.com"),
        ("subject", "Hi\nthere"),
        ("subject", "Hi\rthere"),
        ("subject", "Hi\x00there"),
        ("subject", "Hi\u2028there"),
        ("subject", "Hi\ud800there"),
        ("to_name", "Anna\r\nBcc: x@example.com"),
        ("to_address", "anna@example.com\r\nBcc: x@example.com"),
        ("to_address", "anna@example.com>, <x@example.com"),
        ("to_address", "anna"),
        ("to_address", "anna@example..com"),
        ("to_address", "a" * 65 + "@example.com"),
        ("message_id", "a\r\nX: y"),
        ("message_id", "a@b"),
        ("unsubscribe_url", "https://t.example/\r\nX: y"),
        ("unsubscribe_mailto", "mailto:a@b.example\nX: y"),
        ("html", "half \ud800 a character"),
    ],
)
def test_a_value_that_would_break_a_header_is_refused_by_name(field: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        fill(**{field: value})
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from_name", "N\r\nBcc: x@example.com"),
        ("from_address", "hello"),
        ("reply_to", "a@b.example\n"),
        ("list_id", "spring nordlicht"),
        ("feedback_id", "only:three:fields"),
        ("feedback_id", "a:b:c:d\r\nX: y"),
        ("headers", {"X-SES-TAGS": "a\r\nX: y"}),
        ("headers", {"From": "someone@else.example"}),
        ("headers", {"X Y": "z"}),
        ("headers", {"List-Help": "über"}),
        ("message_id_domain", "not a domain"),
    ],
)
def test_a_shape_that_would_break_a_header_is_refused(field: str, value: Any) -> None:
    with pytest.raises(Invalid):
        shape(**{field: value})


@pytest.mark.parametrize(
    "name",
    [
        "José Núñez",
        'Quote "Q" Quentin',
        "Back\\slash",
        "Doe, John (Sales)",
        "J. R. Ewing",
        "=?utf-8?q?x?=",
        "株式会社日本システム開発センター営業本部東日本エリア統括部御担当者様各位" * 3,
        "A very long company name " * 6 + "end",
        "Zoë 👩‍💻 Müller",
    ],
)
def test_any_display_name_arrives_as_it_was_written(name: str) -> None:
    raw = fill(shape(from_name=name), to_name=name)
    assert (display_name(raw, "From"), display_name(raw, "To")) == (name, name)
    message = parsed(raw)
    assert [address.addr_spec for address in message["To"].addresses] == ["anna@example.com"]
    assert [address.addr_spec for address in message["From"].addresses] == ["hello@nordlicht.example"]


@pytest.mark.parametrize(
    "subject",
    [
        "Plain",
        "Grüße aus Köln",
        "Long " + "word " * 60 + "end",
        "x" * 300,
        "=?utf-8?q?not_encoded?=",
        "Ein sehr langer Betreff über Schneeflöckchen und Weißröckchen " * 5 + "Schluß",
        "日本語の件名" * 40,
        "Two  spaces   kept " + "and then a line that is longer than seventy-eight characters",
    ],
)
def test_any_subject_arrives_as_it_was_written_in_short_lines(subject: str) -> None:
    raw = fill(subject=subject)
    assert parsed(raw)["Subject"] == subject
    head = raw.partition(b"\r\n\r\n")[0]
    assert all(len(line) <= 78 for line in head.split(b"\r\n") if b"List-" not in line)


def test_an_empty_subject_stays_empty() -> None:
    assert parsed(fill(subject="  "))["Subject"] == ""


_LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120)


@given(subject=_LINE, name=_LINE)
def test_every_printable_header_value_survives(subject: str, name: str) -> None:
    raw = fill(subject=subject, to_name=name)
    assert raw.partition(b"\r\n\r\n")[0].isascii()
    head = raw.partition(b"\r\n\r\n")[0]
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Subject"].rstrip() == subject.strip().rstrip()
    assert message["To"].addresses[0].addr_spec == "anna@example.com"


@given(
    html=st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
)
def test_every_body_goes_in_lines_of_998_at_most_with_crlf_only(html: str, text: str) -> None:
    raw = fill(html=html, text=text)
    assert raw.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert raw.isascii()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert [part.get_content_type() for part in message.walk()][1:] == ["text/plain", "text/html"]
    part = message.get_body(("plain",))
    shown = part.get_payload(decode=True).decode()
    wanted = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert shown.rstrip("\r\n") == wanted.rstrip("\r\n")


def _transfer_encodings(raw: bytes) -> list[str]:
    return [part["Content-Transfer-Encoding"] for part in parsed(raw).iter_parts()]


def test_ascii_goes_as_it_is() -> None:
    raw = fill()
    assert _transfer_encodings(raw) == ["7bit", "7bit"]
    assert HTML.replace("\n", "\r\n").encode() in raw


def test_html_with_a_few_accents_goes_as_references_that_read_the_same() -> None:
    raw = fill(html=HTML.replace("Anna", "Zoë"))
    assert _transfer_encodings(raw)[1] == "7bit"
    assert b"Hello Zo&#235;" in raw


def test_accents_inside_a_style_sheet_are_left_alone() -> None:
    html = '<style>p::before{content:"»"}</style>' + HTML
    raw = fill(html=html)
    assert _transfer_encodings(raw)[1] == "quoted-printable"
    assert body(parsed(raw), "html").strip() == html.strip()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello Anna\n", "7bit"),
        ("Grüße an alle, die das hier lesen\n", "quoted-printable"),
        ("x" * 2000 + "\n", "quoted-printable"),
        ("a\0b\n", "quoted-printable"),
        ("こんにちは世界\n", "base64"),
    ],
)
def test_a_text_travels_in_the_cheapest_readable_form(text: str, encoding: str) -> None:
    raw = fill(text=text)
    assert _transfer_encodings(raw)[0] == encoding
    assert body(parsed(raw), "plain") == text


def test_a_body_that_holds_the_boundary_cannot_end_its_part() -> None:
    made = shape()
    boundary = re.search(rb'boundary="([^"]+)"', fill(made))
    assert boundary
    evil = f"before\n--{boundary[1].decode()}--\nafter\n"
    message = parsed(fill(made, text=evil))
    assert body(message, "plain") == evil
    assert len(list(message.iter_parts())) == 2


def test_a_domain_beyond_ascii_is_written_in_its_ascii_form() -> None:
    assert wire_address("anna@müller.example") == "anna@xn--mller-kva.example"
    assert wire_address("anna@straße.example") == "anna@xn--strae-oqa.example"
    assert b"<anna@xn--mller-kva.example>" in fill(to_address="anna@müller.example")


def test_a_local_part_beyond_ascii_stays_as_it_is() -> None:
    assert wire_address("jösé@müller.example") == "jösé@xn--mller-kva.example"
    assert "jösé@example.com".encode() in fill(to_address="jösé@example.com")


@pytest.mark.parametrize("bad", ["", "@", "a@", "@b", "a b@c.example", "ä b@c.example", "a@b@c", "a@-b.example", "ä@ "])
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(Invalid):
        wire_address(bad)


def test_further_headers_of_shape_and_message_stay_on_one_line() -> None:
    value = "campaign=" + "x" * 200
    message = fill(shape(headers={"X-SES-CONFIGURATION-SET": "bulk"}), headers={"X-SES-MESSAGE-TAGS": value})
    assert b"\r\nX-SES-CONFIGURATION-SET: bulk\r\n" in message
    assert b"\r\nX-SES-MESSAGE-TAGS: " + value.encode() + b"\r\n" in message


def test_a_system_message_is_marked_automatic_and_has_no_list_headers() -> None:
    raw = system_message(
        from_name="TCMA",
        from_address="mail@tcma.example",
        to_address="anna@example.com",
        subject="Sie sind eingeladen: Müller & Söhne möchten mit Ihnen zusammenarbeiten und freuen sich auf Sie",
        text="Hallo\n",
        html="<p>Hallo</p>\n",
        message_id="n1",
        message_id_domain="mail.tcma.example",
    )
    message = parsed(raw)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"].startswith("Sie sind eingeladen: Müller & Söhne")
    assert not [name for name in message if name.lower().startswith("list-")]
    assert body(message, "html") == "<p>Hallo</p>\n"
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))


def test_a_system_message_without_html_is_one_text_part() -> None:
    raw = system_message(
        from_name="TCMA",
        from_address="mail@tcma.example",
        to_address="anna@example.com",
        subject="Code",
        text="123456 é\n",
        message_id="n2",
        message_id_domain="mail.tcma.example",
    )
    message = parsed(raw)
    assert message.get_content_type() == "text/plain"
    assert body(message, "plain") == "123456 é\n"
