"""The api in this process over real tables, to which events are applied as the projector does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
from fastapi import FastAPI
from pydantic import SecretStr
from support.builders import uid_of
from support.published import CLUSTER, DATACENTER, messages, vm_event
from support.reader import as_reader

from summit_api import revisions
from summit_api.access.identify import Access
from summit_api.access.principal import Role
from summit_api.app import create_app
from summit_api.freshness import Freshness
from summit_api.http.protocol import ConnectionLimits
from summit_api.http.server import listen, serve
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.requests.dependencies import now
from summit_api.services import Services
from summit_api.settings import ApiTimes
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import Revision
from summit_models.event import Event, VmEvent, source_of
from summit_projector.project import project
from summit_projector.settings import TIMES
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.writer import TableWriter, open_writer
from summit_runtime.waiting import end

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
STREAM_CREATED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def placed_vm(
    name: str, *, namespace: str = "prod", cluster: str = CLUSTER, datacenter: str = DATACENTER, **state: Any
) -> VmEvent:
    """An event of a VM at any place, which is part of its id."""
    event = vm_event(name, **state)
    where = {"namespace": namespace, "cluster": cluster, "datacenter": datacenter}
    data = event.data.model_copy(update={"id": uid_of(cluster, namespace, name), **where})
    source = source_of(data.datacenter, data.cluster if data.managed else None)
    return event.model_copy(update={"source": source, "data": data})


def health(name: str = CLUSTER, **more: Any) -> ClusterHealth:
    """The heartbeat of a watcher at this moment, for a cluster that is synced unless `more` differs."""
    state = {"datacenter": DATACENTER, "state": ConnectionState.SYNCED, "since": NOW - timedelta(hours=1)}
    return ClusterHealth(**{"name": name, "last_contact": NOW, **state, **more})


class Stack:
    """Tables, and the api that reads them at the moment `now`."""

    def __init__(
        self, url: str, writer: TableWriter, http: httpx2.AsyncClient, freshness: Freshness, app: FastAPI
    ) -> None:
        self._url = url
        self._writer = writer
        self._checkpoint = Checkpoint(STREAM_CREATED_AT, Revision(0), None)
        self.http = http
        self.app = app
        self.freshness = freshness
        self.now = NOW

    async def apply(self, *events: Event) -> None:
        """Apply events as the projector does, each under the next stream sequence."""
        batch = project(messages(*events, start=self._checkpoint.revision + 1))
        assert not batch.dead_letters, batch.dead_letters
        self._checkpoint = await self._writer.commit(batch, self._checkpoint)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """The database itself, to compare it with the answers."""
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()

    def report(self, health: ClusterHealth) -> None:
        """Receive a watcher's heartbeat now."""
        self.freshness.note(health, self.now)

    async def replace_stream(self) -> None:
        """Replace the stream by an empty one, whose sequences begin at 1 again."""
        self._checkpoint = await self._writer.disown(self._checkpoint, self.now)

    async def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of an answer that must be a success."""
        answer = await self.http.get(path, params=parameters or None)
        assert answer.status_code == 200, answer.text
        return answer.json()


_FREE_APPS: list[FastAPI] = []


@contextmanager
def app_over(services: Services) -> Iterator[FastAPI]:
    """The application around these services. FastAPI takes 0.1 s to analyse its routes, so an app serves many tests."""
    app = _FREE_APPS.pop() if _FREE_APPS else create_app(services)
    app.state.services = services
    try:
        yield app
    finally:
        app.dependency_overrides.clear()
        _FREE_APPS.append(app)


@asynccontextmanager
async def served(
    app: FastAPI, limits: ConnectionLimits | None = None, before_end: Callable[[], None] = lambda: None
) -> AsyncIterator[str]:
    """The application at an address, as the process serves it."""
    stop, sock = asyncio.Event(), listen("127.0.0.1", 0)
    limits = limits or ConnectionLimits()
    serving = asyncio.create_task(serve(app, sock, stop, before_end=before_end, access_log=False, limits=limits))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def api_stack(
    database_url: str, access: Access | None = None, *, times: ApiTimes | None = None
) -> AsyncIterator[Stack]:
    """The api over empty tables."""
    async with (
        open_writer(SecretStr(database_url), TIMES) as writer,
        api_over(database_url, access, times=times) as (http, services, app),
    ):
        await writer.prepare()
        await writer.checkpoint(STREAM_CREATED_AT)
        stack = Stack(database_url, writer, http, services.freshness, app)
        services.freshness.is_connected = lambda: True
        app.dependency_overrides[now] = lambda: stack.now
        yield stack


@asynccontextmanager
async def api_over(
    database_url: str,
    access: Access | None = None,
    *,
    times: ApiTimes | None = None,
) -> AsyncIterator[tuple[httpx2.AsyncClient, Services, FastAPI]]:
    """The api over the database at this URL: a client of it, its services, and the app.

    Without `access` every client is an admin.
    """
    url = SecretStr(as_reader(database_url))
    read_models = ReadModels(url)
    services = Services.over(read_models, access or Access(anonymous=Role.ADMIN), times=times)
    following = asyncio.create_task(revisions.follow(url, services.revisions, services.times))
    try:
        with app_over(services) as app:
            async with asgi_client(app) as http:
                yield http, services, app
    finally:
        await end(following)
        await read_models.close()


def asgi_client(app: FastAPI) -> httpx2.AsyncClient:
    """A client that asks the application without a socket."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")
