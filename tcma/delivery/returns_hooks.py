"""Webhooks of mail providers: proved to be genuine, stored, and only then answered. They set no cookie and need none."""

from __future__ import annotations

from typing import Any

import structlog
from flask import Response, current_app, request

from tcma.config import settings
from tcma.db import unit_of_work
from tcma.delivery import bounces_webhook, returns, sns
from tcma.delivery.blueprint import bp
from tcma.errors import NotFound

log = structlog.get_logger(__name__)

CERTIFICATES = "tcma.sns_certificates"
"""Where the application keeps the signing keys of SNS, an `sns.Certificates`."""


def _body(largest: int) -> bytes:
    """The body of the request, read only if it is not too large. Raises Refused."""
    if request.content_length is None:
        raise sns.Refused("the post has no length", code=411)
    if request.content_length > largest:
        raise sns.Refused("the post is too large", code=413)
    return request.get_data(cache=False)


@bp.post("/hooks/ses")
def ses_hook() -> Response:
    """A post of SNS. It is answered 200 once it is stored; a replay is stored already and answered the same."""
    topics = settings().topics
    if not topics:
        raise NotFound()
    certificates = current_app.extensions.setdefault(CERTIFICATES, sns.Certificates())
    try:
        post = sns.verify(_body(sns.LARGEST_POST), topics=topics, certificates=certificates)
    except sns.Refused as error:
        return _refuse("ses", error)
    envelope = {"type": post.type, "topic": post.topic, "token": post.token}
    return _kept(source=returns.SES, key=post.message_id, body=post.message.encode(), envelope=envelope)


@bp.post("/hooks/bounces")
def bounce_hook() -> Response:
    """Events of another relay, signed as Standard Webhooks say."""
    secret = settings().bounce_webhook_secret
    if not secret:
        raise NotFound()
    try:
        body = _body(bounces_webhook.LARGEST_POST)
        key = bounces_webhook.verify(dict(request.headers.items(lower=True)), body, secrets=bounces_webhook.secrets_of(secret))
    except sns.Refused as error:
        return _refuse("bounces", error)
    return _kept(source=returns.WEBHOOK, key=key, body=body, envelope={})


def _kept(*, source: str, key: str, body: bytes, envelope: dict[str, Any]) -> Response:
    with unit_of_work(None) as session:
        fresh = returns.keep(session, source=source, key=key, body=body, envelope=envelope)
    return Response("Stored.\n" if fresh else "Known.\n", mimetype="text/plain")


def _refuse(hook: str, error: sns.Refused) -> Response:
    log.warning("webhook_refused", hook=hook, why=str(error))
    return Response(f"Refused: {error}.\n", status=error.code, mimetype="text/plain")
