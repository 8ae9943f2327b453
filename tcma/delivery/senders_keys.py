"""DKIM keys: RSA with 2048 bits (RFC 8301 §3.2), the private half encrypted under TCMA_SECRET_KEY."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tcma import ids
from tcma.config import settings
from tcma.delivery.models_senders import DkimKey, SendingDomain
from tcma.errors import DomainError

BITS = 2048


class KeyUnreadable(DomainError):
    """The private half cannot be decrypted: the secret under which it was stored is gone."""

    title = "A key cannot be read"
    default = (
        "The DKIM key was stored under a TCMA_SECRET_KEY that is not set any more. Put the old secret back "
        "behind the new one, or make a new key and publish its record."
    )


def new_key(domain: SendingDomain) -> DkimKey:
    """A fresh pending key of `domain`, to be added to the session. Takes about a tenth of a second."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return DkimKey(
        partner_id=domain.partner_id, domain_id=domain.id, selector=f"tcma-{ids.new_id().hex[-10:]}",
        public_key=base64.b64encode(public).decode(), private_key=_box().encrypt(der),
    )  # fmt: skip


def private_key(key: DkimKey) -> rsa.RSAPrivateKey:
    """The private half. Raises KeyUnreadable; a retired key has none."""
    if key.private_key is None:
        raise KeyUnreadable("This DKIM key is retired and its private half is wiped.")
    return _opened(key.private_key, settings().derived_keys("dkim"))


def private_pem_body(key: DkimKey) -> str:
    """The private half as SES takes it: PKCS #1 in base64 on one line, without the frame of PEM."""
    der = private_key(key).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return base64.b64encode(der).decode()


def resealed(sealed: bytes) -> bytes:
    """`sealed` under the newest secret; as it is where it is so already or cannot be read."""
    secrets = settings().derived_keys("dkim")
    try:
        Fernet(base64.urlsafe_b64encode(secrets[0])).decrypt(sealed)
    except InvalidToken:
        with suppress(InvalidToken):
            return _box(secrets).rotate(sealed)
    return sealed


@lru_cache(maxsize=256)
def _opened(sealed: bytes, secrets: tuple[bytes, ...]) -> rsa.RSAPrivateKey:
    # Reading a key checks it, which takes longer than signing; a launch's lanes ask for the same one.
    try:
        loaded = serialization.load_der_private_key(_box(secrets).decrypt(sealed), password=None)
    except InvalidToken:
        raise KeyUnreadable() from None
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded


def _box(secrets: tuple[bytes, ...] | None = None) -> MultiFernet:
    given = secrets or settings().derived_keys("dkim")
    return MultiFernet([Fernet(base64.urlsafe_b64encode(one)) for one in given])
