"""A row of a contact file judged: accepted, accepted with a warning, or refused, each with how to mend it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import phonenumbers

from tcma.audience.addresses import AddressRefused, NormalisedAddress, Reason, normalise
from tcma.audience.places import country_code, language_code
from tcma.audience.rawrows import RawRow
from tcma.errors import Invalid

FIELDS: Mapping[str, str] = {
    "email": "Email address",
    "first_name": "First name",
    "last_name": "Last name",
    "full_name": "Full name",
    "company": "Company",
    "job_title": "Job title",
    "phone": "Phone",
    "city": "City",
    "country": "Country",
    "language": "Language",
    "tags": "Tags",
}
"""What a column can be mapped to, with its label; only the email address is required."""

MOST_CHARACTERS = {
    "first_name": 100,
    "last_name": 100,
    "full_name": 200,
    "company": 200,
    "job_title": 200,
    "city": 100,
}
MOST_TAGS, LONGEST_TAG = 20, 50


class Status(StrEnum):
    ACCEPTED = "accepted"
    WARNING = "warning"
    REFUSED = "refused"


class ContactValues(NamedTuple):
    """What a row says of a contact. Texts are clean but data: a name that looks like HTML stays as it is.

    `phone` is E.164, `country` ISO 3166-1 alpha-2, `language` ISO 639; each empty where unknown.
    """

    address: NormalisedAddress
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    job_title: str = ""
    phone: str = ""
    city: str = ""
    country: str = ""
    language: str = ""
    tags: tuple[str, ...] = ()

    @property
    def email(self) -> str:
        return self.address.address


class Verdict(NamedTuple):
    """What becomes of a row. `reasons` are empty for an accepted row; `values` None for a refused one."""

    number: int
    status: Status
    reasons: tuple[Reason, ...]
    values: ContactValues | None


# Not for people: line breaks and other controls, zero-width and direction marks (names that read backwards),
# halves of surrogates. The joiners U+200C and U+200D belong to Persian, Hindi and emoji, and stay.
_HARMFUL = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SPACES = re.compile(r"\s+")
_E164 = re.compile(r"\+([1-9][0-9]{6,14})")
_TAG_BREAKS = re.compile(r"[;,|\n]")
# Stay with the last name when a full name is taken apart.
_PARTICLES = frozenset(
    {"af", "al", "da", "das", "de", "degli", "del", "della", "den", "der", "di", "dos", "du", "la", "le",
     "op", "ten", "ter", "van", "von", "zu", "zum", "zur", "'t"}
)  # fmt: skip
_REFUSING = frozenset({"row_too_long", "quote_not_closed", "cell_too_large"})


def read_row(raw: RawRow, mapping: Mapping[str, int], *, default_region: str | None = None) -> Verdict:
    """The verdict on one row. `mapping` is field to column index; `default_region` the ISO country of phones.

    Raises Invalid only for a mapping without email or with unknown fields, never for a row.
    """
    return _reader(tuple(mapping.items()), default_region)(raw)


class RowReader:
    """`read_row` for many rows of one mapping. Raises Invalid when made, as `read_row` does."""

    def __init__(self, mapping: Mapping[str, int], *, default_region: str | None = None) -> None:
        unknown = sorted(set(mapping) - set(FIELDS))
        if unknown:
            raise Invalid({"mapping": f"There is no field “{unknown[0][:40]}”. Choose one of the list."})
        if "email" not in mapping:
            raise Invalid({"mapping": "Choose the column that holds the email addresses."})
        places = list(mapping.values())
        if any(type(place) is not int or place < 0 for place in places):
            raise Invalid({"mapping": "Choose a column of the file for each field."})
        if len(set(places)) < len(places):
            raise Invalid({"mapping": "Two fields use the same column. Choose another column for one of them."})
        if default_region is not None and default_region not in phonenumbers.SUPPORTED_REGIONS:
            raise Invalid({"default_region": "Choose the country for phone numbers from the list."})
        self._email = mapping["email"]
        self._texts = [(name, mapping[name], most) for name, most in MOST_CHARACTERS.items() if name in mapping]
        self._phone, self._tags = mapping.get("phone"), mapping.get("tags")
        self._country, self._language = mapping.get("country"), mapping.get("language")
        self._fields = {place: field for field, place in mapping.items()}
        self._width = max(places) + 1
        self._region = default_region

    def __call__(self, raw: RawRow) -> Verdict:
        cells = raw.cells
        if len(cells) < self._width:
            cells = [*cells, *[""] * (self._width - len(cells))]
        reasons: list[Reason] = []
        if raw.problems and self._problems(raw, reasons):
            return Verdict(raw.number, Status.REFUSED, tuple(reasons), None)
        try:
            address = normalise(cells[self._email])
        except AddressRefused as refusal:
            return Verdict(raw.number, Status.REFUSED, (*reasons, refusal.reason), None)
        if address.warnings:
            reasons.extend(address.warnings)
        texts = {name: _text(cells[place], name, most, reasons) for name, place, most in self._texts}
        full_name = texts.pop("full_name", "")
        if full_name and not texts.get("first_name") and not texts.get("last_name"):
            texts["first_name"], texts["last_name"] = split_name(full_name)
        country = _country(cells[self._country], reasons) if self._country is not None else ""
        values = ContactValues(
            address,
            phone=_phone(cells[self._phone], country or self._region, reasons) if self._phone is not None else "",
            country=country,
            language=_language(cells[self._language], reasons) if self._language is not None else "",
            tags=_split_tags(cells[self._tags], reasons) if self._tags is not None else (),
            **texts,
        )
        status = Status.WARNING if reasons else Status.ACCEPTED
        return Verdict(raw.number, status, tuple(reasons), values)

    def _problems(self, raw: RawRow, reasons: list[Reason]) -> bool:
        """Add what matters to this mapping; whether it refuses the row."""
        refused = False
        for column, reason in raw.problems:
            field = None if column is None else self._fields.get(column)
            if column is None:
                refused = refused or reason.code in _REFUSING
                reasons.append(reason)
            elif field is not None:
                refused = refused or field == "email"
                reasons.append(Reason(reason.code, f"{FIELDS[field]}: {reason.message}"))
        return refused


def split_name(full_name: str) -> tuple[str, str]:
    """First and last name: “Doe, Jane” and “Jane van der Doe” alike; one word is a first name."""
    last, comma, first = (part.strip() for part in full_name.partition(","))
    if comma and last and first:
        return first[: MOST_CHARACTERS["first_name"]], last[: MOST_CHARACTERS["last_name"]]
    words = full_name.replace(",", " ").split()
    if not words:
        return "", ""
    start = max(1, len(words) - 1)
    while start > 1 and words[start - 1].lower() in _PARTICLES:
        start -= 1
    first, last = " ".join(words[:start]), " ".join(words[start:])
    return first[: MOST_CHARACTERS["first_name"]], last[: MOST_CHARACTERS["last_name"]]


@lru_cache(maxsize=256)
def _reader(mapping: tuple[tuple[str, int], ...], default_region: str | None) -> RowReader:
    return RowReader(dict(mapping), default_region=default_region)


def _text(cell: str, field: str, most: int, reasons: list[Reason]) -> str:
    if not cell:
        return ""
    text = cell.strip() if cell.isascii() and cell.isprintable() else _mended(cell, field, reasons)
    if len(text) > most:
        reasons.append(
            Reason("too_long", f"{FIELDS[field]} has {len(text):,} characters; only the first {most} were kept.")
        )
        return text[:most].rstrip()
    return text


def _mended(cell: str, field: str, reasons: list[Reason]) -> str:
    """Composed (NFC), line breaks as blanks, without what `_HARMFUL` lists; lost letters are told."""
    text = _HARMFUL.sub("", cell)
    if len(text) < len(cell) and any(char not in "\u200b\ufeff\u00ad" for char in _HARMFUL.findall(cell)):
        reasons.append(
            Reason(
                "control_characters",
                f"{FIELDS[field]} held invisible control characters, which were removed.",
            )
        )
    if "\ufffd" in text:
        reasons.append(
            Reason(
                "letters_lost",
                f"{FIELDS[field]} holds letters that were lost when the file was saved. Correct it.",
            )
        )
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def _country(cell: str, reasons: list[Reason]) -> str:
    if not cell or cell.isspace():
        return ""
    code = country_code(cell[:100])
    if code is None:
        reasons.append(
            Reason(
                "unknown_country",
                f"“{_shown(cell)}” is no country we know, so it was left out. Use its name or code.",
            )
        )
    return code or ""


def _language(cell: str, reasons: list[Reason]) -> str:
    if not cell or cell.isspace():
        return ""
    code = language_code(cell[:100])
    if code is None:
        reasons.append(
            Reason(
                "unknown_language",
                f"“{_shown(cell)}” is no language we know, so it was left out. Use a code like en.",
            )
        )
    return code or ""


def _phone(cell: str, region: str | None, reasons: list[Reason]) -> str:
    """E.164, or nothing and a warning. Any possible number is taken: lists of valid ones are always late."""
    if not cell or cell.isspace():
        return ""
    plain = _E164.fullmatch(cell)
    if plain and _possible_international(plain[1]):
        return cell
    text = cell[:60].strip()
    digits = re.sub(r"[^0-9]", "", text)
    for candidate in (text, f"+{digits}") if len(digits) > 4 else ():  # a spreadsheet may have eaten the plus
        try:
            number = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    hint = "Write it like +49 30 1234567." if region else "Write it with its country code, like +49 30 1234567."
    reasons.append(Reason("bad_phone", f"“{_shown(cell)}” is no phone number, so it was left out. {hint}"))
    return ""


@lru_cache(maxsize=1024)
def _possible_lengths(country_calling_code: int) -> frozenset[int]:
    """How long national numbers behind this code can be; empty for a code that nobody has."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(country_calling_code)
    if not regions:
        return frozenset()
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country_calling_code, regions[0])
    if metadata is None or metadata.general_desc is None:
        return frozenset()
    return frozenset(metadata.general_desc.possible_length)


def _possible_international(digits: str) -> bool:
    """Whether digits after a plus need no parsing: a country's code, no trunk zero, a possible length."""
    for length in (1, 2, 3):
        lengths = _possible_lengths(int(digits[:length]))
        if lengths:
            return digits[length] != "0" and len(digits) - length in lengths
    return False


def _split_tags(cell: str, reasons: list[Reason]) -> tuple[str, ...]:
    if not cell:
        return ()
    tags, all_kept = _tags(cell[:4000])
    if not all_kept:
        message = f"Only the first {MOST_TAGS} tags of at most {LONGEST_TAG} characters were kept."
        reasons.append(Reason("too_many_tags", message))
    return tags


@lru_cache(maxsize=4096)
def _tags(cell: str) -> tuple[tuple[str, ...], bool]:
    """The tags of a cell, kept for the next one like it, and whether they are all."""
    found = dict.fromkeys(_SPACES.sub(" ", part).strip() for part in _TAG_BREAKS.split(_HARMFUL.sub("", cell)))
    tags = [tag for tag in found if tag]
    kept = tuple(dict.fromkeys(tag[:LONGEST_TAG].strip() for tag in tags[:MOST_TAGS]))
    return kept, kept == tuple(tags)


def _shown(cell: str) -> str:
    text = "".join(char if char.isprintable() else " " for char in cell.strip())
    return text if len(text) <= 40 else text[:39] + "…"
