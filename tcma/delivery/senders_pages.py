"""Pages of senders: the partner's list, one sender with the check of its domain, and the platform's own domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Kind, Permission
from tcma.assets import queries as asset_queries
from tcma.config import settings
from tcma.db import db, unit_of_work
from tcma.delivery import pacing, senders, senders_checking, senders_choice, senders_verify, signing
from tcma.delivery.blueprint import Page, bp
from tcma.delivery.forms import put_faults
from tcma.delivery.models_senders import DkimKey, SendingDomain, SendingIdentity
from tcma.delivery.pacing_forms import CapForm
from tcma.delivery.senders_forms import SenderEditForm, SenderForm
from tcma.delivery.senders_states import KeyStatus, SenderStatus
from tcma.errors import Invalid

TITLES = {"dkim": "DKIM", "dmarc": "DMARC", "spf": "SPF", "return": _l("Bounce address"), "ses": "Amazon SES"}


def _as_partner() -> None:
    g.actor.require_kind(Kind.PARTNER)
    g.actor.require(Permission.SENDER_READ)
    # Partners come here from their brand, which stands at the catalogue.
    g.nav_at = "catalogue"


@bp.get("/brand/senders", endpoint="senders")
def senders_list() -> Page:
    _as_partner()
    return _list_page(SenderForm(formdata=None))


@bp.post("/brand/senders")
def add_sender() -> Page:
    _as_partner()
    form = SenderForm()
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                made = senders.add_sender(
                    session, g.actor, name=form.name.data or "", address=form.address.data or "",
                    reply_to=form.reply_to.data or "",
                )  # fmt: skip
        except Invalid as error:
            put_faults(form, error)
        else:
            if made.status is SenderStatus.VERIFIED:
                flash(_("Added. Its domain is verified already."), "success")
            else:
                flash(_("Added. Now set the records that stand here, then check."), "info")
            return redirect(url_for("delivery.sender", sender_id=made.id), 303)
    return _list_page(form)


@bp.post("/brand/senders/cap")
def save_cap() -> Page:
    """How often one person gets mail."""
    _as_partner()
    form = CapForm()
    try:
        if not form.validate():
            raise Invalid({})
        with unit_of_work(g.actor) as session:
            pacing.save_cap(session, g.actor, mails=form.mails.data, days=form.days.data)
    except Invalid as error:
        put_faults(form, error)
        return _list_page(SenderForm(formdata=None), cap=form)
    flash(_("Saved. It holds for launches that start from now on."), "success")
    return redirect(url_for("delivery.senders"), 303)


def _list_page(form: SenderForm, *, cap: CapForm | None = None) -> Page:
    brand = asset_queries.brand_values(db.session, g.actor.organization_id)
    page = render_template(
        "delivery/senders.html", rows=senders.list_senders(db.session, g.actor), form=form,
        now_from=senders_choice.sender_for(db.session, g.actor.organization_id, brand),
        may=g.actor.may(Permission.SENDER_MANAGE), may_cap=g.actor.may(Permission.LAUNCH_MANAGE),
        cap_form=cap or CapForm.of(pacing.sending_rules(db.session, g.actor.organization_id)),
    )  # fmt: skip
    return page, 422 if form.errors or cap else 200


@bp.get("/brand/senders/<uuid:sender_id>", endpoint="sender")
def sender_page(sender_id: UUID) -> Page:
    _as_partner()
    return _sender_page(senders.get_sender(db.session, g.actor, sender_id))


def _sender_page(row: SendingIdentity, *, form: SenderEditForm | None = None) -> Page:
    shown = form or SenderEditForm(formdata=None, obj=row)
    page = render_template(
        "delivery/sender.html", row=row, form=shown, may=g.actor.may(Permission.SENDER_MANAGE),
        history=_history(row), **domain_values(db.session, row.domain),
    )  # fmt: skip
    return page, 422 if shown.errors else 200


def domain_values(session: Session, domain: SendingDomain) -> dict[str, Any]:
    """What the pages say of a domain: records to set, what was found, keys."""
    keys = list(domain.keys)
    active = next((key for key in keys if key.status is KeyStatus.ACTIVE), None)
    retired = [key for key in keys if key.status is KeyStatus.RETIRED and key.retired_at]
    now = clock.now()
    return {
        "domain": domain, "titles": TITLES, "records": senders_verify.wanted_records(session, domain), "findings": [
            {
                "state": one["verdict"], "title": f"{TITLES[one['code']]} · {one['host']}", "text": one["detail"],
                "found": " · ".join(one["found"]), "mend": one["mend"],
            }
            for one in domain.findings
        ],
        "active_key": active, "waiting": any(key.status is KeyStatus.PENDING for key in keys),
        "is_old": active is not None and now - (active.activated_at or now) > senders_verify.OLD_KEY,
        "leftover": [(key, *_leave_until(key)) for key in retired[-1:]],
    }  # fmt: skip


def _leave_until(key: DkimKey) -> tuple[Any, bool]:
    """Until when the record of a retired key should stay, and whether that is over."""
    until = (key.retired_at or clock.now()) + senders_verify.KEEP_RECORD
    return until, until <= clock.now()


def _history(row: SendingIdentity) -> list[dict[str, Any]]:
    words = {
        "sender.add": (_("added it"), "plus", "neutral"), "sender.edit": (_("changed it"), "pencil", "neutral"),
        "sender.verify": (_("found the records in place"), "shield-check", "good"),
        "sender.lapse": (_("found the records gone"), "alert-triangle", "bad"),
        "sender.default": (_("made it the default"), "star", "info"), "sender.retire": (_("retired it"), "archive", "neutral"),
    }  # fmt: skip
    items = []
    for one in reversed(audit.history(db.session, row)):
        if one.action in words:
            what, icon, tone = words[one.action]
            who = _("You") if one.actor_user_id and one.actor_user_id == g.actor.user_id else ""
            who = who or (_("A member") if one.actor_user_id else _("The service"))
            items.append({"who": who, "what": what, "when": one.at, "icon": icon, "tone": tone, "note": one.reason})
    return items


@bp.post("/brand/senders/<uuid:sender_id>/edit")
def edit_sender(sender_id: UUID) -> Page:
    _as_partner()
    form = SenderEditForm()
    row = senders.get_sender(db.session, g.actor, sender_id)
    if not form.validate():
        return _sender_page(row, form=form)
    try:
        with unit_of_work(g.actor) as session:
            senders.edit_sender(
                session, g.actor, sender_id, name=form.name.data or "", reply_to=form.reply_to.data or ""
            )
    except Invalid as error:
        put_faults(form, error)
        return _sender_page(senders.get_sender(db.session, g.actor, sender_id), form=form)
    flash(_("Saved. Launches that start from now on use it."), "success")
    return redirect(url_for("delivery.sender", sender_id=sender_id), 303)


@bp.post("/brand/senders/<uuid:sender_id>/check")
def check_sender(sender_id: UUID) -> Page:
    """Look at the DNS now."""
    _as_partner()
    g.actor.require(Permission.SENDER_MANAGE)
    with unit_of_work(g.actor) as session:
        domain_id = senders.take_check(session, g.actor, sender_id).id
    senders_checking.check_domain(g.actor, domain_id)
    found = senders.get_sender(db.session, g.actor, sender_id)
    if found.status is SenderStatus.VERIFIED:
        flash(_("All needed records are there. This sender is verified."), "success")
    else:
        flash(_("Not all needed records are there yet. Each finding says what to change."), "info")
    return redirect(url_for("delivery.sender", sender_id=sender_id, _anchor="found"), 303)


@bp.post("/brand/senders/<uuid:sender_id>/default")
def make_sender_default(sender_id: UUID) -> Page:
    return _done(sender_id, senders.make_default, _("New launches use this sender unless they choose another."))


@bp.post("/brand/senders/<uuid:sender_id>/retire")
def retire_sender(sender_id: UUID) -> Page:
    _as_partner()
    with unit_of_work(g.actor) as session:
        senders.retire_sender(session, g.actor, sender_id)
    flash(_("Retired. New launches do not use it any more."), "success")
    return redirect(url_for("delivery.senders"), 303)


@bp.post("/brand/senders/<uuid:sender_id>/key")
def new_sender_key(sender_id: UUID) -> Page:
    return _done(sender_id, senders.new_key, _("A new key is made. Set its record beside the old one, then check."))


def _done(sender_id: UUID, verb: Callable[[Session, Any, UUID], object], words: str) -> Page:
    _as_partner()
    with unit_of_work(g.actor) as session:
        verb(session, g.actor, sender_id)
    flash(words, "success")
    return redirect(url_for("delivery.sender", sender_id=sender_id), 303)


# -- the platform's own domain, for operators ---------------------------------------------------------


@bp.get("/service/sender", endpoint="platform_sender")
def platform_sender_page() -> Page:
    g.actor.require(Permission.SERVICE_OPERATE)
    g.nav_at = "service"
    domain = senders.platform_domain(db.session)
    values = domain_values(db.session, domain) if domain else {"domain": None}
    return render_template(
        "delivery/platform_sender.html", name=signing.platform_domain(), address=settings().platform_sender,
        by_ses=bool(settings().ses_region), **values,
    )  # fmt: skip


@bp.post("/service/sender/key")
def new_platform_key() -> Page:
    g.actor.require(Permission.SERVICE_OPERATE)
    with unit_of_work(g.actor) as session:
        senders.new_platform_key(session, g.actor)
    flash(_("A key is made. Set its record, then check."), "success")
    return redirect(url_for("delivery.platform_sender"), 303)


@bp.post("/service/sender/check")
def check_platform_sender() -> Page:
    g.actor.require(Permission.SERVICE_OPERATE)
    domain = senders.platform_domain(db.session)
    if domain is None:
        raise Invalid("There is no key yet, so there is nothing to look for. Make one first.")
    senders_checking.check_domain(g.actor, domain.id)
    flash(_("Checked. Each finding says what to change."), "info")
    return redirect(url_for("delivery.platform_sender", _anchor="found"), 303)
