"""The API of the audience: the same services as the pages, by key."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Flask

from tcma.audience import imports
from tests.factories import audience as make
from tests.factories.cast import Cast

BASE = "http://localhost:8000"


def test_a_file_is_imported_and_its_people_are_listed_exported_and_erased(app: Flask, cast: Cast) -> None:
    client, mine = app.test_client(), cast.key(cast.partner_admin)
    data = {"file": (BytesIO(b"email,last name\nida@one.example,Ibsen\nnot an address,Kai\n"), "contacts.csv")}
    made = client.post("/api/v1/imports", data=data, headers=mine, base_url=BASE)
    assert made.status_code == 201
    row = made.get_json()
    assert row["mapping"]["email"] == 0
    url = f"/api/v1/imports/{row['id']}"
    bad = client.post(
        f"{url}/run", json={"mapping": {}, "basis": "opt_in", "basis_source": "x"}, headers=mine, base_url=BASE
    )
    assert bad.status_code == 422
    told = {"mapping": row["mapping"], "basis": "opt_in", "basis_source": "our fair", "list_name": "Fair"}
    assert client.post(f"{url}/run", json=told, headers=mine, base_url=BASE).status_code == 202
    with app.app_context():
        imports.run_import(cast.partner_admin, UUID(row["id"]))
    done = client.get(url, headers=mine, base_url=BASE).get_json()
    assert (done["status"], done["created_count"], done["refused_count"]) == ("finished", 1, 1)
    rows = client.get(f"{url}/rows", headers=mine, base_url=BASE).get_json()["items"]
    assert [one["verdict"] for one in rows] == ["refused"]
    assert client.get("/api/v1/lists", headers=mine, base_url=BASE).get_json()["items"][0]["contacts"] == 1
    found = client.get("/api/v1/contacts?search=ibs", headers=mine, base_url=BASE).get_json()["items"]
    assert [one["email"] for one in found] == ["ida@one.example"]
    person = f"/api/v1/contacts/{found[0]['id']}"
    assert client.get(f"{person}/export", headers=mine, base_url=BASE).get_json()["last_name"] == "Ibsen"
    assert client.delete(person, headers=mine, base_url=BASE).status_code == 204
    assert client.get(f"{person}/export", headers=mine, base_url=BASE).status_code == 404


def test_a_contact_and_a_list_are_added(app: Flask, cast: Cast) -> None:
    client, mine = app.test_client(), cast.key(cast.partner_admin)
    made = client.post("/api/v1/lists", json={"name": "Fair"}, headers=mine, base_url=BASE).get_json()
    body = {"email": "ida@one.example", "basis": "opt_in", "source": "our fair", "list_ids": [made["id"]]}
    assert client.post("/api/v1/contacts", json=body, headers=mine, base_url=BASE).status_code == 201
    wrong = client.post("/api/v1/contacts", json={**body, "email": "nobody"}, headers=mine, base_url=BASE)
    assert wrong.status_code == 422
    listed = client.get(f"/api/v1/contacts?list={made['id']}", headers=mine, base_url=BASE).get_json()
    assert len(listed["items"]) == 1
    assert client.get(f"/api/v1/contacts?after={10**30}", headers=mine, base_url=BASE).status_code == 422


def test_vendors_and_rivals_reach_nothing(app: Flask, cast: Cast) -> None:
    with app.app_context():
        person = make.make_contact(cast.partner_admin)
        row = make.run(cast.partner_admin, "email\nnot an address\n")
    client = app.test_client()
    for actor, wanted in ((cast.vendor_admin, {403}), (cast.finance, {403}), (cast.rival, {404})):
        key = cast.key(actor)
        for path in (f"/contacts/{person.id}/export", f"/imports/{row.id}", f"/imports/{row.id}/rows"):
            assert client.get(f"/api/v1{path}", headers=key, base_url=BASE).status_code in wanted, path
        assert client.delete(f"/api/v1/contacts/{person.id}", headers=key, base_url=BASE).status_code in wanted
    vendor = cast.key(cast.vendor_admin)
    for path in ("/contacts", "/lists"):
        assert client.get(f"/api/v1{path}", headers=vendor, base_url=BASE).status_code == 403
