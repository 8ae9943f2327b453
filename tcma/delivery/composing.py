"""Each message of a launch: its own links and tokens in the launch's one shape."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tcma.campaigns import launches
from tcma.campaigns.models import Launch
from tcma.campaigns.personalise import Rendered, TouchTemplate
from tcma.config import settings
from tcma.delivery import senders_choice, signing, tokens
from tcma.delivery.message import CrlfBytes, MessageShape


def tracking_url(kind: str, token: str) -> str:
    return f"{settings().tracking_origin}/{kind}/{token}"


def landing_url(url: str, launch: Launch, token: str) -> str:
    """A link to the launch's own landing page carries who came; any other goes as it is."""
    own = launches.landing_url(launch)
    return f"{own}?t={token}" if url.split("?", 1)[0].split("#", 1)[0] == own else url


def vendor_name(session: Session, launch: Launch) -> str:
    """The vendor whose campaign it is, as mails name it."""
    return launches.launch_values(session, launch)["vendor_name"]


class Composer:
    """Fills one launch's email for one delivery after the other. Safe to use from several threads."""

    def __init__(
        self,
        template: TouchTemplate,
        shape: MessageShape,
        *,
        brand: dict[str, str],
        signer: signing.Signer | None = None,
        return_domain: str = "",
    ) -> None:
        self._template = template
        self._shape = shape
        self._numbers = tuple(template.destinations())
        self._key = settings().derived_keys("tracking")[0]
        self._origin = settings().tracking_origin
        self._sender = settings().platform_sender
        self._returns = settings().returns_at
        self._return_domain = return_domain or self._returns
        self._signer = signer
        legal = brand.get("legal_name") or brand.get("name") or ""
        self._reason = f"You receive this because you are a contact of {legal}."

    @classmethod
    def of_launch(cls, session: Session, launch: Launch, *, stream: str = "launch") -> Composer:
        """The composer of a launch, with its frozen brand and sender if it has started."""
        template = launches.touch_template(session, launch, for_sending=True)
        brand = launch.brand or launches.live_brand(session, launch)
        sender = senders_choice.sender_of_launch(session, launch, brand)
        domain = sender["from_address"].rpartition("@")[2]
        shape = MessageShape(
            from_name=sender["from_name"],
            from_address=sender["from_address"],
            reply_to=sender["reply_to"] or None,
            list_id=f"{launch.partner_id.hex[-12:]}.{launch.campaign_id.hex[-12:]}.{domain}",
            feedback_id=f"{launch.campaign_id.hex[-12:]}:{launch.partner_id.hex[-12:]}:{stream}:tcma",
            # A mail's id is ours, whoever it is from, and stays the same if the sender has to change.
            message_id_domain=signing.platform_domain(),
        )
        return cls(
            template, shape, brand=brand, signer=signing.signer_for(session, launch, sender),
            return_domain=senders_choice.return_domain(session, launch.partner_id, sender),
        )  # fmt: skip

    def render(self, delivery_id: int, contact: dict[str, Any]) -> Rendered:
        """Subject, HTML and text of one delivery; untracked contacts get neither pixel nor counted links."""
        links, service = self._addresses(delivery_id, contact, tokens.unsubscribe_token(delivery_id, key=self._key))
        return self._template.render(contact=contact, links=links, service=service)

    def _addresses(
        self, delivery_id: int, contact: dict[str, Any], mine: str
    ) -> tuple[dict[int, str], dict[str, str | None]]:
        """The links of one delivery by number, and what the service adds; `mine` is its unsubscribe token."""
        key, origin = self._key, self._origin
        if contact.get("no_tracking"):
            links, pixel = self._template.destinations(), ""
        else:
            found = tokens.click_tokens(delivery_id, self._numbers, key=key)
            links = {number: f"{origin}/r/{token}" for number, token in found.items()}
            pixel = f"{origin}/o/{tokens.open_token(delivery_id, key=key)}.gif"
        return links, {
            "reason": self._reason,
            "unsubscribe_url": f"{origin}/u/{mine}",
            "privacy_url": f"{origin}/privacy/{mine}",
            "pixel_url": pixel,
        }

    def message(self, delivery_id: int, address: str, contact: dict[str, Any], *, message_id: str = "") -> CrlfBytes:
        """The whole mail of one delivery as bytes. The Message-ID of a delivery is always the same."""
        mine = tokens.unsubscribe_token(delivery_id, key=self._key)
        links, service = self._addresses(delivery_id, contact, mine)
        subject, html, text = self._template.fill(contact=contact, links=links, service=service)
        made = self._shape.fill(
            to_address=address,
            to_name=str(contact.get("full_name") or ""),
            subject=subject,
            html=html,
            text=text,
            message_id=message_id or f"d{delivery_id}.{mine[-10:]}",
            unsubscribe_url=f"{self._origin}/u/{mine}",
            unsubscribe_mailto=self._unsubscribe_mailto(delivery_id),
        )
        return self._signer.sign(made) if self._signer else made

    def test_message(self, address: str, contact: dict[str, Any], *, message_id: str) -> CrlfBytes:
        """A test mail: real destinations, nothing tracked; its unsubscribe link belongs to no delivery."""
        nowhere = tracking_url("u", tokens.unsubscribe_token(0, key=self._key))
        subject, html, text = self._template.fill(
            contact=contact,
            links=self._template.destinations(),
            service={"reason": self._reason, "unsubscribe_url": nowhere, "privacy_url": nowhere, "pixel_url": ""},
        )
        made = self._shape.fill(
            to_address=address, subject=f"[Test] {subject}", html=html, text=text,
            message_id=message_id, unsubscribe_url=nowhere,
        )  # fmt: skip
        return self._signer.sign(made) if self._signer else made

    def return_path(self, delivery_id: int) -> str:
        """The envelope sender: one a delivery (VERP) where mail that comes back comes to us."""
        if not self._return_domain:
            return self._sender
        return tokens.return_path(delivery_id, key=self._key, domain=self._return_domain)

    def _unsubscribe_mailto(self, delivery_id: int) -> str | None:
        if not self._returns:
            return None
        return f"mailto:{tokens.unsubscribe_address(delivery_id, key=self._key, domain=self._returns)}"
