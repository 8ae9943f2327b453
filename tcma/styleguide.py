"""Example data for the page that shows every component; the shell serves it in debug and in the demo only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DateField,
    DecimalField,
    EmailField,
    FileField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, NumberRange

from tcma import clock
from tcma.money import Money


class ExampleForm(FlaskForm):  # type: ignore[misc]
    """One field of each kind, so that the page shows labels, help, limits and errors."""

    class Meta:
        csrf = False  # an example is never sent

    name = StringField("Name", validators=[DataRequired("Give the launch a name."), Length(max=60)])
    reply_to = EmailField("Replies go to", description="Your own address; the service never reads replies.")
    audience = SelectField(
        "List",
        choices=[
            SelectChoice("all", "All customers (1,204)"),
            SelectChoice("old", "Not heard from in a year (312)"),
        ],
    )
    message = TextAreaField("Opening words", validators=[Length(max=280)])
    when = RadioField(
        "When", choices=[SelectChoice("now", "Now"), SelectChoice("later", "At a chosen time")], default="now"
    )
    day = DateField("Day")
    amount = DecimalField(
        "Budget",
        validators=[NumberRange(max=5000, message="Ask for at most €5,000.00; no more is left in your allocation.")],
    )
    contacts = FileField("Contacts")
    basis = BooleanField("These people agreed to hear from us, or are our customers.")
    digest = BooleanField("Send me a summary on Mondays", description="It comes at 8:00 in your time zone.")


def _euro(amount: float) -> Money:
    """Euro for the page; floats are good enough for examples and for nothing else."""
    return Money(round(amount * 100), "EUR")


def example_context() -> dict[str, Any]:
    """What the template needs beyond the globals of every page: two forms and the moments it shows.

    `form` is as a person first sees it, `wrong` as it comes back with two errors. Must run inside a request.
    """
    now = clock.now()
    form = ExampleForm(formdata=None, data={"name": "Spring launch", "reply_to": "ana@northwind.example"})
    wrong = ExampleForm(formdata=None, prefix="wrong-", data={"name": "", "amount": 7200, "audience": "all"})
    wrong.validate()
    return {
        "form": form,
        "euro": _euro,
        "wrong": wrong,
        "moments": {
            "minutes_ago": now - timedelta(minutes=4),
            "hours_ago": now - timedelta(hours=3),
            "yesterday": now - timedelta(days=1, hours=2),
            "last_week": now - timedelta(days=8),
            "soon": now + timedelta(hours=5),
            "next_week": now + timedelta(days=6),
        },
    }
