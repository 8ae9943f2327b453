"""Secrets that are shown or mailed once: only a hash is kept."""

from __future__ import annotations

import hashlib
import secrets

KEY_PREFIX = "tcma_"


def new_token() -> str:
    """32 random bytes for an address in a mail."""
    return secrets.token_urlsafe(32)


def new_key() -> str:
    """An API key; its beginning tells it apart in lists and to secret scanners."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is kept. A plain hash is enough for a random secret of 256 bits."""
    return hashlib.sha256(secret.encode()).digest()
