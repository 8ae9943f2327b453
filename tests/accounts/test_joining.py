"""Invitations and applications: what their links do, once, for the right person, until they are closed."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tcma import clock
from tcma.access import Permission, Role
from tcma.accounts import invitations, onboarding, queries, services
from tcma.accounts.models import Invitation, Organization, Partnership, TermsAcceptance
from tcma.accounts.states import PartnershipStatus
from tcma.db import db, elevated, unit_of_work
from tcma.errors import Forbidden, IllegalTransition, Invalid, Stale
from tcma.records import OutboxMail
from tests.accounts.test_sign_in import AT, browser, mail_to, sign_in  # noqa: F401
from tests.factories import accounts
from tests.factories.cast import Cast

GOOD = {"name": "Ines Costa", "password": "a password of words", "company": "Lumen Partners"}


def open_link(app: Flask, token: str, data: dict[str, str] | None = None, path: str = "/join/") -> tuple[int, str]:
    found = app.test_client()
    response = found.post(path + token, data=data, base_url=AT) if data else found.get(path + token, base_url=AT)
    return response.status_code, response.get_data(as_text=True)


def partnerships(app: Flask, cast: Cast) -> list[Partnership]:
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        return queries.list_partnerships(session, cast.vendor_admin)


def test_an_invited_company_is_a_partner_after_terms_profile_and_keeps_its_place(app: Flask, cast: Cast) -> None:
    with app.app_context():
        version = accounts.publish_terms(cast.vendor_admin)
        _, token = accounts.invite_partner(cast.vendor_admin, company="Lumen Partners")
    newcomer = app.test_client()
    assert "Become a partner of Northwind" in newcomer.get(f"/join/{token}", base_url=AT).get_data(as_text=True)
    assert newcomer.post(f"/join/{token}", data=GOOD, base_url=AT).headers["Location"] == "/onboarding"
    page = newcomer.get("/onboarding", base_url=AT).get_data(as_text=True)
    assert "Write only to people who agreed" in page
    row = next(one for one in partnerships(app, cast) if one.partner.name == "Lumen Partners")
    assert (row.status, row.terms_accepted_at) == (PartnershipStatus.INVITED, None)
    assert row.first_signed_in_at is not None
    ticked = {"agree": "y", "terms_version_id": str(version)}
    assert newcomer.post("/onboarding/terms", data={"terms_version_id": str(version)}, base_url=AT).status_code == 422
    response = newcomer.post("/onboarding/terms", data=ticked, base_url=AT, headers={"User-Agent": "Test/1"})
    assert response.status_code == 303
    assert "Your company" in newcomer.get("/onboarding", base_url=AT).get_data(as_text=True)
    company = {
        "legal_name": "Lumen Lda", "postal_address": "Rua do Sol 1\n1000 Lisboa", "country": "PT",
        "contact_email": "ines@lumen.example.com", "website": "https://lumen.example.com", "phone": "+351 1",
    }  # fmt: skip
    assert newcomer.post("/onboarding/profile", data={**company, "postal_address": "x"}, base_url=AT).status_code == 422
    assert newcomer.post("/onboarding/profile", data=company, base_url=AT).status_code == 303
    assert "Choose a campaign" in newcomer.get("/onboarding", base_url=AT).get_data(as_text=True)
    row = next(one for one in partnerships(app, cast) if one.partner.name == "Lumen Partners")
    assert row.status is PartnershipStatus.ACTIVE
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        taken = session.scalars(select(TermsAcceptance).where(TermsAcceptance.partner_id == row.partner_id)).one()
        assert (taken.terms_version_id, taken.address, taken.agent) == (version, "127.0.0.1", "Test/1")
        onboarding.record_first_launch(session, vendor_id=row.vendor_id, partner_id=row.partner_id)
    assert "You are set up" in newcomer.get("/onboarding", base_url=AT).get_data(as_text=True)


def test_reading_a_link_changes_nothing_and_using_it_closes_it(app: Flask, cast: Cast) -> None:
    with app.app_context():
        _, token = accounts.invite_partner(cast.vendor_admin)
    assert [open_link(app, token)[0] for _ in range(2)] == [200, 200]
    assert open_link(app, token, GOOD)[0] == 303
    status, page = open_link(app, token)
    assert status == 410
    assert "has been used" in page
    assert open_link(app, token, GOOD)[0] == 410


def test_an_expired_a_revoked_and_a_forged_link_say_what_to_do(app: Flask, cast: Cast) -> None:
    with app.app_context():
        _, late = accounts.invite_partner(cast.vendor_admin)
        revoked_id, revoked = accounts.invite_partner(cast.vendor_admin)
        with unit_of_work(cast.vendor_admin) as session:
            invitations.revoke_invitation(session, cast.vendor_admin, revoked_id)
    with clock.at(clock.now() + invitations.LIFE + timedelta(minutes=1)):
        status, page = open_link(app, late, GOOD)
        assert (status, "send it again" in page) == (410, True)
    status, page = open_link(app, revoked, GOOD)
    assert (status, "taken back" in page) == (410, True)
    status, page = open_link(app, late[:-2] + "zz")
    assert (status, "not complete" in page) == (404, True)


def test_sending_again_replaces_the_link(app: Flask, cast: Cast) -> None:
    with app.app_context():
        invitation_id, old = accounts.invite_partner(cast.vendor_admin)
        with unit_of_work(cast.vendor_admin) as session:
            _, new = invitations.resend_invitation(session, cast.vendor_admin, invitation_id)
    assert open_link(app, old)[0] == 404
    assert open_link(app, new)[0] == 200


def test_one_link_used_twice_at_once_makes_one_partner(app: Flask, cast: Cast) -> None:
    before = len(partnerships(app, cast))
    with app.app_context():
        _, token = accounts.invite_partner(cast.vendor_admin)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(open_link(app, token, GOOD)[0])) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert len(partnerships(app, cast)) == before + 1
    assert sorted(statuses) == [303, 410, 410]


def test_weak_passwords_are_refused_with_words(app: Flask, cast: Cast) -> None:
    with app.app_context():
        _, token = accounts.invite_partner(cast.vendor_admin)
    status, page = open_link(app, token, {**GOOD, "password": "short"})
    assert (status, "at least 10 characters" in page) == (422, True)
    assert open_link(app, token)[0] == 200


def test_who_has_an_account_signs_in_and_brings_an_organization(
    app: Flask,
    cast: Cast,
    browser: FlaskClient,  # noqa: F811
) -> None:
    with app.app_context():
        _, token = accounts.invite_partner(cast.other_vendor_admin, email=cast.rival.email)
    status, page = open_link(app, token)
    assert (status, "Sign in and join" in page) == (200, True)
    assert "account already" in open_link(app, token, GOOD)[1]
    sign_in(browser, cast.rival.email)
    page = browser.get(f"/join/{token}", base_url=AT).get_data(as_text=True)
    assert "Rival Systems" in page
    data = {"organization": str(cast.rival_id)}
    assert browser.post(f"/join/{token}", data=data, base_url=AT).status_code == 303
    with app.app_context(), unit_of_work(cast.rival) as session:
        vendors = {one.vendor_id for one in queries.list_partnerships(session, cast.rival)}
    assert vendors == {cast.vendor_id, cast.other_vendor_admin.organization_id}


def test_a_foreign_organization_cannot_be_brought(app: Flask, cast: Cast) -> None:
    with app.app_context():
        _, token = accounts.invite_partner(cast.other_vendor_admin, email=cast.rival.email)
        user = services.find_user(db.session, cast.rival.email)
        db.session.rollback()
        with pytest.raises(Invalid, match="that you administer"), unit_of_work(None) as session:
            invitations.accept_invitation(session, token, user=user, organization_id=cast.partner_id)


def test_a_link_for_another_address_is_refused(app: Flask, cast: Cast) -> None:
    with app.app_context():
        _, token = accounts.invite_partner(cast.other_vendor_admin)
    signed_in = cast.client(cast.rival)
    response = signed_in.get(f"/join/{token}", base_url=AT)
    assert (response.status_code, "someone else" in response.get_data(as_text=True)) == (403, True)
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert signed_in.post(f"/join/{token}", data={"company": "X"}, base_url=AT).status_code == 403
    assert signed_in.post(f"/join/{token}/other", base_url=AT).status_code == 303
    assert "Choose a password" in signed_in.get(f"/join/{token}", base_url=AT).get_data(as_text=True)


def test_a_member_joins_with_the_roles_of_the_invitation(app: Flask, cast: Cast) -> None:
    with app.app_context(), unit_of_work(cast.partner_admin) as session:
        _, token = invitations.invite_member(
            session, cast.partner_admin, email=f"tom-{cast.partner_id}@example.com", roles=["partner_marketer"]
        )
    newcomer = app.test_client()
    assert newcomer.post(f"/join/{token}", data=GOOD, base_url=AT).status_code == 303
    with app.app_context(), unit_of_work(cast.partner_admin) as session:
        joined = next(one for one in queries.list_members(session, cast.partner_admin) if one.user.name == "Ines Costa")
        assert joined.role_set == {Role.PARTNER_MARKETER}
    assert newcomer.get("/settings/keys", base_url=AT).status_code == 403


def test_a_vendor_role_cannot_be_given_in_a_partner(app: Flask, cast: Cast) -> None:
    with app.app_context(), pytest.raises(Invalid), unit_of_work(cast.partner_admin) as session:
        invitations.invite_member(session, cast.partner_admin, email="x@example.com", roles=["finance"])


def open_to_applications(app: Flask, cast: Cast) -> str:
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        row = session.get_one(Organization, cast.vendor_id)
        row.open_to_applications = True
        return row.slug


def applied(app: Flask, browser: FlaskClient, slug: str, email: str) -> tuple[int, str]:  # noqa: F811
    data = {
        "company": "Mistral SARL",
        "name": "Marc",
        "email": email,
        "note": "We sell backups.",
        "territory": "France",
    }
    response = browser.post(f"/apply/{slug}", data=data, base_url=AT)
    return response.status_code, response.headers.get("Location", "")


def test_an_application_is_proved_by_mail_decided_by_the_vendor_and_opened_by_terms(
    app: Flask,
    cast: Cast,
    browser: FlaskClient,  # noqa: F811
) -> None:
    slug, email = open_to_applications(app, cast), f"marc-{cast.vendor_id}@example.com"
    with app.app_context():
        version = accounts.publish_terms(cast.vendor_admin)
    assert applied(app, browser, slug, email)[0] == 303
    assert "Mistral SARL" not in [one.partner.name for one in partnerships(app, cast)]
    path = str(mail_to(app, email)[0].data["url"]).removeprefix(AT)
    assert browser.post(path, data={**GOOD, "company": "Mistral SARL"}, base_url=AT).status_code == 303
    row = next(one for one in partnerships(app, cast) if one.partner.name == "Mistral SARL")
    assert row.status is PartnershipStatus.APPLYING
    assert "application_received" in [one.template for one in mail_to(app, cast.channel_manager.email)]
    vendor = cast.client(cast.channel_manager)
    assert "We sell backups." in vendor.get(f"/partners/{row.partner_id}", base_url=AT).get_data(as_text=True)
    assert vendor.post(f"/partners/{row.partner_id}/approve", base_url=AT).status_code == 303
    row = next(one for one in partnerships(app, cast) if one.partner.name == "Mistral SARL")
    assert row.status is PartnershipStatus.INVITED
    ticked = {"agree": "y", "terms_version_id": str(version)}
    assert browser.post("/onboarding/terms", data=ticked, base_url=AT).status_code == 303
    row = next(one for one in partnerships(app, cast) if one.partner.name == "Mistral SARL")
    assert row.status is PartnershipStatus.ACTIVE


def test_applying_tells_nobody_who_has_an_account(app: Flask, cast: Cast, browser: FlaskClient) -> None:  # noqa: F811
    slug = open_to_applications(app, cast)
    answers = {applied(app, browser, slug, one) for one in (cast.rival.email, "stranger@example.com")}
    assert len(answers) == 1


def test_applications_are_limited_and_closed_vendors_not_found(
    app: Flask,
    cast: Cast,
    browser: FlaskClient,  # noqa: F811
) -> None:
    slug = open_to_applications(app, cast)
    tries = [applied(app, browser, slug, f"{n}-{cast.vendor_id}@example.com")[0] for n in range(6)]
    assert tries == [303] * 5 + [429]
    with app.app_context(), unit_of_work(cast.vendor_admin) as session:
        session.get_one(Organization, cast.vendor_id).open_to_applications = False
    assert browser.get(f"/apply/{slug}", base_url=AT).status_code == 404
    assert browser.get("/apply/no-such-vendor", base_url=AT).status_code == 404


def test_terms_have_versions_and_old_ones_cannot_be_accepted(app: Flask, cast: Cast) -> None:
    with app.app_context():
        first = accounts.publish_terms(cast.vendor_admin)
        second = accounts.publish_terms(cast.vendor_admin, "Quite other words than in the first version.")
        with pytest.raises(Invalid, match="version 2"):
            accounts.publish_terms(cast.vendor_admin, "Quite other words than in the first version.")
        with pytest.raises(Stale), unit_of_work(cast.rival) as session:
            onboarding.accept_terms(session, cast.rival, vendor_id=cast.vendor_id, terms_version_id=first)
        with unit_of_work(cast.rival) as session:
            row = onboarding.accept_terms(session, cast.rival, vendor_id=cast.vendor_id, terms_version_id=second)
            steps = onboarding.steps(session, cast.rival, row)
        assert [one.done for one in steps] == [True, True, False]
        with pytest.raises(Forbidden), unit_of_work(cast.channel_manager) as session:
            onboarding.publish_terms(session, cast.channel_manager, body="Words that may not be written here.")
    assert Permission.TERMS_MANAGE not in cast.channel_manager.permissions


def test_what_is_accepted_cannot_be_revoked_or_sent_again(app: Flask, cast: Cast) -> None:
    with app.app_context():
        invitation_id, token = accounts.invite_partner(cast.vendor_admin)
    open_link(app, token, GOOD)
    with app.app_context():
        for act in (invitations.revoke_invitation, invitations.resend_invitation):
            with pytest.raises(IllegalTransition), unit_of_work(cast.vendor_admin) as session:
                act(session, cast.vendor_admin, invitation_id)


def test_only_a_hash_of_the_token_is_kept(app: Flask, cast: Cast) -> None:
    with app.app_context():
        invitation_id, token = accounts.invite_partner(cast.vendor_admin, email="hash@example.com")
        with unit_of_work(cast.vendor_admin) as session:
            kept = session.get_one(Invitation, invitation_id)
            assert token.encode() not in kept.token_hash
            assert len(kept.token_hash) == 32
        with unit_of_work(None) as session, elevated(session, "a test reads the outbox"):
            sent = session.scalars(select(OutboxMail).where(OutboxMail.to_address == "hash@example.com")).first()
            assert sent is not None
            assert sent.data["url"].endswith(f"/join/{token}")
