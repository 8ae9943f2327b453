"""Use cases of the audience: lists, single contacts, suppression, export and erasure of one person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import audit, clock, events
from tcma.access import Actor, Kind, Permission
from tcma.audience import queries
from tcma.audience.addresses import AddressRefused, email_key, normalise
from tcma.audience.models import Consent, Contact, ContactList, Import, ImportRow, ListMember, Suppression
from tcma.audience.states import ConsentBasis, SuppressionReason, SuppressionScope
from tcma.config import settings
from tcma.errors import Invalid

OWN_REFUSALS = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.PAUSED)
TEXT_FIELDS = ("first_name", "last_name", "company", "job_title", "phone", "city", "country", "language")


def key_of(address: str) -> bytes:
    """The key under which an address is known everywhere; raises Invalid for what is no address."""
    return email_key(address, secret=settings().suppression_secret)


def create_list(session: Session, actor: Actor, *, name: str, description: str = "") -> ContactList:
    """A new list; the partner's list of that name if there is one."""
    actor.require(Permission.CONTACT_MANAGE)
    actor.require_kind(Kind.PARTNER)
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80:
        raise Invalid({"name": "Give the list a name of 1 to 80 characters."})
    found = session.scalar(
        select(ContactList).where(ContactList.partner_id == actor.organization_id, ContactList.name == name)
    )
    if found is None:
        found = ContactList(partner_id=actor.organization_id, name=name, description=description.strip()[:300])
        session.add(found)
        session.flush()
        audit.record(session, actor, "list.create", found)
    return found


def delete_list(session: Session, actor: Actor, list_id: UUID) -> None:
    """Remove a list; its contacts stay."""
    actor.require(Permission.CONTACT_MANAGE)
    found = queries.get_list(session, actor, list_id)
    audit.record(session, actor, "list.delete", found)
    session.delete(found)
    session.flush()


def add_to_list(session: Session, actor: Actor, list_id: UUID, contact_ids: Iterable[int]) -> None:
    """Put contacts on a list; those who are on it already stay. Raises NotFound for what is not the actor's."""
    actor.require(Permission.CONTACT_MANAGE)
    chosen = queries.get_list(session, actor, list_id)
    rows = [
        {"list_id": chosen.id, "contact_id": one.id, "partner_id": actor.organization_id, "added_at": clock.now()}
        for one in queries.get_contacts(session, actor, list(contact_ids))
    ]
    if rows:
        session.execute(insert(ListMember).values(rows).on_conflict_do_nothing())


def leave_list(session: Session, actor: Actor, list_id: UUID, contact_id: int) -> None:
    """Take one contact off a list; the contact stays."""
    actor.require(Permission.CONTACT_MANAGE)
    chosen = queries.get_list(session, actor, list_id)
    session.execute(
        delete(ListMember).where(
            ListMember.partner_id == actor.organization_id, ListMember.list_id == chosen.id,
            ListMember.contact_id == contact_id,
        )
    )  # fmt: skip


def add_contact(
    session: Session, actor: Actor, *, email: str, basis: ConsentBasis, source: str, list_ids: Iterable[UUID] = (),
    **fields: str,
) -> Contact:  # fmt: skip
    """Add one person, or bring one up to date, with the ground on which the partner writes to them.

    Raises Invalid for an address that cannot be written to. A suppression stays: adding someone is no consent of theirs.
    """
    actor.require(Permission.CONTACT_MANAGE)
    actor.require_kind(Kind.PARTNER)
    try:
        address = normalise(email)
    except AddressRefused as error:
        raise Invalid({"email": error.reason.message}) from None
    if not source.strip():
        raise Invalid({"source": "Say where the consent comes from, such as “signed up at our fair”."})
    key = email_key(address, secret=settings().suppression_secret)
    contact = session.scalar(
        select(Contact).where(Contact.partner_id == actor.organization_id, Contact.email_key == key)
    )
    if contact is None:
        contact = Contact(partner_id=actor.organization_id, email=address.address, email_key=key)
        session.add(contact)
    contact.email, contact.erased_at = address.address, None
    for name in TEXT_FIELDS:
        if fields.get(name):
            setattr(contact, name, " ".join(str(fields[name]).split())[:200])
    session.flush()
    session.add(
        Consent(
            partner_id=contact.partner_id, contact_id=contact.id, basis=basis, source=source.strip()[:300],
            wording_version="manual-1", at=clock.now(),
        )
    )  # fmt: skip
    for list_id in list_ids:
        add_to_list(session, actor, list_id, [contact.id])
    session.flush()
    return contact


def edit_contact(session: Session, actor: Actor, contact_id: int, **fields: Any) -> Contact:
    actor.require(Permission.CONTACT_MANAGE)
    contact = queries.get_contact(session, actor, contact_id, lock=True)
    for name in TEXT_FIELDS:
        if name in fields:
            setattr(contact, name, " ".join(str(fields[name] or "").split())[:200])
    if "no_tracking" in fields:
        contact.no_tracking = bool(fields["no_tracking"])
    return contact


def suppress(
    session: Session, actor: Actor, *, partner_id: UUID | None, email_key: bytes, reason: SuppressionReason, source: str,
    scope: SuppressionScope = SuppressionScope.PARTNER, vendor_id: UUID | None = None, until: datetime | None = None,
) -> None:  # fmt: skip
    """Refuse an address from now on, at once and for ever (or `until`); a repeat changes nothing.

    Later rooms hear of a partner's suppression and skip what is pending.
    """
    row = {
        "scope": scope, "partner_id": partner_id if scope is SuppressionScope.PARTNER else None,
        "vendor_id": vendor_id if scope is SuppressionScope.VENDOR else None, "email_key": email_key, "reason": reason,
        "source": source[:200], "until": until, "created_by": actor.user_id, "created_at": clock.now(),
    }  # fmt: skip
    session.execute(
        insert(Suppression)
        .values(row)
        .on_conflict_do_update(
            index_elements=["scope", "partner_id", "vendor_id", "email_key"],
            set_={"until": until, "reason": reason, "source": source[:200]},
            where=Suppression.until.is_not(None),
        )
    )
    if scope is SuppressionScope.PARTNER and partner_id is not None:
        contact = queries.find_contact_by_key(session, partner_id, email_key)
        if contact is not None and reason is SuppressionReason.UNSUBSCRIBED:
            _withdraw(session, contact, source)
        events.publish(session, actor, events.ContactSuppressed(partner_id, email_key, str(reason)))


def _withdraw(session: Session, contact: Contact, source: str) -> None:
    """Consent is append-only: a withdrawal is a row of its own, on the ground that it ends."""
    latest = next(iter(queries.consents_of(session, contact)), None)
    if latest is not None and not latest.withdrawn:
        session.add(
            Consent(
                partner_id=contact.partner_id, contact_id=contact.id, basis=latest.basis, purpose=latest.purpose,
                source=source[:300], withdrawn=True, at=clock.now(),
            )
        )  # fmt: skip
        session.flush()


def lift_own_refusal(
    session: Session, *, scope: SuppressionScope, email_key: bytes, partner_id: UUID | None = None,
    vendor_id: UUID | None = None,
) -> bool:  # fmt: skip
    """Take back what the person themselves refused in `scope`; True if there was something.

    What a bounce, a complaint, an erasure or the partner refused stays: a link in a mail is no proof against those.
    """
    gone = session.scalars(
        delete(Suppression)
        .where(
            Suppression.scope == scope, Suppression.email_key == email_key, Suppression.reason.in_(OWN_REFUSALS),
            Suppression.partner_id.is_not_distinct_from(partner_id), Suppression.vendor_id.is_not_distinct_from(vendor_id),
        )
        .returning(Suppression.id)
    )  # fmt: skip
    return bool(gone.all())


def consent_again(session: Session, actor: Actor, contact: Contact, *, source: str) -> None:
    """Put a new consent behind a withdrawn one, on the person's own word; nothing where none was withdrawn."""
    latest = next(iter(queries.consents_of(session, contact)), None)
    if latest is not None and latest.withdrawn:
        session.add(
            Consent(
                partner_id=contact.partner_id, contact_id=contact.id, basis=ConsentBasis.OPT_IN, purpose=latest.purpose,
                source=source[:300], wording_version="preferences-1", at=clock.now(),
            )
        )  # fmt: skip
        session.flush()
        audit.record(session, actor, "contact.resubscribe", contact, reason=source)


def suppress_contact(session: Session, actor: Actor, contact_id: int) -> None:
    """The partner itself never writes to this person again."""
    actor.require(Permission.CONTACT_MANAGE)
    contact = queries.get_contact(session, actor, contact_id)
    suppress(
        session, actor, partner_id=contact.partner_id, email_key=contact.email_key, reason=SuppressionReason.MANUAL,
        source="by the partner",
    )  # fmt: skip
    audit.record(session, actor, "contact.suppress", contact)


def export_contact(session: Session, actor: Actor, contact_id: int) -> dict[str, Any]:
    """All that the partner holds of one person, as plain values (GDPR Art. 15 and 20)."""
    actor.require(Permission.CONTACT_READ)
    contact = queries.get_contact(session, actor, contact_id)
    held = queries.suppression_of(session, contact.partner_id, contact.email_key)
    audit.record(session, actor, "contact.export", contact)
    return {
        "email": contact.email,
        **{name: getattr(contact, name) for name in TEXT_FIELDS},
        "no_tracking": contact.no_tracking,
        "added_at": contact.created_at.isoformat(),
        "lists": [one.name for one in queries.lists_of_contact(session, contact)],
        "consents": [
            {"basis": str(one.basis), "purpose": one.purpose, "source": one.source, "at": one.at.isoformat(),
             "withdrawn": one.withdrawn}
            for one in queries.consents_of(session, contact)
        ],
        "suppressed": None if held is None else {"reason": str(held.reason), "since": held.created_at.isoformat()},
    }  # fmt: skip


def erase_contact(session: Session, actor: Actor, contact_id: int) -> None:
    """Delete a person's data (GDPR Art. 17); a keyed hash stays, so that they are never written to again.

    Counts stay true: rows that count them stay, without address or name. Cannot be undone.
    """
    actor.require(Permission.CONTACT_ERASE)
    contact = queries.get_contact(session, actor, contact_id, lock=True)
    key, partner_id = contact.email_key, contact.partner_id
    address = contact.email
    suppress(
        session,
        actor,
        partner_id=partner_id,
        email_key=key,
        reason=SuppressionReason.ERASED,
        source="erased on request",
    )
    session.execute(delete(ListMember).where(ListMember.partner_id == partner_id, ListMember.contact_id == contact.id))
    _forget_in_imports(session, partner_id, address)
    contact.email = ""
    for name in TEXT_FIELDS:
        setattr(contact, name, "")
    contact.no_tracking, contact.erased_at = True, clock.now()
    session.flush()
    audit.record(session, actor, "contact.erase", contact)
    events.publish(session, actor, events.ContactErased(partner_id, contact.id, key))


def _forget_in_imports(session: Session, partner_id: UUID, address: str) -> None:
    """Take a person's rows out of what imports keep: rows with a verdict, and the first rows shown while mapping."""
    told = func.lower(cast(ImportRow.cells, Text)).contains(address.lower(), autoescape=True)
    session.execute(delete(ImportRow).where(ImportRow.partner_id == partner_id, told))
    for one in session.scalars(select(Import).where(Import.partner_id == partner_id, Import.sample != [])):
        one.sample = [row for row in one.sample if not any(address.lower() in str(cell).lower() for cell in row)]
