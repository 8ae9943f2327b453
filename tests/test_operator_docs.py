"""The operator's page says what the settings are; rerun with TCMA_WRITE_DOCS=1 to write its table anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic.fields import FieldInfo

from tcma.config import REPO, Settings

PAGE = REPO / "docs" / "operator.md"
ENV = REPO / "deploy" / "env.example"


def row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True) or None if field.default_factory else field.default
    if isinstance(default, Path):
        shown = f"`{default.relative_to(REPO)}` in the source"
    else:
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    return f"| `TCMA_{name.upper()}` | {shown} | {field.description} |"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    table = "\n".join(row(name, field) for name, field in Settings.model_fields.items())
    wanted = f"<!-- settings -->\n| setting | default | what it does |\n|---|---|---|\n{table}\n<!-- /settings -->"
    text = PAGE.read_text()
    found = re.search(r"<!-- settings -->.*<!-- /settings -->", text, re.DOTALL)
    assert found
    if os.environ.get("TCMA_WRITE_DOCS"):
        PAGE.write_text(text.replace(found.group(0), wanted))
    assert found.group(0) == wanted


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_example_names_only_settings_that_there_are() -> None:
    named = set(re.findall(r"^(TCMA_[A-Z_]+)=", ENV.read_text(), re.MULTILINE))
    known = {f"TCMA_{name.upper()}" for name in Settings.model_fields}
    assert named <= known
    assert {"TCMA_SECRET_KEY", "TCMA_SUPPRESSION_KEY", "TCMA_DATABASE_URL"} <= named


def test_files_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`(deploy/[A-Za-z0-9_./@-]+)`", PAGE.read_text()))
    assert named
    assert [name for name in named if not (REPO / name).exists()] == []
