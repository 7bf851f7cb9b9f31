"""The live feed over real servers: a projector fills tables, an api serves them, and clients keep what they receive."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from httpx2 import EventSource, ServerSentEvent
from nats.aio.client import Client
from pydantic import SecretStr
from support.api_stack import app_over, served
from support.projecting import api_client, projector, projector_settings, publish, publisher
from support.reader import as_reader
from support.waiting import until

from summit_api import freshness, lag, revisions
from summit_api.access.identify import Access
from summit_api.access.principal import Role
from summit_api.feed.feed import Feed, FeedLimits
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.services import Services
from summit_api.settings import ApiTimes
from summit_models.event import Event
from summit_projector.settings import TIMES, ProjectorTimes
from summit_runtime.waiting import end

DEADLINE_SECONDS = 30.0
MAX_MESSAGE_BYTES = 10_000_000


def ageless(vm: dict[str, Any]) -> dict[str, Any]:
    """A VM without what depends on the moment at which it is shown."""
    return {name: value for name, value in vm.items() if name != "age"}


class Listener:
    """One client of the feed, and everything that it received."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self.ended = False
        self.failure: httpx2.HTTPError | None = None
        """Why the last connection ended, unless properly."""

    async def read(self, response: httpx2.Response) -> None:
        """Receive until the server ends the feed."""
        self.failure = None
        try:
            async for event in EventSource(response, max_event_size=MAX_MESSAGE_BYTES):
                self.events.append(event)
        except httpx2.HTTPError as error:
            self.failure = error
        finally:
            self.ended = True

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages without a name, for which a page's `onmessage` is called."""
        return [json.loads(event.data) for event in self.events if event.event == "message"]

    @property
    def last_id(self) -> str:
        """The id with which a browser would reconnect."""
        return next((event.id for event in reversed(self.events) if event.id), "")

    @property
    def last_revision(self) -> int:
        """The revision up to which it has everything."""
        return int(self.last_id.partition("-")[0] or 0)

    def payloads(self, *types: str) -> list[dict[str, Any]]:
        """Payloads of the messages of these types, in order."""
        return [message["payload"] for message in self.messages if message["type"] in types]

    def changes(self) -> list[tuple[str, str]]:
        """Type and VM of each message about a VM, in order."""
        return [
            (message["type"], message["payload"].get("vmName") or message["payload"]["vm"]["name"])
            for message in self.messages
            if message["type"].startswith("vm:")
        ]

    def known(self) -> dict[str, Any]:
        """The VMs that a client knows which began with a snapshot, by id, without their age.

        Asserts that no known VM is added and no unknown VM is changed or removed: that would be a repetition or a gap.
        """
        known: dict[str, Any] = {}
        for message in self.messages:
            payload = message["payload"]
            match message["type"]:
                case "vm:added":
                    assert payload["vm"]["id"] not in known
                    known[payload["vm"]["id"]] = ageless(payload["vm"])
                case "vm:updated":
                    assert payload["vm"]["id"] in known
                    known[payload["vm"]["id"]] = ageless(payload["vm"])
                case "vm:removed":
                    del known[payload["vmId"]]
                case "reset":
                    known = {}
        return known

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the received messages meet the condition; the failure shows the last of them."""
        await until(condition, shown=lambda: self.events[-20:])

    async def joined(self) -> None:
        """Wait until the client can no longer miss a change."""
        await self.until(lambda: any(event.event == "bookmark" for event in self.events))


@asynccontextmanager
async def listening(
    http: httpx2.AsyncClient, *, last_event_id: str = "", token: str = "", **parameters: Any
) -> AsyncIterator[Listener]:
    """Follow the feed while the block runs."""
    listener = Listener()
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    async with http.stream("GET", "/api/v1/events", params=parameters, headers=headers, timeout=None) as response:
        assert response.status_code == 200, await response.aread()
        reading = asyncio.create_task(listener.read(response))
        try:
            yield listener
        finally:
            await end(reading)


class FeedStack:
    """The servers of one test, and ways to make things happen there."""

    def __init__(self, client: Client, http: httpx2.AsyncClient) -> None:
        self.client = client
        self.http = http

    async def publish(self, *events: Event) -> int:
        """As a watcher would; the sequence of the last event."""
        return await publish(self.client, *events)

    async def get(self, path: str, **parameters: Any) -> Any:
        answer = await self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def applied(self, *events: Event) -> int:
        """Publish, and wait until lists show it."""
        revision = await self.publish(*events)
        await until(lambda: self.http.get("/api/v1/vms", params={"revision": revision}), lambda a: a.status_code == 200)
        return revision

    async def position(self, revision: int) -> str:
        """Where a feed continues after a revision of the present log."""
        _, _, era = (await self.get("/api/v1/vms"))["position"].partition("-")
        return f"{revision}-{era}"


@asynccontextmanager
async def feed_stack(
    nats_url: str, database_url: str, *, projector_times: ProjectorTimes = TIMES, **options: Any
) -> AsyncIterator[FeedStack]:
    """A projector, and an api at a real address whose feed has begun; `options` are those of `api`."""
    async with (
        publisher(nats_url) as client,
        projector(projector_settings(nats_url, database_url), projector_times),
        api(nats_url, database_url, **options) as (http, feed),
    ):
        await begun(feed)
        yield FeedStack(client, http)


async def begun(feed: Feed) -> None:
    """Wait until the feed has begun."""

    async def turn() -> int:
        return feed.hub.turn

    await until(turn)


@asynccontextmanager
async def api(
    nats_url: str,
    database_url: str,
    *,
    access: Access | None = None,
    times: ApiTimes | None = None,
    limits: FeedLimits | None = None,
) -> AsyncIterator[tuple[httpx2.AsyncClient, Feed]]:
    """An api in this process, with sockets; ended as SIGTERM would. All are admins unless `access` is given."""
    url = SecretStr(as_reader(database_url))
    read_models = ReadModels(url)
    access = access or Access(anonymous=Role.ADMIN)
    services = Services.over(read_models, access, times=times, feed_limits=limits)
    feed, applied = services.feed, services.revisions
    async with api_client(nats_url) as client:
        services.log.client = client
        tasks = [
            asyncio.create_task(work)
            for work in (
                feed.follow(),
                feed.watch_clusters(),
                revisions.follow(url, applied, services.times),
                freshness.follow(client, services.freshness),
                lag.follow(client, read_models, services.freshness.lag, services.times),
            )
        ]
        try:
            pool = httpx2.Limits(max_connections=None)
            with app_over(services) as app:
                async with (
                    served(app, before_end=feed.hub.close) as base_url,
                    httpx2.AsyncClient(base_url=base_url, timeout=DEADLINE_SECONDS, limits=pool) as http,
                ):
                    yield http, feed
        finally:
            for task in tasks:
                await end(task)
            await read_models.close()
