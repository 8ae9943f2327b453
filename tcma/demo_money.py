"""The demo's market development funds: programmes, requests, claims with invoices, and payments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from tcma.assets import sample_documents, samples
from tcma.campaigns import queries as campaign_queries
from tcma.demo_cast import COMPANIES, World
from tcma.demo_clockwork import past
from tcma.mdf import claims, evidence, payments, programmes, requests
from tcma.mdf import queries as mdf_queries
from tcma.mdf.states import ProofKind, ReturnReason
from tcma.money import Money

TAX = Decimal("0.19")
AGENCIES = (
    "Studio Nordlicht GmbH\nDänische Straße 20\n24103 Kiel\nVAT ID: DE811223344",
    "Bureau Kanaal B.V.\nVismarkt 3\n3511 KR Utrecht\nVAT ID: NL812345678B01",
    "Atelier Graphique SAS\n5 quai Saint-Antoine\n69002 Lyon\nVAT ID: FR40303265045",
)


@dataclass(frozen=True)
class Programme:
    """A vendor's programme with its fund; `allocations` are (partner, whole euros, expires in days)."""

    key: str
    vendor: str
    admin: str
    finance: str
    name: str
    cap: int
    claim_days: int
    budget: int
    types: tuple[tuple[str, int], ...]
    allocations: tuple[tuple[str, int, int], ...]


PROGRAMMES = (
    Programme("growth", "northwind", "vera", "felix", "Security growth programme", 15_000, 45, 45_000,
              (("email", 3_000), ("seminar", 5_000), ("digital_ads", 4_000), ("trade_show", 6_000)),
              (("hansen-it", 12_000, 110), ("meridian", 9_000, 110), ("novak", 2_500, 25))),
    Programme("momentum", "brightline", "bea", "finn", "Cloud momentum", 8_000, 60, 20_000,
              (("email", 2_500), ("seminar", 4_000), ("print", 2_000)),
              (("hansen-it", 5_000, 90), ("atelier-reseau", 6_000, 18))),
)  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """One request and what became of it. Days are days ago; money is whole euros, `asked` of `cost`.

    `decision` is approve, reject, return or none (it waits); None as `days_sent` leaves a draft. A claim is filed
    `claimed` days ago for an invoice of `invoice` euros and ends as `result` says.
    """

    key: str
    person: str
    company: str
    programme: str
    title: str
    kind: str
    cost: int
    asked: int
    made: float
    begins: float
    lasts: int
    sent: bool = True
    decision: str = "approve"
    launch: str = ""
    campaign: str = ""
    claimed: float | None = None
    invoice: int = 0
    result: str = "waiting"
    agency: int = 0


ASKS = (
    Ask("r1", "piet", "hansen-it", "growth", "Cloud security check for our customers", "email", 3_000, 1_500, 83, 78, 14,
        launch="hansen-check", campaign="nw-check", claimed=58, invoice=3_000, result="approve"),
    Ask("r2", "mila", "meridian", "growth", "Cloud check najaar", "email", 2_600, 1_300, 76, 71, 10, launch="meridian-check",
        campaign="nw-check", claimed=54, invoice=2_150, result="short", agency=1),
    Ask("r3", "anais", "atelier-reseau", "momentum", "Journée restauration", "email", 2_400, 1_200, 66, 60, 10,
        launch="atelier-restore", campaign="bl-backup", claimed=40, invoice=2_400, result="approve", agency=2),
    Ask("r4", "nora", "novak", "growth", "Security check, first wave", "email", 1_600, 800, 68, 64, 12,
        launch="novak-check", campaign="nw-check"),
    Ask("r5", "piet", "hansen-it", "momentum", "Restore day for customers", "email", 2_000, 1_000, 56, 52, 10,
        launch="hansen-restore", campaign="bl-backup", claimed=26, invoice=2_000, result="approved"),
    Ask("r6", "mila", "meridian", "growth", "Evening seminar in Utrecht", "seminar", 4_800, 2_400, 52, 40, 1,
        claimed=20, invoice=4_800, result="return", agency=1),
    Ask("r7", "mila", "meridian", "growth", "Backup after the fair", "email", 1_900, 950, 47, 43, 10,
        launch="meridian-backup", campaign="nw-backup", claimed=13, invoice=1_900, result="approved", agency=1),
    Ask("r8", "piet", "hansen-it", "growth", "Backup that restores", "email", 2_800, 1_400, 30, 25, 12,
        launch="hansen-backup", campaign="nw-backup", claimed=3, invoice=2_800, result="waiting"),
    Ask("r9", "hanna", "hansen-it", "growth", "Stand at the Kiel boat show", "trade_show", 9_000, 4_500, 33, 12, 3,
        decision="reject"),
    Ask("r10", "anais", "atelier-reseau", "momentum", "Cap sur le cloud", "email", 2_000, 1_000, 15, 10, 8,
        launch="atelier-move", campaign="bl-check", claimed=1, invoice=2_000, result="draft", agency=2),
    Ask("r11", "mila", "meridian", "growth", "Search ads, December", "digital_ads", 3_600, 1_800, 2, -14, 20,
        decision="none"),
    Ask("r12", "piet", "hansen-it", "growth", "Winter mailing", "email", 2_200, 1_100, 1.2, -6, 10, decision="none",
        campaign="nw-check"),
    Ask("r13", "anais", "atelier-reseau", "momentum", "Open evening at the workshop", "seminar", 3_000, 1_500, 6, -20, 1,
        decision="return"),
    Ask("r14", "hanna", "hansen-it", "momentum", "Page in the chamber's magazine", "print", 1_500, 750, 0.6, -25, 5,
        sent=False),
)  # fmt: skip

PAYEES = (
    ("hanna", "Hansen IT Services GmbH", "DE89370400440532013000", "COBADEFFXXX", "DE", "Kiel"),
    ("mila", "Meridian Systems B.V.", "NL91ABNA0417164300", "ABNANL2A", "NL", "Utrecht"),
    ("anais", "Atelier Réseau SARL", "FR1420041010050500013M02606", "PSSTFRPPLYO", "FR", "Lyon"),
)
DECIDERS = {"growth": ("chiara", "felix", "paula"), "momentum": ("carla", "finn", "fay")}
"""Who decides requests, who approves claims and checks batches, and who makes and pays batches."""


@dataclass
class Books:
    """Ids made so far, by the short names above."""

    programmes: dict[str, UUID]
    funds: dict[str, UUID]
    types: dict[tuple[str, str], UUID]
    requests: dict[str, UUID]
    claims: dict[str, UUID]


def eur(amount: int) -> Money:
    return Money.of(amount, "EUR")


def plan_money(world: World) -> None:
    """Programmes and allocations, then each request with its decision, claim and payment at their moments."""
    books = Books({}, {}, {}, {}, {})
    agenda = world.agenda
    for one in PROGRAMMES:
        agenda.ago(89.5, partial(_make_programme, world, books, one), hour=14)
        for place, (partner, amount, expires) in enumerate(one.allocations):
            allocated = partial(_allocate, world, books, one, partner, amount, expires)
            day = 75 if partner == "novak" else 80 if one.key == "momentum" else 84
            agenda.ago(day, allocated, hour=9.6 + place / 10)
    for person, holder, iban, bic, country, town in PAYEES:
        agenda.ago(80, partial(_set_payee, world, person, holder, iban, bic, country, town), hour=16)
    for ask in ASKS:
        agenda.ago(ask.made, partial(_ask, world, books, ask), hour=10.5)
        if ask.sent and ask.decision != "none":
            agenda.ago(ask.made - 1.5, partial(_decide, world, books, ask), hour=16.5)
        if ask.launch:
            linked = min(ask.begins, ask.made - 2) - 3 if ask.claimed is None else ask.claimed
            agenda.ago(linked, partial(_link, world, books, ask), hour=11)
        if ask.claimed is not None:
            agenda.ago(ask.claimed, partial(_claim, world, books, ask), hour=11.5)
            agenda.ago(ask.claimed - 4, partial(_judge, world, books, ask), hour=15)
    agenda.ago(47, partial(_pay, world, books, "growth", ("r1", "r2")), hour=9.5)
    agenda.ago(33, partial(_pay, world, books, "momentum", ("r3",)), hour=9.5)


def _make_programme(world: World, books: Books, one: Programme) -> None:
    admin, today = world.by(one.admin), world.agenda.now.date()
    with past(admin) as session:
        made = programmes.create_programme(
            session, admin, name=one.name, currency="EUR", share_percent=50, cap=eur(one.cap),
            begins_on=today - timedelta(days=95), ends_on=today + timedelta(days=270), claim_days=one.claim_days,
            guidelines="We pay half of what you spend on finding customers for our products. Ask before you begin, "
            "send the invoice when it is done.", gl_code="6820",
        )  # fmt: skip
        for code, cap in one.types:
            added = programmes.add_activity_type(session, admin, made.id, code=code, cap=eur(cap))
            books.types[one.key, code] = added.id
        programmes.open_programme(session, admin, made.id)
        books.programmes[one.key] = made.id
    finance = world.by(one.finance)
    with past(finance) as session:
        fund = programmes.create_fund(
            session, finance, programme_id=made.id, name="Autumn and winter", budget=eur(one.budget),
            begins_on=today - timedelta(days=95), ends_on=today + timedelta(days=180),
        )  # fmt: skip
        books.funds[one.key] = fund.id


def _allocate(world: World, books: Books, one: Programme, partner: str, amount: int, expires: int) -> None:
    finance = world.by(one.finance)
    with past(finance) as session:
        programmes.allocate(
            session, finance, fund_id=books.funds[one.key], partner_id=world.companies[partner], amount=eur(amount),
            expires_on=world.agenda.now.date() + timedelta(days=expires),
        )  # fmt: skip


def _set_payee(world: World, person: str, holder: str, iban: str, bic: str, country: str, town: str) -> None:
    actor = world.by(person)
    with past(actor) as session:
        payments.set_payee(session, actor, holder=holder, iban=iban, bic=bic, country=country, town=town)


def _ask(world: World, books: Books, ask: Ask) -> None:
    actor = world.by(ask.person)
    begins = _day(world, ask.begins)
    activity: dict[str, Any] = {
        "activity_type_id": books.types[ask.programme, ask.kind], "title": ask.title, "starts_on": begins,
        "ends_on": begins + timedelta(days=ask.lasts), "cost": eur(ask.cost), "requested": eur(ask.asked),
        "expected_reach": 150 if ask.kind == "email" else 40,
    }  # fmt: skip
    with past(actor) as session:
        if ask.campaign:
            campaign = campaign_queries.get_campaign(session, actor, world.campaigns[ask.campaign])
            activity["campaign_version_id"] = campaign.current_version_id
        made = requests.create_request(
            session, actor, programme_id=books.programmes[ask.programme], title=ask.title, activities=[activity],
            purpose="New talks with customers who have bought nothing for a while.", fund_id=books.funds[ask.programme],
        )  # fmt: skip
        books.requests[ask.key] = made.id
        if ask.sent:
            requests.submit_request(session, actor, made.id)


def _decide(world: World, books: Books, ask: Ask) -> None:
    actor, request_id = world.by(DECIDERS[ask.programme][0]), books.requests[ask.key]
    with past(actor) as session:
        if ask.decision == "approve":
            requests.approve_request(session, actor, request_id)
        elif ask.decision == "reject":
            reason = "The boat show is not where our buyers are. A seminar for the yards would be."
            requests.reject_request(session, actor, request_id, reason=reason)
        else:
            reason = "Please say how many guests you expect and who speaks."
            requests.return_request(session, actor, request_id, reason=reason)


def _link(world: World, books: Books, ask: Ask) -> None:
    actor = world.by(ask.person)
    with past(actor) as session:
        request = mdf_queries.get_request(session, actor, books.requests[ask.key])
        requests.link_launch(session, actor, request.activities[0].id, world.launches[ask.launch])


def _claim(world: World, books: Books, ask: Ask) -> None:
    """A claim with its invoice, read, compared and confirmed; filed unless it is to stay a draft."""
    actor = world.by(ask.person)
    with past(actor) as session:
        request = mdf_queries.get_request(session, actor, books.requests[ask.key])
        claim = claims.create_claim(session, actor, request.activities[0].id)
        books.claims[ask.key] = claim.id
    data, lines = _invoice(world, ask)
    uploads = [(ProofKind.INVOICE, evidence.read_upload(data, f"invoice-{ask.key}.pdf", kind=ProofKind.INVOICE))]
    if ask.kind == "seminar":
        for kind, title in ((ProofKind.PHOTO, "The evening in pictures"), (ProofKind.OTHER, "Guests and programme")):
            picture = samples.sample_banner(title, "#5b6472")
            uploads.append((kind, evidence.read_upload(picture, f"{kind}.png", kind=kind)))
    with past(actor) as session:
        for kind, upload in uploads:
            proof = evidence.upload_proof(session, actor, claim.id, kind=kind, upload=upload)
            if kind is ProofKind.INVOICE:
                evidence.confirm_invoice(session, actor, proof.id, values=_as_printed(world, ask, lines))
        claims.save_lines(
            session, actor, claim.id,
            lines=[{"description": one.text, "net": Money(one.quantity * one.unit_price, "EUR")} for one in lines],
            amount=eur(ask.asked) if ask.result == "short" else None,
        )  # fmt: skip
    if ask.result != "draft":
        with past(actor) as session:
            claims.submit_claim(session, actor, claim.id)


def _invoice(world: World, ask: Ask) -> tuple[bytes, list[sample_documents.InvoiceLine]]:
    whole = ask.invoice * 100
    design = whole // 4
    lines = [
        sample_documents.InvoiceLine(f"Preparation: {ask.title}", 1, whole - design),
        sample_documents.InvoiceLine("Copy and design", 1, design),
    ]
    company = next(one for one in COMPANIES if one.key == ask.company)
    data = sample_documents.sample_invoice(
        AGENCIES[ask.agency], f"{company.legal_name}\n{company.address}", _number(world, ask), _invoiced_on(world, ask),
        lines, "EUR", TAX,
    )  # fmt: skip
    return data, lines


def _as_printed(world: World, ask: Ask, lines: list[sample_documents.InvoiceLine]) -> dict[str, Any]:
    """What a person sees on the invoice and confirms."""
    net, tax, gross = (Money(one, "EUR") for one in sample_documents.invoice_totals(lines, TAX))
    supplier = AGENCIES[ask.agency].splitlines()
    return {
        "supplier": supplier[0], "supplier_tax_id": supplier[-1].removeprefix("VAT ID: "),
        "buyer": next(one.legal_name for one in COMPANIES if one.key == ask.company), "number": _number(world, ask),
        "date": _invoiced_on(world, ask), "currency": "EUR", "net": str(net.decimal), "tax": str(tax.decimal),
        "gross": str(gross.decimal),
    }  # fmt: skip


def _number(world: World, ask: Ask) -> str:
    return f"{_invoiced_on(world, ask).year}-{1000 + 37 * int(ask.key[1:])}"


def _invoiced_on(world: World, ask: Ask) -> date:
    return _day(world, ask.claimed or 0) - timedelta(days=3)


def _day(world: World, days: float) -> date:
    return (world.agenda.now - timedelta(days=days)).date()


def _judge(world: World, books: Books, ask: Ask) -> None:
    """What finance makes of a claim; one that was filed just now still waits."""
    actor, claim_id = world.by(DECIDERS[ask.programme][1]), books.claims[ask.key]
    if ask.result in ("waiting", "draft"):
        return
    with past(actor) as session:
        if ask.result == "return":
            claims.return_claim(
                session, actor, claim_id, code=ReturnReason.MISSING_EVIDENCE,
                reason="The guest list shows no names. Please add who came, then send it again.",
            )  # fmt: skip
        elif ask.result == "short":
            claims.approve_claim(
                session, actor, claim_id, amount=Money(ask.invoice * 50, "EUR"), code=ReturnReason.WRONG_AMOUNT,
                reason="The invoice is lower than planned, so we pay half of what it says.",
            )  # fmt: skip
        else:
            claims.approve_claim(session, actor, claim_id, amount=eur(ask.asked))


def _pay(world: World, books: Books, programme: str, keys: tuple[str, ...]) -> None:
    """One makes the batch, another checks it, the bank pays."""
    _, checker, maker = (world.by(one) for one in DECIDERS[programme])
    with past(maker) as session:
        batch = payments.make_batch(session, maker, claim_ids=[books.claims[one] for one in keys])
    with past(checker) as session:
        payments.check_batch(session, checker, batch.id)
    with past(maker) as session:
        payments.mark_paid(session, maker, batch.id)
