"""The rules of a programme, applied to one request: each ends pass, warn or fail with both values in words.

Pure: no database, no clock. The services load what it needs (`Standing`) and refuse on a failure; the page of a
request shows the same checks to both parties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tcma.mdf.models import Activity, Programme, Request
from tcma.mdf.states import ProgrammeStatus
from tcma.money import Money


@dataclass(frozen=True)
class RuleCheck:
    """One rule and what was found. `field` names the input that mends a failure."""

    code: str
    state: str
    title: str
    rule: str
    found: str
    mend: str = ""
    field: str = ""


@dataclass(frozen=True)
class Standing:
    """What is known of the partner's money at `today`, a date in the programme's zone.

    `available` is what the allocation holds less what other requests wait for; `used` is what this partner has
    had from the programme or waits for, without this request. `expires_on` is the allocation's last day.
    `active` tells whether the partnership is.
    """

    today: date
    available: Money
    used: Money
    expires_on: date | None
    active: bool = True
    locale: str = "en"


def check_request(request: Request, programme: Programme, standing: Standing, *, asked_on: date) -> list[RuleCheck]:
    """Every rule, in the order in which people read them. `asked_on` is the day it was or will be submitted."""
    activities = list(request.activities)
    checks = [_open(programme, standing)]
    if not activities:
        return [
            *checks,
            RuleCheck(
                "activities", "fail", "There is something to pay for", "one activity or more", "none",
                "Add the first activity.", "activities",
            ),
        ]  # fmt: skip
    return [
        *checks,
        _window(programme, activities),
        _lead_time(programme, activities, asked_on),
        _before_the_work(activities, standing),
        _share(programme, activities, standing.locale),
        _type_caps(activities, standing.locale),
        _programme_cap(request, programme, standing),
        _balance(request, standing),
        _expiry(standing),
    ]


def failures(checks: Sequence[RuleCheck]) -> dict[str, str]:
    """The failed checks as messages by field, for a refusal."""
    messages: dict[str, str] = {}
    for check in checks:
        if check.state == "fail":
            words = f"{check.title}: the rule is {check.rule}, this is {check.found}. {check.mend}".strip()
            messages[check.field] = f"{messages[check.field]} {words}" if check.field in messages else words
    return messages


def _verdict(failed: bool) -> str:
    return "fail" if failed else "pass"


def _open(programme: Programme, standing: Standing) -> RuleCheck:
    is_open = programme.status is ProgrammeStatus.ACTIVE
    found = f"the programme is {programme.status}" if standing.active else "your partnership is not active"
    return RuleCheck(
        "open", _verdict(not (is_open and standing.active)), "The programme takes requests",
        "an open programme and an active partnership", found,
        "" if is_open and standing.active else "Ask the vendor's channel manager.",
    )  # fmt: skip


def _window(programme: Programme, activities: Sequence[Activity]) -> RuleCheck:
    first, last = min(one.starts_on for one in activities), max(one.ends_on for one in activities)
    outside = first < programme.begins_on or last > programme.ends_on
    return RuleCheck(
        "window", _verdict(outside), "The work is within the programme's dates",
        f"{programme.begins_on} to {programme.ends_on}", f"{first} to {last}",
        "Move the dates of the activities into the programme's." if outside else "", "starts_on",
    )  # fmt: skip


def _lead_time(programme: Programme, activities: Sequence[Activity], asked_on: date) -> RuleCheck:
    first = min(one.starts_on for one in activities)
    days, needed = (first - asked_on).days, programme.lead_days
    late = days < needed
    earliest = asked_on + timedelta(days=needed)
    return RuleCheck(
        "lead_time", _verdict(late), "It is asked for early enough",
        f"{needed} days before the work begins", _days_before(days),
        f"Begin on {earliest} or later." if late else "", "starts_on",
    )  # fmt: skip


def _days_before(days: int) -> str:
    return f"{days} days before" if days >= 0 else f"{-days} days after it began"


def _before_the_work(activities: Sequence[Activity], standing: Standing) -> RuleCheck:
    first = min(one.starts_on for one in activities)
    begun = first < standing.today
    return RuleCheck(
        "before_the_work", _verdict(begun), "It is approved before the work begins",
        f"a decision by {first}", f"today is {standing.today}",
        "Return the request, so that the partner can give a later beginning." if begun else "", "starts_on",
    )  # fmt: skip


def _share(programme: Programme, activities: Sequence[Activity], locale: str) -> RuleCheck:
    rate = Decimal(programme.share_percent) / 100
    percent = f"{programme.share_percent.normalize():f} %" if programme.share_percent else "0 %"
    for one in activities:
        cost, requested = Money(one.cost_minor, one.currency), Money(one.requested_minor, one.currency)
        most = cost.share(rate)
        if requested > most:
            return RuleCheck(
                "share", "fail", "The programme's share is kept",
                f"at most {percent} of the cost, {most.format(locale)} of {cost.format(locale)} for “{one.title}”",
                f"{requested.format(locale)} asked",
                f"Ask for {most.format(locale)} or less.", "requested",
            )  # fmt: skip
    total = Money.total([Money(one.cost_minor, one.currency) for one in activities], programme.currency)
    asked = Money.total([Money(one.requested_minor, one.currency) for one in activities], programme.currency)
    return RuleCheck(
        "share", "pass", "The programme's share is kept", f"at most {percent} of the cost of each activity",
        f"{asked.format(locale)} of {total.format(locale)}",
    )  # fmt: skip


def _type_caps(activities: Sequence[Activity], locale: str) -> RuleCheck:
    capped = [one for one in activities if one.activity_type.cap_minor is not None]
    for one in capped:
        most = Money(one.activity_type.cap_minor or 0, one.currency)
        requested = Money(one.requested_minor, one.currency)
        if requested > most:
            return RuleCheck(
                "type_cap", "fail", "The cap of the activity type is kept",
                f"{most.format(locale)} for one {one.activity_type.name}",
                f"{requested.format(locale)} for “{one.title}”",
                f"Ask for {most.format(locale)} or less.", "requested",
            )  # fmt: skip
    return RuleCheck(
        "type_cap", "pass" if capped else "not_applicable", "The cap of the activity type is kept",
        "the cap of each type" if capped else "none of these types has a cap", "within it" if capped else "–",
    )  # fmt: skip


def _programme_cap(request: Request, programme: Programme, standing: Standing) -> RuleCheck:
    """Counts all that the partner had from the programme: a plan cut in parts meets the same cap."""
    locale, cap, asked = standing.locale, Money(programme.cap_minor, programme.currency), request.budget
    left = max(cap - standing.used, Money.zero(cap.currency))
    over = asked > left
    return RuleCheck(
        "programme_cap", _verdict(over), "The programme's cap for one partner is kept",
        f"{cap.format(locale)} in all",
        f"{standing.used.format(locale)} so far and {asked.format(locale)} now",
        f"Ask for {left.format(locale)} or less." if over else "", "requested",
    )  # fmt: skip


def _balance(request: Request, standing: Standing) -> RuleCheck:
    locale, asked = standing.locale, request.budget
    over = asked > standing.available
    return RuleCheck(
        "balance", _verdict(over), "There is money for it",
        f"{standing.available.format(locale)} available", f"{asked.format(locale)} asked",
        f"Ask for {standing.available.format(locale)} or less, or ask the vendor for more." if over else "",
        "requested",
    )  # fmt: skip


def _expiry(standing: Standing) -> RuleCheck:
    gone = standing.expires_on is None or standing.expires_on < standing.today
    rule = f"the allocation is open until {standing.expires_on}" if standing.expires_on else "an allocation"
    return RuleCheck(
        "expiry", _verdict(gone), "The money has not expired", rule, f"today is {standing.today}",
        "Ask the vendor to allocate money anew." if gone else "",
    )  # fmt: skip
