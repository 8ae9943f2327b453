"""What a bounce or a complaint says: hard, soft, about us, or nothing. Pure; nothing here knows a database.

A verdict rests on the enhanced status code (RFC 3463) of the report (RFC 3464), not on the words alone: 5.2.2 is a full
mailbox and passes, 5.1.1 does not, and 5.7.x speaks of our mail and not of the address. What is no report in form is
given to flufl.bounce, which knows the words of old mail servers.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.policy import compat32
from enum import StrEnum

import structlog
from flufl.bounce import all_failures

log = structlog.get_logger(__name__)

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_FULL = re.compile(r"mailbox (?:is )?full|over ?quota|quota (?:is )?exceeded|insufficient storage", re.IGNORECASE)
_ABOUT_US = re.compile(
    r"\bspam|block(?:ed|list)|black ?list|reputation|\bdmarc\b|\bspf\b|\bdkim\b|unsolicited|rbl\b|policy", re.IGNORECASE
)
_NOBODY = re.compile(
    r"user unknown|unknown user|no such (?:user|recipient|mailbox|address|person)|does ?n[o']t exist|"
    r"(?:mailbox|account|address) (?:is )?(?:unavailable|disabled|not found|unknown|inactive)|invalid recipient|"
    r"recipient (?:address )?rejected|no mailbox here",
    re.IGNORECASE,
)  # fmt: skip
_EXCERPT = 300


class ReportKind(StrEnum):
    """What came back on one delivery. ABOUT_US: the receiver refuses our mail, whoever it is for."""

    HARD = "hard"
    SOFT = "soft"
    ABOUT_US = "about_us"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    NOTHING = "nothing"


BOUNCES = frozenset({ReportKind.HARD, ReportKind.SOFT, ReportKind.ABOUT_US})


@dataclass(frozen=True, slots=True)
class Report:
    """One thing said about one delivery.

    `delivery_id` 0 is a test mail, None means that it is not known. `recipient` is whom the report names; where
    `proven` is False the delivery is believed only if that is its recipient. `listed`: the provider knew of an
    earlier complaint and did not send at all.
    """

    kind: ReportKind
    delivery_id: int | None = None
    recipient: str = ""
    status: str = ""
    text: str = ""
    proven: bool = True
    listed: bool = False


def plain(text: str, *, limit: int = _EXCERPT) -> str:
    """`text` as a database can keep it: servers put zero bytes and broken UTF-8 into their answers."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")[:limit]


def judge(status: str, text: str, *, code: int | None = None) -> ReportKind:
    """What a final refusal means. `status` is an enhanced code or empty, `code` the reply code where there is one."""
    found = _STATUS.fullmatch(status)
    if found is None or found.group(2, 3) == ("0", "0"):
        # “5.0.0” says nothing; the server's own words may hold a better one.
        found = next((one for one in _STATUS.finditer(text) if one.group(2, 3) != ("0", "0")), None)
    if found is None:
        return _by_words(text, code)
    kind, subject, detail = found.group(1), int(found.group(2)), int(found.group(3))
    if kind != "5":
        return ReportKind.SOFT
    if subject == 7 or (subject == 1 and detail in (7, 8)):
        # 5.1.7 and 5.1.8: a bad sender's address (RFC 3463 §3.2).
        return ReportKind.ABOUT_US
    # 5.2.1: the mailbox is disabled; 5.4.1: no answer from the host, which Exchange says of unknown people;
    # 5.4.4: the domain has no mail server. All other subjects speak of the moment, the route or the message.
    hard = subject == 1 or (subject, detail) in ((2, 1), (4, 1), (4, 4))
    return ReportKind.HARD if hard else ReportKind.SOFT


def _by_words(text: str, code: int | None) -> ReportKind:
    if _FULL.search(text) or code == 552 or (code is not None and 400 <= code < 500):
        return ReportKind.SOFT
    if _NOBODY.search(text):
        return ReportKind.HARD
    if _ABOUT_US.search(text):
        return ReportKind.ABOUT_US
    # RFC 5321 §4.2.3: 550, 551 and 553 are about the mailbox; whatever else is unclear suppresses nobody at once.
    return ReportKind.HARD if code in (550, 551, 553) else ReportKind.SOFT


def read_mail(raw: bytes) -> Report:
    """What a mail to a return path says; `delivery_id` stays None. An answer of a person or a robot is NOTHING."""
    mail = email.message_from_bytes(raw, policy=compat32)
    parts = {part.get_content_type(): part for part in reversed(list(mail.walk()))}
    if "message/feedback-report" in parts:
        return _complaint(parts["message/feedback-report"])
    if "message/delivery-status" in parts:
        return _status_report(parts["message/delivery-status"])
    if _is_answer(mail):
        return Report(ReportKind.NOTHING, text="an automatic answer")
    temporary, permanent = _known_words(mail)
    words = _words(mail)
    if permanent:
        kind = judge("", words)
        recipient = min(permanent).decode("ascii", "replace")
        told = _STATUS.search(words) or _FULL.search(words) or _ABOUT_US.search(words)
        return Report(kind if told else ReportKind.HARD, recipient=recipient, status=_status(words), text=_line(words))
    if temporary:
        return Report(ReportKind.DELAYED, status=_status(words), text=_line(words))
    return Report(ReportKind.NOTHING, text="no report")


def _known_words(mail: Message) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """The recipients that flufl.bounce finds refused for now and for good."""
    try:
        return all_failures(mail)
    except Exception as error:
        # Its detectors expect the mails of their servers and fall over others, such as one without From.
        log.info("bounce_not_recognised", error=type(error).__name__)
        return frozenset(), frozenset()


def originals(raw: bytes) -> Iterator[str]:
    """Addresses and links of the mail that a report is about, as it quotes them: each may hold a token of ours."""
    mail = email.message_from_bytes(raw, policy=compat32)
    for part in mail.walk():
        if part is mail:
            continue
        for name in ("Original-Mail-From", "Return-Path", "List-Unsubscribe"):
            for value in part.get_all(name, []):
                yield str(value)
        if part.get_content_type() in ("message/feedback-report", "text/rfc822-headers"):
            yield from re.findall(r"(?im)^(?:original-mail-from|return-path|list-unsubscribe):(.*)$", _payload(part))


def _complaint(part: Message) -> Report:
    """ARF (RFC 5965 §3.1): `abuse` and its kin are complaints, `not-spam` is the opposite."""
    fields = email.message_from_string(_payload(part).strip(), policy=compat32)
    kind = str(fields.get("Feedback-Type", "abuse")).strip().lower()
    if kind == "not-spam":
        return Report(ReportKind.NOTHING, text="marked as no spam")
    recipient = _address(str(fields.get("Original-Rcpt-To", "") or fields.get("Removal-Recipient", "")))
    what = ReportKind.UNSUBSCRIBE if kind == "opt-out" else ReportKind.COMPLAINT
    return Report(what, recipient=recipient, text=f"{kind}, by {fields.get('User-Agent', 'a provider')}"[:_EXCERPT])


def _status_report(part: Message) -> Report:
    """The worst that a report says of any of its recipients (RFC 3464 §2.3)."""
    blocks = part.get_payload()
    blocks = blocks if isinstance(blocks, list) else []
    found = [_recipient_block(one) for one in blocks if isinstance(one, Message) and one.get("Action")]
    order = list(ReportKind)
    return min(found, key=lambda one: order.index(one.kind), default=Report(ReportKind.NOTHING, text="no recipient"))


def _recipient_block(fields: Message) -> Report:
    action = str(fields["Action"]).strip().lower()
    text = " ".join(str(fields.get("Diagnostic-Code", "")).split())
    status = _status(str(fields.get("Status", ""))) or _status(text)
    recipient = _address(str(fields.get("Original-Recipient") or fields.get("Final-Recipient") or ""))
    if action == "failed":
        code = re.search(r"\b([45]\d\d)[ -]", text)
        kind = judge(status, text, code=int(code.group(1)) if code else None)
    else:
        kind = {"delayed": ReportKind.DELAYED, "delivered": ReportKind.DELIVERED, "relayed": ReportKind.DELIVERED,
                "expanded": ReportKind.DELIVERED}.get(action, ReportKind.NOTHING)  # fmt: skip
    return Report(kind, recipient=recipient, status=status, text=text[:_EXCERPT])


def _is_answer(mail: Message) -> bool:
    """An answering machine (RFC 3834 §5). Old Exim marks its bounces so too, and names whom they are about."""
    if mail.get("X-Failed-Recipients") or "mailer-daemon" in str(mail.get("From", "")).lower():
        return False
    marked = str(mail.get("Auto-Submitted", "")).strip().lower().startswith("auto-replied")
    return marked or bool(mail.get("X-Autoreply") or mail.get("X-Auto-Response-Suppress") == "All")


def _status(text: str) -> str:
    found = _STATUS.search(text)
    return found.group(0) if found else ""


def _address(field: str) -> str:
    """`rfc822; <a@b>` as `a@b`."""
    return field.rpartition(";")[2].strip().strip("<>").strip()[:254]


def _line(text: str) -> str:
    return " ".join(text.split())[:_EXCERPT]


def _words(mail: Message) -> str:
    """The first text of a mail, which in old bounces holds the server's answer."""
    for part in mail.walk():
        if part.get_content_maintype() == "text" and not part.is_multipart():
            return _payload(part)[:4000]
    return ""


def _payload(part: Message) -> str:
    """The text of a part; of a part that was parsed as a message, its fields as they were written."""
    content = part.get_payload()
    if isinstance(content, list):
        return "\n".join(str(one) for one in content)
    decoded = part.get_payload(decode=True)
    return decoded.decode("utf-8", "replace") if isinstance(decoded, bytes) else str(content)
