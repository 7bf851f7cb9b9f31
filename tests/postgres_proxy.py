"""Between a client and Postgres: breaks the connection at a COMMIT, before the server has it or before its answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

COMMIT = b"COMMIT;"


@dataclass
class Proxy:
    """`lose` is what happens to the next COMMIT: "it" never arrives, or its "answer" does not."""

    url: str
    host: str
    port: int
    lose: Literal["it", "answer"] | None = None
    lost: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection(self.host, self.port)
        answers = asyncio.create_task(_copy(upstream_reader, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if COMMIT in data and self.lose:
                    await self._lose(data, upstream_reader, upstream, answers)
                    break
                upstream.write(data)
                await upstream.drain()
        answers.cancel()
        for end in (upstream, writer):
            end.close()

    async def _lose(
        self,
        data: bytes,
        answer: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        if self.lose == "answer":
            upstream.write(data)
            await answer.read(1)  # it is committed
        self.lose = None
        self.lost += 1


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def postgres_proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A proxy of the server, and its `url` for the same database."""
    parts = urlsplit(database_url)
    proxy = Proxy("", parts.hostname or "", parts.port or 5432)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy.url = database_url.replace(f":{parts.port}/", f":{port}/", 1)
    try:
        yield proxy
    finally:
        server.close()
