"""Kits, brands and co-branded files through the services: who may, what is refused, what never changes."""

from __future__ import annotations

import io
import itertools

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import create_engine, text

from tcma import clock
from tcma.assets import queries, samples, services
from tcma.assets.models import Kit
from tcma.assets.states import KIT_MOVES, KitStatus
from tcma.config import Settings
from tcma.db import unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tcma.storage import storage
from tests.factories.assets import LOGO_ZONE, make_kit, make_logo
from tests.factories.cast import Cast


def wide_picture(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.new("1", (width, height)).save(target, "PNG")
    return target.getvalue()


def test_a_kit_is_published_to_chosen_partners_only(app: Flask, cast: Cast) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer, partner_ids=[cast.partner_id])
        with unit_of_work(cast.partner_marketer) as session:
            assert [one.id for one in queries.list_kits(session, cast.partner_marketer)] == [kit.id]
        with unit_of_work(cast.rival) as session:
            assert queries.list_kits(session, cast.rival) == []
            with pytest.raises(NotFound):
                queries.get_kit(session, cast.rival, kit.id)
        with unit_of_work(cast.vendor_marketer) as session:
            services.publish_kit(session, cast.vendor_marketer, kit.id, partner_ids=[cast.rival_id])
        with unit_of_work(cast.partner_marketer) as session, pytest.raises(NotFound):
            queries.get_version(session, cast.partner_marketer, kit.assets[0].current.id)


def test_publishing_refuses_what_cannot_be(app: Flask, cast: Cast) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer, published=False)
        with unit_of_work(cast.vendor_marketer) as session:
            empty = services.create_kit(session, cast.vendor_marketer, name="Empty")
            with pytest.raises(Invalid, match="no assets"):
                services.publish_kit(session, cast.vendor_marketer, empty.id, partner_ids=None)
            with pytest.raises(Invalid, match="not active"):
                services.publish_kit(
                    session, cast.vendor_marketer, kit.id, partner_ids=[cast.other_vendor_admin.organization_id]
                )
            with pytest.raises(Invalid, match="at least one"):
                services.publish_kit(session, cast.vendor_marketer, kit.id, partner_ids=[])
        with unit_of_work(cast.partner_admin) as session, pytest.raises(Forbidden):
            services.create_kit(session, cast.partner_admin, name="Mine")


VERBS = {"publish": KitStatus.PUBLISHED, "recall": KitStatus.RECALLED, "archive": KitStatus.ARCHIVED,
         "reopen": KitStatus.DRAFT}  # fmt: skip


@pytest.mark.parametrize(("status", "verb"), list(itertools.product(KitStatus, VERBS)))
def test_each_state_and_verb_of_a_kit(cast: Cast, status: KitStatus, verb: str) -> None:
    kit, actor = Kit(vendor_id=cast.vendor_id, name="Kit", status=status), cast.vendor_marketer

    def act() -> None:
        if verb == "publish":
            kit.publish(by=actor, at=clock.now())
        elif verb == "recall":
            kit.recall(by=actor, reason="Old")
        else:
            getattr(kit, verb)(by=actor)

    with cast.app.app_context(), unit_of_work(actor) as session:
        session.add(kit)
        session.flush()
        if VERBS[verb] in KIT_MOVES[status]:
            act()
            assert kit.status is VERBS[verb]
        else:
            with pytest.raises(IllegalTransition):
                act()
            assert kit.status is status


def test_a_kit_outside_its_dates_is_not_there_for_partners(app: Flask, cast: Cast) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer)
        with unit_of_work(cast.vendor_marketer) as session:
            services.edit_kit(session, cast.vendor_marketer, kit.id, ends_on=clock.today().replace(year=2020))
        with unit_of_work(cast.partner_marketer) as session, pytest.raises(NotFound):
            queries.get_kit(session, cast.partner_marketer, kit.id)


def test_replacing_keeps_zones_and_earlier_versions(app: Flask, cast: Cast) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer)
        first = kit.assets[0].current
        with unit_of_work(cast.vendor_marketer) as session:
            asset = services.replace_asset(
                session, cast.vendor_marketer, kit.assets[0].id, filename="new.png",
                data=samples.sample_banner("New", "#884422"),
            )  # fmt: skip
            assert [one.number for one in asset.versions] == [1, 2]
            assert asset.current.zones == first.zones
            assert asset.current.sha256 != first.sha256
            services.set_zones(session, cast.vendor_marketer, asset.id, [LOGO_ZONE])
            assert asset.current.number == 3
            assert len(asset.current.zones) == 1
            assert storage().exists(first.storage_key)
            with pytest.raises(Invalid, match="page"):
                services.set_zones(session, cast.vendor_marketer, asset.id, [{**LOGO_ZONE, "page": 2}])


@pytest.mark.parametrize("table", ["asset_versions", "asset_downloads"])
def test_the_database_itself_refuses_to_change_what_is_a_record(
    app: Flask, cast: Cast, test_settings: Settings, table: str
) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer)
        make_logo(cast.partner_marketer)
        with unit_of_work(cast.partner_marketer) as session:
            services.cobranded(session, cast.partner_marketer, kit.assets[0].current.id)
    engine = create_engine(test_settings.migration_url or "")
    with engine.connect() as connection, pytest.raises(Exception, match="append-only"):
        connection.execute(text(f"UPDATE {table} SET vendor_id = vendor_id"))
    engine.dispose()


def test_a_cobranded_file_differs_from_the_original_and_is_made_once(app: Flask, cast: Cast) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer)
        version = kit.assets[0].current
        brand = make_logo(cast.partner_marketer)
        with unit_of_work(cast.partner_marketer) as session:
            first = services.cobranded(session, cast.partner_marketer, version.id)
        with unit_of_work(cast.partner_marketer) as session:
            again = services.cobranded(session, cast.partner_marketer, version.id)
        assert again.id == first.id
        assert storage().read(first.storage_key) != storage().read(version.storage_key)
        with unit_of_work(cast.partner_marketer) as session:
            services.save_brand(session, cast.partner_marketer, phone="+49 40 999")
            assert services.cobranded(session, cast.partner_marketer, version.id).id != first.id
        with unit_of_work(cast.vendor_marketer) as session:
            assert queries.download_counts(session, [version.id]) == {version.id: 3}
        assert brand.logo_width


def test_an_empty_brand_makes_no_file_and_says_what_to_do(app: Flask, cast: Cast) -> None:
    with app.app_context():
        kit = make_kit(cast.vendor_marketer)
        with unit_of_work(cast.partner_marketer) as session, pytest.raises(Invalid, match="Fill it in first"):
            services.cobranded(session, cast.partner_marketer, kit.assets[0].current.id)
        with unit_of_work(cast.vendor_marketer) as session, pytest.raises(Forbidden):
            services.cobranded(session, cast.vendor_marketer, kit.assets[0].current.id)


def test_a_logo_of_50_000_pixels_is_refused_with_both_values(app: Flask, cast: Cast) -> None:
    with app.app_context(), unit_of_work(cast.partner_admin) as session:
        with pytest.raises(Invalid) as refused:
            services.set_logo(session, cast.partner_admin, filename="l.png", data=wide_picture(50_000, 10))
        assert "50,000" in refused.value.message
        assert "12,000" in refused.value.message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("color", "blue", "six hex digits"), ("reply_to", "nobody", "address"), ("website", "javascript:alert(1)", "web address"),
        ("name", "x" * 90, "Shorten it by 10"), ("logo_key", "x", "no such field"),
    ],
)  # fmt: skip
def test_the_brand_refuses_with_words_how_to_mend(app: Flask, cast: Cast, field: str, value: str, words: str) -> None:
    with app.app_context(), unit_of_work(cast.partner_admin) as session:
        with pytest.raises(Invalid) as refused:
            services.save_brand(session, cast.partner_admin, **{field: value})
        assert words in refused.value.fields[field]


def test_a_complete_brand_finishes_the_profile_step(app: Flask, cast: Cast) -> None:
    with app.app_context():
        make_logo(cast.partner_marketer)
        with unit_of_work(cast.vendor_admin) as session:
            values = queries.brand_values(session, cast.partner_id)
        assert queries.brand_gaps(values) == []
        assert values["logo_url"].startswith("http://127.0.0.1:8000/b/")
        with unit_of_work(cast.rival) as session:
            assert queries.find_brand(session, cast.partner_id) is None
