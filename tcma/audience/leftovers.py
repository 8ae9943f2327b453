"""Files of contacts that nobody needs any more: what a killed process left, and uploads that were never run.

They hold personal data, so they do not stay because somebody forgot them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import select

from tcma import clock
from tcma.access import Actor, Kind
from tcma.audience import imports
from tcma.audience.models import Import
from tcma.audience.states import ImportStatus
from tcma.db import elevated, unit_of_work
from tcma.errors import IllegalTransition
from tcma.storage import storage

TEMP_NAMES = ("tcma-import-*", "tcma-upload-*")
TEMP_LIFE = timedelta(days=1)
UPLOAD_LIFE = timedelta(days=7)
_AT_A_TIME = 500
_ENDED = (ImportStatus.FINISHED, ImportStatus.CANCELLED, ImportStatus.FAILED)
"""States in which the file is of no use after a week; a failed import then says to upload it again."""

log = structlog.get_logger(__name__)


def remove_temporary() -> int:
    """Remove our own temporary folders with contact files that nothing was written to for a day; how many."""
    before, done = (clock.now() - TEMP_LIFE).timestamp(), 0
    for pattern in TEMP_NAMES:
        for folder in Path(tempfile.gettempdir()).glob(pattern):
            if _is_ours(folder) and _last_written(folder) < before:
                shutil.rmtree(folder)
                done += 1
    return done


def _is_ours(folder: Path) -> bool:
    """A real folder of our own user: in a shared place anybody may give such a name to something else."""
    return not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.geteuid()


def _last_written(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))


def cancel_forgotten() -> int:
    """Cancel uploads that nobody ran for a week, which removes their files; how many."""
    before = clock.now() - UPLOAD_LIFE
    with unit_of_work(None) as session, elevated(session, "a sweep finds uploads that nobody ran"):
        rows = session.execute(
            select(Import.partner_id, Import.id)
            .where(Import.status == ImportStatus.UPLOADED, Import.created_at < before)
            .limit(_AT_A_TIME)
        ).all()
    done = 0
    for partner_id, import_id in rows:
        actor = Actor.system(partner_id, Kind.PARTNER)
        try:
            with unit_of_work(actor) as session:
                imports.cancel_import(session, actor, import_id)
            done += 1
        except IllegalTransition:
            log.info("import_run_after_all", import_id=str(import_id))
    return done


def remove_unreferenced() -> int:
    """Remove stored uploads older than a week that no import needs: its row was never kept, or it has ended; how many."""
    before, done = clock.now() - UPLOAD_LIFE, 0
    old = {key: found for key in storage().list("imports/") if (found := _import_of(key)) and _made_at(found) < before}
    keys = list(old)
    for start in range(0, len(keys), _AT_A_TIME):
        some = keys[start : start + _AT_A_TIME]
        with unit_of_work(None) as session, elevated(session, "a sweep asks which stored uploads are still needed"):
            needed = set(
                session.scalars(
                    select(Import.id).where(Import.id.in_([old[key] for key in some]), Import.status.not_in(_ENDED))
                )
            )
        for key in some:
            if old[key] not in needed:
                storage().delete(key)
                done += 1
    return done


def _import_of(key: str) -> UUID | None:
    try:
        return UUID(key.rpartition("/")[2])
    except ValueError:
        return None


def _made_at(import_id: UUID) -> datetime:
    """When an id was made: the first 48 bits of a UUIDv7 are milliseconds (RFC 9562 §5.7)."""
    return datetime.fromtimestamp((import_id.int >> 80) / 1000, UTC)
