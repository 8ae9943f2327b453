"""Imports: whatever the file and whenever the worker dies, each person is in once and the counts are right."""

from __future__ import annotations

import io
import threading
import zipfile

import pytest
from flask import Flask
from openpyxl import Workbook

from tcma import clock
from tcma.access import Actor
from tcma.audience import imports, queries, services
from tcma.audience.models import Import
from tcma.audience.states import ImportStatus, SuppressionReason
from tcma.db import unit_of_work
from tcma.errors import Invalid
from tcma.storage import storage
from tests.factories import audience as make
from tests.factories.cast import Cast

COUNTS = ("created_count", "updated_count", "duplicate_count", "refused_count")


def counts(row: Import) -> tuple[int, ...]:
    return tuple(getattr(row, name) for name in COUNTS)


def reload(actor: Actor, row: Import) -> Import:
    with unit_of_work(actor) as session:
        return session.get_one(Import, row.id, populate_existing=True)


def many(count: int) -> str:
    return "email,name\n" + "".join(f"p{n}@many.example,Person {n}\n" for n in range(count))


def test_an_old_windows_file_is_read_with_a_warning(app: Flask, cast: Cast) -> None:
    with app.app_context():
        row = make.run(cast.partner_admin, "email;Nachname\nmaria@one.example;Müller\n".encode("cp1252"))
        assert row.warnings
        with unit_of_work(cast.partner_admin) as session:
            assert [one.last_name for one in queries.list_contacts(session, cast.partner_admin)] == ["Müller"]


def test_utf_16_is_read(app: Flask, cast: Cast) -> None:
    with app.app_context():
        row = make.run(cast.partner_admin, "email\tNachname\nmaria@one.example\tMüller\n".encode("utf-16"))
        assert counts(row) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "filename", "words"),
    [
        (b"", "contacts.csv", "empty"),
        (b"x," * 1_000_000 + b"x\n1\n", "contacts.csv", "columns"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "contacts.xls", "old Excel file"),
    ],
)
def test_what_is_no_contact_table_is_refused_and_nothing_is_kept(
    app: Flask, cast: Cast, data: bytes, filename: str, words: str
) -> None:
    with app.app_context():
        with pytest.raises(Invalid, match=words):
            make.make_import(cast.partner_admin, data, filename=filename)
        with unit_of_work(cast.partner_admin) as session:
            assert queries.list_imports(session, cast.partner_admin) == []


def workbook() -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["email", "Company"])
    sheet.append(["maria@one.example", '=HYPERLINK("https://evil.example")'])
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


def test_a_workbook_is_read_and_its_formulas_are_not_run(app: Flask, cast: Cast) -> None:
    with app.app_context():
        row = make.run(cast.partner_admin, workbook(), filename="contacts.xlsx")
        assert row.created_count + row.refused_count == 1
        with unit_of_work(cast.partner_admin) as session:
            for one in queries.list_contacts(session, cast.partner_admin):
                assert "evil.example" not in one.company


def test_a_workbook_with_macros_is_refused(app: Flask, cast: Cast) -> None:
    held = io.BytesIO(workbook())
    with zipfile.ZipFile(held, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"macro")
    with app.app_context(), pytest.raises(Invalid, match="macros"):
        make.make_import(cast.partner_admin, held.getvalue(), filename="contacts.xlsm")


def test_without_an_address_column_it_does_not_start(app: Flask, cast: Cast) -> None:
    with app.app_context():
        row = make.make_import(cast.partner_admin, "Name,City\nMaria,Hamburg\n")
        assert "email" not in row.mapping
        with pytest.raises(Invalid, match="email addresses"), unit_of_work(cast.partner_admin) as session:
            imports.queue_import(
                session,
                cast.partner_admin,
                row.id,
                mapping={"last_name": 0},
                basis=None,
                basis_source="x",
                list_name="",
            )


def test_one_person_counts_once_within_a_file_and_between_files(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK", 2)
    with app.app_context():
        text = "email\na@one.example\nA@One.example\nb@one.example\na@one.example\n"
        assert counts(make.run(cast.partner_admin, text)) == (2, 0, 2, 0)
        assert counts(make.run(cast.partner_admin, text)) == (0, 2, 2, 0)


class Killed(BaseException):
    """The worker's process ends here."""


def test_an_import_killed_in_the_middle_goes_on_without_doing_anything_twice(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK", 10)
    actor, taken, whole = cast.partner_admin, [], imports._take_chunk

    def dies_in_the_third(*given: object) -> None:
        taken.append(1)
        whole(*given)  # type: ignore[arg-type]
        if len(taken) == 3:
            raise Killed

    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(45) + "not an address,Kai\n"))
        monkeypatch.setattr(imports, "_take_chunk", dies_in_the_third)
        with pytest.raises(Killed):
            imports.run_import(actor, row.id)
        monkeypatch.setattr(imports, "_take_chunk", whole)
        half = reload(actor, row)
        assert (half.status, half.done_rows, half.created_count) == (ImportStatus.RUNNING, 20, 20)
        imports.run_import(actor, row.id)
        assert reload(actor, row).done_rows == 20, "the lease of the dead worker still holds"
        with clock.at(clock.now() + 2 * imports.LEASE):
            imports.run_import(actor, row.id)
        done = reload(actor, row)
        assert (done.status, done.done_rows, done.total_rows) == (ImportStatus.FINISHED, 46, 46)
        assert counts(done) == (45, 0, 0, 1)
        with unit_of_work(actor) as session:
            assert queries.count_contacts(session, actor) == 45
            assert [size for _, size in queries.list_lists(session, actor)] == [45]
            assert len(list(imports.mended_rows(session, actor, row.id))) == 1
        assert not storage().exists(done.storage_key)
        assert done.sample == []


def test_two_workers_on_one_import_do_its_work_once(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(300)))
    faults: list[Exception] = []

    def work() -> None:
        try:
            with app.app_context():
                imports.run_import(actor, row.id)
        except Exception as error:
            faults.append(error)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert faults == []
    with app.app_context():
        assert counts(reload(actor, row)) == (300, 0, 0, 0)


def test_a_worker_that_was_overtaken_changes_nothing(app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "CHUNK", 10)
    actor, whole, overtaken = cast.partner_admin, imports.RowReader.__call__, []

    def slow(self: imports.RowReader, raw: object) -> object:
        if len(overtaken) == 0:
            overtaken.append(1)
            with clock.at(clock.now() + 2 * imports.LEASE):
                imports.run_import(actor, row.id)
        return whole(self, raw)  # type: ignore[arg-type]

    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(25)))
        monkeypatch.setattr(imports.RowReader, "__call__", slow)
        imports.run_import(actor, row.id)
        done = reload(actor, row)
        assert (done.status, *counts(done)) == (ImportStatus.FINISHED, 25, 0, 0, 0)


def test_a_cancelled_import_keeps_what_is_in(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(5)))
        with unit_of_work(actor) as session:
            imports.cancel_import(session, actor, row.id)
        imports.run_import(actor, row.id)
        assert (reload(actor, row).status, reload(actor, row).done_rows) == (ImportStatus.CANCELLED, 0)


def test_a_lost_file_is_said_and_not_tried_for_ever(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(5)))
        storage().delete(row.storage_key)
        imports.run_import(actor, row.id)
        failed = reload(actor, row)
        assert failed.status is ImportStatus.FAILED
        assert "Upload it again" in (failed.error or "")


def test_who_withdrew_or_is_suppressed_stays_so_after_an_import(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        gone, quiet = make.make_contact(actor), make.make_contact(actor)
        with unit_of_work(actor) as session:
            services.suppress(
                session, actor, partner_id=actor.organization_id, email_key=gone.email_key,
                reason=SuppressionReason.UNSUBSCRIBED, source="a link",
            )  # fmt: skip
            services.suppress_contact(session, actor, quiet.id)
        row = make.run(actor, f"email\n{gone.email}\n{quiet.email}\n")
        assert row.updated_count == 2
        with unit_of_work(actor) as session:
            refused = queries.still_refused(session, actor.organization_id, None, [gone.id, quiet.id])
            assert set(refused.values()) == {"suppressed_partner"}
            assert queries.consents_of(session, gone)[0].withdrawn


def test_a_sweep_finds_what_waits_and_not_what_is_at_work(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(2)))
        with unit_of_work(None) as session:
            assert (actor.organization_id, row.id) in imports.sweep_due(session)
        imports.run_import(actor, row.id)
        with unit_of_work(None) as session:
            assert (actor.organization_id, row.id) not in imports.sweep_due(session)


def test_a_zero_byte_anywhere_in_the_file_is_a_warning_and_the_import_ends(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        head = make.run(actor, b"email,name\nm@one.example,M\0aria\n" + b"x@one.example,X\n" * 20)
        assert head.sample == []
        row = make.run(actor, (many(imports.CHUNK) + "late@one.example,L\0ate\n").encode())
        assert (row.status, row.created_count, row.warning_count) == (ImportStatus.FINISHED, imports.CHUNK + 1, 1)
        with unit_of_work(actor) as session:
            (kept,) = queries.import_rows(session, actor, row.id)
            assert kept.cells == ["late@one.example", "L ate"]


def test_a_list_deleted_while_its_import_runs_does_not_stop_it(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(5)))
        with unit_of_work(actor) as session:
            assert row.list_id is not None
            services.delete_list(session, actor, row.list_id)
        imports.run_import(actor, row.id)
        done = reload(actor, row)
        assert (done.status, done.created_count, done.list_id) == (ImportStatus.FINISHED, 5, None)


def test_an_import_that_our_own_fault_stops_says_so_and_can_be_started_again(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = cast.partner_admin
    with app.app_context():
        row = make.queue(actor, make.make_import(actor, many(3)))
        with monkeypatch.context() as patch:
            patch.delattr(imports, "_take_chunk")
            with pytest.raises(NameError):
                imports.run_import(actor, row.id)
        failed = reload(actor, row)
        assert failed.status is ImportStatus.FAILED
        assert "Try again" in (failed.error or "")
        make.queue(actor, failed)
        imports.run_import(actor, row.id)
        assert (reload(actor, row).status, reload(actor, row).created_count) == (ImportStatus.FINISHED, 3)
