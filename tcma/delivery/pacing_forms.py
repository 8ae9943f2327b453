"""Forms of pace: the hours in which mail arrives, and how often one person gets any."""

from __future__ import annotations

from datetime import time

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, SelectMultipleField, TimeField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Optional
from wtforms.widgets import CheckboxInput, ListWidget

from tcma.campaigns.models import Launch
from tcma.delivery.models_pacing import SendingRules
from tcma.delivery.windows import WEEKDAYS, Window
from tcma.errors import Invalid

DAYS = (
    (1, _l("Monday")), (2, _l("Tuesday")), (3, _l("Wednesday")), (4, _l("Thursday")), (5, _l("Friday")),
    (6, _l("Saturday")), (7, _l("Sunday")),
)  # fmt: skip


class PaceForm(FlaskForm):  # type: ignore[misc]
    """In which hours mail may arrive, in each reader's own time zone, and when it is too late."""

    windowed = BooleanField(_l("Only at these hours of the reader's day"))
    since = TimeField(_l("From"), default=time(8), validators=[Optional()])
    until = TimeField(_l("Until"), default=time(18), validators=[Optional()])
    days = SelectMultipleField(
        _l("Days"), widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(), coerce=int,
        choices=[SelectChoice(value, label) for value, label in DAYS], default=list(WEEKDAYS),
    )  # fmt: skip
    late_hours = IntegerField(_l("Leave out what is later than (hours)"), validators=[Optional()])

    @classmethod
    def of(cls, launch: Launch) -> PaceForm:
        window = Window.from_json(launch.pace)
        kept = {"windowed": window is not None, "late_hours": (launch.pace or {}).get("late_hours")}
        if window is not None:
            kept |= {"since": window.opens, "until": window.closes, "days": sorted(window.days)}
        return cls(formdata=None, data=kept)

    def window(self) -> Window | None:
        """What was chosen. Raises Invalid for a time that is missing."""
        if not self.windowed.data:
            return None
        if self.since.data is None or self.until.data is None:
            raise Invalid({"since": "Choose the first and the last hour, such as 08:00 and 18:00."})
        return Window(self.since.data, self.until.data, frozenset(self.days.data or ()))


class CapForm(FlaskForm):  # type: ignore[misc]
    """At most so many mails to one person in so many days."""

    mails = IntegerField(_l("Mails at most"), validators=[Optional()])
    days = IntegerField(_l("In so many days"), default=7, validators=[Optional()])

    @classmethod
    def of(cls, rules: SendingRules | None) -> CapForm:
        return cls(formdata=None, data={"mails": rules.cap_mails, "days": rules.cap_days} if rules else {})
