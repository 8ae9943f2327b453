"""Proof of an activity: files as they came, what could be read of them, and what a person confirmed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import PurePath
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import audit, clock
from tcma.access import Actor, Permission
from tcma.assets.documents import page_previews
from tcma.errors import IllegalTransition, Invalid, NotFound
from tcma.mdf import queries_claims as queries
from tcma.mdf.invoices import FIELDS, MAX_FILE, MEGABYTE, ReadInvoice, kind_of, read_invoice
from tcma.mdf.models import Claim, Proof, Statement
from tcma.mdf.states import ClaimStatus, ProofKind
from tcma.money import EXPONENTS, Money
from tcma.storage import content_key, storage

_PICTURES = ((b"\x89PNG\r\n\x1a\n", "image/png", ".png"), (b"\xff\xd8\xff", "image/jpeg", ".jpg"))
_MOST_PROOFS = 40


@dataclass(frozen=True)
class Upload:
    """A file that may become proof: what it is and, of a document, what could be read."""

    filename: str
    data: bytes
    content_type: str
    suffix: str
    sha256: str
    read: ReadInvoice | None


def read_upload(data: bytes, filename: str, *, kind: ProofKind) -> Upload:
    """Look at a file before it is kept: PDF or e-invoice XML for an invoice, a picture too for other kinds.

    Parsing takes a while in a child process: call it outside a transaction. Raises Invalid("file") with words.
    """
    if kind is ProofKind.STATEMENT:
        raise Invalid({"kind": "The statement comes from the launch by itself. Choose another kind for your file."})
    try:
        picture = next((one for one in _PICTURES if data.startswith(one[0])), None)
        if picture is not None and kind is not ProofKind.INVOICE:
            if len(data) > MAX_FILE:
                raise Invalid(f"This picture has more than {MAX_FILE // MEGABYTE} MB. Save it smaller, then upload it.")
            return Upload(_name(filename), data, picture[1], picture[2], hashlib.sha256(data).hexdigest(), None)
        form = kind_of(data, filename)
        read = read_invoice(data, filename)
    except Invalid as wrong:
        raise Invalid({"file": " ".join(wrong.fields.values())}) from wrong
    content_type, suffix = ("application/pdf", ".pdf") if form == "pdf" else ("application/xml", ".xml")
    return Upload(_name(filename), data, content_type, suffix, read.sha256, read)


def _name(filename: str) -> str:
    name = PurePath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:120] or "file"


def upload_proof(session: Session, actor: Actor, claim_id: UUID, *, kind: ProofKind, upload: Upload) -> Proof:
    """Keep the original bytes as proof of the claim's activity, with what was read of them.

    Raises NotFound, Forbidden, IllegalTransition once the claim is filed, and Invalid for a second copy.
    """
    actor.require(Permission.CLAIM_RAISE)
    claim = _editable(session, actor, claim_id)
    attached = queries.proofs_of(session, claim.activity_id)
    if any(one.sha256 == upload.sha256 for one in attached):
        raise Invalid({"file": f"“{upload.filename}” is attached already. Choose another file."})
    if len(attached) >= _MOST_PROOFS:
        raise Invalid({"file": f"At most {_MOST_PROOFS} files prove one activity. Put several pages into one PDF."})
    key = content_key(f"proofs/{claim.partner_id}", upload.sha256, upload.suffix)
    storage().put(key, upload.data, content_type=upload.content_type)
    proof = Proof(
        vendor_id=claim.vendor_id, partner_id=claim.partner_id, activity_id=claim.activity_id, kind=kind,
        filename=upload.filename, content_type=upload.content_type, size=len(upload.data), sha256=upload.sha256,
        text_sha256=upload.read.text_hash if upload.read else None, storage_key=key,
        read=upload.read.to_json() if upload.read else {}, uploaded_by=actor.user_id,
    )  # fmt: skip
    if upload.read is not None and kind is ProofKind.INVOICE:
        _prefill(proof, upload.read)
    session.add(proof)
    session.flush()
    audit.record(session, actor, "proof.upload", proof, after={"sha256": proof.sha256, "kind": str(kind)})
    return proof


def _prefill(proof: Proof, read: ReadInvoice) -> None:
    """Put what was read as a proposal; it counts only once a person has confirmed it beside the document."""
    proof.supplier, proof.supplier_tax_id = read.text("supplier"), read.text("supplier_tax_id")
    proof.buyer, proof.invoice_number = read.text("buyer"), read.text("number")
    proof.invoice_date = read.date
    proof.currency = read.text("currency") if read.text("currency") in EXPONENTS else None
    for name in ("net", "tax", "gross"):
        try:
            amount = read.money(name)
        except Invalid:  # more decimals than the currency has: left to be typed
            amount = None
        setattr(proof, f"{name}_minor", amount.minor if amount else None)


def attach_statement(session: Session, actor: Actor, claim: Claim, statement: Statement) -> Proof:
    """Let the launch's statement be proof of the claim's activity; an earlier edition gives way."""
    for one in queries.proofs_of(session, claim.activity_id):
        if one.kind is ProofKind.STATEMENT:
            if one.statement_id == statement.id:
                return one
            one.removed_at = clock.now()
    proof = Proof(
        vendor_id=claim.vendor_id, partner_id=claim.partner_id, activity_id=claim.activity_id,
        kind=ProofKind.STATEMENT, filename=f"statement-{statement.edition}.json", content_type="application/json",
        size=0, sha256=statement.sha256, statement_id=statement.id, read={},
    )  # fmt: skip
    session.add(proof)
    session.flush()
    audit.record(session, actor, "proof.attach_statement", proof, after={"sha256": proof.sha256})
    return proof


def confirm_invoice(session: Session, actor: Actor, proof_id: UUID, *, values: Mapping[str, Any]) -> Proof:
    """Keep what a person read on the document. `values` has names of invoices.FIELDS; those left out stay.

    Amounts are plain text in major units ("1190.00"), the date is ISO or a date. Raises NotFound, Forbidden,
    IllegalTransition, Invalid by field.
    """
    actor.require(Permission.CLAIM_RAISE)
    proof = queries.get_proof(session, actor, proof_id)
    _editable_activity(session, actor, proof)
    if proof.kind is not ProofKind.INVOICE:
        raise Invalid({"kind": "Only an invoice has values to confirm."})
    wrong: dict[str, str] = {}
    texts = {"supplier": "supplier", "supplier_tax_id": "supplier_tax_id", "buyer": "buyer", "number": "invoice_number"}
    for name, column in texts.items():
        if name in values:
            setattr(proof, column, str(values[name] or "").strip()[:200])
    if "date" in values:
        proof.invoice_date = _day(values["date"], wrong)
    if "currency" in values:
        proof.currency = _currency(values["currency"], wrong)
    for name in ("net", "tax", "gross"):
        if name in values:
            setattr(proof, f"{name}_minor", _minor(name, values[name], proof.currency, wrong))
    if not proof.invoice_number:
        wrong["number"] = "Enter the invoice number as it stands on the document."
    if proof.invoice_date is None:
        wrong.setdefault("date", "Enter the date of the invoice.")
    if proof.net_minor is None and proof.gross_minor is None:
        wrong.setdefault("net", "Enter the net amount of the invoice.")
    if wrong:
        raise Invalid(wrong)
    proof.read = {**proof.read, "confirmed_by": str(actor.user_id), "confirmed_at": clock.now().isoformat()}
    session.flush()
    audit.record(session, actor, "proof.confirm", proof, after={"net": proof.net_minor, "gross": proof.gross_minor})
    return proof


def is_confirmed(proof: Proof) -> bool:
    """Whether a person has compared the values with the document."""
    return bool(proof.read.get("confirmed_at"))


def remove_proof(session: Session, actor: Actor, proof_id: UUID) -> Proof:
    """Take a file out of the evidence; its bytes stay. Raises NotFound, Forbidden, IllegalTransition."""
    actor.require(Permission.CLAIM_RAISE)
    proof = queries.get_proof(session, actor, proof_id)
    _editable_activity(session, actor, proof)
    if proof.kind is ProofKind.STATEMENT:
        raise IllegalTransition("The launch's statement stays: it is the service's own record of the work.")
    proof.removed_at = clock.now()
    audit.record(session, actor, "proof.remove", proof, after={"sha256": proof.sha256})
    return proof


def proof_bytes(session: Session, actor: Actor, proof_id: UUID) -> tuple[Proof, bytes]:
    """The original file. Raises NotFound and Forbidden."""
    actor.require(Permission.CLAIM_READ)
    proof = queries.get_proof(session, actor, proof_id)
    if proof.storage_key is None:
        raise NotFound()
    return proof, storage().read(proof.storage_key)


def proof_picture(session: Session, actor: Actor, proof_id: UUID) -> tuple[bytes, str]:
    """The first page as a picture and its type; made once and kept. Raises NotFound for what has no picture."""
    actor.require(Permission.CLAIM_READ)
    proof = queries.get_proof(session, actor, proof_id)
    if proof.storage_key is None or proof.content_type == "application/xml":
        raise NotFound()
    if proof.content_type.startswith("image/"):
        return storage().read(proof.storage_key), proof.content_type
    key = content_key(f"previews/{proof.partner_id}", proof.sha256, ".webp")
    if not storage().exists(key):
        page = page_previews(storage().read(proof.storage_key), width=1000, as_="webp", most=1)[0]
        storage().put(key, page.data, content_type="image/webp")
    return storage().read(key), "image/webp"


def _editable(session: Session, actor: Actor, claim_id: UUID) -> Claim:
    claim = queries.get_claim(session, actor, claim_id, lock=True)
    claim.require_status("change the evidence", *queries.OPEN)
    return claim


def _editable_activity(session: Session, actor: Actor, proof: Proof) -> None:
    """Evidence is frozen while a claim on it is being decided or was decided."""
    statuses = set(session.scalars(select(Claim.status).where(Claim.activity_id == proof.activity_id)))
    if not statuses & set(queries.OPEN) or statuses & {ClaimStatus.SUBMITTED}:
        raise IllegalTransition("This claim has been filed, so its evidence stays as it is.")


def _day(value: Any, wrong: dict[str, str]) -> date | None:
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        wrong["date"] = "Write the date like 2026-03-31."
        return None


def _currency(value: Any, wrong: dict[str, str]) -> str | None:
    code = str(value or "").strip().upper()
    if code not in EXPONENTS:
        wrong["currency"] = "Give the currency as three letters such as EUR."
        return None
    return code


def _minor(name: str, value: Any, currency: str | None, wrong: dict[str, str]) -> int | None:
    if value is None or str(value).strip() == "":
        return None
    if currency is None:
        wrong.setdefault("currency", f"Choose a currency: the {FIELDS[name].lower()} needs one.")
        return None
    try:
        return Money.of(Decimal(str(value).strip()), currency).minor
    except (InvalidOperation, Invalid) as error:
        words = error.fields.get("amount") if isinstance(error, Invalid) else None
        wrong[name] = words or "Write the amount with a point for decimals, such as 1190.00."
        return None
