"""The answer of /metrics/inventory, sent while it is read: neither this process nor Postgres holds all of it."""

import asyncio
import logging
from contextlib import aclosing

from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from summit_api.access.principal import Principal
from summit_api.http.leniency import HEAD_ONLY
from summit_api.query.inventory import exposition
from summit_api.query.transaction.errors import QueryError
from summit_api.services import Services

logger = logging.getLogger("summit.api")

SCRAPE_SECONDS = 60.0
"""Above the scrape_timeout of any Prometheus. A client that takes longer would hold a transaction open."""

_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Scrape(Response):
    """The VMs that a principal may see. `client` is who waits for its turn."""

    def __init__(self, services: Services, principal: Principal, client: str) -> None:
        super().__init__()
        self._services = services
        self._principal = principal
        self._client = client

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if HEAD_ONLY in scope:
            await send(_begin())
            await send(_body(b"", more=False))
            return
        try:
            async with self._services.scrapes.take(self._client), asyncio.timeout(SCRAPE_SECONDS):
                await self._send(send)
        except TimeoutError:
            # Without its end the answer is broken, and Prometheus keeps nothing of it.
            logger.warning("a scrape of /metrics/inventory took more than %g s and is ended", SCRAPE_SECONDS)

    async def _send(self, send: Send) -> None:
        """Answers an error before the first piece as a problem; after it the connection ends without an end."""
        services, begun = self._services, False
        try:
            async with (
                services.read_models.transaction() as transaction,
                aclosing(exposition(transaction, self._principal.scope, services.inventory)) as pieces,
            ):
                async for piece in pieces:
                    if not begun:
                        await send(_begin())
                        begun = True
                    await send(_body(piece))
        except QueryError:
            if not begun:
                raise
        else:
            await send(_body(b"", more=False))


# Middleware changes messages in place, so each is new.


def _begin() -> Message:
    headers = [(b"content-type", _CONTENT_TYPE), (b"cache-control", b"no-store")]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _body(piece: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}
