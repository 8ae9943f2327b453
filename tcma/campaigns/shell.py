"""What the service adds to every mail: footer, pixel, and metadata; and the last look at what goes out."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache
from html.parser import HTMLParser
from typing import Final

from tcma.campaigns.compiler import raw_html
from tcma.campaigns.reader import VOID

_FONT: Final = "-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_FOOTER: Final = """\
<mjml lang="{lang}"><mj-body width="{width}">
  <mj-section css-class="tcma-foot" background-color="#f4f5f7" padding="20px 0 24px" full-width="full-width">
    <mj-column padding="0">
      <mj-text css-class="tcma-foot-text" align="center" color="#5b6270" font-size="12px" line-height="18px"
        font-family="{font}" padding="0 24px 8px">WHY</mj-text>
      <mj-text css-class="tcma-foot-text" align="center" color="#5b6270" font-size="12px" line-height="18px"
        font-family="{font}" padding="0 24px 8px">WHO</mj-text>
      <mj-text css-class="tcma-foot-text" align="center" color="#5b6270" font-size="12px" line-height="18px"
        font-family="{font}" padding="0 24px">LINKS</mj-text>
    </mj-column>
  </mj-section>
</mj-body></mjml>"""
_LINK: Final = '<a href="{url}" style="color:#5b6270;text-decoration:underline;">{text}</a>'
_PLACES: Final = {
    "WHY": "{% if service.reason %}{{ service.reason }}<br>{% endif %}"
    "Sent by {{ brand.name }} about {{ launch.vendor_name }}.",
    "WHO": "<strong>{{ brand.legal_name }}</strong><br>{{ brand.postal_address }}",
    "LINKS": _LINK.format(url="{{ service.unsubscribe_url }}", text="Unsubscribe")
    + "{% if service.privacy_url %} &nbsp;&middot;&nbsp; "
    + _LINK.format(url="{{ service.privacy_url }}", text="Privacy and preferences")
    + "{% endif %}",
}
FOOTER_TEXT: Final = """\


--------------------------------------------------
{% if service.reason %}{{ service.reason }}
{% endif %}Sent by {{ brand.name }} about {{ launch.vendor_name }}.

{{ brand.legal_name }}
{{ brand.postal_address }}

Unsubscribe: {{ service.unsubscribe_url }}
{% if service.privacy_url %}Privacy and preferences: {{ service.privacy_url }}
{% endif %}"""
_PIXEL: Final = (
    '{% if service.pixel_url %}<img src="{{ service.pixel_url }}" width="1" height="1" alt="" '
    'style="display:block;width:1px;height:1px;border:0;">{% endif %}'
)
_META: Final = (
    '<meta name="color-scheme" content="light dark">\n'
    '<meta name="supported-color-schemes" content="light dark">\n'
    '<meta name="format-detection" content="telephone=no,date=no,address=no,email=no">\n'
)
_DARK_FOOTER: Final = (
    "<style>@media (prefers-color-scheme:dark){"
    ".tcma-foot,.tcma-foot>tbody>tr>td>div{background:#16181d !important;}"
    ".tcma-foot-text div,.tcma-foot-text a{color:#9aa1ae !important;}}</style>\n"
)
_SCHEME: Final = re.compile(r"^(?:https?://|mailto:|tel:|#)", re.IGNORECASE)
_ADDRESSES: Final = frozenset(
    ("href", "src", "background", "action", "poster", "cite", "longdesc", "data", "xlink:href")
)
_NEVER: Final = frozenset(
    ("script", "iframe", "frame", "frameset", "object", "embed", "applet", "form", "base", "svg", "math",
     "video", "audio", "textarea", "select", "button", "template", "portal")
)  # fmt: skip
_COMMENT: Final = re.compile(r"<!--\s*\[if[^\]]*\]>(.*?)<!\[endif\]-->", re.DOTALL | re.IGNORECASE)
_BAD_CSS: Final = re.compile(r"expression\s*\(|javascript:|vbscript:|behaviou?r\s*:|-moz-binding", re.I)
_IMPORT: Final = re.compile(r"@import\s+(?!url\(https?://[^()\s'\"]+\))", re.I)


def body_of(compiled: str) -> str:
    """The part of a compiled mail between its body tags."""
    start = re.search(r"<body[^>]*>", compiled)
    return compiled[start.end() : compiled.rfind("</body>")] if start else compiled


def dressed(compiled: str, *, width: str, lang: str, has_dark_rules: bool) -> str:
    """A compiled mail with our metadata, footer and pixel; all that is added is template text."""
    head = _META + (_DARK_FOOTER if has_dark_rules else "")
    compiled = re.sub(r"<head>\s*", lambda found: "<head>\n" + head, compiled, count=1)
    end = compiled.rfind("</div>", 0, compiled.rfind("</body>"))
    return compiled[:end] + _footer(width, lang) + compiled[end:].replace("</body>", _PIXEL + "</body>")


def with_meta(compiled: str) -> str:
    """A compiled mail with our metadata alone: the service's own mails bring their footer."""
    return re.sub(r"<head>\s*", lambda found: "<head>\n" + _META, compiled, count=1)


@lru_cache(maxsize=64)
def _footer(width: str, lang: str) -> str:
    """Compiled apart from the author's mail, so that no default or rule of theirs reaches it."""
    mjml = _FOOTER.format(width=width, lang=lang, font=html.escape(_FONT))
    body = body_of(raw_html(mjml)).strip()
    inner = body[body.index(">") + 1 : body.rindex("</div>")]
    inner = re.sub(r"[ \t]*\n[ \t\n]*", "\n", inner)
    return re.sub("|".join(_PLACES), lambda found: _PLACES[found[0]], inner)


def lint(compiled: str, *, token_prefix: str) -> list[str]:
    """What must never leave in a mail, whatever let it in; `compiled` still has tokens for placeholders.

    Looks into Outlook's conditional comments as well.
    """
    found = _Lint(token_prefix)
    found.feed(compiled)
    found.close()
    for hidden in _COMMENT.findall(compiled):
        inner = _Lint(token_prefix)
        inner.feed(hidden)
        inner.close()
        found.problems += inner.problems
    return list(dict.fromkeys(found.problems))


def tears(compiled: str, *, is_block: Callable[[str], str]) -> bool:
    """Whether a block opens in one element and closes in another.

    The gate has looked at the source; but reading HTML again moves what stands where HTML does not allow it, such as
    a div inside a p. `is_block` gives the first word of the block that a comment stands for, or "".
    """
    found = _Tears(is_block)
    found.feed(compiled)
    found.close()
    return found.torn or bool(found.blocks)


class _Tears(HTMLParser):
    def __init__(self, is_block: Callable[[str], str]) -> None:
        super().__init__(convert_charrefs=True)
        self.is_block = is_block
        self.open: list[int] = []
        self.blocks: list[tuple[int, ...]] = []
        self.names: list[str] = []
        self.count = 0
        self.torn = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.count += 1
            self.open.append(self.count)
            self.names.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself changes nothing."""

    def handle_endtag(self, tag: str) -> None:
        while tag in self.names:
            self.open.pop()
            if self.names.pop() == tag:
                return

    def handle_comment(self, data: str) -> None:
        word = self.is_block(data)
        if word in ("if", "for"):
            self.blocks.append(tuple(self.open))
        elif word:
            self.torn |= not self.blocks or self.blocks[-1] != tuple(self.open)
            if word.startswith("end") and self.blocks:
                self.blocks.pop()


class _Lint(HTMLParser):
    def __init__(self, token_prefix: str) -> None:
        super().__init__(convert_charrefs=True)
        self.prefix = token_prefix
        self.problems: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        if tag in _NEVER:
            self.problems.append(f"<{tag}> is not allowed in a mail.")
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("type") not in ("checkbox", "radio"):
            self.problems.append("<input> is not allowed in a mail.")
        if tag == "meta" and given.get("http-equiv", "").lower() not in (
            "", "content-type", "x-ua-compatible"
        ):  # fmt: skip
            self.problems.append("A mail may not redirect.")
        for name, value in given.items():
            self._attribute(tag, name, value)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style and (_BAD_CSS.search(data) or _IMPORT.search(data)):
            self.problems.append("A style loads or runs something.")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or name in ("srcdoc", "formaction"):
            self.problems.append(f"<{tag}> has {name}, which runs a script.")
        elif name in _ADDRESSES:
            address = re.sub(r"[\x00-\x20]", "", value)
            if address and not address.startswith(self.prefix) and not _SCHEME.match(address):
                self.problems.append(f"<{tag}> leads to {value[:60]}, which is not a web address.")
        elif name == "style" and (_BAD_CSS.search(value) or "@import" in value.lower()):
            self.problems.append(f"The style of <{tag}> loads or runs something.")
