"""Pages of kits and brands through a browser without JavaScript, and who may not see them."""

from __future__ import annotations

import io

import pytest
from flask import Flask

from tcma.access import Actor
from tcma.assets import samples
from tcma.assets.models import Kit
from tests.factories.assets import make_kit, make_logo
from tests.factories.cast import Cast

BASE = "http://localhost:8000"
TRACK = "http://127.0.0.1:8000"


@pytest.fixture
def kit(app: Flask, cast: Cast) -> Kit:
    """Published to the cast's partner, not to the rival."""
    with app.app_context():
        return make_kit(cast.vendor_marketer, partner_ids=[cast.partner_id])


def version_of(kit: Kit) -> str:
    return str(kit.assets[0].versions[-1].id)


def upload(name: str, data: bytes, /, **fields: str) -> dict[str, object]:
    return {**fields, "file": (io.BytesIO(data), name)}


def test_a_vendor_makes_fills_and_publishes_a_kit(cast: Cast) -> None:
    browser = cast.client(cast.vendor_marketer)
    made = browser.post("/kits/new", data={"name": "Winter", "description": "Sheets"}, base_url=BASE)
    assert made.status_code == 303, made.text
    page = made.headers["Location"]
    assert "No files yet" in browser.get(page, base_url=BASE).text
    sent = browser.post(f"{page}/assets", data=upload("b.png", samples.sample_banner("Hi", "#224466")), base_url=BASE)
    assert sent.status_code == 303, sent.text
    asset = sent.headers["Location"]
    shown = browser.get(asset, base_url=BASE)
    assert "Drag a rectangle" in shown.text
    zone = {
        "zones-0-kind": "logo", "zones-0-page": "1", "zones-0-x": "60", "zones-0-y": "80", "zones-0-width": "30",
        "zones-0-height": "10", "zones-0-align": "right", "zones-0-ink": "dark", "do": "save",
    }  # fmt: skip
    assert browser.post(f"{asset}/zones", data=zone, base_url=BASE).status_code == 303
    assert 'value="60.0"' in browser.get(asset, base_url=BASE).text
    published = browser.post(f"{page}/publish", data={"whom": "all"}, base_url=BASE)
    assert published.status_code == 303, published.text
    assert "Winter" in cast.client(cast.partner_marketer).get("/kits", base_url=BASE).text
    assert browser.post(f"{page}/recall", data={"reason": "Old prices"}, base_url=BASE).status_code == 303
    assert cast.client(cast.partner_marketer).get(page, base_url=BASE).status_code == 404
    assert "Old prices" in browser.get(page, base_url=BASE).text


def test_zone_rows_come_and_go_without_losing_what_was_typed(cast: Cast, kit: Kit) -> None:
    browser = cast.client(cast.vendor_marketer)
    page = f"/kits/{kit.id}/assets/{kit.assets[0].id}"
    zone = {"zones-0-kind": "logo", "zones-0-page": "1", "zones-0-x": "11.5", "zones-0-y": "1", "zones-0-width": "30",
            "zones-0-height": "10", "zones-0-align": "left", "zones-0-ink": "dark"}  # fmt: skip
    more = browser.post(f"{page}/zones", data={**zone, "do": "add"}, base_url=BASE)
    assert 'name="zones-1-kind"' in more.text
    assert 'value="11.5"' in more.text
    fewer = browser.post(f"{page}/zones", data={**zone, "do": "remove-0"}, base_url=BASE)
    assert 'value="11.5"' not in fewer.text
    beyond = browser.post(f"{page}/zones", data={**zone, "zones-0-width": "95", "do": "save"}, base_url=BASE)
    assert beyond.status_code == 422
    assert "beyond" in beyond.text
    empty = browser.post(f"{page}/zones", data={**zone, "zones-0-width": "", "do": "save"}, base_url=BASE)
    assert empty.status_code == 422


def test_an_upload_of_garbage_keeps_the_form_and_says_why(cast: Cast, kit: Kit) -> None:
    browser = cast.client(cast.vendor_marketer)
    answer = browser.post(f"/kits/{kit.id}/assets", data=upload("x.pdf", b"nonsense", name="My sheet"), base_url=BASE)
    assert answer.status_code == 422
    assert 'value="My sheet"' in answer.text
    assert "PDF" in answer.text
    nothing = browser.post(f"/kits/{kit.id}/assets", data={"name": "My sheet"}, base_url=BASE)
    assert nothing.status_code == 422
    assert "Choose a file first." in nothing.text


def test_those_without_the_kit_get_not_found_everywhere(cast: Cast, kit: Kit) -> None:
    version, asset = version_of(kit), kit.assets[0].id
    pages = [
        f"/kits/{kit.id}", f"/assets/{version}/thumbnail", f"/assets/{version}/pages/1", f"/assets/{version}/yours",
        f"/assets/{version}/original", f"/assets/{version}/download",
    ]  # fmt: skip
    strangers: list[Actor] = [cast.rival]
    for stranger in strangers:
        browser = cast.client(stranger)
        assert "Autumn security" not in browser.get("/kits", base_url=BASE).text
        for page in pages:
            assert browser.get(page, base_url=BASE).status_code == 404, page
        key = cast.key(stranger)
        for path in (f"/api/v1/kits/{kit.id}", f"/api/v1/assets/{version}/cobranded"):
            assert browser.get(path, headers=key, base_url=BASE).status_code == 404, path
    other = cast.client(cast.other_vendor_admin)
    for page in (pages[0], pages[1], pages[2], pages[4], f"/kits/{kit.id}/assets/{asset}"):
        assert other.get(page, base_url=BASE).status_code == 404, page
    assert other.post(f"/kits/{kit.id}/assets/{asset}/remove", base_url=BASE).status_code == 404
    assert cast.client(cast.finance).get(f"/kits/{kit.id}/edit", base_url=BASE).status_code == 403
    assert cast.client(cast.partner_marketer).post(f"/kits/{kit.id}/archive", base_url=BASE).status_code == 403


def test_a_partner_without_a_brand_is_told_kindly_and_may_take_the_original(cast: Cast, kit: Kit) -> None:
    browser = cast.client(cast.partner_marketer)
    page = browser.get(f"/kits/{kit.id}", base_url=BASE)
    assert "Your brand is not set up yet" in page.text
    refused = browser.get(f"/assets/{version_of(kit)}/download", base_url=BASE)
    assert refused.status_code == 422
    assert 'href="/brand"' in refused.text
    taken = browser.get(f"/assets/{version_of(kit)}/original", base_url=BASE)
    assert taken.status_code == 200
    assert "attachment" in taken.headers["Content-Disposition"]
    assert taken.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in taken.headers["Content-Security-Policy"]


def test_a_partner_downloads_its_own_version_and_the_vendor_counts_it(app: Flask, cast: Cast, kit: Kit) -> None:
    with app.app_context():
        make_logo(cast.partner_marketer)
    browser = cast.client(cast.partner_marketer)
    assert "Download with your brand" in browser.get(f"/kits/{kit.id}", base_url=BASE).text
    plain = browser.get(f"/assets/{version_of(kit)}/original", base_url=BASE).data
    mine = browser.get(f"/assets/{version_of(kit)}/download", base_url=BASE)
    assert mine.status_code == 200
    assert mine.data != plain
    picture = browser.get(f"/assets/{version_of(kit)}/yours", base_url=BASE)
    assert picture.mimetype == "image/webp"
    vendor = cast.client(cast.vendor_marketer).get(f"/kits/{kit.id}", base_url=BASE)
    assert "2 downloads" in vendor.text


def test_the_brand_page_saves_and_keeps_what_is_wrong(cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    first = browser.get("/brand", base_url=BASE)
    assert first.status_code == 200
    assert "A launch still needs" in first.text
    fields = {"name": "Acme", "legal_name": "Acme GmbH", "postal_address": "A 1\n20457 Hamburg", "country": "DE",
              "color": "#0c5e73", "accent_color": "#ffee00", "reply_to": "not an address"}  # fmt: skip
    wrong = browser.post("/brand", data=fields, base_url=BASE)
    assert wrong.status_code == 422
    assert 'value="not an address"' in wrong.text
    right = browser.post("/brand", data={**fields, "reply_to": "hello@acme.example"}, base_url=BASE)
    assert right.status_code == 303, right.text
    assert "Acme GmbH" in browser.get("/brand", base_url=BASE).text


def test_a_logo_is_public_under_its_own_hash_only_and_on_the_tracking_origin_only(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    sent = browser.post("/brand/logo", data=upload("l.png", samples.sample_logo("Acme", "#224466", seed=1)), base_url=BASE)
    assert sent.status_code == 303, sent.text
    page = browser.get("/brand", base_url=BASE)
    assert "On dark" in page.text
    for ground in ("light", "dark"):
        assert browser.get(f"/brand/logo/{ground}.png", base_url=BASE).mimetype == "image/png"
    key = browser.get("/api/v1/brand", headers=cast.key(cast.partner_admin), base_url=BASE).json["logo_sha256"]
    reader = app.test_client()
    seen = reader.get(f"/b/{cast.partner_id}/{key[:12]}.png", base_url=TRACK)
    assert seen.status_code == 200
    assert "immutable" in seen.headers["Cache-Control"]
    assert reader.get(f"/b/{cast.partner_id}/{key[:12]}.png", base_url=BASE).status_code == 404
    assert reader.get(f"/b/{cast.partner_id}/{'0' * 12}.png", base_url=TRACK).status_code == 404
    assert reader.get(f"/b/{cast.rival_id}/{key[:12]}.png", base_url=TRACK).status_code == 404


@pytest.mark.parametrize("name", ["logo.svg", "logo.png"])
def test_a_drawing_that_may_hold_scripts_is_refused_whatever_it_is_called(cast: Cast, name: str) -> None:
    data = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    answer = cast.client(cast.partner_admin).post("/brand/logo", data=upload(name, data), base_url=BASE)
    assert answer.status_code == 422
    assert "SVG" in answer.text


def test_a_vendor_has_no_brand_page(cast: Cast) -> None:
    assert cast.client(cast.vendor_admin).get("/brand", base_url=BASE).status_code == 403
