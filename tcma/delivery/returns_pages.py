"""The partner's decisions about deliveries that did not end well, from the page of their launch."""

from __future__ import annotations

from uuid import UUID

from flask import flash, g, redirect, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from tcma.db import unit_of_work
from tcma.delivery import returns_decisions
from tcma.delivery.blueprint import Page, bp
from tcma.errors import Invalid


def _back(launch_id: UUID) -> Page:
    return redirect(url_for("delivery.launch", launch_id=launch_id), 303)


@bp.post("/launches/<uuid:launch_id>/unknown/sent")
def unknown_as_sent(launch_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        done = returns_decisions.treat_as_sent(session, g.actor, launch_id)
    flash(ngettext("%(num)d mail counts as sent.", "%(num)d mails count as sent.", done), "success")
    return _back(launch_id)


@bp.post("/launches/<uuid:launch_id>/unknown/again")
def unknown_again(launch_id: UUID) -> Page:
    """Send again to as many as the person was shown and agreed to."""
    given = request.form.get("expected", "")
    if not given.isdecimal() or len(given) > 9:
        raise Invalid({"expected": "Open the page of the launch and press the button there."})
    with unit_of_work(g.actor) as session:
        done = returns_decisions.send_again(session, g.actor, launch_id, expected=int(given))
    flash(ngettext("%(num)d mail goes out again.", "%(num)d mails go out again.", done), "success")
    return _back(launch_id)


@bp.post("/launches/<uuid:launch_id>/failed/again")
def failed_again(launch_id: UUID) -> Page:
    """Try again what was refused for now, or with `all=1` everything that failed."""
    with unit_of_work(g.actor) as session:
        done = returns_decisions.retry_failed(
            session, g.actor, launch_id, all_reasons=request.form.get("all") == "1"
        )
    if done:
        flash(ngettext("%(num)d mail is tried again.", "%(num)d mails are tried again.", done), "success")
    else:
        flash(_("There is nothing to try again."), "info")
    return _back(launch_id)
