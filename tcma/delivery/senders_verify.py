"""What a look at the DNS means: keys change, senders are verified or lapse, people and launches hear of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Role
from tcma.accounts import services as account_services
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.delivery import senders, senders_keys, signing
from tcma.delivery.domain_check import KeyRecord, Look, Record, records, return_name
from tcma.delivery.models_senders import DkimKey, SendingDomain, SendingIdentity
from tcma.delivery.senders_states import KeyStatus, SenderStatus

DAILY = timedelta(days=1)
SOON = timedelta(minutes=15)
OFTEN = timedelta(hours=6)
FORGET_AFTER = timedelta(days=60)
KEEP_RECORD = timedelta(days=7)
"""How long the record of a retired key should stay: mails on their way are still verified with it."""

OLD_KEY = timedelta(days=365)
LONGEST_RETURN_NAME = 190
"""As TCMA_RETURN_DOMAIN: with a token in front an address stays below 254 characters."""


def spf_include() -> str:
    """The name that partners put into their SPF record."""
    return settings().spf_include or signing.platform_domain()


def returns_for(domain: SendingDomain) -> str:
    """The platform's return domain where a return path of `domain`'s own is of use, else empty.

    Over SES the return path is Amazon's. A return domain at or below the domain itself is aligned already.
    """
    target = settings().returns_at
    host = return_name(domain.name)
    if domain.partner_id is None or settings().ses_region or len(host) > LONGEST_RETURN_NAME:
        return ""
    return "" if f".{target}".endswith(f".{domain.name}") else target


def key_records(session: Session, domain: SendingDomain) -> list[KeyRecord]:
    """The keys whose records must stand: the active one, then the one to come."""
    found = [key for key in _keys(session, domain) if key.status is not KeyStatus.RETIRED]
    found.sort(key=lambda key: key.status is KeyStatus.PENDING)
    return [KeyRecord(key.selector, key.public_key, str(key.status)) for key in found]


def wanted_records(session: Session, domain: SendingDomain) -> list[Record]:
    """The DNS records that the owner of a domain is to set."""
    return records(
        domain.name, key_records(session, domain), spf_include=spf_include(), returns=returns_for(domain)
    )


def record_look(session: Session, actor: Actor, domain: SendingDomain, seen: Look) -> None:
    """Keep what was found, and act on it; `domain` is locked.

    A new key takes over once its record is seen. A domain is proved by the active key's record and a DMARC policy.
    Where the name servers did not answer, nothing changes: no answer is no proof of absence.
    """
    now = clock.now()
    if domain.partner_id is not None:
        senders.lock_senders(session, domain.partner_id)
    active = _take_over(session, actor, domain, seen, now)
    _reseal(session, domain)
    _keep_returns(session, actor, domain, seen)
    proved = active is not None and active.selector in seen.seen and seen.has_policy and seen.provider_ok
    domain.findings = [finding.as_json() for finding in seen.findings]
    domain.checked_at = now
    if proved:
        domain.verified_at, domain.lost_at = domain.verified_at or now, None
        _verify(session, actor, domain, now)
    elif domain.verified_at is not None and not seen.unsure:
        domain.verified_at, domain.lost_at = None, now
        _lapse(session, actor, domain, seen)
    domain.next_check_at = _next_check(domain, now)
    session.flush()


def _take_over(session: Session, actor: Actor, domain: SendingDomain, seen: Look, now: datetime) -> DkimKey | None:
    """Switch to the pending key if its record is there; the key that signs from now on."""
    keys = {key.status: key for key in _keys(session, domain)}
    active, pending = keys.get(KeyStatus.ACTIVE), keys.get(KeyStatus.PENDING)
    if pending is None or pending.selector not in seen.seen:
        return active
    if active is not None:
        active.retire(by=actor, at=now, reason="A new key took over.")
        session.flush()
    pending.activate(by=actor, at=now)
    session.flush()
    return pending


def _reseal(session: Session, domain: SendingDomain) -> None:
    """Keep private halves under the newest secret, so that an old one can be dropped after a day."""
    for key in _keys(session, domain):
        if key.private_key is not None:
            key.private_key = senders_keys.resealed(key.private_key)


def _keep_returns(session: Session, actor: Actor, domain: SendingDomain, seen: Look) -> None:
    """Later mails use the domain's own return path while its record stands, else the platform's; nobody is told."""
    before = domain.returns_to
    offered = returns_for(domain)
    if offered and seen.returns_ok is None:
        return
    domain.returns_to = offered if offered and seen.returns_ok else None
    if domain.returns_to != before:
        audit.record(
            session, actor, "sending_domain.return_path", domain,
            before={"returns_to": before}, after={"returns_to": domain.returns_to},
        )  # fmt: skip


def _verify(session: Session, actor: Actor, domain: SendingDomain, now: datetime) -> None:
    for sender in _senders(session, domain, SenderStatus.PENDING, SenderStatus.LAPSED):
        sender.verify(by=actor, at=now)
    if domain.partner_id is not None:
        senders.choose_default(session, actor)


def _lapse(session: Session, actor: Actor, domain: SendingDomain, seen: Look) -> None:
    """Senders fall back, running launches under them pause, and the partner's administrators are told."""
    faults = [finding for finding in seen.findings if finding.verdict == "fail"]
    reason = " ".join(finding.detail for finding in faults) or f"The records of {domain.name} are gone."
    lapsed = _senders(session, domain, SenderStatus.VERIFIED)
    for sender in lapsed:
        sender.lapse(by=actor, reason=reason)
    if domain.partner_id is None or not lapsed:
        return
    running = select(Launch).where(
        Launch.partner_id == domain.partner_id, Launch.status == LaunchStatus.SENDING,
        Launch.sender["identity_id"].astext.in_([str(sender.id) for sender in lapsed]),
    )  # fmt: skip
    for launch in session.scalars(running.with_for_update().execution_options(populate_existing=True)):
        launch.pause(by=actor, at=clock.now(), reason=f"{domain.name} cannot prove your mail any more. {reason}")
    account_services.tell(
        session, domain.partner_id, (Role.PARTNER_ADMIN,), "sender_lapsed",
        data={"domain": domain.name, "reason": reason, "path": f"/brand/senders/{lapsed[0].id}"},
        once_key=f"lapsed:{domain.id}:{clock.now():%Y-%m-%d}",
    )  # fmt: skip


def _next_check(domain: SendingDomain, now: datetime) -> datetime | None:
    """When to look again: daily what stands, sooner what is just being set up, never what was given up."""
    if domain.verified_at is not None:
        return now + DAILY
    since = max(filter(None, (domain.lost_at, domain.created_at)))
    if now - since < DAILY:
        return now + SOON
    return now + OFTEN if now - since < FORGET_AFTER else None


def _keys(session: Session, domain: SendingDomain) -> list[DkimKey]:
    statement = select(DkimKey).where(DkimKey.domain_id == domain.id).order_by(DkimKey.created_at)
    return list(session.scalars(statement))


def _senders(session: Session, domain: SendingDomain, *states: SenderStatus) -> list[SendingIdentity]:
    statement = (
        select(SendingIdentity)
        .where(SendingIdentity.domain_id == domain.id, SendingIdentity.status.in_(states))
        .order_by(SendingIdentity.created_at)
    )
    return list(session.scalars(statement))
