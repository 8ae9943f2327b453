"""The pages of contacts, lists and imports, as a partner's marketer uses them."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tcma.access import Actor
from tcma.audience import imports, queries, services
from tcma.audience.models import Import
from tcma.audience.states import ImportStatus
from tcma.db import bind, db, unit_of_work
from tcma.storage import storage
from tests.factories import audience as make
from tests.factories.cast import Cast

BASE = "http://localhost:8000"
FILE = "E-Mail,Vorname,Nachname,Firma\nmaria@mueller.example,Maria,Müller,Müller KG\nnot an address,Kai,Keller,\n"


def upload(browser: FlaskClient, data: bytes, name: str = "contacts.csv") -> TestResponse:
    return browser.post("/imports/new", data={"file": (BytesIO(data), name)}, base_url=BASE)


def start(browser: FlaskClient, where: str, **changes: str) -> TestResponse:
    form = {
        "columns-0": "email", "columns-1": "first_name", "columns-2": "last_name", "columns-3": "company",
        "basis": "opt_in", "basis_source": "our fair", "list_name": "Customers", **changes,
    }  # fmt: skip
    return browser.post(where, data=form, base_url=BASE)


def held(app: Flask, actor: Actor, where: str) -> Import:
    with app.app_context():
        bind(db.session, actor)
        return queries.get_import(db.session, actor, UUID(where.rsplit("/", 1)[-1]))


def test_a_file_is_uploaded_mapped_run_and_its_refused_rows_come_back(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_marketer)
    uploaded = upload(browser, FILE.encode())
    assert uploaded.status_code == 303
    where = uploaded.headers["Location"]
    page = browser.get(where, base_url=BASE).text
    assert "Import 2 rows" in page
    assert "maria@mueller.example" in page
    assert '<option selected value="email">' in page
    assert start(browser, where).status_code == 303
    assert 'hx-trigger="every 2s"' in browser.get(where, base_url=BASE).text
    asked = browser.get(f"{where}/progress", base_url=BASE)
    assert "HX-Refresh" not in asked.headers
    with app.app_context():
        imports.run_import(cast.partner_marketer, held(app, cast.partner_marketer, where).id)
    assert browser.get(f"{where}/progress", base_url=BASE).headers["HX-Refresh"] == "true"
    done = browser.get(where, base_url=BASE).text
    assert "Show the contacts" in done
    assert "Download the rows that failed" in done
    refused = browser.get(f"{where}/refused.csv", base_url=BASE).text
    assert "not an address" in refused
    assert "maria@" not in refused
    contacts = browser.get("/contacts", base_url=BASE).text
    assert "maria@mueller.example" in contacts
    assert "Customers" in contacts
    assert "contacts.csv" in browser.get("/imports", base_url=BASE).text


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "contacts.csv", "empty"),
        (b"%PDF-1.7 not a table", "contacts.csv", "PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "contacts.csv", "picture"),
        (bytes(range(256)) * 40, "contacts.csv", ""),
        (b"x," * 200_000 + b"x\n", "wide.csv", "columns"),
    ],
)
def test_what_cannot_be_read_is_refused_at_the_field(cast: Cast, data: bytes, name: str, words: str) -> None:
    answer = upload(cast.client(cast.partner_marketer), data, name)
    assert answer.status_code == 422
    assert "field-error" in answer.text
    assert words in answer.text


def test_no_file_asks_for_one(cast: Cast) -> None:
    answer = cast.client(cast.partner_marketer).post("/imports/new", data={}, base_url=BASE)
    assert answer.status_code == 422
    assert "Choose the file with your contacts first." in answer.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns-0": ""}, "column with the email addresses"),
        ({"columns-1": "email"}, "chosen for two columns"),
        ({"columns-1": "nonsense"}, "column with the email addresses"),
        ({"basis": ""}, "on what ground"),
        ({"basis": "because"}, "on what ground"),
        ({"basis_source": " "}, "where the consent comes from"),
        ({"list_name": "x" * 200}, "1 to 80 characters"),
    ],
)
def test_what_is_missing_before_an_import_is_said_and_nothing_starts(
    app: Flask, cast: Cast, changes: dict[str, str], words: str
) -> None:
    browser = cast.client(cast.partner_marketer)
    where = upload(browser, FILE.encode()).headers["Location"]
    answer = start(browser, where, **changes)
    assert answer.status_code == 422
    assert words in answer.text
    assert held(app, cast.partner_marketer, where).status is ImportStatus.UPLOADED


def test_an_upload_can_be_discarded_and_its_file_is_gone(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_marketer)
    where = upload(browser, FILE.encode()).headers["Location"]
    assert browser.post(f"{where}/cancel", base_url=BASE).status_code == 303
    row = held(app, cast.partner_marketer, where)
    assert row.status is ImportStatus.CANCELLED
    assert row.sample == []
    with app.app_context():
        assert not storage().exists(row.storage_key)


def test_a_name_that_looks_like_html_is_shown_as_text(app: Flask, cast: Cast) -> None:
    with app.app_context():
        made = make.make_contact(cast.partner_admin, first_name="<b>Bold</b>", last_name="<script>alert(1)</script>")
    browser = cast.client(cast.partner_admin)
    for path in ("/contacts", f"/contacts/{made.id}", f"/contacts/{made.id}/edit"):
        page = browser.get(path, base_url=BASE).text
        assert "<script>alert(1)</script>" not in page, path
        assert "&lt;script&gt;alert(1)" in page, path


def test_contacts_are_found_by_the_beginning_of_address_name_or_company(app: Flask, cast: Cast) -> None:
    with app.app_context():
        chosen = make.make_list(cast.partner_admin, "Fair")
        make.make_contact(
            cast.partner_admin, email="Otto@one.example", last_name="Öztürk", company="Kiosk", lists=(chosen,)
        )
        make.make_contact(cast.partner_admin, email="zoe@two.example", last_name="Zander", company="Depot")
    browser = cast.client(cast.partner_admin)
    for words in ("otto", "OTTO@ONE", "özt", "kio"):
        page = browser.get("/contacts", query_string={"q": words}, base_url=BASE).text
        assert "one.example" in page, words
        assert "zoe@two.example" not in page, words
    only = browser.get("/contacts", query_string={"list": str(chosen.id)}, base_url=BASE).text
    assert "zoe@two.example" not in only
    exported = browser.get("/contacts.csv", query_string={"q": "zan"}, base_url=BASE)
    assert exported.mimetype == "text/csv"
    assert "zoe@two.example" in exported.text
    assert "one.example" not in exported.text
    assert "Nothing matches" in browser.get("/contacts", query_string={"q": "100% _'"}, base_url=BASE).text


def test_pages_of_contacts_go_on_by_key(app: Flask, cast: Cast) -> None:
    rows = "".join(f"p{n:03}@many.example\n" for n in range(60))
    with app.app_context():
        make.run(cast.partner_admin, f"email\n{rows}")
    browser = cast.client(cast.partner_admin)
    first = browser.get("/contacts", base_url=BASE).text
    assert "p000@" in first
    assert "p059@" not in first
    after = first.split("?after=", 1)[1].split('"', 1)[0]
    second = browser.get("/contacts", query_string={"after": after}, base_url=BASE).text
    assert "p059@" in second
    assert "p000@" not in second


def test_ticked_contacts_go_on_a_list_or_are_suppressed(app: Flask, cast: Cast) -> None:
    with app.app_context():
        people = [make.make_contact(cast.partner_admin) for _ in range(2)]
    ids = [str(one.id) for one in people]
    browser = cast.client(cast.partner_admin)
    asked = browser.post("/contacts/bulk", data={"ids": ids, "do": "list"}, base_url=BASE)
    assert "Add 2 contacts" in asked.text
    assert browser.post("/contacts/bulk", data={"ids": ids, "do": "put"}, base_url=BASE).status_code == 422
    put = browser.post("/contacts/bulk", data={"ids": ids, "do": "put", "name": "Autumn"}, base_url=BASE)
    assert put.status_code == 303
    assert people[0].email in browser.get(put.headers["Location"], base_url=BASE).text
    assert browser.post("/contacts/bulk", data={"ids": ids[:1], "do": "suppress"}, base_url=BASE).status_code == 303
    assert "No mail goes to this person" in browser.get(f"/contacts/{ids[0]}", base_url=BASE).text
    assert "There is consent" in browser.get(f"/contacts/{ids[1]}", base_url=BASE).text


def test_one_person_is_added_changed_exported_and_erased(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    wrong = browser.post("/contacts/new", data={"email": "nobody", "basis": "opt_in", "source": "x"}, base_url=BASE)
    assert wrong.status_code == 422
    assert "field-error" in wrong.text
    missing = browser.post("/contacts/new", data={"email": "ida@one.example"}, base_url=BASE)
    assert "on what ground" in missing.text
    made = browser.post(
        "/contacts/new", data={"email": "ida@one.example", "basis": "opt_in", "source": "our fair"}, base_url=BASE
    )
    where = made.headers["Location"]
    assert browser.post(f"{where}/edit", data={"last_name": "Ibsen"}, base_url=BASE).status_code == 303
    assert "Ibsen" in browser.get(where, base_url=BASE).text
    browser.post(f"{where}/tracking", data={"no_tracking": "1"}, base_url=BASE)
    assert "are not measured" in browser.get(where, base_url=BASE).text
    exported = browser.get(f"{where}/export.json", base_url=BASE)
    assert exported.json is not None
    assert exported.json["email"] == "ida@one.example"
    assert exported.json["consents"][0]["source"] == "our fair"
    assert "ida@one.example" in browser.get(f"{where}/export.csv", base_url=BASE).text
    assert browser.post(f"{where}/erase", base_url=BASE).status_code == 303
    assert browser.get(where, base_url=BASE).status_code == 404
    assert "ida@one.example" not in browser.get("/contacts", base_url=BASE).text


def test_lists_are_made_and_deleted_and_their_contacts_stay(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    assert browser.post("/lists", data={"name": ""}, base_url=BASE).status_code == 422
    assert browser.post("/lists", data={"name": "Hamburg"}, base_url=BASE).status_code == 303
    with app.app_context():
        chosen = make.make_list(cast.partner_admin, "Hamburg")
        person = make.make_contact(cast.partner_admin, lists=(chosen,))
    assert "Hamburg" in browser.get(f"/contacts/{person.id}", base_url=BASE).text
    assert browser.post(f"/lists/{chosen.id}/delete", base_url=BASE).status_code == 303
    assert str(chosen.id) not in browser.get("/lists", base_url=BASE).text
    assert person.email in browser.get(f"/contacts/{person.id}", base_url=BASE).text


def test_empty_pages_say_what_to_do(cast: Cast) -> None:
    browser = cast.client(cast.rival)
    assert "No contacts yet" in browser.get("/contacts", base_url=BASE).text
    assert "No lists yet" in browser.get("/lists", base_url=BASE).text
    assert "No imports yet" in browser.get("/imports", base_url=BASE).text


def test_a_rival_reaches_nothing_by_id(app: Flask, cast: Cast) -> None:
    with app.app_context():
        chosen = make.make_list(cast.partner_admin)
        person = make.make_contact(cast.partner_admin, lists=(chosen,))
        run = make.run(cast.partner_admin, "email\nnot an address\n")
        own = make.make_contact(cast.rival)
    browser = cast.client(cast.rival)
    for path in (
        f"/contacts/{person.id}", f"/contacts/{person.id}/edit", f"/contacts/{person.id}/export.json",
        f"/contacts/{person.id}/export.csv", f"/imports/{run.id}", f"/imports/{run.id}/progress",
        f"/imports/{run.id}/refused.csv", f"/contacts/{10**30}",
    ):  # fmt: skip
        assert browser.get(path, base_url=BASE).status_code == 404, path
    for path in (
        f"/contacts/{person.id}/edit", f"/contacts/{person.id}/tracking", f"/contacts/{person.id}/suppress",
        f"/contacts/{person.id}/erase", f"/lists/{chosen.id}/delete", f"/lists/{chosen.id}/leave/{person.id}",
        f"/imports/{run.id}", f"/imports/{run.id}/cancel", f"/imports/{run.id}/again",
    ):  # fmt: skip
        assert browser.post(path, base_url=BASE).status_code == 404, path
    both = [str(own.id), str(person.id)]
    for do in ("list", "put", "suppress"):
        answer = browser.post("/contacts/bulk", data={"ids": both, "do": do, "name": "Mine"}, base_url=BASE)
        assert answer.status_code == 404, do
    stolen = browser.post(
        "/contacts/bulk", data={"ids": both[:1], "do": "put", "list_id": str(chosen.id)}, base_url=BASE
    )
    assert stolen.status_code == 404
    assert person.email not in browser.get("/contacts.csv", query_string={"list": str(chosen.id)}, base_url=BASE).text
    with app.app_context(), unit_of_work(cast.rival) as session:
        assert services.export_contact(session, cast.rival, own.id)["suppressed"] is None


@pytest.mark.parametrize("who", ["vendor_admin", "vendor_marketer", "channel_manager", "finance", "operator"])
def test_only_partners_see_contacts(cast: Cast, who: str) -> None:
    browser = cast.client(cast.people[who])
    for path in ("/contacts", "/contacts/new", "/contacts.csv", "/lists", "/imports", "/imports/new"):
        assert browser.get(path, base_url=BASE).status_code == 403, path
    assert upload(browser, FILE.encode()).status_code == 403
