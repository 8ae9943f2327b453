"""Addresses that a reader may be sent to: which are allowed, and their one normal form."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

SCHEMES = ("https", "http", "mailto", "tel")
WEB = ("https", "http")
MAX_LENGTH = 2000

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = re.compile(r"^(?!-)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?$|^[0-9A-Fa-f:.]+$")
_MAIL = re.compile(r"^[^\s@<>,;:\"'()\\]+@[^\s@<>,;:\"'()\\?&]+(?:\?[^\s<>\"'\\]*)?$")
_PHONE = re.compile(r"^\+?[0-9][0-9 ().\-/]{1,30}$")
# What RFC 3986 lets stand unescaped, less quotes and brackets that would end a CSS url() or an attribute.
_PATH_SAFE = "/%:@!$&*+,;=~-._"
_QUERY_SAFE = _PATH_SAFE + "?"


class BadAddress(ValueError):
    """Not an address for a reader; the text says why and how to mend it."""


def normal_address(value: str, *, schemes: tuple[str, ...] = SCHEMES) -> str:
    """The address with unsafe characters percent-encoded and its host in ASCII; raises BadAddress."""
    text = value.strip()
    if not text:
        raise BadAddress("There is no address. Write one such as https://www.example.com.")
    if len(text) > MAX_LENGTH:
        raise BadAddress(f"The address is {len(text)} characters long; {MAX_LENGTH} fit. Use a shorter one.")
    if any(ord(char) < 33 or 127 <= ord(char) < 160 for char in text if char != " "):
        raise BadAddress("The address holds a line break or an invisible character. Type it again by hand.")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme not in schemes:
        raise BadAddress(_scheme_mend(text, scheme=scheme, schemes=schemes))
    rest = text[len(scheme) + 1 :]
    if scheme == "mailto":
        return "mailto:" + _mail(rest)
    if scheme == "tel":
        return "tel:" + _phone(rest)
    return _web(text, scheme=scheme)


def is_web(address: str) -> bool:
    """Whether the address is opened by a browser, so that a click on it can be tracked."""
    return address.lower().startswith(("http://", "https://"))


def _scheme_mend(text: str, *, scheme: str, schemes: tuple[str, ...]) -> str:
    allowed = ", ".join(f"{name}:" for name in schemes)
    if text.startswith("//"):
        return "The address starts with //. Write https:// in front of it instead."
    if scheme and not re.match(r"^[A-Za-z0-9.-]+:\d", text):
        return f"An address may not start with {scheme}:. Use {allowed}."
    return "The address does not say how to reach it. Write https:// in front of it."


def _mail(rest: str) -> str:
    if not _MAIL.match(rest):
        raise BadAddress("That is not a mail address. Write it like mailto:name@example.com.")
    return quote(rest, safe="@?&=+%!$*,;:/-._~")


def _phone(rest: str) -> str:
    if not _PHONE.match(rest.strip()):
        raise BadAddress("That is not a phone number. Write it like tel:+49301234567.")
    return re.sub(r"[^0-9+]", "", rest)


def _web(text: str, *, scheme: str) -> str:
    if "\\" in text:
        raise BadAddress("The address holds a backslash. Use / instead.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise BadAddress("The part after https:// is not a domain. Write it like www.example.com.") from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise BadAddress("The address holds a sign-in before @. Leave it out.")
    if not ascii_host or not _HOST.match(ascii_host):
        raise BadAddress("The address has no domain. Write it like https://www.example.com.")
    if ":" in ascii_host:
        ascii_host = f"[{ascii_host}]"
    address = f"{scheme}://{ascii_host}" + (f":{port}" if port is not None else "")
    address += quote(parts.path, safe=_PATH_SAFE)
    if parts.query:
        address += "?" + quote(parts.query, safe=_QUERY_SAFE)
    if parts.fragment:
        address += "#" + quote(parts.fragment, safe=_QUERY_SAFE)
    if len(address) > MAX_LENGTH:
        raise BadAddress(f"The address is longer than {MAX_LENGTH} characters. Use a shorter one.")
    return address
