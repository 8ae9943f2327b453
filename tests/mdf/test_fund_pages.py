"""The form of a new fund, as a person presses it, and the page of a fund of many partners."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tcma import clock
from tcma.db import bind, db
from tcma.mdf import queries
from tcma.mdf.models import Fund
from tests.factories.cast import Cast
from tests.factories.mdf import make_money, make_programme

BASE = "http://localhost:8000"


def test_a_form_pressed_twice_makes_one_fund(app: Flask, cast: Cast) -> None:
    with app.app_context():
        programme = make_programme(cast.vendor_admin)
    client = cast.client(cast.vendor_admin)
    shown = client.get(f"/funds/new?programme={programme.id}", base_url=BASE).text
    once = re.search(r'name="once"[^>]*value="([^"]+)"', shown)
    assert once is not None
    typed = {
        "once": once.group(1), "programme_id": str(programme.id), "name": "Pressed twice", "budget": "1,000.00",
        "begins_on": clock.today().isoformat(), "ends_on": (clock.today() + timedelta(days=90)).isoformat(),
    }  # fmt: skip
    answers = [client.post("/funds/new", data=typed, base_url=BASE) for _press in range(2)]
    assert [one.status_code for one in answers] == [303, 303]
    assert answers[0].location == answers[1].location
    with app.app_context():
        bind(db.session, cast.vendor_admin)
        assert len(db.session.scalars(select(Fund).where(Fund.programme_id == programme.id)).all()) == 1


def test_the_partners_of_a_fund_come_page_by_page(app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 1)
    with app.app_context():
        money = make_money(cast, partners=(cast.partner_id, cast.rival_id))
    client = cast.client(cast.finance)
    seen, address = [], f"/funds/{money.fund.id}"
    for _page in range(2):
        page = client.get(address, base_url=BASE).text
        seen += re.findall(r"/requests\?partner=([0-9a-f-]{36})", page)
        older = re.search(rf'href="(/funds/{money.fund.id}\?after=[^"]+)"', page)
        address = older[1] if older else ""
    assert address == ""
    assert sorted(seen) == sorted([str(cast.partner_id), str(cast.rival_id)])
