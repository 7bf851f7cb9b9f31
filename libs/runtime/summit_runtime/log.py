"""Log lines: text for people on a terminal, one JSON object a line for machines; both on stderr.

The standard library's logging, since uvicorn, nats, kubernetes and SQLAlchemy log through it too.
"""

import logging
import sys
import time
from typing import Literal

import msgspec

from summit_runtime.printable import printable

LONGEST_LINE = 10_000
"""Characters: a message may quote what a server has answered."""

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class TextFormatter(logging.Formatter):
    """`2026-11-23 07:04:23.512Z INFO  watcher.cluster  text`, and the traceback of an unforeseen error below."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s  %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        record.message = printable(record.message, LONGEST_LINE)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """`{"ts", "level", "logger", "msg"}` and the members of the line's `extra`."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        line = {
            "ts": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": printable(record.getMessage(), LONGEST_LINE),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _RECORD_FIELDS}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(level: str, style: Literal["text", "json"]) -> None:
    """Send all log lines of this process to stderr. Libraries log from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("summit").setLevel(level)
    # nats-py logs each attempt to reconnect, with a traceback; `nats.bus` logs the outage once.
    logging.getLogger("nats").setLevel(logging.ERROR)
