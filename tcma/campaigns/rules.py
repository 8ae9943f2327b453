"""What MJML and the HTML inside it may hold: components, tags, attributes, and the form of their values.

The list of a component's attributes is the compiler's own; what each may contain is decided here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from mjml import elements
from mjml.core import Component
from mjml.elements import head

from tcma.campaigns.addresses import WEB, BadAddress, normal_address

HEAD_CHILDREN: Final = ("mj-attributes", "mj-breakpoint", "mj-font", "mj-preview", "mj-style", "mj-title")
_IN_COLUMN: Final = (
    "mj-accordion", "mj-button", "mj-carousel", "mj-divider", "mj-image", "mj-navbar", "mj-social",
    "mj-spacer", "mj-table", "mj-text",
)  # fmt: skip
CHILDREN: Final[dict[str, tuple[str, ...]]] = {
    "mjml": ("mj-head", "mj-body"),
    "mj-head": HEAD_CHILDREN,
    "mj-body": ("mj-section", "mj-wrapper", "mj-hero"),
    "mj-wrapper": ("mj-section", "mj-hero"),
    "mj-section": ("mj-column", "mj-group"),
    "mj-group": ("mj-column",),
    "mj-column": _IN_COLUMN,
    "mj-hero": _IN_COLUMN,
    "mj-navbar": ("mj-navbar-link",),
    "mj-social": ("mj-social-element",),
    "mj-carousel": ("mj-carousel-image",),
    "mj-accordion": ("mj-accordion-element",),
    "mj-accordion-element": ("mj-accordion-title", "mj-accordion-text"),
}
HOLDS_HTML: Final = frozenset(
    ("mj-text", "mj-button", "mj-table", "mj-accordion-title", "mj-accordion-text", "mj-navbar-link",
     "mj-social-element")
)  # fmt: skip
HOLDS_TEXT: Final = frozenset(("mj-title", "mj-preview"))
EMPTY: Final = frozenset(("mj-image", "mj-divider", "mj-spacer", "mj-carousel-image", "mj-breakpoint", "mj-font"))
TAKES_BLOCKS: Final = frozenset(
    ("mj-body", "mj-wrapper", "mj-section", "mj-group", "mj-column", "mj-hero", "mj-navbar", "mj-social")
)
FORBIDDEN: Final = {
    "mj-include": "Copy the content of that file here.",
    "mj-raw": "Use mj-text or mj-table instead.",
    "mj-html-attributes": "Remove it.",
    "mj-selector": "Remove it.",
    "mj-html-attribute": "Remove it.",
    "script": "Mail programs run no scripts. Remove it.",
    "style": "Put the rules into <mj-style> in <mj-head>.",
    "form": "Mail programs show no forms. Link to the landing page.",
    "iframe": "Link to the page instead.",
    "object": "Link to it instead.",
    "embed": "Link to it instead.",
    "video": "Show a picture that links to the video.",
    "audio": "Link to the sound instead.",
    "svg": "Use a PNG or JPEG with mj-image.",
    "input": "Link to the landing page.",
    "button": "Use <mj-button> with an href.",
    "link": "Use <mj-font> for fonts and <mj-style> for rules.",
    "meta": "Remove it.",
    "base": "Remove it.",
    "math": "Remove it.",
}

HTML_TAGS: Final = frozenset(
    """
    a abbr address b big blockquote br caption center cite code col colgroup dd del div dl dt em font
    h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark nobr ol p q s samp small span strike strong sub sup
    table tbody td tfoot th thead tr tt u ul var wbr
    """.split()  # noqa: SIM905 - a list of words reads better than eighty quoted lines
)
_HTML_ATTRIBUTES: Final = frozenset(
    """
    abbr align alt aria-hidden aria-label background bgcolor border cellpadding cellspacing class clear
    color cols colspan dir face headers height href hspace id lang media name noshade nowrap rel role
    rowspan rules scope size span src start style summary target title type valign value vspace width
    """.split()  # noqa: SIM905 - see above
)

LINK: Final = frozenset(("href",))
IMAGE: Final = frozenset(
    ("src", "background", "background-url", "thumbnails-src", "icon-wrapped-url", "icon-unwrapped-url",
     "left-icon", "right-icon")
)  # fmt: skip
WORDS: Final = frozenset(
    ("alt", "title", "aria-label", "summary", "abbr", "icon-wrapped-alt", "icon-unwrapped-alt", "ico-open",
     "ico-close")
)  # fmt: skip
STYLE: Final = frozenset(("style",))

_EXTRA: Final = frozenset(("css-class", "mj-class"))
# Editors mark their own components with these; they mean nothing in a mail.
QUIETLY_DROPPED: Final = re.compile(r"^(?:data-[a-z0-9-]+|id|passport|owa)$")
_SPECIAL_ATTRIBUTES: Final = {
    "mjml": frozenset(("lang", "dir", "owa")),
    "mj-head": frozenset(),
    "mj-attributes": frozenset(),
    "mj-title": frozenset(),
    "mj-preview": frozenset(),
    "mj-style": frozenset(("inline",)),
    "mj-breakpoint": frozenset(("width",)),
    "mj-font": frozenset(("name", "href")),
    "mj-body": frozenset(("background-color", "css-class", "width", "mj-class")),
    "mj-hero": frozenset(("width", "align")),
    "mj-section": frozenset(("text-align",)),
}
# The compiler's own bookkeeping, never an author's business.
_INTERNAL: Final = frozenset(("mobileWidth", "bottom", "left", "right", "top", "carouselId", "navbarBaseUrl"))


@cache
def component_types() -> dict[str, type[Component]]:
    """The compiler's classes by tag name."""
    found: dict[str, type[Component]] = {}
    for module in (elements, head):
        for value in vars(module).values():
            name = getattr(value, "component_name", None)
            if isinstance(value, type) and isinstance(name, str):
                found[name] = value
    return found


@cache
def attribute_kinds(name: str) -> dict[str, str]:
    """The attributes of a component with the form the compiler declares for each, such as `unit(px,%)`."""
    cls = component_types().get(name)
    kinds = dict.fromkeys(_SPECIAL_ATTRIBUTES.get(name, ()), "string")
    if cls is not None and name not in ("mj-body", "mj-style", "mj-breakpoint", "mj-font"):
        kinds |= dict.fromkeys(cls.default_attrs(), "string")
        kinds |= {key: kind or "string" for key, kind in cls.allowed_attrs().items()}
        kinds |= dict.fromkeys(_EXTRA, "string")
    return {key: kind for key, kind in kinds.items() if key == key.lower() and key not in _INTERNAL}


@cache
def shared_attributes() -> frozenset[str]:
    """Every attribute that `mj-all` or an `mj-class` may give to some component."""
    return frozenset(key for name in component_types() for key in attribute_kinds(name)) - {"mj-class"}


def components() -> frozenset[str]:
    """Every component that an author may use."""
    inner = {child for children in CHILDREN.values() for child in children}
    return frozenset({*CHILDREN, *inner})


def html_attributes(name: str) -> frozenset[str]:
    """The attributes that an HTML tag may carry."""
    return _HTML_ATTRIBUTES if name in ("a", "img") else _HTML_ATTRIBUTES - {"href", "src", "name"}


_COLOUR: Final = re.compile(
    r"^(?:#[0-9a-f]{3,8}|[a-z]{3,24}|(?:rgb|hsl)a?\([0-9.,%/ degturn-]{3,60}\))$", re.IGNORECASE
)
_UNSAFE_WORD: Final = re.compile(r"expression\s*\(|javascript:|vbscript:|behaviou?r\s*:|-moz-binding|@import", re.I)
_CSS_URL: Final = re.compile(r"url\(\s*(['\"]?)\s*([^)'\"\s]*)", re.IGNORECASE)
_CSS_ESCAPE: Final = re.compile(r"\\(?:([0-9A-Fa-f]{1,6})\s?|(.))", re.DOTALL)
_CSS_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_SIZE: Final = re.compile(
    r"^(?:-?(?:[0-9]{1,5}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})(?:px|%|r?em|pt)?|auto|normal|inherit)$"
)


def value_problem(name: str, value: str, *, kind: str = "string") -> str:
    """Why a plain attribute may not have this value, or "" when it may."""
    text = value.strip()
    if name == "style":
        return css_problem(text, whole=False)
    if not text:
        return ""
    if re.search(r"[<>{};\\]", text) or _UNSAFE_WORD.search(text) or "url(" in text.lower():
        return f"{name} holds a sign that does not belong there."
    if "color" in name and not _COLOUR.match(text):
        return f'{name}="{text[:40]}" is not a colour. Write it like #1a2b3c.'
    if kind.startswith("unit") and not all(_SIZE.match(part) for part in text.split()):
        return f'{name}="{text[:40]}" is not a size. Write it like 20px.'
    return ""


def value_warning(name: str, value: str, *, kind: str) -> str:
    """What is odd about a value that mail programs will ignore, or ""."""
    known = kind[5:-1].split(",") if kind.startswith("enum(") else []
    if known and value.strip() not in ("", *known):
        return f'{name}="{value[:40]}" has no effect. Use one of: {", ".join(known)}.'
    return ""


def css_problem(css: str, *, whole: bool) -> str:
    """Why CSS may not stand in a mail, or "". `whole`: a style sheet, otherwise what a style attribute holds.

    Comments and escapes are undone first, so that neither hides a word.
    """
    plain = _CSS_COMMENT.sub("", css)
    if plain.count("/*"):
        return "The style has a comment that never ends."
    plain = _CSS_ESCAPE.sub(_unescape, plain)
    if "<" in plain:
        return "The style holds a <. Write (max-width: 480px) instead of (width < 480px)."
    if not whole and re.search(r"[{}]", plain):
        return "A style attribute holds only rules such as color: #1a2b3c."
    if whole and plain.count("{") != plain.count("}"):
        return "The style has more { than }, or the other way round."
    word = _UNSAFE_WORD.search(plain)
    if word:
        return f"The style holds {word[0].strip()}, which is not allowed in mail."
    for found in _CSS_URL.finditer(plain):
        if not re.match(r"^(?:https?://|$)", found[2], re.IGNORECASE):
            return "The style loads a file that is not on the web. Start it with https://."
    return ""


def special_problem(element: str, name: str, value: str) -> str | None:
    """Why an attribute with a form of its own may not have this value, or ""; None where it has none."""
    match element, name:
        case "mj-font", "name":
            fits = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,39}", value)
            return "" if fits else "A font's name holds only letters, digits and spaces."
        case ("mj-font", "href") | (_, "base-url"):
            return _web_problem(value)
        case _, "srcset":
            candidates = [one.split()[0] for one in value.split(",") if one.strip()]
            return next((problem for one in candidates if (problem := _web_problem(one))), "")
        case "mj-breakpoint", _:
            fits = re.fullmatch(r"[1-9][0-9]{2,3}px", value)
            return "" if fits else "The breakpoint is a size such as 480px."
        case "mj-body", "width":
            fits = re.fullmatch(r"[2-9][0-9]{2}px|1[0-9]{3}px", value)
            return "" if fits else "The width of the mail is a size such as 600px."
        case _, "lang":
            fits = re.fullmatch(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", value)
            return "" if fits else "The language is a code such as en or de-CH."
        case _, "dir":
            return "" if value in ("ltr", "rtl", "auto") else "The direction is ltr, rtl or auto."
    return None


def _web_problem(value: str) -> str:
    try:
        normal_address(value, schemes=WEB)
    except BadAddress as error:
        return str(error)
    return "The address holds quotes or brackets." if re.search(r"['()<>\"]", value) else ""


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        number = int(found[1], 16)
        return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    return found[2]
