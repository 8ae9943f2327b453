"""What ships with the product: starter campaigns, its own notification mails, and rendering a file by hand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from tcma.campaigns.addresses import WEB, BadAddress, normal_address
from tcma.campaigns.facts import one_line, seen
from tcma.campaigns.markup import build, compile_email
from tcma.campaigns.personalise import Rendered, TouchTemplate
from tcma.campaigns.problems import MarkupError, Problem, in_order
from tcma.campaigns.program import Program
from tcma.campaigns.reader import MAX_SOURCE
from tcma.campaigns.slots import SlotDef, parse_slots
from tcma.campaigns.vocabulary import CONTACT_FIELDS, Dialect, flat
from tcma.errors import Invalid, NotFound

TEMPLATES: Final = Path(__file__).resolve().parents[2] / "email_templates"
PLATFORM_FIELDS: Final = ("name", "url")
SIDECAR: Final = "campaign.toml"

SAMPLE_CONTACT: Final = {
    "email": "alex.morgan@example.com",
    "first_name": "Alex",
    "last_name": "Morgan",
    "full_name": "Alex Morgan",
    "company": "Morgan & Sons",
    "job_title": "Managing Director",
    "city": "Utrecht",
    "country": "NL",
}
_SAMPLE_BRAND: Final = {
    "name": "Northlight IT",
    "legal_name": "Northlight IT Ltd",
    "postal_address": "12 Harbour Street\n20457 Hamburg",
    "color": "#14375e",
    "accent_color": "#f2a65a",
    "phone": "+49 40 123456",
    "email": "hello@northlight.example",
    "website": "https://northlight.example",
}
_SAMPLE_LAUNCH: Final = {
    "name": "Sample launch",
    "vendor_name": "Stratus Cloud",
    "landing_url": "https://northlight.example/landing",
}
_SAMPLE_SERVICE: Final = {
    "reason": "You receive this because you are a contact of Northlight IT Ltd.",
    "unsubscribe_url": "https://northlight.example/unsubscribe",
    "privacy_url": "https://northlight.example/privacy",
    "pixel_url": "",
}
_NAME: Final = re.compile(r"^[a-z][a-z0-9_]{0,60}$")
_HEAD: Final = re.compile(r"<mj-head>(.*)</mj-head>", re.DOTALL)
_BODY: Final = re.compile(r"<mj-body>(.*)</mj-body>", re.DOTALL)
_ISO: Final = re.compile(r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[^ ]*)?$")
_MANY_BLANKS: Final = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class StarterCampaign:
    """A campaign that ships with the product. `landing` holds headline, intro, button, thank_you and fields."""

    key: str
    name: str
    goal: str
    summary: str
    subject: str
    preheader: str
    mjml: str
    slots: tuple[SlotDef, ...]
    landing: dict[str, Any]


@lru_cache(maxsize=1)
def starters() -> tuple[StarterCampaign, ...]:
    """The starter campaigns in the order of their names; read once a process."""
    folders = (path.parent for path in TEMPLATES.glob(f"*/{SIDECAR}"))
    return tuple(sorted((_starter(folder) for folder in folders), key=lambda one: one.name))


def _starter(folder: Path) -> StarterCampaign:
    data = tomllib.loads((folder / SIDECAR).read_text(encoding="utf-8"))
    return StarterCampaign(
        key=folder.name,
        name=data["name"],
        goal=data["goal"],
        summary=data["summary"],
        subject=data["subject"],
        preheader=data["preheader"],
        mjml=(folder / "email.mjml").read_text(encoding="utf-8"),
        slots=parse_slots(data["slots"]),
        landing=dict(data["landing"]),
    )


# -- notifications -------------------------------------------------------------------------------------


def notifications() -> tuple[str, ...]:
    """The names of all notification mails."""
    paths = (TEMPLATES / "notifications").glob("[a-z]*.mjml")
    return tuple(sorted(path.stem for path in paths))


def notification_fields(name: str) -> tuple[str, ...]:
    """The fields of `data` that a notification shows. Raises NotFound."""
    return _notification(name).data_fields


def notification(name: str, *, data: Mapping[str, Any], platform: Mapping[str, str]) -> Rendered:
    """One of the product's own mails.

    `data` may leave out any field: the mail then says less. Its button leads to `data["url"]`, else to
    `data["origin"]` + `data["path"]`, else to `platform["url"]`. Dates in ISO form become readable, `_` in a
    status becomes a space. Values are text and are written as text. Raises NotFound, or Invalid without an
    address for the button.
    """
    made = _notification(name)
    values = {flat("data", field): _shown(field, data.get(field)) for field in made.data_fields}
    values |= {flat("platform", field): one_line(platform.get(field)) for field in PLATFORM_FIELDS}
    if "url" in made.data_fields:
        values[flat("data", "url")] = _button_url(data, platform)
    text = _MANY_BLANKS.sub("\n\n", made.text.render(values)).strip() + "\n"
    return Rendered(seen(made.subject.render(values)), made.html.render(values), text)


@dataclass(frozen=True, slots=True)
class _Notification:
    subject: Program
    html: Program
    text: Program
    data_fields: tuple[str, ...]


@lru_cache(maxsize=64)
def _notification(name: str) -> _Notification:
    """A notification's programs, compiled once a process."""
    path = TEMPLATES / "notifications" / f"{name}.mjml"
    if not _NAME.match(name) or not path.is_file():
        raise NotFound(f"There is no notification mail called {name}.")
    dialect = Dialect(roots={"data": None, "platform": frozenset(PLATFORM_FIELDS)})
    compiled = build(_framed(path), dialect=dialect, subject=None, is_campaign=False)
    subject = Program(compiled.subject, dialect=dialect, escape=False)
    html = Program(compiled.html, dialect=dialect, escape=True)
    text = Program(compiled.text, dialect=dialect, escape=False)
    fields = {field for root, field in subject.fields | html.fields | text.fields if root == "data"}
    return _Notification(subject, html, text, tuple(sorted(fields)))


def _framed(path: Path) -> str:
    """A notification's MJML inside the frame that all of them share."""
    frame = (path.parent / "_frame.mjml").read_text(encoding="utf-8")
    source = path.read_text(encoding="utf-8")
    head, body = _HEAD.search(source), _BODY.search(source)
    if head is None or body is None:
        raise NotFound(f"The notification mail {path.stem} has no <mj-head> or no <mj-body>.")
    return frame.replace("<!-- head -->", head[1]).replace("<!-- body -->", body[1])


def _shown(field: str, value: object) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, date):
        value = value.isoformat()
    if not isinstance(value, str | int | float):
        raise TypeError(f"A mail shows text only; {field} is {type(value).__name__}.")
    text = one_line(str(value))
    if field == "status":
        return text.replace("_", " ")
    return _readable_date(text) if _ISO.match(text) else text


def _readable_date(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    day = f"{moment.day} {moment:%B %Y}"
    if len(text) == len("2026-01-01"):
        return day
    return f"{day}, {moment:%H:%M} {moment.tzname() or ''}".strip()


def _button_url(data: Mapping[str, Any], platform: Mapping[str, str]) -> str:
    own = str(data.get("url") or "")
    if not own and data.get("origin"):
        own = str(data["origin"]) + str(data.get("path") or "")
    try:
        return normal_address(own or platform.get("url", ""), schemes=WEB)
    except BadAddress as error:
        raise Invalid({"url": f"The mail's button has no address. {error}"}) from None


# -- rendering a file ----------------------------------------------------------------------------------


def render_file(path: Path | str, *, contact: Mapping[str, Any] | None = None, text: bool = False) -> str:
    """The mail of an MJML file as `contact` (or a sample contact) would get it; `text` for the text part.

    Slots, subject and preheader come from a campaign.toml beside it, if there is one; brand and launch are
    samples. Raises MarkupError, and Invalid for a contact with unknown fields.
    """
    file = Path(path)
    source = _read(file)
    settings = _sidecar(file)
    slots: tuple[SlotDef, ...] = ()
    try:
        slots = parse_slots(settings.get("slots", []))
    except Invalid as error:
        raise MarkupError(
            Problem(0, 0, f"{field}: {message}", part=SIDECAR) for field, message in error.fields.items()
        ) from None
    compiled = compile_email(
        source,
        slots=slots,
        subject=str(settings.get("subject") or file.stem),
        preheader=str(settings.get("preheader") or ""),
    )
    try:
        touch = TouchTemplate(compiled, slots={}, brand=_SAMPLE_BRAND, launch=_SAMPLE_LAUNCH)
    except Invalid as error:
        found = (Problem(0, 0, f"{field}: {message}") for field, message in error.fields.items())
        raise MarkupError(found) from None
    person = SAMPLE_CONTACT if contact is None else _contact(contact)
    made = touch.render(contact=person, links=touch.destinations(), service=_SAMPLE_SERVICE)
    return made.text if text else made.html


def format_problems(problems: Iterable[Problem], filename: Path | str) -> str:
    """Problems as compilers print them, one a line: `file:line:column: what. mend`."""
    lines = []
    for problem in in_order(problems):
        name = str(Path(filename).parent / SIDECAR) if problem.part == SIDECAR else str(filename)
        place = f"{name}:{problem.line}:{problem.column}" if problem.line else name
        lines.append(f"{place}: {problem.severity}: {problem.message}")
    return "\n".join(lines)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_SOURCE + 1)
    except OSError as error:
        mend = "Check its name and whether you may read it."
        raise MarkupError([Problem(0, 0, f"The file cannot be read: {error.strerror}.", mend)]) from None
    try:
        # A cut at the cap may split a character, which is not worth its own complaint: it is too long anyway.
        return raw.decode("utf-8", "replace" if len(raw) > MAX_SOURCE else "strict")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        what = "There is a byte here that is not UTF-8."
        raise MarkupError([Problem(line, column, what, "Save the file as UTF-8.")]) from None


def _sidecar(file: Path) -> dict[str, Any]:
    sidecar = file.parent / SIDECAR
    if not sidecar.is_file():
        return {}
    try:
        return tomllib.loads(_read(sidecar))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"^(.*?)\s*\(at line (\d+), column (\d+)\)$", str(error))
        what, line, column = (found[1], int(found[2]), int(found[3])) if found else (str(error), 1, 1)
        problem = Problem(line, column, f"This is not TOML: {what}.", "Mend or remove it.", part=SIDECAR)
        raise MarkupError([problem]) from None


def _contact(given: Mapping[str, Any]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in given.items():
        if name not in CONTACT_FIELDS:
            fields[f"contact.{name}"] = f"A contact has no {name}. Known are {', '.join(CONTACT_FIELDS)}."
        elif value is not None and not isinstance(value, str | int | float):
            fields[f"contact.{name}"] = f"{name} must be text."
    if fields:
        raise Invalid(fields)
    return {name: "" if value is None else str(value) for name, value in given.items()}
