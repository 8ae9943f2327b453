"""Every check before a launch, with its verdict in plain words and how to mend what fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Session

from tcma import clock
from tcma.access import Actor
from tcma.accounts import queries as account_queries
from tcma.accounts.states import PartnershipStatus
from tcma.assets import queries as asset_queries
from tcma.campaigns import launches, slots
from tcma.campaigns import queries as campaign_queries
from tcma.campaigns.models import CampaignVersion, Launch
from tcma.campaigns.personalise import Rendered
from tcma.campaigns.states import CampaignStatus
from tcma.delivery import senders_choice, senders_keys, signing
from tcma.delivery.reach import reach_of
from tcma.errors import Invalid

Judgement = Literal["pass", "warn", "fail"]

CLIPPED_AT = 100 * 1024
REFUSALS = {
    "suppressed_partner": "unsubscribed from you or bounced",
    "suppressed_vendor": "refused this vendor",
    "suppressed_platform": "refused all mail of this service",
    "no_consent": "have no consent on record",
}


@dataclass(frozen=True)
class Verdict:
    """One check. `href` leads to where it can be mended."""

    code: str
    verdict: Judgement
    title: str
    detail: str
    mend: str = ""
    href: str = ""


def preflight(session: Session, actor: Actor, launch_id: UUID) -> list[Verdict]:
    """All verdicts of one launch, in the order in which a person would mend them."""
    launch = campaign_queries.get_launch(session, actor, launch_id)
    version = campaign_queries.get_version(session, launch.campaign_version_id)
    brand = launch.brand or asset_queries.brand_values(session, launch.partner_id)
    verdicts = [
        campaign_open(session, actor, launch),
        _brand(brand),
        _slots(launch, version),
        _sender(session, launch, brand),
        *_audience(session, launch),
    ]
    return [*verdicts, *_mail(session, launch, brand)]


def blocking(verdicts: list[Verdict]) -> list[Verdict]:
    return [one for one in verdicts if one.verdict == "fail"]


def campaign_open(session: Session, actor: Actor, launch: Launch) -> Verdict:
    """Whether the partner may still send this campaign."""
    campaign = launch.campaign
    title = "Campaign open"
    if campaign is None or campaign.status is not CampaignStatus.PUBLISHED:
        return Verdict(
            "campaign",
            "fail",
            title,
            "The vendor has taken this campaign back.",
            "Choose another campaign in the catalogue.",
            "/catalogue",
        )
    today = clock.today(actor.timezone)
    if campaign.ends_on and campaign.ends_on < today:
        return Verdict(
            "campaign",
            "fail",
            title,
            f"This campaign ended on {campaign.ends_on}; today is {today}.",
            "Choose another campaign in the catalogue.",
            "/catalogue",
        )
    partnership = account_queries.get_partnership(session, actor, launch.vendor_id)
    if partnership.status is not PartnershipStatus.ACTIVE:
        return Verdict(
            "campaign",
            "fail",
            title,
            f"Your partnership with {partnership.vendor.name} is {partnership.status}.",
            "Ask your channel manager there.",
        )
    if campaign.current_version_id != launch.campaign_version_id:
        return Verdict(
            "campaign",
            "warn",
            title,
            "The vendor has published a newer version since you began.",
            "Take the newer version over; your texts stay where they fit.",
            f"/launches/{launch.id}#make",
        )
    return Verdict("campaign", "pass", title, "Published, and open today.")


def _brand(brand: dict[str, str]) -> Verdict:
    gaps = asset_queries.brand_gaps(brand)
    if gaps:
        return Verdict(
            "brand",
            "fail",
            "Brand profile complete",
            f"Still missing: {', '.join(gaps)}.",
            "Fill it in on your brand page; it takes a minute.",
            "/brand",
        )
    return Verdict(
        "brand", "pass", "Brand profile complete", "Logo, legal name, postal address and reply address are there."
    )


def _slots(launch: Launch, version: CampaignVersion) -> Verdict:
    wrong = slots.problems(slots.parse_slots(version.slots), launch.slots)
    if wrong:
        return Verdict(
            "slots",
            "fail",
            "Texts filled in",
            " ".join(wrong.values()),
            "Mend the marked texts.",
            f"/launches/{launch.id}#make",
        )
    return Verdict(
        "slots",
        "pass",
        "Texts filled in",
        f"All {len(version.slots)} are within their limits."
        if version.slots
        else "This campaign has nothing to fill in.",
    )


def _sender(session: Session, launch: Launch, brand: dict[str, str]) -> Verdict:
    title = "Sender"
    sender = senders_choice.sender_of_launch(session, launch, brand)
    if not sender["reply_to"]:
        mend = "Set a reply address on your brand page."
        return Verdict("sender", "fail", title, "Replies would reach nobody.", mend, "/brand")
    try:
        signing.signer_for(session, launch, sender)
    except senders_keys.KeyUnreadable as error:
        return Verdict("sender", "fail", title, error.message, "Ask the operator of the service.", "/brand/senders")
    detail = f"From “{sender['from_name']}” <{sender['from_address']}>, replies go to {sender['reply_to']}."
    wanted = (launch.sender or {}).get("chosen")
    if wanted and sender.get("chosen") != wanted:
        mend = "Check its domain, or choose another sender."
        return Verdict(
            "sender", "warn", title, f"The sender that you chose is not verified any more. {detail}", mend, "/brand/senders"
        )
    lapsed = senders_choice.lapsed_default(session, launch.partner_id) if not sender["identity_id"] else None
    if lapsed and wanted != senders_choice.VIA_PLATFORM:
        mend = "See on the page of senders which record is gone."
        return Verdict(
            "sender", "warn", title, f"{lapsed} cannot prove your mail at the moment. {detail}", mend, "/brand/senders"
        )
    return Verdict("sender", "pass", title, detail)


def _audience(session: Session, launch: Launch) -> list[Verdict]:
    href = f"/launches/{launch.id}#whom"
    if not launch.audience.get("lists"):
        return [Verdict("audience", "fail", "Audience", "No list is chosen yet.", "Choose at least one list.", href)]
    reach = reach_of(session, launch)
    left_out = [f"{reach.refused[key]} {words}" for key, words in REFUSALS.items() if reach.refused.get(key)]
    if reach.capped:
        left_out.append(f"{reach.capped} had as many mails lately as you allow")
    because = f" Left out: {', '.join(left_out)}." if left_out else ""
    if not reach.sendable:
        return [
            Verdict(
                "audience",
                "fail",
                "Audience",
                f"Nobody is left to write to, of {reach.total}.{because}",
                "Choose another list or import contacts.",
                href,
            )
        ]
    return [
        Verdict(
            "audience", "warn" if left_out else "pass", "Audience",
            f"{reach.sendable} of {reach.total} people will get it.{because}",
            "Nothing to mend: the service leaves them out by itself." if left_out else "", href,
        )
    ]  # fmt: skip


def _mail(session: Session, launch: Launch, brand: dict[str, str]) -> list[Verdict]:
    """Checks on the mail as it will really be: links, footer, size, subject."""
    try:
        template = launches.touch_template(session, launch, brand=brand)
        rendered = template.render(
            contact=launches.SAMPLE_CONTACT,
            links=dict.fromkeys(template.destinations(), "https://check.example/r/x"),
            service={
                "unsubscribe_url": "https://check.example/u/x",
                "privacy_url": "https://check.example/p/x",
                "reason": "",
                "pixel_url": "",
            },
        )
    except Invalid as error:
        return [
            Verdict(
                "mail",
                "fail",
                "Mail can be made",
                error.message,
                "Mend this, then check again.",
                f"/launches/{launch.id}#make",
            )
        ]
    return [_links(template.destinations()), _footer(rendered, brand), _size(rendered)]


def _links(destinations: dict[int, str]) -> Verdict:
    if not destinations:
        return Verdict(
            "links",
            "warn",
            "Links",
            "The mail has no link, so nobody can answer by a click.",
            "Ask the vendor for a campaign with a link.",
        )
    return Verdict("links", "pass", "Links", f"{len(destinations)} tracked links, all well formed.")


def _footer(rendered: Rendered, brand: dict[str, str]) -> Verdict:
    address = brand.get("postal_address", "").splitlines()[0].strip(" ,") if brand.get("postal_address") else ""
    if not address or address not in rendered.text:
        return Verdict(
            "footer",
            "fail",
            "Legal footer",
            "The mail does not show your postal address.",
            "Fill in your postal address on the brand page.",
            "/brand",
        )
    return Verdict("footer", "pass", "Legal footer", "Legal name, postal address and one-click unsubscribe are in it.")


def _size(rendered: Rendered) -> Verdict:
    size = len(rendered.html.encode())
    if size > CLIPPED_AT:
        return Verdict("size", "fail", "Size", f"{size // 1024} KB; Gmail cuts off after 100 KB.", "Shorten the texts.")
    return Verdict("size", "pass", "Size", f"{max(1, size // 1024)} KB of the 100 KB that Gmail shows whole.")
