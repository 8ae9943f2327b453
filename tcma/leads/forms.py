"""Forms of the lead pages."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice

from tcma.leads.states import RejectReason

REASONS = {
    RejectReason.NOT_A_FIT: _l("Not a fit"),
    RejectReason.NOT_REACHABLE: _l("Cannot be reached"),
    RejectReason.ALREADY_CUSTOMER: _l("Is a customer already"),
    RejectReason.COMPETITOR: _l("Is a competitor"),
    RejectReason.DUPLICATE: _l("Is there twice"),
    RejectReason.SPAM: _l("Is spam"),
    RejectReason.OTHER: _l("Something else"),
}


class RejectForm(FlaskForm):  # type: ignore[misc]
    reason = SelectField(_l("Why"), choices=[SelectChoice("", _l("Choose …")), *(SelectChoice(str(key), words) for key, words in REASONS.items())])
    words = StringField(_l("In your words"))


class WinForm(FlaskForm):  # type: ignore[misc]
    amount = StringField(_l("Amount won"))


class LoseForm(FlaskForm):  # type: ignore[misc]
    reason = StringField(_l("Why was it lost"))


class NoteForm(FlaskForm):  # type: ignore[misc]
    text = TextAreaField(_l("Note"))


class StepForm(FlaskForm):  # type: ignore[misc]
    next_step = StringField(_l("Next step"))
