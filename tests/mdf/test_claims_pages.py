"""Pages of claims and payments: a partner files in one page, finance decides, another pays."""

from __future__ import annotations

import io

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tcma.db import unit_of_work
from tcma.mdf import queries_claims as queries
from tests.factories.cast import Cast
from tests.factories.claims import IBAN, invoice_pdf, make_batch, make_claim

BASE = "http://localhost:8000"


def get(client: FlaskClient, path: str) -> TestResponse:
    return client.get(path, base_url=BASE)


def post(client: FlaskClient, path: str, **data: object) -> TestResponse:
    return client.post(path, data=data, base_url=BASE)


def test_a_partner_claims_on_one_page_and_finance_approves(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="draft")
    partner, finance = cast.client(cast.partner_marketer), cast.client(cast.finance)
    path = f"/claims/{story.claim_id}"
    page = get(partner, path)
    assert page.status_code == 200
    assert "own statement" in page.text
    assert "Attach the invoice" in page.text
    again = post(partner, f"/launches/{story.launch_id}/claim")
    assert again.location.endswith(path)
    attached = post(partner, f"{path}/proofs", kind="invoice", file=(io.BytesIO(invoice_pdf("R-9")), "R-9.pdf"))
    assert attached.status_code == 303
    with app.app_context(), unit_of_work(cast.partner_admin) as session:
        proof = next(one for one in queries.proofs_of(session, story.activity_id) if one.kind == "invoice")
        proof_id = proof.id
    page = get(partner, path)
    assert 'value="R-9"' in page.text
    assert 'value="2000.00"' in page.text
    picture = get(partner, f"/proofs/{proof_id}/page")
    assert picture.mimetype == "image/webp"
    assert get(partner, f"/proofs/{proof_id}/file").data == invoice_pdf("R-9")
    confirmed = post(
        partner, f"/proofs/{proof_id}/confirm", number="R-9", date="2026-11-20", currency="EUR", net="2000.00",
        tax="380.00", gross="2380.00", supplier="Agentur Nord GmbH", buyer="Acme IT GmbH", supplier_tax_id="DE1",
    )  # fmt: skip
    assert confirmed.status_code == 303, confirmed.text
    saved = post(partner, f"{path}/lines", **{
        "lines-0-description": "Mailing", "lines-0-net": "2,000.00", "lines-0-tax": "380.00", "amount": "900",
    })  # fmt: skip
    assert saved.status_code == 303, saved.text
    page = get(partner, path)
    assert "Claim €900.00" in page.text
    assert post(partner, f"{path}/submit").status_code == 303
    desk = get(finance, "/desk")
    assert story.number in desk.text
    refused = post(finance, f"/desk/{story.claim_id}/approve", amount="700")
    assert refused.status_code == 422
    assert "needs a reason" in refused.text
    done = post(
        finance, f"/desk/{story.claim_id}/approve", amount="700", code="wrong_amount", reason="Print is not paid."
    )
    assert done.status_code == 303
    assert "Print is not paid." in get(partner, path).text
    assert get(finance, path).status_code == 200
    assert "claim.approve" in get(finance, f"/audit?object={story.claim_id}").text
    assert "approve" in get(finance, "/audit?format=csv&q=claim.approve").text


def test_a_batch_from_the_list_to_the_bank(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="approved")
    payer, checker, admin = (cast.client(one) for one in (cast.payer, cast.finance, cast.partner_admin))
    refused = post(payer, "/payments", ids=str(story.claim_id))
    assert refused.status_code == 422
    assert "no bank details yet" in refused.text
    assert post(admin, "/payee", holder="Acme IT GmbH", iban="DE00", country="DE").status_code == 422
    assert post(admin, "/payee", holder="Acme IT GmbH", iban=IBAN, country="DE").status_code == 303
    assert IBAN not in get(admin, "/payee").text
    made = post(payer, "/payments", ids=str(story.claim_id))
    assert made.status_code == 303
    path = made.location.removeprefix(BASE)
    assert "Waits for a colleague" in get(payer, path).text
    assert post(payer, f"{path}/check").status_code == 403
    assert post(checker, f"{path}/check").status_code == 303
    assert IBAN in get(payer, f"{path}/file").text
    assert post(payer, f"{path}/paid").status_code == 303
    assert "Paid" in get(payer, path).text
    assert story.number in get(admin, "/claims?format=csv").text
    assert "P-" in get(payer, "/payments?format=csv").text


def test_a_statement_is_recomputed_at_the_press_of_a_button(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast)
        with unit_of_work(cast.finance) as session:
            sealed = queries.statement_of_activity(session, story.activity_id)
            assert sealed is not None
            path = f"/statements/{sealed.id}"
    finance = cast.client(cast.finance)
    assert sealed.sha256 in get(finance, path).text
    assert "It says what the record says" in post(finance, f"{path}/verify").text
    assert get(cast.client(cast.rival), path).status_code == 404


def test_a_file_that_is_no_invoice_is_refused_at_its_field(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="draft")
    partner = cast.client(cast.partner_marketer)
    path = f"/claims/{story.claim_id}/proofs"
    page = post(partner, path, kind="invoice", file=(io.BytesIO(b"PK\x03\x04"), "invoice.pdf"))
    assert page.status_code == 422
    assert "ZIP archive" in page.text
    assert post(partner, path, kind="invoice").status_code == 422


@pytest.mark.parametrize("path", ["/desk", "/payments", "/audit", "/payee"])
def test_pages_of_others_are_refused(cast: Cast, path: str) -> None:
    actor = cast.finance if path == "/payee" else cast.partner_marketer
    assert get(cast.client(actor), path).status_code == 403


def test_empty_pages_say_what_comes_here(cast: Cast) -> None:
    finance, partner = cast.client(cast.finance), cast.client(cast.partner_admin)
    assert "Nothing waits for you" in get(finance, "/desk").text
    assert "Nothing is waiting to be paid" in get(finance, "/payments").text
    assert "No claims yet" in get(partner, "/claims").text


def test_the_rival_sees_no_page_of_a_claim(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="approved")
        batch_id = make_batch(story).id
    for actor in (cast.rival, cast.other_vendor_admin):
        assert get(cast.client(actor), f"/claims/{story.claim_id}").status_code == 404
    assert get(cast.client(cast.finance), f"/payments/{batch_id}").status_code == 200


def test_a_long_queue_is_shown_from_its_begin_and_counted_whole(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcma.mdf.routes_claims.QUEUE_SHOWN", 1)
    with app.app_context():
        first, second = make_claim(cast), make_claim(cast)
    finance = cast.client(cast.finance)
    for order in ("", "?order=risk"):
        page = get(finance, f"/desk{order}").text
        assert "2 claims wait for a decision." in page
        assert "The first 1 of 2." in page
        assert sum(f'href="/claims/{one.claim_id}" data-row-link' in page for one in (first, second)) == 1
