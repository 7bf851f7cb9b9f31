"""Whether the embedded NATS stores what it gets: a server that runs may have stopped storing.

After a failed write, as on a full disk, a stream refuses every further write until the server restarts, also when there
is room again (nats-server 2.15, filestore.go, `setWriteErr`). The server's own health check names such a stream.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from nats.errors import Error as NatsError

from summit_runtime.condition import Condition
from summit_runtime.nats.connection import bus
from summit_runtime.waiting import end
from summit_standalone.embedded.child import Child
from summit_standalone.embedded.server_process import free_bytes

logger = logging.getLogger("summit.standalone")

_HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"
_SIGN = "write error"
"""In the health of a stream that refuses to store. Other troubles do not end by a restart."""


@dataclass(frozen=True, kw_only=True)
class Storing:
    """When the server is looked at, and restarted."""

    look_seconds: float = 5.0
    answer_seconds: float = 2.0
    patience_seconds: float = 60.0
    """How long it may fail to store while there is room."""
    room_bytes: int = 64 * 1024 * 1024
    """Eight blocks of a stream: with less the next write may fail again."""


STORING = Storing()


@asynccontextmanager
async def kept_storing(
    server: Child, system_url: str, directory: Path, rules: Storing = STORING
) -> AsyncIterator[None]:
    """While the block runs, restart the server when it does not store though there is room in `directory`.

    `system_url` is its address for a user of the system account.
    """
    watching = asyncio.create_task(_watch(server, system_url, directory, rules))
    try:
        yield
    finally:
        await end(watching)


async def _watch(server: Child, system_url: str, directory: Path, rules: Storing) -> None:
    trouble = Condition(logger)
    stuck_since: float | None = None
    while True:
        await asyncio.sleep(rules.look_seconds)
        error, now = await _write_error(system_url, rules.answer_seconds), time.monotonic()
        if error is None:
            continue
        has_room = free_bytes(directory) >= rules.room_bytes
        stuck_since = (stuck_since or now) if error and has_room else None
        if not error:
            trouble.ends("NATS stores events again")
        elif not has_room:
            full = "NATS does not store events (%s): make room on the disk of %s; until then changes wait"
            trouble.holds(full, error, directory, cause="full")
        elif stuck_since is not None and now - stuck_since >= rules.patience_seconds:
            trouble.holds("NATS does not store events (%s) though its disk has room: it is restarted", error, cause=now)
            await server.restart()
            stuck_since = None


async def _write_error(system_url: str, answer_seconds: float) -> str | None:
    """Why a stream refuses to store, empty if none does; None if the server does not answer (it starts or ends)."""
    client = bus.EventClient()
    try:
        async with asyncio.timeout(2 * answer_seconds):
            await client.dial(system_url, allow_reconnect=False, max_reconnect_attempts=1, error_cb=_ignore)
            answer = await client.request(_HEALTH, timeout=answer_seconds)
    except (OSError, NatsError, TimeoutError):
        return None
    finally:
        await bus.close(client)
    error = msgspec.json.decode(answer.data, type=_Health).data.error
    return error if _SIGN in error else ""


class _Status(msgspec.Struct):
    error: str = ""


class _Health(msgspec.Struct):
    data: _Status


async def _ignore(_: Exception) -> None:
    """The next look is another try."""
