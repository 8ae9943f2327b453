"""TCMA: through-channel marketing automation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from tcma.config import Settings

__version__ = "0.1.0"


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application. `settings` replaces those of the environment."""
    # The shell imports every room, and each room imports this package: at the top it would be a circle.
    from tcma.web import build_app

    return build_app(settings)
