"""How much of a claim can be paid: what was claimed, cut to each limit that is lower."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tcma.mdf.claim_facts import ClaimFacts, LineFacts
from tcma.mdf.findings import CheckCode
from tcma.money import Money


@dataclass(frozen=True, slots=True)
class Reduction:
    """A limit below what was claimed: by which check, at what amount, and why in words."""

    code: CheckCode
    limit: Money
    why: str


@dataclass(frozen=True, slots=True)
class Payable:
    """The proposal to the reviewer. `reductions` begin with the limit that decides."""

    claimed: Money
    amount: Money
    reductions: tuple[Reduction, ...]

    @property
    def short_by(self) -> Money:
        return self.claimed - self.amount


def payable_amount(facts: ClaimFacts) -> Payable:
    """The most that the money rules allow: min(claimed, invoice × share, committed, what each cap leaves).

    Costs that the programme excludes are no part of the invoice. Without an invoice amount in the claim's
    currency, or at a frozen rate, nothing is payable. Other checks may still forbid to pay at all.
    """
    limits: list[Reduction] = []
    base = eligible_cost(facts)
    zero = Money.zero(facts.currency)
    if base is None:
        why = "No invoice amount is known in the claim's currency or at an agreed rate."
        limits.append(Reduction(CheckCode.WITHIN_SHARE, zero, why))
    else:
        share = base.share(facts.share_rate)
        why = f"{percent(facts)} of eligible costs of {shown(base)} is {shown(share)}."
        limits.append(Reduction(CheckCode.WITHIN_SHARE, share, why))
    if facts.committed is not None:
        why = f"{shown(facts.committed)} is what was approved for this activity and not yet claimed."
        limits.append(Reduction(CheckCode.WITHIN_COMMITMENT, facts.committed, why))
    limits += [
        Reduction(CheckCode.CAPS, cap.left, f"{cap.name}: {shown(cap.left)} of {shown(cap.limit)} is left.")
        for cap in facts.caps
    ]
    lower = sorted((limit for limit in limits if limit.limit < facts.claimed), key=lambda limit: limit.limit.minor)
    amount = max(zero, lower[0].limit) if lower else facts.claimed
    return Payable(facts.claimed, amount, tuple(lower))


def eligible_cost(facts: ClaimFacts) -> Money | None:
    """The invoices' net (or gross) without excluded costs, no more than the claimed lines; None if unknown."""
    amounts = [invoice.net if facts.share_of == "net" else invoice.gross for invoice in facts.invoices]
    invoiced = _sum(facts, amounts) if amounts else None
    if invoiced is None:
        return None
    # The claim's lines say which part of the invoice is claimed; without them it is the invoice's own.
    lines = facts.lines or tuple(line for invoice in facts.invoices for line in invoice.lines)
    whole = _sum(facts, [_cost(line, facts.share_of) for line in lines])
    kept = _sum(facts, [_cost(line, facts.share_of) for line in lines if not is_excluded(line, facts)])
    if not lines or whole is None or kept is None:
        return invoiced
    return min(invoiced, kept) if facts.lines else invoiced - (whole - kept)


def is_excluded(line: LineFacts, facts: ClaimFacts) -> bool:
    """Whether a person put the line into a category that the programme does not pay for."""
    return bool(line.category) and line.category.casefold() in {cost.casefold() for cost in facts.excluded_costs}


def names_excluded(line: LineFacts, facts: ClaimFacts) -> str:
    """The excluded cost that the line's words name, or nothing: a hint for a person, no decision."""
    for cost in facts.excluded_costs:
        if cost and re.search(rf"\b{re.escape(cost)}s?\b", line.description, re.IGNORECASE):
            return cost
    return ""


def shown(money: Money) -> str:
    """EUR 1,234.50: the same for every reader, for findings are kept."""
    return f"{money.currency} {money.decimal:,f}"


def percent(facts: ClaimFacts) -> str:
    return f"{(facts.share_rate * 100).normalize():f} %"


def _cost(line: LineFacts, share_of: str) -> Money:
    return line.net if share_of == "net" or line.tax is None else line.net + line.tax


def _sum(facts: ClaimFacts, amounts: list[Money | None] | list[Money]) -> Money | None:
    """In the claim's currency; None where any part is unknown."""
    total = Money.zero(facts.currency)
    for amount in amounts:
        converted = None if amount is None else facts.in_claim_currency(amount)
        if converted is None:
            return None
        total = total + converted
    return total
