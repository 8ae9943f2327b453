"""The API of the audience: imports, contacts and lists of the partner whose key it is."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import g
from flask_smorest import Blueprint
from werkzeug.datastructures import FileStorage

from tcma.access import Permission
from tcma.audience import imports, queries, services
from tcma.audience import schemas as shapes
from tcma.audience.models import Contact, Import
from tcma.db import db, unit_of_work

blp = Blueprint("api_audience", __name__, description="Contacts, lists and imports")
blueprints = [blp]


@blp.post("/imports")
@blp.arguments(shapes.FileIn, location="files")
@blp.response(201, shapes.ImportOut)
def create_import(given: dict[str, FileStorage]) -> Import:
    """Upload a CSV or XLSX of contacts; the answer suggests which column is what."""
    return take_upload(given["file"])


def take_upload(file: FileStorage) -> Import:
    """An uploaded contact file as a new import."""
    with tempfile.TemporaryDirectory(prefix="tcma-upload-") as folder, closing(file):
        path = Path(folder) / "file"
        file.save(path)
        with unit_of_work(g.actor) as session:
            return imports.create_import(session, g.actor, filename=file.filename or "contacts", path=path)


@blp.post("/imports/<uuid:import_id>/run")
@blp.arguments(shapes.ImportRunIn)
@blp.response(202, shapes.ImportOut)
def run_import(given: dict[str, Any], import_id: UUID) -> Import:
    """Say what the columns are and start."""
    with unit_of_work(g.actor) as session:
        return imports.queue_import(session, g.actor, import_id, **given)


@blp.get("/imports/<uuid:import_id>")
@blp.response(200, shapes.ImportOut)
def read_import(import_id: UUID) -> Import:
    """How far an import is."""
    g.actor.require(Permission.CONTACT_READ)
    return queries.get_import(db.session, g.actor, import_id)


@blp.get("/imports/<uuid:import_id>/rows")
@blp.arguments(shapes.ContactPageIn(only=("after", "limit")), location="query")
@blp.response(200, shapes.ImportRowPage)
def read_import_rows(given: dict[str, Any], import_id: UUID) -> dict[str, Any]:
    """Rows that were refused or warned about, with why and how to mend them."""
    g.actor.require(Permission.CONTACT_READ)
    queries.get_import(db.session, g.actor, import_id)
    rows = queries.import_rows(db.session, g.actor, import_id, **given)
    return {"items": rows, "next": rows[-1].row_number if len(rows) == given["limit"] else None}


@blp.get("/contacts")
@blp.arguments(shapes.ContactPageIn, location="query")
@blp.response(200, shapes.ContactPage)
def list_contacts(given: dict[str, Any]) -> dict[str, Any]:
    """Contacts; `search` is the beginning of an address, last name or company."""
    g.actor.require(Permission.CONTACT_READ)
    rows = queries.list_contacts(db.session, g.actor, list_id=given.pop("list"), **given)
    return {"items": rows, "next": rows[-1].id if len(rows) == given["limit"] else None}


@blp.post("/contacts")
@blp.arguments(shapes.ContactIn)
@blp.response(201, shapes.ContactOut)
def add_contact(given: dict[str, Any]) -> Contact:
    """Add one person, with the ground on which you may write."""
    with unit_of_work(g.actor) as session:
        return services.add_contact(session, g.actor, **given)


@blp.get("/contacts/<int:contact_id>/export")
@blp.response(200)
def export_contact(contact_id: int) -> dict[str, Any]:
    """All that is held of one person."""
    with unit_of_work(g.actor) as session:
        return services.export_contact(session, g.actor, contact_id)


@blp.delete("/contacts/<int:contact_id>")
@blp.response(204)
def erase_contact(contact_id: int) -> None:
    """Erase one person for good; a keyed hash keeps them from being written to again."""
    with unit_of_work(g.actor) as session:
        services.erase_contact(session, g.actor, contact_id)


@blp.get("/lists")
@blp.response(200, shapes.ListPage)
def list_lists() -> dict[str, Any]:
    """Lists with how many contacts are on each."""
    g.actor.require(Permission.CONTACT_READ)
    found = queries.list_lists(db.session, g.actor)
    return {"items": [{"id": one.id, "name": one.name, "contacts": count} for one, count in found]}


@blp.post("/lists")
@blp.arguments(shapes.ListIn)
@blp.response(201, shapes.ListOut)
def create_list(given: dict[str, str]) -> dict[str, Any]:
    """A new list, or the one of that name."""
    with unit_of_work(g.actor) as session:
        made = services.create_list(session, g.actor, **given)
        return {"id": made.id, "name": made.name, "contacts": 0}
