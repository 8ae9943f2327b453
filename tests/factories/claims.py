"""Sent launches, proof and claims in any state, made through the same services as users'."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor, Kind
from tcma.assets import samples
from tcma.campaigns.models import Launch
from tcma.campaigns.states import LaunchStatus
from tcma.db import unit_of_work
from tcma.delivery.models import Delivery, Event, LoadBatch
from tcma.delivery.states import DeliveryStatus, EventKind
from tcma.mdf import claims, evidence, payments, requests
from tcma.mdf.models import PaymentBatch, Proof
from tcma.mdf.states import ProofKind
from tcma.money import Money
from tests.factories.cast import Cast
from tests.factories.delivery import make_started
from tests.factories.mdf import FundedProgramme, an_activity, eur, make_money, make_request

IBAN = "DE89370400440532013000"
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"


@dataclass
class Story:
    """An approved activity with its sent launch, and the claim on it."""

    cast: Cast
    money: FundedProgramme
    fund_id: UUID
    launch_id: UUID | None
    claim_id: UUID
    activity_id: UUID
    number: str


def finish(launch: Launch, *, sent_at: datetime | None = None) -> None:
    """All of it has left, as the engine would say."""
    at = sent_at or clock.now()
    actor = Actor.system(launch.partner_id, Kind.PARTNER)
    with unit_of_work(actor) as session:
        session.execute(
            update(Delivery).where(Delivery.launch_id == launch.id).values(status=DeliveryStatus.SENT, settled_at=at)
        )
        found = session.get_one(Launch, launch.id)
        if found.status is LaunchStatus.SENDING:
            found.finish(by=actor, at=at)


def click(session: Session, launch: Launch, deliveries: Sequence[Delivery], *, minutes: int = 10) -> None:
    """One click each by people, loaded in a batch of its own."""
    batch = LoadBatch(rows=len(deliveries))
    session.add(batch)
    session.flush()
    for one in deliveries:
        session.add(
            Event(
                partner_id=launch.partner_id, launch_id=launch.id, delivery_id=one.id, contact_id=one.contact_id,
                kind=EventKind.CLICK, at=clock.now() + timedelta(minutes=minutes), link_number=1, agent=BROWSER,
                method="GET", detail={}, source="test", source_key=secrets.token_hex(8), batch_id=batch.id,
            )
        )  # fmt: skip


@cache
def invoice_pdf(number: str = "R-100", net: int = 2_000, buyer: str = "Acme IT GmbH") -> bytes:
    """An invoice of whole euros net, with 19 % tax, dated today."""
    line = samples.InvoiceLine("Setting up and looking after the mailing", 1, net * 100)
    return samples.sample_invoice("Agentur Nord GmbH", buyer, number, clock.today(), [line], "EUR", Decimal("0.19"))


def make_activity_claim(
    cast: Cast, *, launch: Launch | None = None, requested: int = 1_000, money: FundedProgramme | None = None
) -> Story:
    """A draft claim on an approved activity that begins today; with a launch, its statement is attached."""
    money = money or make_money(cast)
    today = clock.today()
    planned = an_activity(money, requested=requested, starts_on=today, ends_on=today + timedelta(days=7))
    if launch is not None:
        planned["campaign_version_id"] = launch.campaign_version_id
    request = make_request(cast, money, state="approved", activities=[planned])
    activity = request.activities[0]
    with unit_of_work(cast.partner_marketer) as session:
        if launch is not None:
            requests.link_launch(session, cast.partner_marketer, activity.id, launch.id)
        claim = claims.create_claim(session, cast.partner_marketer, activity.id)
        return Story(cast, money, money.fund.id, launch.id if launch else None, claim.id, activity.id, claim.number)


def add_invoice(story: Story, *, number: str | None = None, net: int = 2_000, data: bytes | None = None) -> Proof:
    """An invoice read and confirmed."""
    actor = story.cast.partner_marketer
    named = number or f"R-{secrets.token_hex(4)}"
    upload = evidence.read_upload(data or invoice_pdf(named, net), f"{named}.pdf", kind=ProofKind.INVOICE)
    with unit_of_work(actor) as session:
        proof = evidence.upload_proof(session, actor, story.claim_id, kind=ProofKind.INVOICE, upload=upload)
        evidence.confirm_invoice(
            session, actor, proof.id,
            values={
                "number": named, "date": clock.today(), "currency": "EUR", "net": str(net),
                "tax": str(Decimal(net) * 19 / 100), "gross": str(Decimal(net) * 119 / 100),
                "supplier": "Agentur Nord GmbH", "supplier_tax_id": "DE123456789", "buyer": "Acme IT GmbH",
            },
        )  # fmt: skip
    return proof


def make_claim(
    cast: Cast, *, state: str = "submitted", claimed: Money | None = None, launch: Launch | None = None, net: int = 2_000,
    money: FundedProgramme | None = None, number: str | None = None, requested: int = 1_000,
) -> Story:  # fmt: skip
    """A claim in a state: draft, ready (to submit), submitted, returned, approved, denied, withdrawn."""
    if launch is None:
        launch = make_started(cast, contacts=3)
        finish(launch)
    story = make_activity_claim(cast, launch=launch, money=money, requested=requested)
    if state == "draft":
        return story
    add_invoice(story, net=net, number=number)
    partner, finance = cast.partner_marketer, cast.finance
    with unit_of_work(partner) as session:
        tax = Money.of(Decimal(net) * 19 / 100, "EUR")
        claims.save_lines(
            session, partner, story.claim_id, lines=[{"description": "Mailing", "net": eur(net), "tax": tax}],
            amount=claimed,
        )  # fmt: skip
        if state == "withdrawn":
            claims.withdraw_claim(session, partner, story.claim_id)
        elif state != "ready":
            claims.submit_claim(session, partner, story.claim_id)
    with unit_of_work(finance) as session:
        if state in ("approved", "batched"):
            amount = claimed or eur(min(net // 2, requested))
            claims.approve_claim(session, finance, story.claim_id, amount=amount)
        elif state == "returned":
            claims.return_claim(session, finance, story.claim_id, code="unclear", reason="Please add the report.")
        elif state == "denied":
            claims.deny_claim(session, finance, story.claim_id, code="not_eligible", reason="Not paid for.")
    return story


def give_payee(cast: Cast, *, iban: str = IBAN) -> None:
    with unit_of_work(cast.partner_admin) as session:
        payments.set_payee(session, cast.partner_admin, holder="Acme IT GmbH", iban=iban, country="DE", town="Hamburg")


def make_batch(story: Story, *, state: str = "draft") -> PaymentBatch:
    """A batch of the story's approved claim: draft, checked, paid or cancelled."""
    payer, checker = story.cast.payer, story.cast.finance
    give_payee(story.cast)
    with unit_of_work(payer) as session:
        batch = payments.make_batch(session, payer, claim_ids=[story.claim_id])
        if state == "cancelled":
            payments.cancel_batch(session, payer, batch.id, reason="Made by mistake.")
    if state in ("checked", "paid"):
        with unit_of_work(checker) as session:
            payments.check_batch(session, checker, batch.id)
    if state == "paid":
        with unit_of_work(payer) as session:
            payments.mark_paid(session, payer, batch.id)
    return batch


def rivals(cast: Cast) -> Cast:
    """The same cast with the rival as the partner."""
    return replace(cast, partner_admin=cast.rival, partner_marketer=cast.rival)
