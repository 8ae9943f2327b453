"""The certificate with which `tcma inbound` offers TLS: read from two PEM files, and read anew when they change."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography import x509

log = structlog.get_logger(__name__)

Stamp = tuple[tuple[int, int, int] | None, ...]


class TlsFault(Exception):
    """The files cannot be used: `found` says which and why, `mend` what to do."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(f"{found} {mend}")
        self.found, self.mend = found, mend


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate with its chain and its key, both PEM; one file may hold both."""

    cert: Path
    key: Path

    @classmethod
    def of(cls, cert: Path | None, key: Path | None) -> TlsFiles | None:
        """The files that the settings name, None for none. Raises TlsFault where only one is set."""
        if cert is None and key is None:
            return None
        if cert is None or key is None:
            missing = "TCMA_INBOUND_TLS_CERT" if cert is None else "TCMA_INBOUND_TLS_KEY"
            raise TlsFault(f"{missing} is not set.", "TLS needs a certificate and its key: set both or none.")
        return cls(cert, key)

    def load(self) -> ssl.SSLContext:
        """A context for servers with this certificate, TLS 1.2 or newer. Raises TlsFault."""
        for name, path in (("TCMA_INBOUND_TLS_CERT", self.cert), ("TCMA_INBOUND_TLS_KEY", self.key)):
            try:
                path.read_bytes()
            except OSError as error:
                found = f"{name} names {path}, which cannot be read: {error.strerror}."
                raise TlsFault(found, "Correct the path, or let the user of `tcma inbound` read the file.") from None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except ssl.SSLError as error:
            raise self._fault(error) from None
        except OSError as error:
            found = f"{self.cert} or {self.key} went away while it was read: {error.strerror}."
            raise TlsFault(found, "Put both in place, then try again.") from None
        return context

    def certificate(self) -> x509.Certificate:
        """The service's own certificate, the first in its file. Raises TlsFault."""
        self.load()
        try:
            return x509.load_pem_x509_certificate(self.cert.read_bytes())
        except (OSError, ValueError) as error:
            raise TlsFault(f"{self.cert} cannot be read: {error}.", "Use a certificate in PEM.") from None

    def stamp(self) -> Stamp:
        """Another one after any of the files, or what a link to it leads to, was changed or put in its place."""
        return tuple(_stamp(path) for path in (self.cert, self.key))

    def _fault(self, error: ssl.SSLError) -> TlsFault:
        if error.reason == "KEY_VALUES_MISMATCH":
            found = f"The key in {self.key} does not belong to the certificate in {self.cert}."
            return TlsFault(found, "Name the two that were made together.")
        found = f"{self.cert} and {self.key} cannot be used ({error.reason or 'no PEM'})."
        return TlsFault(found, "Both must be PEM: the certificate, then its chain; the key without a password.")


class TlsKeeper:
    """The context for the next connection, always that of the files as they are, without a restart."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsFault."""
        self._files = files
        self._seen = files.stamp()
        self._context = files.load()

    def context(self) -> ssl.SSLContext:
        """The present context. Files that cannot be used, as while they are replaced, leave the one before in place."""
        stamp = self._files.stamp()
        if stamp != self._seen:
            # Taken before they are read: what changes meanwhile is seen with the next connection.
            self._seen = stamp
            try:
                self._context = self._files.load()
                log.info("certificate_loaded", cert=str(self._files.cert))
            except TlsFault as fault:
                log.warning("certificate_not_loaded", error=str(fault))
        return self._context


def _no_password() -> str:
    # Without this OpenSSL asks on the terminal and waits.
    return ""


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
