"""Reads of programmes, funds, allocations, requests and ledger entries, scoped to the session's tenant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased, joinedload, selectinload

from tcma.access import Actor
from tcma.accounts.models import Organization, User
from tcma.campaigns.models import Campaign, CampaignVersion, Launch
from tcma.campaigns.states import CampaignStatus
from tcma.errors import NotFound
from tcma.mdf.ledger_models import LedgerAccount, LedgerEntry, LedgerTransaction
from tcma.mdf.models import Activity, Allocation, Fund, Programme, Request
from tcma.mdf.states import AccountKind, ProgrammeStatus, RequestStatus, Side

PAGE = 50


def get_programme(session: Session, actor: Actor, programme_id: UUID, *, lock: bool = False) -> Programme:
    """A vendor's own programme, or one open to the partner, with its activity types; or NotFound."""
    statement = select(Programme).options(selectinload(Programme.activity_types)).where(Programme.id == programme_id)
    if actor.is_vendor:
        statement = statement.where(Programme.vendor_id == actor.organization_id)
    else:
        statement = statement.where(Programme.status != ProgrammeStatus.DRAFT)
    if lock:
        statement = statement.with_for_update(of=Programme).execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_programmes(
    session: Session, actor: Actor, *, status: ProgrammeStatus | None = None, search: str = ""
) -> list[Programme]:
    """Programmes that the actor may see, by name, with their activity types. A vendor has few of them."""
    statement = select(Programme).options(selectinload(Programme.activity_types)).order_by(Programme.name, Programme.id)
    if actor.is_vendor:
        statement = statement.where(Programme.vendor_id == actor.organization_id)
    else:
        statement = statement.where(Programme.status != ProgrammeStatus.DRAFT)
    if status is not None:
        statement = statement.where(Programme.status == status)
    if search.strip():
        statement = statement.where(Programme.name.icontains(search.strip(), autoescape=True))
    return list(session.scalars(statement))


def get_fund(session: Session, actor: Actor, fund_id: UUID, *, lock: bool = False) -> Fund:
    """A fund with its programme, or NotFound. A partner sees those that have an allocation for it."""
    statement = select(Fund).options(joinedload(Fund.programme)).where(Fund.id == fund_id)
    if actor.is_vendor:
        statement = statement.where(Fund.vendor_id == actor.organization_id)
    else:
        statement = statement.where(_allocated_to(actor))
    if lock:  # the vendor's right only; the ledger locks by itself
        statement = statement.with_for_update(of=Fund).execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_funds(session: Session, actor: Actor, *, programme_id: UUID | None = None) -> list[Fund]:
    """A vendor's funds, or those in which the partner has an allocation; the newest first."""
    statement = select(Fund).options(joinedload(Fund.programme)).order_by(Fund.ends_on.desc(), Fund.id.desc())
    if actor.is_vendor:
        statement = statement.where(Fund.vendor_id == actor.organization_id)
    else:
        statement = statement.where(_allocated_to(actor))
    if programme_id is not None:
        statement = statement.where(Fund.programme_id == programme_id)
    return list(session.scalars(statement))


def _allocated_to(actor: Actor) -> ColumnElement[bool]:
    return (
        select(Allocation.id)
        .where(Allocation.fund_id == Fund.id, Allocation.partner_id == actor.organization_id)
        .exists()
    )


def find_allocation(session: Session, *, fund_id: UUID, partner_id: UUID) -> Allocation | None:
    return session.scalar(select(Allocation).where(Allocation.fund_id == fund_id, Allocation.partner_id == partner_id))


def list_allocations(
    session: Session, actor: Actor, *, fund_id: UUID | None = None, programme_id: UUID | None = None,
    after: UUID | None = None, limit: int | None = None,
) -> list[Allocation]:  # fmt: skip
    """Allocations of a vendor's funds, or the partner's own, the first to expire first; `after` pages on by id."""
    statement = select(Allocation).where(_party(Allocation, actor)).order_by(Allocation.expires_on, Allocation.id)
    if fund_id is not None:
        statement = statement.where(Allocation.fund_id == fund_id)
    if programme_id is not None:
        statement = statement.join(Fund, Fund.id == Allocation.fund_id).where(Fund.programme_id == programme_id)
    if after is not None:
        last = aliased(Allocation)
        statement = statement.join(last, last.id == after).where(
            tuple_(Allocation.expires_on, Allocation.id) > tuple_(last.expires_on, last.id)
        )
    return list(session.scalars(statement.limit(limit)))


def _party(table: type[Allocation] | type[Request], actor: Actor) -> ColumnElement[bool]:
    column = table.partner_id if actor.is_partner else table.vendor_id
    return column == actor.organization_id


_WITH_ACTIVITIES = (
    joinedload(Request.programme),
    selectinload(Request.activities).joinedload(Activity.activity_type),
)


def get_request(session: Session, actor: Actor, request_id: UUID, *, lock: bool = False) -> Request:
    """A request with its activities, or NotFound. A draft is the partner's own: its vendor sees none."""
    if lock:
        # Locked by itself first: a row lock cannot be taken on the outer side of the joins below.
        session.execute(select(Request.id).where(Request.id == request_id).with_for_update()).first()
    statement = (
        select(Request)
        .options(*_WITH_ACTIVITIES)
        .where(Request.id == request_id, _visible(actor))
        .execution_options(populate_existing=lock)
    )
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def get_activity(session: Session, actor: Actor, activity_id: UUID) -> Activity:
    """An activity with its request, or NotFound."""
    found = session.scalar(
        select(Activity)
        .join(Activity.request)
        .options(joinedload(Activity.request), joinedload(Activity.activity_type))
        .where(Activity.id == activity_id, _visible(actor))
    )
    if found is None:
        raise NotFound()
    return found


def _visible(actor: Actor) -> ColumnElement[bool]:
    mine = _party(Request, actor)
    if actor.is_partner:
        return mine
    unseen = (Request.status == RequestStatus.DRAFT) | (
        (Request.status == RequestStatus.WITHDRAWN) & Request.submitted_at.is_(None)
    )
    return and_(mine, ~unseen)


def _requests(
    actor: Actor,
    *,
    status: RequestStatus | None,
    search: str,
    programme_id: UUID | None,
    partner_id: UUID | None,
    fund_id: UUID | None,
) -> Select[Request]:
    statement = select(Request).where(_visible(actor))
    if status is not None:
        statement = statement.where(Request.status == status)
    for column, value in (
        (Request.programme_id, programme_id),
        (Request.partner_id, partner_id),
        (Request.fund_id, fund_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if words := search.strip():
        named = select(Organization.id).where(Organization.name.icontains(words, autoescape=True))
        statement = statement.where(
            or_(
                Request.title.icontains(words, autoescape=True),
                Request.number.istartswith(words, autoescape=True),
                Request.partner_id.in_(named),
            )
        )
    return statement


def list_requests(
    session: Session,
    actor: Actor,
    *,
    status: RequestStatus | None = None,
    search: str = "",
    programme_id: UUID | None = None,
    partner_id: UUID | None = None,
    fund_id: UUID | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    limit: int = PAGE,
) -> tuple[list[Request], bool]:
    """One page of requests, the newest first, and whether more follow in that direction.

    `after` is the id of the last row of the page before (older rows follow), `before` that of the first row
    of the page after. Ids are sorted by time of making.
    """
    statement = _requests(
        actor, status=status, search=search, programme_id=programme_id, partner_id=partner_id, fund_id=fund_id
    ).options(*_WITH_ACTIVITIES)
    if before is not None:
        statement = statement.where(Request.id > before).order_by(Request.id)
    else:
        statement = statement.order_by(Request.id.desc())
        if after is not None:
            statement = statement.where(Request.id < after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit


def count_requests(session: Session, actor: Actor) -> dict[RequestStatus, int]:
    """How many requests the actor sees in each state; states without any are left out."""
    statement = select(Request.status, func.count()).where(_visible(actor)).group_by(Request.status)
    rows: Any = session.execute(statement)
    return dict(rows.all())


def asked_minor(
    session: Session,
    *,
    partner_id: UUID,
    statuses: Sequence[RequestStatus],
    programme_id: UUID | None = None,
    fund_id: UUID | None = None,
    without: UUID | None = None,
) -> int:
    """Minor units that this partner's requests in `statuses` ask for, in a programme or a fund."""
    statement = (
        select(func.coalesce(func.sum(Activity.requested_minor), 0))
        .join(Request, Request.id == Activity.request_id)
        .where(Request.partner_id == partner_id, Request.status.in_(statuses))
    )
    if programme_id is not None:
        statement = statement.where(Request.programme_id == programme_id)
    if fund_id is not None:
        statement = statement.where(Request.fund_id == fund_id)
    if without is not None:
        statement = statement.where(Request.id != without)
    return int(session.scalar(statement) or 0)


def names_of(session: Session, organization_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Names of the organizations that the session's tenant may see."""
    if not organization_ids:
        return {}
    rows: Any = session.execute(
        select(Organization.id, Organization.name).where(Organization.id.in_(set(organization_ids)))
    )
    return dict(rows.all())


@dataclass(frozen=True)
class EntryFilter:
    """Which ledger entries: those that match all that is given."""

    fund_id: UUID | None = None
    kind: AccountKind | None = None
    partner_id: UUID | None = None
    source_type: str | None = None
    source_id: UUID | None = None
    ref_id: UUID | None = None
    search: str = ""


def list_entries(
    session: Session,
    actor: Actor,
    wanted: EntryFilter,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> tuple[list[LedgerEntry], bool]:
    """One page of entries with transaction and account, the newest first, and whether more follow.

    A partner sees only its own legs. `after` and `before` are entry ids.
    """
    statement = _entries(select(LedgerEntry), actor, wanted).options(
        joinedload(LedgerEntry.transaction), joinedload(LedgerEntry.account)
    )
    if before is not None:
        statement = statement.where(LedgerEntry.id > before).order_by(LedgerEntry.id)
    else:
        statement = statement.order_by(LedgerEntry.id.desc())
        if after is not None:
            statement = statement.where(LedgerEntry.id < after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    page = rows[:limit]
    return (page[::-1] if before is not None else page), len(rows) > limit


def entry_totals(session: Session, actor: Actor, wanted: EntryFilter) -> list[tuple[str, int, int]]:
    """What the matching entries add up to: (currency, debited, credited) in minor units, by currency."""
    totals: list[Any] = [
        func.coalesce(func.sum(LedgerEntry.amount_minor).filter(LedgerEntry.side == side), 0)
        for side in (Side.DEBIT, Side.CREDIT)
    ]
    statement: Select[Any] = _entries(select(LedgerEntry.currency, *totals), actor, wanted)
    rows: Any = session.execute(statement.group_by(LedgerEntry.currency).order_by(LedgerEntry.currency))
    return [(currency, int(debited), int(credited)) for currency, debited, credited in rows]


def _entries(statement: Select[Any], actor: Actor, wanted: EntryFilter) -> Select[Any]:
    owner = LedgerEntry.partner_id if actor.is_partner else LedgerEntry.vendor_id
    statement = (
        statement.join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(owner == actor.organization_id)
    )
    conditions = (
        (LedgerAccount.fund_id, wanted.fund_id),
        (LedgerAccount.kind, wanted.kind),
        (LedgerEntry.partner_id, wanted.partner_id),
        (LedgerTransaction.source_type, wanted.source_type),
        (LedgerTransaction.source_id, wanted.source_id),
        (LedgerAccount.ref_id, wanted.ref_id),
    )
    for column, value in conditions:
        if value is not None:
            statement = statement.where(column == value)
    if words := wanted.search.strip():
        statement = statement.where(LedgerTransaction.memo.icontains(words, autoescape=True))
    return statement


def campaign_choices(session: Session, vendor_id: UUID) -> list[tuple[UUID, str]]:
    """Published campaigns of a vendor that the session's tenant may see: (version id, name)."""
    rows: Any = session.execute(
        select(CampaignVersion.id, CampaignVersion.name)
        .join(Campaign, Campaign.current_version_id == CampaignVersion.id)
        .where(Campaign.vendor_id == vendor_id, Campaign.status == CampaignStatus.PUBLISHED)
        .order_by(CampaignVersion.name)
    )
    return [(version_id, name) for version_id, name in rows]


def launch_choices(session: Session, actor: Actor, vendor_id: UUID) -> list[tuple[UUID, str]]:
    """The partner's launches for a vendor, the newest first: (id, name)."""
    rows: Any = session.execute(
        select(Launch.id, Launch.name)
        .where(Launch.partner_id == actor.organization_id, Launch.vendor_id == vendor_id)
        .order_by(Launch.id.desc())
        .limit(200)
    )
    return [(launch_id, name) for launch_id, name in rows]


def people(session: Session, user_ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Names of those users."""
    wanted = {one for one in user_ids if one is not None}
    rows: Any = session.execute(select(User.id, User.name).where(User.id.in_(wanted)))
    return dict(rows.all()) if wanted else {}
