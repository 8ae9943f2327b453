"""Typed domain events, named in the past tense.

An earlier room raises an event where its act must cause something in a later one; `tcma.wiring` subscribes the
later room's service. Subscribers run at once, in the same transaction: both happen or neither does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from tcma.access import Actor


@dataclass(frozen=True)
class DomainEvent:
    """Base of all events."""


@dataclass(frozen=True)
class ContactErased(DomainEvent):
    partner_id: UUID
    contact_id: int
    email_key: bytes


@dataclass(frozen=True)
class ContactSuppressed(DomainEvent):
    partner_id: UUID
    email_key: bytes
    reason: str


@dataclass(frozen=True)
class PartnershipSuspended(DomainEvent):
    vendor_id: UUID
    partner_id: UUID


@dataclass(frozen=True)
class PartnershipActivated(DomainEvent):
    vendor_id: UUID
    partner_id: UUID


@dataclass(frozen=True)
class CampaignRecalled(DomainEvent):
    vendor_id: UUID
    campaign_id: UUID


@dataclass(frozen=True)
class ContactClicked(DomainEvent):
    """A person (not a machine) followed a tracked link."""

    partner_id: UUID
    launch_id: UUID
    delivery_id: int
    contact_id: int


@dataclass(frozen=True)
class LaunchFinished(DomainEvent):
    vendor_id: UUID
    partner_id: UUID
    launch_id: UUID


Subscriber = Callable[[Session, Actor, Any], None]
_subscribers: dict[type[DomainEvent], list[Subscriber]] = defaultdict(list)


def subscribe(event_type: type[DomainEvent], subscriber: Subscriber) -> None:
    """Have `subscriber(session, actor, event)` called for each event of that type; twice is once."""
    if subscriber not in _subscribers[event_type]:
        _subscribers[event_type].append(subscriber)


def publish(session: Session, actor: Actor, happened: DomainEvent) -> None:
    """Tell all subscribers, in this transaction."""
    for subscriber in _subscribers[type(happened)]:
        subscriber(session, actor, happened)
