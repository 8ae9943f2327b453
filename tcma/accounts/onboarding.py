"""A partner's first steps in a vendor's programme: terms, profile, first launch. The place is kept in the row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import queries, services
from tcma.accounts.models import Organization, Partnership, TermsAcceptance, TermsVersion
from tcma.accounts.states import PartnershipStatus
from tcma.config import settings
from tcma.errors import Invalid, NotFound, Stale

LONGEST_TERMS = 100_000


@dataclass(frozen=True)
class Step:
    """One step; `href` leads to it."""

    key: str
    label: str
    done: bool
    href: str


def current_terms(session: Session, vendor_id: UUID) -> TermsVersion | None:
    """The newest version of a vendor's partner terms, or None where there are none."""
    return session.scalar(
        select(TermsVersion).where(TermsVersion.vendor_id == vendor_id).order_by(TermsVersion.number.desc()).limit(1)
    )


def list_terms(session: Session, actor: Actor) -> list[TermsVersion]:
    """All versions of the vendor's own terms, the newest first."""
    statement = (
        select(TermsVersion)
        .where(TermsVersion.vendor_id == actor.organization_id)
        .order_by(TermsVersion.number.desc())
        .limit(100)
    )
    return list(session.scalars(statement))


def publish_terms(session: Session, actor: Actor, *, body: str, effective_on: date | None = None) -> TermsVersion:
    """A new version of the vendor's terms; partners are asked to accept it, old acceptances stay.

    Raises Forbidden, Invalid for empty, overlong and unchanged words.
    """
    actor.require(Permission.TERMS_MANAGE)
    actor.require_kind(Kind.VENDOR)
    words = body.replace("\r\n", "\n").strip()
    if not 20 <= len(words) <= LONGEST_TERMS:
        raise Invalid({"body": "Write the terms in 20 to 100,000 characters."})
    # The vendor's own row is the lock: two versions made at once get two numbers.
    session.execute(select(Organization.id).where(Organization.id == actor.organization_id).with_for_update())
    before = current_terms(session, actor.organization_id)
    if before is not None and before.body == words:
        raise Invalid({"body": f"This is word for word version {before.number}. Change something first."})
    terms = TermsVersion(
        vendor_id=actor.organization_id,
        number=before.number + 1 if before else 1,
        body=words,
        effective_on=effective_on,
    )
    session.add(terms)
    session.flush()
    audit.record(session, actor, "terms.publish", terms, after={"number": terms.number})
    return terms


def accept_terms(
    session: Session, actor: Actor, *, vendor_id: UUID, terms_version_id: UUID | None, address: str = "",
    agent: str = "",
) -> Partnership:  # fmt: skip
    """Accept the version that was read; once the vendor has said yes as well, the partnership is active.

    Accepting the same version again changes nothing. Raises Stale where a newer version is out.
    """
    actor.require(Permission.TERMS_ACCEPT)
    actor.require_kind(Kind.PARTNER)
    partnership = queries.get_partnership(session, actor, vendor_id, lock=True)
    terms = current_terms(session, vendor_id)
    if terms is None or terms_version_id != terms.id:
        raise Stale("The vendor has changed its terms. Read the present version, then decide.")
    if partnership.terms_version_id != terms.id:
        session.add(
            TermsAcceptance(
                vendor_id=vendor_id, partner_id=actor.organization_id, terms_version_id=terms.id,
                user_id=actor.user_id, address=address[:64], agent=agent[:300],
            )
        )  # fmt: skip
        partnership.terms_version_id = terms.id
        partnership.terms_accepted_at = clock.now()
        audit.record(session, actor, "terms.accept", partnership, after={"number": terms.number})
    activate_if_ready(session, actor, partnership)
    return partnership


def activate_if_ready(session: Session, actor: Actor, partnership: Partnership) -> bool:
    """Open the programme once both sides have said yes: invited or approved, and terms (if any) accepted."""
    if partnership.status is not PartnershipStatus.INVITED:
        return False
    if partnership.terms_accepted_at is None and current_terms(session, partnership.vendor_id) is not None:
        return False
    services.activate_partnership(session, actor, partnership)
    services.tell(
        session, partnership.vendor_id, (Role.CHANNEL_MANAGER,), "partner_joined",
        data={
            "company": session.get_one(Organization, partnership.partner_id).name,
            "url": f"{settings().public_origin}/partners/{partnership.partner_id}",
        },
        once_key=f"joined:{partnership.id}",
    )  # fmt: skip
    return True


def save_company(
    session: Session, actor: Actor, *, legal_name: str, postal_address: str, country: str, contact_email: str,
    phone: str = "", website: str = "",
) -> Organization:  # fmt: skip
    """What mails and payments need to say of the partner; ends the profile step. Raises Forbidden, Invalid."""
    actor.require(Permission.BRAND_MANAGE)
    actor.require_kind(Kind.PARTNER)
    organization = queries.get_organization(session, actor.organization_id)
    services.write_company(
        session, actor, organization, legal_name=legal_name, postal_address=postal_address, country=country,
        contact_email=contact_email, phone=phone, website=website,
    )  # fmt: skip
    for partnership in queries.list_partnerships(session, actor):
        complete_profile_step(session, partnership)
    return organization


def complete_profile_step(session: Session, partnership: Partnership) -> None:
    """Mark the profile as done; the first time counts."""
    if partnership.profile_completed_at is None:
        partnership.profile_completed_at = clock.now()
        session.flush()


def record_first_launch(session: Session, *, vendor_id: UUID, partner_id: UUID) -> None:
    """Mark the partner's first launch for this vendor; the first time counts. Either party may call it."""
    session.execute(
        update(Partnership)
        .where(
            Partnership.vendor_id == vendor_id, Partnership.partner_id == partner_id,
            Partnership.first_launch_at.is_(None),
        )
        .values(first_launch_at=clock.now())
    )  # fmt: skip


def steps(session: Session, actor: Actor, partnership: Partnership) -> list[Step]:
    """The steps of one partnership in their order. Who accepted older terms has a step to do again."""
    terms = current_terms(session, partnership.vendor_id)
    accepted = (
        terms is None
        or partnership.terms_version_id == terms.id
        or (partnership.terms_version_id is None and partnership.terms_accepted_at is not None)
    )
    at = f"/onboarding?vendor={partnership.vendor_id}&step="
    return [
        Step("terms", "Accept the terms", accepted, f"{at}terms"),
        Step("profile", "Complete your profile", partnership.profile_completed_at is not None, f"{at}profile"),
        Step("launch", "Start your first launch", partnership.first_launch_at is not None, f"{at}launch"),
    ]


def next_partnership(session: Session, actor: Actor, *, vendor_id: UUID | None = None) -> Partnership:
    """The partnership whose steps to show: the named one, else the first with a step to do, else the first."""
    if vendor_id is not None:
        return queries.get_partnership(session, actor, vendor_id)
    closed = (PartnershipStatus.ENDED, PartnershipStatus.DECLINED)
    mine = [one for one in queries.list_partnerships(session, actor) if one.status not in closed]
    if not mine:
        raise NotFound("You work with no vendor yet. Ask one for an invitation.")
    return next((one for one in mine if not all(step.done for step in steps(session, actor, one))), mine[0])


def list_acceptances(session: Session, actor: Actor, partner_id: UUID) -> list[tuple[TermsAcceptance, int]]:
    """Which versions of the vendor's terms a partner accepted, the newest first."""
    statement = (
        select(TermsAcceptance, TermsVersion.number)
        .join(TermsVersion, TermsVersion.id == TermsAcceptance.terms_version_id)
        .where(TermsAcceptance.vendor_id == actor.organization_id, TermsAcceptance.partner_id == partner_id)
        .order_by(TermsAcceptance.id.desc())
        .limit(20)
    )
    return [(one, number) for one, number in session.execute(statement)]


def count_accepted(session: Session, actor: Actor, terms: TermsVersion) -> int:
    """How many partners have accepted this version."""
    statement = select(func.count(func.distinct(TermsAcceptance.partner_id))).where(
        TermsAcceptance.vendor_id == actor.organization_id, TermsAcceptance.terms_version_id == terms.id
    )
    return session.scalar(statement) or 0
