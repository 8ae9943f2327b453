"""What ships with the product compiles, reads well and holds its promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcma.campaigns import landing
from tcma.campaigns.markup import MarkupError, Problem, Severity, check, compile_email
from tcma.campaigns.personalise import TouchTemplate
from tcma.campaigns.starter import (
    StarterCampaign,
    format_problems,
    notification,
    notification_fields,
    notifications,
    render_file,
    starters,
)
from tcma.errors import Invalid, NotFound
from tests.campaigns.mails import BRAND, CONTACT, LAUNCH, SERVICE, Outline, in_text

PLATFORM = {"name": "TCMA", "url": "https://app.example"}
NAMED_IN_THE_PLAN = {
    "invitation", "password_reset", "welcome", "kit_published", "campaign_published", "request_submitted",
    "request_decided", "claim_submitted", "claim_decided", "claim_paid", "lead_new", "lead_overdue", "launch_finished",
    "launch_paused", "nudge", "import_finished",
}  # fmt: skip
NAMED_IN_ACCOUNTS_AND_FUNDS = {
    "member_invitation", "partner_invitation", "application_confirm", "application_received", "application_approved",
    "application_declined", "partner_joined", "partnership_suspended", "partnership_reactivated", "partnership_ended",
    "password_changed", "request_overdue", "sender_lapsed",
}  # fmt: skip


# -- starter campaigns ---------------------------------------------------------------------------------


def test_there_are_two_starter_campaigns() -> None:
    assert [one.key for one in starters()] == ["backup-that-restores", "cloud-security-check"]


@pytest.mark.parametrize("one", starters(), ids=lambda one: one.key)
class TestStarter:
    def mail(self, one: StarterCampaign) -> TouchTemplate:
        compiled = compile_email(one.mjml, slots=one.slots, subject=one.subject, preheader=one.preheader)
        return TouchTemplate(compiled, slots={}, brand=BRAND, launch=LAUNCH)

    def test_has_nothing_to_mend(self, one: StarterCampaign) -> None:
        assert check(one.mjml, slots=one.slots, subject=one.subject, preheader=one.preheader) == []

    def test_says_what_it_is_for(self, one: StarterCampaign) -> None:
        assert all((one.name, one.goal, one.summary, one.subject, one.preheader))
        assert all(slot.label for slot in one.slots)

    def test_has_five_tracked_links_and_a_size_that_nobody_cuts(self, one: StarterCampaign) -> None:
        touch = self.mail(one)
        assert sorted(touch.destinations()) == [1, 2, 3, 4, 5]
        assert all(link.label for link in touch.links)
        assert touch.compiled.size < 30_000

    def test_loads_nothing_but_the_partners_logo_and_the_pixel(self, one: StarterCampaign) -> None:
        made = self.mail(one).render(contact=CONTACT, links=self.mail(one).destinations(), service=SERVICE)
        outline = Outline(made.html)
        assert [given["src"] for tag, given in outline.tags if tag == "img"] == [
            BRAND["logo_url"],
            SERVICE["pixel_url"],
        ]
        assert "link" not in {tag for tag, _ in outline.tags}
        assert "url(" not in made.html

    @pytest.mark.parametrize(
        "missing", [("logo_url",), ("phone",), ("website",), ("logo_url", "phone", "website", "email")]
    )
    def test_suits_a_partner_who_has_not_given_everything(self, one: StarterCampaign, missing: tuple[str, ...]) -> None:
        compiled = compile_email(one.mjml, slots=one.slots, subject=one.subject, preheader=one.preheader)
        brand = {name: value for name, value in BRAND.items() if name not in missing}
        touch = TouchTemplate(compiled, slots={}, brand=brand, launch=LAUNCH)
        made = touch.render(contact={}, links=touch.destinations(), service=SERVICE)
        assert 'href=""' not in made.html
        assert "tel:" not in made.html or "phone" not in missing
        assert "Hello," in made.text

    def test_reads_well_as_text(self, one: StarterCampaign) -> None:
        touch = self.mail(one)
        text = touch.render(contact=CONTACT, links=touch.destinations(), service=SERVICE).text
        assert "Hello Mara," in text
        assert "\n\n\n" not in text
        assert "{" not in text
        assert not [line for line in text.split("\n") if line != line.rstrip()]

    def test_brings_a_landing_page_within_its_limits(self, one: StarterCampaign) -> None:
        assert landing.clean(one.landing) == one.landing


# -- notifications -------------------------------------------------------------------------------------


def test_every_notification_that_the_product_sends_is_there() -> None:
    assert set(notifications()) == NAMED_IN_THE_PLAN | NAMED_IN_ACCOUNTS_AND_FUNDS


@pytest.mark.parametrize("name", notifications())
class TestNotification:
    def test_shows_all_it_is_given(self, name: str) -> None:
        data = {field: f"value-of-{field}" for field in notification_fields(name)} | {
            "url": "https://app.example/there"
        }
        made = notification(name, data=data, platform=PLATFORM)
        whole = made.subject + made.html
        for field in set(notification_fields(name)) - {"status"}:
            assert data[field] in whole, field
            assert field == "reason" or data[field] in made.subject + made.text, field
        assert "TCMA" in made.text

    def test_stands_without_any_data(self, name: str) -> None:
        made = notification(name, data={}, platform=PLATFORM)
        assert made.subject
        assert "{{" not in made.html
        assert "None" not in made.html
        assert 'href=""' not in made.html
        assert "\n\n\n" not in made.text

    def test_keeps_hostile_data_as_text(self, name: str) -> None:
        nasty = '"><script>alert(1)</script>{{7*7}}\r\nBcc: x@y.example'
        made = notification(name, data=dict.fromkeys(notification_fields(name), nasty) | {"url": ""}, platform=PLATFORM)
        assert "script" not in {tag for tag, _ in Outline(made.html).tags}
        assert "49" not in made.text
        assert "\n" not in made.subject
        assert "\r" not in made.subject

    def test_loads_and_tracks_nothing(self, name: str) -> None:
        made = notification(name, data={"url": "https://app.example/there"}, platform=PLATFORM)
        outline = Outline(made.html)
        assert not {"img", "link"} & {tag for tag, _ in outline.tags}
        assert set(outline.hrefs()) <= {"https://app.example/there"}


def test_a_button_leads_to_the_path_on_the_origin() -> None:
    data = {"origin": "https://app.example", "path": "/requests/7?a=1&b=2"}
    made = notification("request_submitted", data=data, platform=PLATFORM)
    assert Outline(made.html).hrefs() == ["https://app.example/requests/7?a=1&b=2"]
    assert "https://app.example/requests/7?a=1&b=2" in made.text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "mailto:a@b.example", "/relative"])
def test_a_button_leads_only_to_a_web_address(url: str) -> None:
    with pytest.raises(Invalid):
        notification("welcome", data={"url": url}, platform=PLATFORM)


def test_dates_states_and_numbers_are_put_into_words() -> None:
    data = {"due_at": "2026-03-01T09:05:00+00:00", "number": 14}
    assert "1 March 2026, 09:05 UTC" in notification("request_submitted", data=data, platform=PLATFORM).text
    data = {"claim_until": "2026-09-30", "status": "approved_in_part", "title": "2026-99-99"}
    made = notification("request_decided", data=data, platform=PLATFORM)
    assert "is approved in part" in made.subject
    assert "30 September 2026" in made.text
    assert "2026-99-99" in made.text


@pytest.mark.parametrize("name", ["nothing", "_frame", "../notifications/welcome", "welcome.mjml", ""])
def test_an_unknown_notification_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        notification(name, data={}, platform=PLATFORM)


def test_only_text_goes_into_a_notification() -> None:
    with pytest.raises(TypeError, match="text only"):
        notification("welcome", data={"name": ["Mara"]}, platform=PLATFORM)


# -- rendering a file ----------------------------------------------------------------------------------


def test_a_file_is_rendered_as_a_reader_would_get_it(tmp_path: Path) -> None:
    file = tmp_path / "mail.mjml"
    file.write_text(in_text("Dear {{ contact.first_name }}"), encoding="utf-8")
    assert "Dear Alex" in render_file(file, contact=None, text=False)
    assert render_file(file, contact={"first_name": "Zoë"}, text=True).startswith("Dear Zoë\n")
    assert "Unsubscribe" in render_file(file, contact=None, text=True)


def test_a_file_takes_slots_and_subject_from_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "mail.mjml"
    file.write_text(in_text("{{ slot.headline }}"), encoding="utf-8")
    with pytest.raises(MarkupError, match="no slot headline"):
        render_file(file)
    (tmp_path / "campaign.toml").write_text('subject = "S"\n[[slots]]\nname = "headline"\ndefault = "Hi"\n')
    assert "Hi" in render_file(file, text=True)


@pytest.mark.parametrize(
    ("toml", "words", "line"),
    [
        ("subject = ", "not TOML", 1),
        ("a = 1\nb = = 2\n", "not TOML", 2),
        ('[[slots]]\nname = "x"\nkind = "image"\n', "slots.x.kind", 0),
        ('[[slots]]\nname = "x"\nkind = "link"\n', "slots.x: X is empty", 0),
        ('subject = "{{ nope }}"\n', "no nope", 0),
    ],
)
def test_a_mistake_beside_a_file_is_told_by_its_place(tmp_path: Path, toml: str, words: str, line: int) -> None:
    file = tmp_path / "mail.mjml"
    source = '<a href="{{ slot.x }}">a</a>' if "link" in toml else "a"
    file.write_text(in_text(source), encoding="utf-8")
    (tmp_path / "campaign.toml").write_text(toml)
    with pytest.raises(MarkupError) as refused:
        render_file(file)
    assert words in refused.value.problems[0].message
    assert refused.value.problems[0].line == line


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        (b"<mjml>\n<mj-body>\xff</mj-body></mjml>", "not UTF-8", 2),
        (b"\x00" * 10, "cannot be shown", 1),
        (b"a" * 400_000, "256 fit", 1),
        ("ü".encode() * 200_000, "256 fit", 1),
        (b"", "empty", 1),
    ],
)
def test_a_file_that_is_no_mjml_is_refused_with_its_line(tmp_path: Path, content: bytes, words: str, line: int) -> None:
    file = tmp_path / "mail.mjml"
    file.write_bytes(content)
    with pytest.raises(MarkupError) as refused:
        render_file(file)
    assert words in refused.value.problems[0].what
    assert refused.value.problems[0].line == line


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarkupError, match="cannot be read"):
        render_file(tmp_path / "nothing.mjml")


def test_a_contact_with_unknown_fields_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mail.mjml"
    file.write_text(in_text("x"), encoding="utf-8")
    with pytest.raises(Invalid) as refused:
        render_file(file, contact={"shoe_size": 43, "city": ["x"]})
    assert set(refused.value.fields) == {"contact.shoe_size", "contact.city"}


def test_problems_are_printed_as_compilers_do() -> None:
    problems = [
        Problem(9, 2, "Odd.", "Look.", Severity.WARNING),
        Problem(0, 0, "The subject is empty.", "Write one.", part="subject"),
        Problem(3, 1, "Wrong.", "Mend it."),
        Problem(2, 5, "Not TOML.", "", part="campaign.toml"),
    ]
    assert format_problems(problems, Path("x") / "mail.mjml").split("\n") == [
        "x/mail.mjml:3:1: error: Wrong. Mend it.",
        "x/mail.mjml: error: The subject is empty. Write one.",
        "x/campaign.toml:2:5: error: Not TOML.",
        "x/mail.mjml:9:2: warning: Odd. Look.",
    ]
