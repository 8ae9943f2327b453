"""What a reader chooses to get: by plain forms on the tracking origin, without signing in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tcma import clock
from tcma.audience import queries as audience_queries
from tcma.audience import services as audience_services
from tcma.audience.models import Contact, Suppression
from tcma.audience.states import SuppressionReason, SuppressionScope
from tcma.campaigns.models import Launch
from tcma.config import use_settings
from tcma.db import unit_of_work
from tcma.delivery import engine, queries, tokens
from tcma.delivery.models import Delivery
from tcma.delivery.states import DeliveryStatus
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_campaign, make_draft, make_started, system_of, use_sink
from tests.factories.returns import deliveries_of
from tests.sinks import SmtpSink

HERE = "http://127.0.0.1:8000"


class Reader:
    """Somebody with the mail of a delivery in front of them."""

    def __init__(self, launch: Launch, row: Delivery, browser: FlaskClient) -> None:
        from tcma.config import settings

        self.launch, self.row, self.browser = launch, row, browser
        self.token = tokens.unsubscribe_token(row.id, key=settings().derived_keys("tracking")[0])

    def look(self) -> str:
        answer = self.browser.get(f"/preferences/{self.token}", base_url=HERE)
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def choose(self, mails: str, **data: str) -> str:
        answer = self.browser.post(f"/preferences/{self.token}", base_url=HERE, data={"mails": mails, **data})
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        return answer.get_data(as_text=True)

    def chosen(self) -> str:
        line = next(one for one in self.look().split("<input ") if "checked" in one and 'type="radio"' in one)
        return line.partition('value="')[2].partition('"')[0]

    def refused(self) -> dict[SuppressionScope, Suppression]:
        from tcma.db import elevated

        with unit_of_work(None) as session, elevated(session, "a test looks at all refusals"):
            found = session.scalars(select(Suppression).where(Suppression.email_key == self.row.email_key))
            return {one.scope: one for one in found}

    def refusal_for(self, vendor_id: object) -> str | None:
        """Why this partner may not write to the reader about a vendor now."""
        with unit_of_work(system_of(self.launch)) as session:
            return session.scalar(
                select(audience_queries.refusal_of(self.launch.partner_id, vendor_id)).where(
                    Contact.partner_id == self.launch.partner_id, Contact.id == self.row.contact_id
                )
            )


@pytest.fixture
def reader(app: Flask, cast: Cast) -> Iterator[Reader]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            launch = make_started(cast, contacts=2)
            engine.run_lane(launch.partner_id, launch.id)
            yield Reader(launch, deliveries_of(launch)[0], app.test_client())
        use_settings(before)


def test_looking_changes_nothing_and_says_who_holds_the_data(reader: Reader) -> None:
    page = reader.look()
    assert "Acme IT GmbH holds your data" in page
    assert "/privacy/" in page
    assert reader.row.address in page
    assert "<script" not in page
    assert (reader.chosen(), reader.refused()) == ("all", {})


def test_the_page_is_reached_from_unsubscribing_and_from_privacy(reader: Reader) -> None:
    for path in (f"/u/{reader.token}", f"/privacy/{reader.token}"):
        assert f"/preferences/{reader.token}" in reader.browser.get(path, base_url=HERE).get_data(as_text=True)


def test_no_mails_about_one_vendor_leaves_the_others(reader: Reader, cast: Cast) -> None:
    page = reader.choose("not_vendor")
    assert "You get no more mail about" in page
    assert reader.chosen() == "not_vendor"
    assert reader.refusal_for(reader.launch.vendor_id) == "suppressed_vendor"
    assert reader.refusal_for(cast.other_vendor_admin.organization_id) is None


@pytest.mark.parametrize(("choice", "days"), [("pause_30", 30), ("pause_90", 90)])
def test_a_pause_ends_by_itself_and_withdraws_no_consent(reader: Reader, choice: str, days: int) -> None:
    reader.choose(choice)
    assert reader.chosen() == choice
    assert reader.refusal_for(reader.launch.vendor_id) == "suppressed_partner"
    held = reader.refused()[SuppressionScope.PARTNER]
    assert held.reason is SuppressionReason.PAUSED
    with later(days * 24 * 60 + 1):
        assert reader.refusal_for(reader.launch.vendor_id) is None
        assert reader.chosen() == "all"


def test_no_mails_at_all_and_back_again(reader: Reader) -> None:
    reader.choose("none")
    assert (reader.chosen(), reader.refusal_for(None)) == ("none", "suppressed_partner")
    with unit_of_work(system_of(reader.launch)) as session:
        assert queries.results(session, [reader.launch.id])[reader.launch.id]["unsubscribed"] == 1
    page = reader.choose("all")
    assert "You get mail from" in page
    assert (reader.chosen(), reader.refusal_for(reader.launch.vendor_id)) == ("all", None)
    with unit_of_work(system_of(reader.launch)) as session:
        contact = audience_queries.find_contact_by_key(session, reader.row.partner_id, reader.row.email_key)
        assert contact is not None
        consents = audience_queries.consents_of(session, contact)
        assert [one.withdrawn for one in consents] == [False, True, False]
        assert consents[0].source == f"preference page, delivery {reader.row.id}"


def test_no_mails_from_anybody_holds_for_every_partner(reader: Reader) -> None:
    reader.choose("nobody")
    assert reader.chosen() == "nobody"
    assert set(reader.refused()) == {SuppressionScope.PARTNER, SuppressionScope.PLATFORM}
    assert reader.refusal_for(reader.launch.vendor_id) == "suppressed_platform"
    reader.choose("pause_30")
    assert set(reader.refused()) == {SuppressionScope.PARTNER}


def test_measuring_can_be_switched_off_and_on(reader: Reader) -> None:
    for wanted in (True, False):
        reader.choose("all", **({"no_tracking": "1"} if wanted else {}))
        with unit_of_work(system_of(reader.launch)) as session:
            contact = audience_queries.find_contact_by_key(session, reader.row.partner_id, reader.row.email_key)
            assert contact is not None
            assert contact.no_tracking is wanted
        assert ('name="no_tracking" value="1" checked' in reader.look()) is wanted


@pytest.mark.parametrize("reason", [SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED, SuppressionReason.MANUAL])
def test_a_link_does_not_lift_what_others_decided(reader: Reader, reason: SuppressionReason) -> None:
    actor = system_of(reader.launch)
    with unit_of_work(actor) as session:
        audience_services.suppress(
            session, actor, partner_id=reader.launch.partner_id, email_key=reader.row.email_key, reason=reason, source="test"
        )
    assert "No mail comes to this address now" in reader.choose("all")
    assert reader.refused()[SuppressionScope.PARTNER].reason is reason
    assert reader.refusal_for(None) == "suppressed_partner"


def test_a_pause_holds_for_what_is_waiting_to_go_out(reader: Reader, cast: Cast) -> None:
    campaign = make_campaign(cast.vendor_marketer, name="Another one")
    other = make_draft(cast, contacts=1, campaign=campaign)
    from tcma.delivery import services
    from tests.factories.delivery import plan

    with unit_of_work(cast.partner_marketer) as session:
        services.start_launch(session, cast.partner_marketer, other.id)
    plan(other)
    waiting = deliveries_of(other)[0]
    with unit_of_work(system_of(other)) as session:
        found = session.scalars(select(Delivery).where(Delivery.id == waiting.id)).one()
        found.email_key = reader.row.email_key
    reader.choose("pause_30")
    assert deliveries_of(other)[0].status is DeliveryStatus.SUPPRESSED


def test_an_erased_person_and_a_test_mail_have_nothing_to_choose(reader: Reader, cast: Cast) -> None:
    from tcma.config import settings

    nobody = tokens.unsubscribe_token(0, key=settings().derived_keys("tracking")[0])
    assert "test mail" in reader.browser.get(f"/preferences/{nobody}", base_url=HERE).get_data(as_text=True)
    with unit_of_work(cast.partner_marketer) as session:
        audience_services.erase_contact(session, cast.partner_marketer, reader.row.contact_id)
    assert "Your data was deleted" in reader.look()
    assert "Your data was deleted" in reader.choose("all")
    assert reader.refused()[SuppressionScope.PARTNER].reason is SuppressionReason.ERASED


def test_a_forged_or_truncated_token_changes_nothing(reader: Reader) -> None:
    from tcma.config import settings

    forged = tokens.unsubscribe_token(reader.row.id, key=b"not our key")
    click = tokens.click_token(reader.row.id, 1, key=settings().derived_keys("tracking")[0])
    for token in (forged, reader.token[:-1], reader.token + "A", click, "x"):
        for method in ("get", "post"):
            answer = getattr(reader.browser, method)(f"/preferences/{token}", base_url=HERE, **({"data": {"mails": "none"}} if method == "post" else {}))
            assert answer.status_code == 404
    assert reader.refused() == {}


def test_an_unknown_choice_is_refused(reader: Reader) -> None:
    answer = reader.browser.post(f"/preferences/{reader.token}", base_url=HERE, data={"mails": "everything"})
    assert answer.status_code == 422
    assert reader.refused() == {}


def test_the_app_origin_has_no_such_page(reader: Reader) -> None:
    assert reader.browser.get(f"/preferences/{reader.token}", base_url="http://localhost:8000").status_code == 404


def test_a_pause_says_until_when(reader: Reader) -> None:
    page = reader.choose("pause_30")
    assert str((clock.now() + timedelta(days=30)).year) in page
    assert "until" in page
