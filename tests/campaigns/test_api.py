"""The API of campaigns: from a starter to a launch, as a script would do it."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.factories.assets import make_logo
from tests.factories.audience import make_list
from tests.factories.campaigns import make_campaign
from tests.factories.cast import Cast

BASE = "http://localhost:8000"


def test_from_a_starter_to_a_launch(app: Flask, cast: Cast, client: FlaskClient) -> None:
    vendor, partner, rival = (cast.key(one) for one in (cast.vendor_marketer, cast.partner_marketer, cast.rival))
    with app.app_context():
        make_logo(cast.partner_marketer)
    first = client.get("/api/v1/campaigns/starters", headers=vendor, base_url=BASE).json["items"][0]
    fields = {name: first[name] for name in ("name", "goal", "summary", "subject", "preheader", "mjml", "slots", "landing")}
    made = client.post("/api/v1/campaigns", json=fields, headers=vendor, base_url=BASE)
    assert made.status_code == 201, made.text
    path = f"/api/v1/campaigns/{made.json['id']}"
    assert client.post(f"{path}/check", headers=vendor, base_url=BASE).json["problems"] == []
    chosen = {"partner_ids": [str(cast.partner_id)], "note": "First"}
    version = client.post(f"{path}/publication", json=chosen, headers=vendor, base_url=BASE)
    assert version.status_code == 201, version.text
    assert version.json["number"] == 1
    assert len(version.json["content_sha256"]) == 64
    listed = client.get("/api/v1/catalogue", headers=partner, base_url=BASE).json["items"]
    assert [one["id"] for one in listed] == [made.json["id"]]
    assert client.get("/api/v1/catalogue", headers=rival, base_url=BASE).json["items"] == []
    launch = client.post("/api/v1/launches", json={"campaign_id": made.json["id"]}, headers=partner, base_url=BASE)
    assert launch.status_code == 201, launch.text
    one = f"/api/v1/launches/{launch.json['id']}"
    changed = client.patch(one, json={"slots": {"headline": "Our own headline"}}, headers=partner, base_url=BASE)
    assert changed.status_code == 200, changed.text
    seen = client.get(f"{one}/preview", headers=partner, base_url=BASE).json
    assert "Our own headline" in seen["html"]
    assert "/b/" in seen["html"]
    assert client.get(one, headers=rival, base_url=BASE).status_code == 404
    wrong = client.patch(one, json={"slots": {"footer": "x"}}, headers=partner, base_url=BASE)
    assert wrong.status_code == 422
    assert "no such slot" in wrong.json["detail"]
    recalled = client.post(f"{path}/recall", json={"reason": "Old"}, headers=vendor, base_url=BASE)
    assert recalled.status_code == 200
    gone = client.post("/api/v1/launches", json={"campaign_id": made.json["id"]}, headers=partner, base_url=BASE)
    assert gone.status_code == 404


def test_problems_come_with_line_and_how_to_mend(app: Flask, cast: Cast, client: FlaskClient) -> None:
    vendor = cast.key(cast.vendor_marketer)
    mjml = "<mjml><mj-body>\n<mj-section><mj-column><mj-txt>Hi</mj-txt></mj-column></mj-section></mj-body></mjml>"
    made = client.post(
        "/api/v1/campaigns", json={"name": "Broken", "subject": "Hi", "mjml": mjml}, headers=vendor, base_url=BASE
    )
    path = f"/api/v1/campaigns/{made.json['id']}"
    found = client.post(f"{path}/check", headers=vendor, base_url=BASE).json["problems"][0]
    assert found["line"] == 2
    assert found["mend"]
    assert found["severity"] == "error"
    refused = client.post(f"{path}/publication", json={"partner_ids": None}, headers=vendor, base_url=BASE)
    assert refused.status_code == 422
    assert "Line 2" in refused.json["detail"]


@pytest.mark.parametrize("path", ["", "/check"])
def test_a_draft_is_its_vendors_alone_also_when_published(app: Flask, cast: Cast, client: FlaskClient, path: str) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
    address = f"/api/v1/campaigns/{campaign.id}{path}"
    for actor in (cast.partner_marketer, cast.rival, cast.other_vendor_admin):
        answer = client.open(address, method="POST" if path else "GET", headers=cast.key(actor), base_url=BASE)
        assert answer.status_code == 404
    key = cast.key(cast.partner_marketer)
    assert client.post("/api/v1/campaigns", json={"name": "Mine"}, headers=key, base_url=BASE).status_code == 403


def test_a_launch_keeps_the_lists_that_a_change_does_not_name(app: Flask, cast: Cast, client: FlaskClient) -> None:
    actor = cast.partner_marketer
    headers = cast.key(actor)
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
        inside, outside = make_list(actor), make_list(actor)
    launch = client.post("/api/v1/launches", json={"campaign_id": str(campaign.id)}, headers=headers, base_url=BASE)

    def change(**values: list[str]) -> dict[str, list[str]]:
        answer = client.patch(f"/api/v1/launches/{launch.json['id']}", json=values, headers=headers, base_url=BASE)
        assert answer.status_code == 200, answer.text
        return dict(answer.json["audience"])

    change(lists=[str(inside.id)], exclude_lists=[str(outside.id)])
    assert change(lists=[]) == {"lists": [], "exclude_lists": [str(outside.id)]}
