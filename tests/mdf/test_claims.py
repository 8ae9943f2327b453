"""Claims move money only as the ledger allows, by the right people, once, and with the proof that was asked for."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pypdf
import pytest
from flask import Flask
from sqlalchemy import select, text

from tcma import clock
from tcma.access import Actor
from tcma.db import db, elevated, unit_of_work
from tcma.errors import DomainError, Forbidden, IllegalTransition, Invalid, NotFound, Stale
from tcma.mdf import claims, evidence, ledger, reconcile, requests
from tcma.mdf import queries_claims as queries
from tcma.mdf.states import AccountKind, ClaimStatus, ProofKind
from tcma.money import Money
from tcma.records import OutboxMail
from tests.factories.cast import Cast
from tests.factories.claims import Story, add_invoice, invoice_pdf, make_activity_claim, make_batch, make_claim, rivals
from tests.factories.mdf import eur, make_money

STATES = ("ready", "submitted", "returned", "approved", "denied", "withdrawn", "payment_due", "paid")
VERBS: dict[str, Callable[..., Any]] = {
    "submit": claims.submit_claim,
    "withdraw": claims.withdraw_claim,
    "approve": lambda session, actor, claim_id: claims.approve_claim(session, actor, claim_id, amount=eur(1_000)),
    "return": lambda session, actor, claim_id: claims.return_claim(
        session, actor, claim_id, code="unclear", reason="Say more."
    ),
    "deny": lambda session, actor, claim_id: claims.deny_claim(
        session, actor, claim_id, code="not_eligible", reason="Not paid for."
    ),
}
ALLOWED = {
    ("ready", "submit"), ("ready", "withdraw"), ("returned", "submit"), ("returned", "withdraw"),
    ("submitted", "withdraw"), ("submitted", "approve"), ("submitted", "return"), ("submitted", "deny"),
}  # fmt: skip
HOLDERS = {"submit": "partner", "withdraw": "partner", "approve": "finance", "return": "finance", "deny": "finance"}


def held(story: Story) -> dict[AccountKind, Money]:
    with unit_of_work(story.cast.finance) as session:
        return ledger.balances(session, story.fund_id, story.cast.partner_id)


def status_of(story: Story) -> ClaimStatus:
    with unit_of_work(story.cast.partner_admin) as session:
        return queries.get_claim(session, story.cast.partner_admin, story.claim_id).status


def in_state(cast: Cast, state: str) -> Story:
    if state in ("payment_due", "paid"):
        story = make_claim(cast, state="approved")
        make_batch(story, state="checked" if state == "payment_due" else "paid")
        return story
    return make_claim(cast, state=state)


@pytest.mark.parametrize("state", STATES)
def test_each_verb_of_each_actor_in_each_state(app: Flask, cast: Cast, state: str) -> None:
    with app.app_context():
        story = in_state(cast, state)
        before = status_of(story)
        for verb, act in VERBS.items():
            for name, actor in cast.people.items():
                holder = HOLDERS[verb]
                may = name in (("partner_admin", "partner_marketer") if holder == "partner" else ("finance", "payer"))
                if may and (state, verb) in ALLOWED:
                    continue
                unseen = holder == "finance" and state in ("ready", "withdrawn")  # never filed: the partner's own
                refusal: tuple[type[DomainError], ...] = (Forbidden, NotFound)
                if may:
                    refusal = (NotFound,) if unseen else (IllegalTransition,)
                with pytest.raises(refusal), unit_of_work(actor) as session:
                    act(session, actor, story.claim_id)
        assert status_of(story) is before


@pytest.mark.parametrize(("state", "verb"), sorted(ALLOWED))
def test_each_allowed_verb_moves_the_claim_and_its_money(app: Flask, cast: Cast, state: str, verb: str) -> None:
    with app.app_context():
        story = in_state(cast, state)
        actor = cast.partner_marketer if HOLDERS[verb] == "partner" else cast.finance
        with unit_of_work(actor) as session:
            VERBS[verb](session, actor, story.claim_id)
        money = held(story)
        where = {"submit": AccountKind.CLAIMED, "approve": AccountKind.PAYABLE}.get(verb, AccountKind.COMMITTED)
        for kind in (AccountKind.COMMITTED, AccountKind.CLAIMED, AccountKind.PAYABLE):
            assert money[kind] == (eur(1_000) if kind is where else eur(0))


def test_a_launch_fills_in_its_claim(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="draft")
        with unit_of_work(cast.partner_admin) as session:
            claim = queries.get_claim(session, cast.partner_admin, story.claim_id)
            proofs = queries.proofs_of(session, claim.activity_id)
            assert [one.kind for one in proofs] == [ProofKind.STATEMENT]
            assert claim.claimed_reach == 3
            again = claims.create_claim(session, cast.partner_admin, claim.activity_id)
            assert again.id == claim.id
        assert story.number == f"C-{clock.today().year}-0001"


def test_what_is_missing_is_said_before_a_claim_is_filed(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_activity_claim(cast)
        with pytest.raises(Invalid) as refused, unit_of_work(cast.partner_admin) as session:
            claims.submit_claim(session, cast.partner_admin, story.claim_id)
        assert "the invoice" in refused.value.fields["proofs"]
        assert "link the launch" in refused.value.fields["proofs"]
        assert "at least one line" in refused.value.fields["lines"]


def test_values_of_an_invoice_count_once_a_person_has_confirmed_them(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="draft")
        actor = cast.partner_marketer
        upload = evidence.read_upload(invoice_pdf("R-7"), "R-7.pdf", kind=ProofKind.INVOICE)
        with unit_of_work(actor) as session:
            proof = evidence.upload_proof(session, actor, story.claim_id, kind=ProofKind.INVOICE, upload=upload)
            assert proof.read["fields"]["number"]["value"] == "R-7"
            assert proof.net_minor == 200_000
            claims.save_lines(session, actor, story.claim_id, lines=[{"description": "x", "net": eur(2_000)}])
        with pytest.raises(Invalid, match="confirm it"), unit_of_work(actor) as session:
            claims.submit_claim(session, actor, story.claim_id)
        with pytest.raises(Invalid, match="attached already"), unit_of_work(actor) as session:
            evidence.upload_proof(session, actor, story.claim_id, kind=ProofKind.INVOICE, upload=upload)


def test_paying_less_wants_a_reason_and_frees_the_rest(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, claimed=eur(900))
        finance = cast.finance
        with pytest.raises(Invalid, match="reason"), unit_of_work(finance) as session:
            claims.approve_claim(session, finance, story.claim_id, amount=eur(600))
        with unit_of_work(finance) as session:
            claims.approve_claim(
                session, finance, story.claim_id, amount=eur(600), code="wrong_amount", reason="Print is not paid."
            )
        money = held(story)
        assert (money[AccountKind.PAYABLE], money[AccountKind.COMMITTED]) == (eur(600), eur(400))
        assert money[AccountKind.CLAIMED] == eur(0)


def test_more_than_the_share_is_cut_and_paid_only_with_words(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, claimed=eur(1_000), net=1_500)
        finance = cast.finance
        with unit_of_work(finance) as session:
            claim = queries.get_claim(session, finance, story.claim_id)
            findings, payable = reconcile.check_claim(session, finance, claim)
            assert payable.amount == eur(750)
            assert next(one for one in findings if one.code == "within_share").verdict == "fail"
        with pytest.raises(Invalid, match=r"750\.00"), unit_of_work(finance) as session:
            claims.approve_claim(session, finance, story.claim_id, amount=eur(1_000))


def test_two_who_approve_at_once_are_one_approval(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast)
        with unit_of_work(cast.finance) as session:
            version = queries.get_claim(session, cast.finance, story.claim_id).row_version
    start, results = threading.Barrier(2), []

    def decide(actor: Actor) -> None:
        with app.app_context():
            start.wait(10)
            try:
                with unit_of_work(actor) as session:
                    claims.approve_claim(session, actor, story.claim_id, amount=eur(1_000), expected_version=version)
                results.append("approved")
            except (Stale, IllegalTransition) as refused:
                results.append(type(refused).__name__)
            finally:
                db.session.close()

    threads = [threading.Thread(target=decide, args=(one,)) for one in (cast.finance, cast.payer)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert sorted(results) == ["Stale", "approved"]
    with app.app_context():
        assert held(story)[AccountKind.PAYABLE] == eur(1_000)


def test_a_request_is_not_withdrawn_under_a_claim_that_is_being_filed(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="ready")
        with unit_of_work(cast.partner_marketer) as session:
            request_id = queries.get_claim(session, cast.partner_marketer, story.claim_id).activity.request_id
    results: list[str] = []

    def withdraw() -> None:
        with app.app_context():
            try:
                with unit_of_work(cast.partner_admin) as session:
                    requests.withdraw_request(session, cast.partner_admin, request_id)
                results.append("withdrawn")
            except IllegalTransition as refused:
                results.append(type(refused).__name__)
            finally:
                db.session.close()

    other = threading.Thread(target=withdraw)
    with app.app_context(), unit_of_work(cast.partner_marketer) as session:
        claims.submit_claim(session, cast.partner_marketer, story.claim_id)
        other.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        until = time.monotonic() + 30
        while not session.scalar(waiting) and time.monotonic() < until:
            other.join(0.05)
    other.join(30)
    assert results == ["IllegalTransition"]


def test_an_invoice_is_found_again_and_another_partner_is_never_named(app: Flask, cast: Cast) -> None:
    with app.app_context():
        money = make_money(cast, partners=(cast.partner_id, cast.rival_id))
        pdf = invoice_pdf("R-555")
        first = make_claim(cast, money=money, number="R-555")
        own = make_claim(cast, money=money, state="draft")
        others = make_claim(rivals(cast), money=money, state="draft")
        for story in (own, others):
            add_invoice(story, number="R-555", data=pdf)
            actor = story.cast.partner_marketer
            with unit_of_work(actor) as session:
                claim = queries.get_claim(session, actor, story.claim_id)
                findings, _ = reconcile.check_claim(session, actor, claim)
            found = {one.code: one for one in findings}
            for code in ("duplicate_file", "duplicate_number"):
                assert found[code].verdict == "fail"
                assert (first.number in found[code].why) is (story is own)
                assert ("another partner" in found[code].why) is (story is others)


def test_the_vendor_sees_no_draft_and_the_rival_nothing(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="draft")
        for actor in (cast.finance, cast.rival, cast.other_vendor_admin):
            with pytest.raises(NotFound), unit_of_work(actor) as session:
                queries.get_claim(session, actor, story.claim_id)


def test_the_other_party_is_told(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="returned")
        with unit_of_work(cast.operator) as session, elevated(session, "a test reads all mail"):
            rows = session.scalars(
                select(OutboxMail.template).where(OutboxMail.organization_id.in_([cast.vendor_id, cast.partner_id]))
            ).all()
        assert "claim_submitted" in rows
        assert "claim_decided" in rows
        assert status_of(story) is ClaimStatus.RETURNED


def test_a_reach_beyond_the_record_is_kept_and_fails_its_check(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="ready")
        actor = cast.partner_marketer
        with unit_of_work(actor) as session:
            lines = [{"description": "Mailing", "net": eur(2_000), "tax": eur(380)}]
            claims.save_lines(session, actor, story.claim_id, lines=lines, claimed_reach=300)
            claim, findings, _ = claims.submit_claim(session, actor, story.claim_id)
            assert claim.claimed_reach == 300
        reach = next(one for one in findings if one.code == "reach")
        assert (reach.verdict, reach.expected, reach.actual) == ("fail", "3 deliveries", "300 deliveries")


def test_a_late_claim_fails_its_check(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_claim(cast, state="ready")
        with clock.at(clock.now() + timedelta(days=60)), unit_of_work(cast.partner_marketer) as session:
            claim = queries.get_claim(session, cast.partner_marketer, story.claim_id)
            findings, _ = reconcile.check_claim(session, cast.partner_marketer, claim)
        assert next(one for one in findings if one.code == "filed_in_time").verdict == "fail"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello world", "neither a PDF nor"),
        (b"PK\x03\x04rest", "ZIP archive"),
        (b"%PDF-1.4\nnothing", ""),
        (b"%PDF-" + b"0" * (16 * 1024 * 1024), "at most 15 MB"),
    ],
)
def test_bad_files_are_refused_with_words(data: bytes, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        evidence.read_upload(data, "invoice.pdf", kind=ProofKind.INVOICE)
    assert says in refused.value.fields["file"]


@pytest.mark.parametrize("kind", [ProofKind.INVOICE, ProofKind.PAYMENT_RECEIPT])
def test_a_document_with_a_password_is_refused_with_words(kind: ProofKind) -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(invoice_pdf("R-1")))
    writer.encrypt("secret", algorithm="AES-256")
    locked = io.BytesIO()
    writer.write(locked)
    with pytest.raises(Invalid, match="password"):
        evidence.read_upload(locked.getvalue(), "invoice.pdf", kind=kind)


def test_lines_are_refused_field_by_field(app: Flask, cast: Cast) -> None:
    with app.app_context():
        story = make_activity_claim(cast)
        with pytest.raises(Invalid) as refused, unit_of_work(cast.partner_admin) as session:
            claims.save_lines(
                session, cast.partner_admin, story.claim_id,
                lines=[{"description": "", "net": eur(1)}, {"description": "x", "net": Money.of(1, "USD")}],
            )  # fmt: skip
        assert refused.value.fields["lines-0-description"] == "Say what this line paid for."
        assert "in EUR" in refused.value.fields["lines-1-net"]
