"""Adding up what triggers noted of contacts and list members that came and went, so that few rows tell how many there are."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, func, insert, literal, select
from sqlalchemy.orm import Session

from tcma.audience.models import AudienceCount
from tcma.db import elevated, unit_of_work

MANY = 20
PARTNERS_AT_A_TIME = 500


def add_up() -> int:
    """Put one row in the place of many wherever they are many; for how many partners. For a sweep."""
    with unit_of_work(None) as session, elevated(session, "a sweep adds up the counts of every partner"):
        many: list[UUID] = list(
            session.scalars(
                select(AudienceCount.partner_id)
                .group_by(AudienceCount.partner_id, AudienceCount.list_id)
                .having(func.count() > MANY)
                .distinct()
                .limit(PARTNERS_AT_A_TIME)
            )
        )
        for partner_id in many:
            add_up_partner(session, partner_id)
    return len(many)


def add_up_partner(session: Session, partner_id: UUID) -> None:
    """One statement, so that a reader sees all rows or their sum. A row goes to one sweep only, if several run at once."""
    gone = (
        delete(AudienceCount)
        .where(AudienceCount.partner_id == partner_id)
        .returning(AudienceCount.list_id, AudienceCount.number)
        .cte("gone")
    )
    summed = func.sum(gone.c.number)
    rows = select(literal(partner_id, AudienceCount.partner_id.type), gone.c.list_id, summed)
    session.execute(
        insert(AudienceCount).from_select(
            ["partner_id", "list_id", "number"], rows.group_by(gone.c.list_id).having(summed != 0)
        ),
        execution_options={"synchronize_session": False},
    )
