"""The vendor's partners: list, states, and who may do what."""

from __future__ import annotations

import itertools

import pytest
from flask import Flask

from tcma import events
from tcma.access import Actor
from tcma.accounts import partners, queries, queries_partners
from tcma.accounts.models import Partnership
from tcma.accounts.states import PARTNERSHIP_MOVES, PartnershipStatus
from tcma.db import unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, NotFound
from tests.accounts.test_sign_in import AT, mail_to
from tests.factories import accounts
from tests.factories.cast import Cast

S = PartnershipStatus
VERBS = {
    "approve": (partners.approve_application, {}, {S.APPLYING}),
    "decline": (partners.decline_application, {"reason": "No."}, {S.APPLYING}),
    "suspend": (partners.suspend_partnership, {"reason": "Late."}, {S.ACTIVE}),
    "reactivate": (partners.reactivate_partnership, {}, {S.SUSPENDED, S.ENDED}),
    "end": (partners.end_partnership, {"reason": "Over."}, {S.ACTIVE, S.SUSPENDED, S.INVITED}),
}


@pytest.mark.parametrize(("status", "verb"), list(itertools.product(S, VERBS)))
def test_each_verb_moves_from_its_states_and_no_other(app: Flask, cast: Cast, status: S, verb: str) -> None:
    act, given, allowed = VERBS[verb]
    with app.app_context():
        with unit_of_work(cast.vendor_admin) as session:
            row = queries.get_partnership(session, cast.vendor_admin, cast.rival_id)
            session.execute(Partnership.__table__.update().where(Partnership.id == row.id).values(status=status))
        moved = True
        try:
            with unit_of_work(cast.vendor_admin) as session:
                session.expire_all()
                act(session, cast.vendor_admin, cast.rival_id, **given)  # type: ignore[operator]
        except IllegalTransition:
            moved = False
        with unit_of_work(cast.vendor_admin) as session:
            after = queries.get_partnership(session, cast.vendor_admin, cast.rival_id)
            session.refresh(after)
        assert moved is (status in allowed)
        if moved:
            assert after.status in PARTNERSHIP_MOVES[status]
        else:
            assert after.status is status


def test_suspending_tells_the_partner_why_and_later_rooms_that(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[events.DomainEvent] = []
    monkeypatch.setitem(events._subscribers, events.PartnershipSuspended, [lambda s, a, e: heard.append(e)])
    browser = cast.client(cast.channel_manager)
    assert browser.post(f"/partners/{cast.rival_id}/suspend", data={}, base_url=AT).status_code == 422
    data = {"reason": "Terms were broken twice."}
    assert browser.post(f"/partners/{cast.rival_id}/suspend", data=data, base_url=AT).status_code == 303
    assert heard == [events.PartnershipSuspended(cast.vendor_id, cast.rival_id)]
    told = [one for one in mail_to(app, cast.rival.email) if one.template == "partnership_suspended"]
    assert told[0].data["reason"] == "Terms were broken twice."
    page = browser.get(f"/partners/{cast.rival_id}", base_url=AT).get_data(as_text=True)
    assert "Suspended" in page
    assert "Terms were broken twice." in page


@pytest.mark.parametrize(
    ("who", "error"),
    [
        ("finance", Forbidden),
        ("vendor_marketer", Forbidden),
        ("partner_admin", Forbidden),
        ("other_vendor_admin", NotFound),
    ],
)
def test_others_may_not_change_a_partnership(app: Flask, cast: Cast, who: str, error: type[Exception]) -> None:
    actor: Actor = cast.people[who]
    with app.app_context(), pytest.raises(error), unit_of_work(actor) as session:
        partners.change_partnership(session, actor, cast.rival_id, tier="Gold", territory="")


def test_tier_and_territory_are_checked_and_kept(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.channel_manager)
    data = {"tier": "Platinum", "territory": "Austria"}
    assert browser.post(f"/partners/{cast.rival_id}", data=data, base_url=AT).status_code == 303
    page = browser.get("/partners?q=austria&tier=Platinum", base_url=AT).get_data(as_text=True)
    assert "Rival Systems" in page
    assert "Acme IT" not in page
    with app.app_context(), pytest.raises(Invalid), unit_of_work(cast.vendor_admin) as session:
        partners.change_partnership(session, cast.vendor_admin, cast.rival_id, tier=" ", territory="")


def test_the_list_pages_forth_and_back_over_every_partner_once(app: Flask, cast: Cast) -> None:
    with app.app_context():
        for n in range(5):
            accounts.partner_in(cast.operator, cast.vendor_id, S.INVITED, name=f"Page{n % 2}")
        with unit_of_work(cast.vendor_admin) as session:
            seen, after, pages = [], None, []
            while True:
                page = queries_partners.page_of_partners(session, cast.vendor_admin, after=after, limit=3)
                pages.append([one.id for one in page.rows])
                seen += pages[-1]
                if page.older is None:
                    break
                after = page.older
            assert len(seen) == len(set(seen)) == page.total == 7
            assert [len(one) for one in pages] == [3, 3, 1]
            back = queries_partners.page_of_partners(session, cast.vendor_admin, before=page.newer, limit=3)
            assert [one.id for one in back.rows] == pages[1]
            first = queries_partners.page_of_partners(session, cast.vendor_admin, before=back.newer, limit=3)
            assert [one.id for one in first.rows] == pages[0]
            assert first.newer is None


@pytest.mark.parametrize("cursor", ["x", "AAAA", "zz zz"])
def test_a_cursor_that_is_none_is_refused_with_words(cast: Cast, cursor: str) -> None:
    response = cast.client(cast.vendor_admin).get("/partners", query_string={"after": cursor}, base_url=AT)
    assert response.status_code == 422
    assert "first page" in response.get_data(as_text=True)


def test_csv_has_all_partners_and_starts_no_formula(app: Flask, cast: Cast) -> None:
    with app.app_context():
        accounts.partner_in(cast.operator, cast.vendor_id, S.APPLYING, name="=HYPERLINK()")
    response = cast.client(cast.finance).get("/partners?format=csv", base_url=AT)
    lines = response.get_data(as_text=True).splitlines()
    assert response.mimetype == "text/csv"
    assert len(lines) == 4
    assert any(line.startswith("'=HYPERLINK") for line in lines)


def test_partners_see_no_partners_page(cast: Cast) -> None:
    assert cast.client(cast.partner_admin).get("/partners", base_url=AT).status_code == 403
    assert cast.client(cast.other_vendor_admin).get(f"/partners/{cast.rival_id}", base_url=AT).status_code == 404
