"""Signed tokens for links and addresses: which delivery, which link, and a short signature. No URL inside.

A token is `base64url(varint(delivery id) varint(link number) HMAC-SHA256 cut to 80 bits)`: 20 to 28
characters, so that a link on an origin of 30 characters stays below 70. The purpose is signed too, so that a
token for one thing is no token for another. Mail addresses are lower-cased on their way, so theirs are base32
in lower case.

Tokens never expire (RFC 8058 links must go on working) and tell nobody which launch or contact they are
about.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

SIGNATURE = 10
"""Bytes of HMAC-SHA256 kept: 80 bits; guessing happens online only."""

LONGEST_TOKEN = 40
LARGEST_ID = 2**63 - 1


class Purpose(StrEnum):
    """What a token is for. A token of one purpose is refused for every other."""

    CLICK = "click"
    OPEN = "open"
    UNSUBSCRIBE = "unsubscribe"
    LANDING = "landing"
    BOUNCE = "bounce"
    UNSUBSCRIBE_MAIL = "unsubscribe-mail"


class TokenData(NamedTuple):
    """What a genuine token says. `link_number` is 0 where the purpose has no links."""

    delivery_id: int
    link_number: int = 0


def click_token(delivery_id: int, link_number: int, *, key: bytes) -> str:
    """The token of one link in one delivery. Raises ValueError for a negative or too large number."""
    return _url_token(delivery_id, link_number, purpose=Purpose.CLICK, key=key)


def click_tokens(delivery_id: int, link_numbers: Iterable[int], *, key: bytes) -> dict[int, str]:
    """`click_token` of several links of one delivery, by link number."""
    start = _varint(delivery_id)
    begun = _begun(Purpose.CLICK.value, key)
    found: dict[int, str] = {}
    for number in link_numbers:
        payload = start + _varint(number)
        found[number] = _base64url(payload + _signature(payload, begun))
    return found


def open_token(delivery_id: int, *, key: bytes) -> str:
    """The token of the pixel of one delivery."""
    return _url_token(delivery_id, 0, purpose=Purpose.OPEN, key=key)


def unsubscribe_token(delivery_id: int, *, key: bytes) -> str:
    """The token of List-Unsubscribe and of the preference page of one delivery."""
    return _url_token(delivery_id, 0, purpose=Purpose.UNSUBSCRIBE, key=key)


def landing_token(delivery_id: int, *, key: bytes) -> str:
    """The token by which a landing page knows from which delivery somebody came."""
    return _url_token(delivery_id, 0, purpose=Purpose.LANDING, key=key)


def read_token(token: str, *, purpose: Purpose, keys: tuple[bytes, ...]) -> TokenData | None:
    """What `token` says if one of `keys` signed it for `purpose`, else None, whatever is wrong with it.

    Each token has one spelling: another one of the same bytes is refused as well.
    """
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        # "+" and "/" are read as well; what is spelled with them is refused at the end.
        raw = binascii.a2b_base64(token.encode().translate(_PLAIN) + b"=" * (-len(token) % 4), strict_mode=True)
    except binascii.Error:
        return None
    found = _opened(raw, purpose=purpose, keys=keys)
    return found if found is not None and _base64url(raw) == token else None


def return_path(delivery_id: int, *, key: bytes, domain: str) -> str:
    """The envelope sender of one delivery (VERP), `b-TOKEN@domain`: a bounce to it names its delivery."""
    return f"b-{_mail_token(delivery_id, purpose=Purpose.BOUNCE, key=key)}@{domain}"


def unsubscribe_address(delivery_id: int, *, key: bytes, domain: str) -> str:
    """The address for List-Unsubscribe by mail, `u-TOKEN@domain`."""
    return f"u-{_mail_token(delivery_id, purpose=Purpose.UNSUBSCRIBE_MAIL, key=key)}@{domain}"


def read_address(address: str, *, purpose: Purpose, keys: tuple[bytes, ...]) -> TokenData | None:
    """What the local part of a `return_path` or `unsubscribe_address` says, in any case, or None if it is forged."""
    mark = {Purpose.BOUNCE: "b-", Purpose.UNSUBSCRIBE_MAIL: "u-"}[purpose]
    local = address.partition("@")[0].lower()
    token = local.removeprefix(mark)
    if token == local or len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except binascii.Error:
        return None
    found = _opened(raw, purpose=purpose, keys=keys)
    return found if found is not None and _base32(raw) == token else None


def _url_token(delivery_id: int, link_number: int, *, purpose: Purpose, key: bytes) -> str:
    payload = _varint(delivery_id) + _varint(link_number)
    return _base64url(payload + _signature(payload, _begun(purpose.value, key)))


def _mail_token(delivery_id: int, *, purpose: Purpose, key: bytes) -> str:
    payload = _varint(delivery_id) + _varint(0)
    return _base32(payload + _signature(payload, _begun(purpose.value, key)))


def _signature(payload: bytes, begun: tuple[Any, Any]) -> bytes:
    """HMAC-SHA256, cut, of a purpose and `payload`; `begun` is `_begun` of that purpose and the key."""
    inner, outer = begun[0].copy(), begun[1].copy()
    inner.update(payload)
    outer.update(inner.digest())
    signature: bytes = outer.digest()[:SIGNATURE]
    return signature


@lru_cache(maxsize=64)
def _begun(purpose: str, key: bytes) -> tuple[Any, Any]:
    """The two hashes of HMAC-SHA256 (RFC 2104) as they are before the payload: to copy them costs half of `hmac.digest`.

    Asked for by the purpose's plain value: the hash of a member of an enumeration is worked out in Python.
    """
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + _PREFIXES[Purpose(purpose)])
    return inner, hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


# A NUL ends the purpose, so that no purpose and payload read as another pair.
_PREFIXES = {purpose: purpose.encode() + b"\0" for purpose in Purpose}


def _opened(raw: bytes, *, purpose: Purpose, keys: tuple[bytes, ...]) -> TokenData | None:
    payload, signature = raw[:-SIGNATURE], raw[-SIGNATURE:]
    genuine = False
    for key in keys:
        genuine |= hmac.compare_digest(signature, _signature(payload, _begun(purpose.value, key)))
    if not genuine:
        return None
    delivery_id, position = _read_varint(payload, 0)
    link_number, _ = _read_varint(payload, position)
    return TokenData(delivery_id, link_number)


def _base64url(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PLAIN = bytes.maketrans(b"-_", b"+/")


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).rstrip(b"=").decode().lower()


@lru_cache(maxsize=64)
def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    if number < 128:
        if number < 0:
            raise ValueError("A token holds no negative number.")
        return bytes((number,))
    if number > LARGEST_ID:
        raise ValueError("A token holds no number beyond 63 bits.")
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(number, position behind it); only for signed data, which `_varint` wrote."""
    if data[position] < 128:
        return data[position], position + 1
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, position
