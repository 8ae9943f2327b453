"""The demo's companies and people: two vendors, five partners, and who may sign in."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from tcma.access import Actor, Kind, Role
from tcma.accounts import bootstrap, onboarding, organizations, partners, queries, services
from tcma.accounts.models import Member, Organization, User
from tcma.accounts.states import PartnershipStatus
from tcma.assets import samples
from tcma.assets import services as asset_services
from tcma.config import settings
from tcma.db import elevated, unit_of_work
from tcma.demo_clockwork import Agenda, past

PASSWORD = "welcome to the demo"  # noqa: S105 - shown on the demo's sign-in page
DOMAIN = "demo.example"


@dataclass(frozen=True)
class Company:
    """One organization of the demo; `key` is its short name here."""

    key: str
    kind: Kind
    name: str
    legal_name: str
    address: str
    country: str
    color: str
    accent: str
    phone: str
    zone: str
    logo: int = 1

    @property
    def site(self) -> str:
        return f"{self.key}.example"


@dataclass(frozen=True)
class Person:
    """Somebody who signs in as `key`@demo.example. `shown` people have a card on the sign-in page."""

    key: str
    name: str
    company: str
    role: Role
    title: str
    shown: bool = True


V, P = Kind.VENDOR, Kind.PARTNER
COMPANIES = (
    Company("northwind", V, "Northwind Security", "Northwind Security GmbH", "Speicherstadt 4\n20457 Hamburg\nGermany",
            "DE", "#0f5e73", "#f2a33a", "+49 40 5550100", "Europe/Berlin"),
    Company("brightline", V, "Brightline Cloud", "Brightline Cloud B.V.", "Keizersgracht 210\n1016 DX Amsterdam\nNetherlands",
            "NL", "#4338a8", "#22b8a5", "+31 20 555 0142", "Europe/Amsterdam"),
    Company("hansen-it", P, "Hansen IT Services", "Hansen IT Services GmbH", "Hafenstraße 12\n24103 Kiel\nGermany",
            "DE", "#0b4f8a", "#f08a24", "+49 431 555 0110", "Europe/Berlin", 3),
    Company("meridian", P, "Meridian Systems", "Meridian Systems B.V.", "Oudegracht 88\n3511 AV Utrecht\nNetherlands",
            "NL", "#a1263d", "#3d7ea6", "+31 30 555 0166", "Europe/Amsterdam", 5),
    Company("atelier-reseau", P, "Atelier Réseau", "Atelier Réseau SARL", "14 rue Mercière\n69002 Lyon\nFrance",
            "FR", "#23685a", "#e0b23c", "+33 4 72 55 01 20", "Europe/Paris", 8),
    Company("novak", P, "Novák Digital", "Novák Digital s.r.o.", "Vinohradská 30\n120 00 Praha 2\nCzechia",
            "CZ", "#6b3fa0", "#7ab648", "+420 222 555 019", "Europe/Prague", 11),
    Company("fjord", P, "Fjord Data", "Fjord Data AS", "Bryggen 7\n5003 Bergen\nNorway",
            "NO", "#1d6fa5", "#c94f4f", "+47 55 55 01 77", "Europe/Oslo", 2),
)  # fmt: skip

PEOPLE = (
    Person("vera", "Vera Lindqvist", "northwind", Role.VENDOR_ADMIN, "Vendor administrator"),
    Person("marco", "Marco Bianchi", "northwind", Role.VENDOR_MARKETER, "Vendor marketer"),
    Person("chiara", "Chiara Vogel", "northwind", Role.CHANNEL_MANAGER, "Channel manager"),
    Person("felix", "Felix Brandt", "northwind", Role.FINANCE, "Finance, approves claims"),
    Person("paula", "Paula Santos", "northwind", Role.FINANCE, "Finance, makes payments"),
    Person("hanna", "Hanna Hansen", "hansen-it", Role.PARTNER_ADMIN, "Partner administrator, works with both vendors"),
    Person("piet", "Piet Jensen", "hansen-it", Role.PARTNER_MARKETER, "Partner marketer"),
    Person("mila", "Mila de Vries", "meridian", Role.PARTNER_ADMIN, "Partner administrator"),
    Person("anais", "Anaïs Laurent", "atelier-reseau", Role.PARTNER_ADMIN, "Partner administrator"),
    Person("nora", "Nora Nováková", "novak", Role.PARTNER_ADMIN, "Administrator of a suspended partner"),
    Person("ingrid", "Ingrid Dahl", "fjord", Role.PARTNER_ADMIN, "Invited, has not begun yet"),
    Person("bea", "Bea Okafor", "brightline", Role.VENDOR_ADMIN, "Vendor administrator"),
    Person("carla", "Carla Mendes", "brightline", Role.CHANNEL_MANAGER, "Channel manager"),
    Person("finn", "Finn Walsh", "brightline", Role.FINANCE, "Finance"),
    Person("max", "Max Novotny", "brightline", Role.VENDOR_MARKETER, "Vendor marketer", shown=False),
    Person("fay", "Fay Sørensen", "brightline", Role.FINANCE, "Finance", shown=False),
)

OPERATOR = Person("olga", "Olga Berg", "platform", Role.OPERATOR, "Operator, runs the service")

PARTNERSHIPS = (
    # vendor, partner, tier, territory, invited days ago, begun days ago (None: not yet)
    ("northwind", "hansen-it", "Platinum", "Germany, Denmark", 90, 88),
    ("northwind", "meridian", "Gold", "Netherlands, Belgium", 90, 86),
    ("northwind", "novak", "Registered", "Czechia", 83, 79),
    ("northwind", "fjord", "Registered", "Norway", 24, None),
    ("brightline", "hansen-it", "Gold", "Germany", 85, 82),
    ("brightline", "atelier-reseau", "Silver", "France", 90, 84),
)
TERMS = {
    "northwind": "1. Write only to people who agreed to hear from you, and stop when they ask.\n\n"
    "2. Use our campaigns as they are; the marked texts are yours.\n\n"
    "3. Answer every lead within two working days.\n\n"
    "4. Claim market development funds within 45 days after the work, with the invoice.",
    "brightline": "1. Brightline Cloud shares campaigns and leads with you; you treat both with care.\n\n"
    "2. Each mail names you as the sender and carries your postal address.\n\n"
    "3. Funds are claimed within 60 days, with proof.",
}


def address_of(key: str) -> str:
    return f"{key}@{DOMAIN}"


@dataclass
class World:
    """What the demo has made so far, by the short names of `COMPANIES` and `PEOPLE`."""

    agenda: Agenda
    scale: float
    operator: Actor
    actors: dict[str, Actor] = field(default_factory=dict)
    members: dict[str, UUID] = field(default_factory=dict)
    companies: dict[str, UUID] = field(default_factory=dict)
    campaigns: dict[str, UUID] = field(default_factory=dict)
    lists: dict[str, UUID] = field(default_factory=dict)
    launches: dict[str, UUID] = field(default_factory=dict)

    def by(self, key: str) -> Actor:
        return self.actors[key]

    def size(self, number: int) -> int:
        """So many people at full scale; a test makes fewer."""
        return max(6, round(number * self.scale))


def find_operator() -> Actor:
    """The platform's operator, made if the installation is new."""
    with unit_of_work(None) as session:
        platform, user = bootstrap.ensure_platform(session)
        with elevated(session, "the demo is made by the platform's operator"):
            member = session.scalar(
                select(Member)
                .options(joinedload(Member.organization))
                .where(Member.organization_id == platform.id, Member.user_id == user.id)
            )
            assert member is not None
            return queries.actor_of(member, user)


def ensure_operator_person(operator: Actor) -> None:
    """Somebody who runs the service and signs in like the others; made once, also in a demo that is there already."""
    with unit_of_work(operator) as session:
        user = services.ensure_user(session, email=address_of(OPERATOR.key), name=OPERATOR.name, password=PASSWORD)
        user.active, user.timezone = True, "Europe/Berlin"
        platform = session.get_one(Organization, operator.organization_id)
        if user.id not in {one.user_id for one in queries.list_members(session, operator)}:
            services.add_member(session, operator, platform, user, roles={OPERATOR.role})


def close_leftovers(operator: Actor) -> int:
    """Close what a demo that was stopped half-way has left behind; how many organizations.

    A half-made demo's organizations are scratch ones with people of the demo; a finished one has none.
    """
    with unit_of_work(operator) as session:
        with elevated(session, "the demo looks for a half-made one"):
            left = list(
                session.scalars(
                    select(Organization)
                    .join(Member, Member.organization_id == Organization.id)
                    .join(User, User.id == Member.user_id)
                    .where(
                        Organization.scratch, Organization.purged_at.is_(None),
                        User.email.in_([address_of(one.key) for one in PEOPLE]),
                    )
                    .distinct()
                )
            )  # fmt: skip
        for one in left:
            organizations.close_organization(session, operator, one.id)
            with elevated(session, "a closed organization gives its short name back"):
                one.slug = f"{one.slug}-closed-{one.id.hex[-6:]}"
        return len(left)


def is_there() -> bool:
    """Whether a finished demo is in the database."""
    with unit_of_work(None) as session, elevated(session, "the demo asks whether it is there"):
        found = session.scalar(
            select(Organization.id)
            .join(Member, Member.organization_id == Organization.id)
            .join(User, User.id == Member.user_id)
            .where(
                ~Organization.scratch, Organization.purged_at.is_(None), Organization.kind == Kind.VENDOR,
                User.email == address_of("vera"),
            )
            .limit(1)
        )  # fmt: skip
        return found is not None


def make_companies(world: World) -> None:
    """All organizations and members. They are scratch until the demo is complete; see `keep`."""
    with past(world.operator) as session:
        for one in COMPANIES:
            made = services.provision_organization(
                session, world.operator, kind=one.kind, name=one.name, country=one.country, currency="EUR",
                timezone=one.zone, color=one.color, scratch=True,
            )  # fmt: skip
            world.companies[one.key] = made.id
            with elevated(session, "the operator fills in what a company's register says"):
                services.write_company(
                    session, world.operator, made, legal_name=one.legal_name, postal_address=one.address,
                    country=one.country, contact_email=f"hello@{one.site}", phone=one.phone,
                    website=f"https://{one.site}",
                )  # fmt: skip
    zones = {one.key: one.zone for one in COMPANIES}
    for person in PEOPLE:
        with past(world.operator) as session:
            user = services.ensure_user(session, email=address_of(person.key), name=person.name, password=PASSWORD)
            user.active, user.timezone = True, zones[person.company]
            with elevated(session, "the operator gives the demo's companies their people"):
                company = session.get_one(Organization, world.companies[person.company])
                member = services.add_member(session, world.operator, company, user, roles={person.role})
                member.organization = company
                world.members[person.key] = member.id
                world.actors[person.key] = queries.actor_of(member, user)


def keep(world: World) -> None:
    """The demo is complete: its organizations are no scratch ones any more."""
    with past(world.operator) as session, elevated(session, "the demo is complete"):
        for one in world.companies.values():
            session.get_one(Organization, one).scratch = False


def sign_ins() -> list[dict[str, str]]:
    """Cards of the sign-in page, as `tcma.accounts.sign_in` reads them from DATA_DIR/demo.json."""
    names = {one.key: one.name for one in COMPANIES} | {OPERATOR.company: settings().platform_name}
    return [
        {"role": one.title, "name": one.name, "email": address_of(one.key), "password": PASSWORD,
         "organization": names[one.company]}
        for one in (*PEOPLE, OPERATOR)
        if one.shown
    ]  # fmt: skip


def admin_of(company: str) -> str:
    """The key of a company's administrator."""
    return next(one.key for one in PEOPLE if one.company == company)


def plan_partnerships(world: World) -> None:
    """Terms, invitations, acceptances, brand profiles; one partner is suspended later on."""
    agenda = world.agenda
    for vendor, body in TERMS.items():
        agenda.ago(90, partial(_publish_terms, world, vendor, body), hour=7)
    for vendor, partner, tier, territory, invited, begun in PARTNERSHIPS:
        agenda.ago(invited, partial(_invite, world, vendor, partner, tier, territory), hour=8)
        if begun is not None:
            agenda.ago(begun, partial(_join, world, vendor, partner), hour=9)
    agenda.ago(19, lambda: _suspend(world), hour=15)
    agenda.ago(0.2, lambda: present(world, *(one.key for one in PEOPLE if one.key not in ("nora", "ingrid"))), hour=6)


def _publish_terms(world: World, vendor: str, body: str) -> None:
    actor = world.by(admin_of(vendor))
    with past(actor) as session:
        onboarding.publish_terms(session, actor, body=body)


def _invite(world: World, vendor: str, partner: str, tier: str, territory: str) -> None:
    with past(world.operator) as session:
        services.start_partnership(
            session, world.operator, vendor_id=world.companies[vendor], partner_id=world.companies[partner],
            status=PartnershipStatus.INVITED, tier=tier, territory=territory,
        )  # fmt: skip


def _join(world: World, vendor: str, partner: str) -> None:
    """A partner's first day with a vendor: signs in, accepts the terms, fills in its brand."""
    person = admin_of(partner)
    actor, company = world.by(person), next(one for one in COMPANIES if one.key == partner)
    present(world, person)
    with past(actor) as session:
        terms = onboarding.current_terms(session, world.companies[vendor])
        onboarding.accept_terms(
            session, actor, vendor_id=world.companies[vendor], terms_version_id=terms.id if terms else None,
            address="192.0.2.10",
        )  # fmt: skip
        asset_services.save_brand(
            session, actor, name=company.name, legal_name=company.legal_name, postal_address=company.address,
            country=company.country, phone=company.phone, email=f"hello@{company.site}",
            website=f"https://{company.site}", privacy_url=f"https://{company.site}/privacy", color=company.color,
            accent_color=company.accent, sender_name=company.name, reply_to=f"hello@{company.site}",
        )  # fmt: skip
    with past(actor) as session:
        logo = samples.sample_logo(company.name, company.color, seed=company.logo)
        asset_services.set_logo(session, actor, filename=f"{company.key}.png", data=logo)


def _suspend(world: World) -> None:
    actor = world.by("chiara")
    with past(actor) as session:
        partners.suspend_partnership(
            session, actor, world.companies["novak"],
            reason="Two leads in a row went unanswered for weeks. Call me, and we begin again.",
        )  # fmt: skip


def present(world: World, *people: str) -> None:
    """These people have the product open."""
    for key in people:
        with past(world.by(key)) as session:
            services.record_presence(session, world.by(key), world.members[key])
