"""What every way of sending has in common, and which one the settings choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tcma.config import Settings
from tcma.delivery.reply import Outgoing, Reply, Waiting
from tcma.delivery.ses import SesTransport
from tcma.delivery.smtp import SmtpConnection
from tcma.delivery.smtp_target import SmtpTarget


class Target(Protocol):
    """Where mail goes."""

    @property
    def longest_transaction(self) -> float:
        """Seconds in which a begun message is settled, whatever the provider does; a lease outlasts it."""
        ...


class Transport(Protocol):
    """One connection to one provider, for one thread at a time. `SmtpConnection` tells the promises in full."""

    @property
    def target(self) -> Target: ...

    @property
    def is_open(self) -> bool:
        """False before `connect` and after anything that ended the connection."""
        ...

    @property
    def announces(self) -> bool:
        """Whether `upcoming` is told to the provider; else it is as if there was none."""
        ...

    def connect(self) -> None:
        """Open anew. Raises SmtpUnavailable where waiting may help, SmtpRefused where a person has to mend it."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...

    def send(self, mail: Outgoing) -> Reply:
        """Hand over one message. Only between `before_dot` and the verdict can its fate become unknown."""
        ...

    def begin(self, mail: Outgoing) -> Reply | None:
        """What `send` does, as far as it goes without waiting; None where `advance` has to go on with it."""
        ...

    @property
    def waits_for(self) -> Waiting:
        """When to call `advance`."""
        ...

    def advance(self) -> Reply | None:
        """Go on without waiting; the verdict once there is one. May be called too early and must be when it is late."""
        ...


def transport_for(conf: Settings, *, tags: Mapping[str, str] | None = None) -> Transport:
    """The transport of `conf`: SES where TCMA_SES_REGION is set, else SMTP (the mailbox without TCMA_SMTP_URL).

    `tags` go with each mail to a provider that keeps tags. Nothing is connected yet. Raises Invalid for an SMTP
    address that cannot be used.
    """
    if conf.ses_region:
        return SesTransport(conf, tags=tags or {})
    return SmtpConnection(SmtpTarget.parse(conf.mail_url))
