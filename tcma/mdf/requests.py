"""Use cases of requests: a partner asks, the vendor decides, money is reserved or comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Kind, Permission, Role
from tcma.accounts import queries as accounts_queries
from tcma.accounts.services import tell
from tcma.accounts.states import PartnershipStatus
from tcma.campaigns.models import CampaignVersion, Launch
from tcma.config import settings
from tcma.errors import IllegalTransition, Invalid, NotFound, Stale
from tcma.mdf import ledger, queries
from tcma.mdf.models import Activity, Claim, Fund, Request
from tcma.mdf.request_plans import choose_fund, new_number, plan_activities, plan_title, put_activities
from tcma.mdf.request_rules import RuleCheck, Standing, check_request, failures
from tcma.mdf.states import AccountKind, ClaimStatus, ProgrammeStatus, RequestStatus
from tcma.money import Money

DECISION_DAYS = 3  # working days in which the vendor answers
GRANTED = (AccountKind.COMMITTED, AccountKind.CLAIMED, AccountKind.PAYABLE, AccountKind.CASH)
ASKED_ROLES = (Role.CHANNEL_MANAGER, Role.FINANCE)


def create_request(
    session: Session,
    actor: Actor,
    *,
    programme_id: UUID,
    title: str,
    purpose: str = "",
    activities: Sequence[Mapping[str, Any]] = (),
    fund_id: UUID | None = None,
) -> Request:
    """A draft request of a partner. It takes the fund whose allocation expires first and still holds enough.

    Each activity is a mapping of activity_type_id, title, starts_on, ends_on, cost: Money, requested: Money and,
    where known, campaign_version_id and expected_reach. Raises NotFound, Forbidden, Invalid.
    """
    actor.require(Permission.REQUEST_RAISE)
    actor.require_kind(Kind.PARTNER)
    programme = queries.get_programme(session, actor, programme_id)
    if programme.status is not ProgrammeStatus.ACTIVE:
        raise Invalid({"programme_id": "This programme is closed and takes no requests. Choose another one."})
    made = plan_activities(session, actor, programme, activities)
    asked = Money.total([Money(one.requested_minor, one.currency) for one in made], programme.currency)
    fund = choose_fund(session, actor, programme, asked, fund_id)
    request = Request(
        vendor_id=programme.vendor_id, partner_id=actor.organization_id, programme_id=programme.id, fund_id=fund.id,
        number=new_number(), title=plan_title(title), purpose=purpose.strip(), currency=programme.currency,
        raised_by=actor.user_id,
    )  # fmt: skip
    session.add(request)
    session.flush()
    put_activities(session, request, made)
    audit.record(session, actor, "request.create", request, after={"amount": asked.minor})
    return queries.get_request(session, actor, request.id)


def save_request(
    session: Session,
    actor: Actor,
    request_id: UUID,
    *,
    title: str,
    purpose: str = "",
    activities: Sequence[Mapping[str, Any]] = (),
    expected_version: int | None = None,
) -> Request:
    """Change a draft or a returned request; its activities are those given. Raises as `create_request`, Stale."""
    actor.require(Permission.REQUEST_RAISE)
    request = _load(session, actor, request_id, expected_version=expected_version)
    request.require_status("edit", RequestStatus.DRAFT, RequestStatus.RETURNED)
    programme = queries.get_programme(session, actor, request.programme_id)
    made = plan_activities(session, actor, programme, activities)
    before = request.budget.minor
    request.title, request.purpose = plan_title(title), purpose.strip()
    for one in list(request.activities):
        session.delete(one)
    session.flush()
    put_activities(session, request, made)
    audit.record(
        session,
        actor,
        "request.edit",
        request,
        before={"amount": before},
        after={"amount": request.budget.minor},
    )
    return request


def submit_request(session: Session, actor: Actor, request_id: UUID, *, expected_version: int | None = None) -> Request:
    """Ask for the money: every rule must hold. Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid."""
    actor.require(Permission.REQUEST_RAISE)
    request = _load(session, actor, request_id, expected_version=expected_version)
    request.require_status("submit", RequestStatus.DRAFT, RequestStatus.RETURNED)
    _refuse(rule_checks(session, actor, request))
    now = clock.now()
    request.submit(by=actor, at=now, due_at=_working_days(now, DECISION_DAYS))
    session.flush()
    tell(
        session, request.vendor_id, ASKED_ROLES, "request_submitted",
        data=_told(request, actor), once_key=f"request_submitted:{request.id}:{request.row_version}",
    )  # fmt: skip
    return request


def approve_request(
    session: Session, actor: Actor, request_id: UUID, *, expected_version: int | None = None
) -> Request:
    """Reserve the money and set the last day to claim it.

    The rules are applied as they are now; the version of the rules and the approved content of linked campaign
    versions are kept. Raises NotFound, Forbidden (also for who raised it), Stale, IllegalTransition, Invalid.
    """
    actor.require(Permission.REQUEST_APPROVE)
    request = _load(session, actor, request_id, expected_version=expected_version)
    request.require_status("approve", RequestStatus.SUBMITTED)
    _refuse(rule_checks(session, actor, request))
    programme = request.programme
    last = max(one.ends_on for one in request.activities)
    request.approve(
        by=actor, at=clock.now(), rule_version=programme.rule_version,
        claim_until=last + timedelta(days=programme.claim_days),
    )  # fmt: skip
    for one in request.activities:
        one.committed_minor = one.requested_minor
        if one.campaign_version_id:
            one.approved_sha256 = _version(session, one.campaign_version_id).content_sha256
    ledger.commit_request(session, actor, _fund(session, request), request)
    session.flush()
    _tell_partner(session, actor, request)
    return request


def return_request(
    session: Session, actor: Actor, request_id: UUID, *, reason: str, expected_version: int | None = None
) -> Request:
    """Give it back to be changed and sent again. Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid."""
    actor.require(Permission.REQUEST_APPROVE)
    request = _load(session, actor, request_id, expected_version=expected_version)
    request.require_status("return", RequestStatus.SUBMITTED)
    request.give_back(by=actor, at=clock.now(), reason=_reason(reason))
    session.flush()
    _tell_partner(session, actor, request)
    return request


def reject_request(
    session: Session, actor: Actor, request_id: UUID, *, reason: str, expected_version: int | None = None
) -> Request:
    """Say no for good. Raises NotFound, Forbidden, Stale, IllegalTransition, Invalid."""
    actor.require(Permission.REQUEST_APPROVE)
    request = _load(session, actor, request_id, expected_version=expected_version)
    request.require_status("reject", RequestStatus.SUBMITTED)
    request.reject(by=actor, at=clock.now(), reason=_reason(reason))
    session.flush()
    _tell_partner(session, actor, request)
    return request


def withdraw_request(
    session: Session, actor: Actor, request_id: UUID, *, expected_version: int | None = None
) -> Request:
    """The partner takes it back; what was reserved and not claimed is free again.

    Raises NotFound, Forbidden, Stale, IllegalTransition, also while a claim of it is open or was approved.
    """
    actor.require(Permission.REQUEST_RAISE)
    request = _load(session, actor, request_id, expected_version=expected_version)
    reserved = request.status is RequestStatus.APPROVED
    if reserved and _claims(session, request):
        raise IllegalTransition(
            "This request has claims, so it can't be withdrawn. Withdraw the open claims first; what was "
            "approved for payment stays."
        )
    request.withdraw(by=actor, at=clock.now())
    if reserved:
        ledger.release_request(session, actor, _fund(session, request), request)
    session.flush()
    return request


def link_launch(session: Session, actor: Actor, activity_id: UUID, launch_id: UUID) -> Activity:
    """Say which launch carried out an approved activity: its record becomes the proof.

    Raises NotFound, Forbidden, IllegalTransition, and Invalid where the launch sends other content than was
    approved or is linked elsewhere already.
    """
    actor.require(Permission.REQUEST_RAISE)
    activity = queries.get_activity(session, actor, activity_id)
    request = _load(session, actor, activity.request_id)
    request.require_status("link a launch to", RequestStatus.APPROVED)
    launch = session.scalar(
        select(Launch).where(
            Launch.id == launch_id,
            Launch.partner_id == actor.organization_id,
            Launch.vendor_id == request.vendor_id,
        )
    )
    if launch is None:
        raise NotFound()
    if activity.launch_id == launch.id:
        return activity
    if _claims(session, request, activity_id=activity.id):
        raise IllegalTransition("This activity is claimed already, so its launch stays. Withdraw the claim first.")
    version = _version(session, launch.campaign_version_id)
    if activity.approved_sha256 and version.content_sha256 != activity.approved_sha256:
        approved = session.get(CampaignVersion, activity.campaign_version_id)
        named = _named(approved) if approved else "another version"
        raise Invalid(
            {
                "launch_id": f"Approved was {named}, and this launch sends {_named(version)}. "
                "Choose a launch of the approved version, or ask for the new one to be approved."
            }
        )
    other = session.scalar(
        select(Activity.title).where(Activity.launch_id == launch.id, Activity.id != activity.id).limit(1)
    )
    if other is not None:
        raise Invalid({"launch_id": f"This launch proves “{other}” already. Choose another launch."})
    activity.launch_id = launch.id
    session.flush()
    audit.record(session, actor, "activity.link_launch", activity, after={"launch_id": launch.id})
    return activity


def rule_checks(session: Session, actor: Actor, request: Request) -> list[RuleCheck]:
    """Every rule applied to the request as it is now, for the page and for the decision."""
    programme = request.programme
    asked_on = (request.submitted_at or clock.now()) if request.status is RequestStatus.SUBMITTED else clock.now()
    return check_request(
        request, programme, standing_of(session, actor, request), asked_on=_day(asked_on, programme.zone)
    )


def standing_of(session: Session, actor: Actor, request: Request) -> Standing:
    """What the partner may still ask for in the request's fund and programme, without this request."""
    partner_id, currency = request.partner_id, request.currency
    other_id = request.vendor_id if actor.is_partner else partner_id
    partnership = accounts_queries.get_partnership(session, actor, other_id)
    funds = queries.list_funds(session, actor, programme_id=request.programme_id)
    held = ledger.balances_by_fund(session, funds, partner_id=partner_id)
    waiting = queries.asked_minor(
        session, partner_id=partner_id, programme_id=request.programme_id, without=request.id,
        statuses=(RequestStatus.SUBMITTED,),
    )  # fmt: skip
    waiting_here = queries.asked_minor(
        session,
        partner_id=partner_id,
        fund_id=request.fund_id,
        without=request.id,
        statuses=(RequestStatus.SUBMITTED,),
    )
    granted = [balance[kind] for balance in held.values() for kind in GRANTED]
    allocation = queries.find_allocation(session, fund_id=request.fund_id, partner_id=partner_id)
    free = held[request.fund_id][AccountKind.ALLOCATED] if request.fund_id in held else Money.zero(currency)
    return Standing(
        today=clock.today(request.programme.zone),
        available=max(free - Money(waiting_here, currency), Money.zero(currency)),
        used=Money.total(granted, currency) + Money(waiting, currency),
        expires_on=allocation.expires_on if allocation else None,
        active=partnership.status is PartnershipStatus.ACTIVE,
        locale=actor.locale,
    )


def remind_overdue(session: Session, actor: Actor, request_id: UUID) -> int:
    """Tell the deciders again of a request past its due time, once a day; how many were told."""
    request = queries.get_request(session, actor, request_id)
    now = clock.now()
    if request.status is not RequestStatus.SUBMITTED or request.due_at is None or request.due_at > now:
        return 0
    return tell(
        session, request.vendor_id, ASKED_ROLES, "request_overdue",
        data=_told(request, actor), once_key=f"request_overdue:{request.id}:{now.date()}",
    )  # fmt: skip


def _load(session: Session, actor: Actor, request_id: UUID, *, expected_version: int | None = None) -> Request:
    request = queries.get_request(session, actor, request_id, lock=True)
    if expected_version is not None and request.row_version != expected_version:
        raise Stale()
    return request


def _refuse(checks: Sequence[RuleCheck]) -> None:
    if wrong := failures(checks):
        raise Invalid(wrong)


def _reason(reason: str) -> str:
    if not reason.strip():
        raise Invalid({"reason": "Say why, so that the partner knows what to do next."})
    return reason.strip()


def _version(session: Session, version_id: UUID) -> CampaignVersion:
    found = session.get(CampaignVersion, version_id)
    if found is None:
        raise NotFound()
    return found


def _named(version: CampaignVersion) -> str:
    return f"“{version.name}” version {version.number}"


def _fund(session: Session, request: Request) -> Fund:
    found = session.get(Fund, request.fund_id)
    if found is None:
        raise NotFound()
    return found


def _claims(session: Session, request: Request, *, activity_id: UUID | None = None) -> list[UUID]:
    """Ids of claims that count: all but drafts, and those withdrawn or denied."""
    statement = (
        select(Claim.id)
        .join(Activity, Activity.id == Claim.activity_id)
        .where(
            Activity.request_id == request.id,
            Claim.status.not_in((ClaimStatus.DRAFT, ClaimStatus.WITHDRAWN, ClaimStatus.DENIED)),
        )
    )
    if activity_id is not None:
        statement = statement.where(Activity.id == activity_id)
    return list(session.scalars(statement))


def _tell_partner(session: Session, actor: Actor, request: Request) -> None:
    tell(
        session, request.partner_id, (Role.PARTNER_ADMIN, Role.PARTNER_MARKETER), "request_decided",
        data=_told(request, actor), once_key=f"request_decided:{request.id}:{request.row_version}",
    )  # fmt: skip


def _told(request: Request, actor: Actor) -> dict[str, object]:
    """Plain values for the notification mails."""
    return {
        "url": f"{settings().public_origin}/requests/{request.id}", "number": request.number, "title": request.title,
        "status": str(request.status), "amount": request.budget.format(), "reason": request.decision_reason,
        "by": actor.organization_name, "due_at": f"{request.due_at:%d %B %Y}" if request.due_at else "",
        "claim_until": f"{request.claim_until:%d %B %Y}" if request.claim_until else "",
    }  # fmt: skip


def _working_days(since: datetime, days: int) -> datetime:
    """The same time of day, `days` weekdays later."""
    due = since
    while days:
        due += timedelta(days=1)
        days -= due.weekday() < 5
    return due


def _day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()
