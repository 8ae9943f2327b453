"""Files with contact data do not stay because somebody, or a killed process, forgot them."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from tcma import clock, ids
from tcma.audience import imports, leftovers
from tcma.audience.models import Import
from tcma.audience.states import ImportStatus
from tcma.db import unit_of_work
from tcma.storage import storage
from tests.factories.cast import Cast

FILE = b"email,name\nmaria@one.example,Maria\n"


def upload(cast: Cast, folder: Path) -> Import:
    path = folder / "contacts.csv"
    path.write_bytes(FILE)
    with unit_of_work(cast.partner_admin) as session:
        return imports.create_import(session, cast.partner_admin, filename="contacts.csv", path=path)


def test_temporary_files_of_a_killed_process_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("tcma-import-dead", "tcma-upload-dead", "other-folder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(FILE)
    (tmp_path / "tcma-import-elsewhere").symlink_to(tmp_path / "other-folder")
    assert leftovers.remove_temporary() == 0
    with clock.at(clock.now() + timedelta(hours=23)):
        assert leftovers.remove_temporary() == 0
    with clock.at(clock.now() + timedelta(hours=25)):
        in_use = tmp_path / "tcma-import-alive"
        in_use.mkdir()
        (in_use / "file").write_bytes(FILE)
        soon = time.time() + 24 * 3600
        os.utime(in_use / "file", (soon, soon))
        assert leftovers.remove_temporary() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other-folder", "tcma-import-alive", "tcma-import-elsewhere"]


def test_an_upload_that_nobody_ran_goes_after_a_week_with_its_file_and_its_sample(
    app: Flask, cast: Cast, tmp_path: Path
) -> None:
    with app.app_context():
        row = upload(cast, tmp_path)
        import_id, key = row.id, row.storage_key
        with clock.at(clock.now() + timedelta(days=6)):
            leftovers.cancel_forgotten()
            assert storage().exists(key)
        with clock.at(clock.now() + timedelta(days=8)):
            assert leftovers.cancel_forgotten() >= 1
        assert not storage().exists(key)
        with unit_of_work(cast.partner_admin) as session:
            kept = session.get_one(Import, import_id, populate_existing=True)
            assert (kept.status, kept.sample) == (ImportStatus.CANCELLED, [])


def test_a_stored_upload_without_an_import_goes_after_a_week(app: Flask, cast: Cast, tmp_path: Path) -> None:
    with app.app_context():
        wanted = upload(cast, tmp_path)
        lost = f"imports/{wanted.partner_id}/{ids.new_id()}"
        storage().put(lost, FILE, content_type="application/octet-stream")
        with clock.at(clock.now() + timedelta(days=6)):
            leftovers.remove_unreferenced()
            assert storage().exists(lost)
        with clock.at(clock.now() + timedelta(days=8)):
            assert leftovers.remove_unreferenced() >= 1
        assert not storage().exists(lost)
        assert storage().exists(wanted.storage_key)
