"""Limits of one request: the size of its body, the time until its answer begins, and the number of requests at once.

The last limit is the end of the api itself.
"""

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from summit_api.problems import Kind, ProblemError
from summit_api.problems.problem import response


@dataclass(frozen=True)
class RequestLimits:
    body_bytes: int = 1_000_000
    """The largest body that is useful is a VM added by hand: a kilobyte, and its labels."""
    seconds: float = 30.0
    """Until the answer begins: longer than a query or a wait for a revision may take. A feed continues after it."""
    concurrent: int = 500
    """For all clients, until their answers begin. More would only wait longer for a connection to Postgres."""


class Limited:
    """ASGI middleware: a request that exceeds a limit is answered with a problem, and its work is cancelled."""

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = ExitStack()
        request = _Request(self._limits, receive, send, place)
        try:
            if self._under_way >= self._limits.concurrent:
                raise _busy()
            if request.declared_bytes(scope) > self._limits.body_bytes:
                raise _too_large(self._limits.body_bytes)
            self._under_way += 1
            with place:
                place.callback(self._leave)
                await request.run(self._app, scope)
        except ProblemError as problem:
            await response(scope["path"], problem)(scope, receive, send)
        except asyncio.CancelledError:  # uvicorn does this when it ends, and would answer 500
            if request.is_answered:
                raise
            await response(scope["path"], _stopping())(scope, receive, send)

    def _leave(self) -> None:
        self._under_way -= 1


class _Request:
    def __init__(self, limits: RequestLimits, receive: Receive, send: Send, place: ExitStack) -> None:
        self._limits = limits
        self._place = place
        """Given back when the answer begins: an open feed does not count as under way."""
        self._receive = receive
        self._send = send
        self._received = 0
        self._waits_for_client = False
        self.is_answered = False
        """Its answer has begun."""
        self._deadline: asyncio.Timeout = asyncio.timeout(limits.seconds)

    def declared_bytes(self, scope: Scope) -> int:
        with suppress(ValueError):
            return int(Headers(scope=scope).get("content-length", "0"))
        return 0

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the app answer. Raises ProblemError when the answer has not begun in time."""
        try:
            async with self._deadline:
                await app(scope, self.receive, self.send)
        except TimeoutError:
            if not self._deadline.expired():
                raise
            raise self._too_late() from None

    async def receive(self) -> Message:
        self._waits_for_client = True
        message = await self._receive()
        self._waits_for_client = False
        self._received += len(message.get("body", b""))
        if self._received > self._limits.body_bytes:
            # FastAPI takes any other error while it reads a body for a body that cannot be parsed
            raise HTTPException(413, _too_large(self._limits.body_bytes).detail)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_answered = True
            self._deadline.reschedule(None)
            self._place.close()
        await self._send(message)

    def _too_late(self) -> ProblemError:
        seconds = f"{self._limits.seconds:g} s"
        if self._waits_for_client:
            return ProblemError(Kind.REQUEST_TIMEOUT, f"the request did not arrive completely within {seconds}")
        return ProblemError(Kind.TIMEOUT, f"the answer did not begin within {seconds}; ask for less, or try again")


def _busy() -> ProblemError:
    return ProblemError(Kind.BUSY, "the api has as many requests under way as it can have; try again shortly")


def _stopping() -> ProblemError:
    detail = "the api ends, and had no answer yet: ask again, for a change with the same Idempotency-Key"
    return ProblemError(Kind.STOPPING, detail)


def _too_large(most: int) -> ProblemError:
    return ProblemError(Kind.CONTENT_TOO_LARGE, f"a body can have at most {most} bytes, and this one has more")
