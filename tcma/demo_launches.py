"""The demo's launches: what partners send, what comes back, and what they make of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind
from tcma.audience import queries as audience_queries
from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.delivery import engine, planning, services, tokens, tracking
from tcma.delivery.models import Delivery, LaunchTouch
from tcma.delivery.spool import Spool
from tcma.delivery.states import DeliveryStatus
from tcma.demo_cast import World, present
from tcma.demo_clockwork import chance, past
from tcma.leads import queries as lead_queries
from tcma.leads import services as lead_services
from tcma.leads.states import LeadStatus, RejectReason
from tcma.money import Money

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
)
SCANNERS = ("BarracudaCentral LinkScan/2.1", "Mimecast URL Protect", "python-requests/2.32")
_TURNS_OF_THE_PAUSED = 40
MESSAGES = (
    "Please call me next week, mornings are best.",
    "What would this cost for about 40 people?",
    "We had an incident in spring. Can you come by?",
    "Is there something we should read before we talk?",
    "",
    "",
)


@dataclass(frozen=True)
class Plan:
    """One launch of the demo. `outcome` is finished, paused, scheduled or draft."""

    key: str
    person: str
    campaign: str
    name: str
    lists: tuple[str, ...]
    days: float
    outcome: str = "finished"
    interest: float = 0.1
    slots: tuple[tuple[str, str], ...] = ()


LAUNCHES = (
    Plan("hansen-check", "piet", "nw-check", "Cloud security check, customers", ("hansen-customers",), 77, interest=0.12),
    Plan("meridian-check", "mila", "nw-check", "Cloud check najaar", ("meridian-customers",), 70, interest=0.10),
    Plan("novak-check", "nora", "nw-check", "Cloud security check", ("novak-clients",), 63, interest=0.07),
    Plan("atelier-restore", "anais", "bl-backup", "Journée restauration", ("atelier-clients",), 59, interest=0.13),
    Plan("hansen-restore", "piet", "bl-backup", "Restore day for customers", ("hansen-customers",), 51, interest=0.09),
    Plan("meridian-backup", "mila", "nw-backup", "Backup after the fair", ("meridian-fair",), 42, interest=0.14),
    Plan("hansen-backup", "piet", "nw-backup", "Backup that restores", ("hansen-customers",), 24, interest=0.10),
    Plan("atelier-move", "anais", "bl-check", "Cap sur le cloud", ("atelier-clients",), 9, interest=0.11),
    Plan("hansen-move", "piet", "bl-check", "Move with confidence, newsletter", ("hansen-news",), 1, "paused", 0.08),
    Plan("meridian-winter", "mila", "nw-check", "Cloud check, fair contacts", ("meridian-fair",), 2, "scheduled"),
    Plan("hansen-winter", "piet", "nw-check", "Winter mailing", ("hansen-news",), 0.3, "draft"),
)


def plan_launches(world: World) -> None:
    """Every launch at its moment, and the days on which partners work their leads."""
    for plan in LAUNCHES:
        world.agenda.ago(plan.days, partial(_launch, world, plan), hour=9.25)
    for days in range(74, 0, -3):
        for person in ("hanna", "mila", "anais", "nora"):
            if person == "nora" and days < 60:  # the partner that stopped answering
                continue
            world.agenda.ago(days, partial(_work_leads, world, person, days), hour=14.5)
    for person in ("hanna", "anais"):  # so that a few of the newest are left for whoever looks at the demo
        world.agenda.at(world.agenda.now - timedelta(hours=7), partial(_work_leads, world, person, 0))


def _launch(world: World, plan: Plan) -> None:
    actor = world.by(plan.person)
    present(world, plan.person)
    with past(actor) as session:
        launch = launches.create_launch(session, actor, world.campaigns[plan.campaign], name=plan.name)
        chosen = [world.lists[one] for one in plan.lists]
        launches.save_audience(session, actor, launch.id, lists=chosen, exclude_lists=[])
        launches.save_slots(session, actor, launch.id, {"signer": actor.name} if "signer" in launch.slots else {})
        world.launches[plan.key] = launch.id
        if plan.outcome == "scheduled":
            services.schedule_launch(session, actor, launch.id, at=world.agenda.now + timedelta(days=3, hours=2))
    if plan.outcome in ("scheduled", "draft"):
        return
    system = Actor.system(actor.organization_id, Kind.PARTNER)
    with past(actor) as session:
        # Started and planned at once: between the two the running service would plan it for today.
        services.start_launch(session, actor, launch.id)
        planning.plan_launch(session, system, launch.id)
    # What a lane that was stopped leaves is what a paused launch shows.
    turns = count()
    stop = (lambda: next(turns) >= _TURNS_OF_THE_PAUSED) if plan.outcome == "paused" else (lambda: False)
    engine.run_lane(actor.organization_id, launch.id, seconds=120, stop=stop)
    with past(actor) as session:
        session.refresh(launch)
        if plan.outcome == "paused" and launch.status is LaunchStatus.SENDING:
            services.pause_launch(session, actor, launch.id)
    _plan_hits(world, plan, actor, launch.id)


# -- what comes back -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Hit:
    at: datetime
    kind: str
    delivery_id: int
    link: int
    agent: str


def _plan_hits(world: World, plan: Plan, actor: Actor, launch_id: UUID) -> None:
    """Opens, clicks of people and of machines, answers and unsubscriptions, each at its moment."""
    draw = chance(f"hits {plan.key}")
    with past(actor) as session:
        sent = list(
            session.execute(
                select(Delivery.id, Delivery.contact_id)
                .where(Delivery.launch_id == launch_id, Delivery.status == DeliveryStatus.SENT)
                .order_by(Delivery.id)
            )
        )
        links: list[dict[str, Any]] = session.scalars(select(LaunchTouch.links).where(LaunchTouch.launch_id == launch_id)).one()
        people = audience_queries.contact_values(session, actor.organization_id, [one for _, one in sent])
    numbers = [int(one["number"]) for one in links]
    landing = next((int(one["number"]) for one in links if "/p/" in one["url"]), numbers[0])
    hits: list[_Hit] = []
    start = clock.now()
    for delivery_id, contact_id in sent:
        agent = draw.choice(BROWSERS)
        if draw.random() < 0.07:
            scanner = draw.choice(SCANNERS)
            hits += [_Hit(start + timedelta(seconds=2 + n / 3), "c", delivery_id, n, scanner) for n in numbers]
        if draw.random() < 0.2:
            hits.append(_Hit(start + timedelta(seconds=draw.randint(4, 90)), "o", delivery_id, 0, "Mozilla/5.0"))
        read = start + _delay(draw)
        if draw.random() < 0.32:
            hits.append(_Hit(read, "o", delivery_id, 0, agent))
        if draw.random() < plan.interest:
            clicked = read + timedelta(seconds=draw.randint(20, 240))
            hits.append(_Hit(clicked, "c", delivery_id, landing, agent))
            hits.append(_Hit(clicked + timedelta(seconds=2), "v", delivery_id, 0, agent))
            if draw.random() < 0.3:
                hits.append(_Hit(clicked + timedelta(hours=draw.randint(2, 40)), "c", delivery_id, draw.choice(numbers), agent))
            if draw.random() < 0.34:
                answer = partial(_answer, launch_id, delivery_id, people[contact_id], draw.randrange(10**6), actor)
                world.agenda.at(clicked + timedelta(seconds=draw.randint(90, 900)), answer)
        elif draw.random() < 0.014:
            world.agenda.at(read + timedelta(seconds=40), partial(_unsubscribe, delivery_id, agent))
    _plan_loads(world, sorted(hits, key=lambda one: one.at))


def _delay(draw: Random) -> timedelta:
    """How long until somebody reads: most within hours, some after days."""
    return timedelta(minutes=min(12 + draw.expovariate(1 / 300), 60 * 24 * 6))


def _plan_loads(world: World, hits: list[_Hit]) -> None:
    """Hits within three hours are loaded together, as after a quiet night."""
    group: list[_Hit] = []
    for one in hits:
        if one.at >= world.agenda.now:
            break
        if group and one.at - group[0].at > timedelta(hours=3):
            world.agenda.at(group[-1].at + timedelta(seconds=2), partial(_load, group))
            group = []
        group.append(one)
    if group:
        world.agenda.at(group[-1].at + timedelta(seconds=2), partial(_load, group))


def _load(group: list[_Hit]) -> None:
    """Through a spool of the demo's own: the running service's loader would make today's leads of it."""
    folder = settings().data_dir / "demo-spool"
    spool = Spool(folder)
    for place, one in enumerate(group):
        spool.append(
            {
                "k": one.kind, "d": one.delivery_id, "l": one.link, "t": one.at.isoformat(),
                "a": f"198.51.100.{one.delivery_id % 250 + 1}", "u": one.agent, "m": "GET",
                "i": f"demo-{one.delivery_id}-{one.kind}-{one.link}-{one.at.timestamp():.3f}-{place}",
            }
        )  # fmt: skip
    spool.close()
    tracking.load_hits(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _answer(launch_id: UUID, delivery_id: int, person: dict[str, str], number: int, actor: Actor) -> None:
    draw = chance(f"answer {number}")
    token = tokens.landing_token(delivery_id, key=settings().derived_keys("tracking")[0])
    answers = {"name": person["full_name"], "email": person["email"], "company": person["company"],
               "message": draw.choice(MESSAGES), "phone": f"+49 40 555 {number % 10000:04d}" if draw.random() < 0.6 else ""}  # fmt: skip
    with past(actor) as session:
        key = campaign_queries.get_launch(session, actor, launch_id).landing_key
    with past(None) as session:
        lead_services.capture_answer(
            session, key, answers=answers, token=token, seconds=30, once_key=f"demo-{launch_id}-{delivery_id}",
            remote_address=f"203.0.113.{number % 250 + 1}",
        )  # fmt: skip


def _unsubscribe(delivery_id: int, agent: str) -> None:
    token = tokens.unsubscribe_token(delivery_id, key=settings().derived_keys("tracking")[0])
    with past(None) as session:
        tracking.unsubscribe(session, token, tracking.Visit("198.51.100.9", agent, "POST"))


# -- leads ---------------------------------------------------------------------------------------------


def _work_leads(world: World, person: str, days: float) -> None:
    """One partner's day with its leads: accept and share new ones, work and close the older."""
    present(world, person)
    actor = world.by(person)
    draw = chance(f"leads {person} {days}")
    with past(actor) as session:
        for lead in reversed(lead_queries.list_leads(session, actor, status=LeadStatus.NEW, limit=200)):
            _decide_new(session, actor, lead.id, lead.score, draw)
        for lead in lead_queries.list_leads(session, actor, status=LeadStatus.ACCEPTED, limit=200):
            if draw.random() < 0.5:
                lead_services.work_lead(session, actor, lead.id)
                lead_services.plan_next_step(session, actor, lead.id, next_step=draw.choice(
                    ("Call on Tuesday", "Send the offer", "Visit with our engineer", "Wait for their budget")
                ))  # fmt: skip
        for lead in lead_queries.list_leads(session, actor, status=LeadStatus.WORKING, limit=200):
            _decide_working(session, actor, lead.id, lead.score, draw)


def _decide_new(session: Session, actor: Actor, lead_id: UUID, score: int, draw: Random) -> None:
    luck = draw.random()
    if luck < (0.92 if score >= 50 else 0.55):
        lead_services.accept_lead(session, actor, lead_id)
        if draw.random() < 0.65:
            lead_services.share_lead(session, actor, lead_id)
    elif luck > 0.8:
        reason = draw.choice((RejectReason.NOT_A_FIT, RejectReason.NOT_REACHABLE, RejectReason.ALREADY_CUSTOMER))
        lead_services.reject_lead(session, actor, lead_id, reason=reason)


def _decide_working(session: Session, actor: Actor, lead_id: UUID, score: int, draw: Random) -> None:
    luck = draw.random()
    if luck < (0.08 if score >= 50 else 0.012):
        amount = Money(draw.choice((120_000, 190_000, 345_000, 480_000, 725_000, 1_240_000)), "EUR")
        lead_services.win_lead(session, actor, lead_id, amount=amount)
    elif luck < 0.14:
        reason = draw.choice(("No budget this year.", "Chose another supplier.", "The project was put off."))
        lead_services.lose_lead(session, actor, lead_id, reason=reason)
    elif luck < 0.22:
        lead_services.add_note(session, actor, lead_id, text="Spoke on the phone. They compare two offers.")


