"""Forms of accounts. They check the shape; the rules are the services'."""

from __future__ import annotations

from zoneinfo import available_timezones

from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DateField,
    EmailField,
    PasswordField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
    URLField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Email, Length, Optional
from wtforms.widgets import CheckboxInput

from tcma.access import Permission, Role
from tcma.accounts.partners import TIERS
from tcma.errors import Invalid

_LANGUAGES = {
    "en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "nl": "Nederlands", "it": "Italiano",
}  # fmt: skip
LOCALES = [SelectChoice(value, label) for value, label in _LANGUAGES.items()]

ROLE_WORDS = {
    Role.VENDOR_ADMIN: _l("Administrator"),
    Role.VENDOR_MARKETER: _l("Marketer"),
    Role.CHANNEL_MANAGER: _l("Channel manager"),
    Role.FINANCE: _l("Finance"),
    Role.PARTNER_ADMIN: _l("Administrator"),
    Role.PARTNER_MARKETER: _l("Marketer"),
    Role.OPERATOR: _l("Operator"),
}
ROLE_HINTS = {
    Role.VENDOR_ADMIN: _l("Everything of marketing, plus members, keys, terms and funds"),
    Role.VENDOR_MARKETER: _l("Campaigns, kits and results"),
    Role.CHANNEL_MANAGER: _l("Partners, requests and the programme"),
    Role.FINANCE: _l("Funds, claims and payments"),
    Role.PARTNER_ADMIN: _l("Everything of marketing, plus members, keys and bank details"),
    Role.PARTNER_MARKETER: _l("Launches, contacts, leads and claims"),
    Role.OPERATOR: _l("Runs the service"),
}
_PASSWORD_HELP = _l("At least 10 characters. Three or four words make a good one.")


class TicksField(SelectMultipleField):  # type: ignore[misc]
    """Several of a few, each a tick box."""

    option_widget = CheckboxInput()


def show_errors(form: FlaskForm, error: Invalid) -> None:
    """Put a service's words at the fields that they are about, and the rest at the top."""
    for name, words in error.fields.items():
        if name in form._fields:
            form[name].errors = [*form[name].errors, words]
        else:
            form.form_errors.append(words)


def zones() -> list[str]:
    """IANA zones that people choose from: places, and UTC."""
    areas = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    return ["UTC", *sorted(name for name in available_timezones() if name.startswith(areas))]


def countries() -> list[SelectChoice]:
    """Countries by their name in the reader's language, with none at first."""
    names = get_locale().territories
    found = sorted(
        (
            (code, name)
            for code, name in names.items()
            if len(code) == 2 and code not in ("EU", "EZ", "UN", "ZZ", "XA", "XB", "QO")
        ),
        key=lambda pair: pair[1],
    )
    return [SelectChoice("", str(_l("Choose"))), *(SelectChoice(code, name) for code, name in found)]


def role_choices(roles: tuple[Role, ...]) -> list[SelectChoice]:
    return [SelectChoice(str(role), ROLE_WORDS[role]) for role in roles]


class ProfileForm(FlaskForm):  # type: ignore[misc]
    name = StringField(
        _l("Your name"), validators=[DataRequired(_l("Enter your name; colleagues see it.")), Length(max=120)]
    )
    locale = SelectField(_l("Dates and numbers as in"), choices=LOCALES)
    timezone = SelectField(_l("Time zone"), choices=zones)


class OrganizationForm(FlaskForm):  # type: ignore[misc]
    name = StringField(_l("Name"), validators=[DataRequired(_l("Give the organization a name.")), Length(max=120)])
    color = StringField(_l("Colour"), description=_l("Partners see your campaigns with this accent."))
    timezone = SelectField(_l("Time zone"), choices=zones)
    open_to_applications = BooleanField(_l("Companies may apply to become a partner"))


class InviteMemberForm(FlaskForm):  # type: ignore[misc]
    email = EmailField(
        _l("Email address"),
        validators=[DataRequired(_l("Enter an address.")), Email(_l("This is not an email address."))],
    )
    name = StringField(_l("Name"), validators=[Length(max=120)])
    roles = TicksField(_l("Roles"), validators=[DataRequired(_l("Choose at least one role."))])


class RolesForm(FlaskForm):  # type: ignore[misc]
    roles = TicksField(_l("Roles"), validators=[DataRequired(_l("Choose at least one role."))])


class KeyForm(FlaskForm):  # type: ignore[misc]
    name = StringField(
        _l("What uses it"), description=_l("You find it again by this, for example CRM sync."),
        validators=[DataRequired(_l("Name the key after what uses it.")), Length(max=80)],
    )  # fmt: skip
    life = SelectField(
        _l("Works for"),
        choices=[
            SelectChoice("30", _l("30 days")), SelectChoice("90", _l("90 days")), SelectChoice("365", _l("One year")),
            SelectChoice("", _l("Until it is revoked")),
        ],
        default="90",
    )  # fmt: skip
    reach = RadioField(
        _l("It may"),
        choices=[SelectChoice("all", _l("Do all that I may")), SelectChoice("some", _l("Only what is ticked"))],
        default="all",
    )  # fmt: skip
    scopes = TicksField(_l("Scopes"), choices=[SelectChoice(str(one), str(one)) for one in Permission])


class TermsForm(FlaskForm):  # type: ignore[misc]
    body = TextAreaField(_l("Terms"), validators=[DataRequired(_l("Write the terms.")), Length(min=20, max=100_000)])
    effective_on = DateField(_l("In force from"), validators=[Optional()])


class InvitePartnerForm(FlaskForm):  # type: ignore[misc]
    company = StringField(
        _l("Company"), validators=[DataRequired(_l("Give the name of the company.")), Length(max=120)]
    )
    email = EmailField(
        _l("Email address"),
        validators=[DataRequired(_l("Enter an address.")), Email(_l("This is not an email address."))],
    )
    name = StringField(_l("Name of the person"), validators=[Length(max=120)])
    tier = SelectField(_l("Tier"), choices=list(TIERS), default=TIERS[0])
    territory = StringField(
        _l("Territory"), description=_l("For example Germany, Austria"), validators=[Length(max=80)]
    )


class PartnershipForm(FlaskForm):  # type: ignore[misc]
    tier = SelectField(_l("Tier"), choices=list(TIERS))
    territory = StringField(_l("Territory"), validators=[Length(max=80)])


class ReasonForm(FlaskForm):  # type: ignore[misc]
    reason = TextAreaField(
        _l("Why"), description=_l("The partner reads this."),
        validators=[DataRequired(_l("Say why; the partner reads it.")), Length(max=500)],
    )  # fmt: skip


class JoinForm(FlaskForm):  # type: ignore[misc]
    """For a person without an account: name and password; partners name their company as well."""

    company = StringField(_l("Company"), validators=[Length(max=120)])
    name = StringField(
        _l("Your name"), validators=[DataRequired(_l("Enter your name; colleagues see it.")), Length(max=120)]
    )
    password = PasswordField(
        _l("Password"), description=_PASSWORD_HELP, validators=[DataRequired(_l("Choose a password."))]
    )


class JoinSignedInForm(FlaskForm):  # type: ignore[misc]
    """For a person who is signed in: which organization joins."""

    organization = RadioField(_l("Join with"), validators=[Optional()])
    company = StringField(_l("Name of the new organization"), validators=[Length(max=120)])


class ApplyForm(FlaskForm):  # type: ignore[misc]
    company = StringField(
        _l("Company"), validators=[DataRequired(_l("Give the name of your company.")), Length(max=120)]
    )
    name = StringField(_l("Your name"), validators=[DataRequired(_l("Give your own name.")), Length(max=120)])
    email = EmailField(
        _l("Work email address"),
        validators=[DataRequired(_l("Enter your address.")), Email(_l("This is not an email address."))],
    )
    territory = StringField(_l("Where you sell"), validators=[Length(max=80)])
    note = TextAreaField(_l("Why you want to work together"), validators=[Length(max=1000)])


class TermsAcceptForm(FlaskForm):  # type: ignore[misc]
    agree = BooleanField(
        _l("I have read these terms and accept them for my organization."),
        validators=[DataRequired(_l("Tick this to accept the terms."))],
    )
    terms_version_id = StringField()


class CompanyForm(FlaskForm):  # type: ignore[misc]
    legal_name = StringField(
        _l("Legal name"),
        description=_l("As it stands in the register"),
        validators=[DataRequired(_l("Give the legal name.")), Length(max=160)],
    )
    postal_address = TextAreaField(
        _l("Postal address"), description=_l("Every mail to your customers shows it; the law asks for it."),
        validators=[DataRequired(_l("Give street, town and country.")), Length(max=400)],
    )  # fmt: skip
    country = SelectField(_l("Country"), choices=countries, validators=[DataRequired(_l("Choose the country."))])
    contact_email = EmailField(
        _l("Contact address"),
        validators=[DataRequired(_l("Enter an address.")), Email(_l("This is not an email address."))],
    )
    phone = StringField(_l("Phone"), validators=[Length(max=40)])
    website = URLField(_l("Website"), validators=[Length(max=200)])
