"""Forms of a launch before it starts: its texts, its audience, its time, and a test mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    DateTimeLocalField,
    EmailField,
    Field,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from tcma.campaigns.slots import SlotDef, SlotKind
from tcma.errors import Invalid

PREFIX = "slot_"


class AudienceForm(FlaskForm):  # type: ignore[misc]
    """Whom to write to."""

    lists = SelectMultipleField(
        _l("Write to"), widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(), validate_choice=False
    )
    exclude_lists = SelectMultipleField(
        _l("But not to"), widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(), validate_choice=False
    )


class WhenForm(FlaskForm):  # type: ignore[misc]
    """Now, or at a time in the reader's own zone."""

    when = RadioField(
        _l("When"),
        choices=[SelectChoice("now", _l("Now")), SelectChoice("later", _l("At a chosen time"))],
        default="now",
    )
    at = DateTimeLocalField(_l("Time"), format="%Y-%m-%dT%H:%M", validators=[Optional()])

    def moment(self, zone: ZoneInfo) -> datetime:
        """The chosen time. Raises Invalid where none was."""
        given: datetime | None = self.at.data
        if given is None:
            raise Invalid({"at": "Choose a day and a time."})
        return given.replace(tzinfo=zone)


class TestMailForm(FlaskForm):  # type: ignore[misc]
    """A test mail to oneself."""

    __test__ = False
    address = EmailField(_l("Send a test to"), validators=[DataRequired(_l("Type an address."))])


class CancelForm(FlaskForm):  # type: ignore[misc]
    """Why a launch ends early."""

    reason = StringField(_l("Why"))


def slots_form(defined: Sequence[SlotDef], values: dict[str, str]) -> FlaskForm:
    """A form with one field for each slot, filled with `values` unless the request brings its own."""
    fields: dict[str, Any] = {PREFIX + slot.name: _field(slot) for slot in defined}
    made: type[FlaskForm] = type("SlotsForm", (FlaskForm,), fields)
    return made(data={PREFIX + name: value for name, value in values.items()})


def _field(slot: SlotDef) -> Field:
    common: dict[str, Any] = {"label": slot.label, "description": slot.help, "render_kw": {"maxlength": None}}
    if slot.kind is SlotKind.CHOICE:
        choices = [SelectChoice(one, one) for one in slot.choices]
        return SelectField(slot.label, description=slot.help, choices=choices, validate_choice=False)
    if slot.kind in (SlotKind.PARAGRAPH, SlotKind.RICH):
        rich = {"data-rich": ""} if slot.kind is SlotKind.RICH else {}
        return TextAreaField(**{**common, "render_kw": {"rows": 5, **rich}})
    return StringField(slot.label, description=slot.help)


def typed_slots(form: FlaskForm) -> dict[str, str]:
    """What was typed, by slot name; fields that did not come are left out."""
    return {
        name.removeprefix(PREFIX): str(field.data or "")
        for name, field in form._fields.items()
        if name.startswith(PREFIX) and field.raw_data
    }


def put_faults(form: FlaskForm, wrong: Invalid, *, prefix: str = "") -> None:
    """Show a service's refusals at their fields, and what has no field above the form."""
    for name, message in wrong.fields.items():
        field = form._fields.get(prefix + name.removeprefix("slots."))
        if field is None:
            form.form_errors.append(message)
        else:
            field.errors = [*field.errors, message]
