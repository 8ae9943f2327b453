"""Looking at domains: what is asked of the DNS stands between two short transactions, never inside one."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind
from tcma.accounts.models import Organization
from tcma.config import settings
from tcma.db import elevated, unit_of_work
from tcma.delivery import dns_lookup, domain_check, senders_keys, senders_verify, ses
from tcma.delivery.domain_check import KeyRecord, Look
from tcma.delivery.models_senders import DkimKey, SendingDomain
from tcma.delivery.senders_states import KeyStatus
from tcma.errors import DomainError, NotFound

log = structlog.get_logger(__name__)

AT_ONCE = 50


def check_domain(actor: Actor, domain_id: UUID, *, resolver: dns_lookup.Resolver | None = None) -> None:
    """Look at one domain now and act on what is found; opens units of work of its own.

    `actor` is of the domain's partner, or of the platform for its own domain. Raises NotFound.
    """
    with unit_of_work(actor) as session:
        domain = _own_domain(session, actor, domain_id)
        name, keys = domain.name, senders_verify.key_records(session, domain)
        returns = senders_verify.returns_for(domain)
    seen = domain_check.look(
        resolver or dns_lookup.resolver(), name, keys, spf_include=senders_verify.spf_include(), returns=returns
    )
    if settings().ses_region and seen.has_policy and seen.seen:
        _tell_ses(actor, domain_id, name, keys, seen)
    with unit_of_work(actor) as session:
        if actor.kind is Kind.PLATFORM:
            with elevated(session, "the verdict on the platform's own domain is kept"):
                _keep(session, actor, domain_id, seen)
        else:
            _keep(session, actor, domain_id, seen)


def check_due() -> int:
    """Look at every domain that is due; how many. What fails for one domain does not stop the others."""
    now = clock.now()
    with unit_of_work(None) as session, elevated(session, "a sweep finds the domains that are due"):
        chosen = (
            select(SendingDomain.id)
            .where(SendingDomain.next_check_at <= now)
            .order_by(SendingDomain.next_check_at)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        # Taken before it is looked at, so that no second sweep does the same, and none comes first for ever.
        due = session.execute(
            update(SendingDomain)
            .where(SendingDomain.id.in_(chosen))
            .values(next_check_at=now + senders_verify.SOON)
            .returning(SendingDomain.partner_id, SendingDomain.id),
            execution_options={"synchronize_session": False},
        ).all()
        platform_id = session.scalar(select(Organization.id).where(Organization.kind == Kind.PLATFORM).limit(1))
    for partner_id, domain_id in due:
        owner = partner_id or platform_id
        if owner is not None:
            _check_quietly(Actor.system(owner, Kind.PARTNER if partner_id else Kind.PLATFORM), domain_id)
    log.debug("domains_checked", count=len(due))
    return len(due)


def _check_quietly(actor: Actor, domain_id: UUID) -> None:
    try:
        check_domain(actor, domain_id)
    except DomainError as error:
        log.warning("domain_not_checked", domain=str(domain_id), error=error.message)


def _own_domain(session: Session, actor: Actor, domain_id: UUID, *, lock: bool = False) -> SendingDomain:
    owner = None if actor.kind is Kind.PLATFORM else actor.organization_id
    statement = select(SendingDomain).where(
        SendingDomain.id == domain_id, SendingDomain.partner_id.is_not_distinct_from(owner)
    )
    found = session.scalar(statement.with_for_update().execution_options(populate_existing=True) if lock else statement)
    if found is None:
        raise NotFound()
    return found


def _keep(session: Session, actor: Actor, domain_id: UUID, seen: Look) -> None:
    senders_verify.record_look(session, actor, _own_domain(session, actor, domain_id, lock=True), seen)


def _tell_ses(actor: Actor, domain_id: UUID, name: str, keys: list[KeyRecord], seen: Look) -> None:
    """Have SES sign for the domain with our key: the newest whose record stands."""
    selector = [key.selector for key in keys if key.selector in seen.seen][-1]
    with unit_of_work(actor) as session:
        key = session.scalar(
            select(DkimKey).where(
                DkimKey.domain_id == domain_id, DkimKey.selector == selector, DkimKey.status != KeyStatus.RETIRED
            )
        )
        if key is None:
            return
        private = senders_keys.private_pem_body(key)
    finding = ses.register_domain(settings(), name, selector=selector, private_key=private)
    seen.add(finding)
    seen.provider_ok = finding.verdict == "pass"
    seen.unsure = seen.unsure or finding.verdict in ("unsure", "warn")
