"""All that the checks of a claim look at, as plain values. Services fill it in; nothing here asks a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from tcma.mdf.findings import Check, CheckRules, Finding, worst
from tcma.money import Money


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One cost of a claim or an invoice; `category` is the programme's own, where a person chose one."""

    description: str
    net: Money
    tax: Money | None = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """An uploaded invoice as a person confirmed it. `label` is what to call it, such as its file name."""

    label: str
    number: str = ""
    date: date | None = None
    supplier: str = ""
    supplier_tax_id: str = ""
    buyer: str = ""
    net: Money | None = None
    tax: Money | None = None
    gross: Money | None = None
    lines: tuple[LineFacts, ...] = ()
    sha256: str = ""
    text_hash: str = ""
    is_credit_note: bool = False


@dataclass(frozen=True, slots=True)
class KnownInvoice:
    """An invoice filed earlier with the same vendor, by whichever partner.

    `claim` is the number of its claim, and is shown only where `own_partner`: no partner learns of another's.
    """

    claim: str
    own_partner: bool
    number: str = ""
    date: date | None = None
    supplier_tax_id: str = ""
    gross: Money | None = None
    sha256: str = ""
    text_hash: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """A company by its names: the partner, or one that belongs to it."""

    name: str
    tax_id: str = ""


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit of the programme: `used` is what counts against it already, without this claim."""

    name: str
    limit: Money
    used: Money

    @property
    def left(self) -> Money:
        return max(self.limit - self.used, Money.zero(self.limit.currency))


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """One claim and all it is held against. Dates are dates in the programme's zone.

    What is None or empty is unknown: a check that needs it fails where the rule is hard, else is not applicable.
    `share_rate` is the vendor's part (0.5 is half) of `share_of`, "net" or "gross". `frozen_rates` are units of
    the claim's currency for one unit of the other, as agreed at approval. `delivered`, `human_clicks` and
    `executed_version` are the service's own measurements; `approved_version` is set where it sends the campaign.
    """

    claimed: Money
    share_rate: Decimal
    window_from: date
    window_to: date
    submitted_on: date
    committed: Money | None = None
    share_of: str = "net"
    approved_on: date | None = None
    activity_from: date | None = None
    activity_to: date | None = None
    filing_deadline: date | None = None
    approved_version: str | None = None
    executed_version: str | None = None
    claimed_reach: int | None = None
    delivered: int | None = None
    reported_clicks: int | None = None
    human_clicks: int | None = None
    lines: tuple[LineFacts, ...] = ()
    invoices: tuple[InvoiceFacts, ...] = ()
    known_invoices: tuple[KnownInvoice, ...] = ()
    frozen_rates: Mapping[str, Decimal] = field(default_factory=dict)
    activity_type: str = ""
    eligible_types: frozenset[str] = frozenset()
    caps: tuple[Cap, ...] = ()
    excluded_costs: tuple[str, ...] = ()
    partner: Party = Party("")
    affiliates: tuple[Party, ...] = ()
    payee_name: str = ""
    planned_supplier: str = ""
    proof_of_payment_required: bool = False
    has_proof_of_payment: bool = False
    required_evidence: frozenset[str] = frozenset()
    attached_evidence: frozenset[str] = frozenset()
    rules: CheckRules = field(default_factory=CheckRules)

    @property
    def currency(self) -> str:
        return self.claimed.currency

    def in_claim_currency(self, amount: Money) -> Money | None:
        """`amount` at the frozen rate; None where none was frozen."""
        if amount.currency == self.currency:
            return amount
        rate = self.frozen_rates.get(amount.currency)
        return None if rate is None else amount.convert(self.currency, rate=rate)


def each_invoice(facts: ClaimFacts, check: Check, judge: Callable[[InvoiceFacts], Finding]) -> Finding:
    return worst((judge(invoice) for invoice in facts.invoices), check.skipped("There is no invoice."))
