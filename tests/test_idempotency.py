"""One key, one deed: repeats get the first answer."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from tcma import clock, idempotency
from tcma.accounts.models import Invitation
from tcma.db import unit_of_work
from tcma.errors import Invalid
from tcma.records import IdempotencyKey
from tests.factories.cast import Cast

AT = "http://localhost:8000"
BODY = {"company": "Lumen", "email": "ines@lumen.example.com"}


def invite(app: Flask, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any], str | None]:
    response = app.test_client().post("/api/v1/invitations", json=body, headers=headers, base_url=AT)
    return response.status_code, response.json or {}, response.headers.get("Idempotent-Replayed")


def invitations(app: Flask, cast: Cast) -> int:
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        return len(list(session.scalars(select(Invitation).where(Invitation.organization_id == cast.vendor_id))))


def test_a_repeat_gets_the_first_answer_and_does_nothing(app: Flask, cast: Cast) -> None:
    headers = {**cast.key(cast.vendor_admin), "Idempotency-Key": "one"}
    first = invite(app, headers, BODY)
    again = invite(app, headers, BODY)
    assert (first[0], first[2], again[2]) == (201, None, "true")
    assert first[1] == again[1]
    assert invitations(app, cast) == 1


def test_the_same_key_with_other_words_is_refused(app: Flask, cast: Cast) -> None:
    headers = {**cast.key(cast.vendor_admin), "Idempotency-Key": "two"}
    assert invite(app, headers, BODY)[0] == 201
    status, problem, _ = invite(app, headers, {**BODY, "company": "Other"})
    assert status == 422
    assert "new key" in problem["errors"]["Idempotency-Key"]


def test_a_refused_request_keeps_nothing_and_may_be_mended(app: Flask, cast: Cast) -> None:
    headers = {**cast.key(cast.vendor_admin), "Idempotency-Key": "three"}
    assert invite(app, headers, {**BODY, "email": "not an address"})[0] == 422
    assert invite(app, headers, BODY)[0] == 201


def test_the_same_key_of_another_organization_is_another_key(app: Flask, cast: Cast) -> None:
    for who in (cast.vendor_admin, cast.other_vendor_admin):
        headers = {**cast.key(who), "Idempotency-Key": "four"}
        status, _, repeated = invite(app, headers, BODY)
        assert (status, repeated) == (201, None)


def test_without_a_key_the_work_is_just_done(app: Flask, cast: Cast) -> None:
    headers = cast.key(cast.vendor_admin)
    assert [invite(app, headers, BODY)[0] for _ in range(2)] == [201, 201]
    assert invitations(app, cast) == 2


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 201])
def test_a_key_that_is_none_is_refused(app: Flask, cast: Cast, key: str) -> None:
    with app.app_context(), pytest.raises(Invalid):
        idempotency.once(cast.vendor_admin, lambda session: ({}, 200), key=key, asked=b"x")


def test_a_repeat_during_the_first_is_told_to_wait(app: Flask, cast: Cast) -> None:
    started, go_on = threading.Event(), threading.Event()
    answers: list[idempotency.Answer] = []

    def slow(session: Session) -> tuple[dict[str, Any], int]:
        started.set()
        assert go_on.wait(30)
        return {"n": 1}, 201

    def first() -> None:
        with app.app_context():
            answers.append(idempotency.once(cast.vendor_admin, slow, key="five", asked=b"x"))

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(30)
    try:
        with app.app_context(), pytest.raises(idempotency.StillWorking):
            idempotency.once(cast.vendor_admin, slow, key="five", asked=b"x")
    finally:
        go_on.set()
        thread.join(30)
    with app.app_context():
        again = idempotency.once(cast.vendor_admin, slow, key="five", asked=b"x")
    assert answers == [idempotency.Answer({"n": 1}, 201)]
    assert again == idempotency.Answer({"n": 1}, 201, repeated=True)


def test_answers_are_forgotten_after_a_week(app: Flask, cast: Cast) -> None:
    with app.app_context():
        for key, days in (("old", 8), ("new", 1)):
            with clock.at(clock.now() - timedelta(days=days)):
                idempotency.once(cast.vendor_admin, lambda session: ({}, 200), key=key, asked=b"x")
        with unit_of_work(None) as session:
            assert idempotency.forget_old(session) >= 1
        with unit_of_work(cast.vendor_admin) as session:
            kept = list(session.scalars(select(IdempotencyKey.key)))
    assert kept == ["new"]
