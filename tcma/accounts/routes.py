"""Pages of accounts: one's own profile, switching, and the modules with the other pages."""

from __future__ import annotations

from flask import flash, g, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user

import tcma.accounts.joining_pages
import tcma.accounts.partner_pages
import tcma.accounts.settings_pages  # noqa: F401  (each fills the blueprint)
from tcma.accounts import services
from tcma.accounts.blueprint import Page, bp
from tcma.accounts.forms import ProfileForm, show_errors
from tcma.db import unit_of_work
from tcma.errors import Invalid, NotFound

blueprints = [bp]


@bp.app_context_processor
def shell_urls() -> dict[str, dict[str, str]]:
    """Where the frame of every page finds what belongs to the person."""
    return {
        "shell_urls": {
            "switch": url_for("accounts.switch"),
            "profile": url_for("accounts.me"),
            "settings": url_for("accounts.settings_home"),
            "sign_out": url_for("security.logout"),
        }
    }


@bp.get("/no-organization")
def no_organization() -> Page:
    if g.actor is not None:
        return redirect("/")
    return render_template("accounts/no_organization.html", address=current_user.email)


@bp.post("/switch")
def switch() -> Page:
    """Act for another of one's organizations from now on; NotFound for one that is not."""
    wanted = request.form.get("organization", "")
    chosen = next((one for one in g.organizations if str(one.id) == wanted), None)
    if chosen is None:
        raise NotFound("You are not a member of that organization. Choose one from the list at the top of the page.")
    with unit_of_work(g.actor) as unit:
        services.remember_organization(unit, g.actor, chosen.id)
    session["organization"] = wanted
    flash(_("You now act for %(name)s.", name=chosen.name), "info")
    return redirect("/", 303)


@bp.route("/me", methods=["GET", "POST"])
def me() -> Page:
    user = current_user._get_current_object()
    form = ProfileForm(obj=user)
    if form.validate_on_submit():
        try:
            with unit_of_work(g.actor) as unit:
                services.save_profile(
                    unit, g.actor, name=form.name.data, locale=form.locale.data, timezone=form.timezone.data
                )
        except Invalid as error:
            show_errors(form, error)
        else:
            flash(_("Saved."), "success")
            return redirect(url_for("accounts.me"), 303)
    page = render_template("accounts/me.html", form=form, user=user, memberships=g.organizations)
    return page, 422 if form.errors else 200
