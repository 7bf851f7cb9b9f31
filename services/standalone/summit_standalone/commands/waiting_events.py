"""How many events of the log the tables do not have yet, and since when: whether the projector follows.

A projector that hangs is a process that runs, and lists that no longer change look like a quiet night.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from summit_models.subject import STREAM
from summit_runtime.nats import bus
from summit_runtime.nats.stream import stream_state
from summit_standalone.commands.clusters import ANSWER_SECONDS

LATE_AFTER = timedelta(seconds=30)
"""An event that waits for longer is not applied: it takes a second, and a projector that has just started some."""


async def read_waiting(nats_url: str, applied: int) -> Mapping[str, Any]:
    """Under `events` how many follow the applied revision, under `since` when the first of them was stored.

    Under `error` why the log cannot be read.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS), bus.connected(SecretStr(nats_url), name="summit-status") as client:
            events = max(0, (await stream_state(client)).last_sequence - applied)
            since = await _stored_at(client, applied + 1) if events else None
    except (NatsError, TimeoutError):
        return {"error": "NATS does not answer"}
    return {"events": events, "since": since and since.astimezone(UTC).isoformat(timespec="seconds")}


async def _stored_at(client: Client, revision: int) -> datetime | None:
    """None for an event that the log no longer has."""
    try:
        return (await client.jetstream().get_msg(STREAM, revision)).time
    except NotFoundError:
        return None


def is_late(waiting: Mapping[str, Any], now: datetime) -> bool:
    """Whether the projector does not follow: it hangs, it waits for Postgres, or it has much to catch up with."""
    since = waiting.get("since")
    return since is not None and now - datetime.fromisoformat(since) > LATE_AFTER


def as_text(waiting: Mapping[str, Any], now: datetime) -> list[str]:
    """A line if something is wrong."""
    if error := waiting.get("error"):
        return [f"log: {error}"]
    if not is_late(waiting, now):
        return []
    return [f"tables: {waiting['events']} events wait since {waiting['since']}; lists show the states before"]
