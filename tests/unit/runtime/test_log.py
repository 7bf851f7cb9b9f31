"""Log lines for people and for machines."""

import json
import logging

from summit_runtime.log import JsonFormatter, TextFormatter


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "summit.watcher", "levelname": "WARNING", "msg": "stream %s lost", "args": ("x",), "created": 0.25}
    )
    vars(made).update(msecs=250.0, **extra)
    return made


def test_text_lines_have_time_level_logger_and_message() -> None:
    """Times are UTC with milliseconds, so that lines of several machines can be laid side by side."""
    assert TextFormatter().format(record()) == "1970-01-01 00:00:00.250Z WARNING summit.watcher  stream x lost"


def test_json_lines_have_the_members_of_extra() -> None:
    """The text is for people, `extra` for machines."""
    line = json.loads(JsonFormatter().format(record(cluster="vulcan", retry_in=1.5)))
    assert line == {
        "ts": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "summit.watcher",
        "msg": "stream x lost",
        "cluster": "vulcan",
        "retry_in": 1.5,
    }
