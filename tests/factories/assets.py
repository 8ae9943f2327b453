"""Kits with files in them, made through the same services as users'."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tcma.access import Actor
from tcma.assets import sample_documents, samples, services
from tcma.assets.models import BrandProfile, Kit
from tcma.db import unit_of_work

LOGO_ZONE = {"page": 1, "x": 0.7, "y": 0.86, "width": 0.25, "height": 0.06, "kind": "logo", "align": "right"}
CONTACT_ZONE = {"page": 1, "x": 0.05, "y": 0.86, "width": 0.5, "height": 0.1, "kind": "contact_block"}


def make_kit(
    actor: Actor, *, name: str = "Autumn security", published: bool = True, partner_ids: list[UUID] | None = None,
    zones: list[dict[str, Any]] | None = None, pdf: bool = False,
) -> Kit:  # fmt: skip
    """A kit of `actor`'s vendor with one asset (a banner, or a data sheet) that has a logo and a contact zone."""
    chosen = [LOGO_ZONE, CONTACT_ZONE] if zones is None else zones
    data = sample_documents.sample_datasheet(name, "Northwind", "#0f5e73") if pdf else samples.sample_banner(name, "#0f5e73")
    with unit_of_work(actor) as session:
        kit = services.create_kit(session, actor, name=name, description="Sheets and pictures for autumn.")
        services.add_asset(
            session, actor, kit.id, filename="sheet.pdf" if pdf else "banner.png", data=data, zones=chosen
        )
        session.refresh(kit, ["assets"])
        if published:
            services.publish_kit(session, actor, kit.id, partner_ids=partner_ids)
        _ = kit.assets[0].versions
    return kit


def make_logo(actor: Actor, *, name: str = "Acme IT", color: str = "#0c5e73") -> BrandProfile:
    """A partner's brand profile with a real logo and all its texts."""
    with unit_of_work(actor) as session:
        services.save_brand(
            session, actor, name=name, legal_name=f"{name} GmbH", postal_address="Hafenstraße 12\n20457 Hamburg",
            country="DE", phone="+49 40 123456", email="hello@acme.example", website="https://acme.example",
            color=color, sender_name=name, reply_to="hello@acme.example",
        )  # fmt: skip
        return services.set_logo(session, actor, filename="logo.png", data=samples.sample_logo(name, color, seed=3))
