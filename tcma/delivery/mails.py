"""One mail as it was sent, made again from what its launch froze."""

from __future__ import annotations

from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser
from uuid import UUID

from sqlalchemy.orm import Session

from tcma.access import Actor
from tcma.audience import queries as audience_queries
from tcma.campaigns import launches
from tcma.campaigns import queries as campaign_queries
from tcma.config import settings
from tcma.delivery import queries, tokens
from tcma.delivery.composing import Composer, tracking_url
from tcma.errors import NotFound


@dataclass(frozen=True, slots=True)
class MailLink:
    """A link of one mail: its tracked address and where it leads."""

    number: int
    label: str
    url: str
    destination: str


@dataclass(frozen=True, slots=True)
class MailAsSent:
    """A mail in parts, with the addresses that belong to this one delivery."""

    subject: str
    html: str
    text: str
    headers: dict[str, str]
    links: list[MailLink]
    unsubscribe_url: str
    landing_url: str


def mail_as_sent(session: Session, actor: Actor, launch_id: UUID, delivery_id: int) -> MailAsSent:
    """The mail of one of the actor's own deliveries. Raises NotFound, also where the contact was erased."""
    row = queries.get_delivery(session, actor, launch_id, delivery_id)
    launch = campaign_queries.get_launch(session, actor, launch_id)
    contact = audience_queries.contact_values(session, row.partner_id, [row.contact_id]).get(row.contact_id)
    if contact is None or not row.address:
        raise NotFound("This person's data was erased, so the mail cannot be shown any more.")
    composer = Composer.of_launch(session, launch)
    rendered = composer.render(row.id, contact)
    raw = composer.message(row.id, row.address, contact)
    head = BytesHeaderParser(policy=policy.default).parsebytes(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    key = settings().derived_keys("tracking")[0]
    touch = next((one for one in queries.launch_touches(session, launch.id) if one.id == row.launch_touch_id), None)
    links = [
        MailLink(
            number=one["number"], label=one["label"], destination=one["url"],
            url=one["url"] if contact.get("no_tracking")
            else tracking_url("r", tokens.click_token(row.id, one["number"], key=key)),
        )
        for one in (touch.links if touch else [])
    ]  # fmt: skip
    return MailAsSent(
        subject=rendered.subject, html=rendered.html, text=rendered.text,
        # A signature made now would be another one than that which went out.
        headers={name: str(value) for name, value in head.items() if name != "DKIM-Signature"}, links=links,
        unsubscribe_url=tracking_url("u", tokens.unsubscribe_token(row.id, key=key)),
        landing_url=f"{launches.landing_url(launch)}?t={tokens.landing_token(row.id, key=key)}",
    )  # fmt: skip
