"""Contacts, lists, suppression and erasure: what the services promise."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import func, select

from tcma.access import Actor
from tcma.audience import queries, services
from tcma.audience.models import Contact, ImportRow, Suppression
from tcma.audience.states import ConsentBasis, SuppressionReason
from tcma.db import unit_of_work
from tcma.errors import Forbidden, Invalid, NotFound
from tests.factories import audience as make
from tests.factories.cast import Cast


def refusal(actor: Actor, contact_id: int) -> str | None:
    with unit_of_work(actor) as session:
        return queries.still_refused(session, actor.organization_id, None, [contact_id]).get(contact_id)


def test_one_address_is_one_contact_however_it_is_written(app: Flask, cast: Cast) -> None:
    with app.app_context():
        first = make.make_contact(cast.partner_admin, email="Maria@Mueller.example")
        second = make.make_contact(cast.partner_admin, email=" maria@mueller.EXAMPLE ", last_name="Maier")
        assert first.id == second.id
        assert second.last_name == "Maier"


def test_a_contact_needs_an_address_and_a_source(app: Flask, cast: Cast) -> None:
    with app.app_context():
        for email, source, field in (("nobody", "our fair", "email"), ("a@b.example", " ", "source")):
            with pytest.raises(Invalid) as refused, unit_of_work(cast.partner_admin) as session:
                services.add_contact(session, cast.partner_admin, email=email, basis=ConsentBasis.OPT_IN, source=source)
            assert list(refused.value.fields) == [field]


def test_who_unsubscribed_stays_refused_however_often_they_are_added(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        person = make.make_contact(actor)
        assert refusal(actor, person.id) is None
        for _ in range(2):
            with unit_of_work(actor) as session:
                services.suppress(
                    session, actor, partner_id=actor.organization_id, email_key=person.email_key,
                    reason=SuppressionReason.UNSUBSCRIBED, source="a link",
                )  # fmt: skip
        make.make_contact(actor, email=person.email)
        assert refusal(actor, person.id) == "suppressed_partner"
        with unit_of_work(actor) as session:
            consents = queries.consents_of(session, person)
            assert [one.withdrawn for one in consents] == [False, True, False]
            held = select(func.count()).select_from(Suppression).where(Suppression.partner_id == actor.organization_id)
            assert session.scalar(held) == 1


def test_erasure_takes_a_person_out_of_contacts_and_imports_and_refuses_them_for_ever(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        done = make.run(actor, "email,country\nMaria@Mueller.example,Nowhereland\nkai@keller.example,Nowhereland\n")
        waiting = make.make_import(actor, "email\nmaria@mueller.example\nkai@keller.example\n")
        with unit_of_work(actor) as session:
            key = services.key_of("maria@mueller.example")
            person = queries.find_contact_by_key(session, actor.organization_id, key)
            assert person is not None
            assert len(queries.import_rows(session, actor, done.id)) == 2
            services.erase_contact(session, actor, person.id)
        with unit_of_work(actor) as session:
            left = session.get_one(Contact, person.id)
            assert (left.email, left.first_name, left.company, left.city) == ("", "", "", "")
            assert left.erased_at is not None
            assert "mueller" not in str([one.cells for one in session.scalars(select(ImportRow))]).lower()
            assert queries.get_import(session, actor, waiting.id).sample == [["kai@keller.example"]]
            held = queries.suppression_of(session, actor.organization_id, key)
            assert held is not None
            assert held.reason is SuppressionReason.ERASED
            with pytest.raises(NotFound):
                queries.get_contact(session, actor, person.id)
        again = make.run(actor, "email,country\nmaria@mueller.example,Nowhereland\n")
        assert (again.created_count, again.updated_count, again.refused_count) == (0, 0, 1)
        with unit_of_work(actor) as session:
            assert queries.find_contact_by_key(session, actor.organization_id, key) is None
            assert [one.cells for one in queries.import_rows(session, actor, again.id)] == [[]]


def test_another_partners_contacts_and_lists_cannot_be_named(app: Flask, cast: Cast) -> None:
    with app.app_context():
        mine, theirs = make.make_list(cast.rival), make.make_list(cast.partner_admin)
        own, person = make.make_contact(cast.rival), make.make_contact(cast.partner_admin)
        person_id = person.id
        for list_id, contact_id in [(mine.id, person_id), (theirs.id, own.id)]:
            with pytest.raises(NotFound), unit_of_work(cast.rival) as session:
                services.add_to_list(session, cast.rival, list_id, [contact_id])
        with pytest.raises(NotFound), unit_of_work(cast.rival) as session:
            services.erase_contact(session, cast.rival, person_id)


def test_a_vendor_may_do_nothing_here(app: Flask, cast: Cast) -> None:
    with app.app_context():
        person = make.make_contact(cast.partner_admin)
        with pytest.raises(Forbidden), unit_of_work(cast.vendor_admin) as session:
            services.create_list(session, cast.vendor_admin, name="Ours")
        with pytest.raises(Forbidden), unit_of_work(cast.vendor_admin) as session:
            services.export_contact(session, cast.vendor_admin, person.id)
