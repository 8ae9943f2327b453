"""Forms of accounts. They check the shape; the rules are the services'."""

from __future__ import annotations

from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length

_LANGUAGES = {
    "en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "nl": "Nederlands", "it": "Italiano",
}  # fmt: skip
LOCALES = [SelectChoice(value, label) for value, label in _LANGUAGES.items()]


def zones() -> list[str]:
    """IANA zones that people choose from: places, and UTC."""
    areas = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    return ["UTC", *sorted(name for name in available_timezones() if name.startswith(areas))]


class ProfileForm(FlaskForm):  # type: ignore[misc]
    name = StringField(
        _l("Your name"), validators=[DataRequired(_l("Enter your name; colleagues see it.")), Length(max=120)]
    )
    locale = SelectField(_l("Dates and numbers as in"), choices=LOCALES)
    timezone = SelectField(_l("Time zone"), choices=zones)
