"""Leads: an answer becomes one lead, is worked by its states, shared and taken back, counted and erased."""

from __future__ import annotations

import itertools
import secrets
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from tcma.access import Actor
from tcma.audience import services as audience
from tcma.campaigns.models import Launch
from tcma.db import unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound, RateLimited
from tcma.leads import queries, services
from tcma.leads.models import FormAnswer, Lead, LeadTotals
from tcma.leads.states import LEAD_MOVES, LeadStatus, RejectReason
from tcma.money import Money
from tests.factories import audience as make
from tests.factories.cast import Cast
from tests.factories.delivery import make_started

VERBS = {
    "accept": LeadStatus.ACCEPTED, "reject": LeadStatus.REJECTED, "work": LeadStatus.WORKING,
    "win": LeadStatus.WON, "lose": LeadStatus.LOST,
}  # fmt: skip
PATHS = {
    LeadStatus.NEW: [], LeadStatus.ACCEPTED: ["accept"], LeadStatus.REJECTED: ["reject"],
    LeadStatus.WORKING: ["accept", "work"], LeadStatus.WON: ["accept", "win"], LeadStatus.LOST: ["accept", "lose"],
}  # fmt: skip


def answer(launch: Launch | str, *, email: str = "ida@visitor.example", once: str = "", **more: object) -> FormAnswer:
    texts = {"name": "Ida Ibsen", "email": email, "company": "Ibsen AS", **more.pop("answers", {})}  # type: ignore[dict-item]
    with unit_of_work(None) as session:
        return services.capture_answer(
            session, launch if isinstance(launch, str) else launch.landing_key, answers=texts, token=None, remote_address=str(more.pop("host", "192.0.2.1")),
            once_key=once or secrets.token_hex(8), **{"seconds": 30.0, **more},  # type: ignore[arg-type]
        )  # fmt: skip


def act(actor: Actor, verb: str, lead_id: UUID) -> Lead:
    with unit_of_work(actor) as session:
        match verb:
            case "accept":
                return services.accept_lead(session, actor, lead_id)
            case "reject":
                return services.reject_lead(session, actor, lead_id, reason=RejectReason.NOT_A_FIT)
            case "work":
                return services.work_lead(session, actor, lead_id)
            case "win":
                return services.win_lead(session, actor, lead_id, amount=Money(125000, "EUR"))
        return services.lose_lead(session, actor, lead_id, reason="no budget")


def totals(actor: Actor, launch: Launch) -> LeadTotals:
    with unit_of_work(actor) as session:
        return session.scalars(
            select(LeadTotals).where(LeadTotals.launch_id == launch.id), execution_options={"populate_existing": True}
        ).one()


def test_an_answer_becomes_one_lead_however_often_it_is_sent(app: Flask, cast: Cast) -> None:
    actor = cast.partner_marketer
    with app.app_context():
        launch = make_started(cast)
        first = answer(launch, once="one")
        assert answer(launch, once="one").id == first.id
        answer(launch, email="IDA@visitor.example", answers={"phone": "+47 22 33 44 55"})
        with unit_of_work(actor) as session:
            leads = queries.list_leads(session, actor)
            assert [one.email for one in leads] == ["ida@visitor.example"]
            assert leads[0].phone
            assert leads[0].score == sum(part["points"] for part in leads[0].score_parts) > 0
        counted = totals(actor, launch)
        assert (counted.leads, counted.answers, counted.accepted) == (1, 2, 0)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"trap": "http://x.example"}, "filled_the_hidden_field"),
        ({"seconds": 0.5}, "too_quick"),
        ({"answers": {"message": "http://a http://b http://c"}}, "many_links"),
        ({"answers": {"message": "<a href=x>buy</a>"}}, "markup"),
        ({"answers": {"name": "https://buy.example"}}, "link_as_name"),
    ],
)
def test_spam_is_kept_with_its_reason_and_makes_no_lead(
    app: Flask, cast: Cast, more: dict[str, object], reason: str
) -> None:
    with app.app_context():
        launch = make_started(cast)
        kept = answer(launch, **more)
        assert (kept.verdict, kept.lead_id) == ("spam", None)
        assert reason in kept.reasons
        counted = totals(cast.partner_marketer, launch)
        assert (counted.leads, counted.answers) == (0, 0)


def test_what_cannot_be_answered_is_refused_at_its_field(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast).landing_key
        for email in ("", "nobody", "a@b"):
            with pytest.raises(Invalid) as refused:
                answer(launch, email=email)
            assert "email" in refused.value.fields
        with pytest.raises(Invalid) as long:
            answer(launch, answers={"message": "x" * 3001})
        assert "message" in long.value.fields


def test_one_network_cannot_flood_a_form(app: Flask, cast: Cast) -> None:
    with app.app_context():
        launch = make_started(cast).landing_key
        for n in range(services.FORM_BY_HOST.burst):
            answer(launch, email=f"p{n}@visitor.example")
        with pytest.raises(RateLimited):
            answer(launch)
        assert answer(launch, host="192.0.2.2").verdict == "taken"


@pytest.mark.timeout(120)
def test_every_verb_in_every_state_moves_by_the_table_or_is_refused(app: Flask, cast: Cast) -> None:
    actor = cast.partner_marketer
    with app.app_context():
        launch = make_started(cast).landing_key
        for n, (state, verb) in enumerate(itertools.product(LeadStatus, VERBS)):
            lead_id = answer(launch, email=f"p{n}@visitor.example", host=f"192.0.2.{n}").lead_id
            assert lead_id is not None
            for step in PATHS[state]:
                act(actor, step, lead_id)
            if VERBS[verb] in LEAD_MOVES[state]:
                assert act(actor, verb, lead_id).status is VERBS[verb], (state, verb)
                continue
            with pytest.raises(IllegalTransition):
                act(actor, verb, lead_id)
            with unit_of_work(actor) as session:
                assert queries.get_lead(session, actor, lead_id).status is state, (state, verb)


def test_reasons_are_asked_for(app: Flask, cast: Cast) -> None:
    actor = cast.partner_marketer
    with app.app_context():
        lead_id = answer(make_started(cast)).lead_id
        assert lead_id is not None
        for given in (None, RejectReason.OTHER):
            with pytest.raises(Invalid), unit_of_work(actor) as session:
                services.reject_lead(session, actor, lead_id, reason=given)
        with pytest.raises(Invalid), unit_of_work(actor) as session:
            services.lose_lead(session, actor, lead_id, reason=" ")
        act(actor, "accept", lead_id)
        with pytest.raises(Invalid), unit_of_work(actor) as session:
            services.win_lead(session, actor, lead_id, amount=Money(-1, "EUR"))


def test_a_vendor_sees_counts_always_and_the_person_only_while_shared(app: Flask, cast: Cast) -> None:
    actor, vendor = cast.partner_marketer, cast.vendor_marketer
    with app.app_context():
        launch = make_started(cast)
        lead_id = answer(launch).lead_id
        assert lead_id is not None
        act(actor, "accept", lead_id)
        act(actor, "win", lead_id)
        counted = totals(vendor, launch)
        assert (counted.leads, counted.accepted, counted.won, counted.won_minor) == (1, 1, 1, 125000)

        def seen(who: Actor) -> bool:
            with unit_of_work(who) as session:
                try:
                    return queries.get_lead(session, who, lead_id).email == "ida@visitor.example"
                except NotFound:
                    return False

        assert not seen(vendor)
        with unit_of_work(actor) as session:
            services.share_lead(session, actor, lead_id)
        assert seen(vendor)
        assert not seen(cast.other_vendor_admin)
        assert not seen(cast.rival)
        with pytest.raises(Forbidden), unit_of_work(vendor) as session:
            services.work_lead(session, vendor, lead_id)
        with unit_of_work(actor) as session:
            services.revoke_share(session, actor, lead_id)
        assert not seen(vendor)
        assert totals(vendor, launch).leads == 1


def test_erasing_a_contact_empties_its_leads_and_keeps_the_counts(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        launch = make_started(cast)
        person = make.make_contact(actor, email="ida@visitor.example")
        kept = answer(launch)
        with unit_of_work(actor) as session:
            audience.erase_contact(session, actor, person.id)
        with unit_of_work(actor) as session:
            lead = session.get_one(Lead, kept.lead_id, populate_existing=True)
            assert (lead.email, lead.name, lead.company, lead.answers) == ("", "", "", {})
            assert session.get_one(FormAnswer, kept.id, populate_existing=True).answers == {}
            assert queries.list_leads(session, actor) == []
        assert totals(actor, launch).leads == 1
