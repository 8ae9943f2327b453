"""The way in: applying, joining by a link, and the first steps of a partner."""

from __future__ import annotations

from uuid import UUID

from flask import current_app, flash, g, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user, logout_user
from flask_security import login_user
from wtforms.fields.choices import SelectChoice

from tcma.access import Kind, Permission
from tcma.accounts import invitations, onboarding, queries
from tcma.accounts.blueprint import Page, bp
from tcma.accounts.forms import ApplyForm, CompanyForm, JoinForm, JoinSignedInForm, TermsAcceptForm, show_errors
from tcma.accounts.models import Invitation, Organization, Partnership, User
from tcma.accounts.sign_in import signed_in
from tcma.accounts.states import InvitationKind, PartnershipStatus
from tcma.db import db, unit_of_work
from tcma.errors import Invalid

NEW = "new"


@bp.route("/apply/<slug>", methods=["GET", "POST"])
def apply(slug: str) -> Page:
    """A company asks to become a partner; the address is proved by mail before the vendor hears of it."""
    vendor = invitations.find_open_vendor(db.session, slug)
    form = ApplyForm()
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as unit:
                invitations.apply_to_vendor(
                    unit, slug=slug, company=form.company.data, email=form.email.data, name=form.name.data,
                    territory=form.territory.data or "", note=form.note.data or "", host=request.remote_addr or "",
                )  # fmt: skip
        except Invalid as error:
            show_errors(form, error)
        else:
            return redirect(url_for("accounts.applied", slug=slug), 303)
    return render_template("accounts/apply.html", form=form, vendor=vendor), 422 if form.errors else 200


@bp.get("/apply/<slug>/sent")
def applied(slug: str) -> Page:
    return render_template("accounts/applied.html", vendor=invitations.find_open_vendor(db.session, slug))


@bp.route("/join/<token>", methods=["GET", "POST"])
def join(token: str) -> Page:
    """Where the link of an invitation or application leads. Reading the page changes nothing."""
    try:
        invitation, inviter = invitations.find_by_token(db.session, token)
    except invitations.LinkClosed as closed:
        return _closed(closed)
    user: User | None = current_user._get_current_object() if signed_in() else None
    if user is not None and user.email != invitation.email:
        return _private(
            render_template("accounts/join_other.html", invitation=invitation, inviter=inviter, user=user), 403
        )
    if user is None and invitations.needs_sign_in(db.session, invitation):
        return _private(render_template("accounts/join_sign_in.html", invitation=invitation, inviter=inviter), 200)
    form = (
        _signed_in_form(invitation, user)
        if user is not None
        else JoinForm(
            formdata=request.form if request.method == "POST" else None,
            name=invitation.name,
            company=invitation.company,
        )
    )
    if form.validate_on_submit():
        try:
            return _joined(token, invitation, user, form)
        except invitations.LinkClosed as closed:
            return _closed(closed)
        except Invalid as error:
            show_errors(form, error)
            # The rollback let go of both rows, and without the token nobody here may read them.
            invitation, inviter = invitations.find_by_token(db.session, token)
    page = render_template(
        "accounts/join.html", form=form, invitation=invitation, inviter=inviter, user=user,
        is_member=invitation.kind is InvitationKind.MEMBER, NEW=NEW,
    )  # fmt: skip
    return _private(page, 422 if form.errors else 200)


def _closed(closed: invitations.LinkClosed) -> Page:
    page = render_template("accounts/link_closed.html", closed=closed, signed_in=signed_in())
    return _private(page, 404 if closed.why == "unknown" else 410)


def _private(page: str, status: int) -> Page:
    """The address of the page is a secret: it goes to no other site."""
    response = make_response(page, status)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _signed_in_form(invitation: Invitation, user: User) -> JoinSignedInForm:
    form = JoinSignedInForm(company=invitation.company)
    choices = [] if invitation.kind is InvitationKind.MEMBER else invitations.partner_choices(db.session, user.id)
    form.organization.choices = [SelectChoice(str(one.id), one.name) for one in choices]
    if choices:
        form.organization.choices.append(SelectChoice(NEW, _("A new organization")))
        if request.method == "GET":
            form.organization.data = str(choices[0].id)
    return form


def _joined(token: str, invitation: Invitation, user: User | None, form: JoinForm | JoinSignedInForm) -> Page:
    chosen = form.organization.data if isinstance(form, JoinSignedInForm) else None
    with unit_of_work(g.actor) as unit:
        joined, place = invitations.accept_invitation(
            unit, token, user=user,
            name=form.name.data if isinstance(form, JoinForm) else "",
            password=form.password.data if isinstance(form, JoinForm) else "",
            organization_id=UUID(chosen) if chosen and chosen != NEW else None,
            company=form.company.data or "",
        )  # fmt: skip
    if user is None:
        login_user(joined, authn_via=["invitation"])
        db.session.commit()
    session["organization"] = str(place)
    if invitation.kind is InvitationKind.MEMBER:
        flash(_("Welcome. You are a member now."), "success")
        return redirect("/", 303)
    return redirect(url_for("accounts.onboarding"), 303)


@bp.post("/join/<token>/other")
def join_as_other(token: str) -> Page:
    """Sign out, then open the link as the person whom it is for."""
    logout_user()
    session.clear()
    return redirect(url_for("accounts.join", token=token), 303)


def _vendor_id() -> UUID | None:
    try:
        return UUID(request.args.get("vendor", ""))
    except ValueError:
        return None


@bp.get("/onboarding", endpoint="onboarding")
def onboarding_page() -> Page:
    """The first steps of a partner, at the place where it left."""
    row = _own_partnership()
    return _onboarding_page(row)


def _own_partnership() -> Partnership:
    g.actor.require_kind(Kind.PARTNER)
    return onboarding.next_partnership(db.session, g.actor, vendor_id=_vendor_id())


def _onboarding_page(
    row: Partnership, *, agree: TermsAcceptForm | None = None, company: CompanyForm | None = None, at: str = ""
) -> Page:
    steps = onboarding.steps(db.session, g.actor, row)
    first_open = next((one.key for one in steps if not one.done), "done")
    wanted = at or request.args.get("step", "")
    terms = onboarding.current_terms(db.session, row.vendor_id)
    page = render_template(
        "accounts/onboarding.html", row=row, steps=steps,
        step_now=wanted if wanted in [one.key for one in steps] else first_open,
        terms=terms, agree=agree or TermsAcceptForm(formdata=None, terms_version_id=str(terms.id) if terms else ""),
        company=company or _company_form(), brand_url=_url_if_there("assets.brand"),
        catalogue_url=_url_if_there("campaigns.catalogue"), PartnershipStatus=PartnershipStatus,
        others=[one for one in queries.list_partnerships(db.session, g.actor) if one.id != row.id],
        may_accept=g.actor.may(Permission.TERMS_ACCEPT),
    )  # fmt: skip
    return page, 422 if (agree and agree.errors) or (company and company.errors) else 200


def _company_form() -> CompanyForm:
    own: Organization = queries.get_organization(db.session, g.actor.organization_id)
    form = CompanyForm(formdata=None, obj=own)
    form.contact_email.data = own.contact_email or g.actor.email
    return form


def _url_if_there(endpoint: str) -> str:
    return url_for(endpoint) if endpoint in current_app.view_functions else "/"


@bp.post("/onboarding/terms")
def accept_terms() -> Page:
    row = _own_partnership()
    form = TermsAcceptForm()
    if not form.validate_on_submit():
        return _onboarding_page(row, agree=form, at="terms")
    try:
        version = UUID(form.terms_version_id.data or "")
    except ValueError:
        version = None
    with unit_of_work(g.actor) as unit:
        onboarding.accept_terms(
            unit, g.actor, vendor_id=row.vendor_id, terms_version_id=version, address=request.remote_addr or "",
            agent=request.headers.get("User-Agent", ""),
        )  # fmt: skip
    return redirect(url_for("accounts.onboarding", vendor=row.vendor_id), 303)


@bp.post("/onboarding/profile")
def save_company() -> Page:
    row = _own_partnership()
    form = CompanyForm()
    if not form.validate_on_submit():
        return _onboarding_page(row, company=form, at="profile")
    try:
        with unit_of_work(g.actor) as unit:
            onboarding.save_company(
                unit, g.actor, legal_name=form.legal_name.data, postal_address=form.postal_address.data,
                country=form.country.data, contact_email=form.contact_email.data, phone=form.phone.data or "",
                website=form.website.data or "",
            )  # fmt: skip
    except Invalid as error:
        show_errors(form, error)
        return _onboarding_page(row, company=form, at="profile")
    return redirect(url_for("accounts.onboarding", vendor=row.vendor_id), 303)
