"""What happens by itself: money expires when its last day has passed, and decisions that are late are asked for.

The sweeps look over all tenants and only ask for work, one message a row; each piece of work checks for itself
that it is still due, so that twice does nothing more than once.
"""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from tcma import audit, clock, jobs
from tcma.access import Actor
from tcma.db import elevated
from tcma.errors import NotFound
from tcma.mdf import ledger, queries
from tcma.mdf.balances import SUM
from tcma.mdf.ledger_models import LedgerAccount, LedgerEntry
from tcma.mdf.models import Activity, Allocation, Claim, Programme, Request
from tcma.mdf.states import AccountKind, ClaimStatus, RequestStatus

GRACE_DAYS = 5  # a claim filed this late still counts (facts: dates in window, filed in time)
RETURNED_DAYS = 14  # for a claim that was returned, to be mended and sent again


def sweep_expiry(session: Session) -> int:
    """Ask for the expiry of each allocation and request whose money is left and whose last day has passed."""
    # No zone is more than a day from UTC: rows are taken a day early, the work itself knows the zone.
    tomorrow = clock.today() + timedelta(days=1)
    with elevated(session, "sweep: money that expires"):
        allocations = session.execute(
            select(Allocation.vendor_id, Allocation.id)
            .where(Allocation.expires_on < tomorrow, _allocated_left())
            .order_by(Allocation.id)
            .limit(1000)
        ).all()
        requests = session.execute(
            select(Request.vendor_id, Request.id)
            .where(
                Request.claim_until < tomorrow - timedelta(days=GRACE_DAYS),
                (Request.status == RequestStatus.APPROVED)
                | ((Request.status == RequestStatus.EXPIRED) & _committed_left()),
            )
            .order_by(Request.id)
            .limit(1000)
        ).all()
    for vendor_id, allocation_id in allocations:
        jobs.enqueue(session, "tcma.mdf.expire_allocation", vendor_id, allocation_id)
    for vendor_id, request_id in requests:
        jobs.enqueue(session, "tcma.mdf.expire_request", vendor_id, request_id)
    return len(allocations) + len(requests)


def sweep_overdue(session: Session) -> int:
    """Ask for a reminder of each request that waits for its decision past its due time."""
    with elevated(session, "sweep: decisions that are late"):
        rows = session.execute(
            select(Request.vendor_id, Request.id)
            .where(Request.status == RequestStatus.SUBMITTED, Request.due_at < clock.now())
            .order_by(Request.id)
            .limit(1000)
        ).all()
    for vendor_id, request_id in rows:
        jobs.enqueue(session, "tcma.mdf.remind_overdue", vendor_id, request_id)
    return len(rows)


def expire_allocation(session: Session, actor: Actor, allocation_id: UUID) -> bool:
    """Let what is left of an allocation expire if its last day has passed; whether anything did."""
    allocation = session.get(Allocation, allocation_id)
    if allocation is None:
        raise NotFound()
    fund = queries.get_fund(session, actor, allocation.fund_id, lock=True)
    if allocation.expires_on >= _today(fund.programme):
        return False
    posted = ledger.expire_allocation(session, actor, fund, allocation)
    if posted is not None:
        audit.record(session, actor, "allocation.expire", allocation, after={"transaction_id": posted.id})
    return posted is not None


def expire_request(session: Session, actor: Actor, request_id: UUID) -> bool:
    """Let what is committed and not claimed expire once the time to claim is over; whether anything happened.

    It waits while a claim is before the reviewer, and for some days after one was returned.
    """
    request = queries.get_request(session, actor, request_id, lock=True)
    if request.claim_until is None or request.status not in (RequestStatus.APPROVED, RequestStatus.EXPIRED):
        return False
    last_day = request.claim_until + timedelta(days=GRACE_DAYS)
    if last_day >= _today(request.programme) or _claim_waits(session, request):
        return False
    moved = request.status is RequestStatus.APPROVED
    if moved:
        request.expire(by=actor, at=clock.now())
    fund = queries.get_fund(session, actor, request.fund_id)
    posted = ledger.expire_request(session, actor, fund, request)
    session.flush()
    return moved or posted is not None


def _allocated_left() -> ColumnElement[bool]:
    held = (
        select(SUM)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(
            LedgerAccount.kind == AccountKind.ALLOCATED,
            LedgerAccount.fund_id == Allocation.fund_id,
            LedgerAccount.partner_id == Allocation.partner_id,
        )
        .correlate(Allocation)
    )
    return held.scalar_subquery() > 0


def _committed_left() -> ColumnElement[bool]:
    held = (
        select(SUM)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .join(Activity, Activity.id == LedgerAccount.ref_id)
        .where(LedgerAccount.kind == AccountKind.COMMITTED, Activity.request_id == Request.id)
        .correlate(Request)
    )
    return held.scalar_subquery() > 0


def _today(programme: Programme) -> date:
    return clock.today(programme.zone)


def _claim_waits(session: Session, request: Request) -> bool:
    recently = clock.now() - timedelta(days=RETURNED_DAYS)
    statement = (
        select(func.count())
        .select_from(Claim)
        .join(Activity, Activity.id == Claim.activity_id)
        .where(
            Activity.request_id == request.id,
            (Claim.status == ClaimStatus.SUBMITTED)
            | ((Claim.status == ClaimStatus.RETURNED) & (Claim.decided_at > recently)),
        )
    )
    return bool(session.scalar(statement))
