"""The API of assets: a kit from nothing to a co-branded file, as a script would do it."""

from __future__ import annotations

import io
import json

from flask import Flask
from flask.testing import FlaskClient

from tcma.assets import samples
from tests.factories.assets import CONTACT_ZONE, LOGO_ZONE
from tests.factories.cast import Cast

BASE = "http://localhost:8000"


def test_from_a_kit_to_a_cobranded_file(app: Flask, cast: Cast, client: FlaskClient) -> None:
    vendor, partner, rival = (cast.key(one) for one in (cast.vendor_marketer, cast.partner_marketer, cast.rival))
    assert client.get("/api/v1/brand", headers=partner, base_url=BASE).status_code == 404
    brand = {"legal_name": "Acme GmbH", "name": "Acme", "postal_address": "A 1\n20457 Hamburg", "country": "DE",
             "color": "#0c5e73", "sender_name": "Acme", "reply_to": "hello@acme.example"}  # fmt: skip
    saved = client.put("/api/v1/brand", json=brand, headers=partner, base_url=BASE)
    assert saved.status_code == 200, saved.text
    logo = client.put(
        "/api/v1/brand/logo", data={"file": (io.BytesIO(samples.sample_logo("Acme", "#0c5e73", seed=2)), "l.png")},
        headers=partner, base_url=BASE,
    )  # fmt: skip
    assert logo.status_code == 200, logo.text
    assert logo.json["width"] > 30
    assert all(one.startswith("#") for one in logo.json["colors"])
    kit = client.post("/api/v1/kits", json={"name": "Autumn"}, headers=vendor, base_url=BASE)
    assert kit.status_code == 201, kit.text
    path = f"/api/v1/kits/{kit.json['id']}"
    asset = client.post(
        f"{path}/assets", headers=vendor, base_url=BASE,
        data={"file": (io.BytesIO(samples.sample_banner("Hi", "#123456")), "b.png"),
              "zones": json.dumps([LOGO_ZONE, CONTACT_ZONE])},
    )  # fmt: skip
    assert asset.status_code == 201, asset.text
    version = asset.json["version"]
    assert version["pages"] == 1
    assert len(version["sha256"]) == 64
    opened = client.post(
        f"{path}/publication", json={"partner_ids": [str(cast.partner_id)]}, headers=vendor, base_url=BASE
    )
    assert opened.status_code == 200, opened.text
    assert len(client.get("/api/v1/kits", headers=partner, base_url=BASE).json["items"]) == 1
    assert client.get("/api/v1/kits", headers=rival, base_url=BASE).json["items"] == []
    made = client.get(f"/api/v1/assets/{version['id']}/cobranded", headers=partner, base_url=BASE)
    assert made.status_code == 200
    assert made.data[:4] == b"\x89PNG"
    assert client.get(f"/api/v1/assets/{version['id']}/cobranded", headers=rival, base_url=BASE).status_code == 404
    assert client.get(f"/api/v1/assets/{version['id']}/cobranded", headers=vendor, base_url=BASE).status_code == 403


def test_what_is_wrong_is_said_at_the_field(app: Flask, cast: Cast, client: FlaskClient) -> None:
    vendor, partner = cast.key(cast.vendor_marketer), cast.key(cast.partner_marketer)
    kit = client.post("/api/v1/kits", json={"name": "Autumn"}, headers=vendor, base_url=BASE).json["id"]
    garbage = client.post(
        f"/api/v1/kits/{kit}/assets", data={"file": (io.BytesIO(b"nothing"), "x.pdf")}, headers=vendor, base_url=BASE
    )
    assert garbage.status_code == 422
    assert "PDF" in garbage.json["detail"]
    for written in ("{", "[" * 100_000, "null"):
        zones = client.post(
            f"/api/v1/kits/{kit}/assets", headers=vendor, base_url=BASE,
            data={"file": (io.BytesIO(samples.sample_banner("Hi", "#123456")), "b.png"), "zones": written},
        )  # fmt: skip
        assert zones.status_code == 422
        assert "zones" in zones.json["errors"]
    wrong = client.put("/api/v1/brand", json={"color": "blue"}, headers=partner, base_url=BASE)
    assert wrong.status_code == 422
    assert "six hex digits" in wrong.json["errors"]["color"]
    assert client.post("/api/v1/kits", json={"name": "Mine"}, headers=partner, base_url=BASE).status_code == 403
    assert client.put("/api/v1/brand", json={"name": "V"}, headers=vendor, base_url=BASE).status_code == 403
