"""A key does what its scopes name and nothing else, on every endpoint."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.routing import Rule

from tcma.access import Actor
from tests.factories.cast import Cast
from tests.factories.objects import make_all
from tests.test_routes_matrix import address, base_of

# Who one is, one's own organization, and the words that everyone there has agreed to.
OPEN = {"api_accounts.me", "api_accounts.read_organization", "api_accounts.read_terms", "api-docs.openapi_json"}
REFUSED = {403, 404, 422}


def narrow_key(app: Flask, cast: Cast, actor: Actor, scope: str) -> dict[str, str]:
    answer = app.test_client().post(
        "/api/v1/keys", json={"name": "narrow", "scopes": [scope]}, headers=cast.key(actor), base_url="http://localhost:8000"
    )
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    return {"Authorization": f"Bearer {answer.json['key']}"}


def api_rules(app: Flask) -> list[Rule]:
    found = [one for one in app.url_map.iter_rules() if one.rule.startswith("/api/v1/") and one.endpoint not in OPEN]
    assert len(found) > 80
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("who", ["vendor_admin", "partner_admin"])
def test_a_key_of_another_scope_opens_nothing(app: Flask, cast: Cast, who: str) -> None:
    actor = cast.people[who]
    with app.app_context():
        objects = make_all(cast)
    headers = narrow_key(app, cast, actor, "insights:insight:read")
    client = app.test_client()
    for rule in api_rules(app):
        url, _ = address(app, rule, objects)
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            body = None if method == "GET" else {}
            answer = client.open(url, method=method, base_url=base_of(rule), headers=headers, json=body)
            assert answer.status_code in REFUSED, (who, method, rule.rule, answer.status_code)
