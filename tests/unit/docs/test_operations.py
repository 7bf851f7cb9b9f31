"""docs/operations.md quotes only log lines that the services write."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT

TABLES = (ROOT / "docs" / "operations.md").read_text().partition("## What breaks")[2].partition("\n## ")[0]
FOREIGN = {
    "certificate has expired",
    "insufficient resources",
    "maximum bytes exceeded",
    "could not extend file",
    "No space left on device",
    "canceling statement due to lock timeout",
}
"""Texts of OpenSSL, NATS and Postgres."""
_VALUE = re.compile(r"…|'|CN=\S*|\S+\[\d\]\S*|\d+(?:\.\d+)?|\b[xy]\b|: |; |, |[()]|\bcannot (?:list|watch)\b|%\S")
"""The values between the texts of the code, and the places where one text is put into another."""


def logged() -> str:
    """All texts in the code of the services, each on a line, with … for the values."""
    return "\n".join(
        text for folder in ("services", "libs") for file in (ROOT / folder).rglob("*.py") for text in texts(file)
    )


def texts(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.JoinedStr(values=values):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values)
            case ast.Constant(value=str(text)):
                yield re.sub(r"%[-.\d]*[a-z]", "…", text)


def quoted() -> Iterator[str]:
    """The log lines that the tables quote, in the pieces that the code has."""
    for row in re.findall(r"^\| .* \|$", TABLES, re.MULTILINE):
        for line in re.findall(r"`([^`]+)`", row.split(" | ")[1]):
            yield from (piece for part in _VALUE.split(line) if len(piece := part.strip()) > 3)


def test_each_line_of_the_log_that_is_quoted_is_one_that_is_logged() -> None:
    """A search for the line finds it in the code."""
    known, pieces = logged(), set(quoted())
    assert len(pieces) > 50
    assert sorted(piece for piece in pieces - FOREIGN if piece not in known) == []
