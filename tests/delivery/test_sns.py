"""Posts of SNS over HTTP: only what Amazon signed for a topic of ours is stored, once, before it is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tcma import clock
from tcma.config import settings, use_settings
from tcma.db import db, elevated, unit_of_work
from tcma.delivery import sns
from tcma.delivery.models_returns import Return
from tcma.delivery.returns_hooks import CERTIFICATES
from tests.factories.returns import TOPIC, Amazon


@pytest.fixture
def amazon(app: Flask) -> Iterator[Amazon]:
    """The application believes posts of TOPIC, and fetches certificates from a throwaway signer."""
    before = settings()
    use_settings(before.model_copy(update={"sns_topics": f"{TOPIC}, arn:aws:sns:eu-west-1:123456789012:other"}))
    made = Amazon()
    app.extensions[CERTIFICATES] = sns.Certificates(made.fetch)
    with app.app_context():
        yield made
    app.extensions.pop(CERTIFICATES)
    use_settings(before)


def send(client: FlaskClient, post: dict[str, object] | bytes) -> int:
    body = post if isinstance(post, bytes) else json.dumps(post).encode()
    answer = client.post("/hooks/ses", data=body, content_type="text/plain; charset=UTF-8", base_url=settings().public_origin)
    return answer.status_code


def stored() -> int:
    with unit_of_work(None), elevated(db.session, "a test counts"):
        return db.session.scalar(select(func.count()).select_from(Return)) or 0


def test_a_genuine_post_is_stored_once_however_often_it_comes(amazon: Amazon, client: FlaskClient) -> None:
    before = stored()
    post = amazon.post({"eventType": "Send", "mail": {}})
    assert [send(client, post) for _ in range(3)] == [200, 200, 200]
    assert stored() == before + 1
    assert len(amazon.fetched) == 1, "the certificate is kept"


def test_the_subject_is_signed_where_there_is_one(amazon: Amazon, client: FlaskClient) -> None:
    assert send(client, amazon.post({}, Subject="Amazon SES")) == 200
    assert send(client, {**amazon.post({}), "Subject": "put in later"}) == 403


@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "Signature"])
def test_a_changed_post_is_refused(amazon: Amazon, client: FlaskClient, name: str) -> None:
    before = stored()
    post = amazon.post({"eventType": "Bounce"})
    changed = {"Timestamp": "2026-01-01T00:00:00.000Z", "Signature": "AAAA"}.get(name, str(post[name]) + "x")
    assert send(client, {**post, name: changed}) == 403
    assert stored() == before


def test_another_signer_is_refused(amazon: Amazon, client: FlaskClient) -> None:
    assert send(client, Amazon().post({"eventType": "Bounce"})) == 403


def test_another_topic_is_refused_before_anything_is_fetched(amazon: Amazon, client: FlaskClient) -> None:
    post = amazon.post({}, TopicArn="arn:aws:sns:eu-central-1:999999999999:ses-events")
    assert send(client, post) == 403
    assert amazon.fetched == []


def test_the_old_signature_of_sha1_is_refused(amazon: Amazon, client: FlaskClient) -> None:
    assert send(client, amazon.post({}, SignatureVersion="1")) == 403
    assert amazon.fetched == []


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/a.pem", "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com/a.pem", "https://sns.eu-central-1.amazonaws.com:8443/a.pem",
        "https://user@sns.eu-central-1.amazonaws.com/a.pem", "https://sns.eu-central-1.amazonaws.com/a.pem?x=1",
        "https://sns.eu-central-1.amazonaws.com/a.crt", "https://sns.eu-central-1.amazonaws.com/../a.pem",
        "https://xsns.eu-central-1.amazonaws.com/a.pem", "https://sns.eu-central-1.amazonaws.com/a.pem#x",
        "https://sns.e.amazonaws.com/a.pem", "https://169.254.169.254/a.pem", "file:///etc/passwd", "", "https://[::1/a.pem",
        "https://sns.eu-central-1.amazonaws.com\\@evil.example/a.pem", "https://sns.eu-central-1.amazonaws.com/a.pem\n",
        "HTTPS://SNS.eu-central-1.amazonaws.com/a.pem",
    ],
)  # fmt: skip
def test_a_certificate_is_fetched_from_nowhere_but_amazon(amazon: Amazon, client: FlaskClient, url: str) -> None:
    assert send(client, amazon.post({}, SigningCertURL=url)) == 403
    assert amazon.fetched == []


def test_the_addresses_of_china_are_amazons_too() -> None:
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"
    assert sns.certificate_address(url) == url


def test_a_certificate_out_of_date_is_refused(amazon: Amazon, app: Flask, client: FlaskClient) -> None:
    app.extensions[CERTIFICATES] = sns.Certificates(lambda url: amazon.certificate(days=-1))
    assert send(client, amazon.post({})) == 403


def test_a_certificate_that_is_none_is_refused(amazon: Amazon, app: Flask, client: FlaskClient) -> None:
    app.extensions[CERTIFICATES] = sns.Certificates(lambda url: b"<html>not found</html>")
    assert send(client, amazon.post({})) == 403


@pytest.mark.parametrize("minutes", [-121, 16])
def test_a_post_from_another_time_is_refused(amazon: Amazon, client: FlaskClient, minutes: int) -> None:
    with clock.at(clock.now() + timedelta(minutes=minutes)):
        post = amazon.post({})
    assert send(client, post) == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 411), (b"{", 400), (b"[]", 400), (b'"x"', 400), (b"[" * 100_000, 400), (b'{"Type": "Notification"}', 400),
        (b'{"Type": "Other", "MessageId": "1", "TopicArn": "x", "Message": "", "Timestamp": ""}', 400),
        (b"x" * (sns.LARGEST_POST + 1), 413),
    ],
)  # fmt: skip
def test_what_is_no_post_is_refused_in_words(amazon: Amazon, client: FlaskClient, body: bytes, status: int) -> None:
    assert send(client, body) == status


def test_without_topics_there_is_no_such_page(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        assert send(client, b"{}") == 404


def test_the_fetcher_follows_no_redirect_and_reads_no_more_than_it_must() -> None:
    """A real server: what it would lead to or send too much of is not taken."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/redirect.pem" else 200)
            self.send_header("Location", "/large.pem")
            self.end_headers()
            if self.path == "/large.pem":
                self.wfile.write(b"x" * (sns.LARGEST_CERTIFICATE + 5000))
            elif self.path == "/fits.pem":
                self.wfile.write(b"PEM")

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        assert sns.fetch_certificate(f"{base}/fits.pem") == b"PEM"
        for path in ("redirect", "large"):
            with pytest.raises(sns.Refused):
                sns.fetch_certificate(f"{base}/{path}.pem")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
