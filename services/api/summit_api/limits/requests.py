"""What one request may take: the size of its body, the time until its answer begins, and a place among the others."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from summit_api.problems import Kind, ProblemError
from summit_api.problems.problem import response


@dataclass(frozen=True)
class RequestLimits:
    body_bytes: int = 1_000_000
    """The largest that anybody has a reason to send is a VM made by hand: a kilobyte, and its labels."""
    seconds: float = 30.0
    """Until the answer begins: more than a query may take, and a wait for a revision. A feed's goes on."""
    concurrent: int = 500
    """Of all clients, until their answers begin. More wait for a connection to Postgres longer than they would here."""


class Limited:
    """ASGI middleware: a request that is over a limit is answered with a problem, and its work is ended."""

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(self._limits, receive, send, begun=self._leave)
        try:
            if self._under_way >= self._limits.concurrent:
                raise _busy()
            if request.declared_bytes(scope) > self._limits.body_bytes:
                raise _too_large(self._limits.body_bytes)
            self._under_way += 1
            try:
                await request.run(self._app, scope)
            finally:
                request.end()
        except ProblemError as problem:
            await response(scope["path"], problem)(scope, receive, send)

    def _leave(self) -> None:
        self._under_way -= 1


class _Request:
    """One request, and what of it has been seen."""

    def __init__(self, limits: RequestLimits, receive: Receive, send: Send, *, begun: Callable[[], None]) -> None:
        self._limits = limits
        self._begun: Callable[[], None] | None = begun
        """Called once, when the answer begins or can no longer: a feed that is open keeps nobody from asking."""
        self._receive = receive
        self._send = send
        self._received = 0
        self._waits_for_client = False
        self._deadline: asyncio.Timeout = asyncio.timeout(limits.seconds)

    def declared_bytes(self, scope: Scope) -> int:
        with suppress(ValueError):
            return int(Headers(scope=scope).get("content-length", "0"))
        return 0

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the app answer. Raises ProblemError when it has not begun to in time."""
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
            self._deadline.reschedule(None)
            self.end()
        await self._send(message)

    def end(self) -> None:
        """Give the place among the others back."""
        begun, self._begun = self._begun, None
        if begun:
            begun()

    def _too_late(self) -> ProblemError:
        seconds = f"{self._limits.seconds:g} s"
        if self._waits_for_client:
            return ProblemError(Kind.REQUEST_TIMEOUT, f"the request did not arrive completely within {seconds}")
        return ProblemError(Kind.TIMEOUT, f"the answer did not begin within {seconds}; ask for less, or try again")


def _busy() -> ProblemError:
    return ProblemError(Kind.BUSY, "the api has as many requests under way as it can have; try again shortly")


def _too_large(most: int) -> ProblemError:
    return ProblemError(Kind.CONTENT_TOO_LARGE, f"a body can have at most {most} bytes, and this one has more")
