"""The page that shows how well a partner's mail arrives."""

from __future__ import annotations

from flask import g, render_template, request
from flask_babel import gettext as _

from tcma.db import db
from tcma.delivery import deliverability as figures
from tcma.delivery.blueprint import Page, bp
from tcma.delivery.routes_launches import csv_answer

PERIODS = (7, 30, 90)
_CSV = ("domain", "tried", "delivered", "refused at once", "came back later", "complained")


@bp.get("/deliverability")
def deliverability() -> Page:
    given = request.args.get("days", "")
    days = int(given) if given in {str(one) for one in PERIODS} else 30
    sender = request.args.get("sender", "")
    csv = request.args.get("format") == "csv"
    found = figures.read(db.session, g.actor, sender=sender, days=days, limit=10_000 if csv else 100)
    if csv:
        rows = (
            [one.name or _("all others"), one.tried, one.delivered, one.failed, one.bounced, one.complained]
            for one in found.domains
        )
        return csv_answer("deliverability", _CSV, rows)
    plot = {
        "x": [one.name for one in found.days],
        "series": [
            {"name": _("Delivered"), "data": [one.delivered for one in found.days]},
            {"name": _("Came back"), "data": [one.came_back for one in found.days]},
            {"name": _("Complained"), "data": [one.complained for one in found.days]},
        ],
    }
    return render_template(
        "delivery/deliverability.html", found=found, plot=plot, sender=sender, days=days, periods=PERIODS
    )
