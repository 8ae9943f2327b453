"""Signing in and out, forgotten passwords, throttling, sessions and CSRF, through the pages."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tcma import clock
from tcma.accounts.models import Member, Partnership, User
from tcma.accounts.sign_in import FORGOT_BY_ADDRESS, SIGN_IN_BY_ADDRESS
from tcma.config import settings
from tcma.db import db, elevated, unit_of_work
from tcma.records import OutboxMail
from tests.factories.cast import PASSWORD, Cast

AT = "http://localhost:8000"
NEW_PASSWORD = "four words are better still"
_hosts = iter(range(1, 60_000))


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """A browser on a machine of its own, so that the limits by host of other tests do not count."""
    number = next(_hosts)
    found = app.test_client()
    found.environ_base["REMOTE_ADDR"] = f"10.{number >> 8}.{number & 255}.7"
    return found


def sign_in(browser: FlaskClient, email: str, password: str = PASSWORD, **more: str) -> tuple[int, str]:
    response = browser.post("/sign-in", data={"email": email, "password": password, **more}, base_url=AT)
    return response.status_code, response.get_data(as_text=True)


def same_words(page: str, address: str) -> str:
    """The page without what differs in every answer: the address itself, tokens and nonces."""
    page = re.sub(r'nonce="[^"]*"', "", page.replace(address, "ADDRESS"))
    return re.sub(r"<(input|meta)[^>]*csrf[^>]*>", "", page)


def mail_to(app: Flask, address: str) -> list[OutboxMail]:
    with app.app_context(), unit_of_work(None) as session, elevated(session, "a test reads the outbox"):
        return list(session.scalars(select(OutboxMail).where(OutboxMail.to_address == address)))


def test_the_right_password_opens_the_door_and_sign_out_closes_it(browser: FlaskClient, cast: Cast) -> None:
    assert sign_in(browser, cast.partner_marketer.email.upper())[0] == 302
    assert browser.get("/me", base_url=AT).status_code == 200
    assert browser.get("/sign-out", base_url=AT).status_code == 405
    assert browser.post("/sign-out", base_url=AT).status_code == 302
    assert browser.get("/me", base_url=AT).status_code == 302


def test_unknown_address_wrong_password_and_closed_account_get_one_answer(
    app: Flask, browser: FlaskClient, cast: Cast
) -> None:
    with app.app_context(), unit_of_work(None) as session:
        session.get_one(User, cast.finance.user_id).active = False
    answers = {
        same_words(sign_in(browser, address, password)[1], address)
        for address, password in (
            (cast.partner_marketer.email, "not the password"),
            (cast.finance.email, PASSWORD),
            ("nobody-at-all@example.com", "not the password"),
        )
    }
    assert len(answers) == 1
    assert "do not belong together" in answers.pop()


def test_the_next_page_is_one_of_ours(browser: FlaskClient, cast: Cast) -> None:
    response = browser.post(
        "/sign-in?next=https://evil.example/", data={"email": cast.rival.email, "password": PASSWORD}, base_url=AT
    )
    assert "evil.example" not in response.headers.get("Location", "")


def test_too_many_tries_for_one_address_are_refused_whoever_tries(browser: FlaskClient, cast: Cast) -> None:
    for _ in range(SIGN_IN_BY_ADDRESS.burst):
        assert sign_in(browser, cast.rival.email, "wrong wrong wrong")[0] == 200
    status, page = sign_in(browser, cast.rival.email)
    assert status == 429
    assert "Wait a few minutes" in page
    assert sign_in(browser, cast.partner_admin.email)[0] == 302


def test_a_forgotten_password_gets_one_answer_and_a_mail_only_where_there_is_an_account(
    app: Flask, browser: FlaskClient, cast: Cast
) -> None:
    pages = set()
    for address in (cast.rival.email, "nobody-at-all@example.com"):
        response = browser.post("/forgot-password", data={"email": address}, base_url=AT)
        assert response.status_code == 200
        pages.add(same_words(response.get_data(as_text=True), address))
    assert len(pages) == 1
    assert [one.template for one in mail_to(app, cast.rival.email)] == ["password_reset"]
    assert mail_to(app, "nobody-at-all@example.com") == []


def test_mails_to_one_address_are_few(app: Flask, browser: FlaskClient, cast: Cast) -> None:
    for _ in range(FORGOT_BY_ADDRESS.burst):
        assert browser.post("/forgot-password", data={"email": cast.rival.email}, base_url=AT).status_code == 200
    assert browser.post("/forgot-password", data={"email": cast.rival.email}, base_url=AT).status_code == 429
    assert len(mail_to(app, cast.rival.email)) == FORGOT_BY_ADDRESS.burst


def reset_path(app: Flask, browser: FlaskClient, address: str) -> str:
    browser.post("/forgot-password", data={"email": address}, base_url=AT)
    url = str(mail_to(app, address)[-1].data["url"])
    assert url.startswith(AT)
    return url.removeprefix(AT)


def set_password(browser: FlaskClient, path: str, password: str = NEW_PASSWORD) -> int:
    data = {"password": password, "password_confirm": password}
    return browser.post(path, data=data, base_url=AT).status_code


def test_a_reset_link_works_once_and_ends_all_sessions(app: Flask, browser: FlaskClient, cast: Cast) -> None:
    other_device = app.test_client()
    assert sign_in(other_device, cast.rival.email)[0] == 302
    path = reset_path(app, browser, cast.rival.email)
    assert set_password(browser, path, "short") == 200
    assert set_password(browser, path) == 302
    assert other_device.get("/me", base_url=AT).status_code == 302
    assert sign_in(browser, cast.rival.email, NEW_PASSWORD)[0] == 302
    browser.post("/sign-out", base_url=AT)
    assert set_password(browser, path, "another one entirely") == 302
    assert sign_in(browser, cast.rival.email, "another one entirely")[0] == 200


@pytest.mark.parametrize("harm", [lambda path: path[:-3] + "abc", lambda path: "/forgot-password/nonsense"])
def test_a_forged_reset_link_opens_nothing(app: Flask, browser: FlaskClient, cast: Cast, harm: object) -> None:
    path = harm(reset_path(app, browser, cast.rival.email))  # type: ignore[operator]
    assert set_password(browser, path) == 302
    assert sign_in(browser, cast.rival.email, NEW_PASSWORD)[0] == 200


def test_a_change_of_password_signs_out_every_other_device(app: Flask, browser: FlaskClient, cast: Cast) -> None:
    other_device = app.test_client()
    for one in (browser, other_device):
        assert sign_in(one, cast.partner_admin.email)[0] == 302
    data = {"password": PASSWORD, "new_password": NEW_PASSWORD, "new_password_confirm": NEW_PASSWORD}
    assert browser.post("/me/password", data=data, base_url=AT).status_code == 302
    assert browser.get("/me", base_url=AT).status_code == 200
    assert other_device.get("/me", base_url=AT).status_code == 302
    assert "password_changed" in [one.template for one in mail_to(app, cast.partner_admin.email)]


def test_forms_without_their_token_are_refused(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.vendor_admin)
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        for path in ("/sign-in", "/switch", "/me", "/settings/members", "/settings/keys", "/sign-out", "/apply/x"):
            response = browser.post(path, data={"email": "x@example.com"}, base_url=AT)
            assert response.status_code in (302, 400), path
            if response.status_code == 302:
                assert path == "/sign-in"  # already signed in: nothing happens
        assert browser.get("/me", base_url=AT).status_code == 200
    finally:
        app.config["WTF_CSRF_ENABLED"] = False


def test_switching_to_a_foreign_organization_is_refused(cast: Cast) -> None:
    browser = cast.client(cast.partner_admin)
    response = browser.post("/switch", data={"organization": str(cast.rival_id)}, base_url=AT)
    assert response.status_code == 404
    with browser.session_transaction() as state:
        state["organization"] = str(cast.rival_id)
    page = browser.get("/settings/organization", base_url=AT).get_data(as_text=True)
    assert "Rival Systems" not in page


def test_switching_keeps_to_the_next_sign_in(app: Flask, browser: FlaskClient, cast: Cast) -> None:
    from tcma.access import Role
    from tcma.accounts import services
    from tcma.accounts.models import Organization

    with app.app_context(), unit_of_work(cast.operator) as session:
        user = session.get_one(User, cast.partner_admin.user_id)
        with elevated(session, "a test gives one person two places"):
            rival = session.get_one(Organization, cast.rival_id)
            services.add_member(session, cast.operator, rival, user, roles={Role.PARTNER_MARKETER})
    sign_in(browser, cast.partner_admin.email)
    assert browser.post("/switch", data={"organization": str(cast.rival_id)}, base_url=AT).status_code == 303
    browser.post("/sign-out", base_url=AT)
    sign_in(browser, cast.partner_admin.email)
    assert "Rival Systems" in browser.get("/me", base_url=AT).get_data(as_text=True).split("</header>")[0]


def test_a_person_without_an_organization_is_told_so(app: Flask, browser: FlaskClient, cast: Cast) -> None:
    with app.app_context(), unit_of_work(cast.rival) as session:
        session.scalars(select(Member).where(Member.user_id == cast.rival.user_id)).one().removed_at = clock.now()
    sign_in(browser, cast.rival.email)
    response = browser.get("/me", base_url=AT, follow_redirects=True)
    assert "You belong to no organization" in response.get_data(as_text=True)


def test_a_partner_is_seen_at_most_once_an_hour(app: Flask, browser: FlaskClient, cast: Cast) -> None:
    def seen() -> Partnership:
        with app.app_context(), unit_of_work(cast.rival) as session:
            return session.scalars(select(Partnership).where(Partnership.partner_id == cast.rival_id)).one()

    sign_in(browser, cast.rival.email)
    browser.get("/me", base_url=AT)
    first = seen()
    assert first.first_signed_in_at is not None
    assert first.last_active_at == first.first_signed_in_at
    for after, moved in ((timedelta(minutes=30), False), (timedelta(minutes=61), True)):
        with clock.at(first.first_signed_in_at + after):
            browser.get("/me", base_url=AT)
        assert (seen().last_active_at != first.last_active_at) is moved
    assert seen().first_signed_in_at == first.first_signed_in_at


def test_the_demo_signs_in_by_one_press_and_only_the_demo(
    app: Flask, browser: FlaskClient, cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    person = {"role": "Partner marketing", "name": "Paula", "organization": "Acme IT"}
    signs = [{**person, "email": cast.partner_admin.email, "password": PASSWORD}]
    (tmp_path / "demo.json").write_text(json.dumps(signs))
    monkeypatch.setattr(settings(), "data_dir", tmp_path)
    assert "Look around" not in browser.get("/sign-in", base_url=AT).get_data(as_text=True)
    assert browser.post("/sign-in", data={"demo": "0"}, base_url=AT).status_code == 200
    monkeypatch.setattr(settings(), "demo", True)
    page = browser.get("/sign-in", base_url=AT).get_data(as_text=True)
    assert "Sign in as Paula" in page
    assert PASSWORD not in page
    assert browser.post("/sign-in", data={"demo": "7"}, base_url=AT).status_code == 200
    assert browser.post("/sign-in", data={"demo": "0"}, base_url=AT).status_code == 302
    assert browser.get("/me", base_url=AT).status_code == 200


def test_a_profile_is_saved_and_mended(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.finance)
    good = {"name": "Fiona F.", "locale": "de", "timezone": "Europe/Berlin"}
    assert browser.post("/me", data=good, base_url=AT).status_code == 303
    assert browser.post("/me", data={**good, "name": ""}, base_url=AT).status_code == 422
    assert browser.post("/me", data={**good, "timezone": "Mars/Base"}, base_url=AT).status_code == 422
    with app.app_context():
        user = db.session.get_one(User, cast.finance.user_id)
        assert (user.name, user.locale, user.timezone) == ("Fiona F.", "de", "Europe/Berlin")


@pytest.mark.parametrize("path", ["/sign-in", "/forgot-password"])
def test_no_cache_keeps_a_page_of_sign_in(app: Flask, path: str) -> None:
    assert app.test_client().get(path, base_url="http://localhost:8000").headers["Cache-Control"] == "no-store"
