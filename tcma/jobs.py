"""Asking for background work. A message goes out after the commit and carries (organization, id) only.

What must happen is a row first: if a message is lost, a sweep finds the row that is due.
"""

from __future__ import annotations

from uuid import UUID

from celery import current_app
from sqlalchemy.orm import Session

from tcma.db import after_commit


def enqueue(session: Session, task: str, organization_id: UUID | None, object_id: UUID | int | None = None, *, queue: str = "default") -> None:
    """Send the Celery task named `task` once the present unit of work has committed."""
    arguments = [str(organization_id) if organization_id else None, str(object_id) if object_id is not None else None]
    after_commit(session, lambda: send(task, arguments, queue=queue))


def send(task: str, arguments: list[str | None], *, queue: str = "default") -> None:
    """Send a task message now; raises what the broker raises."""
    current_app.send_task(task, args=arguments, queue=queue, retry=False, ignore_result=True)
