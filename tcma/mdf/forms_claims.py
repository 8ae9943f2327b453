"""Forms of claims, evidence, decisions and payments. They read what was typed; the rules are the services'."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    DateField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    IntegerField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from tcma.errors import Invalid
from tcma.mdf.forms import CURRENCIES, EVIDENCE, count_nested, read_money
from tcma.mdf.states import ProofKind, ReturnReason
from tcma.money import Money

REASONS = [
    SelectChoice("", _l("Choose a reason")),
    SelectChoice(ReturnReason.MISSING_EVIDENCE.value, _l("Evidence is missing")),
    SelectChoice(ReturnReason.WRONG_AMOUNT.value, _l("The amount is wrong")),
    SelectChoice(ReturnReason.NOT_ELIGIBLE.value, _l("Not paid for by the programme")),
    SelectChoice(ReturnReason.OUT_OF_WINDOW.value, _l("Outside the dates")),
    SelectChoice(ReturnReason.DUPLICATE.value, _l("Filed before")),
    SelectChoice(ReturnReason.UNCLEAR.value, _l("Unclear")),
    SelectChoice(ReturnReason.OTHER.value, _l("Other")),
]


class ProofForm(FlaskForm):  # type: ignore[misc]
    kind = SelectField(_l("What it is"), choices=[one for one in EVIDENCE if one.value != ProofKind.STATEMENT.value])
    file = FileField(_l("File"), validators=[InputRequired(_l("Choose a file."))])


class InvoiceForm(FlaskForm):  # type: ignore[misc]
    """The values of one invoice beside the document."""

    supplier = StringField(_l("Supplier"), validators=[Length(max=200)])
    supplier_tax_id = StringField(_l("Supplier's tax number"), validators=[Length(max=60)])
    buyer = StringField(_l("Made out to"), validators=[Length(max=200)])
    number = StringField(_l("Invoice number"), validators=[InputRequired(_l("Enter the invoice number."))])
    date = DateField(_l("Invoice date"), validators=[InputRequired(_l("Enter the date of the invoice."))])
    currency = SelectField(_l("Currency"), choices=[SelectChoice(one, one) for one in CURRENCIES])
    net = StringField(_l("Net amount"))
    tax = StringField(_l("Tax"))
    gross = StringField(_l("Total"))

    def values(self, *, locale: str) -> dict[str, Any]:
        """As `evidence.confirm_invoice` takes them; unreadable amounts leave their reason at the field."""
        found: dict[str, Any] = {
            name: self[name].data for name in ("supplier", "supplier_tax_id", "buyer", "number", "date", "currency")
        }
        for name in ("net", "tax", "gross"):
            typed = (self[name].data or "").strip()
            amount = read_money(self[name], self.currency.data, locale=locale) if typed else None
            found[name] = str(amount) if amount is not None else None
        return found


class LineForm(Form):  # type: ignore[misc]
    description = StringField(_l("What it paid for"), validators=[Length(max=300)])
    net = StringField(_l("Net amount"))
    tax = StringField(_l("Tax"))


class LinesForm(FlaskForm):  # type: ignore[misc]
    version = HiddenField()
    lines = FieldList(FormField(LineForm), min_entries=1, max_entries=100)
    claimed_reach = IntegerField(_l("People reached"), validators=[Optional(), NumberRange(min=0)])
    amount = StringField(
        _l("You claim"), description=_l("Leave it empty to claim the most that the programme's share allows.")
    )

    def costs(self, currency: str, *, locale: str) -> list[dict[str, Any]]:
        """The filled lines as `save_lines` takes them."""
        found = []
        for entry in self.lines.entries:
            one = entry.form
            if not any((one.description.data, one.net.data, one.tax.data)):
                continue
            found.append(
                {
                    "description": one.description.data or "",
                    "net": read_money(one.net, currency, locale=locale),
                    "tax": read_money(one.tax, currency, locale=locale) if (one.tax.data or "").strip() else None,
                }
            )
        count_nested(self)
        return found

    def asked(self, currency: str, *, locale: str) -> Money | None:
        return read_money(self.amount, currency, locale=locale) if (self.amount.data or "").strip() else None


class DecisionForm(FlaskForm):  # type: ignore[misc]
    version = HiddenField()
    amount = StringField(_l("Approve"))
    code = SelectField(_l("Reason"), choices=REASONS)
    reason = TextAreaField(_l("In words"), validators=[Length(max=2_000)])


class PayeeForm(FlaskForm):  # type: ignore[misc]
    holder = StringField(_l("Account holder"), validators=[InputRequired(_l("Enter the account holder's name."))])
    iban = StringField(_l("IBAN"), validators=[InputRequired(_l("Enter the IBAN."))])
    bic = StringField(_l("BIC"))
    country = StringField(_l("Country of the holder, two letters"), validators=[Length(max=2)])
    town = StringField(_l("Town of the holder"), validators=[Length(max=70)])


class CancelForm(FlaskForm):  # type: ignore[misc]
    reason = StringField(_l("Why it is cancelled"), validators=[Length(max=500)])


def put_claim_faults(form: FlaskForm, wrong: Invalid) -> None:
    """Show what a service refused at the fields, also those of lines such as “lines-0-net”."""
    for name, words in wrong.fields.items():
        target = form._fields.get(name)
        parts = name.split("-")
        if len(parts) == 3 and parts[0] in form._fields and parts[1].isdecimal():
            entries = form[parts[0]].entries
            place = int(parts[1])
            target = entries[place].form[parts[2]] if place < len(entries) else None
        if target is None or isinstance(target, FieldList):
            form.form_errors.append(words)
        else:
            target.errors = [*target.errors, words]
    count_nested(form)
