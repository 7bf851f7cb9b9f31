"""The log lines of a child, passed on to our stderr under its name."""

import asyncio
import os
import sys

CHUNK_BYTES = 64 * 1024
LONGEST_LINE_BYTES = 1024 * 1024
"""A longer line is cut: a child must not fill our memory by never ending one."""
NAME_WIDTH = 9
"""The length of `simulator` and `projector`, so that the lines of all children are aligned."""


async def relay(stream: asyncio.StreamReader, name: str) -> None:
    """Pass lines on until the child closes its end. A stderr without a reader stops nothing."""
    # Lines for machines stay as they are: they carry the name of their logger.
    prefix = b"" if os.environ.get("LOG_FORMAT") == "json" else f"{name:<{NAME_WIDTH}} | ".encode()
    rest = b""
    while chunk := await stream.read(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        _write(prefix, lines)
        if len(rest) > LONGEST_LINE_BYTES:
            _write(prefix, [rest])
            rest = b""
    if rest:
        _write(prefix, [rest])


def _write(prefix: bytes, lines: list[bytes]) -> None:
    try:
        sys.stderr.write(b"".join(prefix + line + b"\n" for line in lines).decode(errors="replace"))
        sys.stderr.flush()
    except OSError:  # `summit-connect … 2>&1 | head`: the reader is gone, the services go on
        return
