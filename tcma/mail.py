"""Notification mails: written to the outbox with what caused them, sent by a sweep after the commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import clock, ids, jobs
from tcma.records import OutboxMail

_BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """`text` as it may stand in a header: breaks and control characters, from whatever form they came, are blanks."""
    return _BREAKS.sub(" ", text).strip()


def post(
    session: Session,
    template: str,
    *,
    organization_id: UUID,
    to_address: str,
    to_name: str = "",
    data: Mapping[str, Any],
    once_key: str | None = None,
) -> None:
    """Put one notification mail into the outbox of `organization_id`, in the present transaction.

    `template` is a name in email_templates/notifications; `data` are its plain values. With `once_key` the same
    mail is posted once for ever. Addresses are of members or invited people, never of a partner's contacts.
    """
    row = {
        "id": ids.new_id(),
        "created_at": clock.now(),
        "due_at": clock.now(),
        "organization_id": organization_id,
        "to_address": to_address,
        "to_name": one_line(to_name),
        "template": template,
        "data": dict(data),
        "once_key": once_key,
        "attempts": 0,
    }
    statement = insert(OutboxMail).values(**row).on_conflict_do_nothing(index_elements=["organization_id", "once_key"])
    session.execute(statement)
    jobs.enqueue(session, "tcma.outbox", organization_id)
