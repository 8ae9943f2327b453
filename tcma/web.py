"""The shell of the web application: settings, extensions, blueprints, the guard, headers and error pages."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
from datetime import timedelta
from typing import Any

import structlog
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from flask import Blueprint, Flask, Response, abort, g, redirect, request, session, url_for
from flask_babel import Babel, get_locale
from flask_login import user_unauthorized
from flask_smorest import Api
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as WerkzeugResponse

import tcma
from tcma import audit, show
from tcma.accounts import sign_in
from tcma.asking import ask_first
from tcma.config import REPO, Settings, settings, use_settings
from tcma.db import bind, db
from tcma.delivery.redirects import Redirects
from tcma.error_pages import add_error_pages
from tcma.incoming import refuse_unkept_characters
from tcma.logs import configure_logs
from tcma.navigation import add_navigation
from tcma.postgres import database_urls
from tcma.service_api import blp as service_api
from tcma.worker import make_celery, new_celery

log = structlog.get_logger(__name__)
csrf = CSRFProtect()
babel = Babel()

ROOMS = ("accounts", "assets", "audience", "campaigns", "delivery", "leads", "mdf", "insights")

# The public routes stand here and nowhere else; every other route refuses a stranger.
PUBLIC_ENDPOINTS = frozenset(
    {
        "static", "service.healthz", "service.readyz", "service.metrics",
        "security.login", "security.forgot_password", "security.reset_password", "security.logout",
        "accounts.join", "accounts.apply", "accounts.applied",
        "delivery.follow_link", "delivery.open_pixel", "delivery.unsubscribe_page", "delivery.unsubscribe",
        "delivery.privacy_page", "delivery.preferences_page", "delivery.save_preferences",
        "delivery.ses_hook", "delivery.bounce_hook", "assets.brand_logo",
        "leads.landing_page", "leads.answer_form", "leads.thank_you",
        "api-docs.openapi_json",
    }
)  # fmt: skip
# Routes of the tracking origin: links in mails, tenant content. Each origin refuses the other's routes.
TRACKING_ENDPOINTS = frozenset(
    {
        "delivery.follow_link", "delivery.open_pixel", "delivery.unsubscribe_page", "delivery.unsubscribe",
        "delivery.privacy_page", "delivery.preferences_page", "delivery.save_preferences", "assets.brand_logo",
        "leads.landing_page", "leads.answer_form", "leads.thank_you",
    }
)  # fmt: skip
EITHER_ORIGIN = frozenset({"static", "service.healthz", "service.readyz", "service.metrics"})
# Posts that come without cookies or with a bearer key, so no session can be ridden.
CSRF_FREE_ENDPOINTS = frozenset(
    {"delivery.unsubscribe", "delivery.save_preferences", "delivery.ses_hook", "delivery.bounce_hook", "leads.answer_form"}
)


def build_app(given: Settings | None = None) -> Flask:
    """The application with every room that is there."""
    if given is not None:
        use_settings(given)
    conf = settings()
    configure_logs(conf.log_format)
    app = Flask("tcma", static_folder=str(REPO / "static"), template_folder=str(REPO / "tcma" / "templates"))
    _configure(app, conf)
    db.init_app(app)
    csrf.init_app(app)
    babel.init_app(app, locale_selector=_reader_locale, timezone_selector=lambda: show.reader_zone().key)
    show.add_filters(app)
    add_navigation(app)
    sign_in.init_app(app)
    _add_rooms(app)
    add_error_pages(app)
    importlib.import_module("tcma.wiring").wire()
    celery = new_celery(conf)
    celery.set_default()
    app.extensions["celery"] = celery
    make_celery(app)
    app.before_request(_begin)
    app.before_request(_guard)
    app.before_request(refuse_unkept_characters)
    app.before_request(ask_first)
    app.after_request(_headers)
    app.wsgi_app = Redirects(app.wsgi_app)  # type: ignore[method-assign]
    if conf.trusted_proxies:
        hops = conf.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _configure(app: Flask, conf: Settings) -> None:
    keys = [key.hex() for key in conf.derived_keys("flask-session")]
    secure = conf.public_origin.startswith("https://")
    app.config.update(
        SECRET_KEY=keys[0],
        SECRET_KEY_FALLBACKS=keys[1:],
        SQLALCHEMY_ENGINES={
            "default": {"url": database_urls(conf).app, "pool_size": 8, "max_overflow": 8, "pool_pre_ping": True}
        },
        SESSION_COOKIE_NAME="__Host-tcma" if secure else "tcma",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(days=14),
        MAX_CONTENT_LENGTH=64 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=4 * 1024 * 1024,
        WTF_CSRF_TIME_LIMIT=None,
        BABEL_TRANSLATION_DIRECTORIES=str(REPO / "translations"),
        API_TITLE="TCMA",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api/v1",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": "Through-channel marketing automation: the same services as the pages."},
            "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
            "security": [{"key": []}],
        },
        TEMPLATES_AUTO_RELOAD=bool(os.environ.get("TCMA_DEBUG")),
    )


def _add_rooms(app: Flask) -> None:
    """Register each room's `blueprints` of routes.py and api.py. API blueprints take bearer keys only."""
    plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
    api = Api(app, spec_kwargs={"marshmallow_plugin": plugin})
    for room in ROOMS:
        for part in ("routes", "api"):
            name = f"tcma.{room}.{part}"
            if importlib.util.find_spec(name) is None:
                continue
            for blueprint in importlib.import_module(name).blueprints:
                if part == "api":
                    csrf.exempt(blueprint)
                    api.register_blueprint(blueprint, url_prefix=f"/api/v1{blueprint.url_prefix or ''}")
                else:
                    app.register_blueprint(blueprint)
    csrf.exempt(service_api)
    api.register_blueprint(service_api, url_prefix="/api/v1")
    app.register_blueprint(_service_blueprint())
    for endpoint in CSRF_FREE_ENDPOINTS & app.view_functions.keys():
        csrf.exempt(app.view_functions[endpoint])


def _schema_name(schema: Any) -> str:
    """A schema's name in the OpenAPI document, with its room; parts of one are written out where they are used."""
    given = resolve_schema_cls(schema)
    if not isinstance(given, type) or (not isinstance(schema, type) and _is_part(schema)):
        return ""
    room = given.__module__.split(".")[1]
    return f"{room.title()}{given.__name__.removesuffix('Schema')}"


def _is_part(schema: Any) -> bool:
    return bool(getattr(schema, "only", None) or getattr(schema, "exclude", None) or getattr(schema, "partial", None))


def _service_blueprint() -> Blueprint:
    from tcma.service_pages import bp  # needs the extensions above

    return bp


def _begin() -> None:
    """Give the request an id, know who asks, and bind the database session to them."""
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if 8 <= len(given) <= 64 and given.isalnum() else secrets.token_hex(8)
    audit.request_id.set(g.request_id)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id)
    g.csp_nonce = secrets.token_urlsafe(16)
    g.actor = None
    if request.endpoint in ("static", "service.healthz") or _is_tracking():
        return
    g.actor = sign_in.actor_of_key() if request.path.startswith("/api/") else sign_in.actor_of_session()
    if g.actor:
        bind(db.session, g.actor)


def _is_tracking() -> bool:
    return request.endpoint in TRACKING_ENDPOINTS


def _guard() -> WerkzeugResponse | None:
    """Refuse the other origin's routes, and strangers everywhere but on the public routes."""
    conf = settings()
    if request.endpoint is None or request.endpoint in EITHER_ORIGIN:
        return None
    if conf.public_origin != conf.tracking_origin:
        own = conf.tracking_origin if _is_tracking() else conf.public_origin
        other = conf.public_origin if _is_tracking() else conf.tracking_origin
        here = request.host_url.rstrip("/")
        if here == other and here != own:
            abort(404)
    if request.endpoint in PUBLIC_ENDPOINTS or g.actor is not None:
        return None
    if request.path.startswith("/api/"):
        return sign_in.refuse_key()
    if sign_in.signed_in():
        return redirect(url_for("accounts.no_organization")) if request.endpoint != "accounts.no_organization" else None
    user_unauthorized.send(request)
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": url_for("security.login")})
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("security.login", next=target))


def _headers(response: Response) -> Response:
    """Content policy and the other safety headers, on every answer."""
    nonce = g.get("csp_nonce", "")
    track = settings().tracking_origin
    policy = (
        f"default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
        f"img-src 'self' data: {track}; font-src 'self' data:; frame-src 'self' {track}; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
    headers = response.headers
    headers.setdefault("Content-Security-Policy", policy)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "SAMEORIGIN")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
    headers["X-Request-ID"] = g.get("request_id", "")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    if request.endpoint != "static" and not _is_tracking():
        headers.setdefault("Cache-Control", "no-store")
    if (request.endpoint or "").startswith("security."):
        headers["Cache-Control"] = "no-store"  # the library writes “no-store=True”, which caches need not understand
    return response


def _reader_locale() -> str:
    actor = g.get("actor")
    if actor:
        return str(actor.locale)
    return request.accept_languages.best_match(["en", "de", "fr", "es", "nl", "it"]) or "en"


def template_globals() -> dict[str, Any]:
    """What every template may use, beside the filters."""
    return {
        "actor": g.get("actor"),
        "csp_nonce": lambda: g.get("csp_nonce", ""),
        "platform_name": settings().platform_name,
        "lang": str(get_locale() or "en"),
        "version": tcma.__version__,
        "theme": session.get("theme", "system") if request else "system",
    }
