"""Text that others wrote, in the log and in answers."""

import logging
import sys

import pytest

from summit_runtime.log import LONGEST_LINE, JsonFormatter, TextFormatter
from summit_runtime.printable import printable


def line(formatter: logging.Formatter, message: str, *arguments: object, exc_info: object = None) -> str:
    return formatter.format(logging.LogRecord("summit", logging.INFO, "", 0, message, arguments, exc_info))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice", "alice"),
        ("Åsa \u2603", "Åsa \u2603"),
        ("a\nb\r\x1b[31m\x00", "a\\nb\\r\\x1b[31m\\x00"),
        ("\ud800", "\\ud800"),
        ("\u202egnp\u2028", "\\u202egnp\\u2028"),
        ("x" * 11, "xxxxxxxxx…"),
    ],
)
def test_printable_text(text: str, shown: str) -> None:
    """Characters that would end a line, move the cursor, or cannot be encoded are escapes; others stay."""
    assert printable(text, 10 if "x" * 11 in text else 100) == shown
    printable(text, 100).encode()


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_log_line_is_one_line_whoever_wrote_its_parts(formatter: logging.Formatter) -> None:
    """A newline in a name forged a line of the log."""
    shown = line(formatter, "%s edited it", "oidc:eve\n2026-11-29 ERROR summit  forged \ud800")
    assert "\n" not in shown
    shown.encode()
    assert len(line(formatter, "%s", "x" * 1_000_000)) < LONGEST_LINE + 200


def test_traceback_keeps_its_lines() -> None:
    """It is ours."""
    try:
        int("x")
    except ValueError:
        assert line(TextFormatter(), "it failed", exc_info=sys.exc_info()).count("\n") > 2
