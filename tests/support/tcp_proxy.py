"""Between a client and a server: TCP that can swallow what passes, break at a moment that matters, or be shut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

COMMIT = b"COMMIT;"


@dataclass
class Proxy:
    """`swallows`: it takes bytes of both directions and passes none on, and the connections stand: they are half-open.
    `swallows_first` does that to the first so many connections: their server has moved, and others find the new one.

    `lose` is what happens to the next request that contains `marker`, a COMMIT to Postgres unless another is given:
    "it" never arrives, or its "answer" does not, and the connection breaks. "first answer": it arrives twice, as what
    nats-py sends again after a reconnect, and only the second one is answered.
    """

    host: str
    port: int
    url: str = ""
    own_port: int = 0
    marker: bytes = COMMIT
    swallows: bool = False
    swallows_first: int = 0
    connections: int = 0
    lose: Literal["it", "answer", "first answer"] | None = None
    lost: int = 0
    holds: bool = False
    """The next request that contains `marker` waits until `release` is set, and `held` is set meanwhile."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    slow_seconds: float = 0.0
    """How long each part of an answer takes."""
    _clients: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", self.own_port)
        self.own_port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Refuse connections and end every one: a server that goes away, as its clients see it."""
        assert self._server
        self._server.close()
        self.break_all()

    def break_all(self) -> None:
        """End every connection."""
        for client in self._clients:
            client.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._clients.add(writer)
        try:
            upstream_reader, upstream = await asyncio.open_connection(self.host, self.port)
        except ConnectionRefusedError:
            writer.close()
            return
        answers = asyncio.create_task(self._answer(number, upstream_reader, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.marker in data and self.lose == "first answer":
                    await self._lose(data, upstream_reader, upstream, answers)
                    answers = asyncio.create_task(self._answer(number, upstream_reader, writer))
                if self.marker in data and self.lose:
                    await self._lose(data, upstream_reader, upstream, answers)
                    break
                if self.marker in data and self.holds:
                    self.holds = False
                    self.held.set()
                    await self.release.wait()
                if not self._is_half_open(number):
                    upstream.write(data)
                    await upstream.drain()
        answers.cancel()
        for end in (upstream, writer):
            end.close()
        self._clients.discard(writer)

    def _is_half_open(self, connection: int) -> bool:
        return self.swallows or connection <= self.swallows_first

    async def _answer(self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.slow_seconds)
                if not self._is_half_open(connection):
                    writer.write(data)
                    await writer.drain()
        if not self._is_half_open(connection):
            writer.close()

    async def _lose(
        self,
        data: bytes,
        answer: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        if self.lose != "it":
            upstream.write(data)
            await answer.read(1 if self.lose == "answer" else 65536)  # it is committed
        self.lose = None
        self.lost += 1


@asynccontextmanager
async def tcp_proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy of the server of an URL, or of the first one in a list; open at first, and its own `url` for the same."""
    url = url.partition(",")[0]
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "", parts.port or 0)
    await proxy.open()
    proxy.url = url.replace(f":{parts.port}", f":{proxy.own_port}", 1)
    try:
        yield proxy
    finally:
        proxy.shut()
