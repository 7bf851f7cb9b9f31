"""Messages of the live feed about operations, one after the other, whatever happens to the connection.

A connection that ends continues after the last message. When the api cannot continue without a gap, it sends `reset`:
then what was missed has to be read from the lists.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

import aiohttp
import msgspec

from summit_runtime.backoff import Backoff
from summit_standalone.remote.client import ApiClient, ApiError, Query

RESET = "reset"


class Message(NamedTuple):
    type: str
    """`reset` or, for a step of an operation, `operation:added` and `operation:updated`."""
    payload: Mapping[str, Any]


async def messages(
    client: ApiClient, position: str, query: Query, notify: Callable[[str], None]
) -> AsyncGenerator[Message]:
    """Every message of these topics and filters after `position`. `notify` gets a sentence when the api is away.

    Raises ApiError when the api refuses the feed, or is away for `lost_seconds`.
    """
    backoff, lost_since = Backoff(initial_seconds=0.2, max_seconds=5.0), None
    while True:
        try:
            async with client.feed([*query, ("since", position)]) as stream, aclosing(_events(stream)) as events:
                async for event in events:
                    backoff.reset()
                    lost_since = None
                    position = event.id or position
                    if message := event.message():
                        yield message
        except ApiError as error:
            now = time.monotonic()
            if not error.is_outage or (lost_since and now - lost_since > client.times.lost_seconds):
                raise
            if lost_since is None:
                lost_since = now
                notify(f"{error}; waiting for it")
        await asyncio.sleep(backoff.next_seconds())


class _Event(NamedTuple):
    id: str
    name: str
    """Messages with news have no name."""
    data: str

    def message(self) -> Message | None:
        if self.name or not self.data:
            return None
        content = msgspec.json.decode(self.data)
        return Message(content["type"], content["payload"])


async def _events(stream: aiohttp.StreamReader) -> AsyncGenerator[_Event]:
    """Server-sent events: fields until an empty line (WHATWG HTML, section 9.2.6). Each `data` of ours is one line."""
    fields: dict[str, str] = {}
    async for line in _lines(stream):
        if not line:
            if fields:
                yield _Event(fields.get("id", ""), fields.get("event", ""), fields.get("data", ""))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


async def _lines(stream: aiohttp.StreamReader) -> AsyncGenerator[str]:
    """A message may be longer than what `readline` of aiohttp takes."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode()
