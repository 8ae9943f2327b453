"""Signing in and out, in our own pages."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from tests.factories.cast import PASSWORD, Cast

AT = "http://localhost:8000"


def sign_in(browser: FlaskClient, email: str, password: str = PASSWORD, **more: str) -> tuple[int, str]:
    response = browser.post("/sign-in", data={"email": email, "password": password, **more}, base_url=AT)
    return response.status_code, response.get_data(as_text=True)


def test_the_right_password_opens_the_door_and_sign_out_closes_it(app: Flask, cast: Cast) -> None:
    browser = app.test_client()
    assert sign_in(browser, cast.partner_marketer.email)[0] == 302
    assert browser.get("/me", base_url=AT).status_code == 200
    assert browser.post("/sign-out", base_url=AT).status_code == 302
    assert browser.get("/me", base_url=AT).status_code == 302


def test_unknown_address_wrong_password_and_closed_account_get_one_answer(app: Flask, cast: Cast) -> None:
    browser = app.test_client()
    wrong = sign_in(browser, cast.partner_marketer.email, "not the password")
    unknown = sign_in(browser, "nobody-at-all@example.com", "not the password")
    assert "do not belong together" in wrong[1]
    assert wrong[1].replace(cast.partner_marketer.email, "X").count("field-error") == 0
    assert strip(wrong[1], cast.partner_marketer.email) == strip(unknown[1], "nobody-at-all@example.com")


def strip(page: str, address: str) -> str:
    """The page without what differs in every answer: the address itself, tokens and nonces."""
    import re

    page = page.replace(address, "ADDRESS")
    page = re.sub(r'nonce="[^"]*"', "", page)
    return re.sub(r'(name="csrf_token"|name="csrf-token")[^>]*', "", page)
