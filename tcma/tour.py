"""`tcma tour`: the whole main job over the public API, link by link, with figures at the end.

It makes a scratch vendor and partner with one member a duty, and closes them afterwards unless told to keep them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tcma import clock
from tcma.assets import samples
from tcma.config import settings
from tcma.errors import Invalid
from tcma.mdf.invoices import read_invoice
from tcma.service_api import is_loopback
from tcma.tour_client import Instance, TourFailed

SHARE = Decimal(50)
SAMPLE_PEOPLE = 24


@dataclass
class Options:
    """What the command line gave; files are the user's own."""

    url: str
    mjml: Path | None = None
    contacts: Path | None = None
    logo: Path | None = None
    invoice: Path | None = None
    keep: bool = False
    really_send: bool = False
    as_json: bool = False


@dataclass
class Story:
    """Where the tour is: keys by duty, ids by name, and the figures that end up in the last line."""

    mark: str = field(default_factory=lambda: secrets.token_hex(3))
    keys: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)


def main(**given: Any) -> int:
    """Run the tour; 0 only if every link of the chain held."""
    given["url"] = given.get("url") or settings().public_origin
    options = Options(**given)
    instance = Instance(options.url)
    tour = Tour(options, instance)
    try:
        return tour.run()
    finally:
        instance.close()


class Tour:
    """The steps in their order; each returns the sentence that is printed for it."""

    def __init__(self, options: Options, instance: Instance) -> None:
        self.options = options
        self.at = instance
        self.story = Story()
        self.steps: list[tuple[str, Callable[[], str]]] = [
            ("Instance answers", self.reach),
            ("Vendor, partner and their people", self.people),
            ("Terms accepted, partnership active", self.terms),
            ("Kit published", self.kit),
            ("Brand set up, asset co-branded", self.brand),
            ("Campaign published", self.campaign),
            ("Programme, fund and allocation", self.programme),
            ("Request approved before the work", self.request),
            ("Contacts imported", self.contacts),
            ("Launch personalised and checked", self.prepare),
            ("Launch sent", self.send),
            ("Mail as received: one-click unsubscribe", self.unsubscribe),
            ("Click and form answer became a lead", self.lead),
            ("Lead accepted and shared", self.share),
            ("Claim proved by the launch itself", self.claim),
            ("Finance approved", self.approve),
            ("Payment file", self.pay),
            ("Books balance", self.books),
        ]

    def run(self) -> int:
        began, held, failed = time.monotonic(), 0, ""
        try:
            for number, (title, step) in enumerate(self.steps, start=1):
                self._say(f"[{number:>2}/{len(self.steps)}] {title} … ", end="")
                started = time.monotonic()
                try:
                    told = step()
                except (TourFailed, Invalid) as error:
                    failed = f"{title}: {error}"
                    self._say(f"FAILED\n        {error}")
                    break
                held += 1
                self._say(f"ok ({time.monotonic() - started:.1f} s)\n        {told}")
        finally:
            self._clean_up()
        figures = {
            "ok": not failed, "links": len(self.steps), "held": held, "failure": failed or None,
            "seconds": round(time.monotonic() - began, 1), **self.story.figures,
        }  # fmt: skip
        print(json.dumps(figures, ensure_ascii=False))
        return 0 if not failed else 1

    def _say(self, text: str, *, end: str = "\n") -> None:
        if not self.options.as_json:
            print(text, end=end, flush=True)

    def _clean_up(self) -> None:
        """Close the scratch organizations: rights end, books stay."""
        made = [self.story.ids[name] for name in ("vendor", "partner") if name in self.story.ids]
        if self.options.keep or not made:
            return
        for one in made:
            try:
                self.at.call(self.story.keys["operator"], "POST", f"/organizations/{one}/close")
            except TourFailed as error:
                print(f"The scratch organization {one} is still there: {error}", file=sys.stderr)

    def _as(self, who: str, method: str, path: str, **options: Any) -> Any:
        return self.at.call(self.story.keys[who], method, path, **options)

    # -- who

    def reach(self) -> str:
        answer = self.at.visit("GET", f"{self.at.url}/readyz")
        if answer.status_code != 200:
            raise TourFailed(f"/readyz says {answer.status_code}: {answer.text.strip()} Start it with `tcma up --demo`.")
        self.story.keys["operator"] = self._operator_key()
        service = self._as("operator", "GET", "/service")
        local = is_loopback(urlsplit(self.at.url).hostname or "x")
        if (service["mail"] == "remote" or not local) and not self.options.really_send:
            raise TourFailed("Its mail leaves this machine. Add --really-send if the contacts are yours to write to.")
        spec = self._as("operator", "GET", "/openapi.json")
        self.story.figures |= {"version": service["version"], "mail": service["mail"], "api_paths": len(spec["paths"])}
        return f"Version {service['version']}, {len(spec['paths'])} API paths, mail goes to: {service['mail']}."

    def _operator_key(self) -> str:
        given = os.environ.get("TCMA_API_KEY", "")
        kept = settings().data_dir / "operator.key"
        if not given and kept.exists():
            given = kept.read_text().strip()
        if not given:
            raise TourFailed(f"There is no operator's key: set TCMA_API_KEY, or start the instance with --demo (no {kept}).")
        return given

    def people(self) -> str:
        mark = self.story.mark
        for kind, name in (("vendor", f"Tour Vendor {mark}"), ("partner", f"Tour Partner {mark}")):
            made = self._as(
                "operator", "POST", "/organizations",
                json={"kind": kind, "name": name, "country": "DE", "currency": self._currency(), "scratch": True},
            )  # fmt: skip
            self.story.ids[kind] = made["id"]
        duties = (
            ("vendor", "publisher", "vendor_admin"), ("vendor", "manager", "channel_manager"),
            ("vendor", "approver", "finance"), ("vendor", "payer", "finance"), ("partner", "raiser", "partner_admin"),
        )  # fmt: skip
        for kind, duty, role in duties:
            organization = self.story.ids[kind]
            member = self._as(
                "operator", "POST", f"/organizations/{organization}/members",
                json={"email": f"{duty}.{mark}@tour.example", "name": f"Tour {duty.title()}", "roles": [role]},
            )  # fmt: skip
            made = self._as(
                "operator", "POST", f"/organizations/{organization}/keys",
                json={"user_id": member["user_id"], "name": "tour"},
            )  # fmt: skip
            self.story.keys[duty], self.story.users[duty] = made["key"], member["user_id"]
        self.story.figures["members"] = len(duties)
        return f"{len(duties)} members, one a duty, each with a key of their own."

    def _currency(self) -> str:
        return str(self._invoice()["currency"])

    def terms(self) -> str:
        ids = self.story.ids
        self._as("publisher", "POST", "/terms", json={"body": "Partners use the kits as they are and tell the truth."})
        self._as(
            "operator", "POST", "/partnerships",
            json={"vendor_id": ids["vendor"], "partner_id": ids["partner"], "tier": "Gold", "territory": "DE"},
        )  # fmt: skip
        present = self._as("raiser", "GET", "/terms", params={"vendor_id": ids["vendor"]})
        done = self._as(
            "raiser", "POST", "/terms/accept", json={"vendor_id": ids["vendor"], "terms_version_id": present["id"]}
        )
        if done["status"] != "active":
            raise TourFailed(f"The partnership is {done['status']} after the terms were accepted.")
        return "Accepted with time and person; the partner is active."

    # -- what

    def kit(self) -> str:
        data = samples.sample_datasheet("Security check", "Tour Vendor", "#2f5fd0")
        kit = self._as("publisher", "POST", "/kits", json={"name": "Tour kit", "description": "One datasheet"})
        zones = json.dumps([zone.as_json() for zone in samples.SAMPLE_DATASHEET_ZONES])
        asset = self._as(
            "publisher", "POST", f"/kits/{kit['id']}/assets", data={"zones": zones},
            files={"file": ("datasheet.pdf", data, "application/pdf")},
        )  # fmt: skip
        self._as("publisher", "POST", f"/kits/{kit['id']}/publication", json={"partner_ids": [self.story.ids["partner"]]})
        self.story.ids["asset_version"] = asset["version"]["id"]
        self.story.figures["kit_assets"] = 1
        return f"{asset['version']['pages']} pages, {len(data) // 1024} KB, to one chosen partner."

    def brand(self) -> str:
        logo = self.options.logo
        data = logo.read_bytes() if logo else samples.sample_logo("Tour Partner", "#0b7a5c", seed=7)
        self._as(
            "raiser", "PUT", "/brand",
            json={
                "name": "Tour Partner", "legal_name": "Tour Partner GmbH", "postal_address": "Hafenstraße 1\n20457 Hamburg",
                "country": "DE", "phone": "+49 40 123456", "email": "hello@tour-partner.example",
                "website": "https://tour-partner.example", "color": "#0b7a5c", "sender_name": "Tour Partner",
                "reply_to": "hello@tour-partner.example",
            },
        )  # fmt: skip
        seen = self._as("raiser", "PUT", "/brand/logo", files={"file": (logo.name if logo else "logo.png", data)})
        made = self._as("raiser", "GET", f"/assets/{self.story.ids['asset_version']}/cobranded", raw=True)
        if not made.startswith(b"%PDF"):
            raise TourFailed("The co-branded file is not the PDF it was made from.")
        self.story.figures |= {"logo": f"{seen['width']}x{seen['height']}", "cobranded_bytes": len(made)}
        return f"Logo {seen['width']} × {seen['height']}, co-branded PDF of {len(made) // 1024} KB."

    def campaign(self) -> str:
        starter = self._as("publisher", "GET", "/campaigns/starters")["items"][0]
        content = {name: starter[name] for name in ("name", "goal", "summary", "subject", "preheader", "mjml", "slots", "landing")}
        if self.options.mjml:
            content |= {
                "mjml": self.options.mjml.read_text(), "slots": [], "name": self.options.mjml.stem[:80],
                "subject": "News for {{ contact.first_name|default('you') }}", "preheader": "",
            }  # fmt: skip
        made = self._as("publisher", "POST", "/campaigns", json=content)
        problems = self._as("publisher", "POST", f"/campaigns/{made['id']}/check")["problems"]
        errors = [one for one in problems if one["severity"] == "error"]
        if errors:
            raise TourFailed(" ".join(f"Line {one['line']}: {one['what']} {one['mend']}" for one in errors[:5]))
        version = self._as(
            "publisher", "POST", f"/campaigns/{made['id']}/publication", json={"partner_ids": [self.story.ids["partner"]]}
        )
        self.story.ids |= {"campaign": made["id"], "version": version["version_id"]}
        self.story.figures |= {"slots": len(content["slots"]), "problems": len(problems)}
        return f"“{content['name']}” as version {version['number']}, {len(content['slots'])} slots, {len(problems)} warnings."

    # -- money, before the work

    def _invoice(self) -> dict[str, Any]:
        """The invoice's bytes and what can be read of it, with what a person would type where it cannot."""
        if "invoice" in self.story.ids:
            return dict(self.story.ids["invoice"])
        path = self.options.invoice
        if path:
            data, filename = path.read_bytes(), path.name
        else:
            line = samples.InvoiceLine("Setting up and looking after the mailing", 1, 120_000)
            data = samples.sample_invoice(
                "Agentur Nord GmbH", "Tour Partner GmbH", f"R-{self.story.mark}", clock.today(), [line], "EUR", Decimal("0.19")
            )
            filename = "invoice.pdf"
        read = read_invoice(data, filename)
        values = {name: str(one.value) for name, one in read.fields.items() if one.value is not None}
        found = {
            "data": data, "filename": filename, "supplier": values.get("supplier") or "Agentur Nord GmbH",
            "number": values.get("number") or f"R-{self.story.mark}", "date": values.get("date") or clock.today().isoformat(),
            "currency": values.get("currency") or "EUR", "net": values.get("net") or values.get("gross") or "1200.00",
            "tax": values.get("tax") or "0", "read": sorted(values),
        }  # fmt: skip
        found["gross"] = values.get("gross") or str(Decimal(str(found["net"])) + Decimal(str(found["tax"])))
        self.story.ids["invoice"] = found
        return found

    def _money(self, amount: Decimal | str) -> dict[str, str]:
        return {"amount": str(amount), "currency": self._currency()}

    def programme(self) -> str:
        invoice, today = self._invoice(), clock.today()
        wanted = Decimal(str(invoice["net"]))
        begins = min(today - timedelta(days=90), date.fromisoformat(invoice["date"]))
        made = self._as(
            "approver", "POST", "/programmes",
            json={
                "name": "Tour programme", "currency": invoice["currency"], "share_percent": str(SHARE),
                "cap": self._money(max(Decimal(5000), wanted)), "begins_on": begins.isoformat(),
                "ends_on": (today + timedelta(days=90)).isoformat(), "claim_days": 30, "lead_days": 0,
                "activity_types": [{"code": "email", "name": "Email campaign", "required_evidence": ["invoice", "statement"]}],
            },
        )  # fmt: skip
        self._as("approver", "POST", f"/programmes/{made['id']}/open")
        window = {"begins_on": begins.isoformat(), "ends_on": (today + timedelta(days=90)).isoformat()}
        budget = max(Decimal(10_000), 2 * wanted.to_integral_value(ROUND_CEILING))
        fund = self._as(
            "approver", "POST", "/funds",
            json={"programme_id": made["id"], "name": "Tour fund", "budget": self._money(budget), **window},
        )  # fmt: skip
        self._as(
            "approver", "POST", f"/funds/{fund['id']}/allocations",
            json={"partner_id": self.story.ids["partner"], "amount": self._money(budget / 2), "expires_on": window["ends_on"]},
        )  # fmt: skip
        self.story.ids |= {"programme": made["id"], "fund": fund["id"], "type": made["activity_types"][0]["id"]}
        self.story.figures |= {"budget": str(budget), "allocated": str(budget / 2), "currency": invoice["currency"]}
        return f"{SHARE} % share; {budget / 2} {invoice['currency']} of {budget} allocated to the partner."

    def request(self) -> str:
        cost = Decimal(self._invoice()["net"])
        requested = (cost * SHARE / 100).quantize(Decimal("0.01")) if "." in str(cost) else cost * SHARE // 100
        today = clock.today().isoformat()
        made = self._as(
            "raiser", "POST", "/requests",
            json={
                "programme_id": self.story.ids["programme"], "fund_id": self.story.ids["fund"], "title": "Tour mailing",
                "purpose": "Write to our customers about the security check.",
                "activities": [{
                    "activity_type_id": self.story.ids["type"], "title": "Mailing", "starts_on": today, "ends_on": today,
                    "cost": self._money(cost), "requested": self._money(requested),
                    "campaign_version_id": self.story.ids["version"], "expected_reach": SAMPLE_PEOPLE,
                }],
            },
        )  # fmt: skip
        sent = self._as("raiser", "POST", f"/requests/{made['id']}/submit")
        decided = self._as(
            "manager", "POST", f"/requests/{made['id']}/approve", json={"expected_version": sent["row_version"]}
        )
        if decided["status"] != "approved":
            raise TourFailed(f"The request is {decided['status']} after its approval.")
        self.story.ids |= {"request": made["id"], "activity": made["activities"][0]["id"]}
        self.story.figures["committed"] = str(requested)
        return f"{made['number']}: {requested} {self._currency()} committed, by another person than who asked."

    # -- whom and say

    def contacts(self) -> str:
        path = self.options.contacts
        data = path.read_bytes() if path else _sample_people(self.story.mark)
        taken = self._as("raiser", "POST", "/imports", files={"file": (path.name if path else "contacts.csv", data)})
        self._as(
            "raiser", "POST", f"/imports/{taken['id']}/run",
            json={"mapping": taken["mapping"], "basis": "existing_customer", "basis_source": "tour", "list_name": "Tour"},
        )  # fmt: skip

        def finished() -> Any:
            now = self._as("raiser", "GET", f"/imports/{taken['id']}")
            if now["status"] == "failed":
                raise TourFailed(f"The import failed: {now['error']}")
            return now if now["status"] == "finished" else None

        done = self.at.wait("The import", finished, seconds=60 + len(data) / 20_000)
        if not done["created_count"] + done["updated_count"]:
            raise TourFailed("No row of the file could be imported. GET /imports/…/rows says why for each.")
        self.story.ids["list"] = done["list_id"]
        self.story.figures |= {
            "rows": done["total_rows"], "contacts": done["created_count"], "refused": done["refused_count"],
            "duplicates": done["duplicate_count"],
        }  # fmt: skip
        return f"{done['total_rows']} rows: {done['created_count']} contacts, {done['refused_count']} refused, {done['duplicate_count']} twice."

    def prepare(self) -> str:
        made = self._as("raiser", "POST", "/launches", json={"campaign_id": self.story.ids["campaign"]})
        self.story.ids |= {"launch": made["id"], "landing": made["landing_url"]}
        self._as("raiser", "PATCH", f"/launches/{made['id']}", json={"lists": [self.story.ids["list"]]})
        self._as("raiser", "POST", f"/activities/{self.story.ids['activity']}/launch", json={"launch_id": made["id"]})
        checks = self._as("raiser", "GET", f"/launches/{made['id']}/preflight")
        failed = [f"{one['title']}: {one['detail']} {one['mend']}" for one in checks["items"] if one["verdict"] == "fail"]
        if failed:
            raise TourFailed(" ".join(failed))
        self._as("raiser", "POST", f"/launches/{made['id']}/test", json={"address": f"raiser.{self.story.mark}@tour.example"})
        self.story.figures["preflight"] = len(checks["items"])
        return f"{len(checks['items'])} checks passed; a test mail went out."

    def send(self) -> str:
        launch, began = self.story.ids["launch"], time.monotonic()
        for _ in range(2):  # pressed twice, it starts once
            self._as("raiser", "POST", f"/launches/{launch}/start")
        self.at.wait(
            "Sending", lambda: self._as("raiser", "GET", f"/launches/{launch}")["status"] == "finished",
            seconds=90 + self.story.figures["contacts"] / 20,
        )  # fmt: skip
        totals = self._as("raiser", "GET", f"/launches/{launch}/totals")
        states = ("pending", "sending", "sent", "failed", "suppressed", "skipped", "unknown")
        if totals["planned"] != sum(totals[name] for name in states) or not totals["holds"]:
            raise TourFailed(f"The accounting does not add up: {totals}")
        if not totals["sent"]:
            raise TourFailed(f"Nothing was sent: {totals}")
        seconds = time.monotonic() - began
        self.story.figures |= {"planned": totals["planned"], **{name: totals[name] for name in states if name != "pending"}}
        self.story.figures["send_seconds"] = round(seconds, 1)
        return f"{totals['sent']} of {totals['planned']} sent in {seconds:.1f} s; every one accounted for."

    # -- answer

    def _mail_of(self, place: int) -> dict[str, Any]:
        launch = self.story.ids["launch"]
        sent = self._as("raiser", "GET", f"/launches/{launch}/deliveries", params={"status": "sent"})["items"]
        row = sent[min(place, len(sent) - 1)]
        mail: dict[str, Any] = self._as("raiser", "GET", f"/launches/{launch}/deliveries/{row['id']}/mail")
        return {**mail, "address": row["address"]}

    def unsubscribe(self) -> str:
        mail = self._mail_of(-1 if self.story.figures["sent"] == 1 else 1)
        headers = {name.lower(): value for name, value in mail["headers"].items()}
        if headers.get("list-unsubscribe-post") != "List-Unsubscribe=One-Click":
            raise TourFailed("The mail has no List-Unsubscribe-Post header (RFC 8058).")
        url = mail["unsubscribe_url"]
        looked = self.at.visit("GET", url)
        if looked.status_code != 200 or self._is_suppressed(mail["address"]):
            raise TourFailed("Looking at the unsubscribe page already unsubscribed, or the page is broken.")
        posted = self.at.visit("POST", url, data={"List-Unsubscribe": "One-Click"})
        if posted.status_code != 200 or not self._is_suppressed(mail["address"]):
            raise TourFailed(f"The one-click POST answered {posted.status_code} and the contact is still written to.")
        self.story.figures["unsubscribed"] = 1
        return "GET changes nothing; one POST suppresses the contact at once."

    def _is_suppressed(self, address: str) -> bool:
        found = self._as("raiser", "GET", "/contacts", params={"search": address.lower()})["items"]
        return bool(found) and self._as("raiser", "GET", f"/contacts/{found[0]['id']}/export")["suppressed"] is not None

    def lead(self) -> str:
        mail = self._mail_of(0)
        followed = 0
        for link in mail["links"]:
            answer = self.at.visit("GET", link["url"])
            if answer.status_code not in (301, 302, 303, 307):
                raise TourFailed(f"The tracked link {link['number']} answered {answer.status_code}.")
            followed += 1
        page = self.at.visit("GET", mail["landing_url"])
        if page.status_code != 200:
            raise TourFailed(f"The landing page answered {page.status_code}.")
        time.sleep(3.2)  # people need a few seconds to fill a form, and the service knows
        sent = self.at.visit(
            "POST", mail["landing_url"].split("?")[0],
            data={
                **_hidden_fields(page.text), "name": "Ada Reader", "email": mail["address"], "company": "Reader & Co",
                "phone": "+49 40 654321", "message": "Please call me about the check.",
            },
        )  # fmt: skip
        if sent.status_code not in (200, 302, 303):
            raise TourFailed(f"The landing page's form answered {sent.status_code}.")
        launch = self.story.ids["launch"]

        def arrived() -> Any:
            items = self._as("raiser", "GET", "/leads", params={"launch": launch})["items"]
            return next((one for one in items if one["email"].lower() == mail["address"].lower()), None)

        found = self.at.wait("The lead", arrived, seconds=30)
        if followed:
            self.at.wait("Counting the clicks", lambda: self._clicks(launch), seconds=30)
        self.story.ids["lead"] = found["id"]
        self.story.figures |= {"links_followed": followed, "clicks": self._clicks(launch), "leads": 1, "score": found["score"]}
        return f"{followed} links followed, one form answered: a lead with score {found['score']}."

    def _clicks(self, launch: str) -> int:
        """Clicks that the service has loaded and judged, of people and of machines."""
        totals = self._as("raiser", "GET", f"/launches/{launch}/totals")
        return int(sum(value for name, value in totals.items() if name.endswith("clicks")))

    def share(self) -> str:
        lead = self.story.ids["lead"]
        seen = self._as("publisher", "GET", "/leads")["items"]
        counts = self._as("publisher", "GET", "/leads/counts")
        if seen or counts["leads"] < 1:
            raise TourFailed("The vendor sees the lead before it is shared, or does not even see that there is one.")
        self._as("raiser", "POST", f"/leads/{lead}/accept")
        self._as("raiser", "POST", f"/leads/{lead}/share")
        seen = self._as("publisher", "GET", "/leads")["items"]
        if [one["id"] for one in seen] != [lead]:
            raise TourFailed("The shared lead does not reach the vendor.")
        return "The vendor saw a count before, and the lead itself only once it was shared."

    # -- money, after the work

    def claim(self) -> str:
        invoice = self._invoice()
        made = self._as("raiser", "POST", "/claims", json={"activity_id": self.story.ids["activity"]})
        statement = made["statement"]
        proved = self._as("approver", "POST", f"/statements/{statement['id']}/verify")
        if not proved["ok"]:
            raise TourFailed("The statement does not recompute from the service's own rows.")
        proof = self._as(
            "raiser", "POST", f"/claims/{made['id']}/proofs", data={"kind": "invoice"},
            files={"file": (invoice["filename"], invoice["data"])},
        )  # fmt: skip
        self._as(
            "raiser", "PATCH", f"/proofs/{proof['id']}",
            json={
                "supplier": invoice["supplier"], "number": invoice["number"], "date": invoice["date"],
                "currency": invoice["currency"], "net": invoice["net"], "tax": invoice["tax"], "gross": invoice["gross"],
                "buyer": "Tour Partner GmbH",
            },
        )  # fmt: skip
        self._as(
            "raiser", "PUT", f"/claims/{made['id']}/lines",
            json={
                "lines": [{"description": "Mailing", "net": self._money(invoice["net"]), "tax": self._money(invoice["tax"])}],
                "claimed_reach": self.story.figures["sent"], "amount": self._money(self.story.figures["committed"]),
            },
        )  # fmt: skip
        done = self._as("raiser", "POST", f"/claims/{made['id']}/submit")
        verdicts = [one["verdict"] for one in done["findings"]]
        self.story.ids |= {"claim": made["id"], "payable": done["payable"]}
        self.story.figures |= {
            "invoice_fields_read": len(invoice["read"]), "statement": statement["sha256"][:12],
            "findings": {name: verdicts.count(name) for name in ("pass", "warn", "fail", "not_applicable")},
        }  # fmt: skip
        told = ", ".join(f"{verdicts.count(name)} {name}" for name in ("pass", "warn", "fail") if verdicts.count(name))
        return f"{made['number']} with the sealed statement {statement['sha256'][:12]}…, verified; {len(verdicts)} checks: {told}."

    def approve(self) -> str:
        claim = self._as("approver", "GET", f"/claims/{self.story.ids['claim']}")
        amount = min(Decimal(self.story.ids["payable"]["amount"]), Decimal(self.story.figures["committed"]))
        if amount <= 0:
            raise TourFailed("The checks leave nothing to pay: " + "; ".join(one["why"] for one in claim["findings"] if one["verdict"] == "fail"))
        failed = [one for one in claim["findings"] if one["verdict"] == "fail"]
        told = amount < Decimal(self.story.figures["committed"]) or bool(failed)
        reason = "; ".join(one["why"] for one in failed)[:300] or "Short-paid to what the checks allow."
        done = self._as(
            "approver", "POST", f"/claims/{self.story.ids['claim']}/approve",
            json={"amount": self._money(amount), "expected_version": claim["row_version"],
                  **({"code": "wrong_amount", "reason": reason} if told else {})},
        )  # fmt: skip
        if done["status"] != "approved":
            raise TourFailed(f"The claim is {done['status']} after its approval.")
        self.story.figures["approved"] = str(amount)
        return f"{amount} {self._currency()} of {self.story.figures['committed']} committed."

    def pay(self) -> str:
        self._as(
            "raiser", "PUT", "/payee",
            json={"holder": "Tour Partner GmbH", "iban": "DE89370400440532013000", "bic": "COBADEFFXXX", "country": "DE", "town": "Hamburg"},
        )  # fmt: skip
        batch = self._as("payer", "POST", "/payments/batches", json={"claim_ids": [self.story.ids["claim"]]})
        checked = self._as("approver", "POST", f"/payments/batches/{batch['id']}/check")
        file = self._as("payer", "GET", f"/payments/batches/{batch['id']}/file", raw=True)
        self._as("payer", "POST", f"/payments/batches/{batch['id']}/paid")
        self.story.figures |= {"payment_file_bytes": len(file), "payment_file_sha256": checked["file_sha256"][:12]}
        return f"{batch['number']}, made by one and checked by another; CSV of {len(file)} bytes, {checked['file_sha256'][:12]}…"

    def books(self) -> str:
        held = self._as("approver", "GET", f"/funds/{self.story.ids['fund']}/balances")
        amounts = {name: Decimal(one["amount"]) for name, one in held.items() if isinstance(one, dict)}
        approved = Decimal(self.story.figures["approved"])
        paid = abs(amounts.get("cash", Decimal(0)))
        if paid != approved or amounts.get("payable", Decimal(0)) or amounts.get("claimed", Decimal(0)):
            raise TourFailed(f"Paid {paid}, approved {approved}; balances: {held}")
        self.story.figures["paid"] = str(paid)
        return f"{paid} {self._currency()} paid; nothing is left as claimed or payable."


def _hidden_fields(page: str) -> dict[str, str]:
    """The hidden fields of the landing page's form, as a browser would send them back."""
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", page):
        kind, name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("type", "name", "value"))
        if kind and kind[1] == "hidden" and name:
            found[name[1]] = value[1] if value else ""
    return found


def _sample_people(mark: str) -> bytes:
    """A small contact file with what real ones have: an umlaut, a duplicate, a row that cannot be used."""
    first = ("Anna", "Ben", "Clara", "David", "Elif", "Finn", "Greta", "Hugo", "Ida", "Jörg", "Kira", "Luca")
    rows = ["Email;First name;Last name;Company;City"]
    rows += [f"{name.lower().replace('ö', 'oe')}.{number}.{mark}@customers.example;{name};Kunde {number};Firma {number};Köln"
             for number, name in enumerate(first * 2, start=1)]  # fmt: skip
    rows += [rows[1], "not an address;Nobody;Nowhere;;"]
    return ("\r\n".join(rows) + "\r\n").encode()
