"""Senders, and domains with the records that they ask for."""

from __future__ import annotations

import secrets
from uuid import UUID

from tcma.access import Actor
from tcma.config import Settings, settings, use_settings
from tcma.db import db, unit_of_work
from tcma.delivery import senders, senders_checking, senders_verify
from tcma.delivery.domain_check import Record
from tcma.delivery.models_senders import DkimKey, SendingDomain, SendingIdentity
from tests.dns_server import DnsServer
from tests.factories.cast import Cast
from tests.factories.objects import Known


def use_dns(server: DnsServer, **changes: str) -> Settings:
    """Ask `server` from now on; the settings as they were, for `use_settings` to put back."""
    before = settings()
    use_settings(before.model_copy(update={"dns_server": server.address, **changes}))
    return before


def new_domain() -> str:
    return f"acme-{secrets.token_hex(4)}.example"


def make_sender(actor: Actor, *, address: str | None = None, name: str = "Acme IT", reply_to: str = "") -> UUID:
    """A pending sender on a domain of its own, unless `address` names one."""
    with unit_of_work(actor) as session:
        return senders.add_sender(
            session, actor, name=name, address=address or f"news@{new_domain()}", reply_to=reply_to
        ).id


def find(actor: Actor, sender_id: UUID) -> SendingIdentity:
    with unit_of_work(actor) as session:
        return senders.get_sender(session, actor, sender_id)


def domain_of(actor: Actor, sender_id: UUID) -> SendingDomain:
    return find(actor, sender_id).domain


def keys_of(actor: Actor, sender_id: UUID) -> list[DkimKey]:
    return list(domain_of(actor, sender_id).keys)


def wanted(actor: Actor, sender_id: UUID) -> dict[str, Record]:
    """The records that the page asks for, by code; of several keys the newest."""
    with unit_of_work(actor) as session:
        domain = senders.get_sender(session, actor, sender_id).domain
        return {one.code: one for one in senders_verify.wanted_records(session, domain)}


def publish(server: DnsServer, actor: Actor, sender_id: UUID, *codes: str) -> None:
    """Set the records that the page asks for (all, or those of `codes`), as the owner of the domain would."""
    for code, record in wanted(actor, sender_id).items():
        if codes and code not in codes:
            continue
        if record.type == "CNAME":
            server.aliases[record.host] = record.value
        else:
            server.texts[record.host] = [record.value]


def check(actor: Actor, sender_id: UUID) -> SendingIdentity:
    """What the button does; the sender afterwards."""
    domain_id = domain_of(actor, sender_id).id
    senders_checking.check_domain(actor, domain_id)
    db.session.expire_all()
    return find(actor, sender_id)


def make_verified(server: DnsServer, actor: Actor, *, address: str | None = None, name: str = "Acme IT") -> UUID:
    """A sender whose records stand."""
    sender_id = make_sender(actor, address=address, name=name)
    publish(server, actor, sender_id)
    check(actor, sender_id)
    return sender_id


def findings(actor: Actor, sender_id: UUID) -> dict[str, dict[str, object]]:
    """What the last look found, by code."""
    return {one["code"]: one for one in domain_of(actor, sender_id).findings}


def _sender(cast: Cast) -> Known:
    sender_id = make_sender(cast.partner_admin)
    return Known(sender_id, {cast.partner_id}, (find(cast.partner_admin, sender_id).address,))


OBJECTS = {"sender_id": _sender}
