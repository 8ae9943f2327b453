"""What is wrong with a piece of MJML, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tcma.errors import Invalid


class Severity(StrEnum):
    """An error refuses the mail; a warning lets it pass and is worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `line` and `column` count from 1 in `part` (source, subject, preheader); 0: the whole."""

    line: int
    column: int
    what: str
    mend: str = ""
    severity: Severity = Severity.ERROR
    part: str = "source"

    @property
    def message(self) -> str:
        """What is wrong and how to mend it, as one text."""
        return f"{self.what} {self.mend}".strip()

    def __str__(self) -> str:
        place = f"Line {self.line}: " if self.line else ""
        return place + self.message

    def to_json(self) -> dict[str, str | int]:
        """A plain dict that `from_json` reads back."""
        return {
            "line": self.line,
            "column": self.column,
            "what": self.what,
            "mend": self.mend,
            "severity": self.severity.value,
            "part": self.part,
        }

    @classmethod
    def from_json(cls, data: dict[str, str | int]) -> Problem:
        """The problem that `to_json` wrote."""
        return cls(
            line=int(data["line"]),
            column=int(data["column"]),
            what=str(data["what"]),
            mend=str(data["mend"]),
            severity=Severity(str(data["severity"])),
            part=str(data["part"]),
        )


class MarkupError(Invalid):
    """MJML, subject or preheader that cannot become a mail. `problems` holds the errors first, by line."""

    title = "The mail has mistakes"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        fields: dict[str, str] = {}
        for problem in self.problems:
            if problem.severity is Severity.ERROR:
                fields.setdefault(problem.part, str(problem))
        super().__init__(fields or "The mail cannot be compiled.")


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Errors before warnings, the source before subject and preheader, then by place, without repeats."""
    parts = {"source": 0, "subject": 1, "preheader": 2}
    return tuple(
        sorted(
            dict.fromkeys(problems),
            key=lambda p: (p.severity is Severity.WARNING, parts.get(p.part, 3), p.line, p.column),
        )
    )


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Only those that refuse the mail."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]
