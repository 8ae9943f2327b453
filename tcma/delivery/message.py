"""Campaign mail as bytes: a shape is built once a launch touch and filled for each recipient.

Written by hand because the standard `EmailMessage` costs milliseconds a message and folds what must not be
folded: with its usual line length a long List-Unsubscribe becomes `=?utf-8?q?…?=`, which mailbox providers
ignore; with a longer one (`max_line_length=900`) the same number lets encoded words and quoted-printable
lines grow past the 76 characters of RFC 2047 §2 and RFC 2045 §6.7.

How bodies travel, by what is cheapest and still readable (figures for 20 KB):
- ASCII with lines of at most 998 octets goes as it is (7bit): nothing to encode, and no relay has to change
  it, which would break its DKIM signature.
- HTML with a few other characters (names, dashes) gets numeric character references for them and goes as 7bit
  too; the reader's screen shows the same. CSS knows no references, so only where `<style>` is ASCII.
- Long lines, and plain text with a few other characters, go quoted-printable (100 µs).
- Text mostly in another script goes base64 (37 µs), which is then the shorter form.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

import idna

from tcma import clock
from tcma.errors import Invalid

LINE_LIMIT = 998
"""RFC 5322 §2.1.1: octets a line without its CRLF."""

_WISHED_LINE = 78
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
_ASCII_ADDRESS = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*@{_DOMAIN}")
_UTEXT = r"""[^\x00-\x20\x7f-\xa0()<>\[\]:;@\\,."]"""
_UTF8_LOCAL = re.compile(rf"{_UTEXT}+(?:\.{_UTEXT}+)*")
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9-]+(?: [A-Za-z0-9-]+)*")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_URI = re.compile(r"(?:https?|mailto):[!#-;=?-~]+")
# fmt: off
_OWN_HEADERS = frozenset({
    "from", "to", "cc", "bcc", "sender", "reply-to", "return-path", "subject", "date", "message-id",
    "mime-version", "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe",
    "list-unsubscribe-post", "feedback-id",
})
# fmt: on


class CrlfBytes(bytes):
    """A message with CRLF after each line and no bare CR or LF: sending need not look again."""

    __slots__ = ()


class WireBytes(CrlfBytes):
    """A message of which no line begins with a dot either: it follows DATA as it is (RFC 5321 §4.5.2)."""

    __slots__ = ()


class MessageShape:
    """All that one launch touch's messages have in common; `fill` adds what differs.

    `from_address` and `reply_to` are addresses, `list_id` a dotted name without brackets (RFC 2919),
    `feedback_id` the four fields `campaign:partner:stream:sender` of Gmail's Feedback-ID,
    `message_id_domain` a domain of ours, `headers` further headers for the provider. `date` is the Date of
    messages filled without one of their own; without it, it is the moment of filling. Raises Invalid for a
    value that would break a header.
    """

    def __init__(
        self,
        *,
        from_name: str,
        from_address: str,
        list_id: str,
        feedback_id: str,
        message_id_domain: str,
        reply_to: str | None = None,
        headers: Mapping[str, str] | None = None,
        date: datetime | None = None,
    ) -> None:
        if not _DOT_ATOM.fullmatch(list_id):
            raise Invalid({"list_id": "The list id is a dotted name such as spring.partner.example."})
        if feedback_id.count(":") != 3 or not _is_plain(feedback_id):
            raise Invalid({"feedback_id": "The feedback id has four fields parted by colons, no spaces."})
        self._message_id_domain = _message_id_domain(message_id_domain)
        self._date = date
        self._boundary = _new_boundary()
        self._fixed = b"".join((
            _mailbox("From", "from_name", from_name, "from_address", from_address),
            _mailbox("Reply-To", "reply_to", "", "reply_to", reply_to) if reply_to else b"",
            b"List-Id: <%b>\r\n" % list_id.encode(),
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
            b"Feedback-ID: %b\r\n" % feedback_id.encode(),
            _extra_headers(headers or {}),
            b"MIME-Version: 1.0\r\n",
        ))  # fmt: skip

    def fill(
        self,
        *,
        to_address: str,
        subject: str,
        html: str | list[bytes],
        text: str,
        message_id: str,
        unsubscribe_url: str,
        unsubscribe_mailto: str | None = None,
        to_name: str = "",
        headers: Mapping[str, str] | None = None,
        date: datetime | None = None,
    ) -> CrlfBytes:
        """The whole message for one recipient, RFC 5322 with CRLF, text part first.

        `html` is text, or the pieces of a body that travels as it is (`tcma.campaigns.wire`), at a quarter of the cost.

        `message_id` is the part before our domain and must be the same each time this delivery is filled.
        `unsubscribe_url` answers the one-click POST of RFC 8058; `unsubscribe_mailto` is `mailto:…`. The
        return path belongs to the envelope, so no header here names it (RFC 5321 §4.4). Raises Invalid,
        naming the field, for a line break or control character in any header value, a malformed address, or
        text that is not Unicode.
        """
        if not _DOT_ATOM.fullmatch(message_id):
            raise Invalid({"message_id": "The message id may hold letters, digits, dots and dashes only."})
        moment = date or self._date or clock.now()
        head = b"".join((
            _date_line(moment.replace(microsecond=0)),
            b"Message-ID: <%b@%b>\r\n" % (message_id.encode(), self._message_id_domain),
            _mailbox("To", "to_name", to_name, "to_address", to_address),
            _text_header("Subject", "subject", subject),
            _list_unsubscribe(unsubscribe_url, unsubscribe_mailto),
            _extra_headers(headers) if headers else b"",
            self._fixed,
        ))  # fmt: skip
        return CrlfBytes(b"".join((head, *_alternatives(text, html, boundary=self._boundary))))


def system_message(
    *,
    from_name: str,
    from_address: str,
    to_address: str,
    subject: str,
    text: str,
    message_id: str,
    message_id_domain: str,
    to_name: str = "",
    html: str | None = None,
    reply_to: str | None = None,
    headers: Mapping[str, str] | None = None,
    date: datetime | None = None,
) -> CrlfBytes:
    """A mail of the service to one person (invitation, reset, notice): no list headers, marked by RFC 3834.

    The same promises and errors as `MessageShape.fill`; without `html` it is a single text part.
    """
    if not _DOT_ATOM.fullmatch(message_id):
        raise Invalid({"message_id": "The message id may hold letters, digits, dots and dashes only."})
    head = b"".join((
        b"Date: %b\r\n" % format_datetime(date or clock.now()).encode(),
        b"Message-ID: <%b@%b>\r\n" % (message_id.encode(), _message_id_domain(message_id_domain)),
        _mailbox("From", "from_name", from_name, "from_address", from_address),
        _mailbox("To", "to_name", to_name, "to_address", to_address),
        _mailbox("Reply-To", "reply_to", "", "reply_to", reply_to) if reply_to else b"",
        _text_header("Subject", "subject", subject),
        b"Auto-Submitted: auto-generated\r\n",
        _extra_headers(headers or {}),
        b"MIME-Version: 1.0\r\n",
    ))  # fmt: skip
    if html is None:
        return CrlfBytes(head + _part("text", text, subtype=b"plain", boundary=b""))
    return CrlfBytes(b"".join((head, *_alternatives(text, html, boundary=_new_boundary()))))


def wire_address(address: str, *, field: str = "address") -> str:
    """`address` as envelope and headers write it: the domain in ASCII (IDNA 2008), the local part untouched.

    Stays non-ASCII only where the local part is, which needs SMTPUTF8. Raises Invalid for anything that is
    not a plain address; quoted local parts and address literals are not taken.
    """
    if _ASCII_ADDRESS.fullmatch(address) and len(address) <= 254 and address.index("@") <= 64:
        return address
    local, _, domain = address.rpartition("@")
    if len(address) <= 254 and len(local.encode("utf-8", "replace")) <= 64 and _UTF8_LOCAL.fullmatch(local):
        try:
            ascii_domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            ascii_domain = ""
        if ascii_domain and not _CONTROL.search(local):
            return f"{local}@{ascii_domain}"
    raise Invalid({field: "This is not a complete e-mail address, such as anna@example.com."})


@lru_cache(maxsize=64)
def _date_line(second: datetime) -> bytes:
    return b"Date: %b\r\n" % format_datetime(second).encode()


def _new_boundary() -> bytes:
    # "=_" can stand in neither quoted-printable nor base64 (RFC 2045 §6.7).
    return b"=_" + secrets.token_hex(12).encode()


def _message_id_domain(domain: str) -> bytes:
    return wire_address(f"x@{domain}", field="message_id_domain").partition("@")[2].encode()


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value and len(value) < 900


def _checked(field: str, value: str) -> str:
    # isprintable is the quick way out; it is also False for harmless joiners in names and emoji.
    if not value.isprintable() and _CONTROL.search(value):
        raise Invalid({field: "This holds a line break or a control character. Remove it and try again."})
    return value


def _encoded_words(value: str, *, used: int) -> bytes:
    """`value` as base64 encoded words, lines of at most 76, the first after `used` (RFC 2047 §2)."""
    words: list[bytes] = []
    chunk = b""
    room = (76 - used - 12) // 4 * 3
    whole = value.encode()
    if len(whole) <= room:
        return b"=?utf-8?B?" + binascii.b2a_base64(whole, newline=False) + b"?="
    for character in value:
        raw = character.encode()
        if chunk and len(chunk) + len(raw) > room:
            words.append(chunk)
            chunk, room = b"", 45
        chunk += raw
    words.append(chunk)
    return b"\r\n ".join(b"=?utf-8?B?" + binascii.b2a_base64(word, newline=False) + b"?=" for word in words)


def _text_header(name: str, field: str, value: str) -> bytes:
    value = _checked(field, value).strip()
    if value.isascii() and "=?" not in value:
        if len(name) + 2 + len(value) <= _WISHED_LINE:
            return f"{name}: {value}\r\n".encode()
        folded = _folded(f"{name}: {value}")
        if all(len(line) <= _WISHED_LINE for line in folded):
            return "\r\n".join(folded).encode() + b"\r\n"
    return name.encode() + b": " + _encoded_words(value, used=len(name) + 2) + b"\r\n"


def _folded(line: str) -> list[str]:
    """`line` cut before single spaces (RFC 5322 §2.2.3), so that unfolding restores it."""
    lines: list[str] = []
    start = 0
    candidate = 0
    for match in re.finditer(r"(?<=[^ ]) (?=[^ ])", line):
        if match.start() - start > _WISHED_LINE and candidate > start:
            lines.append(line[start:candidate])
            start = candidate
        candidate = match.start()
    if len(line) - start > _WISHED_LINE and candidate > start:
        lines.append(line[start:candidate])
        start = candidate
    lines.append(line[start:])
    return lines


def _mailbox(name: str, name_field: str, display: str, address_field: str, address: str) -> bytes:
    shown = wire_address(_checked(address_field, address), field=address_field).encode()
    display = _checked(name_field, display).strip()
    prefix = name.encode() + b": "
    if not display:
        return prefix + shown + b"\r\n"
    if display.isascii() and "=?" not in display and len(display) <= 60:
        if _PLAIN_PHRASE.fullmatch(display):
            phrase = display.encode()
        else:
            phrase = b'"' + display.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    else:
        phrase = _encoded_words(display, used=len(prefix))
    last_line = len(phrase) - (phrase.rfind(b"\n") + 1)
    between = b" <" if len(prefix) + last_line + len(shown) + 3 <= _WISHED_LINE else b"\r\n <"
    return prefix + phrase + between + shown + b">\r\n"


def _list_unsubscribe(url: str, mailto: str | None) -> bytes:
    """RFC 2369 §3.2 and RFC 8058 §3.1: URIs in brackets, never as encoded words."""
    for field, uri, scheme in (("unsubscribe_url", url, "http"), ("unsubscribe_mailto", mailto, "mailto:")):
        if uri is not None and not (uri.startswith(scheme) and len(uri) < 900 and _URI.fullmatch(uri)):
            raise Invalid({field: f"This is not a plain {scheme} address without spaces or line breaks."})
    if mailto is None:
        return b"List-Unsubscribe: <%b>\r\n" % url.encode()
    return b"List-Unsubscribe: <%b>,\r\n <%b>\r\n" % (url.encode(), mailto.encode())


def _extra_headers(headers: Mapping[str, str]) -> bytes:
    lines: list[bytes] = []
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise Invalid({"headers": f"{name!r} cannot be set as a further header. Choose another name."})
        if name.lower().startswith("list-") and not (value.isascii() and "=?" not in value):
            raise Invalid({"headers": f"{name} must be plain ASCII."})
        if value.isascii() and len(name) + 2 + len(value) <= LINE_LIMIT and "=?" not in value:
            # Providers read such values by machine: they stay on one line.
            lines.append(f"{name}: {_checked(name, value)}\r\n".encode())
        else:
            lines.append(_text_header(name, name, value))
    return b"".join(lines)


def _alternatives(text: str, html: str | list[bytes], *, boundary: bytes) -> Iterator[bytes]:
    yield b'Content-Type: multipart/alternative; boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n"
    yield _part("text", text, subtype=b"plain", boundary=boundary)
    yield b"\r\n--" + boundary + b"\r\n"
    if isinstance(html, str):
        yield _part("html", html, subtype=b"html", boundary=boundary)
    else:
        yield b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        yield from html
    yield b"\r\n--" + boundary + b"--\r\n"


def _part(field: str, content: str, *, subtype: bytes, boundary: bytes) -> bytes:
    try:
        encoding, body = _encoded_body(content, is_html=subtype == b"html", boundary=boundary)
    except UnicodeEncodeError:
        raise Invalid({field: "This holds half a character that no mail can carry. Type it again."}) from None
    return b"".join((
        b"Content-Type: text/", subtype, b"; charset=utf-8\r\n",
        b"Content-Transfer-Encoding: ", encoding, b"\r\n\r\n", body,
    ))  # fmt: skip


def _encoded_body(content: str, *, is_html: bool, boundary: bytes) -> tuple[bytes, bytes]:
    """(transfer encoding, body with CRLF line ends); which encoding is told at the top of this module."""
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    if not content.endswith("\n"):
        content += "\n"
    raw = content.encode()
    extra = len(raw) - len(content)
    if extra * 6 > len(content):
        code = binascii.b2a_base64(raw.replace(b"\n", b"\r\n"), newline=False)
        rows = [code[start : start + 76] for start in range(0, len(code), 76)]
        return b"base64", b"\r\n".join(rows) + b"\r\n"
    if extra and is_html and extra * 32 <= len(content) and _styles_are_ascii(content):
        raw = content.encode("ascii", "xmlcharrefreplace")
        extra = 0
    lines = raw.split(b"\n")
    clear = extra == 0 and b"\0" not in raw and not (boundary and boundary in raw)
    if clear and max(map(len, lines)) <= LINE_LIMIT:
        return b"7bit", b"\r\n".join(lines)
    return b"quoted-printable", b"\r\n".join([_quoted(line) for line in lines])


@lru_cache(maxsize=4096)
def _quoted(line: bytes) -> bytes:
    """A line as quoted-printable; most are the same in each message of a launch."""
    # Soft line breaks take the style of those in the input, of which there are none.
    return binascii.b2a_qp(line, istext=True).replace(b"\n", b"\r\n")


def _styles_are_ascii(html: str) -> bool:
    """Whether no `<style>` holds anything but ASCII. Tags are lower-case, as our compiler writes them."""
    start = html.find("<style")
    while start >= 0:
        end = html.find("</style", start)
        if end < 0 or not html[start:end].isascii():
            return False
        start = html.find("<style", end)
    return True
