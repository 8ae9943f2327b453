"""Database: declarative base, tenancy classes and their row-level security, and the one unit of work.

Each mapped class declares `__tenancy__`. From it `policies` derives the SQL that migrations hold literally;
a test compares the database with the declarations. The session sets `tcma.org` and `tcma.user` at the begin of
each transaction, so the database itself refuses what a query forgot to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import structlog
from flask import current_app
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Identity,
    MetaData,
    Numeric,
    String,
    TableValuedAlias,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    column,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, Session, SessionTransaction, mapped_column
from sqlalchemy.types import TypeEngine

from tcma import clock, ids

if TYPE_CHECKING:
    from tcma.access import Actor

log = structlog.get_logger(__name__)

APP_ROLE = "tcma_app"
SYSTEM_ROLE = "tcma_system"
OWNER_ROLE = "tcma_owner"
ORG = "(SELECT NULLIF(current_setting('tcma.org', true), '')::uuid)"
USER = "(SELECT NULLIF(current_setting('tcma.user', true), '')::uuid)"


@dataclass(frozen=True)
class Tenancy:
    """Who may see and change a table's rows. `rows` and `reads` are SQL over the row, ORG and USER."""

    kind: str
    rows: str | None = None
    reads: str | None = None
    append_only: bool = False


GLOBAL = Tenancy("global")


def private(column: str, *, append_only: bool = False) -> Tenancy:
    """Only the organization in `column` (vendor_id, partner_id or organization_id)."""
    kind = {"vendor_id": "vendor-private", "partner_id": "partner-private"}.get(column, "organization-private")
    return Tenancy(kind, rows=f"{column} = {ORG}", append_only=append_only)


def shared(*, append_only: bool = False) -> Tenancy:
    """Both parties of a partnership see and change the row."""
    return Tenancy("shared", rows=f"vendor_id = {ORG} OR partner_id = {ORG}", append_only=append_only)


def granted(owner: str, reads: str, *, append_only: bool = False) -> Tenancy:
    """The organization in `owner` sees and changes the row; others read it where the SQL `reads` holds."""
    return Tenancy("granted", rows=f"{owner} = {ORG}", reads=reads, append_only=append_only)


def policies(table: str, tenancy: Tenancy) -> list[str]:
    """SQL statements that protect `table`: forced row-level security, its policies and its grants."""
    rights = "SELECT, INSERT" if tenancy.append_only else "SELECT, INSERT, UPDATE, DELETE"
    grants = [f"GRANT {rights} ON {table} TO {APP_ROLE}, {SYSTEM_ROLE}"]
    if tenancy.kind == "global":
        return grants
    statements = [
        *grants,
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} TO {APP_ROLE} USING ({tenancy.rows}) WITH CHECK ({tenancy.rows})",
        f"CREATE POLICY system ON {table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)",
    ]
    if tenancy.reads:
        statements.append(f"CREATE POLICY granted ON {table} FOR SELECT TO {APP_ROLE} USING ({tenancy.reads})")
    return statements


class Base(DeclarativeBase):
    """Base of all tables. Datetimes are aware, dicts and lists are JSONB."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        date: Date(),
        str: Text(),
        UUID: Uuid(),
        Decimal: Numeric(),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: ARRAY(Text),
        list[UUID]: ARRAY(Uuid),
    }
    __tenancy__: ClassVar[Tenancy]


class UuidKey:
    """Primary key of an object."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=ids.new_id)


class BigKey:
    """Primary key of a row that comes by the million."""

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)


class Created:
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


def state_type(states: type[StrEnum]) -> Enum:
    """A text column checked against the values of `states`."""
    name = states.__name__.lower()
    return Enum(
        states, name=name, native_enum=False, length=40, create_constraint=True,
        values_callable=lambda members: [member.value for member in members],
    )  # fmt: skip


Contexts = Callable[[], AbstractContextManager[object]]


def contexts_of_this_application() -> Contexts:
    """Makes application contexts, each with a session of its own, for threads that work for this one."""
    return current_app._get_current_object().app_context  # type: ignore[attr-defined,no-any-return]


def among(attribute: InstrumentedAttribute[int], numbers: Sequence[int]) -> ColumnElement[bool]:
    """`attribute = ANY(numbers)` with one parameter, however many there are: planned once, and prepared."""
    return attribute == any_(_array(numbers))


def numbered(numbers: Sequence[int]) -> TableValuedAlias:
    """`numbers` as rows with one column `id`: for a LATERAL that looks each up by its key, whatever the planner
    believes of the table."""
    return func.unnest(_array(numbers)).table_valued(column("id", BigInteger)).render_derived(name="wanted")


def _array(numbers: Sequence[int]) -> ColumnElement[Any]:
    """`numbers` as one array, written as text: psycopg would look at each of them."""
    return cast(bindparam(None, "{" + ",".join(map(str, numbers)) + "}", String), ARRAY(BigInteger))


def given_rows(types: Mapping[str, type[TypeEngine[Any]] | TypeEngine[Any]], rows: Sequence[Mapping[str, Any]]) -> TableValuedAlias:
    """`rows` as a table `given` with a column for each of `types`: one array parameter a column, however many rows.

    For INSERT … SELECT of thousands of rows, whose VALUES would be thousands of parameters to compile each time.
    """
    arrays = [
        _array([row[name] for row in rows]) if name == "id" else bindparam(None, [row[name] for row in rows], ARRAY(kind))
        for name, kind in types.items()
    ]
    columns = [column(name, kind) for name, kind in types.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="given")


def tenant_key(tenant: str, column: str, table: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    """A composite foreign key that keeps a child in its parent's tenant: (tenant, column) → table(tenant, id)."""
    return ForeignKeyConstraint([tenant, column], [f"{table}.{tenant}", f"{table}.id"], ondelete=ondelete)


class TenantSession(Session):
    """A session that knows for whom it works; see `bind`."""


@event.listens_for(TenantSession, "after_begin")
def _tell_the_database(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        _set_tenant(connection, session.info.get("tcma_org"), session.info.get("tcma_user"))


def _set_tenant(connection: Connection, org: UUID | None, user: UUID | None) -> None:
    connection.execute(
        text("SELECT set_config('tcma.org', :org, true), set_config('tcma.user', :user, true)"),
        {"org": str(org or ""), "user": str(user or "")},
    )


db = SQLAlchemy(session_options={"class_": TenantSession, "expire_on_commit": False})


def bind(session: Session, actor: Actor | None) -> None:
    """From now on `session` works for `actor`; without one it sees global tables only."""
    session.info["tcma_org"] = actor.organization_id if actor else None
    session.info["tcma_user"] = actor.user_id if actor else None
    session.info["tcma_actor"] = actor
    if session.in_transaction():
        _set_tenant(session.connection(), session.info["tcma_org"], session.info["tcma_user"])


@contextmanager
def unit_of_work(actor: Actor | None) -> Iterator[Session]:
    """One transaction of the request's or task's session, for `actor`: committed at the end, or nothing happened.

    Calls left by `after_commit` run once the commit has succeeded. Units of work do not nest.
    """
    session: Session = db.session
    if session.info.get("tcma_unit"):
        raise RuntimeError("A unit of work is already open: services never open their own.")
    bind(session, actor)
    session.info["tcma_unit"] = True
    session.info["tcma_after"] = []
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info["tcma_unit"] = False
    for call in session.info.pop("tcma_after", []):
        _run_after(call)


def _run_after(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        # The row is committed and a sweep will find it: a lost message only delays.
        log.warning("after_commit_failed", exc_info=True)


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Run `call` once the present unit of work has committed; never if it rolls back."""
    session.info.setdefault("tcma_after", []).append(call)


@contextmanager
def elevated(session: Session, why: str) -> Iterator[Session]:
    """Act as the role `system`, which sees every tenant, for as few statements as can be.

    `why` is for the reader and the log. A test lists every call site.
    """
    session.flush()
    depth = session.info.get("tcma_elevated", 0)
    if depth == 0:
        session.execute(text(f"SET LOCAL ROLE {SYSTEM_ROLE}"))
    session.info["tcma_elevated"] = depth + 1
    log.debug("elevated", why=why)
    try:
        yield session
        session.flush()
    finally:
        session.info["tcma_elevated"] = depth
        if depth == 0 and session.is_active and session.in_transaction():
            session.execute(text("SET LOCAL ROLE NONE"))
