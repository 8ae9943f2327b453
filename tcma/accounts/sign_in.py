"""Who asks: sign-in by Flask-Security (sessions) and API keys (bearer). Part of the edge, like routes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, TypedDict
from uuid import UUID

from flask import Flask, Response, g, request, session
from flask_login import current_user
from flask_security import (
    ForgotPasswordForm,
    FSQLALiteUserDatastore,
    LoginForm,
    MailUtil,
    RoleMixin,
    Security,
)
from flask_security.signals import password_changed, password_reset, user_authenticated
from flask_security.utils import hash_password

from tcma import buckets, clock, mail
from tcma.access import Actor, Kind
from tcma.accounts import queries, services
from tcma.accounts.models import User
from tcma.config import settings
from tcma.db import bind, db, elevated, unit_of_work
from tcma.error_pages import answer
from tcma.errors import RateLimited

SIGN_IN_BY_ADDRESS = buckets.Limit("sign-in-address", burst=10, seconds=900)
SIGN_IN_BY_HOST = buckets.Limit("sign-in-host", burst=60, seconds=900)
FORGOT_BY_ADDRESS = buckets.Limit("forgot-address", burst=3, seconds=3600)
FORGOT_BY_HOST = buckets.Limit("forgot-host", burst=30, seconds=3600)
API_BY_KEY = buckets.Limit("api-key", burst=600, seconds=60)
API_BY_HOST = buckets.Limit("api-host", burst=120, seconds=60)


# What Flask-Security says, in our words: (message, category of the notice).
WORDS = {
    "PASSWORD_RESET_REQUEST": ("If this address has an account, a mail with a link is on its way.", "info"),
    "PASSWORD_RESET_EXPIRED": ("This link has expired. Ask for a new one here.", "warning"),
    "INVALID_RESET_PASSWORD_TOKEN": (
        "This link has been used or replaced by a newer one. Ask for a new one here.",
        "warning",
    ),
    "PASSWORD_RESET_NO_LOGIN": ("Your new password is set. Sign in with it.", "success"),
    "PASSWORD_CHANGE": ("Your password is changed. All other devices are signed out.", "success"),
    "PASSWORD_INVALID_LENGTH": (
        "Use at least %(length)s characters. Three or four words make a good one.",
        "error",
    ),
    "PASSWORD_NOT_PROVIDED": ("Enter a password.", "error"),
    "RETYPE_PASSWORD_MISMATCH": ("The two passwords differ. Type the same one twice.", "error"),
    "PASSWORD_IS_THE_SAME": ("This is your present password. Choose another one.", "error"),
    "INVALID_PASSWORD": ("This is not your present password.", "error"),
    "LOGIN": ("Sign in to see this page.", "info"),
    "UNAUTHENTICATED": ("Sign in to see this page.", "info"),
    "EMAIL_NOT_PROVIDED": ("Enter your email address.", "error"),
    "INVALID_EMAIL_ADDRESS": ("This is not an email address.", "error"),
}


class NoRole(RoleMixin):
    """Flask-Security wants a role model; our roles are of members, so this one is never stored."""

    name = ""


class DemoSignIn(TypedDict):
    """One card of the demo's sign-in page."""

    role: str
    name: str
    email: str
    password: str
    organization: str


def demo_sign_ins() -> list[DemoSignIn]:
    """The people whom the demo lets anybody be, from DATA_DIR/demo.json; none outside the demo."""
    path = settings().data_dir / "demo.json"
    if not settings().demo or not path.exists():
        return []
    found: list[DemoSignIn] = json.loads(path.read_text())
    return found


def _client_host() -> str:
    return request.remote_addr or ""


class ThrottledLoginForm(LoginForm):
    """Counts tries by address and by host in stored buckets, before any password is looked at.

    In the demo a card of the page signs in: its button sends the place of the person in the list.
    """

    def validate(self, **kwargs: Any) -> bool:
        people = demo_sign_ins()
        card = request.form.get("demo", "")
        if card.isdecimal() and int(card) < len(people):
            self.email.data, self.password.data = people[int(card)]["email"], people[int(card)]["password"]
        address = (self.email.data or "").strip().lower()
        allowed = buckets.take(db.session, SIGN_IN_BY_HOST, _client_host()) and buckets.take(
            db.session, SIGN_IN_BY_ADDRESS, address
        )
        db.session.commit()  # a refused try counts as well
        if not allowed:
            raise RateLimited("Too many sign-in tries. Wait a few minutes, or reset your password.", retry_after=90)
        if super().validate(**kwargs):
            return True
        # One answer for an unknown address, a wrong password and a closed account.
        self.email.errors, self.password.errors = [], []
        self.form_errors = [
            "This address and password do not belong together. Check both, or choose a new password by mail."
        ]
        return False


class ThrottledForgotForm(ForgotPasswordForm):
    """Few mails an address and few tries a host; the answer and its time are the same for unknown addresses."""

    def validate(self, **kwargs: Any) -> bool:
        address = (self.email.data or "").strip().lower()
        allowed = buckets.take(db.session, FORGOT_BY_HOST, _client_host()) and buckets.take(
            db.session, FORGOT_BY_ADDRESS, address
        )
        db.session.commit()
        if not allowed:
            raise RateLimited("Too many requests for a new password. Please try again in an hour.", retry_after=3600)
        known = bool(super().validate(**kwargs))
        if known:
            hash_password("as long as for an unknown address")  # the view does this where nobody is known
        return known


class OutboxMailUtil(MailUtil):
    """Mails of sign-in (password reset, password changed) through the outbox, in our own words."""

    def send_mail(
        self,
        template: str,
        subject: str,
        recipient: str | tuple[str, str],
        sender: str | tuple[str, str],
        body: str | None,
        html: str | None,
        **context: Any,
    ) -> None:
        user: User = context["user"]
        template = "password_reset" if "reset_link" in context else "password_changed"
        # Its own unit of work: the views here do not commit, and the mail is to go out at once.
        with unit_of_work(None) as unit, elevated(unit, "sign-in mail goes out before an organization is chosen"):
            places = queries.memberships(unit, user.id)
            if places:
                mail.post(
                    unit, template, organization_id=places[0].organization_id, to_address=user.email,
                    to_name=user.name,
                    data={
                        "origin": settings().public_origin, "name": user.name,
                        "url": context.get("reset_link", f"{settings().public_origin}/sign-in"),
                    },
                )  # fmt: skip
        bind(db.session, g.get("actor"))


security = Security(mail_util_cls=OutboxMailUtil)


def init_app(app: Flask) -> None:
    conf = settings()
    app.config.update(
        SECURITY_PASSWORD_SALT=conf.derived_keys("password-pepper")[-1].hex(),
        SECURITY_PASSWORD_HASH="argon2",  # noqa: S106
        SECURITY_LOGIN_URL="/sign-in",
        SECURITY_LOGOUT_URL="/sign-out",
        SECURITY_LOGOUT_METHODS=["POST"],
        SECURITY_JOIN_USER_ROLES=False,
        SECURITY_RECOVERABLE=True,
        SECURITY_RESET_URL="/forgot-password",
        SECURITY_CHANGEABLE=True,
        SECURITY_CHANGE_URL="/me/password",
        SECURITY_PASSWORD_LENGTH_MIN=10,
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SECURITY_EMAIL_HTML=False,
        SECURITY_EMAIL_PLAINTEXT=False,
        SECURITY_POST_LOGIN_VIEW="/",
        SECURITY_POST_LOGOUT_VIEW="/sign-in",
        SECURITY_POST_RESET_VIEW="/sign-in",
        SECURITY_AUTO_LOGIN_AFTER_RESET=False,
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
        SECURITY_LOGIN_USER_TEMPLATE="accounts/sign_in.html",
        SECURITY_FORGOT_PASSWORD_TEMPLATE="accounts/forgot_password.html",  # noqa: S106
        SECURITY_RESET_PASSWORD_TEMPLATE="accounts/reset_password.html",  # noqa: S106
        SECURITY_CHANGE_PASSWORD_TEMPLATE="accounts/change_password.html",  # noqa: S106
        SECURITY_POST_CHANGE_VIEW="/me",
        **{f"SECURITY_MSG_{key}": words for key, words in WORDS.items()},
    )
    for what in (
        "LOGIN",
        "CHANGE_EMAIL",
        "CONFIRM_EMAIL",
        "RESET_PASSWORD",
        "TWO_FACTOR_SETUP",
        "US_SETUP",
        "WAN_REGISTER",
        "WAN_SIGNIN",
    ):
        app.config[f"SECURITY_{what}_WITHIN"] = timedelta(hours=2)
    app.config["SECURITY_TWO_FACTOR_LOGIN_VALIDITY"] = timedelta(days=30)
    app.config["SECURITY_TOKEN_MAX_AGE"] = timedelta(hours=2)
    datastore = FSQLALiteUserDatastore(db, User, NoRole)
    security.init_app(
        app, datastore, login_form=ThrottledLoginForm, forgot_password_form=ThrottledForgotForm,
    )  # fmt: skip
    # Sessions for pages, API keys for the API: the library's own tokens open nothing.
    app.login_manager.request_loader(lambda _: None)  # type: ignore[attr-defined]
    security.login_context_processor(lambda: {"demo_sign_ins": demo_sign_ins()})
    user_authenticated.connect(_signed_in, app)
    password_changed.connect(_end_other_sessions, app)
    password_reset.connect(_end_other_sessions, app)


def _signed_in(app: Flask, user: User, **extra: Any) -> None:
    user.last_login_at = clock.now()
    session.pop("organization", None)
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
    actor = queries.actor_of(member, user)
    if member.last_seen_at is None or member.last_seen_at < clock.now() - timedelta(hours=1):
        with unit_of_work(actor) as unit:
            services.record_presence(unit, actor, member.id)
    return actor


def _see_own_memberships(user_id: UUID) -> None:
    """Before an organization is chosen, the session sees the user's own memberships and nothing else."""
    bind(db.session, Actor(organization_id=UUID(int=0), kind=Kind.PARTNER, user_id=user_id))


def actor_of_key() -> Actor | None:
    """The actor of “Authorization: Bearer tcma_…”, or None. Throttled by key, and by host where there is none."""
    header = request.headers.get("Authorization", "")
    presented = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else ""
    actor = queries.find_actor_of_key(db.session, presented) if presented else None
    limit, subject = (API_BY_KEY, str(actor.api_key_id)) if actor else (API_BY_HOST, request.remote_addr or "")
    allowed = buckets.take(db.session, limit, subject)
    if actor and actor.api_key_id:
        services.record_key_use(db.session, actor.api_key_id)
    db.session.commit()
    if not allowed:
        raise RateLimited(retry_after=5)
    return actor


def refuse_key() -> Response:
    response = answer(
        401,
        "Please send an API key",
        "Send “Authorization: Bearer tcma_…” with a key that is neither revoked nor expired.",
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response
