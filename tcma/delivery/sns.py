"""Whether a post really is from Amazon SNS and from a topic of ours; and the answer to its offer of a subscription.

Checked in this order, each step before the next one costs anything: size; form; the topic is one of ours; the
certificate's address is Amazon's; signature version 2 (SHA-256); the signature; the timestamp. Version 1 is SHA-1 and
refused. The rules for the address are Amazon's own pattern, anchored, without port, user or query: anything looser lets
a stranger name a certificate of theirs, or makes us fetch from inside the network.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
from botocore.config import Config
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tcma import clock

LARGEST_POST = 300 * 1024
"""SNS messages are at most 256 KB of text, and the envelope adds a little."""

OLDEST = timedelta(hours=2)
"""SNS tries for an hour at most; what is older was kept by somebody."""

AHEAD = timedelta(minutes=15)
LARGEST_CERTIFICATE = 32 * 1024
CERTIFICATES_KEPT = 16
KEEP_CERTIFICATE = timedelta(hours=24)

_HOST = re.compile(r"sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?", re.ASCII)
_TOPIC = re.compile(r"arn:aws(?:-cn|-us-gov)?:sns:([a-z0-9-]{3,30}):\d{12}:[A-Za-z0-9_.-]{1,256}", re.ASCII)
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]


class Refused(Exception):
    """The post is not believed; `code` is what to answer."""

    def __init__(self, why: str, *, code: int = 403) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Post:
    """A post that Amazon signed for a topic of ours."""

    type: str
    message_id: str
    topic: str
    message: str
    token: str


Fetch = Callable[[str], bytes]


def fetch_certificate(url: str) -> bytes:
    """The PEM at `url`, over verified TLS, without redirects, proxies or more than LARGEST_CERTIFICATE bytes.

    Raises Refused. Only for an address that `certificate_address` has let through.
    """
    try:
        with (
            httpx.Client(follow_redirects=False, timeout=5, trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code != 200:
                raise Refused("the certificate could not be fetched", code=503)
            content = bytearray()
            for chunk in answer.iter_bytes(4096):
                content += chunk
                if len(content) > LARGEST_CERTIFICATE:
                    raise Refused("the certificate is too large")
            return bytes(content)
    except httpx.HTTPError as error:
        raise Refused("the certificate could not be fetched", code=503) from error


def certificate_address(url: str) -> str:
    """`url` if it can only be Amazon's. Raises Refused."""
    try:
        parts = urlsplit(url)
        plain = parts.netloc == parts.hostname and not parts.query and not parts.fragment
    except ValueError:
        raise Refused("the certificate's address is none") from None
    fits = parts.scheme == "https" and _HOST.fullmatch(parts.netloc) and re.fullmatch(r"/[\w./-]{1,200}\.pem", parts.path)
    if not (plain and fits and ".." not in parts.path and url.isascii() and url == f"https://{parts.netloc}{parts.path}"):
        raise Refused("the certificate's address is not Amazon's")
    return url


class Certificates:
    """Signing keys by address, fetched by `fetch` and kept for a day. Safe for threads."""

    def __init__(self, fetch: Fetch = fetch_certificate) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[datetime, rsa.RSAPublicKey]] = {}

    def key(self, url: str) -> rsa.RSAPublicKey:
        """The public key behind a SigningCertURL. Raises Refused for an address or certificate that is not right."""
        address = certificate_address(url)
        now = clock.now()
        with self._lock:
            kept = self._kept.get(address)
        if kept is not None and kept[0] > now:
            return kept[1]
        try:
            found = x509.load_pem_x509_certificate(self._fetch(address))
        except ValueError as error:
            raise Refused("the certificate cannot be read") from error
        key = found.public_key()
        if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            raise Refused("the certificate is not valid today")
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
            raise Refused("the certificate's key is not an RSA key of 2048 bits or more")
        with self._lock:
            if len(self._kept) >= CERTIFICATES_KEPT:
                self._kept.clear()
            self._kept[address] = (min(now + KEEP_CERTIFICATE, found.not_valid_after_utc), key)
        return key


def verify(body: bytes, *, topics: Collection[str], certificates: Certificates) -> Post:
    """The post in `body` if Amazon signed it for one of `topics`, not long ago. Raises Refused."""
    if len(body) > LARGEST_POST:
        raise Refused("the post is too large", code=413)
    given = _fields(body)
    if given["TopicArn"] not in topics:
        raise Refused("the topic is not one of ours")
    certificate_address(given.get("SigningCertURL", ""))
    if given.get("SignatureVersion") != "2":
        raise Refused("the signature is not of version 2; set SignatureVersion of the topic to 2")
    try:
        signature = base64.b64decode(given.get("Signature", ""), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("the signature cannot be read") from None
    try:
        certificates.key(given["SigningCertURL"]).verify(
            signature, canonical(given), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        raise Refused("the signature is wrong") from None
    _check_moment(given["Timestamp"])
    return Post(given["Type"], given["MessageId"], given["TopicArn"], given["Message"], given.get("Token", ""))


def canonical(fields: dict[str, str]) -> bytes:
    """What is signed: `Key\\nValue\\n` of the fields of that type that are there, sorted by key."""
    names = _SIGNED[fields["Type"]]
    return "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields).encode()


def _fields(body: bytes) -> dict[str, str]:
    """The text fields of a post of a known type. Raises Refused where one that must be there is not."""
    try:
        given: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("the post is not JSON", code=400) from None
    if not isinstance(given, dict):
        raise Refused("the post is no object", code=400)
    fields = {name: value for name, value in given.items() if isinstance(value, str)}
    if fields.get("Type") not in _SIGNED or not {"MessageId", "TopicArn", "Message", "Timestamp"} <= fields.keys():
        raise Refused("the post is none of SNS", code=400)
    if not 0 < len(fields["MessageId"]) <= 100:
        raise Refused("the post has no usable MessageId", code=400)
    return fields


def _check_moment(written: str) -> None:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise Refused("the timestamp cannot be read", code=400) from None
    now = clock.now()
    if moment.tzinfo is None or not now - OLDEST <= moment <= now + AHEAD:
        raise Refused("the post is too old")


def confirm(topic: str, token: str) -> None:
    """Accept a subscription of one of our topics, by Amazon's API and our own credentials.

    The SubscribeURL of the post is never fetched: it is an address that somebody else chose. Raises what boto3 raises.
    """
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise Refused("the topic's name is malformed")
    limits = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2})
    boto3.client("sns", region_name=found.group(1), config=limits).confirm_subscription(
        TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true"
    )
