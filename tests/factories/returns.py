"""What comes back, made as mail servers and Amazon make it: posts of SNS, notifications of SES, bounces, complaints."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sqlalchemy import select

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.config import settings
from tcma.db import unit_of_work
from tcma.delivery import sns, tokens
from tcma.delivery.models import Delivery
from tests.factories.delivery import system_of

RETURNS = "returns.example.com"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"


@dataclass
class Amazon:
    """A throwaway signer in Amazon's place, and what was fetched from it."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    fetched: list[str] = field(default_factory=list)

    def certificate(self, *, days: int = 30) -> bytes:
        now = datetime.now(tz=clock.now().tzinfo)
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days)).sign(self.key, hashes.SHA256())
        )  # fmt: skip
        return made.public_bytes(serialization.Encoding.PEM)

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.certificate()

    def post(self, message: dict[str, Any] | str, *, kind: str = "Notification", sign: bool = True, **changes: str) -> dict[str, Any]:
        """A post of SNS with `message`, signed; `changes` are made before signing."""
        fields = {
            "Type": kind, "MessageId": secrets.token_hex(16), "TopicArn": TOPIC,
            "Message": message if isinstance(message, str) else json.dumps(message),
            "Timestamp": clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z"), "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE_URL, **changes,
        }  # fmt: skip
        if kind != "Notification":
            fields |= {"Token": "a" * 40, "SubscribeURL": "http://169.254.169.254/latest/meta-data/"}
        if sign:
            signed = self.key.sign(sns.canonical(fields), padding.PKCS1v15(), hashes.SHA256())
            fields["Signature"] = base64.b64encode(signed).decode()
        return fields


def deliveries_of(launch: Launch) -> list[Delivery]:
    """The launch's deliveries as they are now, by id."""
    with unit_of_work(system_of(launch)) as session:
        statement = select(Delivery).where(Delivery.launch_id == launch.id).order_by(Delivery.id)
        return list(session.scalars(statement.execution_options(populate_existing=True)))


def return_path(delivery: Delivery, *, domain: str = RETURNS) -> str:
    return tokens.return_path(delivery.id, key=settings().derived_keys("tracking")[0], domain=domain)


def ses(kind: str, delivery: Delivery, *, by: str = "header", key: str = "eventType", **part: Any) -> dict[str, Any]:
    """A notification of SES about one delivery, named by its List-Unsubscribe header or by a tag."""
    token = tokens.unsubscribe_token(delivery.id, key=settings().derived_keys("tracking")[0])
    mail: dict[str, Any] = {
        "messageId": f"0107{secrets.token_hex(8)}", "source": "mail@tcma.example", "destination": [delivery.address],
        "headers": [], "tags": {},
    }  # fmt: skip
    if by == "header":
        mail["headers"] = [{"name": "List-Unsubscribe", "value": f"<https://t.example/u/{token}>"}]
    else:
        mail["tags"] = {"delivery": [str(delivery.id)]}
    return {key: kind, "mail": mail, kind.lower(): part}


def ses_bounce(
    delivery: Delivery, *, status: str = "5.1.1", kind: str = "Permanent", detail: str = "General", recipient: str = "",
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    one = {"emailAddress": recipient or delivery.address, "action": "failed", "status": status,
           "diagnosticCode": f"smtp; 550 {status} said the server"}  # fmt: skip
    return ses("Bounce", delivery, bounceType=kind, bounceSubType=detail, bouncedRecipients=[one], **options)


def ses_complaint(delivery: Delivery, *, detail: str | None = None, **options: Any) -> dict[str, Any]:
    return ses(
        "Complaint", delivery, complainedRecipients=[{"emailAddress": delivery.address}], complaintSubType=detail,
        complaintFeedbackType="abuse", **options,
    )  # fmt: skip


def bounce_mail(recipient: str, *, status: str = "5.1.1", action: str = "failed", text: str = "no such user", message_id: str = "") -> bytes:
    """A report in the form of RFC 3464, as Postfix writes it."""
    mark = message_id or secrets.token_hex(8)
    return (
        "From: MAILER-DAEMON@mx.example (Mail Delivery System)\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        f"To: {recipient}\r\nAuto-Submitted: auto-replied\r\nMessage-Id: <{mark}@mx.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="BB"\r\n\r\n'
        "--BB\r\nContent-Type: text/plain\r\n\r\nThis is the mail system at host mx.example.\r\n\r\n"
        "--BB\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; anna@far.example\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} {text}\r\n\r\n"
        "--BB\r\nContent-Type: message/rfc822\r\n\r\nSubject: Hello\r\n\r\nHello\r\n\r\n--BB--\r\n"
    ).encode()


def complaint_mail(recipient: str, *, kind: str = "abuse", original: str = "") -> bytes:
    """A report in the form of RFC 5965 (ARF), about a mail whose return path was `original`."""
    return (
        "From: feedback@isp.example\r\nSubject: FW: Hello\r\n"
        f"To: {recipient}\r\nMessage-Id: <{secrets.token_hex(8)}@isp.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="AA"\r\n\r\n'
        "--AA\r\nContent-Type: text/plain\r\n\r\nAn email abuse report.\r\n\r\n"
        "--AA\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: {kind}\r\nUser-Agent: SomeISP/1.0\r\nVersion: 1\r\nOriginal-Mail-From: <{original}>\r\n\r\n"
        f"--AA\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <{original}>\r\nSubject: Hello\r\n\r\nHello\r\n\r\n--AA--\r\n"
    ).encode()


def answer_mail(recipient: str) -> bytes:
    """Somebody is out of office."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "anna@far.example", recipient, "Out of office"
    mail["Auto-Submitted"], mail["Message-ID"] = "auto-replied", f"<{secrets.token_hex(8)}@far.example>"
    mail.set_content("I am away until Monday.")
    return mail.as_bytes()
