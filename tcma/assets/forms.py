"""Forms of kits and the brand profile. They read what was typed; the rules are the services'."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    ColorField,
    DateField,
    FieldList,
    FloatField,
    Form,
    FormField,
    IntegerField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from tcma.errors import Invalid

ALIGNS = [SelectChoice("left", _l("Left")), SelectChoice("center", _l("Centre")), SelectChoice("right", _l("Right"))]
KINDS = [SelectChoice("logo", _l("Logo")), SelectChoice("contact_block", _l("Contact block"))]
INKS = [
    SelectChoice("dark", _l("Dark, for a light ground")),
    SelectChoice("light", _l("Light, for a dark ground")),
    SelectChoice("brand", _l("Name in the partner's colour")),
]


def put_faults(form: Form, wrong: Invalid) -> None:
    """Show what a service refused at the fields; what belongs to none stands above the form."""
    for name, words in wrong.fields.items():
        if name in form._fields:
            form[name].errors = [*form[name].errors, words]
        else:
            form.form_errors.append(words)


def an_id(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


class KitForm(FlaskForm):  # type: ignore[misc]
    name = StringField(_l("Name"), validators=[DataRequired(_l("Give the kit a name.")), Length(max=120)])
    description = TextAreaField(
        _l("What is in it"), validators=[Length(max=2000)], description=_l("Partners read this before they open it.")
    )
    begins_on = DateField(_l("From"), validators=[Optional()], description=_l("Leave it empty for at once."))
    ends_on = DateField(_l("Until"), validators=[Optional()], description=_l("Leave it empty for no end."))


class UploadForm(FlaskForm):  # type: ignore[misc]
    file = FileField(_l("File"), description=_l("PDF, PNG or JPEG. What acts by itself in a PDF is taken out."))
    name = StringField(_l("Name"), validators=[Length(max=120)], description=_l("Left empty, the file's name."))


class ReplaceForm(FlaskForm):  # type: ignore[misc]
    file = FileField(_l("New file"), description=_l("The zones stay. Earlier versions stay for the record."))


class PublishForm(FlaskForm):  # type: ignore[misc]
    whom = RadioField(
        _l("To whom"), default="all",
        choices=[SelectChoice("all", _l("All partners")), SelectChoice("chosen", _l("Chosen partners"))],
    )  # fmt: skip
    partners = SelectMultipleField(
        _l("Partners"), coerce=an_id, widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(),
        validate_choice=False,
    )  # fmt: skip

    def partner_ids(self) -> list[UUID] | None:
        """None for all."""
        return None if self.whom.data == "all" else list(self.partners.data or [])


class ReasonForm(FlaskForm):  # type: ignore[misc]
    reason = TextAreaField(_l("Why"), validators=[Length(max=1000)], description=_l("It is kept with the history."))


class ZoneForm(Form):  # type: ignore[misc]
    kind = SelectField(_l("What goes here"), choices=KINDS)
    page = IntegerField(_l("Page"), default=1)
    x = FloatField(_l("From left"))
    y = FloatField(_l("From top"))
    width = FloatField(_l("Width"))
    height = FloatField(_l("Height"))
    align = SelectField(_l("Side"), choices=ALIGNS)
    ink = SelectField(_l("Ink"), choices=INKS)

    def as_zone(self) -> dict[str, Any]:
        """The zone as shares of the page, 0 to 1; the fields hold percent."""
        shares = {
            name: self[name].data / 100 if self[name].data is not None else None
            for name in ("x", "y", "width", "height")
        }
        return {"page": self.page.data, **shares, "kind": self.kind.data, "align": self.align.data, "ink": self.ink.data}


class ZonesForm(FlaskForm):  # type: ignore[misc]
    zones = FieldList(FormField(ZoneForm), max_entries=50)


class BrandForm(FlaskForm):  # type: ignore[misc]
    name = StringField(_l("Name"), description=_l("As customers know you."))
    legal_name = StringField(_l("Legal name"), description=_l("In the footer of every mail."))
    postal_address = TextAreaField(_l("Postal address"), description=_l("The law asks for it in every mail."))
    country = SelectField(_l("Country"))
    phone = StringField(_l("Phone"))
    email = StringField(_l("Mail address"))
    website = StringField(_l("Website"))
    privacy_url = StringField(_l("Privacy policy"), description=_l("The address of the page that has it."))
    color = ColorField(_l("Main colour"), description=_l("Heads and buttons."))
    accent_color = ColorField(_l("Second colour"), description=_l("Lines and details."))
    sender_name = StringField(_l("Sender name"), description=_l("Who the mail is from. Left empty, your name."))
    reply_to = StringField(_l("Replies go to"), description=_l("A mailbox that a person reads."))


class LogoForm(FlaskForm):  # type: ignore[misc]
    file = FileField(_l("Logo"), description=_l("PNG or JPEG, best on a transparent ground and 600 pixels wide or more."))
