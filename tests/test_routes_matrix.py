"""Every route × every role × every tenant: never a fault, never another tenant's object.

Rooms that land later are covered by themselves; their factories say what their parameters stand for
(see tests/factories/objects.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tcma.access import Actor
from tcma.config import settings
from tcma.web import PUBLIC_ENDPOINTS, TRACKING_ENDPOINTS
from tests.factories.cast import Cast, make_cast
from tests.factories.objects import Known, make_all

WALKERS = [
    "stranger", "operator", "other_vendor_admin", "rival", "finance", "channel_manager", "vendor_marketer",
    "partner_marketer", "partner_admin", "vendor_admin",
]  # fmt: skip
# These sign out, which would end the walk.
NOT_WALKED = {"static", "security.logout", "accounts.join_as_other"}
NOBODY = {"UUIDConverter": "01900000-0000-7000-8000-000000000000", "IntegerConverter": 999_999_999}
REFUSED = {400, 401, 403, 404, 405, 409, 410, 415, 422, 429}


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in NOT_WALKED and not rule.endpoint.endswith(".static"):
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                yield rule, method


def address(app: Flask, rule: Rule, objects: dict[str, Known]) -> tuple[str, dict[str, Known]]:
    """The path with ids that exist where a factory knows them, and the objects that it names."""
    values: dict[str, object] = dict(rule.defaults or {})
    named: dict[str, Known] = {}
    for name, converter in rule._converters.items():
        if name in objects:
            named[name] = objects[name]
            values[name] = objects[name].value
        else:
            choices = sorted(getattr(converter, "items", ()))
            values[name] = choices[0] if choices else NOBODY.get(type(converter).__name__, "sample")
    url = app.url_map.bind("localhost").build(rule.endpoint, values, method=next(iter(rule.methods or {"GET"})))
    return url, named


def base_of(rule: Rule) -> str:
    return settings().tracking_origin if rule.endpoint in TRACKING_ENDPOINTS else settings().public_origin


def walk(
    app: Flask, browser: FlaskClient, headers: dict[str, str], objects: dict[str, Known]
) -> Iterator[tuple[Rule, str, dict[str, Known], int, str]]:
    for rule, method in routes(app):
        url, named = address(app, rule, objects)
        api = urlsplit(url).path.startswith("/api/")
        response = browser.open(
            url, method=method, base_url=base_of(rule), headers=headers if api else None,
            json={} if api and method != "GET" else None,
        )  # fmt: skip
        yield rule, method, named, response.status_code, response.get_data(as_text=True)


@pytest.mark.parametrize("name", WALKERS)
@pytest.mark.timeout(300)
def test_no_route_faults_or_shows_what_is_anothers(app: Flask, name: str) -> None:
    with app.app_context():
        cast: Cast = make_cast(app)
        objects = make_all(cast)
    actor: Actor | None = cast.people.get(name)
    browser = cast.client(actor)
    headers = cast.key(actor) if actor else {}
    for rule, method, named, status, page in walk(app, browser, headers, objects):
        where = (name, method, rule.rule, status)
        assert status < 500, where
        if actor is None and rule.endpoint not in PUBLIC_ENDPOINTS:
            assert status in REFUSED | {302}, where
        for one in named.values():
            if actor is not None and one.parties and actor.organization_id not in one.parties:
                assert status in REFUSED, where
                assert not [mark for mark in one.marks if mark in page], where
