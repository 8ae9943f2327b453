"""What comes back: hits are spooled before they are answered, loaded exactly once, and judged in the same step."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Text, Uuid, literal, select
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from tcma import clock, events
from tcma.access import Actor, Kind
from tcma.assets import queries as asset_queries
from tcma.audience import services as audience_services
from tcma.audience.states import SuppressionReason
from tcma.campaigns.launches import landing_url
from tcma.campaigns.models import Launch
from tcma.config import Settings, settings
from tcma.db import bind, elevated, given_rows, unit_of_work
from tcma.delivery import composing, planning, queries, tokens
from tcma.delivery.classify import Hit, classify
from tcma.delivery.destinations import BLOCK, Destinations, Links
from tcma.delivery.models import Classification, Delivery, Event, LaunchTouch, LoadBatch, SpoolOffset
from tcma.delivery.places import spool_folder
from tcma.delivery.returns_unknown import count_soon, settle_unknown
from tcma.delivery.spool import Segment, Spool, loading, segments
from tcma.delivery.states import DeliveryStatus, EventClass, EventKind
from tcma.delivery.tokens import Purpose
from tcma.errors import NotFound

ONE_CLICK = "one-click"
_KINDS = {"c": EventKind.CLICK, "o": EventKind.OPEN, "v": EventKind.LANDING_VIEW}
_HIT: dict[str, type[TypeEngine[Any]] | TypeEngine[Any]] = {
    "partner_id": Uuid, "launch_id": Uuid, "delivery_id": BigInteger, "contact_id": BigInteger, "kind": Text,
    "at": TIMESTAMP(timezone=True), "link_number": Integer, "address": Text, "agent": Text, "method": Text, "source_key": Text,
}  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_json = json.JSONEncoder().encode
_spools: dict[Path, Spool] = {}
_spools_lock = threading.Lock()
_present: _Here | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asked for a tracked address: as the request says it."""

    address: str
    agent: str
    method: str


@dataclass(frozen=True, slots=True)
class Sender:
    """From whom a mail came, for the public pages; `known` is False for the link of a test mail."""

    name: str
    brand: dict[str, str]
    vendor_name: str
    known: bool


@dataclass(frozen=True, slots=True)
class _Here:
    """What this process keeps for the service with the settings `conf`; each hit needs all of it."""

    conf: Settings
    keys: tuple[bytes, ...]
    spool: Spool
    destinations: Destinations
    origin: tuple[str, str]
    """Of the links: scheme, host[:port]."""


def _here() -> _Here:
    global _present
    conf = settings()
    found = _present
    if found is None or found.conf is not conf:
        folder = spool_folder()
        with _spools_lock:
            ours = _spools.setdefault(folder, Spool(folder))
        scheme, _, host = conf.tracking_origin.partition("://")
        found = _present = _Here(conf, conf.derived_keys("tracking"), ours, Destinations(), (scheme, host))
    return found


def spool() -> Spool:
    """This process's end of the spool."""
    return _here().spool


def read(token: str, purpose: Purpose) -> tokens.TokenData:
    """What a genuine token says. Raises NotFound for one that is forged, cut short or for something else."""
    data = tokens.read_token(token, purpose=purpose, keys=_here().keys)
    if data is None:
        raise NotFound("This link is not complete, or it was changed. Open it from the mail again.")
    return data


def follow(session: Session, token: str, visit: Visit) -> str:
    """Where a tracked link leads. The hit is on disk when this returns. Raises NotFound, SpoolError."""
    data = read(token, Purpose.CLICK)
    here = _here()
    links = here.destinations.find(data.delivery_id) or _look_up(session, data.delivery_id)
    url = links.urls.get(data.link_number) if links else None
    if links is None or url is None:
        raise NotFound("This link leads nowhere any more.")
    _keep(here, "c", data, visit.address, visit.agent, visit.method)
    return links.own + _who(here, data) if data.link_number in links.homes else url


def follow_remembered(token: str, origin: tuple[str, str], address: str, agent: str) -> tuple[str, str, str] | None:
    """As `follow` for a GET, without a database: (stored address, what it is told of who came, name of the hit).

    None, and nothing is kept, where `origin` (scheme, host[:port]) is not that of the links, the token is not genuine
    or its delivery not remembered. Raises SpoolError.
    """
    here = _here()
    if origin != here.origin:
        return None
    data = tokens.read_token(token, purpose=Purpose.CLICK, keys=here.keys)
    if data is None:
        return None
    links = here.destinations.find(data.delivery_id)
    url = links.urls.get(data.link_number) if links else None
    if links is None or url is None:
        return None
    name = _keep(here, "c", data, address, agent, "GET")
    return (links.own, _who(here, data), name) if data.link_number in links.homes else (url, "", name)


def _who(here: _Here, data: tokens.TokenData) -> str:
    # What the link's own address asked for is not handed on: the page reads who came, and nothing else.
    return f"?t={tokens.landing_token(data.delivery_id, key=here.keys[0])}"


def _look_up(session: Session, delivery_id: int) -> Links | None:
    """The links of a delivery from the database; those of its neighbours are remembered with it."""
    number = delivery_id // BLOCK
    with elevated(session, "a public link names its delivery"):
        first = number * BLOCK
        found = session.execute(
            select(Delivery.id, Delivery.launch_touch_id)
            .where(Delivery.id >= first, Delivery.id < first + BLOCK)
            .order_by(Delivery.id)
        )
        rows = [(one[0], one[1]) for one in found]
        touches = session.execute(
            select(LaunchTouch.id, LaunchTouch.links, Launch)
            .join(Launch, Launch.id == LaunchTouch.launch_id)
            .where(LaunchTouch.id.in_({touch_id for _, touch_id in rows}))
        )
        links: dict[UUID, Links] = {}
        for row in touches:
            links[row[0]] = Links.of({one["number"]: one["url"] for one in row[1]}, landing_url(row[2]))
    _here().destinations.remember(number, rows, links)
    return next((links[touch_id] for one, touch_id in rows if one == delivery_id), None)


def opened(token: str, visit: Visit) -> None:
    """Keep that the pixel of a mail was fetched. Raises NotFound, SpoolError."""
    _keep(_here(), "o", read(token, Purpose.OPEN), visit.address, visit.agent, visit.method)


def viewed(delivery_id: int, visit: Visit) -> None:
    """Keep that the reader of a delivery looked at the launch's landing page. Raises SpoolError."""
    _keep(_here(), "v", tokens.TokenData(delivery_id, 0), visit.address, visit.agent, visit.method)


def _keep(here: _Here, kind: str, data: tokens.TokenData, address: str, agent: str, method: str) -> str:
    """Spool one hit; its name, 20 hexadecimal digits. Raises SpoolError."""
    # The name of a hit must be one of a kind and guards nothing; the system's randomness would cost more than the rest.
    name = random.getrandbits(80).to_bytes(10).hex()
    at = (clock.now() - _EPOCH) // _MICROSECOND
    # Written out here, which takes a fraction of the time of json.dumps; only what a request says needs quoting.
    here.spool.append_line(
        f'{{"k":"{kind}","d":{data.delivery_id},"l":{data.link_number},"t":{at},"a":{_json(address)},'
        f'"u":{_json(agent[:300])},"m":{_json(method)},"i":"{name}"}}\n'.encode()
    )
    return name


def sender_of(session: Session, token: str) -> Sender:
    """Who sent the mail that an unsubscribe link came in. Changes nothing. Raises NotFound."""
    data = read(token, Purpose.UNSUBSCRIBE)
    if data.delivery_id == 0:
        return Sender("", {}, "", known=False)
    _, launch = delivery_of_token(session, data)
    with elevated(session, "the page of an unsubscribe link says who wrote"):
        brand = dict(launch.brand or asset_queries.brand_values(session, launch.partner_id))
        vendor_name = composing.vendor_name(session, launch)
    return Sender(brand.get("legal_name") or brand.get("name") or "", brand, vendor_name, known=True)


def unsubscribe(session: Session, token: str, visit: Visit, *, source: str = ONE_CLICK) -> None:
    """Never write to the reader of this mail again, at this partner (RFC 8058). A repeat changes nothing."""
    data = read(token, Purpose.UNSUBSCRIBE)
    if data.delivery_id == 0:
        return
    delivery, launch = delivery_of_token(session, data)
    bind(session, Actor.system(launch.partner_id, Kind.PARTNER))
    unsubscribe_delivery(session, delivery, launch, visit, source=source)
    count_soon(session, launch)


def unsubscribe_delivery(session: Session, delivery: Delivery, launch: Launch, visit: Visit, *, source: str) -> None:
    """Suppress the reader of a delivery at its partner and keep the event; the session is bound to the partner."""
    actor = Actor.system(launch.partner_id, Kind.PARTNER)
    audience_services.suppress(
        session, actor, partner_id=launch.partner_id, email_key=delivery.email_key,
        reason=SuppressionReason.UNSUBSCRIBED, source=source,
    )  # fmt: skip
    record(session, delivery, EventKind.UNSUBSCRIBE, visit, source="unsubscribe", source_key=str(delivery.id))
    settle_unknown(session, [delivery.id], DeliveryStatus.SENT, answer="The reader unsubscribed by it.")
    session.flush()


def record(
    session: Session, delivery: Delivery, kind: EventKind, visit: Visit, *, source: str, source_key: str,
    detail: dict[str, Any] | None = None,
) -> bool:  # fmt: skip
    """Store one event that came with its own transaction; False where (source, source_key) is there already."""
    batch = LoadBatch(rows=1)
    session.add(batch)
    session.flush()
    made = session.scalar(
        insert(Event)
        .values(
            partner_id=delivery.partner_id, launch_id=delivery.launch_id, delivery_id=delivery.id,
            contact_id=delivery.contact_id, kind=kind, at=clock.now(), address=visit.address, agent=visit.agent[:300],
            method=visit.method, detail=detail or {}, source=source, source_key=source_key, batch_id=batch.id,
        )
        .on_conflict_do_nothing(index_elements=["source", "source_key"])
        .returning(Event.id)
    )  # fmt: skip
    if made is not None:
        judge(session, delivery.launch_id, [delivery.id])
    return made is not None


def delivery_of_token(session: Session, data: tokens.TokenData) -> tuple[Delivery, Launch]:
    """The delivery that a genuine token names, and its launch. Raises NotFound."""
    with elevated(session, "a public link names its delivery"):
        delivery = queries.find_delivery(session, data.delivery_id)
        launch = session.get(Launch, delivery.launch_id) if delivery else None
    if delivery is None or launch is None:
        raise NotFound("This link leads nowhere any more.")
    return delivery, launch


# -- loading -------------------------------------------------------------------------------------------


def load_hits(folder: Path | None = None) -> int:
    """Load all spooled hits of this machine (or of `folder`), once each; how many. Another loader at work means 0.

    Opens units of work of its own: one for each piece of a segment, with the offset in the same transaction.
    """
    done = 0
    touched: set[tuple[UUID, UUID]] = set()
    place = folder or spool_folder()
    with loading(place) as mine:
        if mine:
            for segment in segments(place):
                done += _load_segment(segment, touched)
    for partner_id, launch_id in sorted(touched):
        actor = Actor.system(partner_id, Kind.PARTNER)
        with unit_of_work(actor) as session:
            launch = session.get(Launch, launch_id)
            if launch is not None:
                planning.count_totals(session, launch)
    return done


def _load_segment(segment: Segment, touched: set[tuple[UUID, UUID]]) -> int:
    done = 0
    while True:
        with unit_of_work(None) as session:
            offset = session.get(SpoolOffset, segment.name, with_for_update=True, populate_existing=True)
            if offset is None:
                offset = SpoolOffset(segment=segment.name, offset=0)
                session.add(offset)
            batch = segment.read(offset.offset)
            at_end = batch.next_offset == offset.offset
            if batch.records:
                touched |= _load(session, batch.records)
                done += len(batch.records)
            offset.offset, offset.updated_at = batch.next_offset, clock.now()
        if at_end:
            segment.remove_if_done(batch.next_offset)
            return done


def _load(session: Session, records: list[dict[str, Any]]) -> set[tuple[UUID, UUID]]:
    """Store and judge one piece of a segment, and tell later rooms of people's clicks; (partner, launch) touched."""
    made = LoadBatch(rows=len(records))
    session.add(made)
    session.flush()
    wanted = {record["d"] for record in records}
    with elevated(session, "the spool holds hits of every tenant"):
        known = {one.id: one for one in session.scalars(select(Delivery).where(Delivery.id.in_(wanted)))}
        rows = [_row(one, known[one["d"]]) for one in records if one["d"] in known and one["k"] in _KINDS]
        if not rows:
            return set()
        new = _insert(session, rows, batch_id=made.id)
        # Whoever or whatever opened it, the mail arrived: its tokens are in no other.
        settle_unknown(session, sorted(known), DeliveryStatus.SENT, answer="The mail was opened or a link followed.")
        launches: dict[UUID, list[int]] = {}
        for one in known.values():
            launches.setdefault(one.launch_id, []).append(one.id)
        people: list[Event] = []
        for launch_id, delivery_ids in launches.items():
            people += [one for one in judge(session, launch_id, delivery_ids) if one.id in new]
    _tell(session, people)
    return {(one.partner_id, one.launch_id) for one in known.values()}


def _moment(told: int | str) -> datetime:
    """From microseconds since 1970, or from ISO 8601 as in older lines and those of the demo."""
    return datetime.fromisoformat(told) if isinstance(told, str) else _EPOCH + told * _MICROSECOND


def _row(record: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
    return {
        "partner_id": delivery.partner_id, "launch_id": delivery.launch_id, "delivery_id": delivery.id,
        "contact_id": delivery.contact_id, "kind": str(_KINDS[record["k"]]), "at": _moment(record["t"]),
        "link_number": record["l"] or None, "address": _storable(record["a"]),
        "agent": _storable(record["u"]), "method": _storable(record["m"]),
        "source_key": record["i"],
    }  # fmt: skip


def _storable(text: str) -> str:
    """What PostgreSQL takes: one hit of an odd client must not keep all others from being loaded."""
    return text if text.isprintable() else text.replace("\0", "").encode("utf-8", "replace").decode()


def _insert(session: Session, rows: list[dict[str, Any]], *, batch_id: int) -> set[int]:
    """Store the hits that are not there yet; the ids of those."""
    given = given_rows(_HIT, rows)
    same = [literal({}, JSONB), literal("spool"), literal(batch_id)]
    statement = insert(Event).from_select(
        [*_HIT, "detail", "source", "batch_id"], select(*(given.c[name] for name in _HIT), *same), include_defaults=False
    )
    once = statement.on_conflict_do_nothing(index_elements=["source", "source_key"])
    return set(session.scalars(once.returning(Event.id)))


def _tell(session: Session, people: Iterable[Event]) -> None:
    for one in people:
        if one.delivery_id is not None and one.contact_id is not None:
            actor = Actor.system(one.partner_id, Kind.PARTNER)
            bind(session, actor)
            events.publish(
                session, actor, events.ContactClicked(one.partner_id, one.launch_id, one.delivery_id, one.contact_id)
            )
    session.flush()
    bind(session, None)


def judge(session: Session, launch_id: UUID, delivery_ids: list[int] | None) -> list[Event]:
    """Judge all events of these deliveries (None: of the whole launch) anew; the clicks that people made."""
    statement = (
        select(Event, Delivery.settled_at)
        .outerjoin(Delivery, (Delivery.id == Event.delivery_id) & (Delivery.launch_id == launch_id))
        .where(Event.launch_id == launch_id)
    )
    if delivery_ids is not None:
        statement = statement.where(Event.delivery_id.in_(delivery_ids))
    mails: dict[int, list[Hit]] = {}
    found: dict[int, Event] = {}
    for one, sent_at in session.execute(statement):
        found[one.id] = one
        # An event without a delivery stands alone; its own id, negative, is nobody's delivery.
        hit = Hit(one.id, EventKind(one.kind), one.at, sent_at, one.agent, one.method, one.link_number)
        mails.setdefault(one.delivery_id or -one.id, []).append(hit)
    rows = []
    people = []
    for hits in mails.values():
        for event_id, verdict in classify(hits).items():
            event = found[event_id]
            rows.append(
                {"event_id": event_id, "version": queries.CLASSIFICATION_VERSION, "partner_id": event.partner_id,
                 "launch_id": launch_id, "verdict": verdict.verdict, "score": verdict.score, "reasons": verdict.reasons}
            )  # fmt: skip
            if event.kind is EventKind.CLICK and verdict.verdict is EventClass.HUMAN:
                people.append(event)
    if rows:
        write = insert(Classification)
        changed = {name: write.excluded[name] for name in ("verdict", "score", "reasons")}
        session.execute(write.on_conflict_do_update(index_elements=["event_id", "version"], set_=changed), rows)
    return people


def reclassify(session: Session, actor: Actor, launch: Launch) -> None:
    """Judge every event of a launch by the present rules, as after a new version of them."""
    judge(session, launch.id, None)
    planning.count_totals(session, launch)
