"""The page that shows how well a partner's mail arrives: rolled up from the rows, by sender, domain and day."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from tcma import clock
from tcma.access import Actor
from tcma.campaigns.models import Launch
from tcma.config import use_settings
from tcma.db import db, unit_of_work
from tcma.delivery import deliverability, engine, planning, returns_policy
from tcma.delivery.bounces import Report, ReportKind
from tcma.delivery.deliverability import Figures
from tcma.delivery.models_returns import DomainDay
from tcma.errors import Forbidden
from tests.factories.cast import Cast
from tests.factories.delivery import later, make_started, system_of, use_sink
from tests.factories.returns import deliveries_of
from tests.sinks import SmtpSink


@pytest.fixture
def sink(app: Flask) -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        before = use_sink(server.url)
        with app.app_context():
            yield server
        use_settings(before)


def came_back(launch: Launch, number: int, kind: ReportKind) -> None:
    row = deliveries_of(launch)[number]
    with unit_of_work(None) as session:
        returns_policy.apply(session, Report(kind, delivery_id=row.id, status="5.1.1"), source="test")


def rolled(launch: Launch) -> None:
    with unit_of_work(system_of(launch)) as session:
        found = session.get(Launch, launch.id)
        assert found is not None
        planning.count_totals(session, found)
    while deliverability.roll_up() == deliverability.LAUNCHES_AT_A_TIME:
        pass


def read(actor: Actor, **options: object) -> deliverability.Deliverability:
    with unit_of_work(actor) as session:
        return deliverability.read(session, actor, **options)  # type: ignore[arg-type]


def page_of(cast: Cast, actor: Actor, path: str) -> tuple[int, str]:
    with cast.app.app_context():
        answer = cast.client(actor).get(path)
        return answer.status_code, answer.get_data(as_text=True)


def test_figures_are_those_of_the_rows(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=5)
    rows = deliveries_of(launch)
    domain = rows[0].address.partition("@")[2]
    sink.manners.rcpt[rows[0].address] = "550 5.1.1 no such user"
    engine.run_lane(launch.partner_id, launch.id)
    came_back(launch, 1, ReportKind.HARD)
    came_back(launch, 2, ReportKind.COMPLAINT)
    rolled(launch)
    found = read(cast.partner_marketer, days=7)
    assert found.whole == Figures("", sent=4, failed=1, bounced=1, complained=1)
    assert (found.whole.tried, found.whole.delivered, found.whole.came_back) == (5, 3, 2)
    assert found.domains == [Figures(domain, sent=4, failed=1, bounced=1, complained=1)]
    assert [one.name for one in found.days][-1] == clock.today().isoformat()
    assert [one.tried for one in found.days] == [0, 0, 0, 0, 0, 0, 5]


def test_what_comes_back_later_is_rolled_up_anew(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    engine.run_lane(launch.partner_id, launch.id)
    rolled(launch)
    assert read(cast.partner_marketer).whole.came_back == 0
    came_back(launch, 0, ReportKind.SOFT)
    with later(5):
        rolled(launch)
    assert read(cast.partner_marketer).whole.came_back == 1


def test_a_count_under_an_older_clock_is_not_missed(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    engine.run_lane(launch.partner_id, launch.id)
    with later(600):
        rolled(launch)
    came_back(launch, 0, ReportKind.HARD)
    rolled(launch)
    assert read(cast.partner_marketer).whole.came_back == 1


def test_only_the_largest_domains_stand_by_name(sink: SmtpSink, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = make_started(cast, contacts=6)
    rows = deliveries_of(launch)
    with unit_of_work(system_of(launch)):
        for number, row in enumerate(rows):
            row.address = f"p{number}@{('a', 'a', 'a', 'b', 'b', 'c')[number]}.example"
    engine.run_lane(launch.partner_id, launch.id)
    monkeypatch.setattr(deliverability, "NAMED_DOMAINS", 2)
    rolled(launch)
    assert [(one.name, one.tried) for one in read(cast.partner_marketer).domains] == [
        ("a.example", 3), ("b.example", 2), ("", 1),
    ]  # fmt: skip


def test_the_page_shows_a_plot_a_table_and_a_file(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=3)
    domain = deliveries_of(launch)[0].address.partition("@")[2]
    engine.run_lane(launch.partner_id, launch.id)
    came_back(launch, 0, ReportKind.HARD)
    rolled(launch)
    code, page = page_of(cast, cast.partner_marketer, "/deliverability")
    assert code == 200
    assert domain in page
    assert "Many mails come back" in page
    assert "data-plot" in page
    _, file = page_of(cast, cast.partner_marketer, "/deliverability?format=csv&days=7")
    assert f"{domain},3,2,0,1,0" in file
    with unit_of_work(cast.partner_marketer) as session:
        sender = session.scalars(select(DomainDay.sender).where(DomainDay.launch_id == launch.id)).first()
    assert domain in page_of(cast, cast.partner_marketer, f"/deliverability?sender={sender}")[1]
    assert domain not in page_of(cast, cast.partner_marketer, "/deliverability?sender=other@sender.example")[1]


def test_it_is_the_partners_alone(sink: SmtpSink, cast: Cast) -> None:
    launch = make_started(cast, contacts=2)
    domain = deliveries_of(launch)[0].address.partition("@")[2]
    engine.run_lane(launch.partner_id, launch.id)
    rolled(launch)
    db.session.expunge_all()
    with pytest.raises(Forbidden):
        read(cast.vendor_admin)
    assert read(cast.rival).whole.tried == 0
    assert domain not in page_of(cast, cast.rival, "/deliverability")[1]
    assert page_of(cast, cast.channel_manager, "/deliverability")[0] == 403
    with unit_of_work(cast.vendor_admin) as session:
        assert session.scalars(select(DomainDay)).all() == []


def test_an_empty_page_says_what_will_be_there(sink: SmtpSink, cast: Cast) -> None:
    code, page = page_of(cast, cast.rival, "/deliverability?days=nonsense")
    assert code == 200
    assert "Nothing was sent in this time" in page
