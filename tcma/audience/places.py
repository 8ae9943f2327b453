"""Countries and languages as people write them in six languages, to the codes that machines agree on."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache

from babel import Locale
from babel.core import get_global

_WRITTEN_IN = ("en", "de", "fr", "es", "nl", "it")
_NOT_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
_ALSO_COUNTRIES = {
    **dict.fromkeys(["uk", "great britain", "england", "scotland", "wales", "northern ireland", "britain"], "GB"),
    **dict.fromkeys(["us", "usa", "united states of america", "america", "vereinigte staaten von amerika"], "US"),
    **dict.fromkeys(["etats unis d amerique", "estados unidos de america", "stati uniti d america"], "US"),
    **dict.fromkeys(["holland", "the netherlands", "olanda", "holanda", "hollande"], "NL"),
    **dict.fromkeys(["czech republic", "tschechische republik", "republique tcheque"], "CZ"),
    **dict.fromkeys(["south korea", "korea", "republic of korea"], "KR"),
    **dict.fromkeys(["uae", "emirates"], "AE"),
    **dict.fromkeys(["turkey"], "TR"),
    **dict.fromkeys(["hong kong"], "HK"),
    **dict.fromkeys(["russian federation"], "RU"),
    **dict.fromkeys(["brd", "bundesrepublik deutschland", "federal republic of germany"], "DE"),
    # Single letters of vehicle plates, which stand before postal codes in old address books.
    **{"d": "DE", "a": "AT", "f": "FR", "i": "IT", "e": "ES", "b": "BE", "l": "LU"},
}
_ALSO_LANGUAGES = {
    "castellano": "es",
    "flemish": "nl",
    "vlaams": "nl",
    "flamisch": "nl",
    "ger": "de",
    "fre": "fr",
}


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-2 for a name, alpha-2 or alpha-3 code of a country; None where there is none."""
    name = plain(text)
    return _countries().get(name) or _countries().get(name.replace(" ", "") if len(name) < 6 else name)


@lru_cache(maxsize=4096)
def language_code(text: str) -> str | None:
    """ISO 639 code in lower case for a name, code or locale (“Deutsch”, “ger”, “de-CH”); else None."""
    whole = plain(text)
    return _languages().get(whole) or _languages().get(whole.partition(" ")[0] if len(whole) < 12 else whole)


def plain(text: str) -> str:
    """Letters and digits in lower case without accents, single blanks between: how names are compared."""
    spread = unicodedata.normalize("NFKD", text).casefold()
    kept = (char if char.isalnum() else " " for char in spread if not unicodedata.combining(char))
    return " ".join("".join(kept).split())


@cache
def _countries() -> Mapping[str, str]:
    codes = {str(code) for code in Locale("en").territories}
    known = {code for code in codes if len(code) == 2 and code.isalpha()} - _NOT_COUNTRIES
    found = {code.lower(): code for code in known}
    for alias, targets in get_global("territory_aliases").items():
        if len(alias) == 3 and alias.isalpha() and len(targets) == 1 and targets[0] in known:
            found[alias.lower()] = targets[0]
    for tongue in _WRITTEN_IN:
        names = Locale(tongue).territories
        found.update({plain(names[code]): code for code in sorted(known) if code in names})
    return {**found, **_ALSO_COUNTRIES}


@cache
def _languages() -> Mapping[str, str]:
    codes = {str(code) for code in Locale("en").languages}
    known = {code for code in codes if code.isalpha() and len(code) in (2, 3)}
    known -= {"mul", "und", "zxx"}
    found: dict[str, str] = {}
    for alias, target in get_global("language_aliases").items():
        if alias.isalpha() and target in known:
            found[alias] = target
    for tongue in _WRITTEN_IN:
        names = Locale(tongue).languages
        # Longer codes first, so that where two share a name the shorter, commoner one stays.
        for code in sorted(known, key=len, reverse=True):
            if code in names:
                found[plain(names[code])] = code
    found.update({code: code for code in known})
    return {**found, **_ALSO_LANGUAGES}
