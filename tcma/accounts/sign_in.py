"""Who asks: sign-in by Flask-Security (sessions) and API keys (bearer). Part of the edge, like routes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask, Response, g, request, session
from flask_login import current_user
from flask_security import FSQLALiteUserDatastore, LoginForm, MailUtil, RoleMixin, Security
from flask_security.signals import password_changed, password_reset, user_authenticated

from tcma import buckets, clock, mail
from tcma.access import Actor
from tcma.accounts import queries
from tcma.accounts.models import User
from tcma.config import settings
from tcma.db import bind, db, elevated
from tcma.error_pages import answer
from tcma.errors import RateLimited

SIGN_IN_BY_ADDRESS = buckets.Limit("sign-in-address", burst=10, seconds=900)
SIGN_IN_BY_HOST = buckets.Limit("sign-in-host", burst=60, seconds=900)
API_BY_KEY = buckets.Limit("api-key", burst=600, seconds=60)
API_BY_HOST = buckets.Limit("api-host", burst=120, seconds=60)


class NoRole(RoleMixin):  # type: ignore[misc]
    """Flask-Security wants a role model; our roles are of members, so this one is never stored."""

    name = ""


class ThrottledLoginForm(LoginForm):  # type: ignore[misc]
    """Counts tries by address and by host in stored buckets, before any password is looked at."""

    def validate(self, **kwargs: Any) -> bool:
        host = request.remote_addr or ""
        address = (self.email.data or "").strip().lower()
        allowed = buckets.take(db.session, SIGN_IN_BY_HOST, host) and buckets.take(
            db.session, SIGN_IN_BY_ADDRESS, f"{address}"
        )
        db.session.commit()  # a refused try counts as well
        if not allowed:
            raise RateLimited("Too many sign-in tries. Wait a few minutes, or reset your password.", retry_after=90)
        return bool(super().validate(**kwargs))


class OutboxMailUtil(MailUtil):  # type: ignore[misc]
    """Mails of sign-in (password reset, password changed) through the outbox, in our own words."""

    def send_mail(
        self, template: str, subject: str, recipient: str, sender: Any, body: Any, html: Any, **context: Any
    ) -> None:
        user: User = context["user"]
        with elevated(db.session, "sign-in mail goes out before an organization is chosen"):
            memberships = queries.memberships(db.session, user.id)
            if not memberships:
                return
            mail.post(
                db.session, "password_reset" if "reset_link" in context else "password_changed",
                organization_id=memberships[0].organization_id, to_address=user.email, to_name=user.name,
                data={"origin": settings().public_origin, "name": user.name, "url": context.get("reset_link", "")},
            )  # fmt: skip


security = Security()


def init_app(app: Flask) -> None:
    conf = settings()
    app.config.update(
        SECURITY_PASSWORD_SALT=conf.derived_keys("password-pepper")[-1].hex(),
        SECURITY_PASSWORD_HASH="argon2",
        SECURITY_LOGIN_URL="/sign-in",
        SECURITY_LOGOUT_URL="/sign-out",
        SECURITY_LOGOUT_METHODS=["POST"],
        SECURITY_RECOVERABLE=True,
        SECURITY_RESET_URL="/forgot-password",
        SECURITY_CHANGEABLE=True,
        SECURITY_CHANGE_URL="/me/password",
        SECURITY_PASSWORD_LENGTH_MIN=10,
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SECURITY_POST_LOGIN_VIEW="/",
        SECURITY_POST_LOGOUT_VIEW="/sign-in",
        SECURITY_POST_RESET_VIEW="/sign-in",
        SECURITY_AUTO_LOGIN_AFTER_RESET=False,
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
        SECURITY_LOGIN_USER_TEMPLATE="accounts/sign_in.html",
        SECURITY_FORGOT_PASSWORD_TEMPLATE="accounts/forgot_password.html",
        SECURITY_RESET_PASSWORD_TEMPLATE="accounts/reset_password.html",
        SECURITY_CHANGE_PASSWORD_TEMPLATE="accounts/change_password.html",
    )
    for what in ("LOGIN", "CHANGE_EMAIL", "CONFIRM_EMAIL", "RESET_PASSWORD", "TWO_FACTOR_SETUP", "US_SETUP", "WAN_REGISTER", "WAN_SIGNIN"):
        app.config[f"SECURITY_{what}_WITHIN"] = timedelta(hours=2)
    app.config["SECURITY_TWO_FACTOR_LOGIN_VALIDITY"] = timedelta(days=30)
    app.config["SECURITY_TOKEN_MAX_AGE"] = timedelta(hours=2)
    datastore = FSQLALiteUserDatastore(db, User, NoRole)
    security.init_app(app, datastore, login_form=ThrottledLoginForm, mail_util_cls=OutboxMailUtil)
    user_authenticated.connect(_signed_in, app)
    password_changed.connect(_end_other_sessions, app)
    password_reset.connect(_end_other_sessions, app)


def _signed_in(app: Flask, user: User, **extra: Any) -> None:
    user.last_login_at = clock.now()
    buckets.forget(db.session, SIGN_IN_BY_ADDRESS, user.email)


def _end_other_sessions(app: Flask, user: User, **extra: Any) -> None:
    session.pop("organization", None)


def signed_in() -> bool:
    return bool(current_user.is_authenticated)


def actor_of_session() -> Actor | None:
    """The signed-in user acting for the chosen organization, or the last one, or the first."""
    if not current_user.is_authenticated:
        return None
    user: User = current_user._get_current_object()
    _see_own_memberships(user.id)
    mine = queries.memberships(db.session, user.id)
    if not mine:
        return None
    wanted = session.get("organization") or str(user.last_organization_id or "")
    member = next((one for one in mine if str(one.organization_id) == wanted), mine[0])
    g.organizations = [
        queries.Choice(one.organization_id, one.organization.name, one.organization.kind, one is member) for one in mine
    ]
    g.member = member
    return queries.actor_of(member, user)


def _see_own_memberships(user_id: UUID) -> None:
    """Before an organization is chosen, the session sees the user's own memberships and nothing else."""
    bind(db.session, Actor(organization_id=UUID(int=0), kind=queries.Kind.PARTNER, user_id=user_id))


def actor_of_key() -> Actor | None:
    """The actor of “Authorization: Bearer tcma_…”, or None. Throttled by key, and by host where there is none."""
    header = request.headers.get("Authorization", "")
    presented = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else ""
    actor = queries.find_actor_of_key(db.session, presented) if presented else None
    limit, subject = (API_BY_KEY, str(actor.api_key_id)) if actor else (API_BY_HOST, request.remote_addr or "")
    allowed = buckets.take(db.session, limit, subject)
    db.session.commit()
    if not allowed:
        raise RateLimited(retry_after=5)
    return actor


def refuse_key() -> Response:
    response = answer(401, "Please send an API key", "Send “Authorization: Bearer tcma_…” with a key that is neither revoked nor expired.")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


