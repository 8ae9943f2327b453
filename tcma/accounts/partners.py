"""The vendor's side of partnerships: tier and territory, applications, suspending, ending."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from tcma import audit, clock, events
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import onboarding, queries, services
from tcma.accounts.models import Partnership
from tcma.accounts.states import PartnershipStatus
from tcma.config import settings
from tcma.errors import IllegalTransition, Invalid

TIERS = ("Registered", "Silver", "Gold", "Platinum")


def _locked(session: Session, actor: Actor, partner_id: UUID) -> Partnership:
    actor.require(Permission.PARTNER_MANAGE)
    actor.require_kind(Kind.VENDOR)
    return queries.get_partnership(session, actor, partner_id, lock=True)


def change_partnership(session: Session, actor: Actor, partner_id: UUID, *, tier: str, territory: str) -> Partnership:
    """Set tier and territory. Raises Forbidden, NotFound, Invalid."""
    partnership = _locked(session, actor, partner_id)
    problems: dict[str, str] = {}
    if not tier.strip() or len(tier) > 40:
        problems["tier"] = "Name a tier of at most 40 characters, such as Gold."
    if len(territory) > 80:
        problems["territory"] = "Use at most 80 characters, such as Germany, Austria."
    if problems:
        raise Invalid(problems)
    before = {"tier": partnership.tier, "territory": partnership.territory}
    partnership.tier, partnership.territory = tier.strip(), territory.strip()
    audit.record(
        session, actor, "partnership.change", partnership,
        before=before, after={"tier": partnership.tier, "territory": partnership.territory},
    )  # fmt: skip
    return partnership


def approve_application(session: Session, actor: Actor, partner_id: UUID, *, tier: str = "") -> Partnership:
    """Say yes to an application. The programme opens once the partner has accepted the terms."""
    partnership = _locked(session, actor, partner_id)
    if partnership.status is not PartnershipStatus.APPLYING:
        raise IllegalTransition("There is no application to decide. Reload the page to see the present state.")
    if tier:
        partnership.tier = tier
    partnership.approve(by=actor, at=clock.now())
    onboarding.activate_if_ready(session, actor, partnership)
    _tell(session, actor, partnership, "application_approved", path=f"/onboarding?vendor={actor.organization_id}")
    return partnership


def decline_application(session: Session, actor: Actor, partner_id: UUID, *, reason: str) -> Partnership:
    """Say no to an application, with words that the applicant reads."""
    partnership = _locked(session, actor, partner_id)
    partnership.require_status("decline", PartnershipStatus.APPLYING)
    partnership.decline(by=actor, reason=_words(reason))
    _tell(session, actor, partnership, "application_declined", reason=reason.strip())
    return partnership


def suspend_partnership(session: Session, actor: Actor, partner_id: UUID, *, reason: str) -> Partnership:
    """Close the programme to the partner until it is opened again; what runs is stopped by later rooms."""
    partnership = _locked(session, actor, partner_id)
    partnership.suspend(by=actor, reason=_words(reason))
    session.flush()
    events.publish(session, actor, events.PartnershipSuspended(partnership.vendor_id, partnership.partner_id))
    _tell(session, actor, partnership, "partnership_suspended", reason=reason.strip())
    return partnership


def reactivate_partnership(session: Session, actor: Actor, partner_id: UUID) -> Partnership:
    """Open the programme again after it was suspended or ended."""
    partnership = _locked(session, actor, partner_id)
    partnership.require_status("reactivate", PartnershipStatus.SUSPENDED, PartnershipStatus.ENDED)
    services.activate_partnership(session, actor, partnership)
    _tell(session, actor, partnership, "partnership_reactivated", path="/")
    return partnership


def end_partnership(session: Session, actor: Actor, partner_id: UUID, *, reason: str) -> Partnership:
    """Rights stop, history stays: figures, claims and payments of the time before remain."""
    partnership = _locked(session, actor, partner_id)
    was_open = partnership.status is PartnershipStatus.ACTIVE
    partnership.end(by=actor, reason=_words(reason))
    session.flush()
    if was_open:
        events.publish(session, actor, events.PartnershipSuspended(partnership.vendor_id, partnership.partner_id))
    _tell(session, actor, partnership, "partnership_ended", reason=reason.strip())
    return partnership


def _words(reason: str) -> str:
    if not reason.strip() or len(reason) > 500:
        raise Invalid({"reason": "Say why in at most 500 characters; the partner reads it."})
    return reason.strip()


def _tell(
    session: Session, actor: Actor, partnership: Partnership, template: str, *, reason: str = "", path: str = "/"
) -> None:
    services.tell(
        session, partnership.partner_id, (Role.PARTNER_ADMIN,), template,
        data={"vendor": actor.organization_name, "reason": reason, "url": settings().public_origin + path},
    )  # fmt: skip
