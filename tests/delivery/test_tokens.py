from __future__ import annotations

import base64
import hmac
import string
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tcma.delivery import tokens
from tcma.delivery.message import wire_address
from tcma.delivery.tokens import Purpose, TokenData, read_address, read_token

KEY = b"k" * 32
OLD = b"o" * 32
ids = st.integers(0, tokens.LARGEST_ID)
links = st.integers(0, 100_000)
_ONE_DELIVERY: dict[Purpose, Callable[..., str]] = {
    Purpose.OPEN: tokens.open_token,
    Purpose.UNSUBSCRIBE: tokens.unsubscribe_token,
    Purpose.LANDING: tokens.landing_token,
}
_ADDRESSES: dict[Purpose, Callable[..., str]] = {
    Purpose.BOUNCE: tokens.return_path,
    Purpose.UNSUBSCRIBE_MAIL: tokens.unsubscribe_address,
}


@given(ids, links)
def test_a_click_token_tells_its_delivery_and_link(delivery_id: int, link: int) -> None:
    token = tokens.click_token(delivery_id, link, key=KEY)
    assert read_token(token, purpose=Purpose.CLICK, keys=(KEY,)) == TokenData(delivery_id, link)


@pytest.mark.parametrize("purpose", _ONE_DELIVERY)
@given(ids)
def test_every_other_token_tells_its_delivery(purpose: Purpose, delivery_id: int) -> None:
    token = _ONE_DELIVERY[purpose](delivery_id, key=KEY)
    assert read_token(token, purpose=purpose, keys=(KEY,)) == TokenData(delivery_id, 0)


@pytest.mark.parametrize("purpose", _ADDRESSES)
@given(ids)
def test_an_address_tells_its_delivery_in_any_case(purpose: Purpose, delivery_id: int) -> None:
    address = _ADDRESSES[purpose](delivery_id, key=KEY, domain="mail.tcma.example")
    assert wire_address(address) == address
    for spelled in (address, address.upper(), address.title()):
        assert read_address(spelled, purpose=purpose, keys=(KEY,)) == TokenData(delivery_id, 0)


@given(ids, st.sets(links, max_size=6), st.binary(max_size=100))
def test_the_signature_is_what_the_standard_library_says_of_hmac(delivery_id: int, numbers: set[int], key: bytes) -> None:
    made = tokens.click_tokens(delivery_id, numbers, key=key)
    assert made == {number: tokens.click_token(delivery_id, number, key=key) for number in numbers}
    for token in made.values():
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        payload, signature = raw[: -tokens.SIGNATURE], raw[-tokens.SIGNATURE :]
        assert signature == hmac.digest(key, b"click\0" + payload, "sha256")[: tokens.SIGNATURE]


def test_the_longest_link_stays_within_70_characters() -> None:
    origin = "https://" + "t" * 22
    token = tokens.click_token(tokens.LARGEST_ID, 10_000, key=KEY)
    assert len(f"{origin}/r/{token}") <= 70
    assert len(f"{origin}/r/{tokens.click_token(10_000_000, 9, key=KEY)}") <= 56


@given(ids, links)
def test_a_token_needs_no_escaping_in_a_url(delivery_id: int, link: int) -> None:
    token = tokens.click_token(delivery_id, link, key=KEY)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


@given(ids, st.sampled_from(sorted(_ONE_DELIVERY)), st.sampled_from(sorted(Purpose)))
def test_a_token_for_one_purpose_is_none_for_another(delivery_id: int, made: Purpose, asked: Purpose) -> None:
    assume(made is not asked)
    token = _ONE_DELIVERY[made](delivery_id, key=KEY)
    assert read_token(token, purpose=asked, keys=(KEY,)) is None


def test_an_address_for_one_purpose_is_none_for_another() -> None:
    address = tokens.return_path(7, key=KEY, domain="x.example")
    assert read_address(address, purpose=Purpose.UNSUBSCRIBE_MAIL, keys=(KEY,)) is None
    assert read_address("u" + address[1:], purpose=Purpose.UNSUBSCRIBE_MAIL, keys=(KEY,)) is None


@given(ids, links, st.data())
def test_a_changed_character_is_refused(delivery_id: int, link: int, data: st.DataObject) -> None:
    token = tokens.click_token(delivery_id, link, key=KEY)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_"))
    assume(letter != token[place])
    changed = token[:place] + letter + token[place + 1 :]
    assert read_token(changed, purpose=Purpose.CLICK, keys=(KEY,)) is None


@given(ids, links, st.data())
def test_a_cut_or_longer_token_is_refused(delivery_id: int, link: int, data: st.DataObject) -> None:
    token = tokens.click_token(delivery_id, link, key=KEY)
    cut = token[: data.draw(st.integers(0, len(token) - 1))]
    longer = token + data.draw(st.text(string.ascii_letters + "=+/ \n", min_size=1, max_size=30))
    assert read_token(cut, purpose=Purpose.CLICK, keys=(KEY,)) is None
    assert read_token(longer, purpose=Purpose.CLICK, keys=(KEY,)) is None


@given(st.text(max_size=60))
def test_any_text_at_all_gets_an_answer_and_never_an_error(text: str) -> None:
    assert read_token(text, purpose=Purpose.CLICK, keys=(KEY, OLD)) is None
    assert read_address(f"b-{text}@x.example", purpose=Purpose.BOUNCE, keys=(KEY,)) is None
    assert read_address(text, purpose=Purpose.BOUNCE, keys=(KEY,)) is None


def test_every_key_verifies_and_none_is_no_key() -> None:
    token = tokens.click_token(7, 1, key=OLD)
    assert read_token(token, purpose=Purpose.CLICK, keys=(KEY, OLD)) == TokenData(7, 1)
    assert read_token(token, purpose=Purpose.CLICK, keys=(KEY,)) is None
    assert read_token(token, purpose=Purpose.CLICK, keys=()) is None


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_is_no_id_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="A token holds no"):
        tokens.open_token(number, key=KEY)
