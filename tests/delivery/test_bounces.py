"""What a bounce or a complaint says: read by its status, not by its words alone."""

from __future__ import annotations

import pytest

from tcma.delivery.bounces import ReportKind, judge, originals, plain, read_mail
from tests.factories.returns import answer_mail, bounce_mail, complaint_mail

HARD, SOFT, ABOUT_US = ReportKind.HARD, ReportKind.SOFT, ReportKind.ABOUT_US


@pytest.mark.parametrize(
    ("status", "text", "code", "kind"),
    [
        ("5.1.1", "no such user", 550, HARD),
        ("5.1.10", "RESOLVER.ADR.RecipientNotFound", 550, HARD),
        ("5.2.1", "disabled", 550, HARD),
        ("5.4.4", "no mail server", None, HARD),
        ("5.2.2", "mailbox full", 552, SOFT),
        ("5.3.4", "too large", 552, SOFT),
        ("4.4.1", "no answer", None, SOFT),
        ("5.4.7", "expired", None, SOFT),
        ("5.6.0", "content", 554, SOFT),
        ("5.7.1", "blocked", 550, ABOUT_US),
        ("5.7.26", "unauthenticated", 550, ABOUT_US),
        ("5.1.8", "bad sender", 550, ABOUT_US),
        ("5.0.0", "smtp; 550 5.1.1 unknown", 550, HARD),
        ("5.0.0", "smtp; 552 5.2.2 over quota", 552, SOFT),
        ("", "550 User unknown", 550, HARD),
        ("", "550 Mailbox is full", 550, SOFT),
        ("", "554 rejected as spam", 554, ABOUT_US),
        ("", "550", 550, HARD),
        ("", "554 transaction failed", 554, SOFT),
        ("nonsense", "", None, SOFT),
    ],
)
def test_a_status_decides_what_a_refusal_means(status: str, text: str, code: int | None, kind: ReportKind) -> None:
    assert judge(status, text, code=code) is kind


@pytest.mark.parametrize(
    ("status", "action", "kind"),
    [
        ("5.1.1", "failed", HARD), ("5.2.2", "failed", SOFT), ("5.7.1", "failed", ABOUT_US),
        ("4.4.7", "delayed", ReportKind.DELAYED), ("2.0.0", "delivered", ReportKind.DELIVERED),
        ("2.0.0", "relayed", ReportKind.DELIVERED),
    ],
)  # fmt: skip
def test_a_report_in_form_is_read_field_by_field(status: str, action: str, kind: ReportKind) -> None:
    report = read_mail(bounce_mail("b-x@returns.example.com", status=status, action=action))
    assert (report.kind, report.status, report.recipient) == (kind, status, "anna@far.example")


def test_a_mail_of_old_qmail_is_a_hard_bounce() -> None:
    words = (
        b"From: MAILER-DAEMON@old.example\r\nSubject: failure notice\r\n\r\n"
        b"Hi. This is the qmail-send program at old.example.\r\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
        b"<anna@far.example>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n"
        b"--- Below this line is a copy of the message.\r\n\r\nSubject: Hello\r\n"
    )
    report = read_mail(words)
    assert (report.kind, report.recipient, report.status) == (HARD, "anna@far.example", "5.1.1")


def test_an_answer_of_a_robot_or_a_person_is_no_bounce() -> None:
    assert read_mail(answer_mail("b-x@returns.example.com")).kind is ReportKind.NOTHING
    assert read_mail(b"From: a@b.example\r\nSubject: Thanks\r\n\r\nThank you for the mail.\r\n").kind is ReportKind.NOTHING


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("abuse", ReportKind.COMPLAINT), ("fraud", ReportKind.COMPLAINT), ("not-spam", ReportKind.NOTHING),
        ("opt-out", ReportKind.UNSUBSCRIBE),
    ],
)  # fmt: skip
def test_a_feedback_report_is_a_complaint_unless_it_says_otherwise(given: str, kind: ReportKind) -> None:
    assert read_mail(complaint_mail("b-x@returns.example.com", kind=given)).kind is kind


def test_the_mail_that_a_report_is_about_names_its_return_path() -> None:
    found = list(originals(complaint_mail("b-x@r.example", original="b-abc@r.example")))
    assert any("b-abc@r.example" in one for one in found)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\0" * 100, b"\xff\xfe broken", b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n", b"Content-Type: message/feedback-report\r\n\r\n",
        bounce_mail("b-x@r.example")[:420],
    ],
)  # fmt: skip
def test_whatever_comes_is_read_without_a_fault(raw: bytes) -> None:
    assert read_mail(raw).kind in set(ReportKind)


def test_words_of_servers_are_made_fit_to_be_kept() -> None:
    assert plain("a\0b\udcffc") == "ab?c"
