"""`tcma demo`: a quarter of a real programme, made by the services that users go through, under a moved clock.

The same story each time. It is made once: DATA_DIR/demo.json, written last, says that it is there. A demo that was
stopped half-way is closed and made anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from flask import has_app_context

from tcma import clock, create_app, demo_cast, demo_content, demo_launches, demo_money
from tcma.access import Actor
from tcma.accounts import bootstrap
from tcma.config import settings
from tcma.delivery.smtp_target import SmtpTarget
from tcma.demo_clockwork import Agenda

SIGN_INS = "demo.json"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DemoRefused(click.ClickException):
    """The demo cannot be made here; the message says how to mend it."""


def seed(*, scale: float = 1.0, say: Callable[[str], object] = click.echo) -> bool:
    """Make the demo unless it is there; whether it was made now. `scale` makes its audiences smaller.

    Waits for another process that is making it. Raises DemoRefused where mail would leave this machine or the
    mailbox does not answer.
    """
    if has_app_context():
        return _seed(scale=scale, say=say)
    os.nice(5)  # whoever uses the service meanwhile comes first
    with create_app().app_context():
        return _seed(scale=scale, say=say)


def _seed(*, scale: float, say: Callable[[str], object]) -> bool:
    folder = settings().data_dir
    with _alone(folder):
        say("Demo: the operator's key.")
        bootstrap.ensure_operator_key(folder)
        if demo_cast.is_there():
            demo_cast.ensure_operator_person(demo_cast.find_operator())
            _write_sign_ins(folder)
            say("Demo: it is there already.")
            return False
        (folder / SIGN_INS).unlink(missing_ok=True)
        _check_mail()
        began = time.monotonic()
        operator = demo_cast.find_operator()
        if left := demo_cast.close_leftovers(operator):
            say(f"Demo: closed {left} organizations of one that was stopped half-way.")
        _play(operator_world(operator, scale=scale), say)
        demo_cast.ensure_operator_person(operator)
        _write_sign_ins(folder)
        say(f"Demo: ready after {time.monotonic() - began:.0f} s. Sign in as {demo_cast.address_of('hanna')} "
            f"with “{demo_cast.PASSWORD}”.")  # fmt: skip
        return True


def operator_world(operator: Actor, *, scale: float) -> demo_cast.World:
    return demo_cast.World(Agenda(clock.now()), scale, operator)


def _play(world: demo_cast.World, say: Callable[[str], object]) -> None:
    with clock.at(world.agenda.moment(91)):
        demo_cast.make_companies(world)
    say(f"Demo: {len(demo_cast.COMPANIES)} companies and {len(demo_cast.PEOPLE)} people.")
    demo_cast.plan_partnerships(world)
    demo_content.plan_content(world)
    demo_launches.plan_launches(world)
    demo_money.plan_money(world)
    month = ""

    def tell(moment: datetime) -> None:
        nonlocal month
        if f"{moment:%B %Y}" != month:
            month = f"{moment:%B %Y}"
            say(f"Demo: {month} …")

    world.agenda.run(tell)
    demo_cast.keep(world)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time make the demo; the lock ends with its holder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _check_mail() -> None:
    """The demo's mail goes to a mailbox on this machine and nowhere else."""
    target = SmtpTarget.parse(settings().mail_url)
    if target.host not in LOOPBACK:
        raise DemoRefused(
            f"TCMA_SMTP_URL sends to {target.host}, and the demo writes to people who do not exist. "
            "Unset it, so that mail goes to the mailbox, then start again."
        )
    for _ in range(20):
        try:
            socket.create_connection((target.host, target.port), timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise DemoRefused(
        f"The mailbox at {target.host}:{target.port} does not answer. Start the service with `tcma up --demo`."
    )


def _write_sign_ins(folder: Path) -> None:
    path = folder / SIGN_INS
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(demo_cast.sign_ins(), ensure_ascii=False, indent=1))
    fresh.replace(path)
