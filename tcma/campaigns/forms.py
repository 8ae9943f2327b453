"""Forms of campaigns. They read what was typed; the rules are the services'."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DateField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Length, NumberRange, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from tcma.campaigns import landing
from tcma.campaigns.slots import SlotDef, SlotKind
from tcma.errors import Invalid

KIND_WORDS = {
    SlotKind.TEXT: _l("One line"), SlotKind.PARAGRAPH: _l("Several lines"), SlotKind.RICH: _l("Formatted text"),
    SlotKind.LINK: _l("Address of a page"), SlotKind.CHOICE: _l("One of some choices"),
}  # fmt: skip
FIELD_WORDS = {
    "name": _l("Name"), "email": _l("Mail address (always asked)"), "company": _l("Company"), "phone": _l("Phone"),
    "message": _l("Message"),
}  # fmt: skip


def put_faults(form: Form, wrong: Invalid) -> None:
    """Show what a service refused at the fields; what belongs to none stands above the form."""
    for name, words in wrong.fields.items():
        place = name.removeprefix("landing.")
        if place in form._fields:
            form[place].errors = [*form[place].errors, words]
        else:
            form.form_errors.append(words)


def an_id(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


class NewForm(FlaskForm):  # type: ignore[misc]
    starter = StringField(_l("Starter"))
    name = StringField(_l("Name"), description=_l("Partners see it in their catalogue."))


class DraftForm(FlaskForm):  # type: ignore[misc]
    """A part of a campaign's draft; `seen` tells what the part held when the author began."""

    seen = HiddenField()


class ContentForm(DraftForm):
    # Stands beside the form, in what comes anew with each saving (compiled.html).
    seen = StringField()
    subject = StringField(_l("Subject"))
    preheader = StringField(_l("Preheader"), description=_l("What inboxes show after the subject."))
    mjml = TextAreaField(_l("Source (MJML)"))


class SlotForm(Form):  # type: ignore[misc]
    name = StringField(_l("Name"), description=_l("In the source: {{ slot.name }}"))
    label = StringField(_l("Label"), description=_l("What partners read."))
    kind = SelectField(_l("Kind"), choices=[SelectChoice(kind.value, words) for kind, words in KIND_WORDS.items()])
    min_length = IntegerField(_l("At least"), default=0, validators=[Optional()])
    max_length = IntegerField(_l("At most"), default=80, validators=[Optional()])
    required = BooleanField(_l("Must be filled in"), default=True)
    choices = StringField(_l("Choices"), description=_l("Only for the kind with choices; separate them with |."))
    default = TextAreaField(_l("Default"), description=_l("What stands there until the partner changes it."))
    help = StringField(_l("Help"))

    def as_slot(self) -> dict[str, Any]:
        """One item of what `parse_slots` reads."""
        data = self.data
        return {
            "name": (data["name"] or "").strip(), "label": data["label"] or "", "kind": data["kind"],
            "default": data["default"] or "", "min_length": data["min_length"] or 0,
            "max_length": 80 if data["max_length"] is None else data["max_length"], "required": data["required"],
            "choices": [one.strip() for one in (data["choices"] or "").split("|") if one.strip()]
            if data["kind"] == "choice" else [],
            "help": data["help"] or "",
        }  # fmt: skip


def slot_data(slot: SlotDef) -> dict[str, Any]:
    """A slot as the form shows it."""
    return {**slot.to_json(), "choices": " | ".join(slot.choices)}


class SlotsForm(DraftForm):
    slots = FieldList(FormField(SlotForm), max_entries=60)

    def put_slot_faults(self, wrong: Invalid) -> None:
        """`slots.headline.max_length` or `slots.3.name` go to the row that they are about."""
        rows = {str(number): entry.form for number, entry in enumerate(self.slots.entries, start=1)}
        rows |= {entry.form.name.data: entry.form for entry in self.slots.entries if entry.form.name.data}
        for key, words in wrong.fields.items():
            parts = key.split(".")
            row = rows.get(parts[1]) if len(parts) == 3 else None
            if row is not None and parts[2] in row._fields:
                row[parts[2]].errors = [*row[parts[2]].errors, words]
            else:
                self.form_errors.append(words)
        if any(entry.errors for entry in self.slots.entries):
            self.slots.errors = [entry.errors for entry in self.slots.entries]


class LandingForm(DraftForm):
    headline = StringField(_l("Headline"))
    intro = TextAreaField(_l("Text"), description=_l("Slots may stand here too: {{ slot.name }}"))
    fields = SelectMultipleField(
        _l("What the form asks for"), choices=[SelectChoice(one, FIELD_WORDS[one]) for one in landing.FIELDS],
        widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(),
    )  # fmt: skip
    button = StringField(_l("Button"))
    thank_you = TextAreaField(_l("After sending"))


class RulesForm(DraftForm):
    name = StringField(_l("Name"))
    goal = StringField(_l("Goal"), description=_l("What a partner gains by it, in one line."))
    summary = TextAreaField(_l("Summary"), description=_l("Whom it suits and what happens."))
    effort_minutes = IntegerField(
        _l("Effort in minutes"), validators=[Optional(), NumberRange(1, 480, _l("Enter minutes from 1 to 480."))],
        description=_l("How long a partner needs to launch it."),
    )  # fmt: skip
    begins_on = DateField(_l("From"), validators=[Optional()], description=_l("Leave it empty for at once."))
    ends_on = DateField(_l("Until"), validators=[Optional()], description=_l("Leave it empty for no end."))


class PublishForm(FlaskForm):  # type: ignore[misc]
    whom = RadioField(
        _l("To whom"), default="all",
        choices=[SelectChoice("all", _l("All partners")), SelectChoice("chosen", _l("Chosen partners"))],
    )  # fmt: skip
    partners = SelectMultipleField(
        _l("Partners"), coerce=an_id, widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(),
        validate_choice=False,
    )  # fmt: skip
    note = StringField(_l("Note"), validators=[Length(max=300)], description=_l("What changed, for the history."))
    shown = HiddenField()

    def partner_ids(self) -> list[UUID] | None:
        """None for all."""
        return None if self.whom.data == "all" else list(self.partners.data or [])


class ReasonForm(FlaskForm):  # type: ignore[misc]
    reason = TextAreaField(_l("Why"), validators=[Length(max=1000)], description=_l("It is kept with the history."))
