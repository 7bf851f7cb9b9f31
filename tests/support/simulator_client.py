"""A plain HTTP client of a simulated cluster: what kubectl sends, without kubectl's opinions."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from summit_simulator import SimulatedCluster

VMS = "/apis/kubevirt.io/v1/virtualmachines"
VMIS = "/apis/kubevirt.io/v1/virtualmachineinstances"
PROD_VMS = "/apis/kubevirt.io/v1/namespaces/prod/virtualmachines"
WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


class Answer:
    """A response that was read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.code = response.status
        self.headers = response.headers
        self.body = body

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Watch:
    """An open watch, read line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def line(self) -> bytes:
        """The next line as it is; b"" at the end."""
        async with asyncio.timeout(5):
            return await self.response.content.readline()

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event's type and object."""
        event = json.loads(await self.line())
        return event["type"], event["object"]

    async def events(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        found = [await self.event() for _ in range(count)]
        return [(kind, obj["metadata"].get("name", "")) for kind, obj in found]


class Client:
    """Requests to one cluster, as the admin unless other headers are given."""

    def __init__(self, cluster: SimulatedCluster, session: aiohttp.ClientSession) -> None:
        self._cluster = cluster
        self._session = session

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """One request; a body is sent as JSON."""
        data = None if body is None else json.dumps(body)
        headers = self._headers() | {"Content-Type": "application/json"} | options.pop("headers", {})
        async with self._session.request(
            method, self._cluster.url + path, data=data, headers=headers, **options
        ) as response:
            return Answer(response, await response.read())

    async def get(self, path: str, **query: str) -> Answer:
        """GET with a query."""
        return await self.request("GET", path, params=query)

    @asynccontextmanager
    async def watch(self, path: str = VMS, **query: str) -> AsyncIterator[Watch]:
        """Open a watch."""
        params = {"watch": "1", **query}
        url = self._cluster.url + path
        async with self._session.get(url, params=params, headers=self._headers()) as response:
            yield Watch(response)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._cluster.token}"}


class Unanswered(aiohttp.ClientError):
    """The connection broke before an answer."""


async def once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp itself repeats a PUT or DELETE whose connection breaks, and so its effect."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Unanswered from error


@asynccontextmanager
async def client_of(cluster: SimulatedCluster) -> AsyncIterator[Client]:
    """A client that trusts the cluster's own CA, as strictly as Python 3.13 does."""
    trust: ssl.SSLContext | bool = True
    if cluster.authority is not None:
        trust = ssl.create_default_context(cadata=cluster.authority.certificate_pem.decode())
        trust.verify_flags |= ssl.VERIFY_X509_STRICT
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust), middlewares=(once,)) as session:
        yield Client(cluster, session)
