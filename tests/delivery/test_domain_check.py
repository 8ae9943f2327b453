"""What is said of each record that may be found at a sending domain, asked of a real name server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from tcma.config import Settings, server_address
from tcma.delivery.dns_lookup import DnsResolver, DnsTrouble
from tcma.delivery.domain_check import Finding, KeyRecord, Look, look, records
from tests.dns_server import DnsServer

DOMAIN = "mail.acme.example"
KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" + "abcd+/12" * 42
OURS = KeyRecord("tcma-1", KEY, "active")
HOST = f"tcma-1._domainkey.{DOMAIN}"
INCLUDE = "spf.platform.example"
RETURNS = "returns.platform.example"
BOUNCE = f"bounce.{DOMAIN}"


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        running.texts = {one.host: [one.value] for one in records(DOMAIN, [OURS], spf_include=INCLUDE)}
        running.texts[INCLUDE] = ["v=spf1 ip4:192.0.2.1 -all"]
        yield running


def seen(server: DnsServer, *keys: KeyRecord) -> Look:
    return look(DnsResolver(server.address), DOMAIN, keys or [OURS], spf_include=INCLUDE)


def finding(server: DnsServer, code: str) -> Finding:
    (one,) = [one for one in seen(server).findings if one.code == code]
    return one


def test_the_records_that_we_ask_for_pass_as_they_are(server: DnsServer) -> None:
    result = seen(server)
    assert [(one.code, one.verdict) for one in result.findings] == [("dkim", "pass"), ("dmarc", "pass"), ("spf", "pass")]
    assert (result.seen, result.has_policy, result.unsure) == ({"tcma-1"}, True, False)


def test_a_domain_without_anything_is_told_each_record(server: DnsServer) -> None:
    server.texts.clear()
    result = seen(server)
    assert [(one.code, one.verdict) for one in result.findings] == [("dkim", "fail"), ("dmarc", "fail"), ("spf", "warn")]
    assert all(one.mend for one in result.findings)
    assert (result.seen, result.has_policy, result.unsure) == (set(), False, False)


@pytest.mark.parametrize(
    ("values", "detail", "mend"),
    [
        (["v=DKIM1; k=rsa; p="], "revoked", "Replace"),
        ([f"v=DKIM1; k=ed25519; p={KEY}"], "ed25519", "Replace"),
        ([f"v=DKIM2; k=rsa; p={KEY}"], "v=DKIM2", "Replace"),
        ([f"v=DKIM1; k=rsa; p={KEY[:200]}"], "200 of 380 characters", "two quoted strings"),
        ([f"v=DKIM1; k=rsa; p={KEY[:-4]}AAAA"], "another key", "Replace"),
        (["v=DKIM1; k=rsa; p=$$$"], "do not belong", "Replace"),
        ([f"v=DKIM1; k=rsa; s=other; p={KEY}"], "for other only", "s=…"),
        ([f"v=DKIM1; k=rsa; p={KEY}", "v=DKIM1; k=rsa; p=AAAA"], "2 DKIM records", "delete the others"),
        (["hello"], "no DKIM record", "Replace"),
    ],
)
def test_a_wrong_dkim_record_is_told_with_what_was_found(
    server: DnsServer, values: list[str], detail: str, mend: str
) -> None:
    server.texts[HOST] = values
    one = finding(server, "dkim")
    assert one.verdict == "fail"
    assert detail in one.detail
    assert mend in one.mend
    assert one.found
    assert "tcma-1" not in seen(server).seen


@pytest.mark.parametrize(
    "value", [f"p={KEY}", f"v=DKIM1;p={KEY[:100]} {KEY[100:]};", f"v=DKIM1; s=email; t=s; k=rsa; p={KEY}"]
)
def test_a_dkim_record_may_be_written_in_other_ways(server: DnsServer, value: str) -> None:
    server.texts[HOST] = [value]
    assert finding(server, "dkim").verdict == "pass"


def test_the_record_of_a_key_to_come_is_asked_for_beside_the_present_one(server: DnsServer) -> None:
    new = KeyRecord("tcma-2", KEY, "pending")
    result = seen(server, OURS, new)
    assert [(one.code, one.verdict) for one in result.findings[:2]] == [("dkim", "pass"), ("dkim", "warn")]
    assert result.seen == {"tcma-1"}
    asked = records(DOMAIN, [OURS, new], spf_include=INCLUDE)
    assert ["Leave" in asked[0].why, "Set its record beside" in asked[1].why] == [True, True]


def test_a_doubled_name_is_recognised(server: DnsServer) -> None:
    server.texts[f"{HOST}.{DOMAIN}"] = server.texts.pop(HOST)
    one = finding(server, "dkim")
    assert "doubled name" in one.detail
    assert "tcma-1._domainkey as the name" in one.mend


@pytest.mark.parametrize(
    ("values", "verdict", "words"),
    [
        (["v=DMARC1; p=reject; rua=mailto:a@b.example"], "pass", "reject"),
        (["V=DMARC1;P=none"], "pass", "none"),
        (["v=DMARC1; p=sometimes"], "fail", "p=sometimes"),
        (["v=DMARC1; rua=mailto:a@b.example"], "fail", "names no policy"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "fail", "2 DMARC records"),
        (["p=none"], "fail", "no DMARC record"),
    ],
)
def test_dmarc_records_are_judged(server: DnsServer, values: list[str], verdict: str, words: str) -> None:
    server.texts[f"_dmarc.{DOMAIN}"] = values
    one = finding(server, "dmarc")
    assert (one.verdict, words in one.detail) == (verdict, True)
    assert seen(server).has_policy is (verdict == "pass")


def test_the_policy_of_the_domain_above_counts(server: DnsServer) -> None:
    del server.texts[f"_dmarc.{DOMAIN}"]
    server.texts["_dmarc.acme.example"] = ["v=DMARC1; p=reject; sp=quarantine"]
    one = finding(server, "dmarc")
    assert one.verdict == "pass"
    assert "quarantine, set at _dmarc.acme.example" in one.detail
    assert "_dmarc.example" not in server.asked


@pytest.mark.parametrize(
    ("values", "verdict", "words"),
    [
        ([f"v=spf1 mx include:{INCLUDE} -all"], "pass", "2 of 10"),
        (["v=spf1 mx -all"], "warn", "does not name us"),
        (["v=spf1 include:other.example ~all"], "pass", "2 of 10"),
        ([f"v=spf1 redirect={INCLUDE}"], "pass", "1 of 10"),
        ([f"v=spf1 include:{INCLUDE} +all"], "warn", "anybody"),
        ([f"v=spf1 include:{INCLUDE} all"], "warn", "anybody"),
        (["v=spf1 -all", "v=spf1 mx -all"], "warn", "2 SPF records"),
        ([f"v=spf1 {'a:x.example ' * 10}include:{INCLUDE} -all"], "warn", "11 or more"),
    ],
)
def test_spf_records_are_judged_but_never_needed(server: DnsServer, values: list[str], verdict: str, words: str) -> None:
    server.texts["other.example"] = [f"v=spf1 include:{INCLUDE} -all"]
    server.texts[DOMAIN] = ["google-site-verification=1", *values]
    one = finding(server, "spf")
    assert (one.verdict, words in one.detail) == (verdict, True), one
    assert seen(server).seen


def test_an_spf_record_that_includes_itself_ends(server: DnsServer) -> None:
    server.texts[DOMAIN] = [f"v=spf1 include:{DOMAIN} include:loop.example -all"]
    server.texts["loop.example"] = [f"v=spf1 include:{DOMAIN} include:loop.example -all"]
    assert finding(server, "spf").verdict == "warn"


@pytest.mark.parametrize("name", [HOST, f"_dmarc.{DOMAIN}"])
def test_no_answer_is_neither_yes_nor_no(server: DnsServer, name: str) -> None:
    server.broken.add(name)
    result = seen(server)
    assert result.unsure
    assert "unsure" in [one.verdict for one in result.findings]


def test_no_answer_about_spf_is_only_told(server: DnsServer) -> None:
    server.broken.add(DOMAIN)
    result = seen(server)
    assert (result.unsure, result.findings[-1].verdict) == (False, "unsure")


def test_a_server_that_is_not_there_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcma.delivery.dns_lookup.PATIENCE", 0.5)
    with DnsServer() as gone:
        address = gone.address
    with pytest.raises(DnsTrouble, match="gave no answer"):
        DnsResolver(address).txt("acme.example")


def test_slow_servers_cannot_hold_a_page_for_long(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcma.delivery.dns_lookup.BUDGET", 0.0)
    result = seen(server)
    assert (result.unsure, server.asked) == (True, [])
    assert {one.verdict for one in result.findings} == {"unsure"}


def test_what_cannot_be_shown_or_stored_becomes_a_mark(server: DnsServer) -> None:
    server.texts[HOST] = ["v=DKIM1; p=a\x01b\x7f"]
    assert finding(server, "dkim").found == ["v=DKIM1; p=a\ufffdb\ufffd"]


def test_a_name_with_other_records_only_has_no_text(server: DnsServer) -> None:
    server.texts["empty.example"] = []
    assert DnsResolver(server.address).txt("empty.example") == []


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_the_name_server_of_the_settings_is_read(given: str, read: tuple[str, int]) -> None:
    assert server_address(given) == read


@pytest.mark.parametrize("given", ["dns.example", "192.0.2.1:", "192.0.2.1:99999", "192.0.2.1:x"])
def test_a_name_server_that_cannot_be_is_refused_at_the_start(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, dns_server=given)


def test_a_record_is_asked_for_at_its_name_and_by_its_label() -> None:
    asked = records(DOMAIN, [OURS], spf_include=INCLUDE)
    assert [(one.host, one.label, one.needed) for one in asked] == [
        (HOST, "tcma-1._domainkey", True), (f"_dmarc.{DOMAIN}", "_dmarc", True), (DOMAIN, "@", False),
    ]  # fmt: skip
    assert [one.code for one in records(DOMAIN, [OURS], spf_include=DOMAIN)] == ["dkim", "dmarc"]


# -- the return path of one's own ---------------------------------------------------------------------


@pytest.fixture
def ours(server: DnsServer) -> DnsServer:
    """With the records that the operator sets at the platform's return domain."""
    server.servers[RETURNS] = ["mx1.platform.example", "mx2.platform.example"]
    server.texts[RETURNS] = [f"v=spf1 include:{INCLUDE} -all"]
    return server


def returned(server: DnsServer) -> tuple[Look, Finding]:
    result = look(DnsResolver(server.address), DOMAIN, [OURS], spf_include=INCLUDE, returns=RETURNS)
    (one,) = [one for one in result.findings if one.code == "return"]
    return result, one


def test_a_return_path_of_ones_own_is_asked_for_as_one_optional_record() -> None:
    asked = records(DOMAIN, [OURS], spf_include=INCLUDE, returns=RETURNS)[-1]
    assert (asked.host, asked.label, asked.type, asked.value, asked.needed) == (BOUNCE, "bounce", "CNAME", RETURNS, False)


def test_without_a_return_domain_nothing_of_it_is_asked(server: DnsServer) -> None:
    assert "return" not in [one.code for one in records(DOMAIN, [OURS], spf_include=INCLUDE)]
    assert seen(server).returns_ok is None
    assert BOUNCE not in server.asked


@pytest.mark.parametrize("target", [RETURNS, RETURNS.upper()])
def test_a_cname_that_leads_to_us_passes(ours: DnsServer, target: str) -> None:
    ours.aliases[BOUNCE] = target
    result, one = returned(ours)
    assert (one.verdict, one.found, result.returns_ok) == ("pass", [f"CNAME {RETURNS}"], True)


@pytest.mark.parametrize(
    "text", [f"v=spf1 include:{INCLUDE} -all", f"v=spf1 include:{RETURNS} -all", f"v=spf1 redirect={RETURNS}"]
)
def test_records_that_a_provider_copied_from_ours_pass(ours: DnsServer, text: str) -> None:
    ours.servers[BOUNCE], ours.texts[BOUNCE] = ["MX1.platform.example"], [text]
    result, one = returned(ours)
    assert (one.verdict, result.returns_ok) == ("pass", True), one


def test_a_cname_that_leads_to_us_over_another_name_passes(ours: DnsServer) -> None:
    ours.aliases |= {BOUNCE: "mail.acme.example", "mail.acme.example": RETURNS}
    assert returned(ours)[1].verdict == "pass"


@pytest.mark.parametrize(
    ("alias", "servers", "texts", "words", "found"),
    [
        ("", [], [], "no CNAME record", []),
        ("other.example", [], [], "leads to other.example", ["CNAME other.example"]),
        ("", ["mx.acme.example"], [], "records of its own", ["MX mx.acme.example"]),
        ("", ["mx1.platform.example", "mx.acme.example"], [f"v=spf1 include:{RETURNS} -all"], "would not reach us",
         ["MX mx.acme.example", "MX mx1.platform.example", f"v=spf1 include:{RETURNS} -all"]),
        ("", ["mx1.platform.example"], ["v=spf1 mx -all"], "does not name us", ["MX mx1.platform.example", "v=spf1 mx -all"]),
        ("", ["mx1.platform.example"], [], "does not name us", ["MX mx1.platform.example"]),
        ("", [], ["v=spf1 -all"], "records of its own", ["v=spf1 -all"]),
    ],
)  # fmt: skip
def test_a_return_path_that_does_not_lead_to_us_is_told_with_what_was_found_and_never_needed(
    ours: DnsServer, alias: str, servers: list[str], texts: list[str], words: str, found: list[str]
) -> None:
    if alias:
        ours.aliases[BOUNCE] = alias
    ours.servers[BOUNCE], ours.texts[BOUNCE] = servers, texts
    result, one = returned(ours)
    assert (one.verdict, words in one.detail, one.found, result.returns_ok) == ("warn", True, found, False), one
    assert RETURNS in one.mend
    assert (result.seen, result.has_policy, result.unsure) == ({"tcma-1"}, True, False)


def test_without_records_at_our_own_return_domain_no_copy_of_them_passes(server: DnsServer) -> None:
    server.servers[BOUNCE], server.texts[BOUNCE] = ["mx.acme.example"], [f"v=spf1 include:{RETURNS} -all"]
    assert returned(server)[1].verdict == "warn"


def test_a_doubled_name_of_the_return_path_is_recognised(ours: DnsServer) -> None:
    ours.aliases[f"{BOUNCE}.{DOMAIN}"] = RETURNS
    one = returned(ours)[1]
    assert ("doubled name" in one.detail, "Enter only bounce as the name" in one.mend) == (True, True)


def test_no_answer_about_the_return_path_is_only_told(ours: DnsServer) -> None:
    ours.broken.add(BOUNCE)
    result, one = returned(ours)
    assert (one.verdict, result.returns_ok, result.unsure) == ("unsure", None, False)


def test_a_domain_that_takes_no_mail_has_no_servers(server: DnsServer) -> None:
    server.servers["null.example"] = [""]
    assert DnsResolver(server.address).mx("null.example") == []
