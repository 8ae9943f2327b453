"""Amazon SES v2 as a transport, by its HTTP API.

SES has no SMTPUTF8: addresses are ASCII, domains in punycode. It writes Message-ID and Date anew and signs by
itself, so nothing is signed here; `register_domain` gives it our key for a partner's domain.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from tcma.config import Settings
from tcma.delivery.domain_check import Finding
from tcma.delivery.message import wire_address
from tcma.delivery.reply import Outgoing, Reply, ReplyKind, Stage, Waiting
from tcma.delivery.smtp_target import SmtpRefused, SmtpUnavailable
from tcma.errors import Invalid

THROTTLED = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded"})
ABOUT_US = frozenset(
    {
        "AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException",
        "LimitExceededException", "NotFoundException", "AccessDeniedException", "AccessDenied",
        "UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredTokenException",
        "ExpiredToken", "InvalidSignatureException", "MissingAuthenticationTokenException", "OptInRequired",
    }
)  # fmt: skip
"""Answers that judge the account or its set-up, not the message."""

_NEVER_SENT = (
    ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, PartialCredentialsError, ProxyConnectionError,
    SSLError,
)  # fmt: skip
_WAITS = (0.2, 0.4, 0.8, 1.6)
_REST = 30.0
_DELIVERY = re.compile(rb"^message-id: <d(\d{1,19})\.", re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"[^A-Za-z0-9_.@-]")


@dataclass(frozen=True, slots=True)
class SesTarget:
    """Times in seconds. A message is settled after one try with an answer, or after waiting out throttling."""

    connect_timeout: float = 10.0
    answer_timeout: float = 60.0

    @property
    def longest_transaction(self) -> float:
        return (len(_WAITS) + 1) * (self.connect_timeout + self.answer_timeout) + sum(_WAITS)


class SesTransport:
    """One HTTPS connection that stays open over many messages, for one thread at a time; see `Transport`.

    Every mail carries the `tags` given and `delivery`, the number in its Message-ID. A message is asked for once:
    boto3's own retries are off, for a second try after a lost answer could send the mail twice.
    """

    def __init__(self, conf: Settings, *, tags: Mapping[str, str], target: SesTarget | None = None) -> None:
        self.target = target or SesTarget()
        self._conf = conf
        self._tags = [{"Name": name, "Value": _TAG.sub("-", value)[:256]} for name, value in tags.items()]
        self._client: Any = None
        self._rest_until = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._asked: Future[Reply] | None = None
        self._bell = (-1, -1)

    @property
    def is_open(self) -> bool:
        return self._client is not None

    @property
    def announces(self) -> bool:
        """Never: each message is one request."""
        return False

    def connect(self) -> None:
        """Make ready; the connection itself opens with the first mail. Raises SmtpUnavailable, SmtpRefused."""
        self._hang_up()
        left = self._rest_until - time.monotonic()
        if left > 0:
            raise SmtpUnavailable(f"Amazon SES asked us to send less; we go on in {left:.0f} seconds.")
        try:
            self._client = client(self._conf, self.target)
        except (BotoCoreError, ValueError) as error:
            raise SmtpRefused(f"Amazon SES cannot be used: {error}") from None

    def close(self) -> None:
        if self._thread is not None:
            # What was asked is asked: the request ends before its connection does.
            self._thread.shutdown(wait=True)
            self._thread = self._asked = None
            for end in self._bell:
                os.close(end)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    @property
    def waits_for(self) -> Waiting:
        """See `Transport`: a pipe that holds a byte once SES has answered."""
        return self._bell[0], select.POLLIN, time.monotonic() + self.target.longest_transaction

    def begin(self, mail: Outgoing) -> Reply | None:
        """Have a thread of this connection ask SES, for boto3 knows no other way to not wait; see `Transport`."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "ses")
            self._bell = os.pipe()
        self._asked = self._thread.submit(self.send, mail)
        self._asked.add_done_callback(lambda _: os.write(self._bell[1], b"."))
        return None

    def advance(self) -> Reply | None:
        """The verdict once there is one. Raises what `before_dot` raised."""
        assert self._asked is not None
        if not self._asked.done():
            return None
        os.read(self._bell[0], 1)
        asked, self._asked = self._asked, None
        return asked.result()

    def send(self, mail: Outgoing) -> Reply:
        """Hand over one message; the reply's text holds the MessageId of SES.

        `before_dot` is called just before the request. An answer that never came, or an error of the server that
        leaves open what it did, makes the message unknown. The return path is SES's own business, `upcoming` does nothing.
        """
        if self._client is None:
            return Reply(ReplyKind.DEFERRED, None, None, "There is no connection to Amazon SES.", Stage.CONNECT)
        try:
            address = wire_address(mail.envelope.recipient)
        except Invalid as error:
            return Reply(ReplyKind.FAILED, None, "5.1.3", str(error), Stage.RCPT)
        if not address.isascii():
            text = "Amazon SES takes ASCII addresses only, and this address has other characters."
            return Reply(ReplyKind.FAILED, None, "5.6.7", text, Stage.RCPT)
        request = self._request(address, mail.data)
        mail.before_dot()
        for wait in (*_WAITS, None):
            reply = self._ask(request)
            if reply is not None:
                return reply
            if wait is not None:
                time.sleep(wait)
        # Throttled all along: let the account breathe before anybody asks again.
        self._rest_until = time.monotonic() + _REST
        self._hang_up()
        return Reply(ReplyKind.DEFERRED, 454, "4.7.0", "Amazon SES asks us to send less for now.", Stage.MAIL)

    def _request(self, address: str, data: bytes) -> dict[str, Any]:
        found = _DELIVERY.search(data, 0, data.find(b"\r\n\r\n") + 2)
        tags = [*self._tags, {"Name": "delivery", "Value": found[1].decode()}] if found else self._tags
        request: dict[str, Any] = {"Destination": {"ToAddresses": [address]}, "Content": {"Raw": {"Data": bytes(data)}}}
        if self._conf.ses_configuration_set:
            request["ConfigurationSetName"] = self._conf.ses_configuration_set
        if tags:
            request["EmailTags"] = tags
        return request

    def _ask(self, request: dict[str, Any]) -> Reply | None:
        """The verdict of one request; None where SES throttles, which says that it did nothing."""
        try:
            answer = self._client.send_email(**request)
        except ClientError as error:
            return self._judged(error)
        except ParamValidationError as error:
            return Reply(ReplyKind.FAILED, None, "5.6.0", f"Amazon SES cannot take this message: {error}", Stage.DATA)
        except _NEVER_SENT as error:
            self._hang_up()
            return Reply(ReplyKind.DEFERRED, None, None, f"Amazon SES cannot be reached: {error}", Stage.CONNECT)
        except BotoCoreError as error:
            self._hang_up()
            text = f"The message was handed to Amazon SES, and no answer came: {error}"
            return Reply(ReplyKind.UNKNOWN, None, None, text, Stage.DOT)
        return Reply(ReplyKind.SENT, 250, None, str(answer["MessageId"]), Stage.DOT)

    def _judged(self, error: ClientError) -> Reply | None:
        code, words, status = _parts(error)
        text = f"{code}: {words}"
        if code in THROTTLED or status == 429:
            return None
        if status == 503:
            self._hang_up()
            return Reply(ReplyKind.DEFERRED, 454, "4.3.0", text, Stage.MAIL)
        if status >= 500:
            return Reply(ReplyKind.UNKNOWN, None, None, f"Amazon SES left open what it did. {text}", Stage.DOT)
        if code in ABOUT_US or status in (401, 403) or "not verified" in words.lower():
            # Nothing about this message: the others would fare the same, so nobody's tries are spent.
            self._rest_until = time.monotonic() + _REST
            self._hang_up()
            return Reply(ReplyKind.DEFERRED, 454, "4.7.1", text, Stage.MAIL)
        return Reply(ReplyKind.FAILED, 554, "5.6.0", text, Stage.DOT)


def client(conf: Settings, target: SesTarget | None = None) -> Any:
    """A client of the SES v2 API with no retries of its own; credentials come the way boto3 finds them."""
    times = target or SesTarget()
    return boto3.session.Session().client(
        "sesv2", region_name=conf.ses_region, endpoint_url=conf.ses_endpoint or None,
        config=Config(
            retries={"total_max_attempts": 1}, connect_timeout=times.connect_timeout,
            read_timeout=times.answer_timeout, max_pool_connections=1,
        ),
    )  # fmt: skip


def register_domain(conf: Settings, domain: str, *, selector: str, private_key: str) -> Finding:
    """Have SES send for `domain` and sign with our key, so that one record in the DNS serves both.

    `private_key` is PKCS #1 in base64. Called again it gives SES the key of a later selector. The finding passes once
    SES has seen the record as well, which takes it some minutes (`warn` until then, which is no verdict).
    """
    signing = {"DomainSigningSelector": selector, "DomainSigningPrivateKey": private_key}
    try:
        with closing(client(conf)) as api:
            try:
                state = api.get_email_identity(EmailIdentity=domain)
                # For a key of one's own the tokens are its selector.
                if selector not in state.get("DkimAttributes", {}).get("Tokens", []):
                    api.put_email_identity_dkim_signing_attributes(
                        EmailIdentity=domain, SigningAttributesOrigin="EXTERNAL", SigningAttributes=signing
                    )
                    state = api.get_email_identity(EmailIdentity=domain)
            except api.exceptions.NotFoundException:
                state = api.create_email_identity(EmailIdentity=domain, DkimSigningAttributes=signing)
    except (ClientError, BotoCoreError) as error:
        detail = f"Amazon SES did not answer as it should: {error}"
        return Finding("ses", "unsure", domain, [], detail, "We try again by ourselves. If it stays, tell the operator.")
    if state.get("VerifiedForSendingStatus"):
        return Finding("ses", "pass", domain, [], "Amazon SES, which carries your mail, accepts the domain.")
    status = state.get("DkimAttributes", {}).get("Status", "")
    if status in ("PENDING", "NOT_STARTED", "TEMPORARY_FAILURE"):
        detail = "Amazon SES, which carries your mail, is still looking at the records."
        return Finding("ses", "warn", domain, [], detail, "Wait some minutes, then check again.")
    detail = "Amazon SES, which carries your mail, does not accept the domain."
    return Finding("ses", "fail", domain, [], detail, "Check again in an hour. If it stays, tell the operator.")


@dataclass(frozen=True, slots=True)
class SesAccount:
    """What SES says of the account: whether it may send, to anybody or in the sandbox only, and how fast."""

    enabled: bool
    in_sandbox: bool
    a_second: float
    a_day: float


def account(conf: Settings) -> SesAccount:
    """Ask SES about the account. Raises SmtpUnavailable, SmtpRefused."""
    try:
        with closing(client(conf)) as api:
            found = api.get_account()
    except ClientError as error:
        code, words, _ = _parts(error)
        raise SmtpRefused(f"Amazon SES refuses: {code}: {words}") from None
    except (BotoCoreError, ValueError) as error:
        raise SmtpUnavailable(f"Amazon SES cannot be asked: {error}") from None
    quota = found.get("SendQuota", {})
    return SesAccount(
        enabled=bool(found.get("SendingEnabled")), in_sandbox=not found.get("ProductionAccessEnabled"),
        a_second=float(quota.get("MaxSendRate", 0)), a_day=float(quota.get("Max24HourSend", 0)),
    )  # fmt: skip


def _parts(error: ClientError) -> tuple[str, str, int]:
    """(code, words, HTTP status) of a refusal."""
    told = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(told.get("Code", "")), str(told.get("Message", "")), int(status)
