"""Importing contact files: read the head, map the columns, then work through the rows in committed chunks.

A killed import goes on where its last committed chunk ended: rows are known by number, contacts by key.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import InstrumentedAttribute, Session

from tcma import audit, clock, ids, jobs
from tcma.access import Actor, Kind, Permission
from tcma.accounts import queries as account_queries
from tcma.audience import queries, services
from tcma.audience.addresses import email_key
from tcma.audience.models import Consent, Contact, ContactList, Import, ImportRow, ListMember, Suppression
from tcma.audience.rows import FIELDS, RowReader, Status, Verdict
from tcma.audience.states import ConsentBasis, ImportStatus, SuppressionReason, SuppressionScope
from tcma.audience.tables import Table, open_table, suggest_mapping
from tcma.config import settings
from tcma.db import Base, after_commit, among, elevated, given_rows, unit_of_work
from tcma.errors import Invalid
from tcma.storage import FileMissing, storage

RUN = "tcma.audience.run_import"
CHUNK = 2000
LEASE = timedelta(seconds=60)
"""How long a worker that says nothing counts as alive. Should it live on, its next chunk finds the place taken."""
COUNTED_A_TIME = 100_000
SAMPLE_ROWS = 5
COUNTED_AT_ONCE = 2 * 1024 * 1024
"""Bytes up to which the rows are counted while the person waits; longer files are counted by the worker."""
ERASED_REASON = {
    "code": "erased",
    "message": "This person asked to be forgotten. Take them out of your own files as well.",
}
_PERSON = {"email_key": LargeBinary, "email": Text, **dict.fromkeys(services.TEXT_FIELDS, Text)}
MAX_SHOWN_REASONS = 20_000
"""Rows with a verdict that are kept for mending; the counts go on."""


def create_import(session: Session, actor: Actor, *, filename: str, path: Path) -> Import:
    """Take an uploaded file: its head is read at once, so that what cannot be read is refused at once.

    `path` is a local file, which stays the caller's. Raises Invalid with what is wrong and how to mend it.
    """
    actor.require(Permission.CONTACT_MANAGE)
    actor.require_kind(Kind.PARTNER)
    found = open_table(path, filename)
    sample = found.sample(SAMPLE_ROWS)
    size = path.stat().st_size
    import_id = ids.new_id()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        row = Import(
            id=import_id, partner_id=actor.organization_id, filename=Path(filename).name[:200] or "contacts",
            storage_key=f"imports/{actor.organization_id}/{import_id}", size=size, sha256=digest,
            total_rows=sum(1 for _ in found.rows()) if size <= COUNTED_AT_ONCE else None,
            columns=list(found.columns), sample=[_keepable(one.cells) for one in sample],
            mapping=suggest_mapping(found.columns, sample), warnings=[one.message for one in found.warnings],
        )  # fmt: skip
        storage().put(row.storage_key, file, content_type="application/octet-stream")
    row.created_by = actor.user_id
    session.add(row)
    session.flush()
    audit.record(session, actor, "import.create", row, after={"size": row.size})
    return row


def queue_import(
    session: Session, actor: Actor, import_id: UUID, *, mapping: Mapping[str, int], basis: ConsentBasis | None,
    basis_source: str, list_name: str,
) -> Import:  # fmt: skip
    """Say what each column is, on what ground these people may be written to, and on which list they go."""
    actor.require(Permission.CONTACT_MANAGE)
    row = queries.get_import(session, actor, import_id, lock=True)
    if row.status in (ImportStatus.QUEUED, ImportStatus.RUNNING, ImportStatus.FINISHED):
        return row
    wrong: dict[str, str] = {}
    if basis is None:
        wrong["basis"] = "Choose on what ground you may write to these people. Without one, no mail leaves."
    if not basis_source.strip():
        wrong["basis_source"] = "Say where the consent comes from, such as “customers since 2024, order form”."
    unknown = [field for field in mapping if field not in FIELDS]
    beyond = [field for field, place in mapping.items() if not 0 <= place < len(row.columns)]
    if unknown or beyond or "email" not in mapping or len(set(mapping.values())) < len(mapping):
        wrong["mapping"] = "Choose the column with the email addresses, and each column once."
    if wrong:
        raise Invalid(wrong)
    chosen = services.create_list(session, actor, name=list_name or Path(row.filename).stem[:80] or "Imported")
    row.mapping, row.basis, row.basis_source = dict(mapping), basis, basis_source.strip()[:300]
    row.list_id, row.lease_until = chosen.id, None
    row.queue(by=actor)
    session.flush()
    jobs.enqueue(session, RUN, row.partner_id, row.id)
    return row


def cancel_import(session: Session, actor: Actor, import_id: UUID) -> Import:
    """Stop after the chunk at work; contacts that are in stay in."""
    actor.require(Permission.CONTACT_MANAGE)
    row = queries.get_import(session, actor, import_id, lock=True)
    if row.status is not ImportStatus.CANCELLED:
        row.cancel(by=actor, at=clock.now())
        _drop_file(session, row)
    return row


def _drop_file(session: Session, row: Import) -> None:
    """What the file said is in the contacts now, or is not wanted: the file of a person's data goes."""
    key, row.sample = row.storage_key, []
    after_commit(session, lambda: storage().delete(key))


def run_import(actor: Actor, import_id: UUID) -> None:
    """Work through a queued import, or go on with one that a killed worker left; one worker at a time.

    Opens units of work of its own: each chunk and its place are committed together.
    """
    with unit_of_work(actor) as session:
        row = queries.get_import(session, actor, import_id, lock=True)
        now = clock.now()
        if row.status not in (ImportStatus.QUEUED, ImportStatus.RUNNING) or (row.lease_until and row.lease_until > now):
            return
        if row.status is ImportStatus.QUEUED:
            row.run(by=actor, at=now)
        row.lease_until = now + LEASE
        key, filename, done = row.storage_key, row.filename, row.done_rows
    with tempfile.TemporaryDirectory(prefix="tcma-import-") as folder:
        path = Path(folder) / "file"
        try:
            with storage().open(key) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            _work_through(actor, import_id, open_table(path, filename), skip=done)
        except FileMissing:
            _fail(actor, import_id, "The uploaded file is not there any more. Upload it again.")
        except Invalid as error:
            _fail(actor, import_id, error.message)
        except (OperationalError, InterfaceError):
            raise  # the database was away: once the lease is over the sweep goes on where this ended
        except Exception:
            # A file that we cannot work through would be tried for ever, and look as if it were still running.
            _fail(actor, import_id, "Something went wrong on our side at this place of the file. Try again, or upload it anew.")
            raise


def _fail(actor: Actor, import_id: UUID, why: str) -> None:
    with unit_of_work(actor) as session:
        row = queries.get_import(session, actor, import_id, lock=True)
        if row.status is ImportStatus.RUNNING:
            row.lease_until = None
            row.fail(by=actor, error=why, at=clock.now())


def _work_through(actor: Actor, import_id: UUID, found: Table, *, skip: int) -> None:
    with unit_of_work(actor) as session:
        row = queries.get_import(session, actor, import_id)
        reader = RowReader(row.mapping, default_region=_region(session, actor))
        uncounted = row.total_rows is None
    if uncounted:
        _count(actor, import_id, found)
    rows, done = islice(found.rows(), skip, None), skip
    while chunk := list(islice(rows, CHUNK)):
        verdicts = [(reader(raw), [str(cell) for cell in raw.cells]) for raw in chunk]
        with unit_of_work(actor) as session:
            row = queries.get_import(session, actor, import_id, lock=True)
            if row.status is not ImportStatus.RUNNING or row.done_rows != done:
                return  # cancelled, or another worker took over after this one's lease ran out
            _take_chunk(session, row, verdicts)
            row.done_rows = done = done + len(chunk)
            row.lease_until = clock.now() + LEASE
    with unit_of_work(actor) as session:
        row = queries.get_import(session, actor, import_id, lock=True)
        if row.status is ImportStatus.RUNNING:
            row.total_rows, row.lease_until = row.done_rows, None
            row.finish(by=actor, at=clock.now())
            _drop_file(session, row)


def _count(actor: Actor, import_id: UUID, found: Table) -> None:
    """Count the rows for the progress, and show that the worker is alive meanwhile."""
    rows, total = found.rows(), 0
    while counted := sum(1 for _ in islice(rows, COUNTED_A_TIME)):
        total += counted
        with unit_of_work(actor) as session:
            queries.get_import(session, actor, import_id, lock=True).lease_until = clock.now() + LEASE
    with unit_of_work(actor) as session:
        queries.get_import(session, actor, import_id, lock=True).total_rows = total


def _region(session: Session, actor: Actor) -> str | None:
    return account_queries.get_organization(session, actor.organization_id).country or None


def _take_chunk(session: Session, row: Import, verdicts: list[tuple[Verdict, list[str]]]) -> None:
    """Contacts, list, consent and verdicts of one chunk; the first of several rows with one address counts."""
    secret = settings().suppression_secret
    keys = {one.number: email_key(one.values.address, secret=secret) for one, _ in verdicts if one.values is not None}
    erased = _erased(session, row, set(keys.values()))
    people: dict[bytes, dict[str, Any]] = {}
    kept: list[dict[str, Any]] = []
    for verdict, cells in verdicts:
        values = verdict.values
        if values is None or keys[verdict.number] in erased:
            row.refused_count += 1
            kept.append(_kept(row, verdict, cells) if values is None else _kept_of_erased(row, verdict))
            continue
        if verdict.status is Status.WARNING:
            row.warning_count += 1
            kept.append(_kept(row, verdict, cells))
        key = keys[verdict.number]
        if key in people:
            row.duplicate_count += 1
            continue
        texts = {name: getattr(values, name) for name in services.TEXT_FIELDS}
        people[key] = {"email_key": key, "email": values.email, **texts}
    _without_earlier(session, row, people)
    if people:
        _upsert(session, row, people)
    room = MAX_SHOWN_REASONS - row.refused_count - row.warning_count + len(kept)
    if kept and room > 0:
        session.execute(insert(ImportRow).values(kept[:room]).on_conflict_do_nothing())
    session.flush()


def _erased(session: Session, row: Import, keys: set[bytes]) -> set[bytes]:
    """Who asked to be forgotten: a file must not bring their data back."""
    statement = select(Suppression.email_key).where(
        Suppression.scope == SuppressionScope.PARTNER, Suppression.partner_id == row.partner_id,
        Suppression.reason == SuppressionReason.ERASED, _among_keys(Suppression.email_key, keys),
    )  # fmt: skip
    return set(session.scalars(statement))


def _among_keys(attribute: InstrumentedAttribute[bytes], keys: Iterable[bytes]) -> ColumnElement[bool]:
    """`attribute = ANY(keys)`: one parameter, however many keys."""
    return attribute == any_(bindparam(None, list(keys), ARRAY(LargeBinary)))


def _kept_of_erased(row: Import, verdict: Verdict) -> dict[str, Any]:
    """That the row was refused, and nothing of what it says."""
    return {
        "partner_id": row.partner_id, "import_id": row.id, "row_number": verdict.number,
        "verdict": str(Status.REFUSED), "reasons": [ERASED_REASON], "cells": [],
    }  # fmt: skip


def _without_earlier(session: Session, row: Import, people: dict[bytes, dict[str, Any]]) -> None:
    """Take out who came in an earlier chunk of this import: they are duplicates as well."""
    statement = select(Contact.email_key).where(
        Contact.partner_id == row.partner_id, _among_keys(Contact.email_key, people), Contact.import_id == row.id
    )
    for key in session.scalars(statement):
        del people[key]
        row.duplicate_count += 1


def _kept(row: Import, verdict: Verdict, cells: list[str]) -> dict[str, Any]:
    return {
        "partner_id": row.partner_id, "import_id": row.id, "row_number": verdict.number, "verdict": str(verdict.status),
        "reasons": [{"code": one.code, "message": one.message} for one in verdict.reasons],
        "cells": _keepable(cell[:500] for cell in cells[:50]),
    }  # fmt: skip


def _keepable(cells: Iterable[object]) -> list[str]:
    """Cells as they can be stored: PostgreSQL's JSON holds no NUL."""
    return [str(cell).replace("\0", " ") for cell in cells]


def _upsert(session: Session, row: Import, people: dict[bytes, dict[str, Any]]) -> None:
    """One statement for contacts, one for the list, one for consent. An empty cell never wipes what is known."""
    now = clock.now()
    # One order for all, so that two imports never wait for each other.
    given = given_rows(_PERSON, [one for _, one in sorted(people.items())])
    same = {"partner_id": row.partner_id, "import_id": row.id, "created_at": now, "updated_at": now, "no_tracking": False}
    statement = _inserted(Contact, given, list(_PERSON), same)
    new = statement.excluded
    changes: dict[str, Any] = {
        name: func.coalesce(func.nullif(new[name], ""), getattr(Contact, name)) for name in services.TEXT_FIELDS
    }
    back = statement.on_conflict_do_update(
        index_elements=["partner_id", "email_key"],
        set_={**changes, "email": new.email, "import_id": row.id, "updated_at": now, "erased_at": None},
    ).returning(Contact.id, text("(xmax = 0) AS fresh"))
    found = session.execute(back, execution_options={"synchronize_session": False}).all()
    fresh = sum(1 for one in found if one[1])
    row.created_count += fresh
    row.updated_count += len(found) - fresh
    contact_ids = [one[0] for one in found]
    if (list_id := _list_still_there(session, row)) is not None:
        same = {"list_id": list_id, "partner_id": row.partner_id, "added_at": now}
        members = _inserted(ListMember, _people(contact_ids), ["contact_id"], same)
        session.execute(members.on_conflict_do_nothing())
    source = f"{row.basis_source} (import {row.id})"
    willing = _without_own_word(session, row, contact_ids)
    if willing:
        told = {"partner_id": row.partner_id, "purpose": row.purpose, "basis": row.basis, "source": source,
                "wording_version": "import-1", "at": now, "withdrawn": False}  # fmt: skip
        session.execute(_inserted(Consent, _people(willing), ["contact_id"], told))


def _people(contact_ids: list[int]) -> TableValuedAlias:
    return given_rows({"contact_id": BigInteger}, [{"contact_id": one} for one in contact_ids])


def _inserted(table: type[Base], given: TableValuedAlias, names: list[str], same: Mapping[str, Any]) -> Insert:
    """INSERT … SELECT of the columns `names` of `given`, with `same` in every row."""
    fixed = [literal(value, table.__table__.c[name].type) for name, value in same.items()]
    source = select(*(given.c[name] for name in names), *fixed)
    return insert(table).from_select([*names, *same], source, include_defaults=False)


def _list_still_there(session: Session, row: Import) -> UUID | None:
    """The list that the contacts go on, held until the chunk is in; None once somebody has deleted it meanwhile."""
    statement = select(ContactList.id).where(ContactList.partner_id == row.partner_id, ContactList.id == row.list_id)
    row.list_id = session.scalar(statement.with_for_update(read=True, key_share=True))
    return row.list_id


def _without_own_word(session: Session, row: Import, contact_ids: list[int]) -> list[int]:
    """Those who have not withdrawn their consent themselves: an import cannot overrule a person."""
    withdrawn = set(
        session.scalars(
            select(Consent.contact_id).where(
                Consent.partner_id == row.partner_id, among(Consent.contact_id, contact_ids), Consent.withdrawn
            )
        )
    )
    return [one for one in contact_ids if one not in withdrawn]


def sweep_due(session: Session) -> list[tuple[UUID, UUID]]:
    """(partner, import) of imports that wait or whose worker is gone."""
    now = clock.now()
    with elevated(session, "a sweep finds imports that are due"):
        rows = session.execute(
            select(Import.partner_id, Import.id).where(
                Import.status.in_([ImportStatus.QUEUED, ImportStatus.RUNNING]),
                func.coalesce(Import.lease_until, now) <= now,
            )
        )
        return [(one[0], one[1]) for one in rows]


def mended_rows(session: Session, actor: Actor, import_id: UUID) -> Iterator[list[str]]:
    """The rows that were refused, with their cells as they were and why: to mend and import again.

    Each has its number, a cell for each column of the file, and the reasons.
    """
    width = len(queries.get_import(session, actor, import_id).columns)
    after = 0
    while rows := queries.import_rows(session, actor, import_id, after=after, limit=500, verdict=Status.REFUSED):
        for one in rows:
            cells = [*map(str, one.cells), *[""] * width][:width]
            yield [str(one.row_number), *cells, "; ".join(str(r["message"]) for r in one.reasons)]
        after = rows[-1].row_number
