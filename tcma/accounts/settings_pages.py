"""Settings of an organization: profile, members, API keys, terms."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from tcma import clock
from tcma.access import ROLES_OF_KIND, Kind, Permission
from tcma.accounts import invitations, keys, members, onboarding, queries, queries_partners, services
from tcma.accounts.blueprint import Page, bp
from tcma.accounts.forms import (
    ROLE_HINTS,
    ROLE_WORDS,
    InviteMemberForm,
    KeyForm,
    OrganizationForm,
    RolesForm,
    TermsForm,
    role_choices,
    show_errors,
)
from tcma.accounts.models import ApiKey
from tcma.accounts.states import InvitationKind
from tcma.csvfile import write_csv
from tcma.db import db, unit_of_work
from tcma.errors import Invalid

SCOPE_AREAS = {
    "accounts": _l("Members and partners"), "audit": _l("Audit"), "assets": _l("Kits and brand"),
    "audience": _l("Contacts"), "campaigns": _l("Campaigns and launches"), "delivery": _l("Sending"),
    "leads": _l("Leads"), "mdf": _l("Money"), "insights": _l("Figures"), "service": _l("The service"),
}  # fmt: skip


def tabs(at: str) -> list[dict[str, object]]:
    """The settings that this actor may open, as tabs."""
    rows = [
        ("organization", _("Organization"), "accounts.organization", g.actor.may(Permission.MEMBER_MANAGE)),
        ("members", _("Members"), "accounts.members", True),
        ("keys", _("API keys"), "accounts.keys", g.actor.may(Permission.APIKEY_MANAGE)),
        ("terms", _("Partner terms"), "accounts.terms", g.actor.is_vendor and g.actor.may(Permission.TERMS_MANAGE)),
    ]
    return [
        {"label": label, "href": url_for(endpoint), "active": key == at} for key, label, endpoint, may in rows if may
    ]


@bp.get("/settings")
def settings_home() -> Page:
    return redirect(str(tabs("")[0]["href"]))


@bp.route("/settings/organization", methods=["GET", "POST"])
def organization() -> Page:
    g.actor.require(Permission.MEMBER_MANAGE)
    row = queries.get_organization(db.session, g.actor.organization_id)
    form = OrganizationForm(obj=row)
    if not g.actor.is_vendor:
        del form.open_to_applications
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                services.save_organization(
                    session, g.actor, name=form.name.data, color=form.color.data, timezone=form.timezone.data,
                    open_to_applications=form.open_to_applications.data if g.actor.is_vendor else None,
                )  # fmt: skip
        except Invalid as error:
            show_errors(form, error)
        else:
            flash(_("Saved."), "success")
            return redirect(url_for("accounts.organization"), 303)
    page = render_template(
        "accounts/organization.html", form=form, row=row, tabs=tabs("organization"),
        apply_url=url_for("accounts.apply", slug=row.slug, _external=True) if g.actor.is_vendor else None,
    )  # fmt: skip
    return page, 422 if form.errors else 200


def _members_page(invite: InviteMemberForm, *, status: int = 200) -> Page:
    search = request.args.get("q", "").strip().lower()
    rows = queries.list_members(db.session, g.actor)
    rows = [one for one in rows if search in one.user.email or search in one.user.name.lower()]
    may = g.actor.may(Permission.MEMBER_MANAGE)
    waiting = queries_partners.list_invitations(db.session, g.actor, InvitationKind.MEMBER) if may else []
    page = render_template(
        "accounts/members.html", rows=rows, invite=invite, waiting=waiting, may=may, now=clock.now(),
        role_words=ROLE_WORDS, role_hints=ROLE_HINTS, tabs=tabs("members"),
    )  # fmt: skip
    return page, status


def _invite_form() -> InviteMemberForm:
    form = InviteMemberForm()
    form.roles.choices = role_choices(ROLES_OF_KIND[g.actor.kind])
    return form


@bp.get("/settings/members", endpoint="members")
def members_list() -> Page:
    g.actor.require(Permission.MEMBER_READ)
    if request.args.get("format") == "csv":
        rows = queries.list_members(db.session, g.actor)
        cells = [[one.user.name, one.user.email, " ".join(one.roles), one.joined_at, one.last_seen_at] for one in rows]
        lines = "".join(write_csv(cells, ["name", "email", "roles", "joined_at", "last_seen_at"], bom=True))
        return Response(lines, mimetype="text/csv", headers={"Content-Disposition": "attachment; filename=members.csv"})
    return _members_page(_invite_form())


@bp.post("/settings/members")
def invite_member() -> Page:
    form = _invite_form()
    if not form.validate_on_submit():
        return _members_page(form, status=422)
    try:
        with unit_of_work(g.actor) as session:
            invitations.invite_member(
                session, g.actor, email=form.email.data, roles=form.roles.data, name=form.name.data or ""
            )
    except Invalid as error:
        show_errors(form, error)
        return _members_page(form, status=422)
    flash(_("An invitation is on its way to %(address)s.", address=form.email.data), "success")
    return redirect(url_for("accounts.members"), 303)


@bp.route("/settings/members/<uuid:member_id>", methods=["GET", "POST"])
def member(member_id: UUID) -> Page:
    g.actor.require(Permission.MEMBER_MANAGE)
    row = members.get_member(db.session, g.actor, member_id)
    form = RolesForm(data={"roles": row.roles}) if request.method == "GET" else RolesForm()
    form.roles.choices = role_choices(ROLES_OF_KIND[g.actor.kind])
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                members.change_roles(session, g.actor, member_id, roles=form.roles.data)
        except Invalid as error:
            show_errors(form, error)
        else:
            flash(_("The roles of %(name)s are changed.", name=row.user.name or row.user.email), "success")
            return redirect(url_for("accounts.members"), 303)
    page = render_template("accounts/member.html", row=row, form=form, role_hints=ROLE_HINTS, tabs=tabs("members"))
    return page, 422 if form.errors else 200


@bp.post("/settings/members/<uuid:member_id>/remove")
def remove_member(member_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        row = members.remove_member(session, g.actor, member_id)
        name = row.user.name or row.user.email
    flash(_("%(name)s is no longer a member.", name=name), "success")
    return redirect(url_for("accounts.members"), 303)


@bp.post("/invitations/<uuid:invitation_id>/resend")
def resend_invitation(invitation_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        row, _token = invitations.resend_invitation(session, g.actor, invitation_id)
    flash(_("A new link is on its way to %(address)s. The old one no longer works.", address=row.email), "success")
    return redirect(_list_of(row.kind), 303)


@bp.post("/invitations/<uuid:invitation_id>/revoke")
def revoke_invitation(invitation_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        row = invitations.revoke_invitation(session, g.actor, invitation_id)
    flash(_("The invitation of %(address)s no longer works.", address=row.email), "success")
    return redirect(_list_of(row.kind), 303)


def _list_of(kind: InvitationKind) -> str:
    return url_for("accounts.members" if kind is InvitationKind.MEMBER else "accounts.partner_invitations")


def _key_form() -> KeyForm:
    form = KeyForm()
    form.scopes.choices = [one for one in form.scopes.choices if one.value in g.actor.permissions]
    return form


def _scope_groups(form: KeyForm) -> list[tuple[object, list[object]]]:
    """The tick boxes of the scopes by area, in the order of the chain."""
    groups: dict[str, list[object]] = {}
    for box in form.scopes:
        groups.setdefault(str(box.data).partition(":")[0], []).append(box)
    return [(SCOPE_AREAS.get(area, area), boxes) for area, boxes in groups.items()]


def _keys_page(form: KeyForm, *, secret: str | None = None, made: ApiKey | None = None, status: int = 200) -> Page:
    page = render_template(
        "accounts/keys.html", rows=keys.list_keys(db.session, g.actor), form=form, secret=secret, made=made,
        groups=_scope_groups(form), now=clock.now(), tabs=tabs("keys"),
        people={one.user_id: one.user.name or one.user.email for one in queries.list_members(db.session, g.actor)},
    )  # fmt: skip
    return page, status


@bp.get("/settings/keys", endpoint="keys")
def keys_list() -> Page:
    g.actor.require(Permission.APIKEY_MANAGE)
    return _keys_page(_key_form())


@bp.post("/settings/keys")
def make_key() -> Page:
    """The answer shows the secret, once; it is in no redirect, log or history."""
    form = _key_form()
    g.actor.require(Permission.APIKEY_MANAGE)
    if not form.validate_on_submit():
        return _keys_page(form, status=422)
    scopes = form.scopes.data if form.reach.data == "some" else ()
    if form.reach.data == "some" and not scopes:
        form.scopes.errors = [_("Tick at least one, or let the key do all that you may.")]
        return _keys_page(form, status=422)
    expires_at = clock.now() + timedelta(days=int(form.life.data)) if form.life.data else None
    try:
        with unit_of_work(g.actor) as session:
            made, secret = keys.make_key(session, g.actor, name=form.name.data, scopes=scopes, expires_at=expires_at)
    except Invalid as error:
        show_errors(form, error)
        return _keys_page(form, status=422)
    return _keys_page(KeyForm(formdata=None), secret=secret, made=made, status=201)


@bp.post("/settings/keys/<uuid:key_id>/revoke")
def revoke_key(key_id: UUID) -> Page:
    with unit_of_work(g.actor) as session:
        row = keys.revoke_key(session, g.actor, key_id)
    flash(_("The key %(name)s no longer works.", name=row.name), "success")
    return redirect(url_for("accounts.keys"), 303)


@bp.route("/settings/terms", methods=["GET", "POST"])
def terms() -> Page:
    g.actor.require(Permission.TERMS_MANAGE)
    g.actor.require_kind(Kind.VENDOR)
    versions = onboarding.list_terms(db.session, g.actor)
    form = TermsForm() if request.method == "POST" else TermsForm(data={"body": versions[0].body if versions else ""})
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                made = onboarding.publish_terms(
                    session, g.actor, body=form.body.data, effective_on=form.effective_on.data
                )
        except Invalid as error:
            show_errors(form, error)
        else:
            flash(_("Version %(number)s is published. Partners are asked to accept it.", number=made.number), "success")
            return redirect(url_for("accounts.terms"), 303)
    counts = {one.id: onboarding.count_accepted(db.session, g.actor, one) for one in versions[:10]}
    page = render_template("accounts/terms.html", form=form, versions=versions[:10], counts=counts, tabs=tabs("terms"))
    return page, 422 if form.errors else 200
