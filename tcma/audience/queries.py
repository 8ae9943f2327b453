"""Reads of contacts, lists, imports and of who may be written to, scoped to the session's tenant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.audience.models import (
    AudienceCount,
    Consent,
    Contact,
    ContactList,
    Import,
    ImportRow,
    ListMember,
    Suppression,
)
from tcma.audience.states import SuppressionScope
from tcma.db import numbered
from tcma.errors import NotFound

MAX_ID = 2**63
REFUSALS = ("suppressed_platform", "suppressed_vendor", "suppressed_partner", "no_consent")


def get_contact(session: Session, actor: Actor, contact_id: int, *, lock: bool = False) -> Contact:
    statement = select(Contact).where(Contact.partner_id == actor.organization_id, Contact.id == contact_id)
    if not 0 < contact_id < MAX_ID:
        raise NotFound()
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None or found.erased_at is not None:
        raise NotFound()
    return found


def get_contacts(session: Session, actor: Actor, contact_ids: Iterable[int]) -> list[Contact]:
    """These contacts by id; raises NotFound if one of them is not the actor's."""
    wanted = {one for one in contact_ids if 0 < one < MAX_ID}
    asked = set(contact_ids)
    statement = select(Contact).where(
        Contact.partner_id == actor.organization_id, Contact.id.in_(wanted), Contact.erased_at.is_(None)
    )
    found = list(session.scalars(statement.order_by(Contact.id))) if wanted else []
    if len(found) < len(asked):
        raise NotFound()
    return found


def find_contact_by_key(session: Session, partner_id: UUID, email_key: bytes) -> Contact | None:
    return session.scalar(
        select(Contact).where(
            Contact.partner_id == partner_id, Contact.email_key == email_key, Contact.erased_at.is_(None)
        )
    )


def prefix(column: Any, wanted: str) -> Any:
    """`column` begins with `wanted`, in a form whose index works under row-level security (DESIGN section 3)."""
    return and_(column.op("~>=~")(wanted), column.op("~<~")(wanted + "\U0010ffff"))


def list_contacts(
    session: Session, actor: Actor, *, search: str = "", list_id: UUID | None = None, after: int = 0, limit: int = 50
) -> list[Contact]:
    """Contacts by id; `search` is the beginning of an address, last name or company."""
    statement = select(Contact).where(
        Contact.partner_id == actor.organization_id, Contact.id > after, Contact.erased_at.is_(None)
    )
    wanted = search.replace("\0", "").strip().lower()
    if wanted:
        statement = statement.where(
            or_(
                prefix(Contact.lower_email, wanted),
                prefix(Contact.lower_last_name, wanted),
                prefix(Contact.lower_company, wanted),
            )
        )
    if list_id is not None:
        statement = statement.where(
            exists().where(
                ListMember.partner_id == Contact.partner_id,
                ListMember.contact_id == Contact.id,
                ListMember.list_id == list_id,
            )
        )
    return list(session.scalars(statement.order_by(Contact.id).limit(limit)))


def list_lists(session: Session, actor: Actor) -> list[tuple[ContactList, int]]:
    """Each list with how many contacts are on it, by name."""
    statement = (
        select(ContactList, func.coalesce(func.sum(AudienceCount.number), 0))
        .outerjoin(
            AudienceCount,
            and_(AudienceCount.list_id == ContactList.id, AudienceCount.partner_id == ContactList.partner_id),
        )
        .where(ContactList.partner_id == actor.organization_id)
        .group_by(ContactList.id)
        .order_by(ContactList.name)
    )
    return [(row[0], int(row[1])) for row in session.execute(statement)]


def get_list(session: Session, actor: Actor, list_id: UUID) -> ContactList:
    found = session.scalar(
        select(ContactList).where(ContactList.partner_id == actor.organization_id, ContactList.id == list_id)
    )
    if found is None:
        raise NotFound()
    return found


def lists_of_contact(session: Session, contact: Contact) -> list[ContactList]:
    statement = (
        select(ContactList)
        .join(ListMember, ListMember.list_id == ContactList.id)
        .where(ListMember.partner_id == contact.partner_id, ListMember.contact_id == contact.id)
        .order_by(ContactList.name)
    )
    return list(session.scalars(statement))


def consents_of(session: Session, contact: Contact) -> list[Consent]:
    statement = (
        select(Consent)
        .where(Consent.partner_id == contact.partner_id, Consent.contact_id == contact.id)
        .order_by(Consent.id.desc())
    )
    return list(session.scalars(statement))


def get_import(session: Session, actor: Actor, import_id: UUID, *, lock: bool = False) -> Import:
    statement = select(Import).where(Import.partner_id == actor.organization_id, Import.id == import_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound()
    return found


def list_imports(session: Session, actor: Actor, *, limit: int = 20) -> list[Import]:
    statement = select(Import).where(Import.partner_id == actor.organization_id).order_by(Import.id.desc()).limit(limit)
    return list(session.scalars(statement))


def import_rows(
    session: Session, actor: Actor, import_id: UUID, *, after: int = 0, limit: int = 100, verdict: str | None = None
) -> list[ImportRow]:
    """Rows with something to say, by their number in the file; `verdict` is refused or warning."""
    statement = select(ImportRow).where(
        ImportRow.partner_id == actor.organization_id, ImportRow.import_id == import_id, ImportRow.row_number > after
    )
    if verdict is not None:
        statement = statement.where(ImportRow.verdict == verdict)
    return list(session.scalars(statement.order_by(ImportRow.row_number).limit(limit)))


def _live(suppression: Any) -> Any:
    return or_(suppression.until.is_(None), suppression.until > clock.now())


def _suppressed(scope: SuppressionScope, *, partner_id: UUID, vendor_id: UUID | None) -> Any:
    """Whether the contact's address is refused in `scope`."""
    conditions = [Suppression.email_key == Contact.email_key, Suppression.scope == scope, _live(Suppression)]
    if scope is SuppressionScope.PARTNER:
        conditions.append(Suppression.partner_id == partner_id)
    if scope is SuppressionScope.VENDOR:
        conditions.append(Suppression.vendor_id == vendor_id)
    return exists().where(*conditions)


def refusal_of(partner_id: UUID, vendor_id: UUID | None) -> Any:
    """SQL for why a contact may not be written to for this vendor, or NULL where it may.

    Without a vendor only what holds for all of them counts.
    """
    latest = (
        select(Consent.withdrawn)
        .where(
            Consent.partner_id == partner_id,
            Consent.contact_id == Contact.id,
            or_(Consent.vendor_id.is_(None), Consent.vendor_id == vendor_id),
            or_(Consent.expires_at.is_(None), Consent.expires_at > clock.now()),
        )
        .order_by(Consent.id.desc())
        .limit(1)
        .correlate(Contact)
        .scalar_subquery()
    )
    scopes = (SuppressionScope.PLATFORM, SuppressionScope.VENDOR, SuppressionScope.PARTNER)
    return case(
        *((_suppressed(scope, partner_id=partner_id, vendor_id=vendor_id), f"suppressed_{scope}") for scope in scopes),
        (func.coalesce(latest, True), "no_consent"),
        else_=None,
    )


def audience_rows(partner_id: UUID, vendor_id: UUID, audience: dict[str, Any]) -> Select[Any]:
    """(contact_id, email, email_key, country, refusal) of all who are on the chosen lists and on none of the excluded ones."""
    wanted = [UUID(one) for one in audience.get("lists", [])]
    excluded = [UUID(one) for one in audience.get("exclude_lists", [])]
    on = exists().where(
        ListMember.partner_id == Contact.partner_id, ListMember.contact_id == Contact.id, ListMember.list_id.in_(wanted)
    )
    statement = select(
        Contact.id.label("contact_id"),
        Contact.email.label("email"),
        Contact.email_key.label("email_key"),
        Contact.country.label("country"),
        refusal_of(partner_id, vendor_id).label("refusal"),
    ).where(Contact.partner_id == partner_id, Contact.erased_at.is_(None), on)
    if excluded:
        statement = statement.where(
            ~exists().where(
                ListMember.partner_id == Contact.partner_id,
                ListMember.contact_id == Contact.id,
                ListMember.list_id.in_(excluded),
            )
        )
    return statement


def audience_counts(session: Session, partner_id: UUID, vendor_id: UUID, audience: dict[str, Any]) -> dict[str, int]:
    """How many are in the audience (`total`), may be written to (`sendable`), and each refusal by name."""
    rows = audience_rows(partner_id, vendor_id, audience).subquery()
    found = {row[0]: row[1] for row in session.execute(select(rows.c.refusal, func.count()).group_by(rows.c.refusal))}
    counts = {name: found.get(name, 0) for name in REFUSALS}
    return {"total": sum(found.values()), "sendable": found.get(None, 0), **counts}


def still_refused(session: Session, partner_id: UUID, vendor_id: UUID | None, contact_ids: list[int]) -> dict[int, str]:
    """Of these contacts those who must not be written to now, with why: the check at send time."""
    if not contact_ids:
        return {}
    wanted = numbered(contact_ids)
    rows = (
        select(Contact.id, refusal_of(partner_id, vendor_id).label("refusal"))
        .where(Contact.partner_id == partner_id, Contact.id == wanted.c.id)
        .limit(1)
        .lateral()
    )
    statement = select(rows.c.id, rows.c.refusal).select_from(wanted.join(rows, true())).where(rows.c.refusal.is_not(None))
    return {row[0]: row[1] for row in session.execute(statement)}


def contact_values(session: Session, partner_id: UUID, contact_ids: list[int]) -> dict[int, dict[str, Any]]:
    """`contact.*` of the template language by contact id; erased contacts are left out."""
    if not contact_ids:
        return {}
    names = ("email", "first_name", "last_name", "company", "job_title", "city", "country", "no_tracking")
    wanted = numbered(contact_ids)
    rows = (
        select(Contact.id, *(getattr(Contact, name) for name in names))
        .where(Contact.partner_id == partner_id, Contact.id == wanted.c.id, Contact.erased_at.is_(None))
        .limit(1)
        .lateral()
    )
    statement = select(rows).select_from(wanted.join(rows, true()))
    found: dict[int, dict[str, Any]] = {}
    for row in session.execute(statement):
        values = dict(zip(names, row[1:], strict=True))
        values["full_name"] = f"{values['first_name']} {values['last_name']}".strip()
        found[row[0]] = values
    return found


def audience_sample(
    session: Session, partner_id: UUID, vendor_id: UUID, audience: dict[str, Any], *, limit: int = 8
) -> list[int]:
    """A few contact ids of the audience, to preview as."""
    rows = audience_rows(partner_id, vendor_id, audience).subquery()
    return list(session.scalars(select(rows.c.contact_id).where(rows.c.refusal.is_(None)).limit(limit)))


def count_contacts(session: Session, actor: Actor) -> int:
    """How many contacts the actor's organization has."""
    statement = select(func.sum(AudienceCount.number)).where(
        AudienceCount.partner_id == actor.organization_id, AudienceCount.list_id.is_(None)
    )
    return int(session.scalar(statement) or 0)


def audience_edition(session: Session, partner_id: UUID) -> tuple[int, int]:
    """Another value whenever contacts or list members of the partner have come or gone."""
    row = session.execute(
        select(func.count(), func.max(AudienceCount.id)).where(AudienceCount.partner_id == partner_id)
    ).one()
    return row[0], row[1] or 0


def suppression_of(session: Session, partner_id: UUID, email_key: bytes) -> Suppression | None:
    """The partner's own suppression of an address, if it holds now."""
    return session.scalar(
        select(Suppression).where(
            Suppression.scope == SuppressionScope.PARTNER,
            Suppression.partner_id == partner_id,
            Suppression.email_key == email_key,
            _live(Suppression),
        )
    )
