"""When a recipient may get mail: hours of the day and days of the week, in the recipient's own time zone.

A contact's zone is that of its country; where a country has several, or none is known, the sender's zone if it is
one of them, else the first that the IANA database names for the country (zone.tab).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from tcma.errors import Invalid

WEEKDAYS = (1, 2, 3, 4, 5)
LONGEST_LATE_HOURS = 24 * 30


@dataclass(frozen=True, slots=True)
class Window:
    """From `opens` to before `closes` on `days` (ISO weekdays, Monday is 1), local to each recipient."""

    opens: time
    closes: time
    days: frozenset[int]

    @classmethod
    def from_json(cls, kept: dict[str, Any] | None) -> Window | None:
        """What `as_json` made; None where a launch has no window."""
        if not kept or "from" not in kept:
            return None
        return cls(time.fromisoformat(kept["from"]), time.fromisoformat(kept["to"]), frozenset(kept["days"]))

    def as_json(self) -> dict[str, Any]:
        return {"from": f"{self.opens:%H:%M}", "to": f"{self.closes:%H:%M}", "days": sorted(self.days)}

    def check(self) -> None:
        """Raises Invalid for a window that never opens."""
        if not self.opens < self.closes:
            raise Invalid({"until": "The last hour must be later than the first, on the same day."})
        if not self.days or not self.days <= {1, 2, 3, 4, 5, 6, 7}:
            raise Invalid({"days": "Choose at least one day."})

    def next_open(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """`moment` if the window is open then, else when it opens next; aware, in the zone of `moment`."""
        local = moment.astimezone(zone)
        for ahead in range(8):
            day = local.date() + timedelta(days=ahead)
            if day.isoweekday() not in self.days:
                continue
            opens = datetime.combine(day, self.opens, zone)
            if ahead or local < opens:
                return opens.astimezone(moment.tzinfo)
            if local < datetime.combine(day, self.closes, zone):
                return moment
        raise ValueError("The window never opens.")


def zone_of(country: str, *, home: str) -> ZoneInfo:
    """The zone of a contact in `country` (ISO 3166, "" if unknown), written to from the zone `home`."""
    known = _zones_by_country().get(country.upper(), ())
    return ZoneInfo(home if home in known or not known else known[0])


@lru_cache(maxsize=1)
def _zones_by_country() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in (files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines():
        if line and not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            found.setdefault(country, []).append(zone)
    return {country: tuple(zones) for country, zones in found.items()}
