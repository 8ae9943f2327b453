"""Forms of programmes, funds, allocations and requests. They read what was typed; the rules are the services'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    DateField,
    DecimalField,
    Field,
    FieldList,
    Form,
    FormField,
    HiddenField,
    IntegerField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from tcma.errors import Invalid
from tcma.mdf.activity_kinds import KINDS
from tcma.mdf.states import ProofKind
from tcma.money import EXPONENTS, Money

_DAY = _l("Choose a day.")
_MOST_USED = ("EUR", "USD", "GBP", "CHF", "JPY")
CURRENCIES = [*_MOST_USED, *sorted(set(EXPONENTS) - set(_MOST_USED))]
EVIDENCE = [
    SelectChoice(ProofKind.STATEMENT.value, _l("The launch's statement (made by the service)")),
    SelectChoice(ProofKind.INVOICE.value, _l("Invoice")),
    SelectChoice(ProofKind.PAYMENT_RECEIPT.value, _l("Proof of payment")),
    SelectChoice(ProofKind.PHOTO.value, _l("Photo or screenshot")),
    SelectChoice(ProofKind.OTHER.value, _l("Other document")),
]


def an_id(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def id_or_none(value: UUID | str | None) -> UUID | None:
    return an_id(value) if value else None


def read_money(field: Field, currency: str, *, locale: str) -> Money | None:
    """The amount typed in major units of `currency`; None, with the reason at the field, where it is none."""
    try:
        return Money.parse(field.data or "", currency, locale=locale)
    except Invalid as wrong:
        field.errors = [*field.errors, *wrong.fields.values()]
        return None


def put_faults(form: Form, wrong: Invalid) -> None:
    """Show what a service refused at the fields; what belongs to none stands above the form."""
    fields = {field.name: field for field in _all_fields(form)}
    for name, words in wrong.fields.items():
        if name in fields:
            fields[name].errors = [*fields[name].errors, words]
        else:
            form.form_errors.append(words)
    count_nested(form)


def count_nested(form: Form) -> None:
    """Let lists of fields know the errors within them, so that the form knows of all."""
    for field in form:
        if isinstance(field, FieldList) and any(entry.errors for entry in field.entries):
            field.errors = [entry.errors for entry in field.entries]


def _all_fields(form: Form) -> Iterator[Field]:
    for field in form:
        if isinstance(field, FieldList):
            for entry in field.entries:
                yield from _all_fields(entry.form)
        else:
            yield field


class ProgrammeForm(FlaskForm):  # type: ignore[misc]
    name = StringField(_l("Name"), validators=[DataRequired(_l("Give the programme a name.")), Length(max=120)])
    currency = SelectField(_l("Currency"), choices=[SelectChoice(one, one) for one in CURRENCIES])
    share_percent = DecimalField(
        _l("Share of the cost"),
        validators=[InputRequired(_l("Enter a share from 1 to 100 percent.")), NumberRange(min=0, max=100)],
        description=_l("What you pay of each activity's cost, at most."),
    )
    cap = StringField(
        _l("Most for one partner"),
        validators=[DataRequired(_l("Enter the most that one partner gets from this programme."))],
        description=_l("In all, over every request of the programme."),
    )
    begins_on = DateField(_l("First day"), validators=[InputRequired(_DAY)])
    ends_on = DateField(_l("Last day"), validators=[InputRequired(_DAY)])
    zone = StringField(_l("Time zone of its days"), default="UTC", validators=[DataRequired(_l("Enter a time zone."))])
    lead_days = IntegerField(
        _l("Ask this many days before"), default=0, validators=[InputRequired(_l("Enter a number of days."))]
    )
    claim_days = IntegerField(
        _l("Claim within this many days after"), default=30,
        validators=[InputRequired(_l("Enter a number of days."))],
    )  # fmt: skip
    guidelines = TextAreaField(
        _l("Guidelines"), validators=[Length(max=20_000)],
        description=_l("In plain words: what is paid, what is not. Partners read this before they ask."),
    )  # fmt: skip
    gl_code = StringField(_l("General ledger code"), validators=[Length(max=60)])


class ActivityTypeForm(FlaskForm):  # type: ignore[misc]
    code = SelectField(_l("Kind of activity"), choices=[SelectChoice(one.code, one.name) for one in KINDS.values()])
    cap = StringField(_l("Most for one activity"), description=_l("Leave it empty for no limit of its own."))
    required_evidence = SelectMultipleField(
        _l("Evidence that a claim needs"), choices=EVIDENCE, widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(), description=_l("Leave all empty for what the trade asks for this kind."),
    )  # fmt: skip


class FundForm(FlaskForm):  # type: ignore[misc]
    once = HiddenField()
    name = StringField(
        _l("Name"), validators=[DataRequired(_l("Give the fund a name.")), Length(max=120)],
        description=_l("Such as the quarter that it is for."),
    )  # fmt: skip
    programme_id = SelectField(_l("Programme"), coerce=an_id)
    budget = StringField(_l("Budget"), validators=[DataRequired(_l("Enter the budget."))])
    begins_on = DateField(_l("First day"), validators=[InputRequired(_DAY)])
    ends_on = DateField(_l("Last day"), validators=[InputRequired(_DAY)])


class BudgetForm(FlaskForm):  # type: ignore[misc]
    once = HiddenField()
    amount = StringField(_l("Add to the budget"), validators=[DataRequired(_l("Enter an amount."))])


class AllocateForm(FlaskForm):  # type: ignore[misc]
    once = HiddenField()
    partner_id = SelectField(_l("Partner"), coerce=an_id)
    amount = StringField(_l("Amount"), validators=[DataRequired(_l("Enter an amount."))])
    expires_on = DateField(
        _l("Until"), validators=[InputRequired(_DAY)],
        description=_l("What is not asked for by then expires."),
    )  # fmt: skip


class ActivityForm(Form):  # type: ignore[misc]
    activity_type_id = SelectField(_l("Kind"), coerce=an_id)
    title = StringField(_l("What"), validators=[DataRequired(_l("Give the activity a title.")), Length(max=200)])
    starts_on = DateField(_l("From"), validators=[InputRequired(_DAY)])
    ends_on = DateField(_l("To"), validators=[InputRequired(_DAY)])
    cost = StringField(_l("Cost in all"), validators=[DataRequired(_l("Enter what it costs."))])
    requested = StringField(_l("You ask for"), validators=[DataRequired(_l("Enter what you ask for."))])
    expected_reach = IntegerField(_l("People reached"), validators=[Optional(), NumberRange(min=0)])
    campaign_version_id = SelectField(
        _l("Campaign"), coerce=id_or_none,
        description=_l("If it is a campaign from the catalogue, its launch proves the work by itself."),
    )  # fmt: skip


class RequestForm(FlaskForm):  # type: ignore[misc]
    version = HiddenField()
    title = StringField(
        _l("Title"), validators=[DataRequired(_l("Give the request a title.")), Length(max=200)],
        description=_l("Such as “Autumn webinar for manufacturers”."),
    )  # fmt: skip
    purpose = TextAreaField(_l("What it is to achieve"), validators=[Length(max=5_000)])
    activities = FieldList(FormField(ActivityForm), min_entries=1, max_entries=20)

    def plan(self, currency: str, *, locale: str) -> list[dict[str, Any]]:
        """The activities as `create_request` takes them; unreadable amounts leave their reason at the field."""
        plan = []
        for entry in self.activities.entries:
            one = entry.form
            plan.append(
                {
                    "activity_type_id": one.activity_type_id.data, "title": one.title.data,
                    "starts_on": one.starts_on.data, "ends_on": one.ends_on.data,
                    "cost": read_money(one.cost, currency, locale=locale),
                    "requested": read_money(one.requested, currency, locale=locale),
                    "expected_reach": one.expected_reach.data, "campaign_version_id": one.campaign_version_id.data,
                }
            )  # fmt: skip
        count_nested(self)
        return plan


class ReasonForm(FlaskForm):  # type: ignore[misc]
    version = HiddenField()
    reason = TextAreaField(_l("Why"), validators=[Length(max=2_000)])


class LinkLaunchForm(FlaskForm):  # type: ignore[misc]
    launch_id = SelectField(_l("Launch that carried it out"), coerce=an_id)
