"""Contacts, lists and imports of a partner, made through the same services as users'."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from tcma.access import Actor
from tcma.audience import imports, services
from tcma.audience.models import Contact, ContactList, Import
from tcma.audience.states import ConsentBasis
from tcma.db import unit_of_work
from tests.factories.cast import Cast
from tests.factories.objects import Known


def make_list(actor: Actor, name: str | None = None) -> ContactList:
    with unit_of_work(actor) as session:
        return services.create_list(session, actor, name=name or f"Customers {secrets.token_hex(3)}")


def make_contact(
    actor: Actor, *, email: str | None = None, lists: tuple[ContactList, ...] = (), **fields: str
) -> Contact:
    """One person with consent."""
    texts = {"first_name": "Maria", "last_name": "Müller", "company": "Müller KG", "city": "Hamburg", **fields}
    with unit_of_work(actor) as session:
        return services.add_contact(
            session, actor, email=email or f"maria.{secrets.token_hex(4)}@mueller.example", basis=ConsentBasis.OPT_IN,
            source="signed up at our fair", list_ids=[one.id for one in lists], **texts,
        )  # fmt: skip


def make_import(actor: Actor, data: bytes | str, *, filename: str = "contacts.csv") -> Import:
    """An uploaded file, not run yet."""
    raw = data.encode() if isinstance(data, str) else data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(raw)
        with unit_of_work(actor) as session:
            return imports.create_import(session, actor, filename=filename, path=path)


def queue(actor: Actor, row: Import, *, list_name: str = "Imported") -> Import:
    """Start an import with the columns that were suggested."""
    with unit_of_work(actor) as session:
        return imports.queue_import(
            session, actor, row.id, mapping=row.mapping or {"email": 0}, basis=ConsentBasis.OPT_IN, basis_source="our fair",
            list_name=list_name,
        )  # fmt: skip


def run(actor: Actor, data: bytes | str, *, filename: str = "contacts.csv", list_name: str = "Imported") -> Import:
    """Import a file to the end."""
    row = queue(actor, make_import(actor, data, filename=filename), list_name=list_name)
    imports.run_import(actor, row.id)
    with unit_of_work(actor) as session:
        return session.get_one(Import, row.id, populate_existing=True)


def _contact(cast: Cast) -> Known:
    made = make_contact(cast.partner_admin, email=f"known-{secrets.token_hex(4)}@mueller.example")
    return Known(made.id, {cast.partner_id}, (made.email,))


def _list(cast: Cast) -> Known:
    made = make_list(cast.partner_admin)
    return Known(made.id, {cast.partner_id}, (made.name,))


def _import(cast: Cast) -> Known:
    made = make_import(
        cast.partner_admin, "email\nknown@mueller.example\n", filename=f"known-{secrets.token_hex(4)}.csv"
    )
    return Known(made.id, {cast.partner_id}, (made.filename,))


OBJECTS = {"contact_id": _contact, "list_id": _list, "import_id": _import}
