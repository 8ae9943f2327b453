"""Pages of campaigns and the catalogue through a browser without JavaScript, and who may not see them."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from tcma.campaigns import starter
from tcma.campaigns.models import Campaign
from tests.factories.campaigns import make_campaign
from tests.factories.cast import Cast

BASE = "http://localhost:8000"
BROKEN = "<mjml>\n<mj-body>\n<mj-section><mj-column><mj-text>Hi {{ contact.nonsense }}</mj-text></mj-column></mj-section>\n</mj-body>\n</mjml>"


@pytest.fixture
def campaign(app: Flask, cast: Cast) -> Campaign:
    """Published to the cast's partner, not to the rival."""
    with app.app_context():
        return make_campaign(cast.vendor_marketer, partner_ids=[cast.partner_id])


def test_a_vendor_makes_one_from_a_starter_and_publishes_it_to_chosen_partners(cast: Cast) -> None:
    browser = cast.client(cast.vendor_marketer)
    new = browser.get("/campaigns/new", base_url=BASE)
    key = starter.starters()[0].key
    assert f"/campaigns/starters/{key}/preview" in new.text
    made = browser.post("/campaigns/new", data={"starter": key}, base_url=BASE)
    assert made.status_code == 303, made.text
    page = made.headers["Location"]
    for tab in ("content", "slots", "landing", "rules", "versions", "results"):
        assert browser.get(f"{page}?tab={tab}", base_url=BASE).status_code == 200, tab
    ask = browser.get(f"{page}/publish", base_url=BASE)
    assert "Publish version 1" in ask.text
    nobody = browser.post(f"{page}/publish", data={"whom": "chosen"}, base_url=BASE)
    assert nobody.status_code == 422
    assert "Choose at least one partner" in nobody.text
    sent = browser.post(
        f"{page}/publish", data={"whom": "chosen", "partners": str(cast.partner_id), "note": "First"}, base_url=BASE
    )
    assert sent.status_code == 303, sent.text
    name = starter.starters()[0].name
    assert name in cast.client(cast.partner_marketer).get("/catalogue", base_url=BASE).text
    assert name not in cast.client(cast.rival).get("/catalogue", base_url=BASE).text


def test_from_scratch_it_compiles_at_once(cast: Cast) -> None:
    browser = cast.client(cast.vendor_marketer)
    unnamed = browser.post("/campaigns/new", data={"name": " "}, base_url=BASE)
    assert unnamed.status_code == 422
    made = browser.post("/campaigns/new", data={"name": "My own"}, base_url=BASE)
    assert made.status_code == 303
    page = browser.get(made.headers["Location"], base_url=BASE)
    assert "There is no subject line." in page.text


def test_a_broken_source_is_kept_and_its_lines_are_named(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    data = {"subject": "Hi", "preheader": "", "mjml": BROKEN}
    live = browser.post(f"{page}/content", data=data, headers={"HX-Request": "true"}, base_url=BASE)
    assert live.status_code == 200
    assert 'data-go-line="3"' in live.text
    assert browser.post(f"{page}/content", data=data, base_url=BASE).status_code == 303
    shown = browser.get(page, base_url=BASE)
    assert "contact.nonsense" in shown.text
    assert "mistake in the source" in browser.get(f"{page}/preview", base_url=BASE).text
    blocked = browser.get(f"{page}/publish", base_url=BASE)
    assert "1 mistake keeps it from being published" in blocked.text
    forced = browser.post(f"{page}/publish", data={"whom": "all"}, base_url=BASE)
    assert forced.status_code == 422
    long = browser.post(f"{page}/content", data={**data, "subject": "x" * 300}, base_url=BASE)
    assert long.status_code == 422
    assert "Shorten it by 100" in long.text


def test_previews_are_whole_documents_that_can_do_nothing(cast: Cast, campaign: Campaign) -> None:
    vendor, partner = cast.client(cast.vendor_marketer), cast.client(cast.partner_marketer)
    key = starter.starters()[0].key
    for browser, path in (
        (vendor, f"/campaigns/{campaign.id}/preview"),
        (vendor, f"/campaigns/{campaign.id}/preview?partner={cast.partner_id}"),
        (vendor, f"/campaigns/{campaign.id}/landing-preview"),
        (vendor, f"/campaigns/starters/{key}/preview"),
        (vendor, f"/campaigns/versions/{campaign.current_version_id}/preview"),
        (partner, f"/catalogue/{campaign.id}/preview"),
        (partner, f"/catalogue/{campaign.id}/landing-preview"),
        (partner, "/brand/sample?name=New&color=%23ff0000"),
    ):
        answer = browser.get(path, base_url=BASE)
        assert answer.status_code == 200, path
        assert answer.text.lstrip().lower().startswith("<!doctype html>"), path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert policy.endswith("sandbox")
        assert "script-src" not in policy
    light = partner.get(f"/catalogue/{campaign.id}/preview", base_url=BASE).text
    dark = partner.get(f"/catalogue/{campaign.id}/preview?look=dark", base_url=BASE).text
    assert "prefers-color-scheme" not in light + dark
    assert light != dark
    text = partner.get(f"/catalogue/{campaign.id}/preview?part=text", base_url=BASE)
    assert text.mimetype == "text/plain"


def test_slots_are_found_in_the_source_saved_and_refused_at_their_row(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    mjml = campaign.mjml.replace("</mj-body>", "<mj-section><mj-column><mj-text>{{ slot.ps_line }}</mj-text></mj-column></mj-section></mj-body>")
    data = {"subject": campaign.subject, "preheader": campaign.preheader, "mjml": mjml}
    browser.post(f"{page}/content", data=data, base_url=BASE)
    shown = browser.get(f"{page}?tab=slots", base_url=BASE)
    assert "ps_line" in shown.text
    one = {"slots-0-name": "headline", "slots-0-label": "Headline", "slots-0-kind": "text", "slots-0-default": "Hello you",
           "slots-0-min_length": "3", "slots-0-max_length": "60", "slots-0-required": "y"}  # fmt: skip
    found = browser.post(f"{page}/slots", data={**one, "do": "detect"}, base_url=BASE)
    assert 'value="ps_line"' in found.text
    wrong = browser.post(f"{page}/slots", data={**one, "slots-0-name": "Not A Name", "do": "save"}, base_url=BASE)
    assert wrong.status_code == 422
    assert "small letters" in wrong.text
    saved = browser.post(f"{page}/slots", data={**one, "do": "save"}, base_url=BASE)
    assert saved.status_code == 303, saved.text
    added = browser.post(f"{page}/slots", data={**one, "do": "add"}, base_url=BASE)
    assert 'name="slots-1-name"' in added.text
    gone = browser.post(f"{page}/slots", data={**one, "do": "remove-0"}, base_url=BASE)
    assert 'name="slots-0-name"' not in gone.text


def test_landing_page_and_rules_are_saved_and_refused_with_words(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    landing = {"headline": "Talk to us", "intro": "We listen.", "button": "Go", "thank_you": "Thanks", "fields": ["email", "name"]}
    assert browser.post(f"{page}/landing", data=landing, base_url=BASE).status_code == 303
    assert "Talk to us" in browser.get(f"{page}/landing-preview", base_url=BASE).text
    long = browser.post(f"{page}/landing", data={**landing, "button": "x" * 50}, base_url=BASE)
    assert long.status_code == 422
    assert "Shorten it by 10" in long.text
    rules = {"name": "New name", "goal": "Win", "summary": "All", "effort_minutes": "7", "begins_on": "2026-03-02", "ends_on": "2026-03-01"}
    early = browser.post(f"{page}/rules", data=rules, base_url=BASE)
    assert early.status_code == 422
    assert "before it begins" in early.text
    assert browser.post(f"{page}/rules", data={**rules, "ends_on": ""}, base_url=BASE).status_code == 303
    assert "New name" in browser.get("/campaigns?q=New", base_url=BASE).text
    sheet = browser.get("/campaigns?format=csv", base_url=BASE)
    assert sheet.mimetype == "text/csv"
    assert "New name" in sheet.text


def seen_in(page: str) -> str:
    """What the form of a page says that its author began with."""
    found = re.search(r'<input[^>]*name="seen"[^>]*value="([0-9a-f]{16})"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("tab", "path", "first", "second"),
    [
        ("content", "content", {"subject": "Mine", "mjml": "<mjml/>"}, {"subject": "Theirs", "mjml": "<mjml/>"}),
        ("rules", "rules", {"name": "Mine"}, {"name": "Theirs"}),
        ("landing", "landing", {"headline": "Mine", "button": "x"}, {"headline": "Theirs", "button": "x"}),
        ("slots", "slots", {"slots-0-name": "a", "slots-0-label": "Mine", "slots-0-kind": "text", "do": "save"},
         {"slots-0-name": "a", "slots-0-label": "Theirs", "slots-0-kind": "text", "do": "save"}),
    ],
)  # fmt: skip
def test_of_two_authors_the_second_is_told_and_decides(
    cast: Cast, campaign: Campaign, tab: str, path: str, first: dict[str, str], second: dict[str, str]
) -> None:
    one, other = cast.client(cast.vendor_admin), cast.client(cast.vendor_marketer)
    page = f"/campaigns/{campaign.id}"
    seen = seen_in(one.get(f"{page}?tab={tab}", base_url=BASE).text)
    assert seen == seen_in(other.get(f"{page}?tab={tab}", base_url=BASE).text)
    assert one.post(f"{page}/{path}", data={**first, "seen": seen}, base_url=BASE).status_code == 303
    late = other.post(f"{page}/{path}", data={**second, "seen": seen}, base_url=BASE)
    assert late.status_code == 422
    assert f"{cast.vendor_admin.name} changed this while you had it open" in late.text
    assert "Theirs" in late.text
    assert "Mine" in one.get(f"{page}?tab={tab}", base_url=BASE).text
    again = other.post(f"{page}/{path}", data={**second, "seen": seen_in(late.text)}, base_url=BASE)
    assert again.status_code == 303
    assert "Theirs" in one.get(f"{page}?tab={tab}", base_url=BASE).text


def test_other_parts_of_the_draft_may_change_meanwhile(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    seen = seen_in(browser.get(page, base_url=BASE).text)
    assert browser.post(f"{page}/rules", data={"name": "Another name"}, base_url=BASE).status_code == 303
    data = {"subject": "Hello", "preheader": "", "mjml": campaign.mjml, "seen": seen}
    assert browser.post(f"{page}/content", data=data, base_url=BASE).status_code == 303


def test_who_types_on_is_not_overtaken_by_their_own_saving(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    typing = {"HX-Request": "true"}
    data = {"subject": "One", "preheader": "", "mjml": campaign.mjml, "seen": seen_in(browser.get(page, base_url=BASE).text)}
    first = browser.post(f"{page}/content", data=data, headers=typing, base_url=BASE)
    data = {**data, "subject": "One two", "seen": seen_in(first.text)}
    second = browser.post(f"{page}/content", data=data, headers=typing, base_url=BASE)
    assert "Draft saved." in second.text
    overtaken = browser.post(f"{page}/content", data={**data, "subject": "Late"}, headers=typing, base_url=BASE)
    assert "Save mine in its place" in overtaken.text
    assert "Draft saved." not in overtaken.text
    instead = re.search(r'"seen": "([0-9a-f]{16})"', overtaken.text)
    assert instead is not None
    data = {**data, "subject": "Late", "seen": instead[1]}
    assert "Draft saved." in browser.post(f"{page}/content", data=data, headers=typing, base_url=BASE).text


def test_versions_show_what_changed(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    data = {"subject": "A new subject", "preheader": "", "mjml": campaign.mjml}
    browser.post(f"{page}/content", data=data, base_url=BASE)
    browser.post(f"{page}/publish", data={"whom": "all", "note": "Shorter"}, base_url=BASE)
    versions = browser.get(f"{page}?tab=versions", base_url=BASE).text
    assert "Version 2" in versions
    newest = versions.split(f"{page}/versions/")[1].split('"')[0]
    shown = browser.get(f"{page}/versions/{newest}", base_url=BASE).text
    assert "subject: A new subject" in shown
    assert "diff-removed" in shown


def test_a_recalled_campaign_is_gone_from_the_catalogue(cast: Cast, campaign: Campaign) -> None:
    vendor, partner = cast.client(cast.vendor_marketer), cast.client(cast.partner_marketer)
    page = f"/catalogue/{campaign.id}"
    assert "Launch this campaign" in partner.get(page, base_url=BASE).text
    wordless = vendor.post(f"/campaigns/{campaign.id}/recall", data={"reason": ""}, base_url=BASE)
    assert wordless.status_code == 422
    recalled = vendor.post(f"/campaigns/{campaign.id}/recall", data={"reason": "Wrong price"}, base_url=BASE)
    assert recalled.status_code == 303, recalled.text
    for path in (page, f"{page}/preview", f"{page}/landing-preview"):
        assert partner.get(path, base_url=BASE).status_code == 404, path
    assert partner.post(f"{page}/launch", base_url=BASE).status_code == 404


def test_a_partner_launches_from_the_catalogue(cast: Cast, campaign: Campaign) -> None:
    partner = cast.client(cast.partner_marketer)
    assert "What you can change" in partner.get(f"/catalogue/{campaign.id}", base_url=BASE).text
    launched = partner.post(f"/catalogue/{campaign.id}/launch", base_url=BASE)
    assert launched.status_code == 303
    assert "/launches/" in launched.headers["Location"]


def test_those_without_it_get_not_found_everywhere(cast: Cast, campaign: Campaign) -> None:
    rival = cast.client(cast.rival)
    page = f"/catalogue/{campaign.id}"
    for path in (page, f"{page}/preview", f"{page}/landing-preview"):
        assert rival.get(path, base_url=BASE).status_code == 404, path
    assert rival.post(f"{page}/launch", base_url=BASE).status_code == 404
    key = cast.key(cast.rival)
    assert rival.get(f"/api/v1/campaigns/{campaign.id}", headers=key, base_url=BASE).status_code == 404
    refused = rival.post("/api/v1/launches", json={"campaign_id": str(campaign.id)}, headers=key, base_url=BASE)
    assert refused.status_code == 404
    other = cast.client(cast.other_vendor_admin)
    for path in ("", "?tab=versions", "/publish", "/preview", "/landing-preview"):
        assert other.get(f"/campaigns/{campaign.id}{path}", base_url=BASE).status_code == 404, path
    assert other.get(f"/campaigns/versions/{campaign.current_version_id}/preview", base_url=BASE).status_code == 404
    assert other.post(f"/campaigns/{campaign.id}/recall", data={"reason": "x"}, base_url=BASE).status_code == 404


def test_who_only_reads_may_not_publish(cast: Cast, campaign: Campaign) -> None:
    finance = cast.client(cast.finance)
    page = f"/campaigns/{campaign.id}"
    assert finance.get(page, base_url=BASE).status_code == 200
    assert finance.get(f"{page}/publish", base_url=BASE).status_code == 403
    assert finance.post(f"{page}/content", data={"mjml": ""}, base_url=BASE).status_code == 403
    assert finance.post(f"{page}/recall", data={"reason": "x"}, base_url=BASE).status_code == 403


def test_archive_and_back(cast: Cast, campaign: Campaign) -> None:
    browser, page = cast.client(cast.vendor_marketer), f"/campaigns/{campaign.id}"
    assert browser.post(f"{page}/archive", base_url=BASE).status_code == 303
    assert "Take out of the archive" in browser.get(page, base_url=BASE).text
    assert browser.post(f"{page}/reopen", base_url=BASE).status_code == 303
    assert "Draft" in browser.get(page, base_url=BASE).text


def test_what_is_published_is_what_was_looked_at_and_a_second_press_is_no_second_version(cast: Cast, campaign: Campaign) -> None:
    browser, colleague = cast.client(cast.vendor_marketer), cast.client(cast.vendor_admin)
    page = f"/campaigns/{campaign.id}"

    def looked() -> dict[str, str]:
        shown = re.search(r'name="shown"[^>]*value="([0-9a-f]{64})"', browser.get(f"{page}/publish", base_url=BASE).text)
        assert shown is not None
        return {"whom": "all", "shown": shown[1]}

    before = looked()
    changed = {"subject": "Other words", "preheader": "", "mjml": campaign.mjml}
    assert colleague.post(f"{page}/content", data=changed, base_url=BASE).status_code == 303
    refused = browser.post(f"{page}/publish", data=before, base_url=BASE)
    assert refused.status_code == 409
    assert "look again" in refused.text
    after = looked()
    presses = [browser.post(f"{page}/publish", data=after, base_url=BASE).status_code for _ in range(2)]
    assert presses == [303, 409]
    assert "Publish version 3" in browser.get(f"{page}/publish", base_url=BASE).text
