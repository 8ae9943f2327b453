"""`tcma doctor`: every setting and everything the service needs, each with its state and what to do.

`examine` returns rows, so that a page can show them too. No check changes anything but a probe file in the
storage, which it removes.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import click
from pydantic import ValidationError
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from tcma import clock, doctor_database
from tcma.config import REPO, Settings, settings
from tcma.errors import DomainError
from tcma.postgres import database_urls
from tcma.postgres_place import PostgresError

LEAST_SPACE, LOW_SPACE = 512 * 2**20, 5 * 2**30
FEW_DAYS = timedelta(days=14)
"""So long before a certificate expires to warn: renewal by ACME has failed several times by then."""
VENDOR_FILES = ("tabler.min.css", "htmx.min.js", "icons.svg")


class State(StrEnum):
    """How a part is: `warn` works but should be mended, `fail` does not work or is not safe."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Row:
    """One finding: the part, how it is, what was found, and what to do (empty when it is fine)."""

    part: str
    state: State
    found: str
    mend: str = ""


def examine(conf: Settings) -> list[Row]:
    """Check everything that `conf` asks for; takes some seconds where a server does not answer."""
    rows = [
        *check_origins(conf), check_secrets(conf), check_data_folder(conf), check_space(conf),
        check_browser_code(), check_fonts(), check_storage(conf), check_mail(conf), *check_inbound_tls(conf),
    ]  # fmt: skip
    rows += _check_database(conf)
    return rows


def in_production(conf: Settings) -> bool:
    """Whether people reach the service from elsewhere: its origin is not this machine."""
    return urlsplit(conf.public_origin).hostname not in ("localhost", "127.0.0.1", "::1")


def check_origins(conf: Settings) -> Iterator[Row]:
    public, tracking = conf.public_origin, conf.tracking_origin
    if public == tracking:
        yield Row(
            "origins", State.FAIL, f"App and tracked links share {public}.",
            "Set TCMA_TRACKING_URL to an origin of its own, so that what tenants write never runs beside the app.",
        )  # fmt: skip
        return
    plain = [url for url in (public, tracking) if not url.startswith("https://")]
    if plain and in_production(conf):
        mend = "Serve both through a proxy with TLS and set TCMA_PUBLIC_URL and TCMA_TRACKING_URL to https://…"
        yield Row("origins", State.FAIL, f"Not encrypted: {', '.join(plain)}.", mend)
        return
    yield Row("origins", State.OK, f"App at {public}, links at {tracking}.")
    if in_production(conf) and conf.trusted_proxies == 0:
        yield Row(
            "proxy", State.WARN, "No proxy is trusted, so all requests seem to come from the proxy.",
            "Set TCMA_TRUSTED_PROXIES to the number of proxies in front, if there are any.",
        )  # fmt: skip


def check_secrets(conf: Settings) -> Row:
    if not in_production(conf):
        return Row("secrets", State.OK, "Kept in the data folder, as is fit for one machine.")
    missing = [
        name
        for name, value in (("TCMA_SECRET_KEY", conf.secret_key), ("TCMA_SUPPRESSION_KEY", conf.suppression_key))
        if not value
    ]
    if missing:
        mend = "Set them (or name files with _FILE) and keep a copy: without the second, refusals of mail are lost."
        return Row("secrets", State.FAIL, f"Not set: {', '.join(missing)}.", mend)
    given = [*(conf.secret_key or "").split(","), conf.suppression_key or ""]
    if any(len(secret.strip()) < 32 for secret in given):
        mend = "Make it anew with: openssl rand -hex 32. Put a new TCMA_SECRET_KEY in front of the old one."
        return Row("secrets", State.WARN, "A secret is shorter than 32 characters.", mend)
    return Row("secrets", State.OK, "Set, and long enough.")


def check_data_folder(conf: Settings) -> Row:
    folder = conf.data_dir
    if not folder.is_dir():
        return Row("data folder", State.WARN, f"{folder} does not exist yet.", "The first start makes it.")
    open_keys = [
        path.name for path in (*folder.glob("*.key"),) if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if open_keys:
        return Row(
            "data folder", State.FAIL, f"Others can read {', '.join(open_keys)} in {folder}.",
            f"Run: chmod 600 {folder}/*.key",
        )  # fmt: skip
    return Row("data folder", State.OK, str(folder))


def check_space(conf: Settings) -> Row:
    folder = next(path for path in (conf.data_dir, *conf.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    words = f"{free / 2**30:.1f} GB free for {conf.data_dir}."
    if free < LEAST_SPACE:
        return Row("disk", State.FAIL, words, "Free some space now: the database stops when there is none.")
    if free < LOW_SPACE:
        return Row("disk", State.WARN, words, "Free some space, or move the data folder to a larger disk.")
    return Row("disk", State.OK, words)


def check_browser_code() -> Row:
    missing = [name for name in VENDOR_FILES if not (REPO / "static" / "vendor" / name).exists()]
    if missing:
        return Row("browser code", State.FAIL, f"Missing: {', '.join(missing)}.", "Run: make setup")
    return Row("browser code", State.OK, "Installed.")


def check_fonts() -> Row:
    from tcma.assets import fonts

    try:
        fonts.picture_font(12)
        fonts.pdf_font(bold=True)
    except (OSError, ImportError) as error:
        return Row("fonts", State.FAIL, f"The typeface cannot be loaded: {error}", "Run: make setup")
    return Row("fonts", State.OK, "The typeface of co-branded files is there.")


def check_storage(conf: Settings) -> Row:
    from tcma.storage import StorageError, probe, storage_from_url

    place = conf.files_url.partition("?")[0]
    try:
        probe(storage_from_url(conf.files_url))
    except (StorageError, DomainError, ValueError) as error:
        return Row("storage", State.FAIL, f"{place}: {error}", "Check TCMA_STORAGE_URL and the rights to it.")
    return Row("storage", State.OK, f"{place}: writes, reads and removes.")


def check_mail(conf: Settings) -> Row:
    from tcma.delivery.smtp_target import SmtpError, SmtpTarget, open_client

    if conf.ses_region:
        return _check_ses(conf)
    try:
        target = SmtpTarget.parse(conf.mail_url)
        client = open_client(target)
        client.quit()
    except (SmtpError, DomainError, OSError) as error:
        mend = "Check TCMA_SMTP_URL: host, port, user and password." if conf.smtp_url else "Start the mailbox: tcma up"
        return Row("mail", State.FAIL, str(error), mend)
    if not conf.smtp_url:
        state = State.WARN if in_production(conf) else State.OK
        mend = "Set TCMA_SMTP_URL: mail does not leave this machine." if in_production(conf) else ""
        return Row("mail", state, "Mail goes to the mailbox of this machine.", mend)
    return Row("mail", State.OK, f"{target.host}:{target.port} answers.")


def _check_ses(conf: Settings) -> Row:
    from tcma.delivery import ses
    from tcma.delivery.smtp_target import SmtpError

    if conf.smtp_url:
        mend = "Set one of TCMA_SES_REGION and TCMA_SMTP_URL. With both, mail goes through SES."
        return Row("mail", State.WARN, "Two ways for mail are set.", mend)
    try:
        found = ses.account(conf)
    except SmtpError as error:
        return Row("mail", State.FAIL, error.message, "Check TCMA_SES_REGION and the AWS credentials.")
    if not found.enabled:
        return Row("mail", State.FAIL, "Amazon SES has paused the account.", "See the SES console for the reason.")
    words = f"Amazon SES in {conf.ses_region}: {found.a_second:.0f} mails a second, {found.a_day:.0f} a day."
    if found.in_sandbox:
        mend = "Ask Amazon for production access: in the sandbox mail goes to verified addresses only."
        return Row("mail", State.WARN, words, mend)
    return Row("mail", State.OK, words)


def check_inbound_tls(conf: Settings) -> Iterator[Row]:
    """The certificate of `tcma inbound`, where one is set: it can be used, and for how long."""
    from tcma.delivery.inbound_tls import TlsFault, TlsFiles

    try:
        files = TlsFiles.of(conf.inbound_tls_cert, conf.inbound_tls_key)
        if files is None:
            return
        certificate = files.certificate()
    except TlsFault as fault:
        yield Row("inbound TLS", State.FAIL, fault.found, fault.mend)
        return
    now, until = clock.now(), certificate.not_valid_after_utc
    mend = "Renew it; `tcma inbound` reads the new files by itself."
    if certificate.not_valid_before_utc > now:
        words = f"{files.cert} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC."
        yield Row("inbound TLS", State.FAIL, words, "Set this machine's clock by NTP, or use another certificate.")
    elif until <= now:
        yield Row("inbound TLS", State.FAIL, f"{files.cert} expired on {until:%Y-%m-%d}.", mend)
    else:
        words = f"{files.cert} matches its key and is valid until {until:%Y-%m-%d}; days left: {(until - now).days}."
        soon = until - now < FEW_DAYS
        yield Row("inbound TLS", State.WARN if soon else State.OK, words, mend if soon else "")


def _check_database(conf: Settings) -> Iterator[Row]:
    """Rows on the database and all that lives in it; only one if it does not answer."""
    try:
        url = database_urls(conf).app
        engine = create_engine(url, connect_args={"connect_timeout": 5}, pool_size=1, max_overflow=0)
    except PostgresError as error:
        yield Row("database", State.FAIL, str(error), "Run: tcma up")
        return
    try:
        yield from _ask_database(conf, engine)
    finally:
        engine.dispose()


def _ask_database(conf: Settings, engine: Engine) -> Iterator[Row]:
    try:
        with engine.connect() as connection:
            for part, check in doctor_database.CHECKS.items():
                state, found, mend = check(connection, conf)
                yield Row(part, State(state), found, mend)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        embedded = "Start it with: tcma up" if not conf.database_url else "Check TCMA_DATABASE_URL and the server."
        yield Row("database", State.FAIL, f"It does not answer: {reason}", embedded)


def main(*, as_json: bool) -> int:
    """Print the rows; 1 if any part fails."""
    try:
        conf = settings()
    except ValidationError as error:
        names = ", ".join(f"TCMA_{str(one['loc'][0]).upper()}" if one["loc"] else "a setting" for one in error.errors())
        rows = [Row("settings", State.FAIL, f"Cannot be used: {names}.", "`tcma up` says what is wrong with each.")]
    else:
        rows = [Row("settings", State.OK, _settings_words(conf)), *examine(conf)]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows)
    return int(any(row.state is State.FAIL for row in rows))


def _settings_words(conf: Settings) -> str:
    source = ".env and the environment" if Path(".env").exists() else "the environment"
    kind = "production" if in_production(conf) else "one machine"
    return f"Read from {source}; {kind}, data in {conf.data_dir}."


def _print(rows: list[Row]) -> None:
    colours = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red"}
    for row in rows:
        click.echo(f"{click.style(f'{row.state:<4}', fg=colours[row.state])}  {row.part:<13} {row.found}")
        if row.mend:
            click.echo(f"{'':<6}{'':<14}→ {row.mend}")
    counts = {state: sum(row.state is state for row in rows) for state in State}
    click.echo(f"{counts[State.OK]} ok, {counts[State.WARN]} to look at, {counts[State.FAIL]} failing.")
