"""One spelling of an address, a reason for what is none, a key that tells nothing."""

from __future__ import annotations

import hashlib

import pytest
from email_validator import validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tcma.audience.addresses import (
    KEY_VERSION,
    LONGEST,
    AddressRefused,
    NormalisedAddress,
    email_key,
    looks_like_address,
    normalise,
)

SECRET = b"k" * 32


@pytest.mark.parametrize(
    ("typed", "address", "display"),
    [
        ("Jane.Doe+x@Example.COM", "Jane.Doe+x@example.com", "Jane.Doe+x@example.com"),
        ("  jane@example.com\u00a0", "jane@example.com", "jane@example.com"),
        ("\u200bjane@example.com\ufeff", "jane@example.com", "jane@example.com"),
        ("Doe, Jane <jane@example.com>", "jane@example.com", "jane@example.com"),
        ("mailto:jane@example.com?subject=Hi", "jane@example.com", "jane@example.com"),
        ("'jane@example.com'", "jane@example.com", "jane@example.com"),
        ("jane@example.com,", "jane@example.com", "jane@example.com"),
        ("jane@Müller.example", "jane@xn--mller-kva.example", "jane@müller.example"),
        ("jane@xn--mller-kva.example", "jane@xn--mller-kva.example", "jane@müller.example"),
        ("o'neil@example.com", "o'neil@example.com", "o'neil@example.com"),
    ],
)
def test_an_address_has_one_spelling(typed: str, address: str, display: str) -> None:
    found = normalise(typed)
    assert (found.address, found.display) == (address, display)
    assert found.address == f"{found.local}@{found.domain_ascii}"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "no_address"),
        ("  ", "no_address"),
        ("''", "no_address"),
        ("jane", "no_at_sign"),
        ("jösé@example.com", "local_part_not_ascii"),
        ("ｊａｎｅ@example.com", "local_part_not_ascii"),
        ("a@example.com; b@example.com", "several_addresses"),
        ("a@example.com,b@example.com", "several_addresses"),
        ("jane@example.com\r\nBcc: x@example.com", "control_character"),
        ("ja\x00ne@example.com", "control_character"),
        ("jane@example", "not_an_address"),
        ("jane@localhost", "not_an_address"),
        ("jane@example.test", "not_an_address"),
        ("jane@[192.0.2.1]", "not_an_address"),
        ("jane@192.0.2.1", "not_an_address"),
        ("jane@exa_mple.com", "not_an_address"),
        ("jane@-example.com", "not_an_address"),
        ("jane@example..com", "not_an_address"),
        (".jane@example.com", "not_an_address"),
        ("jane doe@example.com", "not_an_address"),
        ('"jane doe"@example.com', "not_an_address"),
        ("x" * 65 + "@example.com", "not_an_address"),
        ("jane@" + "a." * 130 + "com", "too_long"),
        ("j" * 5000, "too_long"),
    ],
)
def test_what_cannot_be_sent_to_is_refused_with_its_reason(typed: str, code: str) -> None:
    with pytest.raises(AddressRefused) as refusal:
        normalise(typed)
    assert refusal.value.reason.code == code
    assert refusal.value.fields == {"email": refusal.value.reason.message}
    assert "\n" not in refusal.value.reason.message


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [
        ("jane@gmial.com", "jane@gmail.com"),
        ("jane@gmail.co", "jane@gmail.com"),
        ("jane@hotmial.com", "jane@hotmail.com"),
        ("jane@yaho.com", "jane@yahoo.com"),
        ("jane@acme.con", "jane@acme.com"),
        ("jane@mail.com", None),
        ("jane@gmail.com", None),
        ("jane@web.de", None),
        ("jane@acme.example", None),
    ],
)
def test_a_likely_slip_is_a_warning_with_a_suggestion(typed: str, suggestion: str | None) -> None:
    found = normalise(typed)
    assert found.suggestion == suggestion
    assert ("maybe_mistyped" in {warning.code for warning in found.warnings}) is (suggestion is not None)
    assert found.address == typed


@pytest.mark.parametrize(
    "typed", ["info@example.com", "Sales@example.com", "no-reply+x@example.com", "vertrieb@a.example"]
)
def test_a_shared_mailbox_is_warned_about_not_refused(typed: str) -> None:
    assert [warning.code for warning in normalise(typed).warnings] == ["role_address"]


def test_the_key_is_one_for_all_spellings_and_tells_its_rule() -> None:
    spellings = [
        "Jane@Müller.example",
        "jane@xn--mller-kva.example",
        " JANE@MÜLLER.EXAMPLE ",
        "J <jane@müller.example>",
    ]
    keys = {email_key(spelling, secret=SECRET) for spelling in spellings}
    keys.add(email_key(normalise(spellings[0]), secret=SECRET))
    (key,) = keys
    assert len(key) == 33
    assert key[0] == KEY_VERSION


def test_the_key_needs_the_secret_and_the_address() -> None:
    key = email_key("jane@example.com", secret=SECRET)
    assert key != email_key("jane@example.com", secret=b"other")
    assert key != email_key("june@example.com", secret=SECRET)
    assert hashlib.sha256(b"jane@example.com").digest() not in key


def test_no_key_is_made_of_what_is_no_address() -> None:
    with pytest.raises(AddressRefused):
        email_key("nobody", secret=SECRET)


labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?", fullmatch=True)
domains = st.builds(lambda parts, end: ".".join([*parts, end]), st.lists(labels, min_size=1, max_size=4),
                    st.from_regex(r"[A-Za-z]{2,12}", fullmatch=True))  # fmt: skip
locals_ = st.from_regex(r"[A-Za-z0-9_+-]{1,20}(\.[A-Za-z0-9_+-]{1,20}){0,3}", fullmatch=True)


@settings(deadline=None, max_examples=300)
@given(locals_, domains)
def test_the_fast_way_agrees_with_the_careful_one(local: str, domain: str) -> None:
    typed = f"{local}@{domain}"
    try:
        expected = validate_email(typed, check_deliverability=False, allow_smtputf8=False, strict=True)
    except ValueError:
        with pytest.raises(AddressRefused):
            normalise(typed)
        return
    found = normalise(typed)
    assert found.address.lower() == f"{expected.local_part}@{expected.ascii_domain}".lower()


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.text(),
        st.builds("{}@{}".format, st.text(), st.text()),
        st.builds("{}@{}".format, locals_, st.text()),
    )
)
@example("a@" + "xn--" * 20 + ".com")
@example("a@xn--a.com")
@example("a@\u0130.com")
@example("\ud800@example.com")
@example("a@\ud800.com")
def test_any_text_becomes_an_address_that_is_safe_or_a_reason(text: str) -> None:
    found: NormalisedAddress | None = None
    reason = None
    try:
        found = normalise(text)
    except AddressRefused as refusal:
        reason = refusal.reason
    if found is None:
        assert reason is not None
        assert reason.message.endswith((".", "…"))
        return
    assert found.address.isascii()
    assert found.address.isprintable()
    assert " " not in found.address
    assert len(found.address) <= LONGEST
    assert found.domain_ascii == found.domain_ascii.lower()
    assert normalise(found.address).address == found.address


@pytest.mark.parametrize(
    ("text", "looks"), [("a@b.example", True), ("a@b", False), ("Email", False), ("a@b@c.d", False)]
)
def test_a_guess_at_a_column_is_cheap(text: str, looks: bool) -> None:
    assert looks_like_address(text) is looks
