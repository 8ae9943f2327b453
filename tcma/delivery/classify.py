"""Human, machine or unknown: scored rules over what came back. Pure, so that any past event can be judged again.

Machines that follow links: mail gateways that try every link before delivery, within seconds; image proxies that
fetch pictures for everybody (Apple Mail Privacy Protection, Gmail); previews of messengers; plain programs. Points
above zero speak for a machine, below zero for a person; what nothing speaks for stays unknown. The rules have a
version, `tcma.delivery.queries.CLASSIFICATION_VERSION`: raise it whenever a verdict could change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tcma.delivery.states import EventClass, EventKind

MACHINE_FROM = 50
HUMAN_UP_TO = -10
AT_ONCE = timedelta(seconds=2)
QUICK = timedelta(seconds=5)
SLOW = timedelta(seconds=60)
BURST = timedelta(seconds=10)
BURST_LINKS = 3
"""So many different links of one mail within BURST are no reading."""

_SCANNERS = re.compile(
    r"barracuda|mimecast|proofpoint|symantec|messagelabs|fireeye|trendmicro|sophos|cisco|ironport|forcepoint|zscaler"
    r"|safelinks|bitdefender|kaspersky|urldefense|linkscan|virustotal|checkpoint|hornetsecurity|vade|mailguard",
    re.IGNORECASE,
)
_ROBOTS = re.compile(
    r"bot\b|crawler|spider|slurp|facebookexternalhit|whatsapp|telegrambot|slackbot|linkedinbot|preview|headless"
    r"|phantomjs|python|curl|wget|go-http-client|java/|okhttp|libwww|httpclient|axios|node-fetch|scrapy|ruby|perl",
    re.IGNORECASE,
)
_PROXIES = re.compile(r"googleimageproxy|ggpht\.com|yahoomailproxy|mailproxy|^mozilla/5\.0$", re.IGNORECASE)
_BROWSER = re.compile(r"mozilla/5\.0 .*(?:chrome|crios|safari|firefox|fxios|edg|opr|trident)/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hit:
    """One event as the rules see it. `sent_at` is when the mail left, where that is known."""

    id: int
    kind: EventKind
    at: datetime
    sent_at: datetime | None
    agent: str
    method: str
    link_number: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A class, the points behind it, and the rules that gave points, by name."""

    verdict: EventClass
    score: int
    reasons: list[str]


def classify(hits: Sequence[Hit]) -> dict[int, Verdict]:
    """The verdict on each of one delivery's events, by event id. Their order does not matter."""
    bursts = _in_bursts(hits)
    return {hit.id: _judge(hit, in_burst=hit.id in bursts) for hit in hits}


def _in_bursts(hits: Sequence[Hit]) -> set[int]:
    """Clicks that lie with BURST_LINKS different links of the same mail within BURST."""
    clicks = sorted((hit for hit in hits if hit.kind is EventKind.CLICK), key=lambda hit: (hit.at, hit.id))
    found: set[int] = set()
    start = 0
    for end, hit in enumerate(clicks):
        while hit.at - clicks[start].at > BURST:
            start += 1
        window = clicks[start : end + 1]
        if len({one.link_number for one in window}) >= BURST_LINKS:
            found.update(one.id for one in window)
    return found


def _judge(hit: Hit, *, in_burst: bool) -> Verdict:
    if hit.kind not in (EventKind.CLICK, EventKind.OPEN):
        return Verdict(EventClass.HUMAN, HUMAN_UP_TO, ["deliberate"])
    points = _about_the_agent(hit) | _about_the_moment(hit)
    if hit.method == "HEAD":
        points["head_request"] = 100
    if in_burst:
        points["burst_of_links"] = 100
    score = sum(points.values())
    if score >= MACHINE_FROM:
        verdict = EventClass.MACHINE
    elif score <= HUMAN_UP_TO:
        verdict = EventClass.HUMAN
    else:
        verdict = EventClass.UNKNOWN
    return Verdict(verdict, score, sorted(points))


def _about_the_agent(hit: Hit) -> dict[str, int]:
    if not hit.agent.strip():
        return {"no_agent": 60}
    if _SCANNERS.search(hit.agent):
        return {"scanner": 100}
    if _PROXIES.search(hit.agent):
        return {"proxy": 100}
    if _ROBOTS.search(hit.agent):
        return {"robot": 100}
    return {"browser": -20} if _BROWSER.search(hit.agent) else {"odd_agent": 20}


def _about_the_moment(hit: Hit) -> dict[str, int]:
    if hit.sent_at is None:
        return {}
    after = hit.at - hit.sent_at
    if after < AT_ONCE:
        return {"at_once": 60}
    if after < QUICK:
        return {"quick": 20}
    return {"later": -20} if after >= SLOW else {}
