"""Server-sent events over ASGI: chunks as they come, a sign of life each 15 s, and an end when the client goes.

Not Starlette's StreamingResponse, which notices a client that has gone at the next chunk only, nor FastAPI's
EventSourceResponse, which would make each message into text again for each client.
"""

import asyncio
from contextlib import aclosing

from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from summit_api.feed.subscription import Subscription
from summit_api.leniency import HEAD_ONLY
from summit_runtime.process import end

HEARTBEAT_SECONDS = 15.0
"""Below the idle timeouts of common proxies, the shortest of which are 30 s; and the HTML standard's advice."""

_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect messages
]


class EventStream(Response):
    """Send one subscription until it ends or the client goes."""

    media_type = "text/event-stream"

    def __init__(self, subscription: Subscription) -> None:
        super().__init__()
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if HEAD_ONLY in scope:
            await send(_END)
            return
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(gone)
            await end(sending)
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async with aclosing(self._subscription.chunks()) as chunks:
            following = asyncio.ensure_future(anext(chunks))
            try:
                while True:
                    await asyncio.wait({following}, timeout=HEARTBEAT_SECONDS)
                    if not following.done():
                        await send(_body(self._subscription.heartbeat()))
                        continue
                    if chunk := following.result():
                        await send(_body(chunk))
                    following = asyncio.ensure_future(anext(chunks))
            except StopAsyncIteration:
                await send(_END)
            finally:
                following.cancel()
                await asyncio.wait({following})


def _body(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


async def _gone(receive: Receive) -> None:
    """Return when the client has closed the connection; what else it sends means nothing."""
    while (await receive())["type"] != "http.disconnect":
        pass
