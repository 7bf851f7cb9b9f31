"""Requests to the api. A request that acts is repeated after a lost answer, under one Idempotency-Key: it acts once."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import aiohttp

from summit_runtime.backoff import Backoff
from summit_runtime.printable import printable
from summit_standalone.errors import StandaloneError
from summit_standalone.remote.address import Api

Json = Mapping[str, Any]
Query = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ClientTimes:
    """How long the api may take, in seconds."""

    connect_seconds: float = 10.0
    answer_seconds: float = 40.0
    """More than the 30 s after which the api itself gives up."""
    repeat_seconds: float = 20.0
    """For so long a request is repeated: the restart of an api takes a few seconds."""
    silence_seconds: float = 45.0
    """Of a feed: three heartbeats."""
    lost_seconds: float = 120.0
    """For so long a feed is opened again and again before the command gives up."""


TIMES = ClientTimes()

_AGAIN = frozenset({429, 502, 503, 504})
"""Too many requests, or a server behind the address that is away for a moment."""
_NOT_WATCHED = "/docs#cluster-not-watched"
"""A 503 that lasts: nobody has watched the cluster for 90 s."""
_LONGEST = 1000
"""Characters of an answer that are shown."""


class ApiError(StandaloneError):
    """The api has refused the request, or does not answer."""

    def __init__(self, message: str, *, status: int | None = None, problem: Json | None = None) -> None:
        super().__init__(message)
        self.status = status
        """None if there was no answer."""
        self.problem = problem or {}

    @property
    def is_outage(self) -> bool:
        """Whether the same request may succeed soon."""
        return self.status is None or (self.status in _AGAIN and self.problem.get("type") != _NOT_WATCHED)


class Answer(NamedTuple):
    body: Any
    position: str
    """`since` of a feed that continues after this answer; empty where the answer has none."""


class ApiClient:
    """One api. Every method raises ApiError with a sentence for people."""

    def __init__(self, api: Api, times: ClientTimes = TIMES) -> None:
        self.api = api
        self.times = times
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Accept": "application/json"}
        if self.api.token:
            headers["Authorization"] = f"Bearer {self.api.token}"
        limits = aiohttp.ClientTimeout(total=self.times.answer_seconds, sock_connect=self.times.connect_seconds)
        self._session = aiohttp.ClientSession(headers=headers, timeout=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str, query: Query = ()) -> Answer:
        async with self._request("GET", path, query) as answer:
            return Answer(await _json(answer), answer.headers.get("Summit-Position", ""))

    async def send(self, method: str, path: str, query: Query = (), *, body: Json | None = None, key: str = "") -> Any:
        """Send a request that acts, and return the body of its answer.

        The last failure is raised when none of the attempts in `repeat_seconds` had an answer that counts. If it has no
        status, the api may have received the request.
        """
        backoff, deadline = Backoff(initial_seconds=0.2, max_seconds=4.0), time.monotonic() + self.times.repeat_seconds
        headers = {"Idempotency-Key": key} if key else {}
        while True:
            try:
                async with self._request(method, path, query, json=body, headers=headers) as answer:
                    return await _json(answer)
            except ApiError as error:
                delay = backoff.next_seconds(at_least=float(error.problem.get("retryAfter", 0)))
                if not error.is_outage or time.monotonic() + delay > deadline:
                    raise
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def feed(self, query: Query) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of the live feed."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self.times.connect_seconds, sock_read=self.times.silence_seconds
        )
        async with self._request("GET", "/api/v1/events", query, timeout=limits) as answer:
            yield answer.content

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, query: Query, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session  # noqa: S101  entered
        try:
            async with self._session.request(
                method, f"{self.api.url}{path}", params=query, allow_redirects=False, **options
            ) as answer:
                if not answer.ok or answer.status in range(300, 400):
                    raise await self._refused(answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(f"the api at {self.api.url} does not answer: {_reason(error)}") from error

    async def _refused(self, answer: aiohttp.ClientResponse) -> ApiError:
        problem = await _problem(answer)
        retry_after = answer.headers.get("Retry-After", "")
        if retry_after.isdigit():
            problem = {**problem, "retryAfter": int(retry_after)}
        status, detail = answer.status, problem.get("detail")
        if not isinstance(detail, str):
            text = f"{self.api.url} answers {status} {printable(answer.reason or '', 100)}: it may not be our api"
        elif status == 401:
            text = f"the api at {self.api.url} refuses the request: {detail}; set SUMMIT_TOKEN or --token-file"
        else:
            text = printable(detail, _LONGEST)
        return ApiError(text, status=status, problem=problem)


async def _problem(answer: aiohttp.ClientResponse) -> Json:
    """The problem in the answer; empty if it is none, as that of a proxy."""
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def _json(answer: aiohttp.ClientResponse) -> Any:
    """The body. Raises ValueError if it is no JSON."""
    return await answer.json(content_type=None)


def _reason(error: Exception) -> str:
    """The system's message where there is one: aiohttp's repeats the address."""
    match error:
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno or 0
            return os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
        case TimeoutError():
            return "not in time"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "it closed the connection"
        case ValueError() if not isinstance(error, aiohttp.ClientError):
            return "its answer is no JSON"
    return str(error) or type(error).__name__
