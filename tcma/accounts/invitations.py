"""The way in by mail: invitations of members and partners, applications, and what their links do.

Only a hash of a link's token is kept. A link works once, for 14 days, for the address that it was sent to, and
until it is taken back or sent again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask_security.utils import hash_password
from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit, buckets, clock, mail
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import onboarding, queries, services, tokens
from tcma.accounts.members import check_roles
from tcma.accounts.models import Invitation, Member, Organization, Partnership, User
from tcma.accounts.states import InvitationKind, PartnershipStatus
from tcma.config import settings
from tcma.db import elevated
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound

LIFE = timedelta(days=14)
INVITED_BY_DAY = buckets.Limit("invitations", burst=200, seconds=86_400)
APPLY_BY_HOST = buckets.Limit("apply-host", burst=5, seconds=3600)
APPLY_BY_ADDRESS = buckets.Limit("apply-address", burst=3, seconds=86_400)
SHORTEST_PASSWORD = 10


class LinkClosed(NotFound):
    """A link that opens nothing any more; `why` is expired, used, revoked or unknown."""

    title = "This link does not work any more"

    def __init__(self, why: str, invitation: Invitation | None = None, organization: str = "") -> None:
        self.why = why
        self.invitation = invitation
        self.organization = organization
        super().__init__({
            "expired": "The link has expired. Ask whoever invited you to send it again.",
            "used": "The link has been used. Sign in with your address and password.",
            "revoked": "The link was taken back or replaced by a newer one. Look for a newer mail.",
            "unknown": "The link is not complete. Copy the whole of it from the mail, or open it there.",
        }[why])  # fmt: skip


def invite_member(
    session: Session, actor: Actor, *, email: str, roles: Collection[str], name: str = ""
) -> tuple[Invitation, str]:
    """Ask a person to join the actor's organization with `roles`; the mail goes out after the commit."""
    actor.require(Permission.MEMBER_MANAGE)
    chosen = check_roles(actor.kind, roles)
    address = services.clean_address(email)
    user = services.find_user(session, address)
    if user is not None and any(one.user_id == user.id for one in queries.list_members(session, actor)):
        raise Invalid({"email": "This person is a member already. Change their roles in the list."})
    return _invite(
        session, actor, InvitationKind.MEMBER, email=address, name=name, roles=sorted(str(role) for role in chosen)
    )


def invite_partner(
    session: Session, actor: Actor, *, company: str, email: str, name: str = "", tier: str = "Registered",
    territory: str = "",
) -> tuple[Invitation, str]:  # fmt: skip
    """Ask a company into the vendor's programme; the mail goes out after the commit. Raises Forbidden, Invalid."""
    actor.require(Permission.PARTNER_MANAGE)
    actor.require_kind(Kind.VENDOR)
    if not company.strip() or len(company) > 120:
        raise Invalid({"company": "Give the name of the company, at most 120 characters."})
    return _invite(
        session, actor, InvitationKind.PARTNER, email=services.clean_address(email), name=name,
        roles=[str(Role.PARTNER_ADMIN)], company=company.strip(), tier=tier.strip() or "Registered",
        territory=territory.strip(),
    )  # fmt: skip


def _invite(
    session: Session, actor: Actor, kind: InvitationKind, *, email: str, **fields: Any
) -> tuple[Invitation, str]:
    buckets.take_or_refuse(session, INVITED_BY_DAY, str(actor.organization_id))
    for older in _open_invitations(session, actor.organization_id, kind, email):
        older.revoked_at = clock.now()
    token = tokens.new_token()
    invitation = Invitation(
        organization_id=actor.organization_id, kind=kind, email=email, token_hash=tokens.digest(token),
        expires_at=clock.now() + LIFE, invited_by=actor.user_id, **fields,
    )  # fmt: skip
    session.add(invitation)
    session.flush()
    audit.record(session, actor, f"invitation.{kind}", invitation, after={"expires_at": invitation.expires_at})
    _post(session, invitation, token, vendor=actor.organization_name, inviter=actor.name)
    return invitation, token


def _open_invitations(session: Session, organization_id: UUID, kind: InvitationKind, email: str) -> list[Invitation]:
    statement = select(Invitation).where(
        Invitation.organization_id == organization_id, Invitation.kind == kind, Invitation.email == email,
        Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None),
    )  # fmt: skip
    return list(session.scalars(statement))


def _post(session: Session, invitation: Invitation, token: str, *, vendor: str, inviter: str) -> None:
    template = {
        InvitationKind.MEMBER: "member_invitation",
        InvitationKind.PARTNER: "partner_invitation",
        InvitationKind.APPLICATION: "application_confirm",
    }[invitation.kind]
    origin = settings().public_origin
    mail.post(
        session, template, organization_id=invitation.organization_id, to_address=invitation.email,
        to_name=invitation.name,
        data={
            "origin": origin, "url": f"{origin}/join/{token}", "name": invitation.name, "vendor": vendor,
            "organization": vendor, "inviter": inviter, "company": invitation.company,
            "expires": invitation.expires_at.date().isoformat(),
        },
    )  # fmt: skip


def get_invitation(session: Session, actor: Actor, invitation_id: UUID) -> Invitation:
    found = session.scalar(
        select(Invitation)
        .where(Invitation.id == invitation_id, Invitation.organization_id == actor.organization_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound()
    needed = Permission.MEMBER_MANAGE if found.kind is InvitationKind.MEMBER else Permission.PARTNER_MANAGE
    actor.require(needed)
    return found


def resend_invitation(session: Session, actor: Actor, invitation_id: UUID) -> tuple[Invitation, str]:
    """Send a new link for 14 days; the old one stops. Raises IllegalTransition once accepted."""
    invitation = get_invitation(session, actor, invitation_id)
    if invitation.accepted_at or invitation.kind is InvitationKind.APPLICATION:
        raise IllegalTransition("This invitation has been accepted, so there is nothing to send again.")
    buckets.take_or_refuse(session, INVITED_BY_DAY, str(actor.organization_id))
    token = tokens.new_token()
    invitation.token_hash = tokens.digest(token)
    invitation.expires_at = clock.now() + LIFE
    invitation.revoked_at = None
    invitation.reminded_at = clock.now()
    audit.record(session, actor, "invitation.resend", invitation)
    _post(session, invitation, token, vendor=actor.organization_name, inviter=actor.name)
    return invitation, token


def revoke_invitation(session: Session, actor: Actor, invitation_id: UUID) -> Invitation:
    """Take an invitation back: its link stops at once. Raises IllegalTransition once accepted."""
    invitation = get_invitation(session, actor, invitation_id)
    if invitation.accepted_at:
        raise IllegalTransition("This invitation has been accepted. Remove the member or end the partnership instead.")
    if invitation.revoked_at is None:
        invitation.revoked_at = clock.now()
        audit.record(session, actor, "invitation.revoke", invitation)
    return invitation


def apply_to_vendor(
    session: Session, *, slug: str, company: str, email: str, name: str, territory: str, note: str, host: str
) -> None:
    """Begin an application: a mail with a link proves the address; the vendor hears of it only after that.

    Needs no actor. The answer is the same whoever owns the address. Raises NotFound, Invalid, RateLimited.
    """
    vendor = find_open_vendor(session, slug)
    address = services.clean_address(email)
    problems = {
        field: words
        for field, value, most, words in (
            ("company", company, 120, "Give the name of your company, at most 120 characters."),
            ("name", name, 120, "Give your own name, at most 120 characters."),
        )
        if not value.strip() or len(value) > most
    }
    if len(note) > 1000:
        problems["note"] = "Use at most 1,000 characters."
    if problems:
        raise Invalid(problems)
    buckets.take_or_refuse(session, APPLY_BY_HOST, host)
    if not buckets.take(session, APPLY_BY_ADDRESS, f"{vendor.id}:{address}"):
        return  # the mails that went out already say the same
    token = tokens.new_token()
    with elevated(session, "an application reaches a vendor from outside"):
        for older in _open_invitations(session, vendor.id, InvitationKind.APPLICATION, address):
            older.revoked_at = clock.now()
        invitation = Invitation(
            organization_id=vendor.id, kind=InvitationKind.APPLICATION, email=address, name=name.strip(),
            company=company.strip(), territory=territory.strip()[:80], note=note.strip(),
            roles=[str(Role.PARTNER_ADMIN)], token_hash=tokens.digest(token), expires_at=clock.now() + LIFE,
        )  # fmt: skip
        session.add(invitation)
        session.flush()
        _post(session, invitation, token, vendor=vendor.name, inviter="")


def find_open_vendor(session: Session, slug: str) -> Organization:
    """The vendor that takes applications under `slug`, or NotFound."""
    with elevated(session, "the page to apply is public"):
        vendor = session.scalar(
            select(Organization).where(
                Organization.slug == slug, Organization.kind == Kind.VENDOR,
                Organization.open_to_applications, Organization.purged_at.is_(None),
            )
        )  # fmt: skip
    if vendor is None:
        raise NotFound("No vendor takes applications here. Check the address, or ask the vendor for an invitation.")
    return vendor


def find_by_token(session: Session, token: str, *, lock: bool = False) -> tuple[Invitation, Organization]:
    """The invitation that `token` opens, with who invites. Raises LinkClosed with the reason."""
    statement = select(Invitation).where(Invitation.token_hash == tokens.digest(token))
    with elevated(session, "an invitation's token names its tenant"):
        invitation = session.scalar(
            statement.with_for_update().execution_options(populate_existing=True) if lock else statement
        )
        if invitation is None:
            raise LinkClosed("unknown")
        inviter = session.get_one(Organization, invitation.organization_id)
    for why, closed in (
        ("used", invitation.accepted_at is not None),
        ("revoked", invitation.revoked_at is not None or inviter.purged_at is not None),
        ("expired", invitation.expires_at <= clock.now()),
    ):
        if closed:
            raise LinkClosed(why, invitation, inviter.name)
    return invitation, inviter


def partner_choices(session: Session, user_id: UUID) -> list[queries.Choice]:
    """Partner organizations that a user may bring into another vendor's programme: those they administer."""
    return [
        queries.Choice(one.organization_id, one.organization.name, one.organization.kind)
        for one in queries.memberships(session, user_id)
        if one.organization.kind is Kind.PARTNER and Role.PARTNER_ADMIN in one.role_set
    ]


def accept_invitation(
    session: Session, token: str, *, user: User | None, name: str = "", password: str = "",
    organization_id: UUID | None = None, company: str = "",
) -> tuple[User, UUID]:  # fmt: skip
    """Join by a link: who joined, and the organization to act for. A link is used once, whatever runs at once.

    A signed-in `user` must own the address of the link. A new person gives `name` and `password`. A partner
    brings an organization that the user administers (`organization_id`), or a new one named `company`.
    Raises LinkClosed, Forbidden, Invalid.
    """
    invitation, inviter = find_by_token(session, token, lock=True)
    if user is not None and user.email != invitation.email:
        raise Forbidden(f"This link is for {invitation.email}. Sign out, then open it again.")
    joining = user or _new_user(session, invitation, name=name, password=password)
    actor = Actor(organization_id=inviter.id, kind=inviter.kind, user_id=joining.id, name=joining.name)
    if invitation.kind is InvitationKind.MEMBER:
        place = inviter.id
        with elevated(session, "an invited person becomes a member"):
            _join(session, actor, inviter, joining, roles={Role(role) for role in invitation.roles})
    else:
        place = _join_as_partner(session, invitation, inviter, joining, organization_id, company)
    with elevated(session, "a link is used up"):
        invitation.accepted_at = clock.now()
        invitation.accepted_by = joining.id
        joining.last_organization_id = place
        session.flush()
    return joining, place


def _new_user(session: Session, invitation: Invitation, *, name: str, password: str) -> User:
    known = services.find_user(session, invitation.email)
    if known is not None and (known.last_login_at or not known.active or _is_member(session, known)):
        raise Forbidden("You have an account already. Sign in, and the link works.")
    problems: dict[str, str] = {}
    if not name.strip() or len(name) > 120:
        problems["name"] = "Enter your name; colleagues see it."
    if not SHORTEST_PASSWORD <= len(password) <= 200:
        problems["password"] = f"Use at least {SHORTEST_PASSWORD} characters. Three or four words make a good one."
    elif password.strip().lower() == invitation.email:
        problems["password"] = "Choose something other than your address."  # noqa: S105
    if problems:
        raise Invalid(problems)
    user = services.ensure_user(session, email=invitation.email, name=name, password=password)
    if known is not None:
        user.name, user.password = name.strip(), hash_password(password)
    user.confirmed_at = clock.now()
    return user


def needs_sign_in(session: Session, invitation: Invitation) -> bool:
    """Whether the address has an account that somebody uses, so that its owner signs in instead."""
    known = services.find_user(session, invitation.email)
    return known is not None and (known.last_login_at is not None or not known.active or _is_member(session, known))


def _is_member(session: Session, user: User) -> bool:
    with elevated(session, "whether an invited address has an account in use"):
        return session.scalar(select(Member.id).where(Member.user_id == user.id).limit(1)) is not None


def _join(session: Session, actor: Actor, organization: Organization, user: User, *, roles: set[Role]) -> Member:
    acting = Actor(organization_id=organization.id, kind=organization.kind, user_id=user.id, name=actor.name)
    return services.add_member(session, acting, organization, user, roles=roles)


def _join_as_partner(
    session: Session, invitation: Invitation, vendor: Organization, user: User, organization_id: UUID | None,
    company: str,
) -> UUID:  # fmt: skip
    applying = invitation.kind is InvitationKind.APPLICATION
    status = PartnershipStatus.APPLYING if applying else PartnershipStatus.INVITED
    with elevated(session, "a partner comes in by a link"):
        partner = _partner_organization(session, invitation, vendor, user, organization_id, company)
        actor = Actor(organization_id=partner.id, kind=Kind.PARTNER, user_id=user.id, name=user.name)
        if organization_id is None:
            _join(session, actor, partner, user, roles={Role.PARTNER_ADMIN})
        partnership = _partnership(session, actor, invitation, vendor, partner, status)
        if not applying:
            partnership.invited_at = invitation.created_at
            onboarding.activate_if_ready(session, actor, partnership)
        invitation.partner_id = partner.id
        session.flush()
    if applying:
        services.tell(
            session, vendor.id, (Role.CHANNEL_MANAGER, Role.VENDOR_ADMIN), "application_received",
            data={
                "company": partner.name, "applicant": user.name, "note": invitation.note,
                "url": f"{settings().public_origin}/partners/{partner.id}",
            },
            once_key=f"application:{invitation.id}",
        )  # fmt: skip
    return partner.id


def _partner_organization(
    session: Session, invitation: Invitation, vendor: Organization, user: User, organization_id: UUID | None,
    company: str,
) -> Organization:  # fmt: skip
    if organization_id is not None:
        if organization_id not in [one.id for one in partner_choices(session, user.id)]:
            raise Invalid({"organization": "Choose an organization that you administer, or a new one."})
        return session.get_one(Organization, organization_id)
    name = company.strip() or invitation.company
    if not name or len(name) > 120:
        raise Invalid({"company": "Give the name of your company, at most 120 characters."})
    partner = Organization(
        kind=Kind.PARTNER, name=name, slug=services.free_slug(session, name), legal_name=name,
        currency=vendor.currency, timezone=user.timezone if user.timezone != "UTC" else vendor.timezone,
        contact_email=user.email,
    )  # fmt: skip
    session.add(partner)
    session.flush()
    return partner


def _partnership(
    session: Session, actor: Actor, invitation: Invitation, vendor: Organization, partner: Organization,
    status: PartnershipStatus,
) -> Partnership:  # fmt: skip
    known = session.scalar(
        select(Partnership)
        .where(Partnership.vendor_id == vendor.id, Partnership.partner_id == partner.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if known is None:
        return services.start_partnership(
            session, actor, vendor_id=vendor.id, partner_id=partner.id, status=status, tier=invitation.tier,
            territory=invitation.territory,
        )  # fmt: skip
    if known.status is PartnershipStatus.DECLINED:
        known.apply_again(by=actor, at=clock.now())
        if status is PartnershipStatus.INVITED:
            known.approve(by=actor, at=clock.now())
        return known
    raise Invalid({"organization": f"{partner.name} is a partner of {vendor.name} already ({known.status})."})
