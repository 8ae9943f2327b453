"""Checks of a claim's amounts: the invoice in itself, against the claim, and against the programme's limits."""

from __future__ import annotations

from tcma.mdf.claim_facts import Cap, ClaimFacts, InvoiceFacts, each_invoice
from tcma.mdf.findings import Basis, Check, CheckCode, Finding, worst
from tcma.mdf.payable import eligible_cost, is_excluded, names_excluded, payable_amount, percent, shown
from tcma.money import Money


def invoice_kind(facts: ClaimFacts) -> Finding:
    check = Check(facts.rules, CheckCode.INVOICE_KIND, Basis.UPLOADED, expected="invoice", tolerance="none")

    def judge(invoice: InvoiceFacts) -> Finding:
        if invoice.is_credit_note:
            return check.failed(
                "credit note", f"{invoice.label} is a credit note, not a cost.", "Upload the invoice itself."
            )
        return check.passed("invoice", "It is an invoice.")

    return each_invoice(facts, check, judge)


def invoice_adds_up(facts: ClaimFacts) -> Finding:
    each = facts.rules.minor_units_per_line
    tolerance = f"{each} minor unit a line"
    check = Check(
        facts.rules, CheckCode.INVOICE_ADDS_UP, Basis.UPLOADED, expected="lines + tax = total", tolerance=tolerance
    )

    def judge(invoice: InvoiceFacts) -> Finding:
        if invoice.net is None or invoice.tax is None or invoice.gross is None:
            missing = f"Net, tax or total of {invoice.label} is not known."
            return check.warned("unknown", missing, "Enter all three amounts from the invoice.")
        amounts = [invoice.net, invoice.tax, invoice.gross, *[line.net for line in invoice.lines]]
        if len({amount.currency for amount in amounts}) > 1:
            return check.failed("mixed", f"{invoice.label} mixes currencies.", "Correct the currency of its amounts.")
        parts = (
            Money.total([line.net for line in invoice.lines], invoice.net.currency) if invoice.lines else invoice.net
        )
        allowed = each * max(1, len(invoice.lines))
        actual = f"{shown(parts + invoice.tax)} against {shown(invoice.gross)}"
        off_net = abs(parts.minor - invoice.net.minor)
        if abs((parts + invoice.tax - invoice.gross).minor) <= allowed and off_net <= allowed:
            return check.passed(actual, "The lines and the tax make the total.")
        why = f"In {invoice.label}, lines and tax do not make the total."
        return check.failed(actual, why, "Compare the amounts with the document and correct what was misread.")

    return each_invoice(facts, check, judge)


def lines_match_invoice(facts: ClaimFacts) -> Finding:
    invoiced = [invoice.net for invoice in facts.invoices]
    each = facts.rules.minor_units_per_line
    known = [facts.in_claim_currency(amount) for amount in invoiced if amount is not None]
    claimed = [facts.in_claim_currency(line.net) for line in facts.lines]
    expected = "no more than the invoice"
    check = Check(
        facts.rules,
        CheckCode.LINES_MATCH_INVOICE,
        Basis.UPLOADED,
        expected=expected,
        tolerance=f"{each} minor unit a line",
    )
    if not facts.lines or not known or None in known or None in claimed or None in invoiced:
        return check.skipped("Without lines and an invoice amount in one currency there is nothing to compare.")
    lines = Money.total([amount for amount in claimed if amount], facts.currency)
    whole = Money.total([amount for amount in known if amount], facts.currency)
    actual = f"{shown(lines)} of {shown(whole)}"
    if lines.minor <= whole.minor + each * len(facts.lines):
        return check.passed(actual, "The claimed lines are within the invoice.")
    return check.failed(
        actual, "The claimed lines are more than the invoice.", "Correct the lines, or add the invoice."
    )


def currency(facts: ClaimFacts) -> Finding:
    check = Check(
        facts.rules,
        CheckCode.CURRENCY,
        Basis.UPLOADED,
        expected=facts.currency,
        tolerance="the rate frozen at approval",
    )

    def judge(invoice: InvoiceFacts) -> Finding:
        amount = invoice.gross or invoice.net
        if amount is None:
            return check.failed("unknown", f"No amount is known of {invoice.label}.", "Enter its amounts.")
        rate = facts.frozen_rates.get(amount.currency)
        if amount.currency == facts.currency:
            return check.passed(amount.currency, "The invoice is in the claim's currency.")
        if rate is None:
            why = f"{invoice.label} is in {amount.currency}, and no rate was frozen at approval."
            return check.failed(amount.currency, why, "Agree on a rate and record it, or ask for another invoice.")
        why = f"Converted at the frozen rate: 1 {amount.currency} is {rate} {facts.currency}."
        return check.passed(amount.currency, why)

    return each_invoice(facts, check, judge)


def within_share(facts: ClaimFacts) -> Finding:
    base = eligible_cost(facts)
    limit = None if base is None else base.share(facts.share_rate)
    expected = "an invoice amount" if base is None or limit is None else f"at most {shown(limit)}"
    check = Check(facts.rules, CheckCode.WITHIN_SHARE, Basis.UPLOADED, expected=expected, tolerance="none")
    actual = shown(facts.claimed)
    if base is None or limit is None:
        why = "No invoice amount is known in the claim's currency or at a frozen rate."
        return check.failed(actual, why, "Upload the invoice, or enter its amounts.")
    why = f"{percent(facts)} of {shown(base)} eligible costs ({facts.share_of}) is {shown(limit)}."
    if facts.claimed > limit:
        return check.failed(actual, why, f"Pay {shown(payable_amount(facts).amount)} and tell why.")
    return check.passed(actual, why)


def within_commitment(facts: ClaimFacts) -> Finding:
    expected = "an approved amount" if facts.committed is None else f"at most {shown(facts.committed)}"
    check = Check(facts.rules, CheckCode.WITHIN_COMMITMENT, Basis.RECORDED, expected=expected, tolerance="none")
    actual = shown(facts.claimed)
    if facts.committed is None:
        return check.failed(actual, "No money was set aside for this work.", "Deny the claim, or link its request.")
    if facts.claimed > facts.committed:
        why = f"The claim is {shown(facts.claimed - facts.committed)} above what was approved."
        return check.failed(actual, why, f"Pay {shown(payable_amount(facts).amount)} and tell why.")
    return check.passed(actual, "The claim is within what was approved.")


def caps(facts: ClaimFacts) -> Finding:
    expected = "; ".join(f"{cap.name} at most {shown(cap.limit)}" for cap in facts.caps)
    check = Check(facts.rules, CheckCode.CAPS, Basis.RECORDED, expected=expected, tolerance="none")

    def judge(cap: Cap) -> Finding:
        after = cap.used + facts.claimed
        actual = f"{cap.name} {shown(after)}"
        if after > cap.limit:
            why = f"With this claim, {cap.name} comes to {shown(after)}; its limit is {shown(cap.limit)}."
            return check.failed(actual, why, f"Pay {shown(payable_amount(facts).amount)} and tell why.")
        return check.passed(actual, "All caps hold.")

    return worst(map(judge, facts.caps), check.skipped("The programme sets no cap for this claim."))


def excluded_costs(facts: ClaimFacts) -> Finding:
    expected = f"none of: {', '.join(facts.excluded_costs)}" if facts.excluded_costs else ""
    check = Check(facts.rules, CheckCode.EXCLUDED_COSTS, Basis.UPLOADED, expected=expected, tolerance="none")
    lines = (*facts.lines, *(line for invoice in facts.invoices for line in invoice.lines))
    if not facts.excluded_costs:
        return check.skipped("The programme excludes no costs.")
    if not lines:
        return check.warned("unknown", "The costs are not known line by line.", "Read the invoice for excluded costs.")
    named = [line for line in lines if not is_excluded(line, facts) and names_excluded(line, facts)]
    excluded = [line for line in lines if is_excluded(line, facts)]
    if excluded:
        actual = "; ".join(f"{line.description[:60]} ({shown(line.net)})" for line in excluded)
        return check.failed(actual, "Some lines are costs that the programme excludes.", "Pay the claim without them.")
    if named:
        actual = "; ".join(line.description[:60] for line in named)
        why = f"The words of a line name an excluded cost: {names_excluded(named[0], facts)}."
        return check.warned(actual, why, "Look at these lines, and take out what is excluded.")
    return check.passed("none", "No line is an excluded cost.")
