"""The page of a launch after its start: where the messages are, how fast they leave, what waits, and what came back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import flask_babel
from flask import Response, g, render_template, request, url_for
from flask_babel import format_timedelta, ngettext
from flask_babel import gettext as _

from tcma import audit, clock
from tcma.access import Permission
from tcma.accounts import queries as account_queries
from tcma.accounts.models import Organization
from tcma.campaigns import launches as campaign_launches
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import db
from tcma.delivery import live, queries, reasons, returns_decisions, returns_health
from tcma.delivery.blueprint import Page, bp
from tcma.delivery.forms import TestMailForm
from tcma.delivery.live import Look, Wait, Why
from tcma.delivery.routes_launches import has
from tcma.delivery.states import DeliveryStatus
from tcma.show import reader_zone

SHOWN_WAITS = 4


def page(found: Launch, *, test: TestMailForm | None = None) -> str:
    """The live page; `test` is the form of a test mail that came back with faults."""
    mine = found.partner_id == g.actor.organization_id
    over = found.status in (LaunchStatus.FINISHED, LaunchStatus.CANCELLED)
    return render_template(
        "delivery/launch.html", launch=found, mine=mine, over=over, **_moving(found, mine), **_open(found, mine),
        vendor=name_of(found.vendor_id), partner=name_of(found.partner_id), has=has, history=_history(found),
        test_form=test or TestMailForm(formdata=None, address=g.actor.email),
        landing_url=campaign_launches.landing_url(found),
        back=queries.results(db.session, [found.id]).get(found.id, {}),
    )  # fmt: skip


@bp.get("/launches/<uuid:launch_id>/progress")
def progress(launch_id: UUID) -> Page:
    """The moving part of the live page, for htmx; once the state differs it has the page reloaded, whose verbs differ then."""
    g.actor.require(Permission.LAUNCH_READ)
    found = campaign_queries.get_launch(db.session, g.actor, launch_id)
    if found.status not in (LaunchStatus.PLANNING, LaunchStatus.SENDING) or request.args.get("was", found.status) != found.status:
        return Response(status=204, headers={"HX-Refresh": "true"})
    mine = found.partner_id == g.actor.organization_id
    return render_template("delivery/_progress.html", launch=found, mine=mine, polled=True, **_moving(found, mine))


def name_of(organization_id: UUID) -> str:
    known = db.session.get(Organization, organization_id)
    return known.name if known else ""


def _moving(found: Launch, mine: bool) -> dict[str, Any]:
    """What changes from moment to moment; rows, reasons and waits for the partner only."""
    session = db.session
    sending = found.status is LaunchStatus.SENDING
    if mine:
        seen = live.look(session, found)
        links = {str(one): url_for("delivery.deliveries", launch_id=found.id, status=str(one)) for one in DeliveryStatus}
    else:
        seen, links = Look(clock.now(), queries.shown_totals(session, g.actor, found)), {}
    return {
        "totals": seen.totals, "links": links, "moving": found.status in (LaunchStatus.PLANNING, LaunchStatus.SENDING),
        "rate": round(seen.rate, 1 if seen.rate < 10 else None) if seen.rate else 0, "remaining": seen.remaining,
        "left": format_timedelta(seen.left, threshold=0.9) if seen.left else None,
        "reasons": seen.reasons, "why": reasons.words, "waits": _waits_words(seen.waits),
        "rest": live.resting(session) if mine and sending else None, "clock_words": clock_words,
    }  # fmt: skip


def _waits_words(waits: list[Wait]) -> list[str]:
    """The largest groups one by one, the rest in one line."""
    shown = [wait_words(one) for one in waits[:SHOWN_WAITS]]
    if rest := sum(one.count for one in waits[SHOWN_WAITS:]):
        last = clock_words(max(one.until for one in waits[SHOWN_WAITS:]))
        shown.append(ngettext("%(num)s more waits, until %(at)s.", "%(num)s more wait, until %(at)s.", rest, at=last))
    return shown


def wait_words(wait: Wait) -> str:
    """What waits, for what, and until when, in the reader's own time."""
    one = wait.count
    said = {
        Why.HOURS: ngettext("%(num)s waits for the hours of the day", "%(num)s wait for the hours of the day", one),
        Why.DOMAIN: ngettext("%(num)s waits for the limit of %(place)s", "%(num)s wait for the limit of %(place)s", one,
                             place=wait.subject),
        Why.SENDER: ngettext("%(num)s waits for the limit of the sender", "%(num)s wait for the limit of the sender", one),
        Why.AGAIN: ngettext("%(num)s was refused for now and is tried again",
                            "%(num)s were refused for now and are tried again", one),
        Why.PROVIDER: ngettext("%(num)s waits for the mail server", "%(num)s wait for the mail server", one),
        Why.TURN: ngettext("%(num)s waits for its turn", "%(num)s wait for their turn", one),
    }[wait.why]  # fmt: skip
    said = said.replace(str(one), flask_babel.format_decimal(one), 1)
    first, last = clock_words(wait.since), clock_words(wait.until)
    if first != last:
        return str(_("%(said)s, from %(first)s to %(last)s.", said=said, first=first, last=last))
    if wait.why is Why.AGAIN:
        return str(_("%(said)s, at %(at)s.", said=said, at=first))
    return str(_("%(said)s until %(at)s.", said=said, at=first))


def clock_words(at: datetime) -> str:
    """A moment to come: the hour today, with its day this week, else with its date."""
    zone = reader_zone()
    local, today = at.astimezone(zone), clock.now().astimezone(zone).date()
    hour = str(flask_babel.format_time(local, "short", rebase=False))
    ahead = (local.date() - today).days
    if ahead == 0:
        return hour
    return f"{flask_babel.format_date(local, 'EEE' if 0 < ahead < 7 else 'd MMM', rebase=False)} {hour}"


def _open(found: Launch, mine: bool) -> dict[str, Any]:
    """What waits for a decision, and why the service paused the launch by itself."""
    return {
        "decisions": returns_decisions.waiting(db.session, found) if mine else None,
        "alarm": returns_health.last_alarm(db.session, found.id), "alarm_words": returns_health.alarm_words,
    }  # fmt: skip


def _history(found: Launch) -> list[dict[str, Any]]:
    words = {
        "launch.create": (_("made this launch"), "plus", "neutral"), "launch.start": (_("started it"), "send", "info"),
        "launch.schedule": (_("chose the time"), "clock", "info"),
        "launch.unschedule": (_("took the time back"), "clock-off", "neutral"),
        "launch.send": (_("began to send"), "mail-forward", "info"),
        "launch.pause": (_("paused it"), "player-pause", "warn"),
        "launch.resume": (_("resumed it"), "player-play", "info"),
        "launch.finish": (_("finished"), "circle-check", "good"), "launch.cancel": (_("cancelled it"), "ban", "bad"),
        "launch.change_sender": (_("changed the sender"), "mail", "warn"),
        "launch.reopen": (_("sent some of it again"), "send", "info"),
        "launch.unknown_as_sent": (_("counted unknown mails as sent"), "check", "info"),
        "launch.unknown_again": (_("sent unknown mails again"), "send", "warn"),
        "launch.retry_failed": (_("tried failed mails again"), "refresh", "info"),
        "launch.not_started": (_("could not start"), "alert-triangle", "warn"),
    }  # fmt: skip
    # Colleagues know each other by name; to the vendor a partner's people are its members.
    mine = found.partner_id == g.actor.organization_id
    names = {one.user_id: one.user.name for one in account_queries.list_members(db.session, g.actor)} if mine else {}
    items = []
    for row in reversed(audit.history(db.session, found)):
        if row.action in words:
            what, icon, tone = words[row.action]
            who = _("You") if row.actor_user_id and row.actor_user_id == g.actor.user_id else ""
            who = who or (names.get(row.actor_user_id, _("A member")) if row.actor_user_id else _("The service"))
            items.append({"who": who, "what": what, "when": row.at, "icon": icon, "tone": tone, "note": row.reason})
    return items
