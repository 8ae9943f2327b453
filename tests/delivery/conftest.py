"""What tests of sending share: a real SMTP server that the service sends to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tcma.config import use_settings
from tests.factories.delivery import use_sink
from tests.sinks import SmtpSink


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)
