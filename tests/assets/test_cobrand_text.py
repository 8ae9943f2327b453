"""Text shrinks, breaks and at last is refused, but never leaves its rectangle; unprintable signs are named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcma.assets import fonts
from tcma.assets.composing import contact_forms
from tcma.assets.textfit import LEADING, Line, Sizes, fit
from tcma.assets.zones import BrandKit, Zone, zones_from
from tcma.errors import Invalid

SIZES = Sizes(10, 8, 4)
BRAND = BrandKit("Nord", postal_address="Main Street 1\n12345 Town", phone="+1 2", email="a@b.example")
ZONE = {"page": 1, "x": 0.1, "y": 0.1, "width": 0.5, "height": 0.2, "kind": "logo"}


def half_em(text: str, bold: bool, size: float) -> float:
    """A typeface in which each sign is half as wide as its size."""
    return len(text) * size / 2


def texts(lines: tuple[Line, ...]) -> list[str]:
    return [line.text for line in lines]


class TestFit:
    def test_room_enough_keeps_the_largest_size_and_the_roomy_form(self) -> None:
        forms = [[Line("one"), Line("two")], [Line("one two")]]
        fitted = fit(forms, width=100, height=100, sizes=SIZES, measure=half_em)
        assert fitted is not None
        assert (fitted.size, texts(fitted.lines)) == (10, ["one", "two"])

    def test_it_shrinks_before_it_breaks(self) -> None:
        fitted = fit([[Line("eleven sign")]], width=50, height=100, sizes=SIZES, measure=half_em)
        assert fitted is not None
        assert texts(fitted.lines) == ["eleven sign"]
        assert 8 <= fitted.size <= 100 / 11

    def test_it_takes_the_flat_form_where_the_roomy_one_is_too_high(self) -> None:
        forms = [[Line("one"), Line("two"), Line("three")], [Line("one · two · three")]]
        fitted = fit(forms, width=100, height=14, sizes=SIZES, measure=half_em)
        assert fitted is not None
        assert texts(fitted.lines) == ["one · two · three"]

    def test_it_breaks_at_blanks_and_drops_separators_at_the_break(self) -> None:
        fitted = fit([[Line("alpha · beta · gamma")]], width=40, height=60, sizes=SIZES, measure=half_em)
        assert fitted is not None
        assert texts(fitted.lines) == ["alpha", "beta", "gamma"]

    def test_a_word_too_wide_is_broken_without_losing_a_sign(self) -> None:
        word = "a" * 40 + "@" + "b" * 40
        fitted = fit([[Line(word)]], width=60, height=60, sizes=SIZES, measure=half_em)
        assert fitted is not None
        assert "".join(texts(fitted.lines)) == word

    def test_a_word_is_broken_only_where_smaller_type_does_not_help(self) -> None:
        fitted = fit([[Line("me@place.example tel 12")]], width=50, height=80, sizes=SIZES, measure=half_em)
        assert fitted is not None
        assert texts(fitted.lines) == ["me@place.example", "tel 12"]

    def test_what_cannot_fit_is_not_cut_but_told(self) -> None:
        assert fit([[Line("a" * 400)]], width=30, height=20, sizes=SIZES, measure=half_em) is None
        assert fit([[Line("a")]], width=1, height=1, sizes=SIZES, measure=half_em) is None

    @given(
        st.lists(st.text(alphabet="ab ·", min_size=1, max_size=40), min_size=1, max_size=6),
        st.floats(1, 200),
        st.floats(1, 200),
    )
    def test_nothing_fitted_overflows_and_nothing_is_lost(self, words: list[str], width: float, height: float) -> None:
        lines = [Line(fonts.clean_text(text) or "a", bold=True, scale=1.2) for text in words]
        fitted = fit([lines], width=width, height=height, sizes=SIZES, measure=half_em)
        if fitted is None:
            return
        assert all(half_em(line.text, True, fitted.size * line.scale) <= width for line in fitted.lines)
        assert sum(fitted.size * line.scale * LEADING for line in fitted.lines) <= height + 1e-6
        letters = [sign for line in fitted.lines for sign in line.text if sign not in " ·"]
        assert letters == [sign for line in lines for sign in line.text if sign not in " ·"]


class TestContactBlock:
    def test_the_legal_name_is_set_only_where_it_differs(self) -> None:
        same, other = (contact_forms(replace(BRAND, legal_name=name).checked()) for name in ("NORD", "Nord GmbH"))
        assert texts(tuple(same[0]))[:2] == ["Nord", "Main Street 1"]
        assert texts(tuple(other[0]))[:3] == ["Nord", "Nord GmbH", "Main Street 1"]

    def test_every_form_holds_every_fact(self) -> None:
        for form in contact_forms(replace(BRAND, legal_name="Nord GmbH", website="nord.example").checked()):
            joined = " ".join(line.text for line in form)
            for fact in ("Nord GmbH", "Main Street 1", "12345 Town", "+1 2", "a@b.example", "nord.example"):
                assert fact in joined

    def test_absent_facts_leave_no_empty_lines(self) -> None:
        for form in contact_forms(BrandKit("Nord").checked()):
            assert texts(tuple(form)) == ["Nord"]


class TestSigns:
    @pytest.mark.parametrize(
        "text",
        [
            "Zażółć gęślą jaźń", "Příliš žluťoučký kůň", "Árvíztűrő tükörfúrógép", "Ștefan Țăran", "Çiğdem İş",
            "Ķēniņš", "Šiaulių", "Þór & Ægir", "Αθήνα", "Київ — Ґанок", "Nguyễn Văn Hưng", "€ 1.234,50 – „ja“", "№ 5",
        ],
    )  # fmt: skip
    def test_the_languages_of_europe_can_be_printed(self, text: str) -> None:
        assert fonts.missing_signs(fonts.clean_text(text)) == ""

    def test_letters_and_their_marks_are_composed(self) -> None:
        assert fonts.clean_text("Lo\u0301dz\u0301") == "Lódź"

    def test_what_cannot_be_printed_is_named_by_field_and_sign(self) -> None:
        with pytest.raises(Invalid) as refused:
            BrandKit("Nord 株式会社", postal_address="شارع 1").checked()
        assert set(refused.value.fields) == {"name", "postal_address"}
        assert "株式会社" in refused.value.fields["name"]
        assert "Use Latin, Greek or Cyrillic letters" in refused.value.fields["name"]

    def test_control_signs_and_spare_blanks_are_dropped(self) -> None:
        brand = BrandKit("  Nord\u200b\x07\t GmbH ", postal_address="A 1\r\n\n  B\u00a02 \n").checked()
        assert (brand.name, brand.postal_address) == ("Nord GmbH", "A 1\nB 2")

    def test_a_brand_without_a_name_is_refused(self) -> None:
        with pytest.raises(Invalid, match="no name yet"):
            BrandKit(" \n").checked()

    @pytest.mark.parametrize("color", ["red", "#12345", "#1234567", "", "#12345g"])
    def test_a_colour_that_is_none_is_refused(self, color: str) -> None:
        with pytest.raises(Invalid, match="is not a colour"):
            BrandKit("Nord", color=color).checked()


class TestZones:
    def test_plain_json_there_and_back(self) -> None:
        zones = zones_from([ZONE, {**ZONE, "kind": "contact_block", "align": "right", "ink": "#0F766E"}], pages=1)
        assert zones[0] == Zone(1, 0.1, 0.1, 0.5, 0.2, "logo", "left", "dark")
        assert zones_from([zone.as_json() for zone in zones], pages=1) == zones

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"page": 0}, "page is a whole number"),
            ({"page": True}, "page is a whole number"),
            ({"page": 1.0}, "page is a whole number"),
            ({"page": 3}, "on page 3, but the file has 2"),
            ({"x": "0.1"}, "x is a number from 0 to 1"),
            ({"x": float("nan")}, "x is a number from 0 to 1"),
            ({"y": float("inf")}, "y is a number from 0 to 1"),
            ({"width": True}, "width is a number from 0 to 1"),
            ({"x": -0.01}, "lies on its page"),
            ({"height": 0.001}, "at least a hundredth"),
            ({"x": 0.6}, "reaches to 1.1 across"),
            ({"y": 0.9}, "beyond the page"),
            ({"kind": "video"}, "kind is logo or contact_block, not 'video'"),
            ({"kind": ["logo"]}, "kind is logo or contact_block"),
            ({"align": "justify"}, "align is left or center or right"),
            ({"ink": "red"}, "ink is dark, light, brand or a colour such as #1f4e8c"),
            ({"ink": 7}, "ink is dark"),
            ({"colour": "red"}, "colour is not known"),
        ],
    )
    def test_a_zone_that_cannot_be_is_refused_by_its_number(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(Invalid) as refused:
            zones_from([ZONE, {**ZONE, **change}], pages=2)
        assert refused.value.fields["zones"].startswith("Zone 2: ")
        assert message in refused.value.fields["zones"]

    @pytest.mark.parametrize("name", sorted(ZONE))
    def test_a_zone_lacking_a_part_is_refused(self, name: str) -> None:
        rest = {key: value for key, value in ZONE.items() if key != name}
        with pytest.raises(Invalid, match=f"Zone 1: .*{name} is missing"):
            zones_from([rest], pages=1)

    @pytest.mark.parametrize("items", [None, "zones", {"page": 1}, [ZONE] * 51])
    def test_no_list_of_zones_is_refused(self, items: object) -> None:
        with pytest.raises(Invalid, match="Zones are a list of up to 50"):
            zones_from(items, pages=1)

    @pytest.mark.parametrize("item", [None, 1, "x", [1]])
    def test_no_zone_is_refused(self, item: object) -> None:
        with pytest.raises(Invalid, match="Zone 1: A zone is an object"):
            zones_from([item], pages=1)
