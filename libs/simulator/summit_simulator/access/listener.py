"""The cluster's socket: listening, refusing, and breaking what is connected."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Open watches are ended before; what is left then are handlers that a fault keeps waiting.
SHUTDOWN_SECONDS = 0.2


class Listener:
    """One port, which can be closed and opened again under the same number."""

    def __init__(self, handler: Handler, *, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.host = host
        self.port = port  # 0 until opened: then the port that the system chose
        self.tls = tls
        self._handler = handler
        self._http: web.Server | None = None  # wants a running loop
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. Does nothing if it listens already."""
        if self._http is None:
            # A client that hangs up cancels its handler, or idle watches would pile up until their next bookmark.
            self._http = web.Server(self._handler, handler_cancellation=True, access_log=None)
        if self._server is None:
            loop = asyncio.get_running_loop()
            # A storm of reconnects after an outage must not be dropped by a short backlog.
            self._server = await loop.create_server(
                self._http, self.host, self.port, ssl=self.tls, backlog=1024, family=socket.AF_INET
            )
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Stop listening, so that connecting is refused, and break every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.abort()

    def abort(self) -> None:
        """Reset every open connection."""
        for connection in tuple(self._http.connections if self._http else ()):
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        """Stop listening and give running handlers a moment to end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._http is None:
            return
        transports = [connection.transport for connection in self._http.connections]
        await self._http.shutdown(SHUTDOWN_SECONDS)
        # A closing TLS transport waits up to 30 s for the peer's close_notify, which a frozen peer never sends.
        for transport in transports:
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)  # sockets are closed by the next turn of the loop
