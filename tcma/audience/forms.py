"""Forms of contacts, lists and imports. They read what was typed; the rules are the services'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import FieldList, Form, RadioField, SelectField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired
from wtforms.widgets import CheckboxInput, ListWidget

from tcma.audience.rows import FIELDS
from tcma.audience.states import ConsentBasis
from tcma.errors import Invalid

BASES = {
    ConsentBasis.OPT_IN: (_l("They asked for it"), _l("They ticked a box, signed up or told you so.")),
    ConsentBasis.DOUBLE_OPT_IN: (
        _l("They asked and confirmed it"),
        _l("They signed up and pressed the link in a mail."),
    ),
    ConsentBasis.EXISTING_CUSTOMER: (
        _l("They are customers"),
        _l("They bought from you, could refuse then, and you write about similar goods."),
    ),
    ConsentBasis.LEGITIMATE_INTEREST: (
        _l("Legitimate interest"),
        _l("You weighed your interest against theirs and wrote it down. Not enough in every country."),
    ),
    ConsentBasis.CONTRACT: (
        _l("A contract needs it"),
        _l("The mail is part of what you owe them. Seldom true for campaigns."),
    ),
}
CELL_LABELS = {name: _l(label) for name, label in FIELDS.items()}
SOURCE_HELP = _l("In your own words, such as “signed up at our fair, March 2026”. It is kept as evidence.")


def put_faults(form: Form, wrong: Invalid) -> None:
    """Show what a service refused at the fields; what belongs to none stands above the form."""
    for name, words in wrong.fields.items():
        if name in form._fields:
            form[name].errors = [*form[name].errors, words]
        else:
            form.form_errors.append(words)


def _basis(**given: Any) -> RadioField:
    choices = [SelectChoice(str(one), label) for one, (label, _) in BASES.items()]
    return RadioField(_l("Why may you write to them?"), choices=choices, validate_choice=False, **given)


def chosen_basis(form: Form) -> ConsentBasis | None:
    """The ground that was chosen, or None."""
    given = form["basis"].data
    return ConsentBasis(given) if given in list(ConsentBasis) else None


class UploadForm(FlaskForm):  # type: ignore[misc]
    file = FileField(
        _l("Contact file"),
        description=_l(
            "CSV or Excel (.xlsx). The first row should name the columns. One column must hold email addresses."
        ),
    )


class MapForm(FlaskForm):  # type: ignore[misc]
    """`columns` holds for each column of the file the field that it fills, or nothing."""

    columns = FieldList(
        SelectField(
            _l("Field"), validate_choice=False,
            choices=[SelectChoice("", _l("Leave out")), *(SelectChoice(name, label) for name, label in CELL_LABELS.items())],
        )
    )  # fmt: skip
    basis = _basis()
    basis_source = StringField(_l("Where do they come from?"), description=SOURCE_HELP)
    list_name = StringField(_l("Put them on the list"), description=_l("A new list, or one that you have already."))

    @classmethod
    def of(cls, columns: Sequence[str], mapping: Mapping[str, int], list_name: str) -> MapForm:
        """The form of a file with `columns`, with the suggested `mapping` (field to column) filled in."""
        at = {place: field for field, place in mapping.items()}
        return cls(data={"columns": [at.get(place, "") for place in range(len(columns))], "list_name": list_name})

    def mapping(self) -> dict[str, int]:
        """Field to column. Raises Invalid where a field was chosen for two columns."""
        found: dict[str, int] = {}
        for place, entry in enumerate(self.columns):
            if entry.data in found:
                label = CELL_LABELS.get(entry.data, entry.data)
                raise Invalid({"columns": f"“{label}” is chosen for two columns. Leave one of them out."})
            if entry.data:
                found[entry.data] = place
        return found


class ContactForm(FlaskForm):  # type: ignore[misc]
    email = StringField(_l("Email address"), validators=[DataRequired(_l("Enter the email address."))])
    first_name = StringField(_l("First name"))
    last_name = StringField(_l("Last name"))
    company = StringField(_l("Company"))
    job_title = StringField(_l("Job title"))
    phone = StringField(_l("Phone"))
    city = StringField(_l("City"))
    country = StringField(_l("Country"), description=_l("Two letters, such as DE."))
    language = StringField(_l("Language"), description=_l("Two letters, such as de."))


class NewContactForm(ContactForm):
    basis = _basis()
    source = StringField(_l("Where does the consent come from?"), description=SOURCE_HELP)
    list_ids = SelectMultipleField(
        _l("Lists"),
        coerce=UUID,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
        validate_choice=False,
    )


class EditContactForm(ContactForm):
    email = None


class ListForm(FlaskForm):  # type: ignore[misc]
    name = StringField(_l("Name of the list"), description=_l("Such as “Customers Hamburg”."))


class ChooseListForm(FlaskForm):  # type: ignore[misc]
    """To which list the chosen contacts are added: one that is there, or a new one."""

    list_id = SelectField(_l("List"), validate_choice=False)
    name = StringField(_l("Or a new list"), description=_l("Left empty, the list chosen above."))
