"""Kinds of work that programmes usually pay for, with the proof that the trade asks for each.

A programme takes what it needs from here and may change it. `proof` is told to people in words; `evidence` is
what a claim is checked for. What the service itself records (a statement) is never asked of people.
"""

from __future__ import annotations

from dataclasses import dataclass

from tcma.mdf.states import ProofKind

_INVOICE, _RECEIPT, _PHOTO = ProofKind.INVOICE, ProofKind.PAYMENT_RECEIPT, ProofKind.PHOTO
_STATEMENT, _OTHER = ProofKind.STATEMENT, ProofKind.OTHER


@dataclass(frozen=True)
class ActivityKind:
    """One line of the trade's table of proof."""

    code: str
    name: str
    evidence: tuple[ProofKind, ...]
    proof: str


KINDS: dict[str, ActivityKind] = {
    one.code: one
    for one in (
        ActivityKind(
            "email", "Email campaign", (_STATEMENT, _INVOICE),
            "The launch's own statement shows the final mail, its sending and its reach. Add the invoice.",
        ),
        ActivityKind(
            "direct_mail", "Direct mail", (_INVOICE, _RECEIPT, _OTHER),
            "The final piece, the mailing receipt, the printer's invoice and how many were sent.",
        ),
        ActivityKind(
            "digital_ads", "Digital, social or search ads", (_INVOICE, _PHOTO, _OTHER),
            "A screenshot with the landing page's address, and the report of clicks.",
        ),
        ActivityKind(
            "website", "Website or search engine work", (_INVOICE, _PHOTO, _OTHER),
            "The address or a screenshot that shows it, the statement of work, and the results.",
        ),
        ActivityKind(
            "print", "Print advertisement", (_INVOICE, _PHOTO),
            "The full page with title and date, and an invoice with size and rate.",
        ),
        ActivityKind(
            "radio_tv", "Radio or television", (_INVOICE, _OTHER),
            "The script or video, the affidavit of run times, and the station's invoice.",
        ),
        ActivityKind(
            "outdoor", "Outdoor and signage", (_INVOICE, _PHOTO),
            "A photo of each, and an invoice with the places.",
        ),
        ActivityKind(
            "telemarketing", "Telemarketing", (_INVOICE, _OTHER),
            "The script, and how many calls were made and contacts reached.",
        ),
        ActivityKind(
            "seminar", "Seminar or webinar", (_INVOICE, _PHOTO, _OTHER),
            "Invitation, agenda, photos or a recording, and the lists of who registered and who came.",
        ),
        ActivityKind(
            "trade_show", "Trade show or sponsorship", (_INVOICE, _PHOTO, _OTHER),
            "The contract, a photo of the booth, proof of each benefit, and the list of leads.",
        ),
        ActivityKind(
            "offer", "Offer or bonus", (_INVOICE, _OTHER),
            "The rules and terms, and the results.",
        ),
        ActivityKind(
            "training", "Training", (_INVOICE, _OTHER),
            "An invoice with course and date, and the list of who attended.",
        ),
        ActivityKind(
            "merchandise", "Merchandise", (_INVOICE, _PHOTO),
            "Photos of the goods, and the invoice.",
        ),
        ActivityKind(
            "multi_touch", "Several kinds together", (_STATEMENT, _INVOICE, _OTHER),
            "What each of its parts needs, together.",
        ),
    )
}  # fmt: skip
