"""What the DNS must say of a sending domain, and what it says: DKIM, DMARC and SPF, with how to mend each.

Pure: takes a resolver, touches no database. DKIM and DMARC are needed: a DKIM signature of the From domain is what
makes DMARC pass (RFC 7489 §3.1), and large mailbox providers refuse bulk mail of domains without a DMARC record.
SPF is looked at on the return path, which is ours, so a missing one is only advised; a return path of the domain's own
is optional.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tcma.delivery.dns_lookup import DnsTrouble, Resolver

RETURN_LABEL = "bounce"
"""In front of a partner's domain it names the domain of its return paths. Mails on their way bear it: do not change it."""

Judgement = Literal["pass", "warn", "fail", "unsure"]

SPF_LOOKUPS = 10
"""RFC 7208 §4.6.4: mechanisms that ask the DNS, over all included records."""

_SPF_ASKS = re.compile(r"(?:[+?~-]?)(?:(include|exists):(\S+)|(a|mx|ptr)(?:[:/]\S*)?)$", re.IGNORECASE)
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Record:
    """One record to set. `host` is the whole name, `label` the part in front of the domain, as many forms ask for it."""

    code: str
    host: str
    label: str
    type: str
    value: str
    why: str
    needed: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one record, and what to change. `unsure`: the name servers did not answer."""

    code: str
    verdict: Judgement
    host: str
    found: list[str]
    detail: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key whose record is looked for. `state` is `active` or `pending`."""

    selector: str
    public_key: str
    state: str


@dataclass(slots=True)
class Look:
    """One look at a domain. `seen` are the selectors whose record is right; `unsure` if a needed answer is missing.

    `provider_ok` is False while the mail provider, too, must still accept the domain. `returns_ok` says whether mail to
    the domain's own return path reaches us, None where that was not asked or not answered.
    """

    findings: list[Finding] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    has_policy: bool = False
    provider_ok: bool = True
    returns_ok: bool | None = None
    unsure: bool = False

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)


def return_name(domain: str) -> str:
    """The domain of the return paths of a partner's domain."""
    return f"{RETURN_LABEL}.{domain}"


def records(domain: str, keys: Sequence[KeyRecord], *, spf_include: str, returns: str = "") -> list[Record]:
    """The records that the owner of `domain` is to set, in the order in which to set them.

    `returns` is the platform's domain of return paths; empty: the partner's own is not offered.
    """
    reasons = {"active": "It proves that mail signed by us is yours."}
    reasons["pending"] = reasons["active"]
    if len({key.state for key in keys}) > 1:
        reasons = {
            "active": "The key that signs now. Leave its record as it is.",
            "pending": "The new key. Set its record beside the other one.",
        }
    found = [
        Record(
            "dkim", f"{key.selector}._domainkey.{domain}", f"{key.selector}._domainkey", "TXT",
            f"v=DKIM1; k=rsa; p={key.public_key}", reasons[key.state], True,
        )
        for key in keys
    ]  # fmt: skip
    found.append(
        Record(
            "dmarc", f"_dmarc.{domain}", "_dmarc", "TXT", "v=DMARC1; p=none;",
            "Large mailbox providers ask for it. Keep your own if you have one.", True,
        )
    )  # fmt: skip
    if spf_include and spf_include != domain:
        found.append(
            Record(
                "spf", domain, "@", "TXT", f"v=spf1 include:{spf_include} ~all",
                f"If you have an SPF record, add include:{spf_include} to it instead.", False,
            )
        )  # fmt: skip
    if returns:
        found.append(
            Record(
                "return", return_name(domain), RETURN_LABEL, "CNAME", returns,
                "Mail providers then see that the address for bounces is yours as well. Mail goes out without it, too.",
                False,
            )
        )  # fmt: skip
    return found


def look(
    resolver: Resolver, domain: str, keys: Sequence[KeyRecord], *, spf_include: str, returns: str = ""
) -> Look:
    """Ask for every record of `domain` and judge what comes. Never raises for trouble with the DNS."""
    result = Look()
    signs = any(key.state == "active" for key in keys)
    for key in keys:
        found = _dkim(resolver, domain, key, result)
        if signs and key.state == "pending" and found.verdict == "fail":
            # Nothing waits for it: the other key signs meanwhile.
            found = replace(found, verdict="warn")
        result.add(found)
    result.add(_dmarc(resolver, domain, result))
    result.add(_spf(resolver, domain, "" if spf_include == domain else spf_include))
    if returns:
        # Last, so that slow servers take no time from what is needed.
        result.add(_returns(resolver, domain, returns, result))
    return result


def tags_of(record: str) -> dict[str, str]:
    """The tag=value list of a record (RFC 6376 §3.2), names in lower case, spaces taken out of values."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, sign, value in pairs if sign}


# -- DKIM ----------------------------------------------------------------------------------------------


def _dkim(resolver: Resolver, domain: str, key: KeyRecord, result: Look) -> Finding:
    host = f"{key.selector}._domainkey.{domain}"
    try:
        texts = resolver.txt(host)
        found = [text for text in texts if "p" in tags_of(text)]
        if not found:
            return _no_dkim(resolver, domain, host, texts)
    except DnsTrouble as error:
        result.unsure = True
        return _unsure("dkim", host, error)
    if len(found) > 1:
        mend = "Keep the one with our value and delete the others."
        return Finding("dkim", "fail", host, _short(found), f"There are {len(found)} DKIM records at {host}.", mend)
    detail, mend = _dkim_fault(tags_of(found[0]), key)
    if detail:
        return Finding("dkim", "fail", host, _short(found), detail, mend)
    result.seen.add(key.selector)
    return Finding("dkim", "pass", host, _short(found), "The record holds our key.")


def _dkim_fault(tags: dict[str, str], key: KeyRecord) -> tuple[str, str]:
    replace = "Replace the value by the one shown above, whole and in one piece."
    if tags.get("v", "DKIM1") != "DKIM1":
        return f"The record begins with v={tags['v'][:40]}, which is no DKIM record.", replace
    if tags.get("k", "rsa").lower() != "rsa":
        return f"The record is for a key of the kind {tags['k'][:40]}, ours is rsa.", replace
    given = tags["p"].rstrip("=")
    wanted = key.public_key.rstrip("=")
    if not given:
        return "The record has an empty p=, which means that the key is revoked.", replace
    if given == wanted:
        if "s" in tags and not {"*", "email"} & set(tags["s"].lower().split(":")):
            return f"The record is for {tags['s'][:40]} only, not for email.", "Take the part s=… out of the record."
        return "", ""
    if wanted.startswith(given) or wanted.endswith(given):
        return (
            f"The key in the record is cut off: {len(given)} of {len(wanted)} characters are there.",
            "Paste the whole value. If your provider takes at most 255 characters, split it into two quoted strings "
            "in one record.",
        )
    try:
        base64.b64decode(tags["p"], validate=True)
    except (binascii.Error, ValueError):
        return "The key in the record holds characters that do not belong there.", replace
    return f"The record holds another key. It begins with {given[:24]}…, ours with {wanted[:24]}…", replace


def _no_dkim(resolver: Resolver, domain: str, host: str, texts: list[str]) -> Finding:
    twice = f"{host}.{domain}"
    if any("p" in tags_of(text) for text in resolver.txt(twice)):
        mend = f"Your provider adds {domain} by itself. Enter only {host.removesuffix('.' + domain)} as the name."
        return Finding("dkim", "fail", host, [f"at {twice}"], "The record is there, but under a doubled name.", mend)
    if texts:
        mend = "Replace its value by the one shown above."
        return Finding("dkim", "fail", host, _short(texts), f"The record at {host} is no DKIM record.", mend)
    mend = "Set the TXT record shown above. It may take some minutes, with some providers hours, until it is seen."
    return Finding("dkim", "fail", host, [], f"There is no TXT record at {host}.", mend)


# -- DMARC ---------------------------------------------------------------------------------------------


def _dmarc(resolver: Resolver, domain: str, result: Look) -> Finding:
    """The record of the domain, else of the nearest parent that has one."""
    host = f"_dmarc.{domain}"
    labels = domain.split(".")
    try:
        for start in range(max(len(labels) - 1, 1)):
            parent = ".".join(labels[start:])
            texts = resolver.txt(f"_dmarc.{parent}")
            found = [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]
            if found:
                return _dmarc_verdict(f"_dmarc.{parent}", found, result, inherited=start > 0)
            if texts and not start:
                mend = "Replace its value by v=DMARC1; p=none;"
                return Finding("dmarc", "fail", host, _short(texts), "The record there is no DMARC record.", mend)
    except DnsTrouble as error:
        result.unsure = True
        return _unsure("dmarc", host, error)
    mend = "Set the TXT record shown above. p=none only asks for reports and has no mail refused."
    return Finding("dmarc", "fail", host, [], f"There is no DMARC record at {host}.", mend)


def _dmarc_verdict(host: str, found: list[str], result: Look, *, inherited: bool) -> Finding:
    if len(found) > 1:
        mend = "Keep one of them: with several, receivers act as if there were none (RFC 7489 §6.6.3)."
        return Finding("dmarc", "fail", host, _short(found), f"There are {len(found)} DMARC records at {host}.", mend)
    tags = tags_of(found[0])
    policy = tags.get("p", "").lower()
    if policy not in ("none", "quarantine", "reject"):
        detail = f"The policy p={policy[:40]} is none of none, quarantine and reject." if policy else "It names no policy."
        return Finding("dmarc", "fail", host, _short(found), detail, "Write p=none, or the policy that you want.")
    result.has_policy = True
    if inherited:
        policy = tags.get("sp", policy).lower()[:40]
    where = f", set at {host}" if inherited else ""
    return Finding("dmarc", "pass", host, _short(found), f"There is a policy: {policy}{where}.")


# -- SPF -----------------------------------------------------------------------------------------------


def _spf(resolver: Resolver, domain: str, include: str) -> Finding:
    try:
        found = _spf_records(resolver, domain)
        if len(found) > 1:
            mend = "Join them into one record that begins with v=spf1: with several, SPF fails for all your mail."
            return Finding("spf", "warn", domain, _short(found), f"There are {len(found)} SPF records.", mend)
        if not found:
            mend = "Set the TXT record shown above." if include else "Ask your mail provider for its SPF record."
            return Finding("spf", "warn", domain, [], "There is no SPF record.", mend)
        walk = _SpfWalk(resolver, include)
        walk.read(domain, found[0])
    except DnsTrouble as error:
        return _unsure("spf", domain, error)
    if re.search(r"(?:^|\s)\+?all(?:\s|$)", found[0], re.IGNORECASE):
        mend = "Write ~all or -all at the end."
        return Finding("spf", "warn", domain, _short(found), "It ends in +all, which lets anybody send as you.", mend)
    if walk.asked > SPF_LOOKUPS:
        mend = "Take out the include of services that you do not use any more."
        detail = f"It needs {walk.asked} or more DNS look-ups and {SPF_LOOKUPS} are allowed, so SPF fails for all your mail."
        return Finding("spf", "warn", domain, _short(found), detail, mend)
    if include and not walk.met:
        mend = f"Add include:{include} in front of the last part of your record. Do not set a second one."
        return Finding("spf", "warn", domain, _short(found), "Your SPF record does not name us.", mend)
    detail = f"It names us and needs {walk.asked} of {SPF_LOOKUPS} look-ups." if include else "There is one."
    return Finding("spf", "pass", domain, _short(found), detail)


def _spf_records(resolver: Resolver, domain: str) -> list[str]:
    return [text for text in resolver.txt(domain) if text.lower().split(" ", 1)[0] == "v=spf1"]


class _SpfWalk:
    """Reads a record and what it includes: how many look-ups it needs, and whether `wanted` is met on the way."""

    def __init__(self, resolver: Resolver, wanted: str) -> None:
        self._resolver = resolver
        self._wanted = wanted.lower()
        self._seen: set[str] = set()
        self.asked = 0
        self.met = False

    def read(self, domain: str, record: str) -> None:
        self._seen.add(domain)
        for term in record.split()[1:]:
            if term.lower().startswith("redirect="):
                self._follow(term.partition("=")[2])
                continue
            match = _SPF_ASKS.match(term)
            if match is None:
                continue
            if (match[1] or "").lower() == "include":
                self._follow(match[2])
            else:
                self.asked += 1

    def _follow(self, name: str) -> None:
        name = name.lower().rstrip(".")
        self.asked += 1
        self.met = self.met or name == self._wanted
        if name in self._seen or self.asked > SPF_LOOKUPS or "%" in name:
            return
        found = _spf_records(self._resolver, name)
        if len(found) == 1:
            self.read(name, found[0])


# -- return path ---------------------------------------------------------------------------------------

_TILL_THEN = "Until then bounces go to the service's own address, which works as well."


def _returns(resolver: Resolver, domain: str, target: str, result: Look) -> Finding:
    """Whether bounces to the domain's own return path reach us, and SPF there names our servers."""
    host = return_name(domain)
    try:
        alias = resolver.cname(host)
        if alias == target:
            found = Finding("return", "pass", host, [f"CNAME {alias}"], f"It leads to us. Bounces go to {host}.")
        else:
            found = _no_alias(resolver, domain, target, alias)
    except DnsTrouble as error:
        return _unsure("return", host, error)
    result.returns_ok = found.verdict == "pass"
    return found


def _no_alias(resolver: Resolver, domain: str, target: str, alias: str) -> Finding:
    """Some providers copy what a CNAME leads to, and a chain of them may lead to us: then MX and SPF are ours."""
    host = return_name(domain)
    servers, ours = resolver.mx(host), resolver.mx(target)
    texts = _spf_records(resolver, host)
    found = [*([f"CNAME {alias}"] if alias else []), *(f"MX {one}" for one in servers), *texts]
    if not found:
        return _no_returns(resolver, domain, target)
    if not servers or not set(servers) <= set(ours):
        what = f"leads to {alias}" if alias else "has records of its own"
        mend = f"Replace what stands there by a CNAME record with the value {target}. {_TILL_THEN}"
        return Finding("return", "warn", host, _short(found), f"{host} {what}, so bounces would not reach us.", mend)
    if not _names_us(resolver, host, texts, target):
        mend = f"Replace what stands there by a CNAME record with the value {target}. {_TILL_THEN}"
        return Finding("return", "warn", host, _short(found), f"The SPF record at {host} does not name us.", mend)
    return Finding("return", "pass", host, _short(found), f"Its MX and SPF records are ours. Bounces go to {host}.")


def _names_us(resolver: Resolver, host: str, texts: list[str], target: str) -> bool:
    if len(texts) != 1:
        return False
    if texts == _spf_records(resolver, target):
        return True
    walk = _SpfWalk(resolver, target)
    walk.read(host, texts[0])
    return walk.met and walk.asked <= SPF_LOOKUPS


def _no_returns(resolver: Resolver, domain: str, target: str) -> Finding:
    host = return_name(domain)
    twice = f"{host}.{domain}"
    if resolver.cname(twice) == target:
        mend = f"Your provider adds {domain} by itself. Enter only {RETURN_LABEL} as the name."
        return Finding("return", "warn", host, [f"at {twice}"], "The record is there, but under a doubled name.", mend)
    mend = f"Optional: set one with the value {target}. {_TILL_THEN}"
    return Finding("return", "warn", host, [], f"There is no CNAME record at {host}.", mend)


def _unsure(code: str, host: str, error: DnsTrouble) -> Finding:
    mend = "Check again in some minutes. If it stays, ask whoever runs your domain."
    return Finding(code, "unsure", host, [], str(error), mend)


def _short(texts: Sequence[str]) -> list[str]:
    return [text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…" for text in texts[:5]]
