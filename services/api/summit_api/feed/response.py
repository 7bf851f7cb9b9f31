"""Server-sent events over ASGI: chunks as they come, a heartbeat each 15 s, and an end when the client disconnects.

Starlette's StreamingResponse notices a disconnected client only at the next chunk, and FastAPI's EventSourceResponse
would encode each message again for each client.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from summit_api.access.identify import Access
from summit_api.access.principal import Principal
from summit_api.feed.subscription import Subscription
from summit_api.http.leniency import HEAD_ONLY
from summit_api.metrics import FEED_CLIENTS
from summit_api.problems import ProblemError
from summit_api.settings import ApiTimes
from summit_runtime.waiting import end

_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect messages
]


class EventStream(Response):
    """Sends one subscription until it ends, the client disconnects, or `withdrawn` returns."""

    media_type = "text/event-stream"

    def __init__(
        self, subscription: Subscription, withdrawn: Callable[[], Coroutine[Any, Any, None]], heartbeat_seconds: float
    ) -> None:
        super().__init__()
        self._heartbeat_seconds = heartbeat_seconds
        self._subscription = subscription
        self._withdrawn = withdrawn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if HEAD_ONLY not in scope:
            with FEED_CLIENTS.track_inprogress():
                await self._follow(receive, send)
        await send(_END)

    async def _follow(self, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        others = [asyncio.create_task(_disconnected(receive)), asyncio.create_task(self._withdrawn())]
        try:
            await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, *others):
                await end(task)
        for task in (sending, *others):
            if not task.cancelled():
                task.result()

    async def _send(self, send: Send) -> None:
        """Send chunks, and a heartbeat when the client has received nothing for long, however busy the log is."""
        async with aclosing(self._subscription.chunks()) as chunks:
            following = asyncio.ensure_future(anext(chunks))
            silent_until = time.monotonic() + self._heartbeat_seconds
            try:
                while True:
                    done, _ = await asyncio.wait({following}, timeout=max(0.0, silent_until - time.monotonic()))
                    chunk = following.result() if done else b""
                    if not chunk and time.monotonic() >= silent_until:
                        chunk = self._subscription.heartbeat()
                    if chunk:
                        await send(_body(chunk))
                        silent_until = time.monotonic() + self._heartbeat_seconds
                    if done:
                        following = asyncio.ensure_future(anext(chunks))
            except StopAsyncIteration:
                return
            finally:
                following.cancel()
                await asyncio.wait({following})


def _body(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


async def _disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection; anything else it sends has no meaning."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def withdrawn(
    access: Access, principal: Principal, headers: Mapping[str, str], times: ApiTimes, *, by_ticket: bool
) -> None:
    """Return when the sender of these headers no longer is the principal that was admitted."""
    ticket_ends = time.monotonic() + times.ticket_feed_seconds
    while True:
        await asyncio.sleep(times.admission_seconds)
        now = datetime.now(UTC)
        if principal.until and principal.until <= now:
            return
        if by_ticket:
            if time.monotonic() >= ticket_ends:
                return
        elif not await _is_still(access, principal, headers, now):
            return


async def _is_still(access: Access, principal: Principal, headers: Mapping[str, str], now: datetime) -> bool:
    try:
        now_known = await access.identify(headers, now)
    except ProblemError as problem:
        return problem.status not in (401, 403)  # else the issuer is away, which withdraws nothing
    return (now_known.role, now_known.scope) == (principal.role, principal.scope)
