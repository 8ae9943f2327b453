"""What comes in from outside and cannot be kept is refused in words, whatever page or endpoint it is sent to."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.factories.cast import Cast

BASE = "http://localhost:8000"


@pytest.mark.parametrize("path", ["/launches", "/catalogue", "/kits", "/leads", "/contacts", "/claims", "/requests", "/search"])
def test_a_search_for_a_zero_byte_is_refused_in_words(cast: Cast, path: str) -> None:
    browser = cast.client(cast.partner_marketer)
    answer = browser.get(f"{path}?q=a%00b", base_url=BASE)
    assert answer.status_code == 400
    assert "cannot be kept" in answer.text


def test_a_zero_byte_typed_into_a_form_is_refused_and_nothing_is_kept(app: Flask, cast: Cast) -> None:
    browser = cast.client(cast.partner_marketer)
    answer = browser.post("/lists", data={"name": "Zwei\0felhaft"}, base_url=BASE)
    assert answer.status_code == 400
    assert "felhaft" not in browser.get("/lists", base_url=BASE).text


@pytest.mark.parametrize("name", [r"a\u0000b", r"a\ud83d", r"\udc00"])
def test_json_with_a_character_that_cannot_be_kept_is_refused(app: Flask, cast: Cast, name: str) -> None:
    headers = {**cast.key(cast.partner_marketer), "Content-Type": "application/json"}
    answer = app.test_client().post("/api/v1/lists", data=f'{{"name": "{name}"}}', headers=headers, base_url=BASE)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"


def test_json_with_a_whole_pair_or_a_written_backslash_is_taken(app: Flask, cast: Cast) -> None:
    headers = {**cast.key(cast.partner_marketer), "Content-Type": "application/json"}
    for written, kept in ((r"\ud83d\ude00", "\U0001f600"), (r"\\u0000", r"\u0000")):
        answer = app.test_client().post("/api/v1/lists", data=f'{{"name": "{written}"}}', headers=headers, base_url=BASE)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        assert answer.json["name"] == kept


@pytest.mark.parametrize("body", ["[" * 100_000, '{"name":' * 400 + '"x"' + "}" * 400, '{"name": ' + "[" * 60 + "]" * 60 + "}"])
def test_json_nested_without_end_is_refused(app: Flask, cast: Cast, body: str) -> None:
    headers = {**cast.key(cast.partner_marketer), "Content-Type": "application/json"}
    answer = app.test_client().post("/api/v1/lists", data=body, headers=headers, base_url=BASE)
    assert answer.status_code == 400
    assert "deep" in answer.text


@pytest.mark.parametrize("path", ["/apply/a%00b", "/join/a%00b", "/forgot-password/a%00b", "/launches/%00"])
def test_nothing_has_an_address_with_a_zero_byte(app: Flask, cast: Cast, path: str) -> None:
    assert app.test_client().get(path, base_url=BASE).status_code == 404
