"""Run as a program with the settings of an instance: makes people (and things to look at) in its database.

It prints JSON: `people` (name to address) and `ids`. A process of its own, so that the settings and the
application of the tests stay as they are.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from flask import Flask

from tcma import create_app
from tcma.accounts.models import User
from tcma.db import db, elevated
from tests.factories.accounts import invite_partner, publish_terms
from tests.factories.assets import make_kit, make_logo
from tests.factories.campaigns import make_campaign
from tests.factories.cast import Cast, make_cast
from tests.factories.claims import finish, make_batch, make_claim
from tests.factories.delivery import make_draft, make_started
from tests.factories.mdf import make_money, make_request
from tests.factories.senders import make_sender


def people(cast: Cast) -> dict[str, str]:
    """The address with which each of the cast signs in."""
    with elevated(db.session, "addresses of the cast"):
        return {name: db.session.get_one(User, actor.user_id).email for name, actor in cast.people.items()}


def for_story(app: Flask) -> dict[str, Any]:
    """A partnership with terms, and a programme with money; nothing is published, imported or launched yet."""
    cast = make_cast(app)
    publish_terms(cast.vendor_admin)
    make_money(cast)
    db.session.rollback()
    return {"people": people(cast), "ids": {"partner": str(cast.partner_id)}}


def for_looking(app: Flask) -> dict[str, Any]:
    """Something of everything, in several states, so that lists have rows and pages have links."""
    cast = make_cast(app)
    publish_terms(cast.vendor_admin)
    invite_partner(cast.vendor_admin)
    make_logo(cast.partner_marketer)
    make_sender(cast.partner_admin)
    make_kit(cast.vendor_marketer)
    make_kit(cast.vendor_marketer, name="Winter backup", published=False, pdf=True)
    make_campaign(cast.vendor_marketer, name="Not published yet", published=False)
    money = make_money(cast, budget=50_000, allocated=20_000)
    make_draft(cast, name="A draft of autumn")
    sent = make_started(cast)
    finish(sent)
    make_claim(cast, state="submitted", launch=sent, money=money)
    make_claim(cast, state="returned", money=money)
    make_batch(make_claim(cast, state="approved", money=money), state="checked")
    make_batch(make_claim(cast, state="approved", money=money))
    make_claim(cast, state="approved", money=money)
    for state in ("draft", "submitted", "returned"):
        make_request(cast, money, state=state)
    db.session.rollback()
    return {"people": people(cast), "ids": {"partner": str(cast.partner_id)}}


def for_sending(app: Flask) -> dict[str, Any]:
    """A launch of 1,500 that has just started."""
    cast = make_cast(app)
    make_started(cast, contacts=1_500)
    db.session.rollback()
    return {"people": people(cast), "ids": {"contacts": 1_500}}


if __name__ == "__main__":
    application = create_app()
    with application.app_context():
        made = {"story": for_story, "looking": for_looking, "sending": for_sending}[sys.argv[1]](application)
    sys.stdout.write(json.dumps(made) + "\n")
