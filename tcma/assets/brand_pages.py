"""The partner's brand profile: its page, its logo, and the logo as mails fetch it."""

from __future__ import annotations

from uuid import UUID

from flask import Response, flash, g, redirect, render_template, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from wtforms.fields.choices import SelectChoice

from tcma.access import Kind, Permission
from tcma.assets import palette, queries, services, showing
from tcma.assets.blueprint import Page, bp, picture_answer
from tcma.assets.forms import BrandForm, LogoForm, put_faults
from tcma.assets.models import BrandProfile
from tcma.db import db, unit_of_work
from tcma.errors import Invalid


def _as_partner() -> None:
    g.actor.require_kind(Kind.PARTNER)
    g.actor.require(Permission.BRAND_READ)


@bp.route("/brand", methods=["GET", "POST"])
def brand() -> Page:
    _as_partner()
    form = _form()
    if form.validate_on_submit():
        fields = {name: form[name].data or "" for name in services.BRAND_LIMITS}
        try:
            with unit_of_work(g.actor) as session:
                services.save_brand(session, g.actor, **fields)
            flash(_("Saved. Everything that wears your brand has it from now on."), "success")
            return redirect(url_for("assets.brand"), 303)
        except Invalid as wrong:
            put_faults(form, wrong)
    return _page(form=form)


def _form(*, empty: bool = False) -> BrandForm:
    found = queries.find_brand(db.session, g.actor.organization_id)
    present = found or BrandProfile(name=g.actor.organization_name, color="#1f4e8c", accent_color="#f2a33a")
    form = BrandForm(formdata=None, obj=present) if empty else BrandForm(obj=present)
    names = get_locale().territories
    pairs = sorted((names[code], code) for code in names if len(code) == 2 and code.isalpha())
    form.country.choices = [SelectChoice("", _("Choose")), *(SelectChoice(code, name) for name, code in pairs)]
    return form


def _page(*, form: BrandForm | None = None, logo: LogoForm | None = None) -> Page:
    found = queries.find_brand(db.session, g.actor.organization_id)
    values = queries.brand_values(db.session, g.actor.organization_id)
    form, logo = form or _form(empty=True), logo or LogoForm(formdata=None)
    page = render_template(
        "assets/brand.html", brand=found, form=form, logo=logo, gaps=queries.brand_gaps(values),
        hints={name: contrast_hint(values[name]) for name in ("color", "accent_color") if values[name]},
    )  # fmt: skip
    return page, 422 if form.errors or logo.errors else 200


def contrast_hint(color: str) -> str:
    """How words read on the colour (WCAG 2.2, 1.4.3 asks for 4.5 to 1)."""
    white, dark = palette.contrast(color, "#ffffff"), palette.contrast(color, "#111827")
    words = _("white") if white >= dark else _("dark")
    best = max(white, dark)
    if white >= 4.5:
        return str(_("White words read well on it: %(ratio)s to 1.", ratio=f"{white:.1f}"))
    hard = _(
        "White words are hard to read on it (%(white)s to 1, good is 4.5). We write %(words)s ones there, %(best)s to 1.",
        white=f"{white:.1f}", words=words, best=f"{best:.1f}",
    )  # fmt: skip
    return str(hard)


@bp.post("/brand/logo")
def brand_set_logo() -> Page:
    _as_partner()
    form = LogoForm()
    file = form.file.data
    if not file or not file.filename:
        form.validate()
        form.file.errors = [_("Choose a file first.")]
        return _page(logo=form)
    if form.validate():
        try:
            with unit_of_work(g.actor) as session:
                found = services.take_logo(session, g.actor, data=file.read())[1]
            flash(_("Your logo is in place. Its colours: %(colors)s.", colors=", ".join(found.colors)), "success")
            if found.advice:
                flash(found.advice, "info")
            return redirect(url_for("assets.brand"), 303)
        except Invalid as wrong:
            put_faults(form, Invalid({"file": wrong.message}))
    return _page(logo=form)


@bp.get("/brand/logo/<any(light,dark):ground>.png")
def own_logo(ground: str) -> Response:
    g.actor.require(Permission.BRAND_READ)
    return picture_answer(showing.own_logo(db.session, g.actor, dark=ground == "dark"), "image/png")


@bp.get("/b/<uuid:partner_id>/<mark>.png")
def brand_logo(partner_id: UUID, mark: str) -> Response:
    """The logo as mails and landing pages show it: public, on the tracking origin, cached for ever."""
    return picture_answer(showing.public_logo(db.session, partner_id, mark), "image/png", public=True)
