"""DKIM signatures of our own (RFC 6376, rsa-sha256, relaxed/relaxed), on top of `cryptography`.

The RSA operation is most of the cost; the rest is kept small by doing to the body only what it needs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.campaigns.models import Launch
from tcma.config import settings
from tcma.delivery import senders_keys
from tcma.delivery.message import CrlfBytes, WireBytes
from tcma.delivery.models_senders import DkimKey, SendingDomain
from tcma.delivery.senders_states import KeyStatus
from tcma.errors import Invalid

SIGNED = (
    b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"in-reply-to", b"references",
    b"list-id", b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id", b"mime-version", b"content-type",
    b"content-transfer-encoding", b"auto-submitted",
)  # fmt: skip
"""Signed where they are there. RFC 8058 §4 asks for both List-Unsubscribe headers."""

OVERSIGNED = (b"from", b"to", b"subject", b"date", b"reply-to")
"""Named once more than they occur, so that nobody adds a second one to a signed mail (RFC 6376 §8.15)."""

_FOLD = re.compile(rb"\r\n(?=[ \t])")
_NEW_HEADER = re.compile(rb"\r\n(?![ \t])")
_SPACES = re.compile(rb"[ \t]+")
_PADDING = padding.PKCS1v15()
_SHA256 = hashes.SHA256()
_REMEMBERED = 512


class Signer:
    """Signs messages for one domain with one key. Safe to use from several threads."""

    def __init__(self, *, domain: str, selector: str, key: rsa.RSAPrivateKey) -> None:
        self.domain = domain
        self.selector = selector
        self._key = key
        self._begin = f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector};".encode()
        # A launch's mails share most of their headers, which then need no second look.
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def sign(self, message: bytes) -> CrlfBytes:
        """`message`, RFC 5322 with CRLF, with a DKIM-Signature in front. Raises Invalid without a From or a body."""
        head, separator, body = message.partition(b"\r\n\r\n")
        if not separator:
            raise Invalid("The message has no empty line after its headers, so it cannot be signed.")
        body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest())
        found: dict[bytes, list[bytes]] = {}
        for line in _NEW_HEADER.split(head):
            name, canonical = self._canonical(line)
            found.setdefault(name, []).append(canonical)
        if b"from" not in found:
            raise Invalid("The message has no From, so it cannot be signed.")
        names: list[bytes] = []
        signed: list[bytes] = []
        for name in SIGNED:
            # The lowest of several is signed first (RFC 6376 §5.4.2).
            lines = found.get(name, ())
            signed.extend(reversed(lines))
            names.extend([name] * (len(lines) + (name in OVERSIGNED)))
        pieces = [
            self._begin, f"t={int(clock.now().timestamp())};".encode(), *_folded_names(names),
            b"bh=" + body_hash + b";", b"b=",
        ]  # fmt: skip
        signed.append(b"dkim-signature:" + b" ".join(pieces))
        signature = base64.b64encode(self._key.sign(b"\r\n".join(signed), _PADDING, _SHA256))
        rows = [signature[start : start + 72] for start in range(0, len(signature), 72)]
        header = b"DKIM-Signature: " + b"\r\n ".join(pieces) + b"\r\n ".join(rows) + b"\r\n"
        kind = WireBytes if type(message) is WireBytes else CrlfBytes
        return kind(b"".join((header, message)))

    def _canonical(self, line: bytes) -> tuple[bytes, bytes]:
        """(lower-case name, relaxed form without CRLF) of one header (RFC 6376 §3.4.2)."""
        known = self._known.get(line)
        if known is None:
            name, _, value = line.partition(b":")
            name = name.rstrip(b" \t").lower()
            known = name, name + b":" + _SPACES.sub(b" ", _FOLD.sub(b"", value)).strip(b" ")
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[line] = known
        return known


def _folded_names(names: Sequence[bytes]) -> list[bytes]:
    """`h=` in pieces that fit on a line."""
    pieces: list[bytes] = []
    piece = b"h="
    for place, name in enumerate(names):
        piece += name + (b":" if place + 1 < len(names) else b";")
        if len(piece) > 60:
            pieces.append(piece)
            piece = b""
    return [*pieces, piece] if piece else pieces


def relaxed_body(body: bytes) -> bytes:
    """The relaxed form of a body with CRLF line ends (RFC 6376 §3.4.4)."""
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    if b"  " in body:
        # Long indents first: each pass is one search in C.
        body = body.replace(b"        ", b" ")
        while b"  " in body:
            body = body.replace(b"  ", b" ")
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    body = body.rstrip(b" \r\n")
    return body + b"\r\n" if body else b""


def signer_for(session: Session, launch: Launch, sender: dict[str, Any] | None = None) -> Signer | None:
    """Who signs the mails of `launch`, or None where we have no active key for its sender's domain or SES signs.

    `sender` is for a launch that has not started, whose sender is not frozen yet. Raises KeyUnreadable.
    """
    chosen = sender or launch.sender
    domain = chosen["from_address"].rpartition("@")[2] if chosen else platform_domain()
    if domain == platform_domain():
        return platform_signer(session)
    return _signer(session, select(DkimKey).where(DkimKey.partner_id == launch.partner_id), domain)


def platform_signer(session: Session) -> Signer | None:
    """Who signs what is from the platform's own address; None where the relay does it."""
    return _signer(session, select(DkimKey).where(DkimKey.partner_id.is_(None)), platform_domain())


def platform_domain() -> str:
    return settings().platform_sender.rpartition("@")[2].lower()


def _signer(session: Session, keys: Any, domain: str) -> Signer | None:
    if settings().ses_region:
        # SES writes Message-ID and Date anew and signs itself, with the key that `ses.register_domain` gave it.
        return None
    key = session.scalar(
        keys.join(SendingDomain, SendingDomain.id == DkimKey.domain_id).where(
            SendingDomain.name == domain, DkimKey.status == KeyStatus.ACTIVE
        )
    )
    return Signer(domain=domain, selector=key.selector, key=senders_keys.private_key(key)) if key else None
