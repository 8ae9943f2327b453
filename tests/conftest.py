"""A real database for each worker, the application on it, and the cast.

Tests commit for real. Each builds its own organizations, so tenancy itself keeps tests apart.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import randrange

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from tcma import config, create_app
from tcma.config import Settings, use_settings
from tcma.db import db
from tcma.migrate import upgrade
from tcma.postgres import EmbeddedPostgres, start_throwaway
from tests.factories.cast import Cast, make_cast

# Busy machines are slow now and then, which is no failure; and a run that failed fails again.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="tcma-test-"))
    server = start_throwaway(folder)
    yield server
    server.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def test_settings(cluster: EmbeddedPostgres) -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="tcma-data-"))
    cluster.create_database("checks")
    owner = cluster.url("tcma_owner", database="checks")
    upgrade(owner)
    yield Settings(
        _env_file=None,
        data_dir=folder,
        database_url=cluster.url("tcma_app", database="checks"),
        migration_url=owner,
        secret_key="for-tests-only",
        suppression_key="for-tests-only-too",
        smtp_url="smtp://127.0.0.1:9",
        broker_url="memory://",
    )
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def app(test_settings: Settings) -> Iterator[Flask]:
    application = create_app(test_settings)
    application.config.update(TESTING=True, WTF_CSRF_ENABLED=False, PROPAGATE_EXCEPTIONS=False)
    yield application
    with application.app_context():
        db.engine.dispose()
    use_settings(None)


@pytest.fixture(autouse=True)
def settings_stay() -> Iterator[None]:
    """Whatever a test sets, the next one finds the settings as they were."""
    before = config._settings
    yield
    if before is not None:
        use_settings(before)


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    """The session of an application context, bound to nobody until `unit_of_work` or `bind`."""
    with app.app_context():
        yield db.session


@pytest.fixture
def cast(app: Flask) -> Cast:
    """Fresh organizations and people: two vendors, a partner of both, a rival partner, a stranger."""
    with app.app_context():
        return make_cast(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser on a machine of its own, so that no test uses up another's share of what hosts are allowed."""
    made = app.test_client()
    made.environ_base["REMOTE_ADDR"] = f"10.{randrange(256)}.{randrange(256)}.{randrange(1, 255)}"
    return made
