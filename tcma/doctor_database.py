"""What `tcma doctor` asks the database: the server, our role, row-level security, migrations, broker, parts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from kombu.connection import Connection as BrokerConnection
from kombu.exceptions import KombuError
from sqlalchemy import Connection, text

from tcma import clock
from tcma.config import Settings
from tcma.worker import QUEUES, broker_url

if TYPE_CHECKING:
    from datetime import datetime

Finding = tuple[str, str, str]
"""(state, what was found, what to do)"""

OLDEST_SERVER = 150000
SKEW_WARN, SKEW_FAIL = timedelta(seconds=2), timedelta(seconds=30)
SILENT_AFTER = timedelta(seconds=60)


def server(connection: Connection, conf: Settings) -> Finding:
    number = int(connection.scalar(text("SHOW server_version_num")) or 0)
    version = str(connection.scalar(text("SHOW server_version"))).split()[0]
    if number < OLDEST_SERVER:
        return "fail", f"PostgreSQL {version}.", "PostgreSQL 15 or newer is needed."
    return "ok", f"PostgreSQL {version}{'' if conf.database_url else ', embedded'}.", ""


def clocks(connection: Connection, conf: Settings) -> Finding:
    theirs: datetime | None = connection.scalar(text("SELECT clock_timestamp()"))
    assert theirs is not None
    skew = abs(clock.now() - theirs)
    words = f"This machine and the database differ by {skew.total_seconds():.1f} s."
    mend = "Set both machines' clocks by NTP: leases and sending windows depend on them."
    if skew > SKEW_FAIL:
        return "fail", words, mend
    return ("warn", words, mend) if skew > SKEW_WARN else ("ok", words, "")


def role(connection: Connection, conf: Settings) -> Finding:
    """The role of the service must be bound by row-level security: not an owner, not above the rules."""
    row = connection.execute(
        text(
            "SELECT current_user AS name, rolsuper, rolbypassrls, rolcreaterole,"
            " EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            "   AND pg_has_role(relowner, 'USAGE')) AS owns,"
            " EXISTS (SELECT FROM pg_roles WHERE rolname = 'tcma_system') AS has_system"
            " FROM pg_roles WHERE rolname = current_user"
        )
    ).one()
    faults = [
        words
        for wrong, words in (
            (row.rolsuper, "is a superuser"), (row.rolbypassrls, "bypasses row-level security"),
            (row.rolcreaterole, "may make roles"), (row.owns, "owns tables"),
        )
        if wrong
    ]  # fmt: skip
    mend = "Run deploy/roles.sql and set TCMA_DATABASE_URL to the role tcma_app."
    if faults:
        return "fail", f"The role {row.name} {' and '.join(faults)}, so tenants are not kept apart.", mend
    if not row.has_system:
        return "fail", "There is no role tcma_system.", mend
    inherits, may_become = connection.execute(
        text("SELECT pg_has_role('tcma_system', 'USAGE'), pg_has_role('tcma_system', 'MEMBER')")
    ).one()
    if inherits or not may_become:
        how = "has the rights of tcma_system at all times" if inherits else "cannot become tcma_system"
        return "fail", f"The role {row.name} {how}.", "Run deploy/roles.sql again."
    return "ok", f"{row.name}: no superuser, no owner, bound by row-level security.", ""


def tenant_rules(connection: Connection, conf: Settings) -> Finding:
    """Row-level security is on and forced for each table that is not global."""
    from tcma.tables import tenancies  # every model; only this check needs them

    found = connection.execute(
        text(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
    )
    forced = {name: bool(on) for name, on in found}
    wanted = [name for name, tenancy in tenancies().items() if tenancy.kind != "global"]
    missing = sorted(name for name in wanted if name not in forced)
    open_tables = sorted(name for name in wanted if not forced.get(name, True))
    if missing:
        return "fail", f"{len(missing)} tables are missing, such as {missing[0]}.", "Run: tcma migrate"
    if open_tables:
        mend = "Stop the service and run `tcma migrate`; if that does not help, restore the table's policies."
        return "fail", f"Row-level security is not forced on {', '.join(open_tables)}.", mend
    return "ok", f"Row-level security is forced on {len(wanted)} tables.", ""


def migrations(connection: Connection, conf: Settings) -> Finding:
    from tcma.migrate import heads

    known = connection.scalar(text("SELECT to_regclass('public.alembic_version') IS NOT NULL"))
    at = set(connection.scalars(text("SELECT version_num FROM alembic_version"))) if known else set()
    if at == heads():
        return "ok", f"At {', '.join(sorted(at))}.", ""
    return "fail", f"At {', '.join(sorted(at)) or 'none'}, not at {', '.join(sorted(heads()))}.", "Run: tcma migrate"


def broker(connection: Connection, conf: Settings) -> Finding:
    if not conf.broker_url:
        may = connection.scalar(
            text(
                "SELECT to_regclass('broker.kombu_message') IS NOT NULL"
                " AND has_table_privilege(to_regclass('broker.kombu_message'), 'SELECT, INSERT, UPDATE, DELETE')"
            )
        )
        if not may:
            mend = "Run deploy/roles.sql, then tcma migrate."
            return "fail", "The broker's tables are missing or closed to us.", mend
        waiting = connection.scalar(text("SELECT count(*) FROM broker.kombu_message WHERE visible"))
        return "ok", f"The database; {waiting} messages wait.", ""
    scheme = conf.broker_url.partition(":")[0]
    try:
        with BrokerConnection(broker_url(conf), connect_timeout=5) as trial:  # type: ignore[no-untyped-call]
            trial.ensure_connection(max_retries=1, interval_start=0.2, timeout=10)
    except (OSError, KombuError) as error:
        return "fail", f"The {scheme} broker does not answer: {error}", "Check TCMA_BROKER_URL and the server."
    return "ok", f"The {scheme} broker answers.", ""


def workers(connection: Connection, conf: Settings) -> Finding:
    """Each queue has a worker, and the scheduler lives, by their heartbeats."""
    if not connection.scalar(text("SELECT to_regclass('public.heartbeats') IS NOT NULL")):
        return "fail", "There is no table of heartbeats.", "Run: tcma migrate"
    since = clock.now() - SILENT_AFTER
    alive = list(connection.scalars(text("SELECT part FROM heartbeats WHERE beat_at > :since"), {"since": since}))
    served = {queue for part in alive if part.startswith("worker:") for queue in part.partition(":")[2].split(",")}
    missing = [f"a worker for {queue}" for queue in QUEUES if queue not in served]
    if "scheduler" not in alive:
        missing.append("the scheduler")
    if missing:
        return "fail", f"Silent: {', '.join(missing)}.", "Start them: tcma up, or tcma worker and tcma scheduler."
    return "ok", f"{len(alive)} parts have a heartbeat.", ""


def sweeps(connection: Connection, conf: Settings) -> Finding:
    if not connection.scalar(text("SELECT to_regclass('public.sweeps') IS NOT NULL")):
        return "fail", "There is no table of sweeps.", "Run: tcma migrate"
    late = list(
        connection.scalars(
            text("SELECT name FROM sweeps WHERE next_run_at + (every_seconds + 60) * interval '1 second' < :now"),
            {"now": clock.now()},
        )
    )
    if late:
        return "warn", f"Late: {', '.join(sorted(late))}.", "See that `tcma scheduler` runs."
    return "ok", "Every periodic job is on time.", ""


def sender(connection: Connection, conf: Settings) -> Finding:
    """The address that partners without a verified sender write from: its own, and proved where we sign for it."""
    domain = conf.platform_sender.rpartition("@")[2].lower()
    if domain == "tcma.example" and conf.public_url and not conf.demo:
        mend = "Set TCMA_PLATFORM_SENDER to an address at a domain of yours."
        return "fail", f"Mail would be from {conf.platform_sender}, which is nobody's.", mend
    if conf.ses_region:
        return "ok", f"{conf.platform_sender}; Amazon SES signs.", ""
    if connection.scalar(text("SELECT to_regclass('public.sending_domains')")) is None:
        return "warn", "The tables of senders are missing.", "Run: tcma migrate"
    found = connection.execute(
        text("SELECT verified_at, lost_at FROM sending_domains WHERE partner_id IS NULL AND name = :name"),
        {"name": domain},
    ).one_or_none()
    if found is None:
        return "ok", f"{conf.platform_sender}; signing is left to the mail relay.", ""
    if found.verified_at is None:
        gone = "are gone" if found.lost_at else "are not seen yet"
        mend = "Open Service → Sender of the service; it says which record is missing."
        return "warn", f"The records of {domain} {gone}.", mend
    return "ok", f"{conf.platform_sender}; signed here.", ""


def provider(connection: Connection, conf: Settings) -> Finding:
    """Whether the mail server takes mail: sending rests while it does not, and tries again by itself."""
    if connection.scalar(text("SELECT to_regclass('public.provider_breakers') IS NULL")):
        return "warn", "The table of mail servers in trouble is missing.", "Run: tcma migrate"
    shut = connection.execute(
        text(
            "SELECT provider, open_until, last_error FROM provider_breakers"
            " WHERE open_until > :now ORDER BY open_until LIMIT 1"
        ),
        {"now": clock.now()},
    ).one_or_none()
    if shut is None:
        return "ok", "The mail server takes mail, by all that was tried last.", ""
    mend = "Nothing is lost; see that the server runs and lets this service in. It is tried again by itself."
    next_try = f"{shut.open_until.astimezone(UTC):%H:%M} UTC"
    words = shut.last_error.rstrip(".")
    return "warn", f"The mail server takes no mail now ({shut.provider}): {words}. Next try at {next_try}.", mend


CHECKS: dict[str, Callable[[Connection, Settings], Finding]] = {
    "database": server,
    "clock": clocks,
    "database role": role,
    "migrations": migrations,
    "tenant rules": tenant_rules,
    "broker": broker,
    "workers": workers,
    "sweeps": sweeps,
    "sender": sender,
    "sending": provider,
}
