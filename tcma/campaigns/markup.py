"""MJML becomes a mail: the gate, the compiler, and what a campaign version stores of the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from tcma.campaigns.compiler import MAX_COMPILED, CannotCompile, TooLarge, raw_html, to_html
from tcma.campaigns.emit import Emitted, Emitter, Tokens, html_template
from tcma.campaigns.gate import Gate
from tcma.campaigns.language import Refusal
from tcma.campaigns.links import Href, protect
from tcma.campaigns.plaintext import text_template
from tcma.campaigns.problems import MarkupError, Problem, Severity, errors, in_order
from tcma.campaigns.program import Program
from tcma.campaigns.reader import read, split_text
from tcma.campaigns.shell import FOOTER_TEXT, body_of, dressed, lint, tears, with_meta
from tcma.campaigns.slots import SlotDef, parse_slots, to_json
from tcma.campaigns.tree import Document, Element, Places, Text
from tcma.campaigns.vocabulary import Dialect, campaign_dialect, sending_dialect

__all__ = [
    "CompiledEmail", "Link", "MarkupError", "Problem", "Severity", "build", "check", "compile_email",
]  # fmt: skip

MAX_SUBJECT: Final = 300
# Gmail cuts off what comes after 102 KB, footer and unsubscribe link included.
CLIPPED_AT: Final = 100 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """One tracked link. `destination` is a template over slot, brand and launch alone."""

    number: int
    label: str
    destination: str


@dataclass(frozen=True, slots=True)
class CompiledEmail:
    """A mail ready to be filled: templates for subject, HTML and text, with what they need.

    In `html` and `text` each tracked address is `{{ link.l1 }}`, `{{ link.l2 }}` …; `size` is in bytes of
    the HTML template; the same source, slots, subject and preheader always give the same `sha256`.
    """

    subject: str
    preheader: str
    html: str
    text: str
    links: tuple[Link, ...]
    slots: tuple[SlotDef, ...]
    slots_used: tuple[str, ...]
    contact_fields: tuple[str, ...]
    size: int
    sha256: str
    source_sha256: str
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for a campaign version to store."""
        return {
            "subject": self.subject,
            "preheader": self.preheader,
            "html": self.html,
            "text": self.text,
            "links": [
                {"number": link.number, "label": link.label, "destination": link.destination} for link in self.links
            ],
            "slots": to_json(self.slots),
            "slots_used": list(self.slots_used),
            "contact_fields": list(self.contact_fields),
            "size": self.size,
            "sha256": self.sha256,
            "source_sha256": self.source_sha256,
            "warnings": [problem.to_json() for problem in self.warnings],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CompiledEmail:
        """The mail that `to_json` wrote."""
        return cls(
            subject=data["subject"],
            preheader=data["preheader"],
            html=data["html"],
            text=data["text"],
            links=tuple(Link(**link) for link in data["links"]),
            slots=parse_slots(data["slots"]),
            slots_used=tuple(data["slots_used"]),
            contact_fields=tuple(data["contact_fields"]),
            size=data["size"],
            sha256=data["sha256"],
            source_sha256=data["source_sha256"],
            warnings=tuple(Problem.from_json(problem) for problem in data.get("warnings", ())),
        )


def check(source: str, *, slots: Sequence[SlotDef], subject: str | None = None, preheader: str = "") -> list[Problem]:
    """Everything wrong with a mail, errors first; an empty list means it compiles. Never raises.

    A slot that only the subject uses counts as used if the subject is given.
    """
    build_ = _Build(source, dialect=campaign_dialect(slots), slots=tuple(slots))
    build_.run(subject=subject if subject is not None else "-", preheader=preheader)
    return list(in_order(build_.problems))


def compile_email(source: str, *, slots: Sequence[SlotDef], subject: str, preheader: str = "") -> CompiledEmail:
    """The mail for MJML of an author's; raises MarkupError with every problem found.

    A preheader given here goes before the source's mj-preview.
    """
    return build(source, dialect=campaign_dialect(slots), slots=slots, subject=subject, preheader=preheader)


def build(
    source: str,
    *,
    dialect: Dialect,
    slots: Sequence[SlotDef] = (),
    subject: str | None,
    preheader: str = "",
    is_campaign: bool = True,
) -> CompiledEmail:
    """As `compile_email`, for any dialect. Without `is_campaign` nothing is tracked and no footer is added.

    A subject of None takes the source's mj-title.
    """
    work = _Build(source, dialect=dialect, slots=tuple(slots), is_campaign=is_campaign)
    compiled = work.run(subject=subject, preheader=preheader)
    if compiled is None:
        raise MarkupError(work.problems)
    return compiled


class _Build:
    """One way from source to mail. `problems` fills up on the way; any error ends in None."""

    def __init__(self, source: str, *, dialect: Dialect, slots: tuple[SlotDef, ...], is_campaign: bool = True) -> None:
        self.source = source
        self.dialect = dialect
        self.slots = slots
        self.is_campaign = is_campaign
        self.problems: list[Problem] = []
        self.fields: set[tuple[str, str]] = set()
        self.hrefs: dict[int, Href] = {}

    def run(self, *, subject: str | None, preheader: str) -> CompiledEmail | None:
        """The mail, or None after an error."""
        document = read(self.source)
        if not errors(document.problems):
            gate = Gate(document, dialect=self.dialect)
            gate.look()
            self.fields |= gate.fields
            self.hrefs = gate.hrefs
        self.problems += document.problems
        title = _title_of(document) if subject is None else ""
        subject = self._line(subject if subject is not None else title, part="subject")
        preheader = self._line(preheader, part="preheader")
        self._notice_unused()
        if errors(self.problems) or document.root is None:
            return None
        tokens = Tokens(self.source + subject + preheader)
        emitter = Emitter(tokens, hrefs=self.hrefs, dialect=self.dialect)
        emitted = emitter.emit(document.root, title=self._html_line(subject), preheader=self._html_line(preheader))
        try:
            compiled = to_html(emitted)
        except TooLarge:
            self.problems.append(Problem(0, 0, "The compiled mail is larger than 1 MB.", "Shorten it."))
            return None
        except CannotCompile:
            self._blame(document, emitter, emitted)
            return None
        return self._finish(compiled, emitted, tokens, subject=subject)

    # -- subject and preheader -------------------------------------------------------------------------

    def _line(self, text: str, *, part: str) -> str:
        """A subject or preheader on one line; what is wrong with it goes to the problems."""
        line = " ".join(text.split())
        if part == "subject" and not line:
            self._note(part, "The subject is empty.", "Write one.")
            return ""
        if len(line) > MAX_SUBJECT:
            self._note(part, f"The {part} has {len(line)} characters; {MAX_SUBJECT} fit.", "Shorten it.")
            return ""
        document = Document(root=None, places=Places(line), problems=[])
        # The gate knows titles; as one, a line of text gets the same rules as everywhere else.
        holder = Element("mj-title", [], 0, children=list(split_text(line, document)))
        gate = Gate(document, dialect=self.dialect)
        if not document.problems:
            gate.look_at_line(holder)
        self.problems += [
            Problem(0, found.column, f"The {part}: {found.what}", found.mend, found.severity, part)
            for found in document.problems
        ]
        if not errors(document.problems):
            self.fields |= gate.fields
            return "".join(
                protect(child.value) if isinstance(child, Text) else child.source
                for child in holder.children
                if not isinstance(child, Element)
            )
        return ""

    def _html_line(self, line: str) -> str:
        document = Document(root=None, places=Places(line), problems=[])
        return html_template(split_text(line, document))

    def _note(self, part: str, what: str, mend: str) -> None:
        self.problems.append(Problem(0, 0, what, mend, Severity.ERROR, part))

    def _notice_unused(self) -> None:
        used = {name for root, name in self.fields if root == "slot"}
        for slot in self.slots:
            if slot.name not in used and not errors(self.problems):
                what = f"The slot {slot.name} is not used."
                mend = f"Write {{{{ slot.{slot.name} }}}} where it belongs, or remove the slot."
                self.problems.append(Problem(0, 0, what, mend, Severity.WARNING))

    # -- after the compiler ----------------------------------------------------------------------------

    def _finish(self, compiled: str, emitted: Emitted, tokens: Tokens, *, subject: str) -> CompiledEmail | None:
        for what in lint(compiled, token_prefix=tokens.prefix):
            self.problems.append(Problem(0, 0, what, "Remove it."))
        if tears(compiled, is_block=tokens.block_word):
            what = "A block holds tags that may not stand where it is, such as a <div> inside a <p>."
            self.problems.append(Problem(0, 0, what, "Put whole paragraphs, rows or components into each block."))
        if errors(self.problems):
            return None
        links, tracked = self._number(compiled, emitted, tokens)
        text = text_template(body_of(compiled), tokens=tokens, direct={**emitted.direct, **tracked})
        dark = emitted.has_dark_rules
        page = protect(compiled)
        if self.is_campaign:
            page = dressed(page, width=emitted.width, lang=emitted.lang, has_dark_rules=dark)
            text += FOOTER_TEXT
        else:
            page = with_meta(page)
        page = tokens.restore(page, instead=tracked)
        # The preheader is shown before the text by mail programs, so the text part goes without it.
        preheader = emitted.preview
        digest = sha256(json.dumps([subject, preheader, page, text, *map(_as_list, links)]).encode())
        size = len(page.encode())
        if size > CLIPPED_AT:
            what = f"The mail has {size // 1024} KB; Gmail cuts off what is beyond 100 KB."
            self.problems.append(Problem(0, 0, what, "Shorten it.", Severity.WARNING))
        if not self._runs(subject, page, text, links) or size > MAX_COMPILED:
            self.problems.append(Problem(0, 0, "This mail cannot be compiled.", "Make it simpler."))
            return None
        return CompiledEmail(
            subject=subject,
            preheader=preheader,
            html=page,
            text=text,
            links=links,
            slots=self.slots,
            slots_used=tuple(sorted(name for root, name in self.fields if root == "slot")),
            contact_fields=tuple(sorted(name for root, name in self.fields if root == "contact")),
            size=size,
            sha256=digest.hexdigest(),
            source_sha256=sha256(self.source.encode()).hexdigest(),
            warnings=in_order(self.problems),
        )

    def _number(self, compiled: str, emitted: Emitted, tokens: Tokens) -> tuple[tuple[Link, ...], dict[int, str]]:
        """Links in the order in which a reader meets them, and what each one's token becomes."""
        by_token = {link.number: link for link in emitted.links}
        links: list[Link] = []
        meanings: dict[int, str] = {}
        for token in tokens.numbers(compiled):
            found = by_token.get(token)
            if found is None:
                continue
            if self.is_campaign:
                links.append(Link(len(links) + 1, found.label, found.destination))
                meanings[token] = f"{{{{ link.l{len(links)} }}}}"
            else:
                meanings[token] = found.destination
        return tuple(links), meanings

    def _runs(self, subject: str, page: str, text: str, links: tuple[Link, ...]) -> bool:
        """Whether every template of the result is within the language: the gate's work, seen from behind."""
        dialect = sending_dialect(self.dialect, links=len(links))
        templates = [(subject, False), (page, True), (text, False)]
        templates += [(link.destination, False) for link in links]
        try:
            for template, escape in templates:
                Program(template, dialect=dialect, escape=escape)
        except Refusal:
            return False
        return True

    def _blame(self, document: Document, emitter: Emitter, emitted: Emitted) -> None:
        """Find the part of the body on which the compiler stops, and say so."""
        assert document.root is not None
        body = next(child for child in document.root.elements() if child.name == "mj-body")
        head = emitted.mjml[: emitted.mjml.index("<mj-body")]
        blamed = next((child for child in body.elements() if not _compiles(head, emitter.alone(body, child))), body)
        document.problems.clear()
        document.refuse(
            blamed.offset,
            f"Something in this <{blamed.name}> has a value that cannot be laid out.",
            "Look at its sizes: each must be a number with px or %.",
        )
        self.problems += document.problems


def _compiles(head: str, body: str) -> bool:
    try:
        raw_html(f"{head}{body}</mjml>")
    except CannotCompile:
        return False
    return True


def _title_of(document: Document) -> str:
    """What the source's own mj-title says, as written."""
    if document.root is None:
        return ""
    titles = [element for element in document.root.walk() if element.name == "mj-title"]
    return "".join(
        child.value if isinstance(child, Text) else child.source
        for title in titles[-1:]
        for child in title.children
        if not isinstance(child, Element)
    )


def _as_list(link: Link) -> list[str | int]:
    return [link.number, link.label, link.destination]
