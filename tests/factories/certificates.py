"""Certificates as an authority issues them, in PEM files."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tcma import clock

HOST = "mx.example.com"


def issue(
    folder: Path, *, days: float = 90, begins: datetime | None = None, password: str = "", name: str = "tls"
) -> tuple[Path, Path]:
    """A certificate for HOST that is valid for `days` from now, and its key; files of that name are replaced whole."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(begins or clock.now() - timedelta(days=60))
        .not_valid_after(clock.now() + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    lock = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    sealed = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}-key.pem"
    put(cert_file, made.public_bytes(serialization.Encoding.PEM))
    put(key_file, sealed)
    return cert_file, key_file


def put(path: Path, content: bytes) -> None:
    """As ACME clients do: written beside it and moved into place."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    os.replace(beside, path)
