"""How many contacts there are, and how many on each list: kept beside the rows, and true after whatever happened."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import func, select

from tcma.access import Actor
from tcma.audience import counts, queries, services
from tcma.audience.models import AudienceCount, Contact, ListMember
from tcma.db import unit_of_work
from tests.factories import audience as make
from tests.factories.cast import Cast
from tests.factories.delivery import make_contacts


def kept_and_counted(actor: Actor) -> tuple[dict[str, int], dict[str, int]]:
    """What the kept counts say, and what the rows say."""
    with unit_of_work(actor) as session:
        kept = {"": queries.count_contacts(session, actor), **{one.name: n for one, n in queries.list_lists(session, actor)}}
        rows = {"": session.scalar(select(func.count()).select_from(Contact).where(Contact.erased_at.is_(None))) or 0}
        for one, _count in queries.list_lists(session, actor):
            members = select(func.count()).select_from(ListMember).where(ListMember.list_id == one.id)
            rows[one.name] = session.scalar(members) or 0
    return kept, rows


def test_the_counts_are_those_of_the_rows_after_each_act(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        people, others = make_contacts(actor, 5), make_contacts(actor, 3, name="Others")
        one = make.make_contact(actor)
        assert kept_and_counted(actor) == ({"": 9, people.name: 5, others.name: 3},) * 2
        with unit_of_work(actor) as session:
            ids = list(session.scalars(select(ListMember.contact_id).where(ListMember.list_id == others.id)))
            services.add_to_list(session, actor, people.id, [one.id, *ids])
            # Who is on it already is counted once.
            services.add_to_list(session, actor, people.id, ids)
        assert kept_and_counted(actor) == ({"": 9, people.name: 9, others.name: 3},) * 2
        with unit_of_work(actor) as session:
            services.erase_contact(session, actor, ids[0])
            services.delete_list(session, actor, others.id)
        assert kept_and_counted(actor) == ({"": 8, people.name: 8},) * 2
        assert kept_and_counted(cast.rival) == ({"": 0},) * 2


def test_adding_up_leaves_few_rows_and_the_same_counts(app: Flask, cast: Cast) -> None:
    actor = cast.partner_admin
    with app.app_context():
        for number in range(counts.MANY + 1):
            make.make_contact(actor, email=f"n{number}@counts.example")
        people = make_contacts(actor, 4)
        before, _rows = kept_and_counted(actor)
        assert counts.add_up() >= 1
        assert kept_and_counted(actor) == ({"": counts.MANY + 5, people.name: 4},) * 2
        assert before == {"": counts.MANY + 5, people.name: 4}
        with unit_of_work(actor) as session:
            assert session.scalar(select(func.count()).select_from(AudienceCount)) == 2
