"""Which sender a launch uses: the partner's own where its domain is proved, else the partner via the platform."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma.campaigns.models import Launch
from tcma.config import settings
from tcma.delivery import senders_verify
from tcma.delivery.domain_check import return_name
from tcma.delivery.models_senders import SendingDomain, SendingIdentity
from tcma.delivery.senders_states import SenderStatus

Sender = dict[str, Any]
"""`from_name`, `from_address`, `reply_to` ("" for none) and `identity_id` (text; None: via the platform).

`return_domain` is there where the identity's domain has return paths of its own.
"""

VIA_PLATFORM = "platform"
"""The choice of a partner who wants the platform's address although an own sender is verified."""


def via_platform(brand: dict[str, str]) -> Sender:
    """The partner on the platform's signed address, replies to the partner."""
    name = brand.get("sender_name") or brand.get("name") or brand.get("legal_name") or ""
    return {
        "from_name": f"{name} via {settings().platform_name}",
        "from_address": settings().platform_sender,
        "reply_to": brand.get("reply_to") or brand.get("email") or "",
        "identity_id": None,
    }


def from_identity(identity: SendingIdentity) -> Sender:
    own = own_returns(identity.domain)
    return {
        "from_name": identity.name,
        "from_address": identity.address,
        "reply_to": identity.reply_to or identity.address,
        "identity_id": str(identity.id),
        **({"return_domain": own} if own else {}),
    }


def own_returns(domain: SendingDomain) -> str:
    """The domain of a partner's own return paths while its record stands and leads to us, else empty."""
    target = senders_verify.returns_for(domain)
    return return_name(domain.name) if target and domain.returns_to == target else ""


def return_domain(session: Session, partner_id: UUID, sender: Sender) -> str:
    """Where mail under `sender` that comes back goes to, by what is known now; empty: to the platform.

    What a launch froze is used only while its record stands: a return path that leads nowhere loses bounces, and
    receivers refuse it.
    """
    frozen = str(sender.get("return_domain", ""))
    if not frozen:
        return ""
    statement = (
        select(SendingDomain)
        .join(SendingIdentity, SendingIdentity.domain_id == SendingDomain.id)
        .where(SendingIdentity.partner_id == partner_id, SendingIdentity.id == UUID(sender["identity_id"]))
    )
    domain = session.scalar(statement)
    return frozen if domain is not None and own_returns(domain) == frozen else ""


def sender_for(session: Session, partner_id: UUID, brand: dict[str, str], *, chosen: str | None = None) -> Sender:
    """The sender of a launch that starts now.

    `chosen` is the id of an identity, VIA_PLATFORM, or None for the partner's default. What is not verified (any
    more) falls back: a chosen one to the default, the default to the platform.
    """
    if chosen == VIA_PLATFORM:
        return {**via_platform(brand), "chosen": VIA_PLATFORM}
    verified = select(SendingIdentity).where(
        SendingIdentity.partner_id == partner_id, SendingIdentity.status == SenderStatus.VERIFIED
    )
    if chosen:
        found = session.scalar(verified.where(SendingIdentity.id == UUID(chosen)))
        if found is not None:
            return {**from_identity(found), "chosen": chosen}
    default = session.scalar(verified.where(SendingIdentity.is_default))
    return from_identity(default) if default is not None else via_platform(brand)


def sender_of_launch(session: Session, launch: Launch, brand: dict[str, str]) -> Sender:
    """The sender that `launch` froze, or the one that it would start with now."""
    if launch.started_at is not None and launch.sender:
        return launch.sender
    return sender_for(session, launch.partner_id, brand, chosen=(launch.sender or {}).get("chosen"))


def is_proved(session: Session, partner_id: UUID, sender: Sender | None) -> bool:
    """Whether mail may leave under `sender` today: via the platform always, an identity while it is verified."""
    identity_id = (sender or {}).get("identity_id")
    if not identity_id:
        return True
    statement = select(SendingIdentity.id).where(
        SendingIdentity.partner_id == partner_id, SendingIdentity.id == UUID(identity_id),
        SendingIdentity.status == SenderStatus.VERIFIED,
    )  # fmt: skip
    return session.scalar(statement) is not None


def lapsed_default(session: Session, partner_id: UUID) -> str | None:
    """The address of the default sender while its records are gone."""
    statement = select(SendingIdentity.address).where(
        SendingIdentity.partner_id == partner_id, SendingIdentity.is_default,
        SendingIdentity.status == SenderStatus.LAPSED,
    )  # fmt: skip
    return session.scalar(statement)
