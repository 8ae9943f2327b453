"""The API of leads: the same services as the pages, for the partner's and the vendor's keys."""

from __future__ import annotations

from flask import Flask

from tests.factories.cast import Cast
from tests.factories.delivery import make_started
from tests.leads.test_services import answer

BASE = "http://localhost:8000"


def test_a_lead_is_worked_and_shared_by_key(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast)
        lead_id, launch_id = answer(launch).lead_id, launch.id
    client, mine, vendors = app.test_client(), cast.key(cast.partner_admin), cast.key(cast.vendor_admin)
    root = f"/api/v1/leads/{lead_id}"

    def post(verb: str, **body: str) -> tuple[int, dict[str, object]]:
        sent = client.post(f"{root}/{verb}", json=body, headers=mine, base_url=BASE)
        return sent.status_code, sent.get_json()

    listed = client.get(f"/api/v1/leads?launch={launch_id}&status=new", headers=mine, base_url=BASE).get_json()
    assert [one["id"] for one in listed["items"]] == [str(lead_id)]
    assert client.get("/api/v1/leads?status=nonsense", headers=mine, base_url=BASE).status_code == 422
    assert post("reject")[0] == 422
    assert post("accept")[1]["status"] == "accepted"
    assert post("accept")[0] == 409
    assert post("work")[1]["status"] == "working"
    assert post("win", amount="1250.00", currency="EUR")[1]["amount_minor"] == 125000
    assert client.get(root, headers=vendors, base_url=BASE).status_code == 404
    assert client.get("/api/v1/leads", headers=vendors, base_url=BASE).get_json()["items"] == []
    counts = client.get(f"/api/v1/leads/counts?launch={launch_id}", headers=vendors, base_url=BASE).get_json()
    assert (counts["leads"], counts["won"]) == (1, 1)
    assert post("share")[1]["shared"] is True
    assert client.get(root, headers=vendors, base_url=BASE).get_json()["email"] == "ida@visitor.example"
    assert client.post(f"{root}/accept", headers=vendors, base_url=BASE).status_code == 403
    assert post("revoke")[1]["shared"] is False
    assert client.get(root, headers=vendors, base_url=BASE).status_code == 404
    assert client.get(root, headers=cast.key(cast.rival), base_url=BASE).status_code == 404
