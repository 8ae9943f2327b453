"""The whole story in the browser: publish, personalise, launch, answer, claim, approve, pay.

Each chapter is one person's work, with a browser of their own. Nothing goes around the pages except the mail,
which a mail server of the test receives.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tcma import clock
from tcma.assets import samples
from tests.e2e.conftest import Seat
from tests.e2e.instance import Instance, wait_for

HEADLINE = "Who still has a key to your cloud, and why?"
SLOW = 30_000
PEOPLE = ("Anna", "Ben", "Clara", "David", "Elif", "Jörg")
CHAPTERS = (
    "publishes_kit", "publishes_campaign", "sets_up_brand", "imports_contacts", "asks_for_money", "grants_it",
    "launches", "reads_the_mail", "answers_the_page", "takes_the_lead", "claims", "approves", "makes_batch",
    "checks_batch",
)  # fmt: skip


@dataclass
class Story:
    """What passes from one chapter to the next."""

    live: Instance
    seat: Seat
    people: dict[str, str]
    folder: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(3))
    shots: list[Path] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    mail: EmailMessage | None = None

    @property
    def campaign(self) -> str:
        return f"Cloud check {self.mark}"

    @property
    def kit(self) -> str:
        return f"Datasheets {self.mark}"

    @property
    def list_name(self) -> str:
        return f"Customers {self.mark}"

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def shoot(self, page: Page, name: str) -> None:
        """Keep a picture of the page as the reader sees it; with STORY_SHOTS in that folder, as `make shots` does."""
        folder = Path(os.environ.get("STORY_SHOTS") or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(self.shots) + 1:02}-{name}.png"
        for frame in page.frames:
            frame.wait_for_load_state("load")
        # A page that is still scrolling to an anchor has its bar in the wrong place.
        page.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")
        page.screenshot(path=path, animations="disabled")
        self.shots.append(path)


def press(page: Page, name: str | re.Pattern[str], *, within: Locator | None = None) -> None:
    """Press the button, and say yes where the page asks whether it is meant."""
    page.wait_for_load_state("domcontentloaded")  # the question is asked by a script of the page
    button = (within or page).get_by_role("button", name=name).first
    asks = button.get_attribute("data-confirm") or button.evaluate("b => b.form?.dataset.confirm || ''")
    button.click()
    if asks:
        page.get_by_role("dialog").locator("[data-confirm-yes]").click()


def told(page: Page, words: str | re.Pattern[str]) -> None:
    expect(page.locator("#toasts")).to_contain_text(words, timeout=SLOW)


def publishes_kit(story: Story) -> None:
    """The vendor's marketer uploads a data sheet into a new kit and publishes it."""
    sheet = story.file("datasheet.pdf", samples.sample_datasheet("Cloud check", "Northwind", "#2f5fd0"))
    with story.seat(story.people["vendor_marketer"]) as desk:
        page = desk.page
        page.get_by_role("link", name="Kits").first.click()
        page.get_by_role("link", name="New kit").first.click()
        page.get_by_label("Name").fill(story.kit)
        page.get_by_label("What is in it").fill("One data sheet for customers.")
        page.locator("main form button[type=submit]").first.click()
        page.locator("input[type=file]").set_input_files(sheet)
        press(page, "Upload")
        expect(page.get_by_text("PDF", exact=False).first).to_be_visible()
        page.goto(page.url.partition("/assets/")[0].partition("#")[0])
        story.shoot(page, "kit")
        press(page, "Publish")
        expect(page.locator("main, header").get_by_text("Published").first).to_be_visible()
        expect(page.get_by_role("link", name="Who has it")).to_be_visible()


def publishes_campaign(story: Story) -> None:
    """From a starter: one slot changed, broken source told line by line and mended, then published."""
    with story.seat(story.people["vendor_marketer"]) as desk:
        page = desk.page
        page.get_by_role("link", name="Campaigns").first.click()
        page.get_by_role("link", name="New campaign").first.click()
        press(page, "Begin with this: Cloud security check")
        campaign_url = page.url.partition("?")[0]

        page.goto(f"{campaign_url}?tab=rules")
        page.get_by_label("Name").first.fill(story.campaign)
        press(page, "Save")
        expect(page.get_by_role("heading", name=story.campaign)).to_be_visible()

        page.goto(f"{campaign_url}?tab=slots")
        page.get_by_label("Default").first.fill(HEADLINE)
        press(page, "Save slots")
        expect(page.get_by_label("Default").first).to_have_value(HEADLINE)

        page.goto(f"{campaign_url}?tab=content")
        source = page.locator("#mjml")
        whole = source.input_value()
        expect(page.locator("#compiled")).to_contain_text("nothing to mend")
        source.fill(whole.replace("</mj-body>", "</mj-bdy>", 1))
        expect(page.locator("#compiled .problem-error").first).to_contain_text("Line", timeout=SLOW)
        story.shoot(page, "campaign-error")
        source.fill(whole)
        expect(page.locator("#compiled")).to_contain_text("nothing to mend", timeout=SLOW)
        press(page, "Save the draft")
        expect(page.locator("#compiled")).to_contain_text("nothing to mend")

        page.goto(f"{campaign_url}/publish")
        press(page, re.compile("^Publish version 1"))
        page.wait_for_url(lambda url: not url.endswith("/publish"))
        expect(page.get_by_text("Published").first).to_be_visible()
        story.shoot(page, "campaign-published")


def sets_up_brand(story: Story) -> None:
    """The partner fills in who it is and uploads its logo; then a file comes in its brand."""
    logo = story.file("logo.png", samples.sample_logo("Acme IT", "#0c5e73", seed=3))
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.open("/brand")
        texts = {
            "Legal name": "Acme IT GmbH", "Postal address": "Hafenstraße 12\n20457 Hamburg", "Phone": "+49 40 123456",
            "Mail address": "hello@acme.example", "Website": "https://acme.example", "Sender name": "Acme IT",
            "Replies go to": "hello@acme.example",
        }  # fmt: skip
        page.locator("#brand-form").get_by_label("Name", exact=True).first.fill("Acme IT")
        for label, value in texts.items():
            page.get_by_label(label).first.fill(value)
        page.get_by_label("Country").select_option("DE")
        press(page, "Save", within=page.locator("#brand-form"))
        page.wait_for_load_state()
        page.locator("#logo-form input[type=file]").set_input_files(logo)
        press(page, "Upload the logo")
        expect(page.get_by_alt_text("Your logo on a light ground")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("A launch still needs")).to_have_count(0)
        story.shoot(page, "brand")

        desk.open("/kits")
        page.get_by_role("link", name=story.kit).first.click()
        with page.expect_download(timeout=SLOW) as taken:
            page.get_by_role("link", name=re.compile("Download")).first.click()
        assert taken.value.path().read_bytes().startswith(b"%PDF")


def imports_contacts(story: Story) -> None:
    """A spreadsheet of real life: an umlaut, a duplicate and a row that cannot be used."""
    rows = ["Mail;Vorname;Nachname;Firma"]
    rows += [f"{name.lower().replace('ö', 'oe')}@{story.mark}.example;{name};Kunde;Firma {name}" for name in PEOPLE]
    rows += [rows[1], "not an address;Nobody;;"]
    file = story.file("kunden.csv", "\r\n".join(rows).encode("cp1252"))
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.page
        page.get_by_role("link", name="Contacts").first.click()
        page.get_by_role("link", name=re.compile("Import")).first.click()
        page.locator("input[type=file]").set_input_files(file)
        press(page, "Upload")
        expect(page.get_by_label("Becomes").first).to_have_value("email")
        page.get_by_label("Becomes").nth(3).select_option("company")
        story.shoot(page, "import-columns")
        page.get_by_label("They are customers").check()
        page.get_by_label("Where do they come from?").fill("Our customers of this year")
        page.get_by_label("Put them on the list").fill(story.list_name)
        press(page, re.compile("^Import"))
        expect(page.get_by_role("link", name="Show the contacts")).to_be_visible(timeout=SLOW)
        expect(page.locator("main")).to_contain_text("not an address")
        story.shoot(page, "import-done")
        page.get_by_role("link", name="Show the contacts").click()
        expect(page.get_by_role("row", name=re.compile("Jörg Kunde"))).to_be_visible()


def asks_for_money(story: Story) -> None:
    """The partner asks before the work."""
    today = clock.today().isoformat()
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.open("/requests/new")
        choose = page.get_by_role("link", name="Choose")
        if choose.count():
            choose.first.click()
        values = {"First day": today, "Last day": today, "Cost": "2000", "People reached": str(len(PEOPLE))}
        page.get_by_label("Title").first.fill(f"Mailing {story.mark}")
        story.links["request_title"] = f"Mailing {story.mark}"
        page.locator("textarea").first.fill("Write to our customers about their cloud accounts.")
        _fill_activity(page, values)
        story.shoot(page, "request")
        press(page, re.compile("^Send to"))
        expect(page.get_by_role("heading", name=story.links["request_title"])).to_be_visible()
        story.links["request"] = page.url.partition("#")[0].partition("?")[0].removeprefix(story.live.origin)


def _fill_activity(page: Page, values: dict[str, str]) -> None:
    page.locator("[name$=activity_type_id]").first.select_option(index=0)
    page.locator("[name$='-title']").first.fill("Mailing to customers")
    for name, label in (("starts_on", "First day"), ("ends_on", "Last day"), ("cost", "Cost"), ("expected_reach", "People reached")):
        page.locator(f"[name$='-{name}']").first.fill(values[label])
    page.locator("[name$='-requested']").first.fill("1000")


def grants_it(story: Story) -> None:
    """The vendor's channel manager approves the request."""
    with story.seat(story.people["channel_manager"]) as desk:
        page = desk.open(story.links["request"])
        press(page, re.compile("^Approve"))
        expect(page.get_by_text("Approved").first).to_be_visible()


def launches(story: Story) -> None:
    """From the catalogue to the last mail, with one text changed and every check seen."""
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.page
        page.get_by_role("link", name="Catalogue").first.click()
        story.shoot(page, "catalogue")
        page.get_by_role("link", name=story.campaign).first.click()
        press(page, "Launch this campaign")
        launch_url = page.url.partition("#")[0]
        story.links["launch"] = launch_url.removeprefix(story.live.origin)
        name = page.get_by_label("Name of the launch")
        name.fill(f"Launch {story.mark}")
        page.get_by_label("Signed by").fill("Piet from Acme")
        press(page, "Save the texts")
        page.wait_for_load_state("networkidle")
        page.goto(launch_url)
        expect(page.get_by_label("Signed by")).to_have_value("Piet from Acme")

        page.locator("#whom").get_by_label(re.compile(story.list_name)).first.check()
        press(page, "Save the audience")
        send = page.get_by_role("button", name=f"Send to {len(PEOPLE)} contacts")
        expect(send).to_be_visible()
        expect(page.locator("#check")).to_contain_text("Ready")
        story.shoot(page, "preflight")
        press(page, f"Send to {len(PEOPLE)} contacts")
        expect(page.get_by_text("Finished").first).to_be_visible(timeout=60_000)
        page.reload()
        expect(page.locator("#accounting")).to_contain_text(str(len(PEOPLE)))
        story.shoot(page, "launch")

        desk.open(story.links["request"])
        page.get_by_label("Launch").select_option(label=f"Launch {story.mark}")
        press(page, "Link this launch")
        expect(page.get_by_role("link", name="Its launch proves it")).to_be_visible()


def reads_the_mail(story: Story) -> None:
    """Every contact got exactly one mail, with what mailbox providers ask for."""
    def arrived() -> list[Any]:
        return [one for one in story.live.sink.accepted if one.recipient.endswith(f"@{story.mark}.example")]

    got = wait_for("the mails", lambda: arrived() if len(arrived()) >= len(PEOPLE) else None)
    assert sorted(one.recipient for one in got) == sorted({one.recipient for one in got})
    raw = next(one.data for one in got if one.recipient.startswith("anna@"))
    mail = BytesParser(policy=SMTP).parsebytes(raw)
    assert isinstance(mail, EmailMessage)
    assert mail["Subject"] == HEADLINE
    assert "Acme IT" in str(mail["From"])
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for header in ("List-Unsubscribe", "List-Id", "Feedback-ID", "Message-ID"):
        assert mail[header], header
    html, text = (mail.get_body((kind,)) for kind in ("html", "plain"))
    assert html is not None
    assert text is not None
    words = html.get_content()
    for part in ("Anna", "Piet from Acme", "Acme IT GmbH", "Hafenstra"):
        assert part in words
    story.mail = mail
    link = re.compile(rf'<a [^>]*href="({re.escape(story.live.tracking)}/r/[^"]+)"[^>]*>\s*Book my security check\s*</a>')
    found = link.search(words)
    assert found
    story.links["tracked"] = found[1]


def answers_the_page(story: Story) -> None:
    """The reader follows the tracked link and fills in the landing page's form."""
    with story.seat() as desk:
        page = desk.page
        page.goto(story.links["tracked"])
        page.wait_for_url(re.compile("/p/"))
        story.shoot(page, "landing")
        opened = time.monotonic()
        page.get_by_label("Your name").fill("Anna Kunde")
        page.get_by_label("Email").fill(f"anna@{story.mark}.example")
        page.get_by_label("Company").fill("Firma Anna")
        page.get_by_label("Your message").fill("Please call me about the check.")
        # People need a few seconds for a form, and the service takes whoever does not for a machine.
        page.wait_for_timeout(max(0.0, 3.5 - (time.monotonic() - opened)) * 1000)
        page.locator("form.landing-form button[type=submit]").click()
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def takes_the_lead(story: Story) -> None:
    """The lead is in the inbox; the partner accepts and shares it, and only then the vendor sees who it is."""
    with story.seat(story.people["vendor_marketer"]) as vendor:
        vendor.open("/leads")
        expect(vendor.page.get_by_text("Anna Kunde")).to_have_count(0)
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.page
        page.get_by_role("link", name=re.compile("^Leads")).first.click()
        page.get_by_role("link", name="Anna Kunde").first.click()
        expect(page.locator("main")).to_contain_text("Please call me about the check.")
        press(page, "Accept this lead")
        expect(page.get_by_text("Accepted").first).to_be_visible()
        press(page, "Share with the vendor")
        expect(page.get_by_text("The vendor sees this lead.")).to_be_visible()
        story.shoot(page, "lead")
    with story.seat(story.people["vendor_marketer"]) as vendor:
        vendor.open("/leads")
        expect(vendor.page.get_by_text("Anna Kunde").first).to_be_visible()


def claims(story: Story) -> None:
    """The partner claims for the launch: its statement is there already, the invoice is read."""
    line = samples.InvoiceLine("Setting up and looking after the mailing", 1, 200_000)
    data = samples.sample_invoice(
        "Agentur Nord GmbH", "Acme IT GmbH", f"R-{story.mark}", clock.today(), [line], "EUR", Decimal("0.19")
    )
    invoice = story.file("invoice.pdf", data)
    with story.seat(story.people["partner_admin"]) as desk:
        page = desk.open("/payee")
        for label, value in (("Account holder", "Acme IT GmbH"), ("IBAN", "DE89370400440532013000"), ("Town", "Hamburg")):
            page.get_by_label(label).first.fill(value)
        page.get_by_label("Country of the holder").fill("DE")
        press(page, re.compile("^Save"))
        told(page, "Saved")
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.open("/claims")
        press(page, re.compile("^Claim"), within=page.locator("main"))
        expect(page.locator("main")).to_contain_text("Statement", ignore_case=True)
        page.get_by_label("What it is").select_option("invoice")
        page.locator("#evidence input[type=file]").set_input_files(invoice)
        press(page, "Attach")
        evidence = page.locator("#evidence")
        expect(evidence.locator("[name=number]")).to_have_value(f"R-{story.mark}", timeout=SLOW)
        story.shoot(page, "claim-evidence")
        press(page, "Compared, it is right")
        told(page, "Confirmed.")
        expect(page.locator("#lines [name$='-net']").first).to_have_value(re.compile("2000"))
        page.get_by_label("People reached").fill(str(len(PEOPLE)))
        press(page, "Save", within=page.locator("#lines"))
        told(page, "Saved.")
        story.links["claim"] = page.url.partition("#")[0].removeprefix(story.live.origin)
        press(page, re.compile("^Claim .*1,000"))
        told(page, "Filed")
        story.shoot(page, "claim-filed")


def approves(story: Story) -> None:
    """Finance finds the claim at the desk, with verdicts and evidence, and approves it."""
    with story.seat(story.people["finance"]) as desk:
        page = desk.page
        page.get_by_role("link", name=re.compile("^Desk")).first.click()
        expect(page.locator("main")).to_contain_text(f"R-{story.mark}")
        story.shoot(page, "desk")
        press(page, "Approve")
        told(page, "approved")


def makes_batch(story: Story) -> None:
    """One person of finance makes the payment batch and cannot check it."""
    with story.seat(story.people["payer"]) as desk:
        page = desk.page
        page.get_by_role("link", name=re.compile("^Payments")).first.click()
        page.get_by_role("row", name=re.compile("Acme IT GmbH")).get_by_role("checkbox").check()
        press(page, "Make a batch")
        expect(page.get_by_text("Waits for a colleague")).to_be_visible()
        expect(page.get_by_role("button", name="Check and write the file")).to_have_count(0)
        story.links["batch"] = page.url.partition("#")[0].removeprefix(story.live.origin)


def checks_batch(story: Story) -> None:
    """Another checks it, takes the bank's file and says when it is paid."""
    with story.seat(story.people["finance"]) as desk:
        page = desk.open(story.links["batch"])
        press(page, "Check and write the file")
        told(page, "Checked.")
        with page.expect_download() as taken:
            page.get_by_role("link", name="Download the file").click()
        rows = taken.value.path().read_text(encoding="utf-8-sig")
        assert "DE89370400440532013000" in rows
        assert "1000" in rows
        page = desk.open(story.links["batch"])  # after a download Playwright waits for a load that never comes
        press(page, "The bank has paid it")
        told(page, "Paid.")
        story.shoot(page, "batch")
    with story.seat(story.people["partner_marketer"]) as desk:
        page = desk.open(story.links["claim"])
        expect(page.get_by_text("Paid").first).to_be_visible()


@pytest.mark.timeout(300)
def test_the_story_from_kit_to_payment(live: Instance, seat: Seat, tmp_path: Path) -> None:
    story = Story(live, seat, live.seed("story")["people"], tmp_path)
    told_so_far: list[str] = []
    for chapter in CHAPTERS:
        try:
            globals()[chapter](story)
        except Exception as error:
            error.add_note(f"in the chapter {chapter!r}, after {told_so_far}; pictures are in {tmp_path}")
            raise
        told_so_far.append(chapter)
    assert len(story.shots) >= 12
    assert all(shot.stat().st_size > 10_000 for shot in story.shots)
