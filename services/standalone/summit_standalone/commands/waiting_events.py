"""How many events of the log the tables do not have yet, and since when: whether the projector follows."""

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nats.errors import Error as NatsError
from pydantic import SecretStr

from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.login import Login
from summit_runtime.nats.streams.unapplied import LATE_SECONDS, unapplied
from summit_standalone.commands.clusters import ANSWER_SECONDS
from summit_standalone.commands.subscribe import login_for


async def read_waiting(nats_url: str, applied: int, stream_created_at: datetime | None) -> Mapping[str, Any]:
    """Under `events` how many follow the applied revision, under `since` when the first of them was stored.

    Under `error` why the log cannot be read.
    """
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            bus.connected(SecretStr(nats_url), name="summit-status", login=_login(nats_url)) as client,
        ):
            events, since = await unapplied(client, applied, stream_created_at)
    except (NatsError, TimeoutError):
        return {"error": "NATS does not answer"}
    return {"events": events, "since": since and since.isoformat(timespec="seconds")}


def _login(nats_url: str) -> Login:
    """The files that the environment names are for the server that it names."""
    return login_for(nats_url if os.environ.get("NATS_URL") == nats_url else None)


def is_late(waiting: Mapping[str, Any], now: datetime) -> bool:
    """Whether the projector does not follow: it hangs, it waits for Postgres, or it has much to catch up with."""
    since = waiting.get("since")
    return since is not None and now - datetime.fromisoformat(since) > timedelta(seconds=LATE_SECONDS)


def as_text(waiting: Mapping[str, Any], now: datetime) -> list[str]:
    """A line if something is wrong."""
    if error := waiting.get("error"):
        return [f"log: {error}"]
    if not is_late(waiting, now):
        return []
    return [f"tables: {waiting['events']} events wait since {waiting['since']}; lists show the states before"]
