"""The mailbox of the demo: every mail that this machine sent, to look at."""

from __future__ import annotations

from flask import g, render_template, request

from tcma import mailbox as box
from tcma.config import settings
from tcma.delivery.blueprint import Page, bp, framed
from tcma.delivery.routes_launches import here
from tcma.errors import NotFound

ROWS = 50


def _demo_only() -> None:
    if not settings().demo:
        raise NotFound("The mailbox is part of the demo only. Here mail goes out for real.")
    g.nav_at = ""


@bp.get("/mailbox")
def mailbox() -> Page:
    _demo_only()
    before = request.args.get("before") or None
    found = box.read_mailbox(box.folder(settings()), limit=ROWS + 1, search=request.args.get("q", ""), before=before)
    rows = found[:ROWS]
    return render_template(
        "delivery/mailbox.html", rows=rows, older=here(before=rows[-1].key) if len(found) > ROWS else None,
        newer=here(before=None) if before else None,
    )  # fmt: skip


@bp.get("/mailbox/<key>")
def mailbox_mail(key: str) -> Page:
    _demo_only()
    return render_template("delivery/mailbox_mail.html", mail=box.open_mail(box.folder(settings()), key))


@bp.get("/mailbox/<key>/content")
def mailbox_content(key: str) -> Page:
    """The HTML part for a sandboxed frame; `?part=text` the text part."""
    _demo_only()
    mail = box.open_mail(box.folder(settings()), key)
    if request.args.get("part") == "text" or mail.html is None:
        return framed(mail.text or "", mimetype="text/plain")
    return framed(mail.html)
