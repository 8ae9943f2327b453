"""The first organization and the first key: what a fresh installation and `tcma tour` begin with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from flask_security.utils import hash_password
from sqlalchemy import select, text
from sqlalchemy.orm import Session, joinedload

from tcma import audit, clock
from tcma.access import Kind, Role
from tcma.accounts import keys, queries
from tcma.accounts.models import Member, Organization, User
from tcma.config import settings
from tcma.db import bind, elevated, unit_of_work

KEY_FILE = "operator.key"


def ensure_platform(session: Session) -> tuple[Organization, User]:
    """The platform's own organization and its first operator, made once; safe when two processes start at once.

    Needs no actor. The operator has no usable password: the key is the way in.
    """
    with elevated(session, "the platform is there before any tenant"):
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('tcma.platform', 0))"))
        platform = session.scalar(select(Organization).where(Organization.slug == "platform"))
        if platform is None:
            platform = Organization(kind=Kind.PLATFORM, name=settings().platform_name, slug="platform")
            session.add(platform)
            session.flush()
        member = session.scalar(
            select(Member)
            .options(joinedload(Member.user))
            .where(Member.organization_id == platform.id, Member.removed_at.is_(None))
            .order_by(Member.joined_at, Member.id)
            .limit(1)
        )
        if member is not None:
            return platform, member.user
        address = f"operator@{settings().platform_sender.rpartition('@')[2]}"
        user = session.scalar(select(User).where(User.email == address))
        if user is None:
            user = User(
                email=address, name="Operator", fs_uniquifier=secrets.token_hex(32),
                password=hash_password(secrets.token_urlsafe(24)), confirmed_at=clock.now(),
            )  # fmt: skip
            session.add(user)
            session.flush()
        member = Member(organization_id=platform.id, user_id=user.id, roles=[str(Role.OPERATOR)])
        session.add(member)
        session.flush()
        member.organization = platform
        audit.record(session, queries.actor_of(member, user), "organization.provision", platform)
        session.flush()
        return platform, user


def ensure_operator_key(data_dir: Path) -> str:
    """An operator's API key that works, kept in DATA_DIR/operator.key with mode 0600; made anew if it was lost.

    Opens its own unit of work; needs an application context.
    """
    path = data_dir / KEY_FILE
    with unit_of_work(None) as session:
        if path.exists():
            kept = path.read_text().strip()
            if queries.find_actor_of_key(session, kept) is not None:
                return kept
        platform, user = ensure_platform(session)
        with elevated(session, "the platform's operator gets a key"):
            member = session.scalar(
                select(Member)
                .options(joinedload(Member.organization))
                .where(Member.organization_id == platform.id, Member.user_id == user.id)
            )
            if member is None:
                raise RuntimeError("The platform has no operator.")
            operator = queries.actor_of(member, user)
        bind(session, operator)
        _, secret = keys.make_key(session, operator, name="tcma tour on this machine")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
    fresh.replace(path)
    return secret
