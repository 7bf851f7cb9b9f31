"""A projector at work on real servers: run it, publish to it, and look at what it made."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import SecretStr
from support.roles import as_role
from support.waiting import until

from summit_models.event import Event
from summit_models.subject import STREAM, ingest, subject_of
from summit_projector.projector import serve
from summit_projector.settings import TIMES, ProjectorSettings, ProjectorTimes
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.publishing.append import NotStoredError, store
from summit_runtime.nats.rights import Role
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.settings import ProcessSettings

ANSWER_SECONDS = 2.0


class Readings:
    """Looks at the database as the api would, over a connection of its own each time."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def fetch(self, sql: str) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(self._url)
        try:
            return [dict(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def revision(self) -> int:
        """The checkpoint; -1 while there is no table of it."""
        away = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)
        with contextlib.suppress(asyncpg.UndefinedTableError, *away):
            for row in await self.fetch("SELECT revision FROM checkpoint"):
                return int(row["revision"])
        return -1

    async def applied(self, revision: int) -> None:
        await until(self.revision, lambda now: now == revision)


def projector_settings(nats_url: str, database_url: str, **more: Any) -> ProjectorSettings:
    url = SecretStr(as_role(nats_url, Role.PROJECTOR))
    return ProjectorSettings(NATS_URL=url, DATABASE_URL=SecretStr(database_url), **more)


@asynccontextmanager
async def projector(
    settings: ProjectorSettings, times: ProjectorTimes = TIMES, clock: Clock | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a projector for the length of the block, and stop it as SIGTERM would."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop, times, clock))
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await task


@asynccontextmanager
async def publisher(nats_url: str) -> AsyncIterator[bus.EventClient]:
    """A client of a server whose stream exists."""
    async with bus.connected(SecretStr(nats_url), name="test") as client:
        await ensure_stream(client, ProcessSettings().nats_storage)
        yield client


@asynccontextmanager
async def api_client(nats_url: str) -> AsyncIterator[bus.EventClient]:
    """The connection of an api, to a server whose stream exists."""
    async with publisher(nats_url), bus.connected(SecretStr(as_role(nats_url, Role.API)), name="api") as client:
        yield client


async def publish(client: Client, *events: Event) -> int:
    """Publish in order, each stored before the next, and give the sequence of the last."""
    sequence = 0
    for event in events:
        sequence = await put(client, subject_of(event), event.model_dump_json().encode())
    return sequence


async def delete_log(client: Client) -> None:
    """Delete the stream, however often NATS loses its leader meanwhile."""

    async def deleted() -> bool:
        try:
            await client.jetstream(timeout=ANSWER_SECONDS).delete_stream(STREAM)
        except NotFoundError:
            return True
        except (NatsError, TimeoutError):
            return False
        return True

    await until(deleted)


async def put(client: Client, subject: str, body: bytes) -> int:
    """Store one message under its public subject, once, however often NATS loses its leader meanwhile."""
    headers = {"Nats-Msg-Id": uuid4().hex}

    async def stored() -> int:
        with contextlib.suppress(NotStoredError):
            return (await store(client, ingest(subject), body, headers, ANSWER_SECONDS)).seq
        return 0

    return await until(stored)
