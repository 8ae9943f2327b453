"""Forms of sending identities."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import EmailField, SelectField, StringField
from wtforms.validators import DataRequired, Length, Optional, ValidationError

from tcma.delivery.senders import LONGEST_NAME, own_address
from tcma.errors import Invalid


class SenderEditForm(FlaskForm):  # type: ignore[misc]
    """What readers see, and where their answers go."""

    name = StringField(
        _l("Name that readers see"),
        validators=[DataRequired(_l("Enter a name.")), Length(max=LONGEST_NAME)],
        description=_l("Such as the name of your company."),
    )
    reply_to = EmailField(
        _l("Replies go to"), validators=[Optional(), Length(max=254)], description=_l("Empty: to the address itself.")
    )


class SenderForm(SenderEditForm):
    """A new sender."""

    address = EmailField(
        _l("Address"),
        validators=[DataRequired(_l("Enter an address.")), Length(max=254)],
        description=_l("At a domain of your company, such as news@your-company.example."),
    )

    def validate_address(self, field: EmailField) -> None:
        """So that all that is wrong is told at once."""
        try:
            own_address(field.data or "")
        except Invalid as wrong:
            raise ValidationError(wrong.fields["address"]) from None


class SenderChoiceForm(FlaskForm):  # type: ignore[misc]
    """Whom one launch is from."""

    sender = SelectField(_l("From"), validate_choice=False)
