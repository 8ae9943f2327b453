"""Payment files for finance's bank: today a plain CSV that proves itself. No amount leaves twice, none is lost.

The bank's own fields stand in one table; a control block below says what must be in it, and its last line is the
SHA-256 of every byte above that line.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from tcma.csvfile import write_csv
from tcma.errors import Invalid
from tcma.money import Money

HEADER = (
    "record", "end_to_end_id", "payee", "account", "bic", "country", "town", "amount", "currency", "reference",
)  # fmt: skip
# Letters of an IBAN by country: SWIFT IBAN registry, release 99.
_LENGTHS_TEXT = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29
ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20
LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29
PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20
YE30
"""
_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _LENGTHS_TEXT.split()}
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}")
_BEGINS_AS_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}")
_ACCOUNT = re.compile(r"[A-Z0-9]{4,34}")
_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")  # ISO 9362


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment to one payee. `account` is an IBAN or, where there are none, an account number.

    `reference` is what the payee reads on the bank statement, such as the claim's number.
    """

    id: UUID | str
    payee: str
    account: str
    amount: Money
    reference: str
    bic: str = ""
    country: str = ""
    town: str = ""


@dataclass(frozen=True, slots=True)
class PaymentBatch:
    """Payments of one currency that leave in one file; `number` is what people call the batch."""

    id: UUID | str
    number: str
    payer: str
    currency: str
    made_at: datetime
    payments: tuple[Payment, ...]


@dataclass(frozen=True, slots=True)
class PaymentTotals:
    """What a payment file says of itself, once its bytes were found unchanged."""

    number: str
    count: int
    total: Money


def end_to_end_id(batch_id: UUID | str, payment_id: UUID | str) -> str:
    """The bank's reference of a payment: 35 letters and digits, always the same for the same payment.

    So a file that is made again names no payment anew, and the bank refuses the second (ISO 20022: Max35Text).
    """
    # A length in front, so that no two pairs run together to the same text.
    batch = str(batch_id)
    digest = hashlib.sha256(f"{len(batch)}:{batch}:{payment_id}".encode()).digest()
    return "MDF" + base64.b32encode(digest[:20]).decode()


def check_iban(text: str) -> str:
    """The IBAN without blanks in capitals; raises Invalid("iban") for what cannot be one (ISO 13616, mod 97)."""
    iban = re.sub(r"\s", "", text).upper()
    if not _IBAN.fullmatch(iban):
        raise Invalid({"iban": "An IBAN begins with two letters and two digits, such as DE89 3704 0044 0532 0130 00."})
    length = _LENGTHS.get(iban[:2])
    if length is None:
        raise Invalid({"iban": f"{iban[:2]} is no country with IBANs. Check the first two letters."})
    if len(iban) != length:
        raise Invalid({"iban": f"An IBAN of {iban[:2]} has {length} characters; this one has {len(iban)}. Check it."})
    number = int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4]))
    if number % 97 != 1 or not 2 <= int(iban[2:4]) <= 98:
        raise Invalid({"iban": "The check digits of this IBAN do not fit. Compare it with the bank's, digit by digit."})
    return iban


def is_iban(text: str) -> bool:
    """Whether `text` is an IBAN whose length and check digits fit."""
    try:
        check_iban(text)
    except Invalid:
        return False
    return True


def payment_csv(batch: PaymentBatch) -> bytes:
    """The file of a batch in UTF-8; the same bytes for the same batch, so `content_hash` knows it again.

    Raises Invalid, naming the payments by their reference, for a batch that is empty or mixes currencies, and for
    payments without a payee, a possible account or an amount above zero, or that are in it twice.
    """
    _check_batch(batch)
    rows: list[tuple[str | Money, ...]] = [_row(batch, payment) for payment in batch.payments]
    total = Money.total((payment.amount for payment in batch.payments), batch.currency)
    rows += [
        _control("batch", batch.number),
        _control("payer", batch.payer),
        _control("made", batch.made_at.isoformat(timespec="seconds")),
        _control("payments", str(len(batch.payments))),
        _control("total", amount=total),
    ]
    above = "".join(write_csv(rows, HEADER))
    proof = _control("sha256", hashlib.sha256(above.encode()).hexdigest())
    return (above + list(write_csv([proof], HEADER))[1]).encode()


def content_hash(content: bytes) -> str:
    """SHA-256 in hex: what the batch keeps, and what the checker compares with the file in hand."""
    return hashlib.sha256(content).hexdigest()


def check_payment_csv(content: bytes) -> PaymentTotals:
    """What the file says it holds. Raises Invalid for a file of ours that was changed, and for any other file."""
    try:
        text = content.decode()
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise _not_ours() from None
    if len(rows) < 3 or tuple(rows[0]) != HEADER or any(len(row) != len(HEADER) for row in rows):
        raise _not_ours()
    above, newline, last = text.removesuffix("\r\n").rpartition("\r\n")
    if not last.startswith("control,sha256,"):
        raise _not_ours()
    if rows[-1][2] != hashlib.sha256((above + newline).encode()).hexdigest():
        raise Invalid("This payment file was changed after it was made. Download it again and upload that to the bank.")
    control = {row[1]: row for row in rows if row[0] == "control"}
    payments = [row for row in rows[1:] if row[0] == "payment"]
    try:
        total = _money(control["total"])
        told = (int(control["payments"][2]), total)
        found = (len(payments), Money.total(map(_money, payments), total.currency))
        number = control["batch"][2]
    except (KeyError, ValueError):
        raise _not_ours() from None
    if told != found:
        raise Invalid(
            f"This payment file says {told[0]} payments and {told[1]}, but holds {found[0]} and {found[1]}. "
            "Make it anew."
        )
    return PaymentTotals(number, found[0], total)


def _row(batch: PaymentBatch, payment: Payment) -> tuple[str | Money, ...]:
    return (
        "payment",
        end_to_end_id(batch.id, payment.id),
        _line(payment.payee),
        _account(payment),
        payment.bic.replace(" ", "").upper(),
        payment.country,
        _line(payment.town),
        payment.amount,
        payment.amount.currency,
        _line(payment.reference),
    )


def _control(key: str, value: str = "", *, amount: Money | None = None) -> tuple[str | Money, ...]:
    return ("control", key, _line(value), "", "", "", "", amount or "", amount.currency if amount else "", "")


def _line(text: str) -> str:
    """One line without controls: banks cut at the first of them."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _money(row: list[str]) -> Money:
    return Money.of(Decimal(row[7]), row[8])


def _check_batch(batch: PaymentBatch) -> None:
    if not batch.payments:
        raise Invalid("There is no payment in this batch. Add approved claims to it first.")
    problems: dict[str, str] = {}
    seen: set[str] = set()
    for payment in batch.payments:
        problem = _problem(payment, batch.currency)
        if str(payment.id) in seen:
            problem = "This payment is in the batch twice. Remove one of them."
        seen.add(str(payment.id))
        if problem:
            problems[payment.reference or str(payment.id)] = f"{payment.reference}: {problem}"
    if problems:
        raise Invalid(problems)


def _problem(payment: Payment, currency: str) -> str:
    """What is wrong with one payment, or nothing."""
    if payment.amount.currency != currency:
        return f"The batch is in {currency}, this payment in {payment.amount.currency}. Put it into another batch."
    if payment.amount.minor <= 0:
        return "The amount is not above zero. Check the approved amount."
    if not _line(payment.payee):
        return "The payee has no name. Ask the partner to complete its bank details."
    bic = payment.bic.replace(" ", "").upper()
    if bic and not _BIC.fullmatch(bic):
        return "The BIC has 8 or 11 letters and digits. Ask the partner to correct its bank details."
    try:
        _account(payment)
    except Invalid as error:
        return str(error)
    return ""


def _account(payment: Payment) -> str:
    account = re.sub(r"[\s-]", "", payment.account).upper()
    if _BEGINS_AS_IBAN.match(account):
        return check_iban(account)
    if not _ACCOUNT.fullmatch(account):
        raise Invalid({"account": "There is no account number. Ask the partner to complete its bank details."})
    return account


def _not_ours() -> Invalid:
    return Invalid("This is not a payment file of this service. Choose the CSV that was downloaded from a batch.")
