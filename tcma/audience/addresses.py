"""Email addresses: one spelling of each, what is wrong with the rest, and the key that stands for one.

Nothing here asks the DNS: an import must not depend on other people's servers, nor tell them whom it holds.
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from typing import NamedTuple

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from rapidfuzz import process
from rapidfuzz.distance import OSA

from tcma.errors import Invalid

KEY_VERSION = 1  # rises when the rule of `normalise` or of the key changes, so that old keys stay explicable
LONGEST = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets


class Reason(NamedTuple):
    """Why something was refused or is doubtful: a stable code, and words that say how to mend it."""

    code: str
    message: str


class AddressRefused(Invalid):
    """No mail can be sent to this text as an address; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__({"email": reason.message})


class NormalisedAddress(NamedTuple):
    """An address as it is sent to (`address`: ASCII, domain in lower case) and as people read it (`display`).

    The local part keeps its case, for only its own server may say that case does not matter (RFC 5321 §2.4);
    `email_key` is what two spellings share. `suggestion` is a likelier address where this looks mistyped.
    """

    address: str
    local: str
    domain_ascii: str
    display: str
    warnings: tuple[Reason, ...] = ()
    suggestion: str | None = None


class _Domain(NamedTuple):
    usable: bool
    suggestion: str | None


# The plain case that needs no second opinion: all it takes, email-validator takes and spells alike (but for
# the names of RFC 2142, which it writes in lower case).
_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(
    rf"([A-Za-z0-9_+-]{{1,64}}(?:\.[A-Za-z0-9_+-]+)*)@((?:{_LABEL}\.)+[A-Za-z]{{2,24}})",
)
_WRAPPED = re.compile(r"[^<>@]*<([^<>]+)>")
_SEVERAL = re.compile(r"@[^@]*[,;\s/|]+[^@]*@")
_INVISIBLE = dict.fromkeys([0xAD, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)])

_PERSONAL_DOMAINS_TEXT = """
aol.com bluewin.ch comcast.net email.com foxmail.com free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com
gmx.de gmx.net googlemail.com hotmail.be hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr
hotmail.it hotmail.nl icloud.com kpnmail.nl laposte.net libero.it live.com live.de live.fr live.nl mac.com
mail.com mail.de me.com msn.com online.de orange.fr outlook.be outlook.com outlook.de outlook.es
outlook.fr outlook.it pm.me posteo.de proton.me protonmail.com qq.com rocketmail.com sfr.fr t-online.de
telenet.be tiscali.it verizon.net virgilio.it wanadoo.fr web.de yahoo.ca yahoo.co.uk yahoo.com yahoo.de
yahoo.es yahoo.fr yahoo.it ymail.com ziggo.nl
"""
_PERSONAL_DOMAINS = frozenset(_PERSONAL_DOMAINS_TEXT.split())
# Only what is long enough that one slip does not make another real name of it.
_OFTEN_MISTYPED = sorted(domain for domain in _PERSONAL_DOMAINS if len(domain) >= 9)
_MISTYPED_ENDINGS = {
    **dict.fromkeys(["con", "cmo", "comm", "coom", "vom", "xom", "ocm", "cpm", "ckm"], "com"),
    **dict.fromkeys(["ner", "nte", "nett", "met"], "net"),
    **dict.fromkeys(["ogr", "orgg", "rog"], "org"),
}
_ROLES_TEXT = """
abuse accounting accounts admin administration administrator ap ar billing bookkeeping buchhaltung buero
career careers commercial compras comptabilite contact contacto contactus contatti customerservice
direction einkauf enquiries facturation finance hello help helpdesk hi hostmaster hr info infos informatie
information it jobs kontakt mail mailer-daemon marketing media news newsletter no-reply nobody noreply
office orders post postmaster presse press privacy purchasing reception root sales secretariat security
service shop support team usenet ventas verkauf verkoop vertrieb vendite webmaster
"""
_ROLES = frozenset(_ROLES_TEXT.split())


def normalise(address: str) -> NormalisedAddress:
    """The one spelling of `address`, with warnings where it may not be what was meant.

    Also taken: `Name <a@b.example>`, `mailto:a@b.example`, invisible characters and blanks around it, and
    domains in any script, which are sent to as punycode. Raises AddressRefused, and that only, for everything
    else: SES and most servers speak no SMTPUTF8 (RFC 6531), so a local part needs ASCII.
    """
    found = _PLAIN.fullmatch(address)
    if found:
        local, domain = found.groups()
        facts = _domain(domain.lower())
        if facts.usable and len(local) <= 64 and len(address) <= LONGEST:
            domain = domain.lower()
            return _judged(local, domain, f"{local}@{domain}", facts)
    return _carefully(address)


def email_key(address: str | NormalisedAddress, *, secret: bytes) -> bytes:
    """33 bytes that stand for an address without telling it: the rule's version, then an HMAC-SHA256.

    Spellings that differ in case, blanks or the script of the domain share a key. Raises AddressRefused.
    """
    if isinstance(address, str):
        address = normalise(address)
    version = bytes([KEY_VERSION])
    return version + hmac.digest(secret, version + address.address.lower().encode("ascii"), "sha256")


def looks_like_address(text: str) -> bool:
    """Whether `text` is shaped like an address: a cheap test to guess what a column holds."""
    return len(text) <= LONGEST and text.count("@") == 1 and "." in text.rpartition("@")[2].strip()


@lru_cache(maxsize=65_536)
def _domain(domain: str) -> _Domain:
    """What is known of a plain ASCII `domain` in lower case, kept because imports repeat their domains."""
    usable = len(domain) <= 253 and domain.rpartition(".")[2] not in SPECIAL_USE_DOMAIN_NAMES
    if domain in _PERSONAL_DOMAINS:
        return _Domain(usable, None)
    nearest = process.extractOne(domain, _OFTEN_MISTYPED, scorer=OSA.distance, score_cutoff=1)
    if nearest:
        return _Domain(usable, nearest[0])
    name, _, ending = domain.rpartition(".")
    mended = _MISTYPED_ENDINGS.get(ending)
    return _Domain(usable, f"{name}.{mended}" if mended else None)


def _judged(local: str, domain: str, display: str, facts: _Domain) -> NormalisedAddress:
    warnings: tuple[Reason, ...] = ()
    suggestion = None
    if facts.suggestion:
        suggestion = f"{local}@{facts.suggestion}"
        warnings = (Reason("maybe_mistyped", f"Did you mean {suggestion}? If so, correct it before you launch."),)
    if local.partition("+")[0].lower() in _ROLES:
        message = f"{display} looks like a shared mailbox. Write to a person where you can."
        warnings = (*warnings, Reason("role_address", message))
    return NormalisedAddress(f"{local}@{domain}", local, domain, display, warnings, suggestion)


def _carefully(text: str) -> NormalisedAddress:
    """The slow path: unwrap, refuse with the reason that fits best, else let email-validator decide."""
    if len(text) > 1000:
        raise AddressRefused(Reason("too_long", f"The address is longer than {LONGEST} characters. Shorten it."))
    bare = text.translate(_INVISIBLE).strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
        bare = bare[1:-1].strip()
    if not bare:
        raise AddressRefused(Reason("no_address", "There is no email address. Add one."))
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in bare):
        raise AddressRefused(
            Reason("control_character", "The address holds a line break or control character. Type it again.")
        )
    if _SEVERAL.search(bare):
        raise AddressRefused(
            Reason("several_addresses", "There is more than one address in this cell. Give each its own row.")
        )
    wrapped = _WRAPPED.fullmatch(bare)
    bare = (wrapped[1] if wrapped else bare).strip()
    if bare[:7].lower() == "mailto:":
        bare = bare[7:].partition("?")[0].strip()
    bare = bare.rstrip(".,;")
    if len(bare) > LONGEST:
        raise AddressRefused(Reason("too_long", f"The address is longer than {LONGEST} characters. Shorten it."))
    local, at, _domain_part = bare.rpartition("@")
    if not at:
        raise AddressRefused(Reason("no_at_sign", f"“{bare[:80]}” has no @-sign. Write it like name@example.com."))
    if not local.isascii():
        letters = "".join(sorted({char for char in local if not char.isascii()}))[:10]
        raise AddressRefused(
            Reason(
                "local_part_not_ascii",
                f"The part before the @ holds {letters}, which most mail servers refuse. Ask for an address "
                "written with a–z.",
            )
        )
    return _validated(bare)


def _validated(address: str) -> NormalisedAddress:
    try:
        found = validate_email(address, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise AddressRefused(Reason("not_an_address", f"“{address[:80]}” is not an address: {error}")) from None
    except (ValueError, IndexError) as error:  # idna on hostile labels
        raise AddressRefused(Reason("not_an_address", f"“{address[:80]}” is not an address.")) from error
    domain = found.ascii_domain.lower()
    if len(found.local_part) + 1 + len(domain) > LONGEST:
        raise AddressRefused(Reason("too_long", f"The address is longer than {LONGEST} characters. Shorten it."))
    return _judged(found.local_part, domain, f"{found.local_part}@{found.domain}", _domain(domain))
