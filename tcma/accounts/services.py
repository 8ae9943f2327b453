"""Use cases of accounts that every other one stands on: organizations, users, members, partnerships."""

from __future__ import annotations

import re
import secrets
import unicodedata
from datetime import timedelta
from uuid import UUID
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from flask_security.utils import hash_password
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tcma import audit, clock, events, mail
from tcma.access import ROLES_OF_KIND, Actor, Kind, Permission, Role
from tcma.accounts import queries
from tcma.accounts.models import ApiKey, Member, Organization, Partnership, User
from tcma.accounts.states import PartnershipStatus
from tcma.config import settings
from tcma.db import elevated
from tcma.errors import Invalid, NotFound


def clean_address(address: str, *, field: str = "email") -> str:
    """A deliverable-looking address in lower case, or Invalid."""
    try:
        return validate_email(address.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid({field: f"This is not an email address: {error}"}) from None


def free_slug(session: Session, name: str) -> str:
    """A slug from `name` that no organization has; needs an elevated session."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "organization"
    taken = set(session.scalars(select(Organization.slug).where(Organization.slug.startswith(base))))
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    return slug


def provision_organization(
    session: Session, actor: Actor, *, kind: Kind, name: str, country: str = "", currency: str = "EUR",
    timezone: str = "UTC", color: str = "#2f5fd0", scratch: bool = False,
) -> Organization:  # fmt: skip
    """Make an organization: an operator's right. Raises Forbidden, Invalid."""
    actor.require(Permission.ORGANIZATION_PROVISION)
    if not name.strip():
        raise Invalid({"name": "Give the organization a name."})
    with elevated(session, "a new organization has no tenant yet"):
        organization = Organization(
            kind=kind, name=name.strip(), slug=free_slug(session, name), legal_name=name.strip(), country=country,
            currency=currency, timezone=timezone, color=color, scratch=scratch,
        )  # fmt: skip
        session.add(organization)
        session.flush()
    audit.record(session, actor, "organization.provision", organization, after={"kind": kind})
    return organization


def find_user(session: Session, email: str) -> User | None:
    return session.scalar(select(User).where(User.email == email.lower()))


def ensure_user(session: Session, *, email: str, name: str = "", password: str | None = None) -> User:
    """The user of that address, made if there is none. A password is only set on a new user."""
    address = clean_address(email)
    user = find_user(session, address)
    if user is None:
        user = User(
            email=address, name=name.strip(), fs_uniquifier=secrets.token_hex(32),
            password=hash_password(password or secrets.token_urlsafe(24)), confirmed_at=clock.now(),
        )  # fmt: skip
        session.add(user)
        session.flush()
    return user


def add_member(session: Session, actor: Actor, organization: Organization, user: User, *, roles: set[Role]) -> Member:
    """Give `user` `roles` in `organization`. Raises Forbidden, Invalid for roles of another kind."""
    if actor.organization_id != organization.id:
        actor.require(Permission.ORGANIZATION_PROVISION)
    wrong = [role for role in roles if role not in ROLES_OF_KIND[organization.kind]]
    if wrong or not roles:
        fitting = ", ".join(ROLES_OF_KIND[organization.kind])
        raise Invalid({"roles": f"Choose at least one role of a {organization.kind}: {fitting}."})
    with elevated(session, "a member of another tenant is added by the operator or by an invitation"):
        member = session.scalar(
            select(Member).where(Member.organization_id == organization.id, Member.user_id == user.id)
        )
        if member is None:
            member = Member(organization_id=organization.id, user_id=user.id, roles=[])
            session.add(member)
        member.roles = (
            sorted({*member.roles, *(str(role) for role in roles)}) if not member.removed_at else sorted(roles)
        )
        member.removed_at = None
        session.flush()
    audit.record(session, actor, "member.add", member, after={"roles": " ".join(sorted(roles))})
    return member


def start_partnership(
    session: Session, actor: Actor, *, vendor_id: UUID, partner_id: UUID, status: PartnershipStatus,
    tier: str = "Registered", territory: str = "",
) -> Partnership:  # fmt: skip
    """Link a vendor and a partner in `status` invited or applying; the same pair is linked once."""
    now = clock.now()
    with elevated(session, "the link is made before either side can see it"):
        partnership = session.scalar(
            select(Partnership).where(Partnership.vendor_id == vendor_id, Partnership.partner_id == partner_id)
        )
        if partnership is None:
            partnership = Partnership(
                vendor_id=vendor_id, partner_id=partner_id, status=status, tier=tier, territory=territory,
                invited_at=now if status is PartnershipStatus.INVITED else None,
                applied_at=now if status is PartnershipStatus.APPLYING else None,
            )  # fmt: skip
            session.add(partnership)
            session.flush()
    audit.record(session, actor, "partnership.start", partnership, after={"status": status, "tier": tier})
    return partnership


def activate_partnership(session: Session, actor: Actor, partnership: Partnership) -> None:
    """Open the programme to the partner; later rooms hear of it."""
    partnership.activate(by=actor, at=clock.now())
    session.flush()
    with elevated(session, "a partner that accepts the terms is granted what its vendor has for all partners"):
        events.publish(session, actor, events.PartnershipActivated(partnership.vendor_id, partnership.partner_id))


def tell(
    session: Session,
    organization_id: UUID,
    roles: tuple[Role, ...],
    template: str,
    *,
    data: dict[str, object],
    once_key: str | None = None,
) -> int:
    """Post a notification mail to each member of an organization who holds one of `roles`; how many were told."""
    with elevated(session, "people of the other party are told"):
        told = queries.members_with_role(session, organization_id, *roles)
        for member in told:
            mail.post(
                session, template, organization_id=organization_id, to_address=member.user.email,
                to_name=member.user.name, data={"origin": settings().public_origin, "name": member.user.name, **data},
                once_key=f"{once_key}:{member.id}" if once_key else None,
            )  # fmt: skip
    return len(told)


def save_profile(session: Session, actor: Actor, *, name: str, locale: str, timezone: str) -> User:
    """Change how a person is named and how dates are shown to them. Raises Invalid."""
    user = _own_user(session, actor)
    problems: dict[str, str] = {}
    if not name.strip() or len(name) > 120:
        problems["name"] = "Enter your name, at most 120 characters."
    if timezone not in available_timezones():
        problems["timezone"] = "Choose a time zone from the list, such as Europe/Berlin."
    if not re.fullmatch(r"[a-z]{2}(_[A-Z]{2})?", locale):
        problems["locale"] = "Choose a language from the list."
    if problems:
        raise Invalid(problems)
    user.name, user.locale, user.timezone = name.strip(), locale, timezone
    return user


def remember_organization(session: Session, actor: Actor, organization_id: UUID) -> None:
    """The next sign-in begins with this organization."""
    _own_user(session, actor).last_organization_id = organization_id


def _own_user(session: Session, actor: Actor) -> User:
    user = session.get(User, actor.user_id) if actor.user_id else None
    if user is None:
        raise NotFound()
    return user


def save_organization(
    session: Session, actor: Actor, *, name: str, color: str, timezone: str, open_to_applications: bool | None = None,
) -> Organization:  # fmt: skip
    """How the organization is named and shown to the other side. Raises Forbidden, Invalid."""
    actor.require(Permission.MEMBER_MANAGE)
    organization = queries.get_organization(session, actor.organization_id)
    problems: dict[str, str] = {}
    if not name.strip() or len(name) > 120:
        problems["name"] = "Give the organization a name of at most 120 characters."
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        problems["color"] = "Write the colour as # and six digits, such as #2f5fd0."
    if timezone not in available_timezones():
        problems["timezone"] = "Choose a time zone from the list, such as Europe/Berlin."
    if problems:
        raise Invalid(problems)
    before = {"color": organization.color, "timezone": organization.timezone}
    organization.name, organization.color, organization.timezone = name.strip(), color.lower(), timezone
    if open_to_applications is not None and actor.is_vendor:
        organization.open_to_applications = open_to_applications
    audit.record(
        session, actor, "organization.change", organization, before=before,
        after={"color": color, "timezone": timezone, "open_to_applications": organization.open_to_applications},
    )  # fmt: skip
    return organization


def write_company(
    session: Session, actor: Actor, organization: Organization, *, legal_name: str, postal_address: str,
    country: str, contact_email: str, phone: str, website: str,
) -> None:  # fmt: skip
    """Set what mails, contracts and payments need to say of a company. Raises Invalid."""
    problems: dict[str, str] = {}
    if not legal_name.strip() or len(legal_name) > 160:
        problems["legal_name"] = "Give the name as it stands in the register, at most 160 characters."
    if len(postal_address.strip()) < 8 or len(postal_address) > 400:
        problems["postal_address"] = "Give street, town and country: every mail to customers must show them."
    if not re.fullmatch(r"[A-Z]{2}", country):
        problems["country"] = "Choose the country from the list."
    if len(phone) > 40 or not re.fullmatch(r"[0-9+()/ .-]*", phone):
        problems["phone"] = "Use digits, blanks and a leading +, such as +49 30 1234567."
    if website and not re.fullmatch(r"https?://[^\s<>\"]{3,200}", website):
        problems["website"] = "Write the whole address, such as https://www.example.com."
    try:
        address = clean_address(contact_email, field="contact_email")
    except Invalid as error:
        problems |= error.fields
    if problems:
        raise Invalid(problems)
    organization.legal_name, organization.postal_address = legal_name.strip(), postal_address.strip()
    organization.country, organization.contact_email = country, address
    organization.phone, organization.website = phone.strip(), website.strip()
    audit.record(session, actor, "organization.change", organization, after={"country": country})


def record_presence(session: Session, actor: Actor, member_id: UUID) -> None:
    """Note that a member is here: at most once an hour, so that pages stay reads.

    A partner's partnerships learn when it first came and when it was last active.
    """
    now = clock.now()
    seen = session.execute(
        update(Member)
        .where(
            Member.id == member_id, Member.last_seen_at.is_(None) | (Member.last_seen_at < now - timedelta(hours=1))
        )
        .values(last_seen_at=now)
        .returning(Member.id)
    ).first()  # fmt: skip
    if seen is not None and actor.is_partner:
        session.execute(
            update(Partnership)
            .where(Partnership.partner_id == actor.organization_id)
            .values(last_active_at=now, first_signed_in_at=func.coalesce(Partnership.first_signed_in_at, now))
            .execution_options(synchronize_session=False)
        )


def record_key_use(session: Session, key_id: UUID) -> None:
    """Note that a key is in use: at most once an hour, so that reads stay reads."""
    now = clock.now()
    with elevated(session, "an API key is used before its tenant is bound"):
        session.execute(
            update(ApiKey)
            .where(
                ApiKey.id == key_id, ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at < now - timedelta(hours=1))
            )
            .values(last_used_at=now)
            .execution_options(synchronize_session=False)
        )  # fmt: skip
