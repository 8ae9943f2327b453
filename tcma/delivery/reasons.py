"""Why a delivery did not simply leave, in words that people know."""

from __future__ import annotations

import re

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

# Enhanced status codes by RFC 3463 §3; the subject digit tells what it is about where the detail is not known.
_KNOWN = {
    "suppressed_partner": _l("Unsubscribed from you, or bounced"), "suppressed_vendor": _l("Refused this vendor"),
    "suppressed_platform": _l("Refused all mail of this service"), "no_consent": _l("No consent on record"),
    "cancelled": _l("The launch was cancelled"), "gave_up": _l("Refused for now, eight times"),
    "late": _l("Too late by your own rule"), "capped": _l("Had as many mails lately as you allow"),
    "no_answer": _l("The connection was lost"), "bounced": _l("It came back later"),
    "1.1": _l("No such mailbox"), "1.2": _l("No such domain"), "1.3": _l("The address is not well formed"),
    "1.6": _l("The mailbox has moved"), "1.10": _l("The domain takes no mail"), "2.1": _l("The mailbox is switched off"),
    "2.2": _l("The mailbox is full"), "2.3": _l("The mail is too large for them"), "3.1": _l("Their server is full"),
    "3.2": _l("Their server takes no mail now"), "3.4": _l("The mail is too large for them"),
    "4.1": _l("Their server did not answer"), "4.2": _l("The connection was lost"), "4.4": _l("No way to their server"),
    "4.7": _l("It waited too long at their server"), "7.1": _l("Refused by their rules"), "7.26": _l("The sender is not proved"),
}  # fmt: skip
_SUBJECTS = {
    "1": _l("Something is wrong with the address"), "2": _l("Something is wrong with the mailbox"),
    "3": _l("Their mail server has trouble"), "4": _l("The way to their server has trouble"),
    "5": _l("The servers did not understand each other"), "6": _l("They do not take such content"),
    "7": _l("Refused by their rules"),
}  # fmt: skip
_ENHANCED = re.compile(r"[245]\.((\d{1,3})\.\d{1,3})")
_PLAIN = re.compile(r"([45])\d\d")


def words(reason: str | None) -> str:
    """A delivery's reason in words, with its code behind where it is one; "" for none."""
    if not reason:
        return ""
    if reason in _KNOWN:
        return str(_KNOWN[reason])
    if found := _ENHANCED.fullmatch(reason):
        known = _KNOWN.get(found[1]) or _SUBJECTS.get(found[2]) or _l("Refused")
        return f"{known} ({reason})"
    if found := _PLAIN.fullmatch(reason):
        return f"{_('Refused for now') if found[1] == '4' else _('Refused for good')} ({reason})"
    return reason
