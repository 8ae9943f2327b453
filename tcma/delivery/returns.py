"""What comes back is a row before it is answered; then it is read once and acted upon, by a task and by a sweep.

A webhook or mail is kept by its edge (`keep`, committed before the answer) and processed later, each in a transaction
of its own with everything that follows from it. One that fails comes again, later each time; after ATTEMPTS its error
stays in the row for the operator. A replay is the same row and does nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tcma import clock, jobs
from tcma.config import settings
from tcma.db import elevated, unit_of_work
from tcma.delivery import bounces, bounces_webhook, returns_health, returns_policy, returns_ses, sns, tokens
from tcma.delivery.bounces import Report, ReportKind
from tcma.delivery.models_returns import Return, ReturnCount
from tcma.delivery.tokens import Purpose

log = structlog.get_logger(__name__)

PROCESS = "tcma.delivery.process_returns"
SES, WEBHOOK, MAIL = "ses", "webhook", "mail"
ATTEMPTS = 8
FIRST_WAIT = timedelta(seconds=30)
KEEP_BODY = timedelta(days=30)
"""Bodies hold addresses and sometimes whole mails; so long they may be looked at, then only the row stays."""

_NAMED = re.compile(r"(?<![\w.-])([bu]-[a-z2-7]{16,40})@|/u/([A-Za-z0-9_-]{16,40})(?![\w-])", re.IGNORECASE | re.ASCII)


def keep(session: Session, *, source: str, key: str, body: bytes, envelope: dict[str, Any] | None = None) -> bool:
    """Store what came, in the present transaction; False where (source, key) is there already.

    Answer only after the commit. `body` is kept as it is, `envelope` is JSON.
    """
    row = {
        "source": source, "key": key, "body": body, "envelope": envelope or {}, "received_at": clock.now(),
        "due_at": clock.now(), "attempts": 0,
    }  # fmt: skip
    with elevated(session, "what comes back is nobody's before it is read"):
        statement = insert(Return).values(row).on_conflict_do_nothing(index_elements=["source", "key"])
        made = session.scalar(statement.returning(Return.id))
    if made is not None:
        jobs.enqueue(session, PROCESS, None)
    return made is not None


def process_due(*, limit: int = 200) -> int:
    """Process what is due, at most `limit` returns, then count and check the launches concerned; how many were done.

    Opens units of work of its own. Several may run at once: a row that another one holds is skipped.
    """
    with unit_of_work(None) as session, elevated(session, "what is due belongs to nobody yet"):
        due = session.scalars(
            select(Return.id)
            .where(Return.processed_at.is_(None), Return.due_at <= clock.now())
            .order_by(Return.due_at)
            .limit(limit)
        ).all()
    done = sum(_process(one) for one in due)
    returns_health.recount()
    return done


def _process(return_id: int) -> bool:
    try:
        with unit_of_work(None) as session:
            row = _take(session, return_id)
            if row is None:
                return False
            reports = _reports(row)
            outcomes = [returns_policy.apply(session, one, source=row.source) for one in reports]
            _done(session, row, outcomes or [str(ReportKind.NOTHING)], reports)
    except (ValueError, sns.Refused) as error:
        # It will read no better next time.
        _give_up(return_id, str(error))
    except returns_policy.NotYet as error:
        _try_later(return_id, str(error))
        return False
    except Exception as error:
        log.warning("return_not_processed", id=return_id, error=type(error).__name__, exc_info=True)
        _try_later(return_id, f"{type(error).__name__}: {error}")
        return False
    return True


def _take(session: Session, return_id: int) -> Return | None:
    """The row, locked and detached, if nobody else works on it."""
    with elevated(session, "one return is read"):
        row = session.scalar(
            select(Return)
            .where(Return.id == return_id, Return.processed_at.is_(None))
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        if row is not None:
            session.expunge(row)
    return row


def _reports(row: Return) -> list[Report]:
    """What a return says. Raises ValueError, with words for the operator, where it cannot be read."""
    if row.source == MAIL:
        return [_report_of_mail(row)]
    if row.source == WEBHOOK:
        return bounces_webhook.read_events(row.body, delivery_of=delivery_of)
    kind = row.envelope.get("type")
    if kind == "SubscriptionConfirmation":
        sns.confirm(row.envelope["topic"], row.envelope["token"])
        log.info("topic_subscribed", topic=row.envelope["topic"])
        return []
    if kind == "UnsubscribeConfirmation":
        log.warning("topic_unsubscribed", topic=row.envelope["topic"])
        return []
    return returns_ses.read_notification(row.body.decode("utf-8", "replace"), delivery_of=delivery_of)


def _report_of_mail(row: Return) -> Report:
    """The recipient names the delivery; a report about a test's address names it in the mail that it quotes."""
    delivery_id = int(row.envelope["delivery"])
    if row.envelope["purpose"] == Purpose.UNSUBSCRIBE_MAIL:
        return Report(ReportKind.UNSUBSCRIBE, delivery_id=delivery_id, text="by mail")
    report = bounces.read_mail(row.body)
    if delivery_id == 0 and report.kind is not ReportKind.NOTHING:
        named = (delivery_of(one) for one in bounces.originals(row.body))
        delivery_id = next((one for one in named if one), 0)
    return Report(report.kind, delivery_id=delivery_id, recipient=report.recipient, status=report.status, text=report.text)


def delivery_of(text: str) -> int | None:
    """The delivery that an address or link of ours in `text` names, 0 for a test mail, None where it is not ours."""
    keys = settings().derived_keys("tracking")
    for found in _NAMED.finditer(text[:4000]):
        address, token = found.groups()
        if address:
            purpose = Purpose.BOUNCE if address[0] in "bB" else Purpose.UNSUBSCRIBE_MAIL
            data = tokens.read_address(address, purpose=purpose, keys=keys)
        else:
            data = tokens.read_token(token, purpose=Purpose.UNSUBSCRIBE, keys=keys)
        if data is not None:
            return data.delivery_id
    return None


def _done(session: Session, row: Return, outcomes: list[str], reports: list[Report]) -> None:
    named = {one.delivery_id for one in reports if one.delivery_id}
    _finish(
        session, row.id, outcome=",".join(sorted(set(outcomes)))[:200], error=None,
        delivery_id=named.pop() if len(named) == 1 else None,
    )  # fmt: skip
    _count(session, row.source, outcomes)


def _finish(session: Session, return_id: int, **values: Any) -> None:
    with elevated(session, "one return is done with"):
        session.execute(
            update(Return)
            .where(Return.id == return_id, Return.processed_at.is_(None))
            .values(processed_at=clock.now(), attempts=Return.attempts + 1, **values),
            execution_options={"synchronize_session": False},
        )


def _count(session: Session, source: str, outcomes: list[str]) -> None:
    for outcome, number in sorted(Counter(outcomes).items()):
        statement = insert(ReturnCount).values(source=source, outcome=outcome, count=number)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["source", "outcome"], set_={"count": ReturnCount.count + statement.excluded.count}
            )
        )


def _give_up(return_id: int, error: str) -> None:
    with unit_of_work(None) as session:
        _finish(session, return_id, outcome="unreadable", error=error[:500])
        _count(session, "any", ["unreadable"])
    log.warning("return_unreadable", id=return_id, error=error[:200])


def _try_later(return_id: int, error: str) -> None:
    with unit_of_work(None) as session, elevated(session, "one return could not be processed"):
        tried = session.scalar(select(Return.attempts).where(Return.id == return_id)) or 0
        now = clock.now()
        given_up = tried + 1 >= ATTEMPTS
        session.execute(
            update(Return)
            .where(Return.id == return_id, Return.processed_at.is_(None))
            .values(
                attempts=tried + 1, error=error[:500], due_at=now + FIRST_WAIT * 2**tried,
                **({"processed_at": now, "outcome": "failed"} if given_up else {}),
            ),
            execution_options={"synchronize_session": False},
        )  # fmt: skip
        if given_up:
            _count(session, "any", ["failed"])


def forget_bodies(*, limit: int = 5000) -> int:
    """Empty the bodies of what was processed long ago; how many."""
    with unit_of_work(None) as session, elevated(session, "old returns lose what they said"):
        old = select(Return.id).where(
            Return.body != b"", Return.received_at < clock.now() - KEEP_BODY, Return.processed_at.is_not(None)
        )
        found = session.execute(
            update(Return).where(Return.id.in_(old.limit(limit))).values(body=b"", envelope={}),
            execution_options={"synchronize_session": False},
        )
    return int(getattr(found, "rowcount", 0))
