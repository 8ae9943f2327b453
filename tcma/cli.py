"""The command `tcma`. Each command imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from tcma import __version__

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Commands(click.Group):
    """Keeps commands in the order in which they are written, and turns our errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        from pydantic import ValidationError

        from tcma.errors import DomainError
        from tcma.postgres_place import PostgresError

        try:
            return super().invoke(ctx)
        except (DomainError, PostgresError) as error:
            raise click.ClickException(str(error)) from error
        except ValidationError as error:
            raise click.ClickException(_settings_problem(error)) from error
        except Exception as error:
            if (problem := _database_problem(error)) is None:
                raise
            raise click.ClickException(problem) from error


def _settings_problem(error: Any) -> str:
    """Each wrong setting with its name and what is wrong; never its value, which may be a secret."""
    lines = [
        f"  TCMA_{'_'.join(str(part) for part in one['loc']).upper() or '…'}: {one['msg']}"
        for one in error.errors(include_input=False, include_url=False)
    ]
    return "Some settings cannot be used:\n" + "\n".join(lines)


def _database_problem(error: Exception) -> str | None:
    """What to say if `error` is a database that does not answer, else None."""
    driver = sys.modules.get("psycopg")  # only who imported the driver can have met its errors
    found = getattr(error, "orig", error)
    if driver is None or not isinstance(found, driver.OperationalError):
        return None
    reason = str(found).strip().splitlines()[0] if str(found).strip() else type(found).__name__
    return f"The database does not answer ({reason}). `tcma doctor` says what is wrong; `tcma up` starts one."


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tcma")
def main() -> None:
    """Through-channel marketing automation: publish, co-brand, launch, track, and pay by proof.

    `tcma up` runs everything on this machine. In production run the parts one by one: web, worker, scheduler.
    """


@main.command()
@click.option("--demo", is_flag=True, help="Fill an empty database with demo data, and show who can sign in.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the web server.  [default: 8000]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
def up(*, demo: bool, port: int | None, host: str | None) -> None:
    """Run all parts on this machine: database, migrations, mailbox, worker, scheduler, web."""
    _set({"TCMA_PORT": port, "TCMA_HOST": host, "TCMA_DEMO": demo or None})
    from tcma import supervisor

    sys.exit(supervisor.run())


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: TCMA_PORT, 8000]")
@click.option("--host", help="Address to listen on.  [default: TCMA_HOST, 127.0.0.1]")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes.  [default: one a core, at most 4]")
@click.option("--threads", type=click.IntRange(1, 64), help="Threads of each process.  [default: 4]")
def web(*, port: int | None, host: str | None, workers: int | None, threads: int | None) -> None:
    """Serve pages, the API and tracked links."""
    _set({"TCMA_PORT": port, "TCMA_HOST": host, "TCMA_WEB_WORKERS": workers, "TCMA_WEB_THREADS": threads})
    _begin()
    from tcma import web_server

    web_server.run()


@main.command()
@click.option("--queues", default="default,delivery,tracking", show_default=True, help="Its queues.")
@click.option("--threads", type=click.IntRange(1, 64), help="Tasks at a time.  [default: 4]")
def worker(*, queues: str, threads: int | None) -> None:
    """Do the background work: send, load, render, tidy."""
    _begin()
    from tcma import worker as worker_part

    named = [name.strip() for name in queues.split(",") if name.strip()]
    if not named or set(named) - set(worker_part.QUEUES):
        raise click.BadParameter(f"Name some of {', '.join(worker_part.QUEUES)}.", param_hint="--queues")
    worker_part.run(named, threads=threads)


@main.command()
def scheduler() -> None:
    """Send a message for each periodic job that is due. Several may run."""
    _begin()
    from tcma import scheduler as scheduler_part

    scheduler_part.run()


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="SMTP port.  [default: TCMA_PORT + 25]")
def mailbox(*, port: int | None) -> None:
    """Receive every mail by SMTP and keep it for reading, instead of a mail provider."""
    _set({"TCMA_MAILBOX_PORT": port})
    _begin()
    from tcma import mailbox as mailbox_part
    from tcma.config import settings

    handler = None
    if settings().returns_at:
        # What comes back in the demo comes to the same port.
        from tcma import create_app
        from tcma.delivery.inbound import DemoHandler

        handler = DemoHandler(create_app, mailbox_part.folder(settings()))
    mailbox_part.run(handler)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), help="SMTP port.  [default: TCMA_INBOUND_PORT, 2525]")
@click.option("--host", help="Address to listen on.  [default: TCMA_INBOUND_HOST, 127.0.0.1]")
@click.option("--feedback-address", is_flag=True, help="Only print the address to give to feedback loops.")
def inbound(*, port: int | None, host: str | None, feedback_address: bool) -> None:
    """Receive what comes back for TCMA_RETURN_DOMAIN: bounces, complaints, unsubscribing by mail."""
    _set({"TCMA_INBOUND_PORT": port, "TCMA_INBOUND_HOST": host})
    _begin()
    from tcma import create_app
    from tcma.config import settings
    from tcma.delivery import inbound as inbound_part
    from tcma.parts import log_to_stderr, say_ready

    conf = settings()
    if feedback_address:
        click.echo(inbound_part.feedback_address())
        return
    log_to_stderr()

    def ready(number: int) -> None:
        click.echo(f"Taking mail for {conf.returns_at} on {conf.inbound_host}:{number}.")
        say_ready()

    inbound_part.run_inbound(create_app, host=conf.inbound_host, port=conf.inbound_port, on_ready=ready)


@main.command()
def migrate() -> None:
    """Bring the database up to this version, as the role tcma_owner (TCMA_MIGRATION_URL)."""
    from tcma import migrate as migrations
    from tcma.config import settings
    from tcma.postgres import database_urls

    conf = settings()
    if conf.database_url and not conf.migration_url:
        raise click.ClickException(
            "Set TCMA_MIGRATION_URL to the database as tcma_owner: the role of the service changes no tables."
        )
    urls = database_urls(conf)
    before = migrations.current(urls.owner)
    if before == migrations.heads():
        click.echo("The database is up to date.")
        return
    migrations.upgrade(urls.owner)
    click.echo(f"The database is now at {', '.join(sorted(migrations.heads()))}.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def doctor(*, as_json: bool) -> None:
    """Check every setting and everything the service needs, and say what to do."""
    from tcma import doctor as checks

    sys.exit(checks.main(as_json=as_json))


@main.command()
def demo() -> None:
    """Fill an empty database with demo data; nothing happens to one that has them."""
    _begin()
    from tcma import demo as demo_part

    demo_part.seed()


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def dump(*, file: Path) -> None:
    """Write the embedded database to FILE while it runs."""
    from tcma import backup
    from tcma.config import settings

    backup.dump(settings(), file.absolute())
    click.echo(f"Written: {file} ({file.stat().st_size / 2**20:.1f} MB). Keep the data folder's files and keys with it.")


@main.command()
@click.argument("file", type=_FILE)
def restore(*, file: Path) -> None:
    """Fill an empty embedded database from FILE, a dump."""
    from tcma import backup
    from tcma.config import settings

    backup.restore(settings(), file.absolute())
    click.echo("Restored. Put back files and keys, then start with: tcma up")


@main.command()
@click.argument("file", type=_FILE)
@click.option("--contact", metavar="JSON", help="Values of the contact, such as '{\"first_name\": \"Ada\"}'.")
@click.option("--text", "as_text", is_flag=True, help="Print the plain-text part.")
def render(*, file: Path, contact: str | None, as_text: bool) -> None:
    """Print the mail that FILE (MJML) makes, as a recipient would get it; or its errors, and exit 1."""
    import json

    from tcma.campaigns import starter
    from tcma.campaigns.markup import MarkupError

    try:
        person = json.loads(contact) if contact else {}
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--contact") from error
    if not isinstance(person, dict):
        raise click.BadParameter('an object such as {"first_name": "Ada"}', param_hint="--contact")
    try:
        click.echo(starter.render_file(file, contact=person, text=as_text))
    except MarkupError as error:
        click.echo(starter.format_problems(error.problems, file), err=True)
        sys.exit(1)


@main.command()
@click.option("--url", help="The instance.  [default: http://localhost:TCMA_PORT]")
@click.option("--mjml", type=_FILE, help="Your own campaign.")
@click.option("--contacts", type=_FILE, help="Your own contacts, .csv or .xlsx.")
@click.option("--logo", type=_FILE, help="Your own logo.")
@click.option("--invoice", type=_FILE, help="Your own invoice, .pdf or .xml.")
@click.option("--keep", is_flag=True, help="Leave the scratch organizations in place.")
@click.option("--really-send", is_flag=True, help="Allow mail to go beyond this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print only the closing line of figures.")
def tour(**options: Any) -> None:
    """Play the whole main job over the API of a running instance, and print figures for every link."""
    from tcma import tour as tour_part

    sys.exit(tour_part.main(**options))


def _set(values: dict[str, object]) -> None:
    """Options given on the command line stand above the environment, here and in parts started from here."""
    for name, value in values.items():
        if value is not None:
            os.environ[name] = "1" if value is True else str(value)


def _begin() -> None:
    from tcma.parts import end_with_supervisor, tell_where_on_signal

    end_with_supervisor()
    tell_where_on_signal()


if __name__ == "__main__":
    main()
