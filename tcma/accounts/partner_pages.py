"""The vendor's Partners pages."""

from __future__ import annotations

from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, stream_with_context, url_for
from flask_babel import gettext as _

from tcma import audit, clock
from tcma.access import Kind, Permission
from tcma.accounts import invitations, onboarding, partners, queries, queries_partners
from tcma.accounts.blueprint import Page, bp
from tcma.accounts.forms import InvitePartnerForm, PartnershipForm, ReasonForm, show_errors
from tcma.accounts.models import Partnership
from tcma.accounts.states import InvitationKind, PartnershipStatus
from tcma.csvfile import Cell, write_csv
from tcma.db import db, unit_of_work
from tcma.errors import Invalid

CSV_HEADER = [
    "partner", "status", "tier", "territory", "country", "invited_at", "applied_at", "activated_at",
    "first_signed_in_at", "terms_accepted_at", "profile_completed_at", "first_launch_at", "last_active_at",
]  # fmt: skip


def _as_vendor() -> None:
    g.actor.require(Permission.PARTNER_READ)
    g.actor.require_kind(Kind.VENDOR)
    g.nav_at = "partners"


def _status() -> PartnershipStatus | None:
    wanted = request.args.get("status", "")
    return PartnershipStatus(wanted) if wanted in list(PartnershipStatus) else None


def _tabs(at: str, waiting: int) -> list[dict[str, object]]:
    return [
        {"label": _("Partners"), "href": url_for("accounts.partners"), "active": at == "partners"},
        {
            "label": _("Invitations"), "href": url_for("accounts.partner_invitations"), "active": at == "invitations",
            "count": waiting,
        },
    ]  # fmt: skip


def steps_done(row: Partnership) -> int:
    return sum(moment is not None for moment in (row.terms_accepted_at, row.profile_completed_at, row.first_launch_at))


@bp.get("/partners", endpoint="partners")
def partners_list() -> Page:
    _as_vendor()
    search, status, tier = request.args.get("q", ""), _status(), request.args.get("tier", "")
    if request.args.get("format") == "csv":
        rows = queries_partners.every_partner(db.session, g.actor, search=search, status=status, tier=tier)
        lines = write_csv((_cells(row) for row in rows), CSV_HEADER, bom=True)
        return Response(
            stream_with_context(lines), mimetype="text/csv",
            headers={"Content-Disposition": "attachment; filename=partners.csv"},
        )  # fmt: skip
    page = queries_partners.page_of_partners(
        db.session, g.actor, search=search, status=status, tier=tier, after=request.args.get("after"),
        before=request.args.get("before"),
    )  # fmt: skip
    waiting = queries_partners.list_invitations(db.session, g.actor, InvitationKind.PARTNER)
    return render_template(
        "accounts/partners.html", page=page, counts=queries_partners.count_by_status(db.session, g.actor),
        tiers=queries_partners.tiers_in_use(db.session, g.actor), steps_done=steps_done, waiting=len(waiting),
        tabs=_tabs("partners", len(waiting)),
    )  # fmt: skip


def _cells(row: Partnership) -> list[Cell]:
    return [
        row.partner.name, str(row.status), row.tier, row.territory, row.partner.country, row.invited_at, row.applied_at,
        row.activated_at, row.first_signed_in_at, row.terms_accepted_at, row.profile_completed_at, row.first_launch_at,
        row.last_active_at,
    ]  # fmt: skip


@bp.get("/partners/invitations")
def partner_invitations() -> Page:
    _as_vendor()
    rows = queries_partners.list_invitations(db.session, g.actor, InvitationKind.PARTNER, InvitationKind.APPLICATION)
    search = request.args.get("q", "").strip().lower()
    shown = [one for one in rows if search in one.company.lower() or search in one.email]
    if request.args.get("format") == "csv":
        cells: list[list[Cell]] = [
            [one.company, one.email, one.tier, one.territory, one.created_at, one.expires_at] for one in shown
        ]
        lines = "".join(
            write_csv(cells, ["company", "email", "tier", "territory", "invited_at", "expires_at"], bom=True)
        )
        return Response(
            lines, mimetype="text/csv", headers={"Content-Disposition": "attachment; filename=invitations.csv"}
        )
    invited = sum(one.kind is InvitationKind.PARTNER for one in rows)
    return render_template(
        "accounts/partner_invitations.html", rows=shown, now=clock.now(), tabs=_tabs("invitations", invited)
    )


@bp.route("/partners/invite", methods=["GET", "POST"])
def invite_partner() -> Page:
    _as_vendor()
    g.actor.require(Permission.PARTNER_MANAGE)
    form = InvitePartnerForm()
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as session:
                invitations.invite_partner(
                    session, g.actor, company=form.company.data, email=form.email.data, name=form.name.data or "",
                    tier=form.tier.data, territory=form.territory.data or "",
                )  # fmt: skip
        except Invalid as error:
            show_errors(form, error)
        else:
            flash(_("An invitation is on its way to %(address)s.", address=form.email.data), "success")
            return redirect(url_for("accounts.partner_invitations"), 303)
    row = queries.get_organization(db.session, g.actor.organization_id)
    page = render_template("accounts/invite_partner.html", form=form, row=row)
    return page, 422 if form.errors else 200


def _partner_page(
    partner_id: UUID, *, form: PartnershipForm | None = None, reason: ReasonForm | None = None, asked: str = ""
) -> Page:
    row = queries.get_partnership(db.session, g.actor, partner_id)
    form = form or PartnershipForm(formdata=None, obj=row)
    if row.tier not in form.tier.choices:
        form.tier.choices = [row.tier, *form.tier.choices]
    page = render_template(
        "accounts/partner.html", row=row, form=form, reason=reason or ReasonForm(formdata=None), asked=asked,
        steps=onboarding.steps(db.session, g.actor, row),
        came_by=queries_partners.invitation_of(db.session, g.actor, partner_id),
        acceptances=onboarding.list_acceptances(db.session, g.actor, partner_id),
        history=_history(row), may=g.actor.may(Permission.PARTNER_MANAGE),
    )  # fmt: skip
    return page, 422 if form.errors or (reason is not None and reason.errors) else 200


def _history(row: Partnership) -> list[dict[str, object]]:
    """The partnership's audit rows in words, the newest first."""
    words = {
        "partnership.start": (_("began the partnership"), "plus", "neutral"),
        "partnership.activate": (_("opened the programme"), "circle-check", "good"),
        "partnership.approve": (_("approved the application"), "check", "good"),
        "partnership.decline": (_("declined the application"), "circle-x", "bad"),
        "partnership.suspend": (_("suspended the partnership"), "player-pause", "warn"),
        "partnership.end": (_("ended the partnership"), "circle-minus", "neutral"),
        "partnership.apply": (_("applied again"), "user-plus", "info"),
        "partnership.change": (_("changed tier or territory"), "pencil", "neutral"),
        "terms.accept": (_("accepted the terms"), "file-text", "good"),
    }
    people = {one.user_id: one.user.name for one in queries.list_members(db.session, g.actor)}
    rows = []
    for event in reversed(audit.history(db.session, row)):
        what, icon, tone = words.get(event.action, (event.action, "point", "neutral"))
        known = people.get(event.actor_user_id) if event.actor_user_id else None
        by_partner = event.actor_organization_id == row.partner_id
        who = known or (row.partner.name if by_partner else _("The service"))
        rows.append(
            {
                "who": who,
                "what": what,
                "when": event.at,
                "icon": icon,
                "tone": tone,
                "note": event.reason,
            }
        )
    return rows


@bp.route("/partners/<uuid:partner_id>", methods=["GET", "POST"])
def partner(partner_id: UUID) -> Page:
    _as_vendor()
    if request.method == "GET":
        return _partner_page(partner_id, asked=request.args.get("ask", ""))
    form = PartnershipForm()
    form.tier.choices = list({*form.tier.choices, form.tier.data or ""})
    if not form.validate_on_submit():
        return _partner_page(partner_id, form=form)
    try:
        with unit_of_work(g.actor) as session:
            partners.change_partnership(
                session, g.actor, partner_id, tier=form.tier.data, territory=form.territory.data or ""
            )
    except Invalid as error:
        show_errors(form, error)
        return _partner_page(partner_id, form=form)
    flash(_("Saved."), "success")
    return redirect(url_for("accounts.partner", partner_id=partner_id), 303)


@bp.post("/partners/<uuid:partner_id>/approve")
def approve_application(partner_id: UUID) -> Page:
    _as_vendor()
    with unit_of_work(g.actor) as session:
        partners.approve_application(session, g.actor, partner_id)
    flash(_("The application is approved, and the partner knows."), "success")
    return redirect(url_for("accounts.partner", partner_id=partner_id), 303)


@bp.post("/partners/<uuid:partner_id>/reactivate")
def reactivate_partner(partner_id: UUID) -> Page:
    _as_vendor()
    with unit_of_work(g.actor) as session:
        partners.reactivate_partnership(session, g.actor, partner_id)
    flash(_("The programme is open to the partner again."), "success")
    return redirect(url_for("accounts.partner", partner_id=partner_id), 303)


@bp.post("/partners/<uuid:partner_id>/decline", endpoint="decline_application", defaults={"verb": "decline"})
@bp.post("/partners/<uuid:partner_id>/suspend", endpoint="suspend_partner", defaults={"verb": "suspend"})
@bp.post("/partners/<uuid:partner_id>/end", endpoint="end_partner", defaults={"verb": "end"})
def close_partner(partner_id: UUID, verb: str) -> Page:
    """Moves that need a reason, which the partner reads."""
    _as_vendor()
    service, said = {
        "decline": (partners.decline_application, _("The application is declined, and the applicant knows why.")),
        "suspend": (partners.suspend_partnership, _("The partnership is suspended, and the partner knows why.")),
        "end": (partners.end_partnership, _("The partnership has ended, and the partner knows why.")),
    }[verb]
    form = ReasonForm()
    if not form.validate_on_submit():
        return _partner_page(partner_id, reason=form, asked=verb)
    with unit_of_work(g.actor) as session:
        service(session, g.actor, partner_id, reason=form.reason.data)
    flash(said, "success")
    return redirect(url_for("accounts.partner", partner_id=partner_id), 303)
