"""Settings: environment, `.env`, or a `_FILE` path for secrets. Every name starts with TCMA_."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import tempfile
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

REPO = Path(__file__).resolve().parent.parent


def _read_secret_files(environ: dict[str, str]) -> dict[str, str]:
    """Values for TCMA_X from TCMA_X_FILE; raises ValueError where both are set or the file can't be read."""
    found: dict[str, str] = {}
    for name, path in environ.items():
        if name.startswith("TCMA_") and name.endswith("_FILE") and path:
            target = name.removesuffix("_FILE")
            if environ.get(target):
                raise ValueError(f"Set {target} or {name}, not both.")
            try:
                found[target.removeprefix("TCMA_").lower()] = Path(path).read_text().strip()
            except OSError as error:
                raise ValueError(f"{name} names {path}, which cannot be read: {error.strerror}.") from None
    return found


class Settings(BaseSettings):
    """All settings with their defaults; a default runs everything on one machine without any server."""

    model_config = SettingsConfigDict(env_prefix="TCMA_", env_file=".env", extra="ignore")

    data_dir: Path = Field(default=REPO / "var", description="Where the embedded database, files and journals live.")
    database_url: str | None = Field(default=None, description="PostgreSQL as the role tcma_app; empty: embedded.")
    migration_url: str | None = Field(default=None, description="PostgreSQL as the role tcma_owner; migrations only.")
    broker_url: str | None = Field(default=None, description="Celery broker; empty: the database.")
    smtp_url: str | None = Field(default=None, description="smtp[s]://user:pass@host:port; empty: the mailbox.")
    ses_region: str | None = Field(default=None, description="AWS region, where mail goes through SES.")
    ses_configuration_set: str | None = Field(default=None, description="SES configuration set of each mail.")
    ses_endpoint: str | None = Field(default=None, description="Another address of the SES API; empty: Amazon's.")
    dns_server: str | None = Field(default=None, description="IP[:port] asked for records of senders; empty: the system's.")
    spf_include: str | None = Field(default=None, description="Name in partners' SPF include; empty: the sender's domain.")
    storage_url: str | None = Field(default=None, description="file:///… or s3://bucket/prefix?…; empty: DATA_DIR/files.")
    public_url: str | None = Field(default=None, description="Origin of the app; empty: http://localhost:PORT.")
    tracking_url: str | None = Field(default=None, description="Origin of links; empty: http://127.0.0.1:PORT.")
    secret_key: str | None = Field(default=None, description="Comma-separated; the first signs, all verify.")
    suppression_key: str | None = Field(default=None, description="Keys suppression hashes; never rotates.")
    trusted_proxies: int = Field(default=0, ge=0, description="How many proxies in front set X-Forwarded-*.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port of the web server.")
    host: str = Field(default="127.0.0.1", description="Address the web server listens on; 0.0.0.0: every one.")
    web_workers: int = Field(default=0, ge=0, description="Web server processes; 0: one a CPU core, at most 4.")
    web_threads: int = Field(default=4, ge=1, description="Threads of each web server process.")
    delivery_lanes: int = Field(default=3, ge=1, le=64, description="Workers' threads that may send one launch at a time.")
    delivery_connections: int = Field(
        default=2, ge=1, le=100, description="Connections to the mail server that each of them opens, as there is work."
    )
    domain_limits: dict[str, int] = Field(
        default_factory=dict, description='Mails a minute by receiving domain, as JSON: {"gmail.com": 600, "*": 0}; 0: no limit.'
    )
    sender_limit: int = Field(default=0, ge=0, description="Mails a minute from one From address; 0: no limit.")
    worker_threads: int = Field(default=4, ge=1, description="Tasks that one worker runs at a time.")
    demo: bool = Field(default=False, description="Demo data and its sign-ins; never in production.")
    platform_name: str = Field(default="TCMA", description="Name of the service in pages and mails.")
    platform_sender: str = Field(default="mail@tcma.example", description="From address until a partner's is verified.")
    return_domain: str | None = Field(default=None, description="Domain whose mail comes to `tcma inbound`: bounces, unsubscribing.")
    inbound_port: int = Field(default=2525, ge=0, le=65535, description="SMTP port of `tcma inbound`; 0: any free one.")
    inbound_host: str = Field(default="127.0.0.1", description="Address that `tcma inbound` listens on; 0.0.0.0: every one.")
    inbound_tls_cert: Path | None = Field(default=None, description="PEM file with the certificate and chain of `tcma inbound`; empty: no TLS.")
    inbound_tls_key: Path | None = Field(default=None, description="PEM file with the key of that certificate.")
    sns_topics: str | None = Field(default=None, description="Comma-separated ARNs of SNS topics that tell of SES mail.")
    bounce_webhook_secret: str | None = Field(default=None, description="whsec_…, comma-separated; signs posts to /hooks/bounces.")
    mailbox_port: int = Field(default=0, ge=0, le=65535, description="SMTP port of the mailbox; 0: PORT + 25.")
    metrics_token: str | None = Field(default=None, description="Bearer token that /metrics asks for beyond loopback.")
    log_format: str = Field(default="text", pattern="^(text|json)$", description="text or json.")

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**_read_secret_files(dict(os.environ)), **values}

    @field_validator("public_url", "tracking_url")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise ValueError("an origin such as https://app.example.com, without a path")
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("dns_server")
    @classmethod
    def _dns_server(cls, value: str | None) -> str | None:
        if value:
            server_address(value)
        return value or None

    @field_validator("return_domain")
    @classmethod
    def _domain(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not re.fullmatch(r"(?=.{4,190}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", value.lower()):
            raise ValueError("a domain such as returns.example.com")
        return value.lower()

    @field_validator("bounce_webhook_secret")
    @classmethod
    def _webhook_secret(cls, value: str | None) -> str | None:
        for one in filter(None, (part.strip() for part in (value or "").split(","))):
            try:
                strong = len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) >= 16
            except binascii.Error:
                strong = False
            if not strong:
                raise ValueError("whsec_ and base64 of at least 16 bytes, as `openssl rand -base64 24` makes")
        return value or None

    @field_validator("inbound_tls_cert", "inbound_tls_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def public_origin(self) -> str:
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def tracking_origin(self) -> str:
        return self.tracking_url or f"http://127.0.0.1:{self.port}"

    @property
    def mail_url(self) -> str:
        """Where mail goes: TCMA_SMTP_URL, or the mailbox of this machine."""
        return self.smtp_url or f"smtp://127.0.0.1:{self.mailbox_smtp_port}"

    @property
    def mailbox_smtp_port(self) -> int:
        return self.mailbox_port or self.port + 25

    @property
    def returns_at(self) -> str:
        """The domain of return paths, whose mail comes to us; empty: bounces go to the platform's sender.

        The demo's mailbox takes them on the same port as everything else.
        """
        if self.return_domain:
            return self.return_domain
        return "returns.tcma.example" if self.demo and not self.smtp_url and not self.ses_region else ""

    @property
    def topics(self) -> frozenset[str]:
        """The SNS topics whose posts are believed."""
        return frozenset(part.strip() for part in (self.sns_topics or "").split(",") if part.strip())

    @property
    def files_url(self) -> str:
        return self.storage_url or (self.data_dir / "files").as_uri()

    @cached_property
    def secrets(self) -> tuple[bytes, ...]:
        """Signing secrets, newest first. Without TCMA_SECRET_KEY one is made and kept in DATA_DIR."""
        if self.secret_key:
            return tuple(part.strip().encode() for part in self.secret_key.split(",") if part.strip())
        return (kept_secret(self.data_dir / "secret.key"),)

    @cached_property
    def suppression_secret(self) -> bytes:
        if self.suppression_key:
            return self.suppression_key.encode()
        return kept_secret(self.data_dir / "suppression.key")

    def derived_keys(self, purpose: str) -> tuple[bytes, ...]:
        """One 32-byte key a secret for `purpose`, newest first, so that no two purposes share a key."""
        return tuple(hmac.digest(secret, purpose.encode(), "sha256") for secret in self.secrets)


def kept_secret(path: Path) -> bytes:
    """The secret in `path`, made once with mode 0600; safe when several processes start at the same time.

    A fresh secret is written whole beside `path` and then linked to it: the link fails where another process
    was first, and nobody ever reads half a secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        handle, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(32).hex().encode())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            os.unlink(fresh)
    return path.read_bytes().strip()


def server_address(server: str) -> tuple[str, int]:
    """(address, port) of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`. Raises ValueError."""
    host, port = server, "53"
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        port = rest.removeprefix(":") or "53"
    elif server.count(":") == 1:
        host, _, port = server.partition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("the port is a number from 1 to 65535")
    return str(ip_address(host)), int(port)


_settings: Settings | None = None


def settings() -> Settings:
    """The process's settings, read once."""
    global _settings
    if _settings is None:
        _settings = Settings()
    return _settings


def use_settings(value: Settings | None) -> None:
    """Replace the process's settings: tests and the supervisor only."""
    global _settings
    _settings = value
