"""The cast of all stories: people of two vendors, of a partner of both, of a rival partner, and the operator."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cache
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from flask_security.utils import hash_password
from sqlalchemy.orm import joinedload

from tcma import clock
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import queries, services
from tcma.accounts.models import ApiKey, Member, Organization, User
from tcma.accounts.states import PartnershipStatus
from tcma.db import db, elevated, unit_of_work

PASSWORD = "a long enough password"


@cache
def _hashed() -> str:
    return str(hash_password(PASSWORD))


@dataclass
class Cast:
    """Actors by name. `partner` works with `vendor` and `other_vendor`; `rival` with `vendor` only."""

    app: Flask
    operator: Actor
    vendor_admin: Actor
    vendor_marketer: Actor
    channel_manager: Actor
    finance: Actor
    payer: Actor
    other_vendor_admin: Actor
    partner_admin: Actor
    partner_marketer: Actor
    rival: Actor
    addresses: dict[UUID, str] = field(default_factory=dict)

    @property
    def vendor_id(self) -> UUID:
        return self.vendor_admin.organization_id

    @property
    def partner_id(self) -> UUID:
        return self.partner_admin.organization_id

    @property
    def rival_id(self) -> UUID:
        return self.rival.organization_id

    @property
    def people(self) -> dict[str, Actor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Actor)}

    def client(self, actor: Actor | None) -> FlaskClient:
        """A browser signed in as `actor` (None: a stranger)."""
        browser = self.app.test_client()
        if actor is not None:
            with self.app.app_context():
                user = db.session.get(User, actor.user_id)
                assert user is not None
                uniquifier = user.fs_uniquifier
            with browser.session_transaction() as state:
                state["_user_id"] = uniquifier
                state["_fresh"] = True
                state["organization"] = str(actor.organization_id)
        return browser

    def key(self, actor: Actor) -> dict[str, str]:
        """Headers with a fresh API key of `actor`."""
        import hashlib

        secret = f"tcma_{secrets.token_urlsafe(24)}"
        with self.app.app_context(), unit_of_work(actor) as session:
            session.add(
                ApiKey(
                    organization_id=actor.organization_id, user_id=actor.user_id, name="test", prefix=secret[:12],
                    key_hash=hashlib.sha256(secret.encode()).digest(), scopes=[],
                )
            )  # fmt: skip
        return {"Authorization": f"Bearer {secret}"}


def make_operator() -> Actor:
    """An operator of a platform organization of its own."""
    mark = secrets.token_hex(4)
    session = db.session
    with elevated(session, "the first organization of a test"):
        platform = Organization(kind=Kind.PLATFORM, name=f"Platform {mark}", slug=f"platform-{mark}")
        user = User(email=f"operator-{mark}@example.com", name="Olga Operator", fs_uniquifier=secrets.token_hex(32), password=_hashed())
        session.add_all([platform, user])
        session.flush()
        member = Member(organization_id=platform.id, user_id=user.id, roles=[str(Role.OPERATOR)])
        session.add(member)
        session.flush()
        actor = queries.actor_of(member, user)
    session.commit()
    return actor


def make_member(operator: Actor, organization: Organization, name: str, *roles: Role) -> Actor:
    """A new user with `roles` in `organization`, as an actor."""
    slug = name.split()[0].lower()
    with unit_of_work(operator) as session:
        user = User(
            email=f"{slug}-{secrets.token_hex(4)}@example.com", name=name, fs_uniquifier=secrets.token_hex(32),
            password=_hashed(), confirmed_at=clock.now(),
        )  # fmt: skip
        session.add(user)
        session.flush()
        member = services.add_member(session, operator, organization, user, roles=set(roles))
        with elevated(session, "a test reads what it made"):
            loaded = session.get(Member, member.id, options=[joinedload(Member.organization)])
            assert loaded is not None
            actor = queries.actor_of(loaded, user)
    return actor


def make_organization(operator: Actor, kind: Kind, name: str) -> Organization:
    with unit_of_work(operator) as session:
        return services.provision_organization(session, operator, kind=kind, name=f"{name} {secrets.token_hex(3)}")


def link(operator: Actor, vendor: Organization, partner: Organization) -> None:
    """An active partnership."""
    with unit_of_work(operator) as session:
        found = services.start_partnership(
            session, operator, vendor_id=vendor.id, partner_id=partner.id, status=PartnershipStatus.INVITED, tier="Gold"
        )
        with elevated(session, "a test activates at once"):
            services.activate_partnership(session, operator, found)
            found.terms_accepted_at = found.profile_completed_at = clock.now()


def make_cast(app: Flask) -> Cast:
    operator = make_operator()
    assert operator.may(Permission.ORGANIZATION_PROVISION)
    vendor = make_organization(operator, Kind.VENDOR, "Northwind Security")
    other = make_organization(operator, Kind.VENDOR, "Contoso Cloud")
    partner = make_organization(operator, Kind.PARTNER, "Acme IT")
    rival = make_organization(operator, Kind.PARTNER, "Rival Systems")
    for one in (vendor, other):
        link(operator, one, partner)
    link(operator, vendor, rival)
    return Cast(
        app=app,
        operator=operator,
        vendor_admin=make_member(operator, vendor, "Vera Admin", Role.VENDOR_ADMIN),
        vendor_marketer=make_member(operator, vendor, "Mark Marketer", Role.VENDOR_MARKETER),
        channel_manager=make_member(operator, vendor, "Chan Manager", Role.CHANNEL_MANAGER),
        finance=make_member(operator, vendor, "Fiona Finance", Role.FINANCE),
        payer=make_member(operator, vendor, "Paul Payer", Role.FINANCE),
        other_vendor_admin=make_member(operator, other, "Otto Other", Role.VENDOR_ADMIN),
        partner_admin=make_member(operator, partner, "Paula Partner", Role.PARTNER_ADMIN),
        partner_marketer=make_member(operator, partner, "Piet Partner", Role.PARTNER_MARKETER),
        rival=make_member(operator, rival, "Rita Rival", Role.PARTNER_ADMIN),
    )
