"""The API of accounts: who asks, organizations, members, keys, partnerships, invitations, terms."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, g, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from tcma.access import Actor, Kind, Permission
from tcma.accounts import invitations, keys, onboarding, organizations, partners, queries, queries_partners, services
from tcma.accounts import schemas as shapes
from tcma.accounts.models import ApiKey, Organization, Partnership, TermsVersion
from tcma.accounts.states import PartnershipStatus
from tcma.db import db, elevated, unit_of_work
from tcma.errors import NotFound
from tcma.idempotency import answer_once

blp = Blueprint("api_accounts", __name__, description="Organizations, members, keys and partnerships")
blueprints = [blp]


@blp.get("/me")
@blp.response(200, shapes.MeOut)
def me() -> Actor:
    """Who the key stands for."""
    return g.actor  # type: ignore[no-any-return]


@blp.post("/organizations")
@blp.arguments(shapes.OrganizationIn)
@blp.response(201, shapes.OrganizationOut)
def make_organization(given: dict[str, Any]) -> Organization:
    """Make a vendor or a partner. Operators only."""
    with unit_of_work(g.actor) as session:
        return services.provision_organization(session, g.actor, **{**given, "kind": Kind(given["kind"])})


@blp.get("/organizations/<uuid:organization_id>")
@blp.response(200, shapes.OrganizationOut)
def read_organization(organization_id: UUID) -> Organization:
    """Your own organization; for operators any."""
    return organizations.get_any_organization(db.session, g.actor, organization_id)


@blp.post("/organizations/<uuid:organization_id>/close")
@blp.response(200, shapes.OrganizationOut)
def close_organization(organization_id: UUID) -> Organization:
    """Close a scratch organization for good. Operators only."""
    with unit_of_work(g.actor) as session:
        return organizations.close_organization(session, g.actor, organization_id)


@blp.post("/organizations/<uuid:organization_id>/members")
@blp.arguments(shapes.MemberIn)
@blp.response(201, shapes.MemberOut)
def add_member(given: dict[str, Any], organization_id: UUID) -> Response:
    """Add a member: operators, to scratch organizations or as the first one."""

    def work(session: Session) -> tuple[dict[str, Any], int]:
        member = organizations.provision_member(session, g.actor, organization_id, **given)
        with elevated(session, "the answer names the user of the member just added"):
            return dict(shapes.MemberOut().dump(member)), 201

    return answer_once(work)


@blp.post("/organizations/<uuid:organization_id>/keys")
@blp.arguments(shapes.MemberKeyIn)
@blp.response(201, shapes.NewKeyOut)
def make_member_key(given: dict[str, Any], organization_id: UUID) -> dict[str, Any]:
    """Make a key for a member of a scratch organization. Operators only."""
    with unit_of_work(g.actor) as session:
        made, secret = keys.make_key(session, g.actor, organization_id=organization_id, **given)
        return _new_key(made, secret)


def _new_key(made: ApiKey, secret: str) -> dict[str, Any]:
    names = ("id", "organization_id", "user_id", "name", "prefix", "scopes", "created_at", "expires_at")
    return {**{name: getattr(made, name) for name in names}, "key": secret, "last_used_at": None, "revoked_at": None}


@blp.get("/keys")
@blp.response(200, shapes.KeysOut)
def list_keys() -> dict[str, Any]:
    """The keys of your organization, without their secrets."""
    return {"items": keys.list_keys(db.session, g.actor), "next": None}


@blp.post("/keys")
@blp.arguments(shapes.KeyIn)
@blp.response(201, shapes.NewKeyOut)
def make_key(given: dict[str, Any]) -> dict[str, Any]:
    """Make a key for yourself; it can never do more than the key that asks."""
    with unit_of_work(g.actor) as session:
        made, secret = keys.make_key(session, g.actor, **given)
        return _new_key(made, secret)


@blp.delete("/keys/<uuid:key_id>")
@blp.response(204)
def revoke_key(key_id: UUID) -> None:
    """Stop a key at once."""
    with unit_of_work(g.actor) as session:
        keys.revoke_key(session, g.actor, key_id)


@blp.get("/partnerships")
@blp.arguments(shapes.PartnershipsQuery, location="query")
@blp.response(200, shapes.PartnershipsOut)
def list_partnerships(given: dict[str, Any]) -> dict[str, Any]:
    """Partnerships of your organization by the other side's name."""
    _may_read_partnerships()
    page = queries_partners.page_of_partners(
        db.session, g.actor, search=given["q"], status=given["status"], after=given["after"], limit=given["limit"]
    )
    return {"items": page.rows, "next": page.older}


@blp.post("/partnerships")
@blp.arguments(shapes.PartnershipIn)
@blp.response(201, shapes.PartnershipOut)
def start_partnership(given: dict[str, Any]) -> Response:
    """Link a vendor and a partner: operators only. Vendors send an invitation instead (POST /invitations)."""

    def work(session: Session) -> tuple[dict[str, Any], int]:
        g.actor.require(Permission.ORGANIZATION_PROVISION)
        for kind, name in ((Kind.VENDOR, "vendor_id"), (Kind.PARTNER, "partner_id")):
            if organizations.get_any_organization(session, g.actor, given[name]).kind is not kind:
                raise NotFound(f"There is no {kind} with the id given as {name}.")
        made = services.start_partnership(session, g.actor, status=PartnershipStatus.INVITED, **given)
        with elevated(session, "the answer names both sides of the link just made"):
            return dict(shapes.PartnershipOut().dump(made)), 201

    return answer_once(work)


@blp.get("/partnerships/<uuid:other_id>")
@blp.response(200, shapes.PartnershipOut)
def read_partnership(other_id: UUID) -> Partnership:
    """The partnership with that partner (asked by a vendor) or vendor (asked by a partner)."""
    _may_read_partnerships()
    return queries.get_partnership(db.session, g.actor, other_id)


def _may_read_partnerships() -> None:
    """A partner's own links to its vendors are part of what its organization is."""
    g.actor.require(Permission.MEMBER_READ if g.actor.is_partner else Permission.PARTNER_READ)


@blp.patch("/partnerships/<uuid:partner_id>")
@blp.arguments(shapes.PartnershipChange)
@blp.response(200, shapes.PartnershipOut)
def change_partnership(given: dict[str, Any], partner_id: UUID) -> Partnership:
    """Set tier and territory. Vendors only."""
    with unit_of_work(g.actor) as session:
        row = queries.get_partnership(session, g.actor, partner_id)
        merged = {"tier": row.tier, "territory": row.territory, **given}
        return partners.change_partnership(session, g.actor, partner_id, **merged)


@blp.post("/partnerships/<uuid:partner_id>/approve")
@blp.response(200, shapes.PartnershipOut)
def approve_application(partner_id: UUID) -> Partnership:
    """Say yes to an application."""
    with unit_of_work(g.actor) as session:
        return partners.approve_application(session, g.actor, partner_id)


@blp.post("/partnerships/<uuid:partner_id>/decline")
@blp.arguments(shapes.ReasonIn)
@blp.response(200, shapes.PartnershipOut)
def decline_application(given: dict[str, str], partner_id: UUID) -> Partnership:
    """Say no to an application; the applicant reads the reason."""
    with unit_of_work(g.actor) as session:
        return partners.decline_application(session, g.actor, partner_id, **given)


@blp.post("/partnerships/<uuid:partner_id>/suspend")
@blp.arguments(shapes.ReasonIn)
@blp.response(200, shapes.PartnershipOut)
def suspend_partnership(given: dict[str, str], partner_id: UUID) -> Partnership:
    """Close the programme to a partner for now; the partner reads the reason."""
    with unit_of_work(g.actor) as session:
        return partners.suspend_partnership(session, g.actor, partner_id, **given)


@blp.post("/partnerships/<uuid:partner_id>/reactivate")
@blp.response(200, shapes.PartnershipOut)
def reactivate_partnership(partner_id: UUID) -> Partnership:
    """Open the programme again."""
    with unit_of_work(g.actor) as session:
        return partners.reactivate_partnership(session, g.actor, partner_id)


@blp.post("/partnerships/<uuid:partner_id>/end")
@blp.arguments(shapes.ReasonIn)
@blp.response(200, shapes.PartnershipOut)
def end_partnership(given: dict[str, str], partner_id: UUID) -> Partnership:
    """End a partnership: rights stop, history stays."""
    with unit_of_work(g.actor) as session:
        return partners.end_partnership(session, g.actor, partner_id, **given)


@blp.post("/invitations")
@blp.arguments(shapes.InvitationIn)
@blp.response(201, shapes.InvitationOut)
def invite_partner(given: dict[str, Any]) -> Response:
    """Invite a company by mail. Vendors only; the link is in the mail and nowhere else."""

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made, _secret = invitations.invite_partner(session, g.actor, **given)
        return dict(shapes.InvitationOut().dump(made)), 201

    return answer_once(work)


@blp.get("/terms")
@blp.arguments(shapes.TermsQuery, location="query")
@blp.response(200, shapes.TermsOut)
def read_terms(given: dict[str, Any]) -> TermsVersion:
    """The present terms: a vendor's own, or those of the vendor named by a partner."""
    vendor_id = given["vendor_id"] or g.actor.organization_id
    found = onboarding.current_terms(db.session, vendor_id)
    if found is None:
        raise NotFound("There are no terms. A partner names the vendor with ?vendor_id=…")
    return found


@blp.post("/terms")
@blp.arguments(shapes.TermsIn)
@blp.response(201, shapes.TermsOut)
def publish_terms(given: dict[str, Any]) -> TermsVersion:
    """Publish a new version of the vendor's terms."""
    with unit_of_work(g.actor) as session:
        return onboarding.publish_terms(session, g.actor, **given)


@blp.post("/terms/accept")
@blp.arguments(shapes.AcceptIn)
@blp.response(200, shapes.PartnershipOut)
def accept_terms(given: dict[str, Any]) -> Partnership:
    """Accept the present version for your partner organization."""
    with unit_of_work(g.actor) as session:
        return onboarding.accept_terms(
            session, g.actor, address=request.remote_addr or "", agent=request.headers.get("User-Agent", ""), **given
        )
