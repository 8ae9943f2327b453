"""The API of money after the work: from a sent launch to a paid claim, and what it refuses."""

from __future__ import annotations

import io
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from tests.factories.cast import Cast
from tests.factories.claims import IBAN, invoice_pdf, make_claim

BASE = "http://localhost:8000"


def euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def call(client: FlaskClient, method: str, path: str, headers: dict[str, str], body: object = None) -> tuple[int, Any]:
    answer = client.open(f"/api/v1{path}", method=method, json=body, headers=headers, base_url=BASE)
    return answer.status_code, answer.get_json(force=True, silent=True)


def upload(
    client: FlaskClient, path: str, headers: dict[str, str], data: bytes, kind: str = "invoice"
) -> tuple[int, Any]:
    answer = client.post(
        f"/api/v1{path}", data={"kind": kind, "file": (io.BytesIO(data), "invoice.pdf")}, headers=headers,
        base_url=BASE, content_type="multipart/form-data",
    )  # fmt: skip
    return answer.status_code, answer.get_json(force=True)


def test_the_whole_way_from_a_sent_launch_to_a_paid_claim(app: Flask, cast: Cast, client: FlaskClient) -> None:
    partner, finance, payer = (cast.key(one) for one in (cast.partner_admin, cast.finance, cast.payer))
    with app.app_context():
        story = make_claim(cast, state="draft")
    status, claim = call(client, "POST", "/claims", partner, {"activity_id": str(story.activity_id)})
    assert (status, claim["status"], claim["statement"]["edition"]) == (201, "draft", 1)
    assert claim["statement"]["figures"]["deliveries"]["sent"] == 3
    status, proved = call(client, "POST", f"/statements/{claim['statement']['id']}/verify", finance)
    assert (status, proved["ok"], proved["recomputed_sha256"]) == (200, True, claim["statement"]["sha256"])
    path = f"/claims/{claim['id']}"
    status, proof = upload(client, f"{path}/proofs", partner, invoice_pdf("R-1"))
    assert (status, proof["read"]["number"]["value"]) == (201, "R-1")
    assert proof["net"] == euros("2000.00")
    status, done = call(client, "PATCH", f"/proofs/{proof['id']}", partner, {
        "number": "R-1", "net": "2000.00", "tax": "380.00", "gross": "2380.00", "currency": "EUR",
    })  # fmt: skip
    assert (status, done["confirmed"]) == (200, True)
    status, lined = call(client, "PUT", f"{path}/lines", partner, {
        "lines": [{"description": "Mailing", "net": euros("2000.00"), "tax": euros("380.00")}], "claimed_reach": 3,
    })  # fmt: skip
    assert (status, lined["claimed"]) == (200, euros("1000.00"))
    status, filed = call(client, "POST", f"{path}/submit", partner)
    assert (status, filed["status"], filed["payable"]) == (200, "submitted", euros("1000.00"))
    assert {one["verdict"] for one in filed["findings"]} <= {"pass", "warn", "not_applicable"}
    shown = call(client, "GET", path, finance)[1]
    assert len(shown["findings"]) == len(filed["findings"])
    once = {**finance, "Idempotency-Key": "approve-1"}
    body = {"amount": euros("1000.00"), "expected_version": shown["row_version"]}
    for _ in range(2):
        status, approved = call(client, "POST", f"{path}/approve", once, body)
        assert (status, approved["status"]) == (200, "approved")
    assert call(client, "POST", f"{path}/approve", finance, body)[0] == 409
    assert call(client, "PUT", "/payee", partner, {"holder": "Acme IT GmbH", "iban": IBAN, "country": "DE"})[0] == 200
    status, batch = call(client, "POST", "/payments/batches", payer, {"claim_ids": [claim["id"]]})
    assert (status, batch["total"]) == (201, euros("1000.00"))
    status, checked = call(client, "POST", f"/payments/batches/{batch['id']}/check", finance)
    assert (status, len(checked["file_sha256"])) == (200, 64)
    file = client.get(f"/api/v1/payments/batches/{batch['id']}/file", headers=payer, base_url=BASE)
    assert file.mimetype == "text/csv"
    assert IBAN in file.text
    status, paid = call(client, "POST", f"/payments/batches/{batch['id']}/paid", payer)
    assert (status, paid["status"]) == (200, "paid")
    assert call(client, "GET", path, partner)[1]["status"] == "paid"


def test_bad_files_and_bad_values_are_refused_with_words(app: Flask, cast: Cast, client: FlaskClient) -> None:
    partner = cast.key(cast.partner_admin)
    with app.app_context():
        story = make_claim(cast, state="draft")
    path = f"/claims/{story.claim_id}"
    status, refused = upload(client, f"{path}/proofs", partner, b"<html>no invoice</html>")
    assert (status, "web page" in refused["errors"]["file"]) == (422, True)
    assert upload(client, f"{path}/proofs", partner, invoice_pdf("R-2"), kind="poem")[0] == 422
    proof = upload(client, f"{path}/proofs", partner, invoice_pdf("R-2"))[1]
    status, refused = call(client, "PATCH", f"/proofs/{proof['id']}", partner, {"net": "1.005", "currency": "EUR"})
    assert (status, "decimals" in refused["errors"]["net"]) == (422, True)
    status, refused = call(client, "POST", f"{path}/submit", partner)
    assert (status, "lines" in refused["errors"]) == (422, True)


def test_others_get_404_and_wrong_roles_403(app: Flask, cast: Cast, client: FlaskClient) -> None:
    with app.app_context():
        story = make_claim(cast)
    path = f"/claims/{story.claim_id}"
    for actor in (cast.rival, cast.other_vendor_admin):
        assert call(client, "GET", path, cast.key(actor))[0] == 404
    body = {"amount": euros("1.00"), "code": "other", "reason": "x"}
    for actor in (cast.partner_admin, cast.channel_manager, cast.vendor_admin):
        assert call(client, "POST", f"{path}/approve", cast.key(actor), body)[0] == 403
    assert call(client, "POST", f"{path}/withdraw", cast.key(cast.finance))[0] == 403
    status, refused = call(client, "POST", f"{path}/return", cast.key(cast.finance), {"code": "bad", "reason": "x"})
    assert (status, "missing_evidence" in refused["errors"]["code"]) == (422, True)
    assert client.get(f"/api/v1{path}", base_url=BASE).status_code == 401
