"""A preview shows a mail as on a light or a dark screen, whatever screen the looker has."""

from __future__ import annotations

from tcma.campaigns.looks import in_look

MAIL = (
    '<meta name="color-scheme" content="light dark"><style>:root { color-scheme: light dark; }'
    "@media (prefers-color-scheme: dark) { p { color: #fff } }</style>"
)


def test_dark_rules_hold_on_a_dark_screen_only() -> None:
    dark, light = in_look(MAIL, dark=True), in_look(MAIL, dark=False)
    assert "@media (min-width: 0)" in dark
    assert "@media (max-width: 0)" in light
    assert "prefers-color-scheme" not in dark + light


def test_the_page_s_own_colours_follow() -> None:
    assert 'content="dark"' in in_look(MAIL, dark=True)
    assert "color-scheme: light;" in in_look(MAIL, dark=False)
