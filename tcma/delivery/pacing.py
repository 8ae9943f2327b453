"""How fast, how often and when mail leaves: rates that are stored and shared, breakers, windows, caps.

Rates are token buckets in the database, so that they hold over all lanes, workers and hosts together. What has to
wait goes back with a later `due_at`; no attempt is spent on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import Session, aliased

from tcma import audit, buckets, clock
from tcma.access import Actor, Permission
from tcma.accounts import queries as account_queries
from tcma.audience import queries as audience_queries
from tcma.audience.models import Contact
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.config import settings
from tcma.delivery.models import Delivery
from tcma.delivery.models_pacing import ProviderBreaker, SendingRules
from tcma.delivery.states import DeliveryStatus
from tcma.delivery.windows import LONGEST_LATE_HOURS, Window, zone_of
from tcma.errors import Forbidden, IllegalTransition, Invalid

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
_COUNTED = (DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.SENT, DeliveryStatus.UNKNOWN)


# -- the partner's own rules ---------------------------------------------------------------------------


def save_pace(
    session: Session, actor: Actor, launch_id: UUID, *, window: Window | None, late_hours: int | None
) -> Launch:
    """Before the start: in which hours mail may arrive, and after how many hours late mail is left out.

    Raises NotFound, Forbidden, IllegalTransition once it has started, Invalid for a window that never opens.
    """
    launch = campaign_queries.get_launch(session, actor, launch_id, lock=True)
    actor.require(Permission.LAUNCH_MANAGE)
    if launch.partner_id != actor.organization_id:
        raise Forbidden("Only the partner decides when its mail arrives.")
    if launch.status not in (LaunchStatus.DRAFT, LaunchStatus.SCHEDULED):
        raise IllegalTransition("The launch has started; its hours cannot be changed any more.")
    if window is not None:
        window.check()
    if late_hours is not None and not 1 <= late_hours <= LONGEST_LATE_HOURS:
        raise Invalid({"late_hours": f"Choose from 1 to {LONGEST_LATE_HOURS} hours, or leave it empty."})
    late = {"late_hours": late_hours} if late_hours else {}
    launch.pace = {**(window.as_json() if window else {}), **late} or None
    session.flush()
    return launch


def late_after(launch: Launch) -> datetime | None:
    """From when on what has not left is left out; None where nothing is."""
    hours = (launch.pace or {}).get("late_hours")
    return launch.started_at + timedelta(hours=hours) if hours and launch.started_at else None


def sending_rules(session: Session, partner_id: UUID) -> SendingRules | None:
    """The partner's rules; None where it has none."""
    return session.scalar(select(SendingRules).where(SendingRules.partner_id == partner_id))


def save_cap(session: Session, actor: Actor, *, mails: int | None, days: int | None) -> SendingRules | None:
    """At most `mails` to one person in `days`, over all launches that are planned from now on; None lifts the cap.

    Raises Forbidden, Invalid.
    """
    actor.require(Permission.LAUNCH_MANAGE)
    before = sending_rules(session, actor.organization_id)
    old = {"mails": before.cap_mails, "days": before.cap_days} if before else {}
    after = {"mails": mails, "days": days} if mails is not None else {}
    if before is not None and old != after:
        audit.record(session, actor, "sending_rules.save", before, before=old, after=after)
    if mails is None:
        if before is not None:
            session.delete(before)
    else:
        if not 1 <= mails <= 100:
            raise Invalid({"mails": "Choose from 1 to 100 mails, or leave it empty for no limit."})
        if days is None or not 1 <= days <= 365:
            raise Invalid({"days": "Choose from 1 to 365 days."})
        if before is None:
            before = SendingRules(partner_id=actor.organization_id, cap_mails=mails, cap_days=days)
            session.add(before)
            session.flush()
            audit.record(session, actor, "sending_rules.save", before, before={}, after=after)
        before.cap_mails, before.cap_days, before.changed_by, before.changed_at = (
            mails,
            days,
            actor.user_id,
            clock.now(),
        )
    session.flush()
    return before if mails is not None else None


# -- at planning ---------------------------------------------------------------------------------------


def capped(rules: SendingRules | None, partner_id: UUID, contact_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a contact has had, or will have, as many mails lately as the partner's rule allows."""
    if rules is None:
        return literal(False)
    other = aliased(Delivery)
    since = clock.now() - timedelta(days=rules.cap_days)
    had = (
        select(func.count())
        .where(
            other.partner_id == partner_id, other.contact_id == contact_id, other.status.in_(_COUNTED),
            func.coalesce(other.settled_at, other.due_at) > since,
        )
        .scalar_subquery()
    )  # fmt: skip
    return had >= rules.cap_mails


def count_capped(session: Session, launch: Launch) -> int:
    """How many of a launch's audience have had enough mail for now."""
    rules = sending_rules(session, launch.partner_id)
    if rules is None:
        return 0
    people = audience_queries.audience_rows(launch.partner_id, launch.vendor_id, launch.audience).subquery()
    over = capped(rules, launch.partner_id, people.c.contact_id)
    return session.scalar(select(func.count()).select_from(people).where(people.c.refusal.is_(None), over)) or 0


def due_at(session: Session, launch: Launch, country: ColumnElement[str], *, now: datetime) -> ColumnElement[datetime]:
    """When a contact of `country` may get its mail first."""
    window = Window.from_json(launch.pace)
    if window is None:
        return literal(now)
    home = _home(session, launch.partner_id)
    countries = session.scalars(select(Contact.country).where(Contact.partner_id == launch.partner_id).distinct())
    opens = {one: window.next_open(now, zone_of(one, home=home)) for one in countries}
    later = {one: at for one, at in opens.items() if at > now}
    return case(later, value=country, else_=literal(now)) if later else literal(now)


def _home(session: Session, partner_id: UUID) -> str:
    return account_queries.get_organization(session, partner_id).timezone


# -- at claiming ---------------------------------------------------------------------------------------


def not_now(
    session: Session, launch: Launch, rows: Iterable[tuple[int, str, str]], *, now: datetime
) -> dict[int, datetime]:
    """Of due deliveries (id, address, country) those that must wait, and until when."""
    rows = list(rows)
    waits: dict[int, datetime] = {}
    window = Window.from_json(launch.pace)
    if window is not None:
        home = _home(session, launch.partner_id)
        opens = {country: window.next_open(now, zone_of(country, home=home)) for _, _, country in rows}
        waits = {row_id: opens[country] for row_id, _, country in rows if opens[country] > now}
    left = [(row_id, address.rpartition("@")[2].lower()) for row_id, address, _ in rows if row_id not in waits]
    by_domain: dict[str, list[int]] = {}
    for row_id, domain in left:
        by_domain.setdefault(domain, []).append(row_id)
    limits = settings().domain_limits
    for domain in sorted(by_domain):
        per_minute = limits.get(domain, limits.get("*", 0))
        if per_minute:
            waits |= _beyond(session, "mail-domain", domain, by_domain[domain], per_minute=per_minute, now=now)
    if settings().sender_limit:
        sender = (launch.sender or {}).get("from_address", "")
        kept = [row_id for row_id, _ in left if row_id not in waits]
        waits |= _beyond(session, "mail-sender", sender, kept, per_minute=settings().sender_limit, now=now)
    return waits


def _beyond(
    session: Session, name: str, subject: str, row_ids: list[int], *, per_minute: int, now: datetime
) -> dict[int, datetime]:
    """Those of `row_ids` that the bucket has no token for, each with the time at which it will have one."""
    # Ten seconds' worth at once: even enough for a receiver, and sweeps that come every five lose nothing.
    burst = max(1, per_minute // 6)
    limit = buckets.Limit(name, burst=burst, seconds=burst * 60 / per_minute)
    granted = buckets.take_some(session, limit, subject, wanted=len(row_ids))
    step = timedelta(seconds=60 / per_minute)
    return {row_id: now + step * place for place, row_id in enumerate(row_ids[granted:], start=1)}


# -- providers in trouble ------------------------------------------------------------------------------


def provider_name() -> str:
    """The provider that the settings choose, as breakers name it; no secrets in it."""
    conf = settings()
    if conf.ses_region:
        return f"ses:{conf.ses_region}"
    return conf.mail_url.rpartition("@")[2].partition("?")[0].removeprefix("smtp://").removeprefix("smtps://")


def shut_until(session: Session, provider: str) -> datetime | None:
    """Until when nothing is tried with `provider`; None where it may be."""
    found = session.get(ProviderBreaker, provider, populate_existing=True)
    return found.open_until if found is not None and found.open_until > clock.now() else None


def note_trouble(session: Session, provider: str, error: str) -> datetime:
    """Open the breaker, twice as long each time in a row; lanes that fail together count as one. Until when."""
    now = clock.now()
    pauses = [FIRST_PAUSE]
    while pauses[-1] < LONGEST_PAUSE:
        pauses.append(min(pauses[-1] * 2, LONGEST_PAUSE))
    made = pg_insert(ProviderBreaker).values(
        provider=provider, failures=1, open_until=now + pauses[0], last_error=error[:500], changed_at=now
    )
    longer = case(
        {number: now + pause for number, pause in enumerate(pauses[1:], start=1)},
        value=ProviderBreaker.failures, else_=now + LONGEST_PAUSE,
    )  # fmt: skip
    statement = made.on_conflict_do_update(
        index_elements=["provider"],
        set_={
            "failures": ProviderBreaker.failures + 1,
            "open_until": longer,
            "last_error": error[:500],
            "changed_at": now,
        },
        where=ProviderBreaker.open_until <= now,
    )
    session.execute(statement, execution_options={"synchronize_session": False})
    return shut_until(session, provider) or now + FIRST_PAUSE


def note_health(session: Session, provider: str) -> None:
    """Close the breaker: the provider took mail again."""
    session.execute(
        delete(ProviderBreaker).where(ProviderBreaker.provider == provider),
        execution_options={"synchronize_session": False},
    )


def breakers(session: Session) -> list[ProviderBreaker]:
    """Every provider that is, or was last, in trouble."""
    return list(session.scalars(select(ProviderBreaker).order_by(ProviderBreaker.provider)))
