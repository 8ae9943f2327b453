"""The API of programmes, funds and requests, from rules to an approved plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from flask import Flask
from flask.testing import FlaskClient

from tcma import clock
from tests.factories.cast import Cast
from tests.factories.mdf import make_money, make_request

BASE = "http://localhost:8000"


def euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def call(client: FlaskClient, method: str, path: str, headers: dict[str, str], body: object = None) -> tuple[int, Any]:
    answer = client.open(f"/api/v1{path}", method=method, json=body, headers=headers, base_url=BASE)
    return answer.status_code, answer.get_json(force=True)


def test_the_whole_way_to_approved_money(app: Flask, cast: Cast, client: FlaskClient) -> None:
    finance, partner, manager = (cast.key(one) for one in (cast.finance, cast.partner_admin, cast.channel_manager))
    today = clock.today()
    status, programme = call(client, "POST", "/programmes", finance, {
        "name": "API fund", "currency": "EUR", "share_percent": "50", "cap": euros("3000.00"),
        "begins_on": str(today), "ends_on": str(today + timedelta(days=200)), "claim_days": 20,
    })  # fmt: skip
    assert status == 201, programme
    assert programme["cap_per_partner"] == euros("3000.00")
    base = f"/programmes/{programme['id']}"
    status, refused = call(client, "POST", f"{base}/open", finance)
    assert (status, refused["title"]) == (422, "Please mend what is marked")
    status, other = call(client, "POST", "/programmes", finance, {
        "name": "Both at once", "currency": "EUR", "share_percent": "50", "cap": euros("10"), "begins_on": str(today),
        "ends_on": str(today), "activity_types": [{"code": "email"}, {"code": "own", "name": "Our own"}],
    })  # fmt: skip
    assert [one["code"] for one in other["activity_types"]] == ["email", "own"]
    status, kind = call(client, "POST", f"{base}/activity-types", finance, {"code": "email"})
    assert (status, kind["required_evidence"]) == (201, ["statement", "invoice"])
    assert call(client, "POST", f"{base}/open", finance)[1]["status"] == "active"
    status, fund = call(client, "POST", "/funds", finance, {
        "programme_id": programme["id"], "name": "API", "budget": euros("5000"), "begins_on": str(today),
        "ends_on": str(today + timedelta(days=100)),
    })  # fmt: skip
    assert status == 201, fund
    gift = {
        "partner_id": str(cast.partner_id), "amount": euros("2000.00"), "once": str(uuid4()),
        "expires_on": str(today + timedelta(days=60)),
    }  # fmt: skip
    for _ in range(2):
        assert call(client, "POST", f"/funds/{fund['id']}/allocations", finance, gift)[0] == 201
    status, request = call(client, "POST", "/requests", partner, {
        "programme_id": programme["id"], "title": "Mailing", "activities": [{
            "activity_type_id": kind["id"], "title": "Mailing", "starts_on": str(today), "cost": euros("1000.00"),
            "ends_on": str(today + timedelta(days=10)), "requested": euros("500.00"), "expected_reach": 1200,
        }],
    })  # fmt: skip
    assert (status, request["status"], request["budget"]) == (201, "draft", euros("500.00"))
    path = f"/requests/{request['id']}"
    assert call(client, "POST", f"{path}/submit", partner)[1]["row_version"] == 2
    status, approved = call(client, "POST", f"{path}/approve", manager, {"expected_version": 2})
    assert (status, approved["status"], approved["rule_version"]) == (200, "approved", 1)
    assert approved["claim_until"] == str(today + timedelta(days=30))
    assert approved["activities"][0]["committed"] == euros("500.00")
    status, held = call(client, "GET", f"/funds/{fund['id']}/balances", partner)
    assert held["allocated"] == euros("1500.00")
    assert held["committed"] == euros("500.00")
    assert held["budget"] == euros("0.00")
    assert call(client, "POST", f"{path}/approve", manager, {})[0] == 409
    status, page = call(client, "GET", "/requests?limit=1", manager)
    assert [one["id"] for one in page["items"]] == [request["id"]]


def test_bad_json_is_said_field_by_field(app: Flask, cast: Cast, client: FlaskClient) -> None:
    partner = cast.key(cast.partner_admin)
    with app.app_context():
        money = make_money(cast)
    status, problem = call(client, "POST", "/requests", partner, {
        "programme_id": str(money.programme.id), "title": "x", "activities": [{
            "activity_type_id": str(money.types["email"]), "title": "x", "starts_on": "2026-02-30",
            "ends_on": "2026-03-01", "cost": 12.5, "requested": euros("1.005"),
        }],
    })  # fmt: skip
    assert status == 422
    assert "activities.0.cost" in problem["errors"]
    assert "at most 2 decimals" in problem["errors"]["activities.0.requested"]
    assert "activities.0.starts_on" in problem["errors"]


def test_others_get_404_and_wrong_roles_403(app: Flask, cast: Cast, client: FlaskClient) -> None:
    with app.app_context():
        money = make_money(cast)
        request = make_request(cast, money)
    path = f"/requests/{request.id}"
    assert call(client, "GET", path, cast.key(cast.rival))[0] == 404
    assert call(client, "GET", path, cast.key(cast.other_vendor_admin))[0] == 404
    assert call(client, "GET", f"/funds/{money.fund.id}/balances", cast.key(cast.rival))[0] == 404
    assert call(client, "POST", f"{path}/approve", cast.key(cast.partner_admin), {})[0] == 403
    assert call(client, "POST", f"{path}/approve", cast.key(cast.vendor_marketer), {})[0] == 403
    assert call(client, "POST", f"{path}/reject", cast.key(cast.finance), {"reason": ""})[0] == 422
    assert client.get(f"/api/v1{path}", base_url=BASE).status_code == 401


def test_the_same_money_sent_twice_with_one_key_is_booked_once(app: Flask, cast: Cast, client: FlaskClient) -> None:
    with app.app_context():
        story = make_money(cast)
    finance = cast.key(cast.finance)
    fund = {
        "programme_id": str(story.programme.id), "name": "Once", "budget": euros("500.00"),
        "begins_on": str(clock.today()), "ends_on": str(clock.today() + timedelta(days=90)),
    }  # fmt: skip
    once = {**finance, "Idempotency-Key": str(uuid4())}
    first, again = (call(client, "POST", "/funds", once, fund) for _ in range(2))
    assert first == again
    assert first[0] == 201
    part = {
        "partner_id": str(cast.partner_id), "amount": euros("100.00"), "expires_on": str(clock.today() + timedelta(days=30)),
    }  # fmt: skip
    path = f"/funds/{first[1]['id']}"
    once = {**finance, "Idempotency-Key": str(uuid4())}
    first, again = (call(client, "POST", f"{path}/allocations", once, part) for _ in range(2))
    assert first == again
    assert first[0] == 201
    assert call(client, "GET", f"{path}/balances", finance)[1]["allocated"] == euros("100.00")
