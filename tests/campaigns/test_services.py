"""Campaigns through the services: publishing, entitlement, immutable versions, and the shell that stays the vendor's."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from tcma import clock, events
from tcma.assets import services as asset_services
from tcma.campaigns import launches, queries, services, showing, starter
from tcma.campaigns.models import Campaign, CampaignVersion
from tcma.campaigns.problems import MarkupError
from tcma.campaigns.states import CAMPAIGN_MOVES, CampaignStatus
from tcma.config import Settings
from tcma.db import unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tests.factories.campaigns import make_campaign
from tests.factories.cast import Cast


def test_a_campaign_reaches_chosen_partners_only(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer, partner_ids=[cast.partner_id])
        with unit_of_work(cast.partner_marketer) as session:
            assert [one.id for one in queries.list_catalogue(session, cast.partner_marketer)] == [campaign.id]
        with unit_of_work(cast.rival) as session:
            assert queries.list_catalogue(session, cast.rival) == []
            for refused in (queries.get_campaign, queries.get_catalogued, showing.catalogued, launches.create_launch):
                with pytest.raises(NotFound):
                    refused(session, cast.rival, campaign.id)


@pytest.mark.parametrize("actor", ["finance", "channel_manager", "partner_admin", "rival"])
def test_only_marketers_of_a_vendor_author(app: Flask, cast: Cast, actor: str) -> None:
    with app.app_context(), unit_of_work(cast.people[actor]) as session, pytest.raises(Forbidden):
        services.create_campaign(session, cast.people[actor], name="Mine")


def test_a_broken_mail_is_never_published_and_its_lines_are_named(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer, published=False)
        mjml = "<mjml>\n<mj-body>\n<mj-section>\n<mj-column>\n<mj-text>{{ contact.nope }}</mj-text>\n</mj-column></mj-section></mj-body></mjml>"
        with unit_of_work(cast.vendor_marketer) as session:
            saved = services.save_draft(session, cast.vendor_marketer, campaign.id, mjml=mjml)
            assert services.check_draft(saved)[0].line == 5
        with unit_of_work(cast.vendor_marketer) as session, pytest.raises(MarkupError) as refused:
            services.publish_campaign(session, cast.vendor_marketer, campaign.id, partner_ids=None)
        assert refused.value.problems[0].mend
        with unit_of_work(cast.vendor_marketer) as session:
            assert queries.list_versions(session, cast.vendor_marketer, campaign.id) == []


def test_publishing_refuses_strangers_nobody_and_no_subject(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer, published=False)
        with unit_of_work(cast.vendor_marketer) as session:
            for chosen, words in (([], "at least one"), ([cast.vendor_id], "not active")):
                with pytest.raises(Invalid, match=words):
                    services.publish_campaign(session, cast.vendor_marketer, campaign.id, partner_ids=chosen)
            services.save_draft(session, cast.vendor_marketer, campaign.id, subject="")
            with pytest.raises(Invalid, match="subject line"):
                services.publish_campaign(session, cast.vendor_marketer, campaign.id, partner_ids=None)


@pytest.mark.parametrize("table", ["campaign_versions", "touches"])
def test_a_version_never_changes_not_even_for_the_owner_of_the_database(
    app: Flask, cast: Cast, test_settings: Settings, table: str
) -> None:
    with app.app_context():
        make_campaign(cast.vendor_marketer)
    engine = create_engine(test_settings.migration_url or "")
    with engine.connect() as connection, pytest.raises(Exception, match="append-only"):
        connection.execute(text(f"UPDATE {table} SET vendor_id = vendor_id"))
    engine.dispose()


def test_a_new_version_leaves_launches_on_theirs(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
        first = campaign.current_version_id
        with unit_of_work(cast.partner_marketer) as session:
            launch = launches.create_launch(session, cast.partner_marketer, campaign.id)
        with unit_of_work(cast.vendor_marketer) as session:
            services.save_draft(session, cast.vendor_marketer, campaign.id, subject="Another one")
            second = services.publish_campaign(session, cast.vendor_marketer, campaign.id, partner_ids=None)
        assert second.number == 2
        assert launch.campaign_version_id == first
        with unit_of_work(cast.vendor_marketer) as session:
            older = queries.get_version(session, first) if first else None
            newer = queries.get_version(session, second.id)
            assert older is not None
            assert older.content_sha256 != newer.content_sha256
            lines = showing.differences(older, newer)
            assert "subject: Another one" in [one.text for one in lines if one.kind == "added"]


def test_a_recalled_campaign_is_gone_and_nobody_launches_it(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
        with unit_of_work(cast.partner_marketer) as session:
            launches.create_launch(session, cast.partner_marketer, campaign.id)
        with unit_of_work(cast.vendor_marketer) as session:
            with pytest.raises(Invalid, match="Say why"):
                services.recall_campaign(session, cast.vendor_marketer, campaign.id, reason=" ")
            services.recall_campaign(session, cast.vendor_marketer, campaign.id, reason="Wrong price")
        with unit_of_work(cast.partner_marketer) as session:
            assert queries.list_catalogue(session, cast.partner_marketer) == []
            with pytest.raises(NotFound):
                launches.create_launch(session, cast.partner_marketer, campaign.id)


def test_an_ended_campaign_and_one_taken_away_are_not_launched_again(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
        with unit_of_work(cast.partner_marketer) as session:
            launches.create_launch(session, cast.partner_marketer, campaign.id)
        with unit_of_work(cast.vendor_marketer) as session:
            services.save_draft(
                session, cast.vendor_marketer, campaign.id, ends_on=clock.today() - timedelta(days=2)
            )
        with unit_of_work(cast.partner_marketer) as session, pytest.raises(NotFound):
            launches.create_launch(session, cast.partner_marketer, campaign.id)
        with unit_of_work(cast.vendor_marketer) as session:
            services.save_draft(session, cast.vendor_marketer, campaign.id, ends_on=None)
            services.publish_campaign(session, cast.vendor_marketer, campaign.id, partner_ids=[cast.rival_id])
        with unit_of_work(cast.partner_marketer) as session, pytest.raises(NotFound):
            launches.create_launch(session, cast.partner_marketer, campaign.id)


def test_a_partner_cannot_alter_the_shell(app: Flask, cast: Cast) -> None:
    partner = cast.partner_marketer
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
        with unit_of_work(partner) as session:
            asset_services.save_brand(session, partner, name="Acme", legal_name="Acme GmbH", postal_address="A 1")
            launch = launches.create_launch(session, partner, campaign.id)
            with pytest.raises(Invalid, match="no such slot"):
                launches.save_slots(session, partner, launch.id, {"footer": "mine"})
            with pytest.raises(Invalid, match="Shorten it"):
                launches.save_slots(session, partner, launch.id, {"headline": "x" * 400})
            evil = "{{ contact.email }} <script>alert(1)</script> {% for x in y %}"
            launches.save_slots(session, partner, launch.id, {"headline": evil})
            launches.save_slots(
                session, partner, launch.id, {"note": '<p onclick="x()">Hi <a href="javascript:alert(1)">there</a><script>alert(2)</script></p>'}
            )
            seen = launches.preview(session, partner, launch.id)
        assert "<script" not in seen.html
        assert "javascript:" not in seen.html
        assert "onclick" not in seen.html
        assert "{{ contact.email }}" in seen.text
        assert "alex.morgan@example.com {%" not in seen.html


def test_a_new_partner_gets_what_is_for_all(app: Flask, cast: Cast) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer)
        chosen = make_campaign(cast.vendor_marketer, partner_ids=[cast.partner_id])
        with unit_of_work(cast.vendor_marketer) as session:
            services.publish_campaign(session, cast.vendor_marketer, campaign.id, partner_ids=None)
            assert cast.rival_id in queries.granted_partner_ids(session, campaign.id)
            services.grant_new_partner(
                session, cast.vendor_marketer, events.PartnershipActivated(cast.vendor_id, cast.rival_id)
            )
            assert cast.rival_id not in queries.granted_partner_ids(session, chosen.id)


VERBS = {"publish": CampaignStatus.PUBLISHED, "recall": CampaignStatus.RECALLED, "archive": CampaignStatus.ARCHIVED,
         "reopen": CampaignStatus.DRAFT}  # fmt: skip


@pytest.mark.parametrize(("status", "verb"), list(itertools.product(CampaignStatus, VERBS)))
def test_each_state_and_verb_of_a_campaign(app: Flask, cast: Cast, status: CampaignStatus, verb: str) -> None:
    campaign, actor = Campaign(vendor_id=cast.vendor_id, name="C", slots=[], landing={}, status=status), cast.vendor_admin
    version = CampaignVersion(id=cast.vendor_id, number=1)

    def act() -> None:
        if verb == "publish":
            campaign.publish(by=actor, version=version, at=clock.now())
        elif verb == "recall":
            campaign.recall(by=actor, reason="Old")
        else:
            getattr(campaign, verb)(by=actor)

    with app.app_context(), unit_of_work(actor) as session:
        session.add(campaign)
        session.flush()
        if VERBS[verb] in CAMPAIGN_MOVES[status]:
            act()
            assert campaign.status is VERBS[verb]
        else:
            with pytest.raises(IllegalTransition):
                act()
            assert campaign.status is status


@pytest.mark.parametrize("key", [one.key for one in starter.starters()])
def test_each_starter_is_publishable_as_it_is(app: Flask, cast: Cast, key: str) -> None:
    with app.app_context():
        campaign = make_campaign(cast.vendor_marketer, starter_key=key)
        with unit_of_work(cast.vendor_marketer) as session:
            assert showing.problems(campaign) == []
            assert showing.draft(session, cast.vendor_marketer, campaign.id).subject
            assert showing.landing(campaign)["headline"]
