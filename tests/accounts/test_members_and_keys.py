"""Members and API keys: who may what, the last administrator, scopes, revoking, closing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tcma import clock
from tcma.access import Actor, Permission
from tcma.accounts import bootstrap, keys, members, queries
from tcma.accounts.models import ApiKey, Member, User
from tcma.db import elevated, unit_of_work
from tcma.errors import Forbidden, Invalid, NotFound
from tests.accounts.test_sign_in import AT
from tests.factories.cast import PASSWORD, Cast


def call(app: Flask, headers: dict[str, str], method: str, path: str, body: Any = None) -> tuple[int, Any]:
    response = app.test_client().open(f"/api/v1{path}", method=method, json=body, headers=headers, base_url=AT)
    return response.status_code, response.json if response.data else None


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def member_id(app: Flask, actor: Actor) -> Any:
    with app.app_context(), unit_of_work(actor) as session:
        return next(one.id for one in queries.list_members(session, actor) if one.user_id == actor.user_id)


def test_the_last_administrator_stays(app: Flask, cast: Cast) -> None:
    mine = member_id(app, cast.vendor_admin)
    with app.app_context():
        with pytest.raises(Invalid, match="only administrator"), unit_of_work(cast.vendor_admin) as session:
            members.remove_member(session, cast.vendor_admin, mine)
        with pytest.raises(Invalid, match="only administrator"), unit_of_work(cast.vendor_admin) as session:
            members.change_roles(session, cast.vendor_admin, mine, roles=["finance"])
        other = member_id(app, cast.finance)
        with unit_of_work(cast.vendor_admin) as session:
            members.change_roles(session, cast.vendor_admin, other, roles=["finance", "vendor_admin"])
        with unit_of_work(cast.vendor_admin) as session:
            members.change_roles(session, cast.vendor_admin, mine, roles=["finance"])


def test_a_removed_member_is_out_at_once_with_all_keys(app: Flask, cast: Cast) -> None:
    headers = cast.key(cast.finance)
    browser = cast.client(cast.finance)
    assert call(app, headers, "GET", "/me")[0] == 200
    removed = member_id(app, cast.finance)
    response = cast.client(cast.vendor_admin).post(f"/settings/members/{removed}/remove", base_url=AT)
    assert response.status_code == 303
    assert call(app, headers, "GET", "/me")[0] == 401
    assert browser.get("/partners", base_url=AT).headers["Location"] == "/no-organization"


def test_members_of_others_are_not_found(app: Flask, cast: Cast) -> None:
    theirs = member_id(app, cast.rival)
    with app.app_context(), pytest.raises(NotFound), unit_of_work(cast.partner_admin) as session:
        members.remove_member(session, cast.partner_admin, theirs)
    assert cast.client(cast.finance).get("/settings/members", base_url=AT).status_code == 200
    assert cast.client(cast.finance).get(f"/settings/members/{theirs}", base_url=AT).status_code == 403


def test_a_key_is_shown_once_kept_as_a_hash_and_works(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.vendor_admin)
    response = browser.post("/settings/keys", data={"name": "CRM", "life": "30", "reach": "all"}, base_url=AT)
    page = response.get_data(as_text=True)
    secret = page.split("data-copy-source")[1].split(">")[1].split("<")[0]
    assert response.status_code == 201
    assert secret.startswith("tcma_")
    assert secret not in browser.get("/settings/keys", base_url=AT).get_data(as_text=True)
    status, me = call(app, bearer(secret), "GET", "/me")
    assert (status, me["email"]) == (200, cast.vendor_admin.email)
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        row = session.scalars(select(ApiKey).where(ApiKey.name == "CRM")).one()
        assert secret.encode() not in row.key_hash
        assert row.last_used_at is not None
    with clock.at(clock.now() + timedelta(days=31)):
        assert call(app, bearer(secret), "GET", "/me")[0] == 401


def test_a_key_does_what_its_scopes_say_and_no_more(app: Flask, cast: Cast) -> None:
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        scopes = [Permission.PARTNER_READ, Permission.APIKEY_MANAGE]
        key, secret = keys.make_key(session, cast.vendor_admin, name="narrow", scopes=scopes)
    narrow = bearer(secret)
    assert call(app, narrow, "GET", "/partnerships")[0] == 200
    body = {"company": "X", "email": "x@example.com"}
    assert call(app, narrow, "POST", "/invitations", body)[0] == 403
    status, made = call(app, narrow, "POST", "/keys", {"name": "child"})
    assert (status, sorted(made["scopes"])) == (201, sorted(scopes))
    status, problem = call(app, narrow, "POST", "/keys", {"name": "wider", "scopes": [Permission.MEMBER_MANAGE]})
    assert (status, "scopes" in problem["errors"]) == (422, True)
    assert call(app, narrow, "DELETE", f"/keys/{key.id}")[0] == 204
    assert call(app, narrow, "GET", "/partnerships")[0] == 401


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "x", "scopes": ["no:such:scope"]},
        {"name": "x", "scopes": [str(Permission.CLAIM_APPROVE)]},
        {"name": "x", "expires_at": "2001-01-01T00:00:00+00:00"},
    ],
)
def test_a_key_that_cannot_be_is_refused_with_words(app: Flask, cast: Cast, given: dict[str, Any]) -> None:
    status, problem = call(app, cast.key(cast.vendor_admin), "POST", "/keys", given)
    assert status == 422
    assert problem["errors"]


def test_nobody_makes_keys_for_others_and_marketers_none(app: Flask, cast: Cast) -> None:
    with app.app_context():
        with pytest.raises(Forbidden, match="everybody makes their own"), unit_of_work(cast.vendor_admin) as session:
            keys.make_key(session, cast.vendor_admin, name="x", user_id=cast.finance.user_id)
        with pytest.raises(Forbidden), unit_of_work(cast.vendor_admin) as session:
            keys.make_key(
                session, cast.vendor_admin, name="x", user_id=cast.rival.user_id, organization_id=cast.rival_id
            )
        with pytest.raises(Forbidden), unit_of_work(cast.finance) as session:
            keys.make_key(session, cast.finance, name="x")
        with pytest.raises(Forbidden, match="scratch"), unit_of_work(cast.operator) as session:
            keys.make_key(session, cast.operator, name="x", user_id=cast.rival.user_id, organization_id=cast.rival_id)


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer tcma_nonsense", "Basic abc", "Bearer ü"])
def test_a_forged_key_is_refused(app: Flask, header: str) -> None:
    status, problem = call(app, {"Authorization": header}, "GET", "/me")
    assert (status, problem["title"]) == (401, "Please send an API key")


def test_the_story_of_the_tour_from_an_operators_key_to_closed_organizations(
    app: Flask, cast: Cast, tmp_path: Path
) -> None:
    with app.app_context():
        secret = bootstrap.ensure_operator_key(tmp_path)
        assert bootstrap.ensure_operator_key(tmp_path) == secret
        assert (tmp_path / bootstrap.KEY_FILE).stat().st_mode & 0o777 == 0o600
    operator = bearer(secret)
    made = {}
    for kind, roles in (
        ("vendor", [["vendor_admin", "channel_manager"], ["finance"]]),
        ("partner", [["partner_admin"]]),
    ):
        status, row = call(
            app, operator, "POST", "/organizations", {"kind": kind, "name": f"Tour {kind}", "scratch": True}
        )
        assert (status, row["scratch"]) == (201, True)
        made[kind] = row["id"]
        for number, given in enumerate(roles):
            email = f"tour-{number}-{row['id']}@example.com"
            body = {"email": email, "roles": given, "password": PASSWORD}
            status, member = call(app, operator, "POST", f"/organizations/{row['id']}/members", body)
            assert (status, member["email"]) == (201, email)
            body = {"user_id": member["user_id"], "name": "tour"}
            status, key = call(app, operator, "POST", f"/organizations/{row['id']}/keys", body)
            assert status == 201
            made[f"{kind}{number}"] = key["key"]
    both = {"vendor_id": made["vendor"], "partner_id": made["partner"], "tier": "Gold"}
    assert call(app, operator, "POST", "/partnerships", both)[1]["status"] == "invited"
    vendor, partner = bearer(made["vendor0"]), bearer(made["partner0"])
    status, terms = call(app, vendor, "POST", "/terms", {"body": "Write only to people who agreed."})
    assert (status, terms["number"]) == (201, 1)
    assert call(app, partner, "GET", f"/terms?vendor_id={made['vendor']}")[1]["id"] == terms["id"]
    accept = {"vendor_id": made["vendor"], "terms_version_id": terms["id"]}
    assert call(app, partner, "POST", "/terms/accept", accept)[1]["status"] == "active"
    assert call(app, vendor, "GET", "/partnerships")[1]["items"][0]["partner"] == "Tour partner"
    assert call(app, vendor, "POST", f"/organizations/{made['vendor']}/close")[0] == 403
    for kind in ("vendor", "partner", "vendor"):
        status, closed = call(app, operator, "POST", f"/organizations/{made[kind]}/close")
        assert (status, closed["closed_at"] is not None) == (200, True)
    assert call(app, vendor, "GET", "/me")[0] == 401
    with app.app_context(), unit_of_work(None) as session, elevated(session, "a test reads what was closed"):
        people = list(session.scalars(select(Member).where(Member.organization_id == made["vendor"])))
        assert all(one.removed_at and not session.get_one(User, one.user_id).active for one in people)


def test_operators_close_scratch_organizations_only(app: Flask, cast: Cast) -> None:
    status, problem = call(app, cast.key(cast.operator), "POST", f"/organizations/{cast.vendor_id}/close")
    assert (status, "scratch" in problem["detail"]) == (403, True)
    body = {"email": "spy@example.com", "roles": ["vendor_admin"]}
    status, problem = call(app, cast.key(cast.operator), "POST", f"/organizations/{cast.vendor_id}/members", body)
    assert (status, "administrators" in problem["detail"]) == (403, True)


def test_a_vendor_finds_no_other_organization(app: Flask, cast: Cast) -> None:
    headers = cast.key(cast.vendor_admin)
    assert call(app, headers, "GET", f"/organizations/{cast.vendor_id}")[0] == 200
    assert call(app, headers, "GET", f"/organizations/{cast.other_vendor_admin.organization_id}")[0] == 404
    assert call(app, headers, "POST", "/organizations", {"kind": "vendor", "name": "X"})[0] == 403
