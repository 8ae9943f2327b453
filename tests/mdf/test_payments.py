"""Payments leave once, through two people, in a file that never changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from tcma import clock
from tcma.db import unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tcma.mdf import ledger, payments
from tcma.mdf import queries_claims as queries
from tcma.mdf.models import Payee
from tcma.mdf.payment_files import check_payment_csv, content_hash
from tcma.mdf.states import AccountKind, ClaimStatus
from tests.factories.cast import Cast
from tests.factories.claims import IBAN, give_payee, make_batch, make_claim
from tests.factories.mdf import eur

OTHER_IBAN = "GB29NWBK60161331926819"


def test_maker_checker_file_and_paid(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="approved")
        batch_id = make_batch(story, state="checked").id
        with unit_of_work(cast.payer) as session:
            batch, content = payments.batch_file(session, cast.payer, batch_id)
            assert content_hash(content) == batch.file_sha256
            totals = check_payment_csv(content)
            assert (totals.count, totals.total) == (1, eur(1_000))
            assert IBAN in content.decode()
            payments.mark_paid(session, cast.payer, batch_id)
        with unit_of_work(cast.finance) as session:
            assert queries.get_claim(session, cast.finance, story.claim_id).status is ClaimStatus.PAID
            held = ledger.balances(session, story.fund_id)
            assert (held[AccountKind.CASH], held[AccountKind.PAYABLE]) == (eur(1_000), eur(0))
        with pytest.raises(IllegalTransition), unit_of_work(cast.payer) as session:
            payments.mark_paid(session, cast.payer, batch_id)


def test_who_approved_does_not_pay_and_who_made_does_not_check(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="approved")
        give_payee(cast)
        with pytest.raises(Forbidden, match="someone else must pay"), unit_of_work(cast.finance) as session:
            payments.make_batch(session, cast.finance, claim_ids=[story.claim_id])
        batch_id = make_batch(story).id
        with pytest.raises(Forbidden, match="someone else"), unit_of_work(cast.payer) as session:
            payments.check_batch(session, cast.payer, batch_id)
        with pytest.raises(IllegalTransition, match="another person"), unit_of_work(cast.payer) as session:
            payments.batch_file(session, cast.payer, batch_id)
        with pytest.raises(IllegalTransition), unit_of_work(cast.payer) as session:
            payments.mark_paid(session, cast.payer, batch_id)


def test_a_claim_is_in_one_batch_only_until_that_is_cancelled(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="approved")
        batch_id = make_batch(story).id
        with pytest.raises(IllegalTransition), unit_of_work(cast.payer) as session:
            payments.make_batch(session, cast.payer, claim_ids=[story.claim_id])
        with unit_of_work(cast.payer) as session:
            payments.cancel_batch(session, cast.payer, batch_id, reason="Wrong day.")
            again = payments.make_batch(session, cast.payer, claim_ids=[story.claim_id])
            assert again.number.endswith("-0002")


def test_bank_details_are_wanted_and_a_change_cools_off(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="approved")
        with pytest.raises(Invalid, match="no bank details"), unit_of_work(cast.payer) as session:
            payments.make_batch(session, cast.payer, claim_ids=[story.claim_id])
        give_payee(cast)
        give_payee(cast, iban=OTHER_IBAN)
        with pytest.raises(Invalid, match="guard against fraud"), unit_of_work(cast.payer) as session:
            payments.make_batch(session, cast.payer, claim_ids=[story.claim_id])
        with clock.at(clock.now() + timedelta(days=4)), unit_of_work(cast.payer) as session:
            assert payments.make_batch(session, cast.payer, claim_ids=[story.claim_id]).total_minor == 100_000


def test_account_numbers_are_kept_encrypted(app: Flask, cast: Cast) -> None:
    with app.app_context():
        give_payee(cast)
        with unit_of_work(cast.finance) as session:
            payee = session.get_one(Payee, cast.partner_id)
            assert IBAN.encode() not in payee.account_sealed
            assert payee.account_last4 == IBAN[-4:]
            assert payments.account_of(payee) == IBAN
        with unit_of_work(cast.other_vendor_admin) as session:
            assert queries.find_payee(session, cast.rival_id) is None
        with pytest.raises(Invalid, match="check digits"), unit_of_work(cast.partner_admin) as session:
            payments.set_payee(session, cast.partner_admin, holder="x", iban="DE88370400440532013000")
        with pytest.raises(Forbidden), unit_of_work(cast.partner_marketer) as session:
            payments.set_payee(session, cast.partner_marketer, holder="x", iban=IBAN)


def test_strangers_see_no_batch(app: Flask, cast: Cast) -> None:
    with app.app_context():
        batch_id = make_batch(make_claim(cast, state="approved")).id
        for actor in (cast.other_vendor_admin, cast.rival, cast.partner_admin):
            with pytest.raises(NotFound), unit_of_work(actor) as session:
                queries.get_batch(session, actor, batch_id)
        for actor in (cast.vendor_admin, cast.channel_manager, cast.partner_admin):
            with pytest.raises(Forbidden), unit_of_work(actor) as session:
                payments.mark_paid(session, actor, batch_id)
