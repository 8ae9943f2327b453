"""The deliveries of a launch, and one delivery with its timeline and its mail as it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import g, render_template, request
from flask_babel import gettext as _

from tcma.access import Permission
from tcma.campaigns import queries as campaign_queries
from tcma.csvfile import Cell
from tcma.db import db
from tcma.delivery import live, mails, queries, reasons
from tcma.delivery.blueprint import Page, bp, framed
from tcma.delivery.bounces import ReportKind
from tcma.delivery.models import Delivery, Event
from tcma.delivery.routes_launches import csv_answer, here
from tcma.delivery.states import DeliveryStatus, EventKind
from tcma.errors import NotFound

ROWS = 50
_CSV = ("address", "state", "reason", "code", "answer", "attempts", "planned", "settled")


def _chosen() -> dict[str, Any]:
    status = request.args.get("status", "")
    return {
        "status": DeliveryStatus(status) if status in set(DeliveryStatus) else None,
        "search": request.args.get("q", ""),
    }


@bp.get("/launches/<uuid:launch_id>/deliveries")
def deliveries(launch_id: UUID) -> Page:
    g.actor.require(Permission.LAUNCH_READ)
    launch = campaign_queries.get_launch(db.session, g.actor, launch_id)
    if request.args.get("format") == "csv":
        queries.list_deliveries(db.session, g.actor, launch_id, limit=1)
        return csv_answer("deliveries", _CSV, _cells(launch_id))
    given = request.args.get("after", "")
    after = int(given) if given.isdecimal() and len(given) < 19 else 0
    found = queries.list_deliveries(db.session, g.actor, launch_id, after=after, limit=ROWS + 1, **_chosen())
    rows = found[:ROWS]
    return render_template(
        "delivery/deliveries.html", launch=launch, rows=rows, totals=live.look(db.session, launch).totals,
        why=reasons.words, states=list(DeliveryStatus), newer=here(after=None) if after else None,
        older=here(after=rows[-1].id) if len(found) > ROWS else None,
    )  # fmt: skip


def _cells(launch_id: UUID) -> Iterator[list[Cell]]:
    after = 0
    while rows := queries.list_deliveries(db.session, g.actor, launch_id, after=after, limit=1000, **_chosen()):
        for one in rows:
            yield [
                one.address, str(one.status), one.reason, one.code, one.response, one.attempts, one.planned_at,
                one.settled_at,
            ]  # fmt: skip
        after = rows[-1].id


@bp.get("/launches/<uuid:launch_id>/deliveries/<int:delivery_id>")
def delivery(launch_id: UUID, delivery_id: int) -> Page:
    g.actor.require(Permission.LAUNCH_READ)
    launch = campaign_queries.get_launch(db.session, g.actor, launch_id)
    row = queries.get_delivery(db.session, g.actor, launch_id, delivery_id)
    try:
        mail = mails.mail_as_sent(db.session, g.actor, launch_id, delivery_id)
    except NotFound:
        mail = None
    return render_template(
        "delivery/delivery.html", launch=launch, row=row, mail=mail, history=_timeline(row, mail), why=reasons.words
    )


@bp.get("/launches/<uuid:launch_id>/deliveries/<int:delivery_id>/mail")
def delivery_mail(launch_id: UUID, delivery_id: int) -> Page:
    """The HTML part for a frame; `?part=text` the text part."""
    g.actor.require(Permission.LAUNCH_READ)
    mail = mails.mail_as_sent(db.session, g.actor, launch_id, delivery_id)
    if request.args.get("part") == "text":
        return framed(mail.text, mimetype="text/plain")
    return framed(mail.html)


def _timeline(row: Delivery, mail: mails.MailAsSent | None) -> list[dict[str, Any]]:
    """What happened to one message, the newest first."""
    labels = {one.number: one.label for one in mail.links} if mail else {}
    words = {
        EventKind.OPEN: (_("loaded the pictures"), "eye"), EventKind.CLICK: (_("followed a link"), "click"),
        EventKind.BOUNCE: (_("The mail came back"), "mail-x"), EventKind.COMPLAINT: (_("complained"), "flag"),
        EventKind.UNSUBSCRIBE: (_("unsubscribed"), "mail-off"), EventKind.LANDING_VIEW: (_("saw the landing page"), "eye"),
        EventKind.FORM_ANSWER: (_("answered the form"), "message"),
    }  # fmt: skip
    who = {"human": _("A person"), "machine": _("A machine"), "unknown": _("Someone or something")}
    items: list[dict[str, Any]] = [
        {"who": _("The service"), "what": _("planned this mail"), "when": row.planned_at, "icon": "list-check"}
    ]
    if row.settled_at:
        items.append(
            {"who": _("The service"), "what": _settled(row), "when": row.settled_at, "note": row.response,
             "icon": "mail-check" if row.status is DeliveryStatus.SENT else "mail-x",
             "tone": "good" if row.status is DeliveryStatus.SENT else "warn"}
        )  # fmt: skip
    for event, verdict in queries.events_of(db.session, row.id):
        what, icon = words[event.kind]
        if event.kind in (EventKind.BOUNCE, EventKind.COMPLAINT):
            items.append(_came_back(event, icon))
            continue
        label = labels.get(event.link_number or 0)
        items.append(
            {"who": who[verdict], "what": what, "when": event.at, "icon": icon, "note": label,
             "tone": "info" if verdict == "human" else "neutral"}
        )  # fmt: skip
    return items[::-1]


def _came_back(event: Event, icon: str) -> dict[str, Any]:
    """A bounce or a complaint in plain words, with the server's own behind them."""
    bounces: dict[str, str] = {
        ReportKind.HARD: _("sent it back: the address does not work. It gets no more mail from you"),
        ReportKind.SOFT: _("sent it back for now, such as for a full mailbox"),
        ReportKind.ABOUT_US: _("refused it because of the sender, not because of the person"),
    }
    detail = event.detail
    if event.kind is EventKind.COMPLAINT:
        who, what = _("The person"), _("reported it as spam. They get no more mail from you, nor about this vendor")
    else:
        who, what = _("The mail server"), bounces.get(detail.get("kind", ""), _("sent it back"))
    note = " ".join(str(detail[name]) for name in ("status", "text") if detail.get(name))
    return {"who": who, "what": what, "when": event.at, "icon": icon, "note": note or None, "tone": "bad"}


def _settled(row: Delivery) -> str:
    words: dict[DeliveryStatus, str] = {
        DeliveryStatus.SENT: _("handed it over; the mail server took it"),
        DeliveryStatus.FAILED: _("was refused for good"),
        DeliveryStatus.UNKNOWN: _("handed it over and got no answer; it is not sent again"),
        DeliveryStatus.SUPPRESSED: _("left it out"),
        DeliveryStatus.SKIPPED: _("skipped it"),
    }
    return words.get(row.status, str(_("waits")))
