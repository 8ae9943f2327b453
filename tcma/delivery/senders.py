"""Use cases of sending identities: add, change, choose as default, retire, make a new key."""

from __future__ import annotations

from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, joinedload, selectinload

from tcma import audit, buckets, clock, ids
from tcma.access import Actor, Kind, Permission
from tcma.db import elevated
from tcma.delivery import senders_keys, signing
from tcma.delivery.message import wire_address
from tcma.delivery.models_senders import DkimKey, SendingDomain, SendingIdentity
from tcma.delivery.senders_states import KeyStatus, SenderStatus
from tcma.errors import IllegalTransition, Invalid, NotFound, RateLimited

MOST_SENDERS = 50
LONGEST_NAME = 80
CHECKS = buckets.Limit("domain-check", burst=30, seconds=3600)
# fmt: off
MAIL_PROVIDERS = frozenset({
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "yahoo.de",
    "ymail.com", "icloud.com", "me.com", "mac.com", "aol.com", "gmx.de", "gmx.net", "gmx.com", "web.de", "t-online.de",
    "freenet.de", "mail.com", "mail.ru", "proton.me", "protonmail.com", "orange.fr", "wanadoo.fr", "free.fr",
    "libero.it", "laposte.net", "zoho.com", "fastmail.com", "hey.com", "qq.com", "163.com",
})
# fmt: on


def list_senders(session: Session, actor: Actor) -> list[SendingIdentity]:
    """The partner's senders that are not retired, the default first."""
    actor.require(Permission.SENDER_READ)
    statement = (
        select(SendingIdentity)
        .options(joinedload(SendingIdentity.domain))
        .where(SendingIdentity.partner_id == actor.organization_id, SendingIdentity.status != SenderStatus.RETIRED)
        .order_by(SendingIdentity.is_default.desc(), SendingIdentity.created_at)
        .limit(MOST_SENDERS)
    )
    return list(session.scalars(statement))


def get_sender(session: Session, actor: Actor, sender_id: UUID) -> SendingIdentity:
    """One of the partner's own senders with its domain and keys. Raises NotFound, Forbidden."""
    actor.require(Permission.SENDER_READ)
    found = session.scalar(
        select(SendingIdentity)
        .options(selectinload(SendingIdentity.domain).selectinload(SendingDomain.keys))
        .where(SendingIdentity.id == sender_id, SendingIdentity.partner_id == actor.organization_id)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound()
    return found


def lock_senders(session: Session, partner_id: UUID) -> None:
    """Lock all senders of a partner, always after the domain in question, so that no two wait for each other."""
    session.flush()
    statement = select(SendingIdentity).where(SendingIdentity.partner_id == partner_id).order_by(SendingIdentity.id)
    session.scalars(statement.with_for_update().execution_options(populate_existing=True)).all()


def add_sender(session: Session, actor: Actor, *, name: str, address: str, reply_to: str = "") -> SendingIdentity:
    """A new sender. It is verified at once where its domain is, else once DNS shows the records.

    Raises Forbidden, Invalid.
    """
    _require_manager(actor)
    clean, domain_name = own_address(address)
    fields = _checked(name, reply_to)
    # Whoever adds the same address at the same time waits here, and then sees it.
    domain = _domain(session, actor, domain_name)
    lock_senders(session, actor.organization_id)
    present = list_senders(session, actor)
    if any(one.address == clean for one in present):
        raise Invalid({"address": "This address is a sender already."})
    if len(present) >= MOST_SENDERS:
        raise Invalid({"address": f"There are at most {MOST_SENDERS} senders. Retire one that you do not use."})
    sender = SendingIdentity(
        partner_id=actor.organization_id, domain_id=domain.id, address=clean, status=SenderStatus.PENDING, **fields
    )
    session.add(sender)
    session.flush()
    audit.record(session, actor, "sender.add", sender, after={"domain": domain.name})
    if domain.verified_at is not None:
        sender.verify(by=actor, at=clock.now())
        choose_default(session, actor)
    return sender


def edit_sender(session: Session, actor: Actor, sender_id: UUID, *, name: str, reply_to: str) -> SendingIdentity:
    """Change the name that readers see and where replies go; launches that have started keep theirs."""
    sender = _manage(session, actor, sender_id)
    fields = _checked(name, reply_to)
    sender.name, sender.reply_to = fields["name"], fields["reply_to"]
    audit.record(session, actor, "sender.edit", sender)
    return sender


def make_default(session: Session, actor: Actor, sender_id: UUID) -> SendingIdentity:
    """New launches use this sender unless they choose another. Raises IllegalTransition before it is verified."""
    sender = _manage(session, actor, sender_id)
    sender.require_status("make the default", SenderStatus.VERIFIED)
    for other in list_senders(session, actor):
        other.is_default = False
    session.flush()
    sender.is_default = True
    session.flush()
    audit.record(session, actor, "sender.default", sender)
    return sender


def retire_sender(session: Session, actor: Actor, sender_id: UUID) -> SendingIdentity:
    """Use it no more. Launches that have started with it go on; the records of its domain may stay."""
    sender = _manage(session, actor, sender_id)
    sender.retire(by=actor)
    session.flush()
    left = select(SendingIdentity.id).where(
        SendingIdentity.domain_id == sender.domain_id, SendingIdentity.status != SenderStatus.RETIRED
    )
    if session.scalar(left.limit(1)) is None:
        sender.domain.next_check_at = None
    choose_default(session, actor)
    return sender


def choose_default(session: Session, actor: Actor) -> None:
    """Where a partner has verified senders and none is the default, the oldest becomes it."""
    session.flush()
    if any(one.is_default for one in list_senders(session, actor)):
        return
    for one in list_senders(session, actor):
        if one.status is SenderStatus.VERIFIED:
            one.is_default = True
            session.flush()
            return


def new_key(session: Session, actor: Actor, sender_id: UUID) -> DkimKey:
    """Begin to change the key of a sender's domain: the new one signs once DNS shows it. Raises IllegalTransition."""
    sender = _manage(session, actor, sender_id)
    return _add_key(session, actor, sender.domain)


def take_check(session: Session, actor: Actor, sender_id: UUID) -> SendingDomain:
    """The domain of a sender that its manager wants looked at now. Raises RateLimited, NotFound, Forbidden."""
    sender = _manage(session, actor, sender_id)
    if not buckets.take(session, CHECKS, str(actor.organization_id)):
        raise RateLimited("That were many checks. Records take some minutes to be seen anyway.", retry_after=120)
    return sender.domain


# -- the platform's own domain ------------------------------------------------------------------------


def platform_domain(session: Session) -> SendingDomain | None:
    """The row of the platform's domain with its keys, or None before an operator has made a key."""
    return session.scalar(
        select(SendingDomain)
        .options(selectinload(SendingDomain.keys))
        .where(SendingDomain.partner_id.is_(None), SendingDomain.name == signing.platform_domain())
        .execution_options(populate_existing=True)
    )


def new_platform_key(session: Session, actor: Actor) -> DkimKey:
    """A first or a further key of the platform's domain, for relays that do not sign. Raises IllegalTransition."""
    actor.require(Permission.SERVICE_OPERATE)
    domain = platform_domain(session)
    with elevated(session, "an operator makes a key of the platform's own domain"):
        if domain is None:
            domain = SendingDomain(partner_id=None, name=signing.platform_domain(), next_check_at=clock.now())
            session.add(domain)
            session.flush()
            audit.record(session, actor, "sending_domain.add", domain, after={"domain": domain.name})
        return _add_key(session, actor, domain)


# -- parts ---------------------------------------------------------------------------------------------


def _require_manager(actor: Actor) -> None:
    actor.require_kind(Kind.PARTNER)
    actor.require(Permission.SENDER_MANAGE)


def _manage(session: Session, actor: Actor, sender_id: UUID) -> SendingIdentity:
    """A sender that its manager may change, with its domain and all its fellows locked."""
    _require_manager(actor)
    sender = get_sender(session, actor, sender_id)
    session.get_one(SendingDomain, sender.domain_id, with_for_update=True, populate_existing=True)
    lock_senders(session, actor.organization_id)
    if sender.status is SenderStatus.RETIRED:
        raise IllegalTransition("This sender is retired. Add the address anew to use it again.")
    return sender


def _domain(session: Session, actor: Actor, name: str) -> SendingDomain:
    """The partner's row of a domain, locked; made with its first key where there is none."""
    row = {"id": ids.new_id(), "partner_id": actor.organization_id, "name": name, "findings": [], "created_at": clock.now()}
    made = session.scalar(
        insert(SendingDomain).values(**row).on_conflict_do_nothing().returning(SendingDomain.id)
    )
    found = session.scalars(
        select(SendingDomain)
        .where(SendingDomain.partner_id == actor.organization_id, SendingDomain.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    if made is not None:
        _add_key(session, actor, found)
    found.next_check_at = found.next_check_at or clock.now()
    return found


def _add_key(session: Session, actor: Actor, domain: SendingDomain) -> DkimKey:
    waiting = select(DkimKey.id).where(DkimKey.domain_id == domain.id, DkimKey.status == KeyStatus.PENDING)
    if session.scalar(waiting) is not None:
        raise IllegalTransition("A new key waits for its record already. Set the record that is shown, then check.")
    key = senders_keys.new_key(domain)
    session.add(key)
    session.flush()
    domain.next_check_at = clock.now()
    audit.record(session, actor, "dkim_key.make", key, after={"selector": key.selector})
    return key


def own_address(address: str) -> tuple[str, str]:
    """(address, domain) in the form of the wire. Raises Invalid with what to use instead."""
    try:
        typed = validate_email(address.strip(), check_deliverability=False).normalized
        clean = wire_address(typed)
    except (EmailNotValidError, Invalid) as error:
        raise Invalid({"address": f"This is not an email address: {error}"}) from None
    local, _, domain = clean.rpartition("@")
    domain = domain.lower()
    if not local.isascii():
        raise Invalid({"address": "The part before the @ may hold plain letters, digits and signs only."})
    if domain in MAIL_PROVIDERS:
        raise Invalid({"address": f"{domain} belongs to a mail provider. Use an address of your company's own domain."})
    platform = signing.platform_domain()
    if domain == platform or domain.endswith(f".{platform}"):
        raise Invalid({"address": f"{domain} is the service's own domain. Use an address of your company's domain."})
    return f"{local}@{domain}", domain


def _checked(name: str, reply_to: str) -> dict[str, str]:
    problems: dict[str, str] = {}
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or "@" in name:
        problems["name"] = f"Enter the name that readers see, at most {LONGEST_NAME} characters and no @."
    reply = reply_to.strip()
    if reply:
        try:
            reply = wire_address(validate_email(reply, check_deliverability=False).normalized)
        except (EmailNotValidError, Invalid) as error:
            problems["reply_to"] = f"This is not an email address: {error}"
    if problems:
        raise Invalid(problems)
    return {"name": name, "reply_to": reply}
